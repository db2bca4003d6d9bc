#include "base/planted.h"

#include <stddef.h>

const struct planted_entry planted_catalogue[PLANTED_COUNT] = {
    [PLANTED_NONE] = {"NONE", "", "", "no bug"},
#define PLANT(name, class, finder, what) [PLANTED_##name] = {#name, class, finder, what},
#include "base/planted.def"
#undef PLANT
};

#ifdef SYNOD_PLANTED
enum planted_bug planted_now;

static bool same(const char *a, const char *b)
{
    while (*a != '\0' && *a == *b) {
        a++;
        b++;
    }
    return *a == *b;
}
#endif

bool planted_select(const char *name)
{
#ifdef SYNOD_PLANTED
    for (enum planted_bug bug = PLANTED_NONE; bug < PLANTED_COUNT; bug++) {
        if (same(planted_catalogue[bug].name, name)) {
            planted_now = bug;
            return true;
        }
    }
#endif
    (void)name;
    return false;
}
