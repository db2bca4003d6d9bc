/* Small blocks come from slabs, which is what a member's keys and versions are made of; the rest
 * from malloc, tuned:
 *   - One arena for the core, one for whatever library threads exist, and one for each thread that
 *     carries connections. More arenas only hold freed memory that nobody else may use.
 *   - A fixed threshold for mmap. By default glibc raises it whenever a large block is freed, and
 *     then large blocks end up between the small ones and pin the heap. Above a megabyte (vectors
 *     that grow, snapshot pages) blocks come and go by mmap, grow by mremap and leave no hole;
 *     below it (batches of commands) they are reused without a page fault.
 *   - Free memory at the top of the heap goes back to the system beyond a few megabytes. */
#include "world/mem_system.h"

#include "world/slab.h"

#include <malloc.h>
#include <stdlib.h>
#include <string.h>

#define MEM_ARENAS 2
#define MEM_MMAP_THRESHOLD (1024 * 1024)
#define MEM_TRIM_THRESHOLD (4 * 1024 * 1024)

/* Sanitizers watch what malloc gives, block by block. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define MEM_SLABS false
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define MEM_SLABS false
#endif
#endif
#ifndef MEM_SLABS
#define MEM_SLABS true
#endif

static struct slabs slabs;

static bool from_slab(size_t size)
{
    return MEM_SLABS && slabs_take(size);
}

static void give_back(void *at, size_t size)
{
    if (from_slab(size))
        slabs_free(&slabs, at, size);
    else
        free(at);
}

static void *mem_system_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    if (size_new == 0) {
        if (at != NULL)
            give_back(at, size_old);
        return NULL;
    }
    if (at != NULL && !from_slab(size_old) && !from_slab(size_new))
        return realloc(at, size_new);
    void *moved = from_slab(size_new) ? slabs_alloc(&slabs, size_new) : malloc(size_new);
    if (at == NULL || moved == NULL)
        return moved;
    memcpy(moved, at, size_old < size_new ? size_old : size_new);
    give_back(at, size_old);
    return moved;
}

struct mem *mem_system(void)
{
    static struct mem mem = {.resize = mem_system_resize};
    static bool tuned;
    if (!tuned) {
        tuned = true;
        slabs_init(&slabs);
        mallopt(M_ARENA_MAX, MEM_ARENAS);
        mallopt(M_MMAP_THRESHOLD, MEM_MMAP_THRESHOLD);
        mallopt(M_TRIM_THRESHOLD, MEM_TRIM_THRESHOLD);
    }
    return &mem;
}

static void *mem_thread_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new > 0)
        return realloc(at, size_new);
    free(at);
    return NULL;
}

struct mem mem_for_threads(uint32_t threads)
{
    mallopt(M_ARENA_MAX, (int)(MEM_ARENAS + threads));
    return (struct mem){.resize = mem_thread_resize};
}
