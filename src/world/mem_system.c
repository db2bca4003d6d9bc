/* Tuning of malloc, and why:
 *   - One arena for the core and one for whatever library threads exist. More arenas only hold
 *     freed memory that nobody else may use.
 *   - A fixed threshold for mmap. By default glibc raises it whenever a large block is freed, and
 *     then large blocks end up between the small ones and pin the heap. Above a megabyte (vectors
 *     that grow, snapshot pages) blocks come and go by mmap, grow by mremap and leave no hole;
 *     below it (batches of commands) they are reused without a page fault.
 *   - Free memory at the top of the heap goes back to the system beyond a few megabytes. */
#include "world/mem_system.h"

#include <malloc.h>
#include <stdbool.h>
#include <stdlib.h>

#define MEM_ARENAS 2
#define MEM_MMAP_THRESHOLD (1024 * 1024)
#define MEM_TRIM_THRESHOLD (4 * 1024 * 1024)

static void *mem_system_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

struct mem *mem_system(void)
{
    static struct mem mem = {.resize = mem_system_resize};
    static bool tuned;
    if (!tuned) {
        tuned = true;
        mallopt(M_ARENA_MAX, MEM_ARENAS);
        mallopt(M_MMAP_THRESHOLD, MEM_MMAP_THRESHOLD);
        mallopt(M_TRIM_THRESHOLD, MEM_TRIM_THRESHOLD);
    }
    return &mem;
}
