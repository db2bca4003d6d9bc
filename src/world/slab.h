/* Slabs: small blocks, in pages that hold blocks of one size each.
 *
 * A block costs its size, rounded up to SLAB_STEP, and nothing else: whoever frees a block names
 * its size (mem.h), so it needs no header of its own. A million keys are two million blocks, and
 * malloc would add 8 bytes and its rounding to every one of them. What is larger than SLAB_MAX is
 * not taken here.
 *
 * For one thread alone: nothing is locked. */
#ifndef SYNOD_WORLD_SLAB_H
#define SYNOD_WORLD_SLAB_H

#include "base/list.h"

#include <stdbool.h>
#include <stddef.h>

#define SLAB_STEP ((size_t)16)
#define SLAB_MAX ((size_t)1024)
#define SLAB_CLASSES (SLAB_MAX / SLAB_STEP)

struct slabs {
    struct list roomy[SLAB_CLASSES]; /* pages with a free block, by size of their blocks */
    struct list empty;               /* pages without any block, for whatever size comes */
    size_t empty_count;
    size_t regions; /* mapped, never unmapped */
};

void slabs_init(struct slabs *slabs);
static inline bool slabs_take(size_t size)
{
    return size > 0 && size <= SLAB_MAX;
}
/* slabs_take(size) holds. NULL: the system gives no more memory. 16-byte aligned. */
void *slabs_alloc(struct slabs *slabs, size_t size);
/* `size` is the size that was asked for. */
void slabs_free(struct slabs *slabs, void *at, size_t size);

#endif
