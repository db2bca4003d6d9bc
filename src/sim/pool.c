/* Pools; see pool.h. Small sizes come in classes of powers of two, cut from blocks; large ones are
 * blocks of their own. Sizes are known to whoever frees, so nothing carries a header.
 *
 * Under AddressSanitizer every allocation is one of malloc's, so that it sees their bounds. */
#include "sim/pool.h"

#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#define POOL_PLAIN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(memory_sanitizer)
#define POOL_PLAIN 1
#endif
#endif

#define CLASS_FIRST_LOG2 4
#define SMALL_MAX ((size_t)16 * 1024)
#define BLOCK_LOG2_MIN 16
#define BLOCK_LOG2_MAX 40

struct pool_block {
    struct list link;
    size_t log2;
};

#define BLOCK_HEADER ((size_t)32)

static void out_of_memory(void)
{
    abort();
}

#ifdef POOL_PLAIN

static void *pool_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    struct pool *pool = container_of(mem, struct pool, mem);
    (void)size_old;
    struct pool_block *old = NULL;
    if (at != NULL) {
        old = (struct pool_block *)((uint8_t *)at - BLOCK_HEADER);
        list_remove(&old->link);
    }
    if (size_new == 0) {
        free(old);
        return NULL;
    }
    struct pool_block *block = realloc(old, BLOCK_HEADER + size_new);
    if (block == NULL)
        out_of_memory();
    list_push(&pool->blocks, &block->link);
    return (uint8_t *)block + BLOCK_HEADER;
}

static void block_give(struct pool_block *block)
{
    free(block);
}

#else

static struct pool_block *stored[BLOCK_LOG2_MAX]; /* by log2 of the size; linked by link.next */

static size_t log2_above(size_t size)
{
    return size <= 1 ? 0 : (size_t)(64 - __builtin_clzll((unsigned long long)size - 1));
}

static struct pool_block *block_take(struct pool *pool, size_t size)
{
    size_t log2 = log2_above(size + BLOCK_HEADER);
    if (log2 < BLOCK_LOG2_MIN)
        log2 = BLOCK_LOG2_MIN;
    if (log2 >= BLOCK_LOG2_MAX)
        out_of_memory();
    struct pool_block *block = stored[log2];
    if (block != NULL)
        stored[log2] = (struct pool_block *)block->link.next;
    else
        block = malloc((size_t)1 << log2);
    if (block == NULL)
        out_of_memory();
    block->log2 = log2;
    list_push(&pool->blocks, &block->link);
    return block;
}

static void block_give(struct pool_block *block)
{
    block->link.next = (struct list *)stored[block->log2];
    stored[block->log2] = block;
}

static size_t class_of(size_t size)
{
    size_t log2 = log2_above(size);
    return log2 <= CLASS_FIRST_LOG2 ? 0 : log2 - CLASS_FIRST_LOG2;
}

static void *small_take(struct pool *pool, size_t class)
{
    struct pool_free *first = pool->free[class];
    if (first != NULL) {
        pool->free[class] = first->next;
        return first;
    }
    size_t size = (size_t)1 << (class + CLASS_FIRST_LOG2);
    if ((size_t)(pool->end - pool->at) < size) {
        struct pool_block *block = block_take(pool, ((size_t)1 << BLOCK_LOG2_MIN) - BLOCK_HEADER);
        pool->at = (uint8_t *)block + BLOCK_HEADER;
        pool->end = (uint8_t *)block + ((size_t)1 << block->log2);
    }
    void *at = pool->at;
    pool->at += size;
    return at;
}

static void *take(struct pool *pool, size_t size)
{
    if (size <= SMALL_MAX)
        return small_take(pool, class_of(size));
    return (uint8_t *)block_take(pool, size) + BLOCK_HEADER;
}

static void give(struct pool *pool, void *at, size_t size)
{
    if (size <= SMALL_MAX) {
        struct pool_free *first = at;
        first->next = pool->free[class_of(size)];
        pool->free[class_of(size)] = first;
        return;
    }
    struct pool_block *block = (struct pool_block *)((uint8_t *)at - BLOCK_HEADER);
    list_remove(&block->link);
    block_give(block);
}

/* Does the memory of the old size do for the new one? */
static int same_place(void *at, size_t size_old, size_t size_new)
{
    if (size_old <= SMALL_MAX || size_new <= SMALL_MAX)
        return size_old <= SMALL_MAX && size_new <= SMALL_MAX &&
               class_of(size_old) == class_of(size_new);
    struct pool_block *block = (struct pool_block *)((uint8_t *)at - BLOCK_HEADER);
    return size_new + BLOCK_HEADER <= (size_t)1 << block->log2;
}

static void *pool_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    struct pool *pool = container_of(mem, struct pool, mem);
    if (size_new == 0) {
        if (at != NULL)
            give(pool, at, size_old);
        return NULL;
    }
    if (at == NULL)
        return take(pool, size_new);
    if (same_place(at, size_old, size_new))
        return at;
    void *made = take(pool, size_new);
    memcpy(made, at, size_old < size_new ? size_old : size_new);
    give(pool, at, size_old);
    return made;
}

#endif

void pool_init(struct pool *pool)
{
    *pool = (struct pool){.mem = {.resize = pool_resize}};
    list_init(&pool->blocks);
}

void pool_release(struct pool *pool)
{
    list_each (at, &pool->blocks) {
        list_remove(at);
        block_give(container_of(at, struct pool_block, link));
    }
    pool_init(pool);
}
