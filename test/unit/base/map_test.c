/* The map against an array. */
#include "base/map.h"
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

enum {
    KEYS = 1500
};

/* Small, huge, and spaced keys: what ids look like. No two are the same. */
static uint64_t key_of(uint64_t index)
{
    switch (index % 4) {
    case 0:
        return index / 4;
    case 1:
        return UINT64_MAX - index / 4;
    case 2:
        return (index / 4 + 1) << 32;
    default:
        return (index / 4 + 1) * 4096;
    }
}

static void the_map_agrees_with_an_array(void **state)
{
    (void)state;
    struct test_mem mem;
    struct map map;
    static uint8_t values[KEYS];
    static void *model[KEYS];
    size_t count = 0;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    test_mem_init(&mem);
    map_init(&map, &mem.mem);
    assert_null(map_get(&map, 1));
    assert_null(map_take(&map, 1));
    for (uint64_t step = 0; step < 300000; step++) {
        uint64_t index = prng_below(&prng, KEYS);
        uint64_t key = key_of(index);
        uint64_t what = prng_below(&prng, 10);
        if (what < 4 + (step / 20000) % 2 * 3) { /* it grows and shrinks in turns */
            void *value = &values[prng_below(&prng, KEYS)];
            map_put(&map, key, value);
            count += model[index] == NULL;
            model[index] = value;
        } else if (what < 9) {
            assert_ptr_equal(map_take(&map, key), model[index]);
            count -= model[index] != NULL;
            model[index] = NULL;
        }
        assert_ptr_equal(map_get(&map, key), model[index]);
        assert_int_equal(map.count, count);
        if (step % 10000 == 0) {
            for (uint64_t i = 0; i < KEYS; i++)
                assert_ptr_equal(map_get(&map, key_of(i)), model[i]);
        }
    }
    map_release(&map);
    assert_null(map_get(&map, 1));
    test_mem_check(&mem);
}

static void a_map_is_never_fuller_than_three_quarters(void **state)
{
    (void)state;
    struct test_mem mem;
    struct map map;
    test_mem_init(&mem);
    map_init(&map, &mem.mem);
    for (uint64_t i = 0; i < 10000; i++) {
        map_put(&map, i, &map);
        assert_true(map.count * 4 <= map.capacity * 3);
    }
    assert_int_equal(map.count, 10000);
    map_release(&map);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_map_agrees_with_an_array),
        cmocka_unit_test(a_map_is_never_fuller_than_three_quarters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
