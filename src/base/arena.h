/* Arena: bump allocation for what lives as long as one request, one step, one apply.
 *
 * Blocks are kept over a reset up to `keep` bytes, so a busy loop allocates nothing. */
#ifndef SYNOD_BASE_ARENA_H
#define SYNOD_BASE_ARENA_H

#include "base/bytes.h"
#include "base/mem.h"

struct arena_block;

struct arena {
    struct mem *mem;
    struct arena_block *blocks; /* newest first */
    size_t used;                /* bytes handed out since the last reset */
};

void arena_init(struct arena *arena, struct mem *mem);
/* Frees every block. The arena may be used again. */
void arena_release(struct arena *arena);
/* Forgets every allocation; keeps one ordinary block for the next round. */
void arena_reset(struct arena *arena);
/* 16-byte aligned, not cleared, never NULL; size 0 gives a valid address. */
void *arena_alloc(struct arena *arena, size_t size);
void *arena_zero(struct arena *arena, size_t size);
/* A copy of the bytes that lives in the arena. */
struct bytes arena_copy(struct arena *arena, struct bytes bytes);

#endif
