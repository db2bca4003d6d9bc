/* Mem over malloc: the allocator of the real program.
 *
 * One per process, for the core thread: `used` is counted without a lock. A thread that does disk
 * work allocates nothing. */
#ifndef SYNOD_WORLD_MEM_SYSTEM_H
#define SYNOD_WORLD_MEM_SYSTEM_H

#include "base/mem.h"

/* Always the same one; the first call tunes malloc for a small resident size. */
struct mem *mem_system(void);

#endif
