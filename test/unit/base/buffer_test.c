/* The growable buffer against a plain array, and its limit. */
#include "base/buffer.h"
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

static void appending_and_consuming_agree_with_an_array(void **state)
{
    (void)state;
    struct test_mem mem;
    struct buffer buffer;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    enum {
        LIMIT = 5000
    };
    static uint8_t model[LIMIT];
    size_t model_size = 0;
    test_mem_init(&mem);
    buffer_init(&buffer, &mem.mem, LIMIT);
    for (int step = 0; step < 20000; step++) {
        uint8_t piece[700];
        size_t size = (size_t)prng_below(&prng, sizeof piece);
        for (size_t i = 0; i < size; i++)
            piece[i] = (uint8_t)prng_next(&prng);
        if (prng_below(&prng, 2) == 0) {
            size = size < model_size ? size : model_size;
            buffer_consume(&buffer, size);
            memmove(model, model + size, model_size - size);
            model_size -= size;
        } else {
            buffer_append(&buffer, bytes_of(piece, size));
            assert_int_equal(buffer.failed, model_size + size > LIMIT);
            if (buffer.failed) {
                buffer_clear(&buffer);
                model_size = 0;
            } else {
                memcpy(model + model_size, piece, size);
                model_size += size;
            }
        }
        assert_true(bytes_equal(buffer_bytes(&buffer), bytes_of(model, model_size)));
        assert_true(buffer.capacity <= LIMIT * 2);
    }
    buffer_release(&buffer);
    test_mem_check(&mem);
}

static void a_write_past_the_limit_latches_and_changes_nothing(void **state)
{
    (void)state;
    struct test_mem mem;
    struct buffer buffer;
    test_mem_init(&mem);
    buffer_init(&buffer, &mem.mem, 4);
    buffer_u16(&buffer, 0x0201);
    buffer_u32(&buffer, 7);
    assert_true(buffer.failed);
    assert_int_equal(buffer.size, 2);
    buffer_u8(&buffer, 3); /* would fit, but the failure stays */
    assert_int_equal(buffer.size, 2);
    assert_null(buffer_extend(&buffer, 0));
    buffer_clear(&buffer);
    assert_non_null(buffer_extend(&buffer, 4));
    assert_null(buffer_extend(&buffer, SIZE_MAX));
    buffer_release(&buffer);
    test_mem_check(&mem);
}

static void appending_nothing_is_no_failure(void **state)
{
    (void)state;
    struct test_mem mem;
    struct buffer buffer;
    test_mem_init(&mem);
    buffer_init(&buffer, &mem.mem, 4);
    buffer_append(&buffer, BYTES_EMPTY);
    assert_int_equal(mem.calls, 0);
    assert_non_null(buffer_extend(&buffer, 0));
    assert_false(buffer.failed);
    assert_int_equal(buffer.size, 0);
    buffer_release(&buffer);
    test_mem_check(&mem);
}

static void fields_are_written_as_a_writer_writes_them(void **state)
{
    (void)state;
    struct test_mem mem;
    struct buffer buffer;
    uint8_t raw[100];
    struct writer w = writer_of(raw, sizeof raw);
    test_mem_init(&mem);
    buffer_init(&buffer, &mem.mem, SIZE_MAX);
    buffer_u8(&buffer, 1);
    buffer_u16(&buffer, 0x203);
    buffer_u32(&buffer, 0x4050607);
    buffer_u64(&buffer, 0x8090a0b0c0d0e0f);
    buffer_varint(&buffer, 300);
    buffer_sized(&buffer, bytes_text("hello"));
    write_u8(&w, 1);
    write_u16(&w, 0x203);
    write_u32(&w, 0x4050607);
    write_u64(&w, 0x8090a0b0c0d0e0f);
    write_varint(&w, 300);
    write_sized(&w, bytes_text("hello"));
    assert_true(bytes_equal(buffer_bytes(&buffer), writer_bytes(&w)));
    buffer_release(&buffer);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(appending_and_consuming_agree_with_an_array),
        cmocka_unit_test(a_write_past_the_limit_latches_and_changes_nothing),
        cmocka_unit_test(appending_nothing_is_no_failure),
        cmocka_unit_test(fields_are_written_as_a_writer_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
