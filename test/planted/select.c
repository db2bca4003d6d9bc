/* Linked into every test of a planted build: switches on the bug that SYNOD_PLANTED names, before
 * main. The one invariant: a name that is not in the catalogue ends the test, so a bug that was
 * renamed cannot seem to be caught or to survive. */
#include "base/planted.h"

#include <stdio.h>
#include <stdlib.h>

__attribute__((constructor)) static void planted_from_environment(void)
{
    const char *name = getenv("SYNOD_PLANTED");
    if (name == NULL || name[0] == '\0' || planted_select(name))
        return;
    fprintf(stderr, "SYNOD_PLANTED: there is no bug \"%s\" in this build\n", name);
    _Exit(97);
}
