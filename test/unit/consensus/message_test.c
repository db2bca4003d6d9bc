/* Heads of messages and records, ballots, effects, the list of engines: what goes in comes out, and
 * what is not exactly right does not come in. */
#include "consensus/multipaxos.h"
#include "consensus/raft.h"
#include "consensus/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct multipaxos_message random_message(struct prng *prng, uint8_t kind)
{
    struct multipaxos_message message = {.kind = kind};
    message.flags = (uint8_t)prng_next(prng);
    message.ballot = (struct ballot){prng_next(prng) >> 2, (uint16_t)prng_next(prng), 1};
    message.chosen_upto = prng_next(prng) >> (2 + prng_below(prng, 60));
    message.from = prng_next(prng) >> (2 + prng_below(prng, 60));
    message.slot = prng_next(prng) >> (2 + prng_below(prng, 60));
    message.id = prng_next(prng);
    message.stamp = prng_next(prng);
    message.echo = prng_next(prng);
    message.vbal = (struct ballot){prng_next(prng) >> 2, (uint16_t)prng_next(prng), 1};
    return message;
}

static void messages_survive_the_round_trip(void **state)
{
    (void)state;
    struct prng prng = prng_seed(1);
    for (uint32_t round = 0; round < 5000; round++) {
        uint8_t kind = (uint8_t)(1 + prng_below(&prng, MESSAGE_KINDS - 1));
        struct multipaxos_message message = random_message(&prng, kind);
        uint8_t first[MULTIPAXOS_HEAD_MAX];
        uint8_t second[MULTIPAXOS_HEAD_MAX];
        struct bytes head = multipaxos_message_encode(&message, 7, first);
        struct multipaxos_message back;
        assert_true(multipaxos_message_decode(head, 7, &back));
        assert_int_equal(back.kind, kind);
        assert_int_equal(back.flags, message.flags);
        assert_int_equal(ballot_compare(back.ballot, message.ballot), 0);
        assert_int_equal(back.chosen_upto, message.chosen_upto);
        struct bytes again = multipaxos_message_encode(&back, 7, second);
        assert_true(bytes_equal(head, again));
        assert_false(multipaxos_message_decode(head, 8, &back)); /* another era */
        for (size_t size = 0; size < head.size; size++)
            assert_false(multipaxos_message_decode(bytes_of(first, size), 7, &back));
    }
}

static void damaged_heads_never_do_more_than_fail(void **state)
{
    (void)state;
    struct prng prng = prng_seed(2);
    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t bytes[MULTIPAXOS_HEAD_MAX];
        size_t size = prng_below(&prng, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)prng_next(&prng);
        if (size >= 5) {
            bytes[0] = (uint8_t)prng_below(&prng, MESSAGE_KINDS + 1);
            store_u32(bytes + 1, 7);
        }
        struct multipaxos_message message;
        struct multipaxos_record record;
        if (multipaxos_message_decode(bytes_of(bytes, size), 7, &message)) {
            assert_true(message.slot <= MULTIPAXOS_SLOT_MAX);
            assert_true(message.ballot.round <= MULTIPAXOS_ROUND_MAX);
        }
        if (multipaxos_record_decode(bytes_of(bytes, size), &record))
            assert_true(record.chosen_upto <= MULTIPAXOS_SLOT_MAX);
    }
}

static struct raft_message random_raft_message(struct prng *prng, uint8_t kind)
{
    struct raft_message message = {.kind = kind, .flags = (uint8_t)prng_next(prng)};
    message.term = 2 + (prng_next(prng) >> (3 + prng_below(prng, 58)));
    message.chosen_upto = prng_next(prng) >> (2 + prng_below(prng, 60));
    message.slot = 2 + (prng_next(prng) >> (3 + prng_below(prng, 58)));
    message.log_term = 1 + prng_below(prng, message.term - 1);
    message.prev_term = 1 + prng_below(prng, message.log_term);
    message.first = 1 + prng_below(prng, message.slot);
    message.asked = prng_next(prng) >> 2;
    message.id = prng_next(prng);
    message.stamp = prng_next(prng);
    message.echo = prng_next(prng);
    return message;
}

static void raft_messages_survive_the_round_trip(void **state)
{
    (void)state;
    struct prng prng = prng_seed(3);
    for (uint32_t round = 0; round < 5000; round++) {
        uint8_t kind = (uint8_t)(1 + prng_below(&prng, RAFT_KINDS - 1));
        struct raft_message message = random_raft_message(&prng, kind);
        uint8_t first[RAFT_HEAD_MAX];
        uint8_t second[RAFT_HEAD_MAX];
        struct bytes head = raft_message_encode(&message, 7, first);
        struct raft_message back;
        assert_true(raft_message_decode(head, 7, &back));
        assert_int_equal(back.kind, kind);
        assert_int_equal(back.flags, message.flags);
        assert_int_equal(back.term, message.term);
        assert_int_equal(back.chosen_upto, message.chosen_upto);
        struct bytes again = raft_message_encode(&back, 7, second);
        assert_true(bytes_equal(head, again));
        assert_false(raft_message_decode(head, 8, &back)); /* another era */
        for (size_t size = 0; size < head.size; size++)
            assert_false(raft_message_decode(bytes_of(first, size), 7, &back));
    }
}

