/* Panic hook of the real program: one clear line on stderr, then abort().
 *
 * It trusts nothing that the broken program owns: it allocates nothing, takes no lock and writes
 * straight to the descriptor. */
#ifndef SYNOD_WORLD_PANIC_HOOK_H
#define SYNOD_WORLD_PANIC_HOOK_H

#include "world/log.h"

/* From now on panic() prints its line in this format. */
void panic_hook_install(enum log_format format);

#endif
