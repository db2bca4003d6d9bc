/* Greetings and frames as bytes: what is written is read, however the stream is cut, and what is
 * damaged is noticed. */
#include "base/crc32c.h"
#include "world/frame.h"
#include "world/outbox.h"

#include "base/prng.h"
#include "world/mem_system.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define LIMIT ((size_t)1024 * 1024)

static int leak_check(void **state)
{
    (void)state;
    return mem_system()->used == 0 ? 0 : -1;
}

static void a_greeting_is_read_as_it_was_written(void **state)
{
    (void)state;
    const struct greeting sent = {.version = 7,
                                  .kind = GREETING_WRONG_CLUSTER,
                                  .from = 300,
                                  .to = 2,
                                  .cluster = 0xfedcba9876543210u,
                                  .message_max = 0x12345678};
    uint8_t raw[GREETING_SIZE];
    greeting_encode(&sent, raw);
    struct greeting got;
    assert_int_equal(greeting_decode(raw, &got), STATUS_OK);
    assert_int_equal(got.version, sent.version);
    assert_int_equal(got.kind, sent.kind);
    assert_int_equal(got.from, sent.from);
    assert_int_equal(got.to, sent.to);
    assert_true(got.cluster == sent.cluster);
    assert_int_equal(got.message_max, sent.message_max);
}

