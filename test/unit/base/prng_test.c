/* Pseudo-randomness: the published sequence, and no bias worth mentioning. */
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void the_sequence_is_the_published_one(void **state)
{
    (void)state;
    struct prng prng = {{1, 2, 3, 4}};
    static const uint64_t wanted[6] = {
        11520, 0, 1509978240, 1215971899390074240u, 1216172134540287360u, 607988272756665600u};
    for (int i = 0; i < 6; i++)
        assert_true(prng_next(&prng) == wanted[i]);
    /* The seed goes through splitmix64, whose first outputs for 0 are known as well. */
    prng = prng_seed(0);
    assert_true(prng.state[0] == 0xe220a8397b1dcdafu);
    assert_true(prng.state[1] == 0x6e789e6aa1b965f4u);
    assert_true(prng.state[2] == 0x06c45d188009454fu);
    assert_true(prng.state[3] == 0xf88bb8a8724c81ecu);
}

static void a_copy_goes_on_alike(void **state)
{
    (void)state;
    struct prng a = prng_seed(7);
    prng_next(&a);
    struct prng b = a;
    for (int i = 0; i < 100; i++)
        assert_true(prng_next(&a) == prng_next(&b));
    struct prng c = prng_seed(8);
    assert_true(prng_next(&a) != prng_next(&c));
}

static void numbers_below_a_bound_are_spread_evenly(void **state)
{
    (void)state;
    struct prng prng = prng_seed(1);
    uint32_t counts[7] = {0};
    for (int i = 0; i < 70000; i++)
        counts[prng_below(&prng, 7)]++;
    for (int i = 0; i < 7; i++)
        assert_in_range(counts[i], 9500, 10500);
    for (int i = 0; i < 100; i++)
        assert_int_equal(prng_below(&prng, 1), 0);
    uint64_t bound = (UINT64_C(1) << 63) + 1; /* almost every second draw is thrown away */
    for (int i = 0; i < 1000; i++)
        assert_true(prng_below(&prng, bound) < bound);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_the_published_one),
        cmocka_unit_test(a_copy_goes_on_alike),
        cmocka_unit_test(numbers_below_a_bound_are_spread_evenly),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
