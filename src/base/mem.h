/* Mem: the budgeted allocator that is handed to rooms that may not call malloc.
 *
 * Frees name the size, so that `used` is exact and an allocator may be an arena. Running out is a
 * panic: admission control refuses work long before (the store's quota, the window's bytes). */
#ifndef SYNOD_BASE_MEM_H
#define SYNOD_BASE_MEM_H

#include <stddef.h>

struct mem {
    /* Like realloc: size 0 frees and returns NULL; NULL means that memory ran out. */
    void *(*resize)(struct mem *mem, void *at, size_t size_old, size_t size_new);
    size_t used; /* bytes asked for and not yet freed */
};

/* Never NULL. The memory is not cleared. */
void *mem_alloc(struct mem *mem, size_t size);
/* The same, cleared to zero. */
void *mem_zero(struct mem *mem, size_t size);
/* Never NULL for size_new > 0; contents up to the smaller size are kept. */
void *mem_resize(struct mem *mem, void *at, size_t size_old, size_t size_new);
/* `at` may be NULL. `size` is the size that was asked for. */
void mem_free(struct mem *mem, void *at, size_t size);

#endif
