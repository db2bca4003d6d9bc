/* The hash: pinned values, since members compare digests across machines and versions; and enough
 * mixing for tables. */
#include "base/hash.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void the_values_are_the_same_everywhere(void **state)
{
    (void)state;
    assert_true(hash_u64(0) == 0xd6cb8892a926a943u);
    assert_true(hash_u64(1) == 0x0400c6c778bbb447u);
    assert_true(hash_fold(1, 2) == 0xdd18ade68d0a0f54u);
    assert_true(hash_bytes(0, BYTES_EMPTY) == 0x5561d6c62a3a0335u);
    assert_true(hash_bytes(7, bytes_text("hello, world")) == 0xe03101ff6e025a53u);
}

static void order_length_and_every_bit_matter(void **state)
{
    (void)state;
    assert_true(hash_fold(hash_fold(0, 1), 2) != hash_fold(hash_fold(0, 2), 1));
    static const uint8_t zeros[40];
    for (size_t a = 0; a < 40; a++) {
        for (size_t b = 0; b < a; b++)
            assert_true(hash_bytes(0, bytes_of(zeros, a)) != hash_bytes(0, bytes_of(zeros, b)));
    }
    uint8_t raw[37];
    struct prng prng = prng_seed(5);
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)prng_next(&prng);
    uint64_t hash = hash_bytes(1, bytes_of(raw, sizeof raw));
    for (size_t bit = 0; bit < sizeof raw * 8; bit++) {
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_true(hash_bytes(1, bytes_of(raw, sizeof raw)) != hash);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* Counts how many of 1024 cells the low bits of consecutive and spaced numbers leave empty; an
 * ideal hash leaves about 1024/e = 377. */
static void numbers_in_a_row_spread_over_a_table(void **state)
{
    (void)state;
    static const uint64_t strides[] = {1, 2, 8, 4096, UINT64_C(1) << 32, UINT64_C(1) << 48};
    for (size_t s = 0; s < sizeof strides / sizeof strides[0]; s++) {
        bool used[1024] = {false};
        int empty = 1024;
        for (uint64_t i = 0; i < 1024; i++) {
            size_t cell = (size_t)hash_u64(i * strides[s]) & 1023;
            empty -= !used[cell];
            used[cell] = true;
        }
        assert_true(empty < 520);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_values_are_the_same_everywhere),
        cmocka_unit_test(order_length_and_every_bit_matter),
        cmocka_unit_test(numbers_in_a_row_spread_over_a_table),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