static void what_no_raft_member_says_is_malformed(void **state)
{
    (void)state;
    const struct raft_message wrong[] = {
        {.kind = RAFT_APPEND, .term = 2, .slot = 0, .log_term = 1},
        {.kind = RAFT_APPEND, .term = 2, .slot = 2, .log_term = 3, .prev_term = 1},
        {.kind = RAFT_APPEND, .term = 2, .slot = 2, .log_term = 1, .prev_term = 2},
        {.kind = RAFT_APPEND, .term = 2, .slot = 2, .log_term = 1},
        {.kind = RAFT_APPEND, .term = 2, .slot = 1, .log_term = 1, .prev_term = 1},
        {.kind = RAFT_PROBE, .term = 2, .slot = 1},
        {.kind = RAFT_VOTE, .term = 2, .slot = 1, .log_term = 2},
        {.kind = RAFT_PRE_VOTE, .term = 2, .slot = 1},
        {.kind = RAFT_REJECT, .term = 2, .slot = 3, .first = 4},
        {.kind = RAFT_REJECT, .term = 2, .slot = 3},
        {.kind = RAFT_COMMIT, .term = RAFT_TERM_MAX + 1},
        {.kind = RAFT_COMMIT, .term = 1, .chosen_upto = RAFT_SLOT_MAX + 1},
        {.kind = RAFT_APPENDED, .term = 1, .slot = RAFT_SLOT_MAX + 1},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        uint8_t buffer[RAFT_HEAD_MAX];
        struct raft_message back;
        assert_false(raft_message_decode(raft_message_encode(&wrong[i], 7, buffer), 7, &back));
    }
    struct prng prng = prng_seed(4);
    for (uint32_t round = 0; round < 20000; round++) {
        uint8_t bytes[RAFT_HEAD_MAX];
        size_t size = prng_below(&prng, sizeof bytes + 1);
        for (size_t i = 0; i < size; i++)
            bytes[i] = (uint8_t)prng_next(&prng);
        if (size > 0)
            bytes[0] = (uint8_t)prng_below(&prng, RAFT_KINDS + 1);
        char line[256];
        struct text text = text_of(line, sizeof line);
        engine_raft.describe(bytes_of(bytes, size), &text);
        assert_true(text.size > 0);
        assert_false(text.truncated);
    }
}

static void raft_messages_are_described_in_a_few_words(void **state)
{
    (void)state;
    uint8_t buffer[RAFT_HEAD_MAX];
    char line[256];
    struct text text = text_of(line, sizeof line);
    struct raft_message append = {
        .kind = RAFT_APPEND, .term = 4, .chosen_upto = 6, .slot = 7, .log_term = 3, .prev_term = 2};
    engine_raft.describe(raft_message_encode(&append, 9, buffer), &text);
    assert_string_equal(line, "APPEND term=4 chosen=6 slot=7 prev-term=2 log-term=3");
    text = text_of(line, sizeof line);
    struct raft_message reply = {
        .kind = RAFT_VOTE_REPLY, .flags = RAFT_FLAG_GRANTED, .term = 4, .id = 2};
    engine_raft.describe(raft_message_encode(&reply, 9, buffer), &text);
    assert_string_equal(line, "VOTE_REPLY term=4 chosen=0 id=2 granted");
    text = text_of(line, sizeof line);
    engine_raft.describe(bytes_of(buffer, 3), &text);
    assert_string_equal(line, "malformed");
}

static void raft_records_and_marks_survive_the_round_trip(void **state)
{
    (void)state;
    struct raft_record record = {RAFT_FLAG_JUMP, 9, 65535, 1000};
    uint8_t buffer[RAFT_HEAD_MAX];
    struct bytes head = raft_record_encode(&record, buffer);
    struct raft_record back;
    assert_true(raft_record_decode(head, &back));
    assert_int_equal(back.flags, RAFT_FLAG_JUMP);
    assert_int_equal(back.term, 9);
    assert_int_equal(back.vote, 65535);
    assert_int_equal(back.chosen_upto, 1000);
    assert_false(raft_record_decode(bytes_of(buffer, head.size + 1), &back));
    assert_false(raft_record_decode(bytes_of(buffer, head.size - 1), &back));
    uint8_t mark[RAFT_MARK_SIZE];
    uint64_t term;
    assert_true(raft_mark_decode(raft_mark_encode(9, mark), &term));
    assert_int_equal(term, 9);
    assert_false(raft_mark_decode(raft_mark_encode(0, mark), &term));
    assert_false(raft_mark_decode(raft_mark_encode(RAFT_TERM_MAX + 1, mark), &term));
    assert_false(raft_mark_decode(bytes_of(mark, 7), &term));
    assert_true(RAFT_MARK_SIZE <= MARK_MAX);
}

