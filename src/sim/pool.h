/* Pools: memory that is given back all at once. Each simulated process has one, so that a crash
 * frees what the process held without asking it; the run itself has one, so that a run that ended
 * by a panic leaves nothing behind.
 *
 * The one invariant: whatever was allocated from a pool is gone when it is released. Blocks go back
 * to a store of the process (the real one), which the next seed draws from; nothing that a run does
 * depends on where its memory lies. */
#ifndef SYNOD_SIM_POOL_H
#define SYNOD_SIM_POOL_H

#include "base/list.h"
#include "base/mem.h"

#include <stdint.h>

#define POOL_CLASSES 11 /* 16 bytes to 16 KiB */

struct pool_free {
    struct pool_free *next;
};

struct pool {
    struct mem mem; /* what is handed out */
    struct list blocks;
    uint8_t *at; /* the rest of the newest block */
    uint8_t *end;
    struct pool_free *free[POOL_CLASSES];
};

void pool_init(struct pool *pool);
/* Everything goes; the pool can be used again. */
void pool_release(struct pool *pool);

#endif
