/* The histogram against a sorted array of the same values: every percentile within one percent, and
 * nothing lost at the edges. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cli/histogram.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define VALUES 20000

static struct histogram histogram;
static struct histogram other;
static uint64_t values[VALUES];

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static void quantiles_are_within_one_percent_of_the_truth(void **state)
{
    (void)state;
    static const double shares[] = {0.001, 0.1, 0.5, 0.9, 0.99, 0.999, 1.0};
    uint64_t seed = (uint64_t)time(NULL);
    struct prng prng = prng_seed(seed);
    printf("seed %llu\n", (unsigned long long)seed);
    for (unsigned bits = 4; bits < 44; bits += 4) {
        histogram_clear(&histogram);
        for (size_t i = 0; i < VALUES; i++) {
            values[i] = prng_next(&prng) >> (64 - 1 - prng_below(&prng, bits));
            histogram_record(&histogram, values[i]);
        }
        qsort(values, VALUES, sizeof values[0], compare);
        for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
            uint64_t truth = values[(size_t)(shares[i] * VALUES + 0.5) - 1];
            uint64_t told = histogram_quantile(&histogram, shares[i]);
            assert_true(told >= truth);
            assert_true((double)(told - truth) <= (double)truth / 100);
        }
    }
}

static void the_ends_are_exact(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    assert_int_equal(histogram_quantile(&histogram, 0.5), 0);
    histogram_record(&histogram, 0);
    histogram_record(&histogram, 123456789);
    histogram_record(&histogram, UINT64_MAX);
    assert_int_equal(histogram.least, 0);
    assert_true(histogram.most == UINT64_MAX);
    assert_int_equal(histogram_quantile(&histogram, 0.0), 0);
    assert_true(histogram_quantile(&histogram, 1.0) <= UINT64_MAX);
    assert_int_equal(histogram.count, 3);
}

static void merging_is_recording_both(void **state)
{
    (void)state;
    histogram_clear(&histogram);
    histogram_clear(&other);
    for (uint64_t i = 1; i <= 1000; i++)
        histogram_record(i % 2 == 0 ? &histogram : &other, i * 1000);
    histogram_merge(&histogram, &other);
    assert_int_equal(histogram.count, 1000);
    assert_int_equal(histogram.least, 1000);
    assert_int_equal(histogram.most, 1000000);
    assert_true(histogram_mean(&histogram) == 500500.0);
    assert_true(histogram_quantile(&histogram, 0.5) >= 500000);
    assert_true(histogram_quantile(&histogram, 0.5) <= 505000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_within_one_percent_of_the_truth),
        cmocka_unit_test(the_ends_are_exact),
        cmocka_unit_test(merging_is_recording_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
