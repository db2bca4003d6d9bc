#include "base/mem.h"

#include "base/panic.h"

#include <string.h>

void *mem_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    ensure(mem->used >= size_old);
    void *result = mem->resize(mem, at, size_old, size_new);
    if (result == NULL && size_new > 0)
        panic("out of memory: raise the machine's memory or lower the quota");
    mem->used += size_new - size_old;
    return result;
}

void *mem_alloc(struct mem *mem, size_t size)
{
    return mem_resize(mem, NULL, 0, size);
}

void *mem_zero(struct mem *mem, size_t size)
{
    void *at = mem_alloc(mem, size);
    if (size > 0)
        memset(at, 0, size);
    return at;
}

void mem_free(struct mem *mem, void *at, size_t size)
{
    if (at != NULL)
        mem_resize(mem, at, size, 0);
}
