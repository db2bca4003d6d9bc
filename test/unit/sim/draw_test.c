/* Draws: their shapes, and that they are the same everywhere. */
#include "sim/draw.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static void exponential_draws_have_their_mean_and_their_tail(void **state)
{
    (void)state;
    struct prng prng = prng_seed(1);
    uint64_t sum = 0;
    uint32_t above = 0; /* twice the mean: once in e^2 */
    for (uint32_t i = 0; i < 100000; i++) {
        uint64_t drawn = draw_exponential(&prng, 1000000);
        assert_true(drawn > 0);
        sum += drawn;
        above += drawn > 2000000;
    }
    assert_in_range(sum / 100000, 990000, 1010000);
    assert_in_range(above, 13000, 14100);
}

static void logarithmic_draws_stay_in_bounds_and_favour_no_size(void **state)
{
    (void)state;
    struct prng prng = prng_seed(2);
    uint32_t small = 0;
    for (uint32_t i = 0; i < 10000; i++) {
        uint64_t drawn = draw_logarithmic(&prng, 10, 1000000);
        assert_in_range(drawn, 10, 1000000);
        small += drawn < 3163; /* half way, in powers */
    }
    assert_in_range(small, 4300, 5700);
    assert_int_equal(draw_logarithmic(&prng, 7, 7), 7);
    assert_int_equal(draw_logarithmic(&prng, 9, 3), 9);
}

static void a_chance_of_nothing_draws_nothing(void **state)
{
    (void)state;
    struct prng a = prng_seed(3);
    struct prng b = a;
    assert_false(draw_chance(&a, 0));
    assert_memory_equal(&a, &b, sizeof a);
    uint32_t hits = 0;
    for (uint32_t i = 0; i < 100000; i++)
        hits += draw_chance(&a, 100000);
    assert_in_range(hits, 9600, 10400);
}

/* The first draws of a seed, written down: another compiler must draw the same. */
static void the_draws_of_a_seed_are_known(void **state)
{
    (void)state;
    struct prng prng = draw_stream(1, 0);
    struct prng other = draw_stream(1, 1);
    assert_int_not_equal(prng_next(&prng), prng_next(&other));
    struct prng fixed = prng_seed(4);
    assert_int_equal(draw_exponential(&fixed, 1000000), 1333954);
    assert_int_equal(draw_logarithmic(&fixed, 1, 1000000), 90750);
    assert_int_equal(draw_between(&fixed, 5, 500), 311);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponential_draws_have_their_mean_and_their_tail),
        cmocka_unit_test(logarithmic_draws_stay_in_bounds_and_favour_no_size),
        cmocka_unit_test(a_chance_of_nothing_draws_nothing),
        cmocka_unit_test(the_draws_of_a_seed_are_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
