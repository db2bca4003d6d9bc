/* Mem over malloc: the allocator of the real program.
 *
 * One per process, for the core thread: `used` is counted without a lock, and small blocks have no
 * lock either. A thread that does disk work allocates nothing; one that carries connections has an
 * allocator of its own. */
#ifndef SYNOD_WORLD_MEM_SYSTEM_H
#define SYNOD_WORLD_MEM_SYSTEM_H

#include "base/mem.h"

#include <stdint.h>

/* Always the same one; the first call tunes malloc for a small resident size. */
struct mem *mem_system(void);
/* What threads copy that need memory: malloc as it is, for so many of them. */
struct mem mem_for_threads(uint32_t threads);

#endif
