/* Raft and the disk by named situations: what replay builds, snapshots, members that forgot; and
 * nonsense from peers, which may be counted and nothing else. */
#include "consensus/support_cluster.h"
#include "consensus/support_solo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void append_run(struct solo *s, uint64_t first, uint64_t last, uint64_t term)
{
    for (uint64_t slot = first; slot <= last; slot++)
        solo_append(s, 2, term, slot, term, slot == 1 ? 0 : raft_log_term(s->p, slot - 1));
}

static void snapshot(struct solo *s, uint64_t slot, uint64_t term)
{
    uint8_t mark[RAFT_MARK_SIZE];
    solo_step(s, (struct input){
                     .kind = INPUT_SNAPSHOT, .slot = slot, .head = raft_mark_encode(term, mark)});
}

static void chosen(struct solo *s, uint64_t slot, uint64_t term)
{
    uint8_t buffer[RAFT_HEAD_MAX];
    struct raft_record record = {.term = term};
    solo_step(s, (struct input){.kind = INPUT_CHOSEN,
                                .slot = slot,
                                .head = raft_record_encode(&record, buffer)});
}

static void a_snapshot_keeps_what_continues_it(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 5, 1);
    snapshot(s, 3, 1);
    assert_int_equal(s->p->chosen_upto, 3);
    assert_int_equal(s->p->last, 5);
    solo_restart(s, s->records_count, 3, 1);
    assert_int_equal(s->p->last, 5);
    assert_int_equal(raft_log_term(s->p, 3), 1);
    assert_true(raft_sound(s->p));
    solo_free(s);
}

static void a_snapshot_drops_what_does_not_continue_it(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 5, 1);
    snapshot(s, 3, 2);
    assert_int_equal(s->p->chosen_upto, 3);
    assert_int_equal(s->p->last, 3);
    assert_int_equal(raft_log_last_term(s->p), 2);
    assert_int_equal(s->p->term, 2);
    append_run(s, 4, 5, 2);
    solo_restart(s, s->records_count, 3, 2);
    assert_int_equal(s->p->last, 5);
    assert_int_equal(raft_log_last_term(s->p), 2);
    solo_free(s);
}

/* The snapshot is on the disk, and no record is that was written since: what lies behind its slot
 * in the log is not what comes behind it. Twice, for the second time must know it too. */
static void records_that_a_snapshot_overtook_do_not_continue_it(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 5, 1);
    solo_restart(s, s->records_count, 3, 2);
    assert_int_equal(s->p->last, 3);
    solo_restart(s, s->records_count, 3, 2);
    assert_int_equal(s->p->last, 3);
    append_run(s, 4, 4, 2);
    solo_restart(s, s->records_count, 3, 2);
    assert_int_equal(s->p->last, 4);
    assert_int_equal(raft_log_last_term(s->p), 2);
    assert_true(raft_sound(s->p));
    solo_free(s);
}

/* The log ends before the snapshot begins; what is written next must count all the same. */
static void a_log_goes_on_behind_a_snapshot_that_overtook_it(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 2, 1);
    snapshot(s, 9, 1);
    append_run(s, 10, 11, 1);
    solo_restart(s, s->records_count, 9, 1);
    assert_int_equal(s->p->last, 11);
    solo_restart(s, 3, 9, 1); /* the hard state, two entries: nothing of the snapshot */
    assert_int_equal(s->p->last, 9);
    append_run(s, 10, 10, 1);
    solo_restart(s, s->records_count, 9, 1);
    assert_int_equal(s->p->last, 10);
    solo_free(s);
}

/* A snapshot is lost: what was acknowledged behind it is not here any more, so this member has no
 * vote until it has been told as much again. */
static void a_lost_snapshot_leaves_a_hole(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 2, 1);
    snapshot(s, 9, 1);
    append_run(s, 10, 11, 1);
    solo_restart(s, s->records_count, 0, 0);
    assert_false(raft_sound(s->p));
    assert_int_equal(s->p->last, s->p->chosen_upto);
    struct raft_message reply;
    solo_message(s, 3,
                 (struct raft_message){.kind = RAFT_VOTE, .term = 5, .slot = 12, .log_term = 1});
    assert_true(solo_sent(s, 3, RAFT_VOTE_REPLY, &reply));
    assert_int_equal(reply.flags & RAFT_FLAG_GRANTED, 0);
    uint64_t first = s->p->chosen_upto + 1;
    for (uint64_t slot = first; slot <= 10; slot++)
        chosen(s, slot, 1);
    assert_false(raft_sound(s->p));
    solo_restart(s, s->records_count, 0, 0); /* and it does not forget that it forgot */
    assert_false(raft_sound(s->p));
    for (uint64_t slot = s->p->chosen_upto + 1; slot <= 11; slot++)
        chosen(s, slot, 1);
    assert_true(raft_sound(s->p));
    solo_free(s);
}

