/* Spans, cursors and fixed fields. */
#include "base/bytes.h"
#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void spans_compare_as_unsigned_bytes_with_the_prefix_first(void **state)
{
    (void)state;
    assert_int_equal(bytes_compare(BYTES_EMPTY, BYTES_EMPTY), 0);
    assert_true(bytes_compare(BYTES_EMPTY, bytes_text("a")) < 0);
    assert_true(bytes_compare(bytes_text("ab"), bytes_text("a")) > 0);
    assert_true(bytes_compare(bytes_text("\xff"), bytes_text("a")) > 0);
    assert_true(bytes_compare(bytes_text("abc"), bytes_text("abd")) < 0);
    assert_true(bytes_equal(bytes_text("abc"), bytes_of("abc", 3)));
    assert_false(bytes_equal(bytes_text("abc"), bytes_text("ab")));
    assert_true(bytes_equal(BYTES_EMPTY, bytes_of("x", 0)));
}

static void fields_are_little_endian(void **state)
{
    (void)state;
    uint8_t raw[15];
    struct writer w = writer_of(raw, sizeof raw);
    write_u8(&w, 0x01);
    write_u16(&w, 0x0302);
    write_u32(&w, 0x07060504);
    write_u64(&w, 0x0f0e0d0c0b0a0908);
    assert_false(w.failed);
    assert_int_equal(writer_size(&w), 15);
    for (uint8_t i = 0; i < 15; i++)
        assert_int_equal(raw[i], i + 1);
    struct reader r = reader_of(writer_bytes(&w));
    assert_int_equal(read_u8(&r), 0x01);
    assert_int_equal(read_u16(&r), 0x0302);
    assert_int_equal(read_u32(&r), 0x07060504);
    assert_true(read_u64(&r) == 0x0f0e0d0c0b0a0908);
    assert_true(reader_done(&r));
    store_u64(raw, 0x1122334455667788);
    assert_true(load_u64(raw) == 0x1122334455667788);
    assert_int_equal(load_u32(raw), 0x55667788);
    store_u32(raw, 0xdeadbeef);
    assert_int_equal(load_u32(raw), 0xdeadbeef);
}

static void a_failed_read_yields_zeros_and_latches(void **state)
{
    (void)state;
    static const uint8_t raw[3] = {0xff, 0xff, 0xff};
    struct reader r = reader_of(bytes_of(raw, 3));
    assert_int_equal(read_u32(&r), 0);
    assert_true(r.failed);
    assert_int_equal(read_u8(&r), 0); /* though a byte is there */
    assert_int_equal(read_bytes(&r, 1).size, 0);
    assert_int_equal(read_sized(&r).size, 0);
    assert_false(reader_done(&r));
}

static void what_is_left_over_is_not_done(void **state)
{
    (void)state;
    struct reader r = reader_of(bytes_text("ab"));
    assert_int_equal(read_u8(&r), 'a');
    assert_int_equal(reader_left(&r), 1);
    assert_false(reader_done(&r));
    assert_true(bytes_equal(read_bytes(&r, 1), bytes_text("b")));
    assert_true(reader_done(&r));
    assert_int_equal(read_bytes(&r, 0).size, 0);
    assert_true(reader_done(&r));
}

static void a_cursor_over_nothing_is_done_at_once(void **state)
{
    (void)state;
    struct reader r = reader_of(BYTES_EMPTY);
    assert_true(reader_done(&r));
    assert_int_equal(read_bytes(&r, 0).size, 0);
    assert_true(reader_done(&r));
    read_u8(&r);
    assert_true(r.failed);
    struct writer w = writer_of(NULL, 0);
    write_bytes(&w, BYTES_EMPTY);
    assert_false(w.failed);
    write_u8(&w, 1);
    assert_true(w.failed);
    assert_int_equal(writer_size(&w), 0);
}

static void a_writer_that_is_full_latches_and_keeps_a_prefix(void **state)
{
    (void)state;
    uint8_t raw[5] = {0};
    struct writer w = writer_of(raw, 4);
    write_u16(&w, 0x1111);
    write_u32(&w, 0x22222222);
    write_u8(&w, 0x33);
    assert_true(w.failed);
    assert_int_equal(writer_size(&w), 2);
    assert_int_equal(raw[4], 0);
}

static void a_varint_comes_back_and_has_the_told_size(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    for (int i = 0; i < 100000; i++) {
        uint64_t value = prng_next(&prng) >> prng_below(&prng, 64);
        uint8_t raw[VARINT_SIZE_MAX];
        struct writer w = writer_of(raw, sizeof raw);
        write_varint(&w, value);
        assert_false(w.failed);
        assert_int_equal(writer_size(&w), varint_size(value));
        struct reader r = reader_of(writer_bytes(&w));
        assert_true(read_varint(&r) == value);
        assert_true(reader_done(&r));
        for (size_t cut = 0; cut < writer_size(&w); cut++) {
            r = reader_of(bytes_of(raw, cut));
            assert_int_equal(read_varint(&r), 0);
            assert_true(r.failed);
        }
    }
}

static void varint_sizes_change_at_the_powers(void **state)
{
    (void)state;
    assert_int_equal(varint_size(0), 1);
    assert_int_equal(varint_size(127), 1);
    assert_int_equal(varint_size(128), 2);
    assert_int_equal(varint_size(16383), 2);
    assert_int_equal(varint_size(16384), 3);
    assert_int_equal(varint_size(UINT64_MAX), 10);
}

static void a_varint_that_is_too_long_or_overflows_fails(void **state)
{
    (void)state;
    static const uint8_t overflow[10] = {0xff, 0xff, 0xff, 0xff, 0xff,
                                         0xff, 0xff, 0xff, 0xff, 0x02};
    static const uint8_t endless[11] = {0x80, 0x80, 0x80, 0x80, 0x80, 0x80,
                                        0x80, 0x80, 0x80, 0x80, 0x00};
    struct reader r = reader_of(bytes_of(overflow, sizeof overflow));
    assert_int_equal(read_varint(&r), 0);
    assert_true(r.failed);
    r = reader_of(bytes_of(endless, sizeof endless));
    assert_int_equal(read_varint(&r), 0);
    assert_true(r.failed);
}

static void a_size_past_the_end_fails(void **state)
{
    (void)state;
    uint8_t raw[64];
    struct writer w = writer_of(raw, sizeof raw);
    write_sized(&w, bytes_text("hello"));
    write_varint(&w, UINT64_MAX);
    struct reader r = reader_of(writer_bytes(&w));
    assert_true(bytes_equal(read_sized(&r), bytes_text("hello")));
    assert_int_equal(read_sized(&r).size, 0);
    assert_true(r.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(spans_compare_as_unsigned_bytes_with_the_prefix_first),
        cmocka_unit_test(fields_are_little_endian),
        cmocka_unit_test(a_failed_read_yields_zeros_and_latches),
        cmocka_unit_test(what_is_left_over_is_not_done),
        cmocka_unit_test(a_cursor_over_nothing_is_done_at_once),
        cmocka_unit_test(a_writer_that_is_full_latches_and_keeps_a_prefix),
        cmocka_unit_test(a_varint_comes_back_and_has_the_told_size),
        cmocka_unit_test(varint_sizes_change_at_the_powers),
        cmocka_unit_test(a_varint_that_is_too_long_or_overflows_fails),
        cmocka_unit_test(a_size_past_the_end_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
