/* Messages between members survive the round trip, and nothing else is taken for one. */
#include "wire/message.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static struct message sample(enum message_kind kind)
{
    struct message m = {.kind = kind, .disk = UINT64_C(0xfedcba9876543210)};
    switch (kind) {
    case MESSAGE_ENGINE:
        m.inner = bytes_text("the engine's own head");
        break;
    case MESSAGE_FORWARD:
        break;
    case MESSAGE_LOG:
        m.inner = bytes_text("the head of its record");
        /* fall through */
    case MESSAGE_FETCH:
        m.id = 7;
        m.slot = UINT64_MAX;
        break;
    case MESSAGE_LOG_END:
        m.id = 7;
        m.slot = 19;
        m.more = true;
        break;
    case MESSAGE_NOTHING:
        m.id = 1;
        break;
    case MESSAGE_SNAPSHOT:
        m.id = 2;
        m.slot = 3;
        m.size = 1u << 30;
        break;
    case MESSAGE_SNAPSHOT_READ:
    case MESSAGE_SNAPSHOT_CHUNK:
        m.id = 2;
        m.slot = 3;
        m.offset = 99;
        break;
    case MESSAGE_LEASE_ASK:
        m.id = 11;
        m.lease = -5;
        m.renew = true;
        break;
    case MESSAGE_LEASE_TELL:
        m.id = 11;
        m.lease = 5;
        m.found = true;
        m.ttl = -1;
        m.ttl_granted = 60;
        break;
    }
    return m;
}

static struct bytes encode(const struct message *m, uint8_t raw[MESSAGE_HEAD_MAX])
{
    struct writer w = writer_of(raw, MESSAGE_HEAD_MAX);
    message_encode(&w, m);
    assert_false(w.failed);
    return writer_bytes(&w);
}

static void every_kind_survives_the_round_trip(void **state)
{
    (void)state;
    for (int kind = MESSAGE_ENGINE; kind <= MESSAGE_LEASE_TELL; kind++) {
        uint8_t raw[MESSAGE_HEAD_MAX];
        struct message sent = sample((enum message_kind)kind);
        struct message got;
        assert_int_equal(message_decode(encode(&sent, raw), &got), STATUS_OK);
        assert_int_equal(got.kind, kind);
        assert_true(got.id == sent.id && got.slot == sent.slot && got.offset == sent.offset);
        assert_true(got.size == sent.size && got.disk == sent.disk && got.more == sent.more);
        assert_true(got.renew == sent.renew && got.found == sent.found && got.lease == sent.lease);
        assert_true(got.ttl == sent.ttl && got.ttl_granted == sent.ttl_granted);
        assert_true(bytes_equal(got.inner, sent.inner));
    }
}

static void every_truncation_and_extension_is_refused(void **state)
{
    (void)state;
    for (int kind = MESSAGE_FORWARD; kind <= MESSAGE_LEASE_TELL; kind++) {
        uint8_t raw[MESSAGE_HEAD_MAX + 1];
        struct message sent = sample((enum message_kind)kind);
        struct message got;
        struct bytes whole = encode(&sent, raw);
        size_t fixed = whole.size - sent.inner.size; /* what is inner has no size of its own */
        for (size_t size = 0; size < fixed; size++)
            assert_int_not_equal(message_decode(bytes_of(raw, size), &got), STATUS_OK);
        raw[whole.size] = 0;
        if (sent.inner.size > 0)
            continue;
        assert_int_equal(message_decode(bytes_of(raw, whole.size + 1), &got), STATUS_INVALID);
    }
}

static void unknown_kinds_and_flags_are_refused(void **state)
{
    (void)state;
    struct message got;
    uint8_t unknown[] = {0, MESSAGE_LEASE_TELL + 1, 255};
    for (size_t i = 0; i < sizeof unknown; i++)
        assert_int_equal(message_decode(bytes_of(&unknown[i], 1), &got), STATUS_UNSUPPORTED);
    uint8_t raw[MESSAGE_HEAD_MAX];
    struct message sent = sample(MESSAGE_LOG_END);
    struct bytes whole = encode(&sent, raw);
    raw[whole.size - 1] = 2;
    assert_int_equal(message_decode(whole, &got), STATUS_INVALID);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_survives_the_round_trip),
        cmocka_unit_test(every_truncation_and_extension_is_refused),
        cmocka_unit_test(unknown_kinds_and_flags_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
