/* The arena: allocations that do not overlap, and blocks that are kept or given back. */
#include "base/arena.h"
#include "base/prng.h"
#include "base/support_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void allocations_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    struct test_mem mem;
    struct arena arena;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    test_mem_init(&mem);
    arena_init(&arena, &mem.mem);
    for (int round = 0; round < 20; round++) {
        enum {
            COUNT = 300
        };
        uint8_t *at[COUNT];
        size_t sizes[COUNT];
        for (int i = 0; i < COUNT; i++) {
            sizes[i] = (size_t)prng_below(&prng, prng_below(&prng, 10) == 0 ? 40000 : 200);
            at[i] = arena_alloc(&arena, sizes[i]);
            assert_int_equal((uintptr_t)at[i] % 16, 0);
            memset(at[i], i & 0xff, sizes[i]);
        }
        for (int i = 0; i < COUNT; i++) {
            for (size_t j = 0; j < sizes[i]; j++)
                assert_int_equal(at[i][j], i & 0xff);
        }
        arena_reset(&arena);
        assert_int_equal(arena.used, 0);
    }
    arena_release(&arena);
    test_mem_check(&mem);
}

static void a_busy_loop_allocates_nothing_after_its_first_round(void **state)
{
    (void)state;
    struct test_mem mem;
    struct arena arena;
    test_mem_init(&mem);
    arena_init(&arena, &mem.mem);
    arena_alloc(&arena, 100);
    arena_reset(&arena);
    size_t calls = mem.calls;
    for (int round = 0; round < 100; round++) {
        for (int i = 0; i < 50; i++)
            arena_alloc(&arena, 200);
        arena_reset(&arena);
    }
    assert_int_equal(mem.calls, calls);
    arena_release(&arena);
    test_mem_check(&mem);
}

static void a_large_allocation_does_not_hide_the_block_being_filled(void **state)
{
    (void)state;
    struct test_mem mem;
    struct arena arena;
    test_mem_init(&mem);
    arena_init(&arena, &mem.mem);
    arena_alloc(&arena, 16);
    arena_alloc(&arena, 100000);
    size_t calls = mem.calls;
    arena_alloc(&arena, 16);
    assert_int_equal(mem.calls, calls);
    arena_reset(&arena);
    assert_true(mem.mem.used < 100000); /* the large one is given back */
    arena_release(&arena);
    test_mem_check(&mem);
}

static void an_arena_can_be_used_after_its_release(void **state)
{
    (void)state;
    struct test_mem mem;
    struct arena arena;
    test_mem_init(&mem);
    arena_init(&arena, &mem.mem);
    arena_release(&arena);
    uint8_t *zeros = arena_zero(&arena, 64);
    for (int i = 0; i < 64; i++)
        assert_int_equal(zeros[i], 0);
    arena_release(&arena);
    test_mem_check(&mem);
}

static void copies_are_copies_and_empty_ones_have_an_address(void **state)
{
    (void)state;
    struct test_mem mem;
    struct arena arena;
    test_mem_init(&mem);
    arena_init(&arena, &mem.mem);
    char text[] = "hello";
    struct bytes copy = arena_copy(&arena, bytes_text(text));
    text[0] = 'j';
    assert_true(bytes_equal(copy, bytes_text("hello")));
    assert_non_null(arena_copy(&arena, BYTES_EMPTY).data);
    assert_non_null(arena_alloc(&arena, 0));
    arena_release(&arena);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(allocations_are_aligned_and_do_not_overlap),
        cmocka_unit_test(a_busy_loop_allocates_nothing_after_its_first_round),
        cmocka_unit_test(a_large_allocation_does_not_hide_the_block_being_filled),
        cmocka_unit_test(an_arena_can_be_used_after_its_release),
        cmocka_unit_test(copies_are_copies_and_empty_ones_have_an_address),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
