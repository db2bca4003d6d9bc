/* Members: from node numbers to places and sets. Configurations have a handful of members, so a
 * walk over the array is the fastest index. */
#include "quorum/members.h"

int configuration_place(const struct configuration *configuration, uint16_t node)
{
    for (uint32_t i = 0; i < configuration->count; i++)
        if (configuration->members[i].node == node)
            return (int)i;
    return -1;
}

member_set configuration_bit(const struct configuration *configuration, uint16_t node)
{
    int place = configuration_place(configuration, node);
    return place < 0 ? 0 : (member_set)1 << place;
}

member_set configuration_all(const struct configuration *configuration)
{
    return ((member_set)1 << configuration->count) - 1;
}
