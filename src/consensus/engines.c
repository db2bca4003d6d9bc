/* The engines there are. Adding one is a line here. */
#include "consensus/engine.h"

#include <stddef.h>

const struct engine_ops *const engines_all[] = {
    &engine_multipaxos,
    &engine_raft,
    NULL,
};

const struct engine_ops *engine_by_name(const char *name)
{
    for (size_t i = 0; engines_all[i] != NULL; i++)
        if (bytes_equal(bytes_text(engines_all[i]->name), bytes_text(name)))
            return engines_all[i];
    return NULL;
}

const struct engine_ops *engine_by_id(uint16_t id)
{
    for (size_t i = 0; engines_all[i] != NULL; i++)
        if (engines_all[i]->id == id)
            return engines_all[i];
    return NULL;
}
