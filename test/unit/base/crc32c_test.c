/* CRC-32C: published vectors, and two implementations that agree. The source is included so that
 * both are in reach, whichever this processor would choose. */
#include "base/crc32c.c"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void the_published_vectors_hold(void **state)
{
    (void)state;
    uint8_t raw[32];
    assert_int_equal(crc32c(0, bytes_text("123456789")), 0xe3069283u);
    assert_int_equal(crc32c(0, BYTES_EMPTY), 0);
    /* RFC 3720, B.4 */
    memset(raw, 0, sizeof raw);
    assert_int_equal(crc32c(0, bytes_of(raw, 32)), 0x8a9136aau);
    memset(raw, 0xff, sizeof raw);
    assert_int_equal(crc32c(0, bytes_of(raw, 32)), 0x62a8ab43u);
    for (uint8_t i = 0; i < 32; i++)
        raw[i] = i;
    assert_int_equal(crc32c(0, bytes_of(raw, 32)), 0x46dd794eu);
    for (uint8_t i = 0; i < 32; i++)
        raw[i] = (uint8_t)(31 - i);
    assert_int_equal(crc32c(0, bytes_of(raw, 32)), 0x113fdb5cu);
}

static void a_crc_continues_over_any_cut(void **state)
{
    (void)state;
    struct prng prng = prng_seed(3);
    uint8_t raw[200];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)prng_next(&prng);
    uint32_t whole = crc32c(0, bytes_of(raw, sizeof raw));
    for (size_t cut = 0; cut <= sizeof raw; cut++) {
        uint32_t first = crc32c(0, bytes_of(raw, cut));
        assert_int_equal(crc32c(first, bytes_of(raw + cut, sizeof raw - cut)), whole);
    }
}

static void the_instruction_and_the_table_agree(void **state)
{
    (void)state;
#if defined(__x86_64__)
    if (!__builtin_cpu_supports("sse4.2"))
        skip();
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    static uint8_t raw[4096];
    for (size_t i = 0; i < sizeof raw; i++)
        raw[i] = (uint8_t)prng_next(&prng);
    for (int i = 0; i < 20000; i++) {
        size_t begin = (size_t)prng_below(&prng, 64); /* any alignment */
        size_t size = (size_t)prng_below(&prng, prng_below(&prng, 10) == 0 ? 4000 : 40);
        uint32_t crc = (uint32_t)prng_next(&prng);
        struct bytes bytes = bytes_of(raw + begin, size);
        assert_int_equal(crc_portable(crc, bytes), crc_instruction(crc, bytes));
    }
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_published_vectors_hold),
        cmocka_unit_test(a_crc_continues_over_any_cut),
        cmocka_unit_test(the_instruction_and_the_table_agree),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
