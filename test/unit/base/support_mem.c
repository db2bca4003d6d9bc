#include "base/support_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define HEADER 16

static void *test_mem_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    struct test_mem *test = (struct test_mem *)mem;
    uint8_t *result = NULL;
    test->calls++;
    if (size_new > 0) {
        uint8_t *block = malloc(HEADER + size_new);
        memcpy(block, &size_new, sizeof size_new);
        result = block + HEADER;
        memset(result, 0xa5, size_new);
        test->allocations++;
    }
    if (at != NULL) {
        uint8_t *block = (uint8_t *)at - HEADER;
        size_t size;
        memcpy(&size, block, sizeof size);
        assert_int_equal(size, size_old);
        if (result != NULL)
            memcpy(result, at, size_old < size_new ? size_old : size_new);
        memset(at, 0x5a, size_old);
        free(block);
        test->allocations--;
    } else {
        assert_int_equal(size_old, 0);
    }
    return result;
}

void test_mem_init(struct test_mem *mem)
{
    *mem = (struct test_mem){.mem = {.resize = test_mem_resize}};
}

void test_mem_check(const struct test_mem *mem)
{
    assert_int_equal(mem->mem.used, 0);
    assert_int_equal(mem->allocations, 0);
}
