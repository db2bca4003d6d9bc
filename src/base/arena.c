#include "base/arena.h"

#include <string.h>

#define ARENA_BLOCK_SIZE ((size_t)16 * 1024)
#define ARENA_ALIGN ((size_t)16)

struct arena_block {
    struct arena_block *next;
    size_t size; /* of the whole block, header included */
    size_t used; /* header included */
};

#define ARENA_HEADER ((sizeof(struct arena_block) + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1))

void arena_init(struct arena *arena, struct mem *mem)
{
    *arena = (struct arena){.mem = mem};
}

void arena_release(struct arena *arena)
{
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        mem_free(arena->mem, block, block->size);
    }
    arena->used = 0;
}

void arena_reset(struct arena *arena)
{
    struct arena_block *kept = NULL;
    while (arena->blocks != NULL) {
        struct arena_block *block = arena->blocks;
        arena->blocks = block->next;
        if (kept == NULL && block->size == ARENA_BLOCK_SIZE)
            kept = block;
        else
            mem_free(arena->mem, block, block->size);
    }
    if (kept != NULL) {
        kept->next = NULL;
        kept->used = ARENA_HEADER;
    }
    arena->blocks = kept;
    arena->used = 0;
}

static struct arena_block *arena_grow(struct arena *arena, size_t size)
{
    size_t needed = ARENA_HEADER + size;
    size_t block_size = needed > ARENA_BLOCK_SIZE ? needed : ARENA_BLOCK_SIZE;
    struct arena_block *block = mem_alloc(arena->mem, block_size);
    *block = (struct arena_block){.size = block_size, .used = ARENA_HEADER};
    if (needed > ARENA_BLOCK_SIZE / 2 && arena->blocks != NULL) {
        /* A large allocation must not hide the ordinary block that is still being filled. */
        block->next = arena->blocks->next;
        arena->blocks->next = block;
    } else {
        block->next = arena->blocks;
        arena->blocks = block;
    }
    return block;
}

void *arena_alloc(struct arena *arena, size_t size)
{
    size = (size + ARENA_ALIGN - 1) & ~(ARENA_ALIGN - 1);
    struct arena_block *block = arena->blocks;
    if (block == NULL || block->size - block->used < size)
        block = arena_grow(arena, size);
    uint8_t *at = (uint8_t *)block + block->used;
    block->used += size;
    arena->used += size;
    return at;
}

void *arena_zero(struct arena *arena, size_t size)
{
    return memset(arena_alloc(arena, size), 0, size);
}

struct bytes arena_copy(struct arena *arena, struct bytes bytes)
{
    uint8_t *at = arena_alloc(arena, bytes.size);
    if (bytes.size > 0)
        memcpy(at, bytes.data, bytes.size);
    return bytes_of(at, bytes.size);
}
