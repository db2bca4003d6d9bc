/* The allocator of the real program: exact accounts, and no bloat under many small allocations. */
#include "world/mem_system.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static void used_counts_what_was_asked_for(void **state)
{
    (void)state;
    struct mem *mem = mem_system();
    assert_ptr_equal(mem, mem_system());
    assert_int_equal(mem->used, 0);
    uint8_t *at = mem_alloc(mem, 100);
    memset(at, 7, 100);
    at = mem_resize(mem, at, 100, 5000);
    assert_int_equal(at[99], 7);
    assert_int_equal(mem->used, 5000);
    uint8_t *zeros = mem_zero(mem, 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(zeros[i], 0);
    mem_free(mem, at, 5000);
    mem_free(mem, zeros, 64);
    mem_free(mem, NULL, 0);
    assert_int_equal(mem->used, 0);
}

static size_t resident(void)
{
    unsigned long total = 0;
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &total, &pages), 2);
    fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static void a_million_small_allocations_cost_little_more_than_their_size(void **state)
{
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    skip(); /* a sanitizer has its own allocator */
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    skip();
#endif
#endif
    enum {
        COUNT = 1000000,
        SIZE = 72
    };
    struct mem *mem = mem_system();
    void **all = mem_zero(mem, COUNT * sizeof *all);
    memset(all, 1, COUNT * sizeof *all);
    size_t before = resident();
    for (size_t i = 0; i < COUNT; i++) {
        all[i] = mem_alloc(mem, SIZE);
        memset(all[i], 1, SIZE);
    }
    size_t full = resident();
    assert_true(full - before < (size_t)COUNT * SIZE * 5 / 4);
    for (size_t i = 0; i < COUNT; i++)
        mem_free(mem, all[i], SIZE);
    /* What was given back serves other sizes. */
    enum {
        COUNT_LARGER = COUNT / 4,
        SIZE_LARGER = SIZE * 3
    };
    for (size_t i = 0; i < COUNT_LARGER; i++) {
        all[i] = mem_alloc(mem, SIZE_LARGER);
        memset(all[i], 1, SIZE_LARGER);
    }
    assert_true(resident() <= full + 1024 * 1024);
    for (size_t i = 0; i < COUNT_LARGER; i++)
        mem_free(mem, all[i], SIZE_LARGER);
    mem_free(mem, all, COUNT * sizeof *all);
    assert_int_equal(mem->used, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(used_counts_what_was_asked_for),
        cmocka_unit_test(a_million_small_allocations_cost_little_more_than_their_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