static void hard_state_is_written_again_behind_a_snapshot(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 5, 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_COMMIT, .term = 1, .chosen_upto = 5});
    solo_message(
        s, 3,
        (struct raft_message){
            .kind = RAFT_VOTE, .flags = RAFT_FLAG_TRANSFER, .term = 7, .slot = 5, .log_term = 1});
    assert_int_equal(s->p->vote, 3);
    uint32_t before = s->records_count;
    snapshot(s, 5, 1);
    assert_int_equal(s->p->last, 5);
    /* All that is left of the log. */
    uint32_t kept = s->records_count - before;
    assert_int_equal(kept, 1);
    blob_drop(s->records[0].entry);
    s->records[0] = s->records[before];
    s->records[before].entry = NULL;
    solo_restart(s, 1, 5, 1);
    assert_int_equal(s->p->term, 7);
    assert_int_equal(s->p->vote, 3);
    solo_free(s);
}

static void replay_delivers_what_the_records_say_was_delivered(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 3, 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_COMMIT, .term = 1, .chosen_upto = 2});
    append_run(s, 4, 4, 1);
    solo_restart(s, s->records_count, 0, 0);
    assert_int_equal(s->p->chosen_upto, 2);
    assert_int_equal(s->p->last, 4);
    solo_free(s);
}

static void what_is_fetched_carries_its_term(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 3, 1);
    chosen(s, 2, 1); /* the same entry: so is all before it */
    assert_int_equal(s->p->chosen_upto, 2);
    assert_int_equal(s->p->last, 3);
    chosen(s, 3, 4); /* another one: this log ends here */
    assert_int_equal(s->p->chosen_upto, 3);
    assert_int_equal(s->p->last, 3);
    assert_int_equal(raft_log_last_term(s->p), 4);
    assert_int_equal(s->p->term, 4);
    uint64_t dropped = s->p->dropped;
    chosen(s, 9, 4);                                               /* a gap */
    chosen(s, 4, 1);                                               /* a term that is over */
    solo_step(s, (struct input){.kind = INPUT_CHOSEN, .slot = 4}); /* no head */
    assert_int_equal(s->p->dropped, dropped + 3);
    assert_int_equal(s->p->chosen_upto, 3);
    solo_free(s);
}

static void delivered_slots_carry_their_term_as_mark(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    uint64_t term = 0;
    chosen(s, 1, 6);
    for (uint32_t i = 0; i < s->fx->count; i++)
        if (s->fx->items[i].kind == EFFECT_DELIVER)
            assert_true(raft_mark_decode(s->fx->items[i].head, &term));
    assert_int_equal(term, 6);
    solo_free(s);
}

static void a_member_with_an_unreadable_record_has_no_say(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    append_run(s, 1, 3, 1);
    s->records[2].head_size = 2;
    solo_restart(s, s->records_count, 0, 0);
    assert_false(raft_sound(s->p));
    solo_follow(s, 2, 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_READ_ROUND, .term = 1, .id = 4});
    assert_int_equal(solo_count_sent(s, 2, RAFT_READ_ACK), 0);
    solo_append(s, 2, 1, 4, 1, 1);
    assert_int_equal(solo_count_sent(s, 2, RAFT_APPENDED), 0);
    assert_int_equal(solo_count_sent(s, 2, RAFT_REJECT), 0);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_TRANSFER_NOW, .term = 1});
    assert_int_equal(s->p->phase, RAFT_FOLLOWING);
    solo_message(
        s, 3,
        (struct raft_message){
            .kind = RAFT_VOTE, .flags = RAFT_FLAG_TRANSFER, .term = 2, .slot = 9, .log_term = 1});
    struct raft_message reply;
    assert_true(solo_sent(s, 3, RAFT_VOTE_REPLY, &reply));
    assert_int_equal(reply.flags & RAFT_FLAG_GRANTED, 0);
    solo_free(s);
}

static struct raft_message nonsense(struct prng *prng)
{
    struct raft_message m = {.kind = (uint8_t)(1 + prng_below(prng, RAFT_KINDS - 1))};
    m.flags = (uint8_t)(prng_next(prng) & 31);
    m.term = prng_below(prng, 50) == 0 ? prng_next(prng) >> 1 : prng_below(prng, 12);
    m.chosen_upto = prng_below(prng, 20) == 0 ? prng_next(prng) : prng_below(prng, 30);
    m.slot = prng_below(prng, 20) == 0 ? prng_next(prng) : prng_below(prng, 30);
    m.prev_term = prng_below(prng, 10);
    m.log_term = prng_below(prng, 10);
    m.first = prng_below(prng, 30);
    m.asked = prng_below(prng, 12);
    m.id = prng_below(prng, 8);
    m.stamp = prng_next(prng);
    m.echo = prng_next(prng);
    return m;
}