static void every_damaged_bit_of_a_greeting_is_noticed(void **state)
{
    (void)state;
    const struct greeting sent = {.version = LINK_VERSION, .from = 1, .to = 2, .cluster = 3};
    uint8_t raw[GREETING_SIZE];
    greeting_encode(&sent, raw);
    for (size_t bit = 0; bit < GREETING_SIZE * 8; bit++) {
        struct greeting got;
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
        enum status status = greeting_decode(raw, &got);
        assert_int_equal(status, bit < 64 ? STATUS_INVALID : STATUS_CORRUPT);
        raw[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

/* A stream of frames as an outbox would write it. */
static struct buffer stream_of(struct outbox *outbox, size_t skipped)
{
    struct buffer stream;
    unsigned count;
    buffer_init(&stream, mem_system(), SIZE_MAX / 2);
    uv_buf_t *vectors = outbox_vectors(outbox, skipped, &count);
    for (unsigned i = 0; i < count; i++)
        buffer_append(&stream, bytes_of(vectors[i].base, vectors[i].len));
    return stream;
}

static void fill(uint8_t *data, size_t size, uint64_t seed)
{
    struct prng prng = prng_seed(seed);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)prng_next(&prng);
}

struct expected {
    size_t head_size;
    size_t entry_size;
};

static uint8_t scratch[512 * 1024];

static void assert_frame(const struct frame *frame, const struct expected *expected, uint64_t seed)
{
    struct bytes entry = blob_bytes(frame->entry);
    assert_int_equal(frame->head.size, expected->head_size);
    assert_int_equal(entry.size, expected->entry_size);
    fill(scratch, expected->head_size, seed * 2);
    assert_true(bytes_equal(frame->head, bytes_of(scratch, expected->head_size)));
    fill(scratch, expected->entry_size, seed * 2 + 1);
    assert_true(bytes_equal(entry, bytes_of(scratch, expected->entry_size)));
}

static void add_frame(struct outbox *outbox, const struct expected *frame, uint64_t seed)
{
    struct blob *entry = NULL;
    if (frame->entry_size > 0) {
        entry = blob_new(mem_system(), frame->entry_size);
        fill(entry->data, frame->entry_size, seed * 2 + 1);
    }
    fill(scratch, frame->head_size, seed * 2);
    outbox_add(outbox, bytes_of(scratch, frame->head_size), entry);
    blob_drop(entry);
}

/* Feeds the stream in pieces that come from a heap block of their own size, so that a sanitizer
 * sees a read past them; or straight into the entry, as the sockets do. */
static uint32_t decode_in_pieces(struct bytes stream, struct prng *prng, size_t piece_max,
                                 const struct expected *expected)
{
    struct frame_decoder decoder;
    frame_decoder_init(&decoder, mem_system(), LIMIT);
    uint32_t count = 0;
    while (stream.size > 0) {
        size_t piece = 1 + (size_t)prng_below(prng, piece_max);
        size_t space_size = 0;
        uint8_t *space = frame_decoder_space(&decoder, &space_size);
        piece = piece < stream.size ? piece : stream.size;
        struct bytes input = BYTES_EMPTY;
        uint8_t *copy = NULL;
        if (space != NULL && prng_below(prng, 2) == 0) {
            piece = piece < space_size ? piece : space_size;
            memcpy(space, stream.data, piece);
            frame_decoder_filled(&decoder, piece);
        } else {
            copy = malloc(piece);
            memcpy(copy, stream.data, piece);
            input = bytes_of(copy, piece);
        }
        stream = bytes_of(stream.data + piece, stream.size - piece);
        for (;;) {
            struct frame frame;
            bool complete;
            assert_int_equal(frame_decode(&decoder, &input, &frame, &complete), STATUS_OK);
            if (!complete)
                break;
            assert_frame(&frame, &expected[count], count);
            count++;
        }
        assert_int_equal(input.size, 0);
        free(copy);
    }
    frame_decoder_release(&decoder);
    return count;
}

static void frames_come_out_as_they_went_in_however_the_stream_is_cut(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    enum {
        COUNT = 60
    };
    for (int round = 0; round < 40; round++) {
        struct expected expected[COUNT];
        struct outbox outbox;
        outbox_init(&outbox, mem_system());
        for (uint64_t i = 0; i < COUNT; i++) {
            size_t bound = prng_below(&prng, 8) == 0 ? 70000 : 1200;
            expected[i].head_size = (size_t)prng_below(&prng, 300);
            expected[i].entry_size =
                prng_below(&prng, 3) == 0 ? 0 : (size_t)prng_below(&prng, bound);
            add_frame(&outbox, &expected[i], i);
        }
        struct buffer stream = stream_of(&outbox, 0);
        assert_int_equal(stream.size, outbox.size);
        static const size_t pieces[] = {1, 20, 1000, 5000, 1 << 20};
        size_t piece = pieces[round % 5];
        struct bytes bytes = buffer_bytes(&stream);
        assert_int_equal(decode_in_pieces(bytes, &prng, piece, expected), COUNT);
        buffer_release(&stream);
        outbox_release(&outbox);
    }
}

static void an_outbox_continues_after_any_part_was_written(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, mem_system());
    static const struct expected frames[] = {{5, 0}, {0, 600}, {20, 100}, {7, 2000}, {1, 700}};
    for (uint64_t i = 0; i < 5; i++)
        add_frame(&outbox, &frames[i], i);
    struct buffer whole = stream_of(&outbox, 0);
    for (size_t skipped = 0; skipped <= outbox.size; skipped++) {
        struct buffer rest = stream_of(&outbox, skipped);
        assert_int_equal(rest.size, whole.size - skipped);
        if (rest.size > 0)
            assert_memory_equal(rest.data, whole.data + skipped, rest.size);
        buffer_release(&rest);
    }
    buffer_release(&whole);
    outbox_release(&outbox);
}

/* The status of the first frame of a stream. */
static enum status decode_once(struct bytes input, size_t limit, bool *ret_complete)
{
    struct frame_decoder decoder;
    struct frame frame;
    frame_decoder_init(&decoder, mem_system(), limit);
    enum status status = frame_decode(&decoder, &input, &frame, ret_complete);
    frame_decoder_release(&decoder);
    return status;
}

static void every_damaged_bit_of_a_frame_is_noticed(void **state)
{
    (void)state;
    struct outbox outbox;
    outbox_init(&outbox, mem_system());
    add_frame(&outbox, &(struct expected){13, 37}, 1);
    struct buffer stream = stream_of(&outbox, 0);
    bool complete;
    assert_int_equal(decode_once(buffer_bytes(&stream), LIMIT, &complete), STATUS_OK);
    assert_true(complete);
    for (size_t bit = 0; bit < stream.size * 8; bit++) {
        stream.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
        decode_once(buffer_bytes(&stream), LIMIT, &complete) == STATUS_OK
            ? assert_true(bit < 32 && !complete) /* a longer head: the end is still to come */
            : assert_false(complete);
        stream.data[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    buffer_release(&stream);
    outbox_release(&outbox);
}

static void sizes_past_the_limit_are_refused_before_anything_is_allocated(void **state)
{
    (void)state;
    static const struct {
        uint32_t head;
        uint32_t entry;
        enum status status;
    } cases[] = {
        {FRAME_HEAD_MAX + 1, 0, STATUS_TOO_LARGE},  {UINT32_MAX, UINT32_MAX, STATUS_TOO_LARGE},
        {0, (uint32_t)LIMIT + 1, STATUS_TOO_LARGE}, {1, (uint32_t)LIMIT, STATUS_TOO_LARGE},
        {UINT32_MAX, 1, STATUS_TOO_LARGE},          {1, UINT32_MAX, STATUS_TOO_LARGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        uint8_t raw[FRAME_HEADER_SIZE] = {0};
        store_u32(raw, cases[i].head);
        store_u32(raw + 4, cases[i].entry);
        store_u32(raw + 8, crc32c(0, bytes_of(raw, 8)));
        bool complete;
        assert_int_equal(mem_system()->used, 0);
        struct frame_decoder decoder;
        struct frame frame;
        struct bytes input = bytes_of(raw, sizeof raw);
        frame_decoder_init(&decoder, mem_system(), LIMIT);
        assert_int_equal(frame_decode(&decoder, &input, &frame, &complete), cases[i].status);
        assert_int_equal(mem_system()->used, 0);
        frame_decoder_release(&decoder);
    }
}

/* Nobody may wait for bytes that a damaged size promises: the header alone must give it away. */
static void a_damaged_size_is_noticed_before_anything_follows(void **state)
{
    (void)state;
    for (uint32_t bit = 0; bit < 96; bit++) {
        uint8_t raw[FRAME_HEADER_SIZE];
        bool complete;
        struct frame_decoder decoder;
        struct frame frame;
        frame_encode_header(bytes_text("head"), bytes_text("entry"), raw);
        raw[bit / 8] ^= (uint8_t)(1u << bit % 8);
        struct bytes input = bytes_of(raw, sizeof raw);
        frame_decoder_init(&decoder, mem_system(), LIMIT);
        assert_int_equal(frame_decode(&decoder, &input, &frame, &complete), STATUS_CORRUPT);
        assert_int_equal(mem_system()->used, 0);
        frame_decoder_release(&decoder);
    }
}

static void a_frame_has_the_documented_bytes(void **state)
{
    (void)state;
    uint8_t raw[FRAME_HEADER_SIZE];
    frame_encode_header(bytes_text("ab"), bytes_text("123456789"), raw);
    static const uint8_t sizes[8] = {2, 0, 0, 0, 9, 0, 0, 0};
    assert_memory_equal(raw, sizes, 8);
    assert_int_equal(load_u32(raw + 16), 0xe3069283u); /* the check value of CRC-32C */
}

#define FRAME_TEST(name) cmocka_unit_test_setup_teardown(name, NULL, leak_check)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FRAME_TEST(a_greeting_is_read_as_it_was_written),
        FRAME_TEST(every_damaged_bit_of_a_greeting_is_noticed),
        FRAME_TEST(frames_come_out_as_they_went_in_however_the_stream_is_cut),
        FRAME_TEST(an_outbox_continues_after_any_part_was_written),
        FRAME_TEST(every_damaged_bit_of_a_frame_is_noticed),
        FRAME_TEST(sizes_past_the_limit_are_refused_before_anything_is_allocated),
        FRAME_TEST(a_damaged_size_is_noticed_before_anything_follows),
        FRAME_TEST(a_frame_has_the_documented_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
