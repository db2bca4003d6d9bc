/* Planted bugs: the tests of the tests. In a build with SYNOD_PLANTED, one bug of the catalogue
 * (planted.def) can be switched on by name, and the simulator, the explorer or a named test has to
 * find it (script/planted). In every other build planted(NAME) is the constant false, and nothing
 * of it is left in the program. */
#ifndef SYNOD_BASE_PLANTED_H
#define SYNOD_BASE_PLANTED_H

#include <stdbool.h>

enum planted_bug {
    PLANTED_NONE,
#define PLANT(name, class, finder, what) PLANTED_##name,
#include "base/planted.def"
#undef PLANT
    PLANTED_COUNT,
};

struct planted_entry {
    const char *name;
    const char *classes; /* of reliability: B01... */
    const char *finder;  /* "sim", "sim --engine raft", "explore", or the ctest that must fail */
    const char *what;    /* what is wrong, in one line */
};

extern const struct planted_entry planted_catalogue[PLANTED_COUNT];

#ifdef SYNOD_PLANTED
extern enum planted_bug planted_now;
#define planted(name) (planted_now == PLANTED_##name)
#else
#define planted(name) false
#endif

/* Switches one on. False: this build has none, or there is none of that name. */
bool planted_select(const char *name);

#endif
