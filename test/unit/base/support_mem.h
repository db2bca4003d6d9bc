/* An allocator for tests: it knows every allocation by its size, so that a free with the wrong one
 * is a failure, and fills memory with rubbish, so that nobody relies on its being clear. */
#ifndef SYNOD_TEST_BASE_SUPPORT_MEM_H
#define SYNOD_TEST_BASE_SUPPORT_MEM_H

#include "base/mem.h"

struct test_mem {
    struct mem mem;
    size_t allocations; /* alive */
    size_t calls;
};

void test_mem_init(struct test_mem *mem);
/* Asserts that everything was given back. */
void test_mem_check(const struct test_mem *mem);

#endif