static void give_nonsense(struct solo *s, struct prng *prng)
{
    struct raft_message m = nonsense(prng);
    uint16_t from = (uint16_t)prng_below(prng, 5);
    switch (prng_below(prng, 12)) {
    case 0:
        s->now += prng_below(prng, 300 * MS);
        solo_step(s, (struct input){.kind = INPUT_TIME});
        break;
    case 1:
        solo_durable(s);
        break;
    case 2:
        chosen(s, m.slot, m.log_term);
        break;
    case 3:
        snapshot(s, m.slot % 40, m.log_term);
        break;
    case 4:
        solo_step(s, (struct input){.kind = INPUT_PEER, .from = from, .up = m.id % 2 == 0});
        break;
    case 5:
        solo_step(s, (struct input){.kind = INPUT_READ, .token = m.id});
        solo_step(s, (struct input){.kind = INPUT_PROPOSE, .token = m.id});
        break;
    case 6:
        solo_step(s, (struct input){.kind = INPUT_TRANSFER, .node = from});
        break;
    case 7: /* something that helps it to lead */
        m.kind = s->p->phase == RAFT_ASKING ? RAFT_PRE_VOTE_REPLY : RAFT_VOTE_REPLY;
        m.flags |= RAFT_FLAG_GRANTED;
        m.term = s->p->term;
        m.asked = m.term + 1;
        m.id = s->p->attempt;
        solo_message(s, from, m);
        break;
    case 8:
        m.kind = RAFT_BEAT;
        m.flags = RAFT_FLAG_HEARS_YOU;
        m.term = s->p->term;
        solo_message(s, from, m);
        break;
    default:
        if (prng_below(prng, 2) == 0)
            m.term = s->p->term;
        solo_message(s, from, m);
        break;
    }
    while (s->records_count > SOLO_RECORDS / 2)
        blob_drop(s->records[--s->records_count].entry);
}

/* Whatever peers say: nothing breaks that one member can see (solo_step checks all of it), and what
 * is out of the question is counted. */
static void nonsense_breaks_nothing(void **state)
{
    (void)state;
    uint64_t dropped = 0;
    uint64_t led = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        struct prng prng = prng_seed(seed);
        struct solo *s = solo_new(seed % 7 == 0 ? 5 : 3);
        for (uint32_t i = 0; i < 400; i++) {
            give_nonsense(s, &prng);
            led += raft_leads(s->p) ? 1 : 0;
        }
        dropped += s->p->dropped;
        solo_free(s);
    }
    assert_true(dropped > 1000);
    assert_true(led > 1000);
}

static void equal_states_have_equal_fingerprints(void **state)
{
    (void)state;
    struct solo *a = solo_new(3);
    struct solo *b = solo_new(3);
    b->now += 300 * MS; /* but for time */
    struct solo *both[] = {a, b};
    for (uint32_t i = 0; i < 2; i++) {
        append_run(both[i], 1, 3, 1);
        solo_durable(both[i]);
    }
    uint64_t same = engine_raft.fingerprint(a->p);
    assert_int_equal(same, engine_raft.fingerprint(b->p));
    append_run(a, 4, 4, 1);
    assert_int_not_equal(engine_raft.fingerprint(a->p), same); /* on its way to the disk */
    append_run(b, 4, 4, 1);
    solo_durable(b);
    assert_int_not_equal(engine_raft.fingerprint(a->p), engine_raft.fingerprint(b->p));
    solo_durable(a);
    assert_int_equal(engine_raft.fingerprint(a->p), engine_raft.fingerprint(b->p));
    solo_follow(a, 3, 2);
    solo_follow(b, 2, 2);
    assert_int_not_equal(engine_raft.fingerprint(a->p), engine_raft.fingerprint(b->p));
    solo_free(a);
    solo_free(b);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_snapshot_keeps_what_continues_it),
        cmocka_unit_test(a_snapshot_drops_what_does_not_continue_it),
        cmocka_unit_test(records_that_a_snapshot_overtook_do_not_continue_it),
        cmocka_unit_test(a_log_goes_on_behind_a_snapshot_that_overtook_it),
        cmocka_unit_test(a_lost_snapshot_leaves_a_hole),
        cmocka_unit_test(hard_state_is_written_again_behind_a_snapshot),
        cmocka_unit_test(replay_delivers_what_the_records_say_was_delivered),
        cmocka_unit_test(what_is_fetched_carries_its_term),
        cmocka_unit_test(delivered_slots_carry_their_term_as_mark),
        cmocka_unit_test(a_member_with_an_unreadable_record_has_no_say),
        cmocka_unit_test(nonsense_breaks_nothing),
        cmocka_unit_test(equal_states_have_equal_fingerprints),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
