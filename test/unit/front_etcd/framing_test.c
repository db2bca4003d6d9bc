/* gRPC's framing, percent-encoding and timeouts. */
#include "front/etcd/framing.h"
#include "front_etcd/support_replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LIMIT 1000

static struct buffer stream_of(const char *const *messages, size_t count)
{
    struct buffer stream;
    buffer_init(&stream, fake_mem(), SIZE_MAX / 2);
    for (size_t i = 0; i < count; i++) {
        framing_head_store(buffer_extend(&stream, FRAMING_HEAD_SIZE),
                           (uint32_t)strlen(messages[i]));
        buffer_append(&stream, bytes_text(messages[i]));
    }
    return stream;
}

/* Feeds one piece; checks the messages against what is expected from `next` on. */
static size_t feed(struct framing *framing, struct bytes piece, const char *const *messages,
                   size_t next)
{
    struct bytes message;
    while (framing_next(framing, &piece, &message) == FRAMING_MESSAGE) {
        assert_int_equal(message.size, strlen(messages[next]));
        if (message.size > 0)
            assert_memory_equal(message.data, messages[next], message.size);
        next++;
    }
    assert_int_equal(piece.size, 0);
    return next;
}

static void messages_survive_being_cut_at_any_two_places(void **state)
{
    (void)state;
    static const char *const messages[] = {"hello", "", "a", "something longer", ""};
    struct buffer stream = stream_of(messages, 5);
    for (size_t a = 0; a <= stream.size; a++) {
        for (size_t b = a; b <= stream.size; b++) {
            struct framing framing;
            framing_init(&framing, fake_mem(), LIMIT);
            size_t next = feed(&framing, bytes_of(stream.data, a), messages, 0);
            next = feed(&framing, bytes_of(stream.data + a, b - a), messages, next);
            next = feed(&framing, bytes_of(stream.data + b, stream.size - b), messages, next);
            assert_int_equal(next, 5);
            assert_false(framing_partial(&framing));
            framing_release(&framing);
        }
    }
    buffer_release(&stream);
    assert_int_equal(fake_mem()->used, 0);
}

static void a_whole_message_is_not_copied(void **state)
{
    (void)state;
    static const char *const messages[] = {"where it lies"};
    struct buffer stream = stream_of(messages, 1);
    struct framing framing;
    framing_init(&framing, fake_mem(), LIMIT);
    struct bytes input = buffer_bytes(&stream);
    struct bytes message;
    assert_int_equal(framing_next(&framing, &input, &message), FRAMING_MESSAGE);
    assert_ptr_equal(message.data, stream.data + FRAMING_HEAD_SIZE);
    framing_release(&framing);
    buffer_release(&stream);
}

static void a_length_alone_takes_no_memory(void **state)
{
    (void)state;
    static const uint8_t head[] = {0, 0, 0, 0x03, 0xe8, 'x'};
    struct framing framing;
    framing_init(&framing, fake_mem(), LIMIT);
    struct bytes input = bytes_of(head, sizeof head);
    struct bytes message;
    assert_int_equal(framing_next(&framing, &input, &message), FRAMING_MORE);
    assert_true(framing_partial(&framing));
    assert_true(framing.message.capacity < LIMIT);
    framing_release(&framing);
}

static void a_message_above_the_limit_is_refused_by_its_head(void **state)
{
    (void)state;
    static const uint8_t head[] = {0, 0, 0, 0x03, 0xe9};
    struct framing framing;
    framing_init(&framing, fake_mem(), LIMIT);
    struct bytes input = bytes_of(head, sizeof head);
    struct bytes message;
    assert_int_equal(framing_next(&framing, &input, &message), FRAMING_TOO_LARGE);
    assert_int_equal(framing.size, 1001);
    framing_release(&framing);
}

static void a_compressed_message_is_noticed(void **state)
{
    (void)state;
    static const uint8_t head[] = {1, 0, 0, 0, 1, 'x'};
    struct framing framing;
    framing_init(&framing, fake_mem(), LIMIT);
    struct bytes input = bytes_of(head, sizeof head);
    struct bytes message;
    assert_int_equal(framing_next(&framing, &input, &message), FRAMING_COMPRESSED);
    framing_release(&framing);
}

static void texts_are_percent_encoded(void **state)
{
    (void)state;
    char room[64];
    size_t size = percent_encode("a b%c\n\xc3\xa9~", room, sizeof room);
    assert_int_equal(size, strlen("a b%25c%0A%C3%A9~"));
    assert_memory_equal(room, "a b%25c%0A%C3%A9~", size);
    assert_int_equal(percent_encode("ab%", room, 4), 2); /* no half an escape */
    assert_int_equal(percent_encode("", room, 0), 0);
}

static void timeouts_are_read_as_grpc_writes_them(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t ns;
    } good[] = {{"1n", 1},
                {"2u", 2000},
                {"3m", 3000000},
                {"4S", 4000000000},
                {"1M", 60000000000},
                {"1H", 3600000000000},
                {"99999999n", 99999999},
                {"00000005S", 5000000000}};
    static const char *const bad[] = {"",     "5",          "S",   "5s", "-1S",
                                      "1.5S", "123456789S", "5SS", " 5S"};
    uint64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(grpc_timeout_parse(bytes_text(good[i].text), &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(grpc_timeout_parse(bytes_text(bad[i]), &ns));
    assert_true(grpc_timeout_parse(bytes_text("99999999H"), &ns));
    assert_int_equal(ns, UINT64_MAX); /* longer than anybody can wait */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_being_cut_at_any_two_places),
        cmocka_unit_test(a_whole_message_is_not_copied),
        cmocka_unit_test(a_length_alone_takes_no_memory),
        cmocka_unit_test(a_message_above_the_limit_is_refused_by_its_head),
        cmocka_unit_test(a_compressed_message_is_noticed),
        cmocka_unit_test(texts_are_percent_encoded),
        cmocka_unit_test(timeouts_are_read_as_grpc_writes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