static void records_survive_the_round_trip(void **state)
{
    (void)state;
    struct multipaxos_record record = {FLAG_CHOSEN, {9, 3, BALLOT_CLASSIC}, 1000};
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    struct bytes head = multipaxos_record_encode(&record, buffer);
    struct multipaxos_record back;
    assert_true(multipaxos_record_decode(head, &back));
    assert_int_equal(back.flags, FLAG_CHOSEN);
    assert_int_equal(ballot_compare(back.ballot, record.ballot), 0);
    assert_int_equal(back.chosen_upto, 1000);
    assert_false(multipaxos_record_decode(bytes_of(buffer, head.size + 1), &back));
}

static void ballots_are_ordered_by_round_then_node_then_kind(void **state)
{
    (void)state;
    const struct ballot ordered[] = {
        {0, 0, 0}, {1, 1, BALLOT_FAST}, {1, 1, BALLOT_CLASSIC}, {1, 2, BALLOT_FAST}, {2, 1, 0}};
    for (int i = 0; i < 5; i++)
        for (int k = 0; k < 5; k++) {
            int order = ballot_compare(ordered[i], ordered[k]);
            assert_int_equal((order > 0) - (order < 0), (i > k) - (i < k));
        }
    assert_true(ballot_is_zero(ordered[0]));
    assert_false(ballot_is_zero(ordered[1]));
    uint8_t bytes[BALLOT_SIZE];
    struct writer w = writer_of(bytes, sizeof bytes);
    write_ballot(&w, ordered[3]);
    assert_int_equal(writer_size(&w), BALLOT_SIZE);
    struct reader r = reader_of(writer_bytes(&w));
    assert_int_equal(ballot_compare(read_ballot(&r), ordered[3]), 0);
    assert_true(reader_done(&r));
}

static void *test_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new > 0)
        return realloc(at, size_new);
    free(at);
    return NULL;
}

static void effects_keep_order_heads_and_entries(void **state)
{
    (void)state;
    struct mem mem = {test_resize, 0};
    struct effects *fx = malloc(sizeof *fx);
    effects_init(fx, (struct lsn){41});
    struct blob *entry = blob_copy(&mem, bytes_text("value"));
    uint8_t head[4] = {1, 2, 3, 4};
    struct lsn lsn = effects_persist(fx, RECORD_ENTRY, 9, bytes_of(head, 4), entry);
    assert_int_equal(lsn.value, 42);
    head[0] = 99; /* the list has its own copy */
    effects_send(fx, 2, bytes_of(head, 2), entry);
    effects_deliver(fx, 9, (struct bytes){0}, NULL);
    effects_reject(fx, 5, 3);
    assert_int_equal(fx->count, 4);
    assert_int_equal(fx->items[0].kind, EFFECT_PERSIST);
    assert_int_equal(fx->items[0].head.data[0], 1);
    assert_int_equal(fx->items[1].head.data[0], 99);
    assert_int_equal(fx->items[3].to, 3);
    assert_int_equal(entry->references, 3);
    effects_clear(fx);
    assert_int_equal(entry->references, 1);
    assert_int_equal(fx->lsn_last.value, 42); /* numbers go on */
    blob_drop(entry);
    assert_int_equal(mem.used, 0);
    free(fx);
}

static void engines_are_found_by_name_and_by_id(void **state)
{
    (void)state;
    assert_ptr_equal(engine_by_name("multipaxos"), &engine_multipaxos);
    assert_ptr_equal(engine_by_id(engine_multipaxos.id), &engine_multipaxos);
    assert_ptr_equal(engine_by_name("raft"), &engine_raft);
    assert_ptr_equal(engine_by_id(2), &engine_raft);
    assert_null(engine_by_name("multipaxo"));
    assert_null(engine_by_id(0));
    for (size_t i = 0; engines_all[i] != NULL; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_not_equal(engines_all[i]->id, engines_all[k]->id);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_survive_the_round_trip),
        cmocka_unit_test(damaged_heads_never_do_more_than_fail),
        cmocka_unit_test(records_survive_the_round_trip),
        cmocka_unit_test(raft_messages_survive_the_round_trip),
        cmocka_unit_test(what_no_raft_member_says_is_malformed),
        cmocka_unit_test(raft_messages_are_described_in_a_few_words),
        cmocka_unit_test(raft_records_and_marks_survive_the_round_trip),
        cmocka_unit_test(ballots_are_ordered_by_round_then_node_then_kind),
        cmocka_unit_test(effects_keep_order_heads_and_entries),
        cmocka_unit_test(engines_are_found_by_name_and_by_id),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
