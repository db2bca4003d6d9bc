/* Raft's log by named situations: what is appended, cut, acknowledged, committed and read. Each is
 * one engine whose neighbours and disk are the test. */
#include "consensus/support_cluster.h"
#include "consensus/support_solo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void say(struct solo *s, uint16_t from, enum raft_kind kind, uint64_t slot)
{
    solo_message(s, from,
                 (struct raft_message){.kind = (uint8_t)kind, .term = s->p->term, .slot = slot});
}

static void propose(struct solo *s)
{
    struct blob *entry = blob_copy(&s->mem, bytes_text("value"));
    assert_true(engine_raft.room(s->p) > 0);
    solo_step(s, (struct input){.kind = INPUT_PROPOSE, .entry = entry});
    blob_drop(entry);
}

/* Figure 8 of the paper: an entry of term 2 lies on a majority, and may yet be overwritten. */
static void an_old_term_is_not_committed_by_counting(void **state)
{
    (void)state;
    struct solo *s = solo_new(5);
    solo_append(s, 2, 2, 1, 1, 0);
    solo_append(s, 2, 2, 2, 2, 1);
    solo_lead(s);
    assert_int_equal(s->p->term, 3);
    assert_int_equal(s->p->barrier, 3);
    solo_durable(s);
    say(s, 3, RAFT_APPENDED, 2);
    say(s, 4, RAFT_APPENDED, 2);
    say(s, 5, RAFT_APPENDED, 2);
    assert_int_equal(s->p->commit, 0);
    say(s, 3, RAFT_APPENDED, 3);
    assert_int_equal(s->p->commit, 0);
    say(s, 4, RAFT_APPENDED, 3); /* and with it everything before it */
    assert_int_equal(s->p->commit, 3);
    assert_int_equal(solo_count(s, EFFECT_DELIVER), 3);
    solo_free(s);
}

static void a_delayed_append_does_not_cut_what_newer_ones_brought(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    for (uint64_t slot = 1; slot <= 5; slot++)
        solo_append(s, 2, 1, slot, 1, slot == 1 ? 0 : 1);
    uint32_t written = s->records_count;
    solo_append(s, 2, 1, 2, 1, 1);
    assert_int_equal(s->p->last, 5);
    assert_int_equal(s->records_count, written);
    assert_true(solo_sends(s, 2, RAFT_APPENDED, true));
    solo_message(s, 2,
                 (struct raft_message){.kind = RAFT_PROBE, .term = 1, .slot = 1, .prev_term = 1});
    assert_int_equal(s->p->last, 5);
    solo_free(s);
}

static void the_first_entry_that_differs_cuts_the_rest(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    for (uint64_t slot = 1; slot <= 5; slot++)
        solo_append(s, 2, 1, slot, 1, slot == 1 ? 0 : 1);
    solo_append(s, 3, 2, 3, 2, 1);
    assert_int_equal(s->p->last, 3);
    assert_int_equal(raft_log_term(s->p, 2), 1);
    assert_int_equal(raft_log_term(s->p, 3), 2);
    struct raft_message message;
    assert_true(solo_sent(s, 3, RAFT_APPENDED, &message));
    assert_int_equal(message.slot, 3);
    solo_restart(s, s->records_count, 0, 0); /* and so it is on the disk */
    assert_int_equal(s->p->last, 3);
    assert_int_equal(raft_log_term(s->p, 3), 2);
    solo_free(s);
}

static void an_append_that_continues_nothing_is_rejected(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    struct raft_message reject;
    for (uint64_t slot = 1; slot <= 5; slot++)
        solo_append(s, 2, 3, slot, slot < 3 ? 1 : 2, slot == 1 ? 0 : slot < 4 ? 1 : 2);
    uint32_t written = s->records_count;
    solo_append(s, 3, 5, 8, 5, 4); /* nothing is there yet */
    assert_true(solo_sent(s, 3, RAFT_REJECT, &reject));
    assert_int_equal(reject.slot, 7);
    assert_int_equal(reject.first, 6);
    assert_int_equal(reject.log_term, 0);
    solo_append(s, 3, 5, 6, 5, 4); /* something else is: all of its term is in doubt */
    assert_true(solo_sent(s, 3, RAFT_REJECT, &reject));
    assert_int_equal(reject.slot, 5);
    assert_int_equal(reject.first, 3);
    assert_int_equal(reject.log_term, 2);
    assert_int_equal(s->p->last, 5);
    assert_int_equal(s->records_count, written + 1); /* the term alone */
    solo_free(s);
}

static void an_acknowledgement_covers_what_was_compared_and_no_more(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    struct raft_message message;
    for (uint64_t slot = 1; slot <= 5; slot++)
        solo_append(s, 2, 1, slot, 1, slot == 1 ? 0 : 1);
    solo_append(s, 3, 2, 2, 1, 1); /* a new leader, whose log is known to slot 2 */
    assert_true(solo_sent(s, 3, RAFT_APPENDED, &message));
    assert_int_equal(message.slot, 2);
    assert_true(solo_sends(s, 3, RAFT_APPENDED, true)); /* and waits for the disk */
    solo_free(s);
}

static void a_commit_reaches_no_further_than_what_was_compared(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    for (uint64_t slot = 1; slot <= 3; slot++)
        solo_append(s, 2, 1, slot, 1, slot == 1 ? 0 : 1);
    solo_message(s, 3, (struct raft_message){.kind = RAFT_COMMIT, .term = 2, .chosen_upto = 3});
    assert_int_equal(s->p->commit, 0);
    solo_message(s, 3,
                 (struct raft_message){.kind = RAFT_PROBE, .term = 2, .slot = 1, .prev_term = 1});
    assert_int_equal(s->p->commit, 1);
    solo_append(s, 3, 2, 2, 2, 1);
    assert_int_equal(s->p->commit, 2);
    assert_int_equal(s->p->last, 2);
    solo_free(s);
}

static void a_late_commit_takes_nothing_back(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_append(s, 2, 1, 1, 1, 0);
    solo_append(s, 2, 1, 2, 1, 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_COMMIT, .term = 1, .chosen_upto = 2});
    assert_int_equal(s->p->commit, 2);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_COMMIT, .term = 1, .chosen_upto = 1});
    solo_follow(s, 3, 2); /* nor does a leader that does not know yet */
    assert_int_equal(s->p->commit, 2);
    assert_int_equal(s->p->chosen_upto, 2);
    solo_free(s);
}

/* Twice the same slot in the same term, and another entry in between: each acknowledgement waits
 * for its own record. */
static void completions_are_named_by_record_and_not_by_slot_and_term(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_append(s, 2, 1, 1, 1, 0);
    uint64_t first = raft_log_find(s->p, 1)->lsn.value;
    solo_append(s, 3, 2, 1, 2, 0);
    solo_append(s, 2, 3, 1, 1, 0); /* the first leader again, with its old entry */
    assert_int_equal(raft_log_term(s->p, 1), 1);
    uint64_t again = raft_log_find(s->p, 1)->lsn.value;
    assert_true(again > first);
    uint32_t at = 0; /* the acknowledgement stands behind the new record */
    while (s->fx->items[at].kind != EFFECT_PERSIST || s->fx->items[at].type != RECORD_ENTRY)
        at++;
    assert_int_equal(s->fx->items[at].lsn.value, again);
    assert_int_equal(s->fx->items[at + 1].kind, EFFECT_SEND);
    for (uint32_t kept = 0; kept <= s->records_count; kept++) {
        struct solo *copy = solo_new(3); /* whichever prefix a crash leaves */
        solo_append(copy, 2, 1, 1, 1, 0);
        solo_append(copy, 3, 2, 1, 2, 0);
        solo_append(copy, 2, 3, 1, 1, 0);
        solo_restart(copy, kept, 0, 0);
        if (kept == s->records_count)
            assert_int_equal(raft_log_term(copy->p, 1), 1);
        assert_true(raft_sound(copy->p));
        solo_free(copy);
    }
    solo_free(s);
}

static void the_leader_counts_itself_only_when_durable(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 1);
    solo_lead(s);
    say(s, 2, RAFT_APPENDED, 1);
    assert_int_equal(s->p->commit, 0);
    solo_durable(s);
    assert_int_equal(s->p->commit, 1);
    propose(s); /* two others are enough, whatever the own disk does */
    say(s, 2, RAFT_APPENDED, 2);
    assert_int_equal(s->p->commit, 1);
    say(s, 3, RAFT_APPENDED, 2);
    assert_int_equal(s->p->commit, 2);
    solo_free(s);
}

static void a_single_voter_delivers_nothing_before_it_is_durable(void **state)
{
    (void)state;
    struct solo *s = solo_new(1);
    solo_step(s, (struct input){.kind = INPUT_TIME});
    assert_int_equal(s->p->phase, RAFT_STANDING); /* its own vote is not durable */
    solo_durable(s);
    assert_int_equal(s->p->phase, RAFT_LEADING);
    assert_int_equal(solo_count(s, EFFECT_DELIVER), 0);
    solo_durable(s);
    assert_int_equal(solo_count(s, EFFECT_DELIVER), 1);
    propose(s);
    assert_int_equal(solo_count(s, EFFECT_DELIVER), 0);
    solo_durable(s);
    assert_int_equal(solo_count(s, EFFECT_DELIVER), 1);
    solo_free(s);
}

static void an_acknowledgement_of_an_earlier_term_does_not_count(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_append(s, 2, 1, 1, 1, 0);
    solo_lead(s);
    solo_durable(s);
    solo_message(s, 3, (struct raft_message){.kind = RAFT_APPENDED, .term = 1, .slot = 2});
    assert_int_equal(s->p->commit, 0);
    say(s, 3, RAFT_APPENDED, 9); /* nor one of what was never sent */
    assert_int_equal(s->p->commit, 0);
    assert_int_equal(s->p->dropped, 1);
    say(s, 3, RAFT_APPENDED, 2);
    assert_int_equal(s->p->commit, 2);
    solo_free(s);
}

static void a_follower_is_asked_once_and_then_streamed_to(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_append(s, 2, 1, 1, 1, 0);
    solo_append(s, 2, 1, 2, 1, 1);
    solo_lead(s);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 1); /* the no-op is the question */
    for (uint32_t i = 0; i < 4; i++) {
        propose(s);
        assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 0);
        assert_int_equal(solo_count_sent(s, 3, RAFT_PROBE), 0);
    }
    solo_message(s, 3,
                 (struct raft_message){.kind = RAFT_REJECT, .term = 2, .slot = 2, .first = 1});
    struct raft_message probe;
    assert_true(solo_sent(s, 3, RAFT_PROBE, &probe));
    assert_int_equal(probe.slot, 0);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 0);
    solo_message(/* the same answer twice asks nothing twice */
                 s, 3,
                 (struct raft_message){.kind = RAFT_REJECT, .term = 2, .slot = 2, .first = 1});
    assert_int_equal(solo_count_sent(s, 3, RAFT_PROBE), 0);
    say(s, 3, RAFT_APPENDED, 0);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 7);
    propose(s); /* at once, while all of those are under way */
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 1);
    solo_message(/* one was lost: back to asking */
                 s, 3,
                 (struct raft_message){.kind = RAFT_REJECT, .term = 2, .slot = 6, .first = 4});
    assert_true(solo_sent(s, 3, RAFT_PROBE, &probe));
    assert_int_equal(probe.slot, 3);
    solo_free(s);
}

/* A whole term that conflicts costs one question. */
static void backtracking_skips_whole_terms(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    const uint64_t terms[] = {0, 1, 1, 1, 4, 4, 5, 5};
    for (uint64_t slot = 1; slot <= 7; slot++)
        solo_append(s, 2, 5, slot, terms[slot], terms[slot - 1]);
    solo_lead(s); /* slot 8, term 6 */
    struct raft_message probe;
    /* It has 1 1 1 2 2 2 2 3: no term 2 here, so in front of that. */
    solo_message(s, 3,
                 (struct raft_message){
                     .kind = RAFT_REJECT, .term = 6, .slot = 7, .first = 4, .log_term = 2});
    assert_true(solo_sent(s, 3, RAFT_PROBE, &probe));
    assert_int_equal(probe.slot, 3);
    say(s, 3, RAFT_APPENDED, 3);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 5);
    /* The other has 1 1 1 4 4 4 4: what of term 4 is here may be the same. */
    solo_message(s, 2,
                 (struct raft_message){
                     .kind = RAFT_REJECT, .term = 6, .slot = 7, .first = 4, .log_term = 4});
    assert_true(solo_sent(s, 2, RAFT_PROBE, &probe));
    assert_int_equal(probe.slot, 5);
    assert_int_equal(probe.prev_term, 4);
    solo_free(s);
}

static void who_is_behind_the_leaders_memory_is_told_to_fetch(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    for (uint64_t slot = 1; slot <= 12; slot++)
        solo_append(s, 2, 1, slot, 1, slot == 1 ? 0 : 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_COMMIT, .term = 1, .chosen_upto = 12});
    assert_int_equal(s->p->base, 4); /* the tail has 8 slots */
    solo_lead(s);
    struct raft_message behind;
    solo_message(s, 3,
                 (struct raft_message){.kind = RAFT_REJECT, .term = 2, .slot = 12, .first = 2});
    assert_true(solo_sent(s, 3, RAFT_BEHIND, &behind));
    assert_int_equal(behind.slot, 4);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 0);
    propose(s);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 0);
    say(s, 3, RAFT_APPENDED, 6);
    assert_int_equal(solo_count_sent(s, 3, RAFT_APPEND), 8); /* 7 to 14 */
    solo_free(s);

    s = solo_new(3); /* and from the other side */
    solo_message(
        s, 2, (struct raft_message){.kind = RAFT_BEHIND, .term = 1, .chosen_upto = 9, .slot = 4});
    assert_int_equal(solo_count(s, EFFECT_FETCH), 1);
    for (uint64_t slot = 1; slot <= 4; slot++) {
        uint8_t buffer[RAFT_HEAD_MAX];
        struct raft_record record = {.term = 1};
        solo_step(s, (struct input){.kind = INPUT_CHOSEN,
                                    .slot = slot,
                                    .head = raft_record_encode(&record, buffer)});
    }
    struct raft_message appended;
    assert_true(solo_sent(s, 2, RAFT_APPENDED, &appended)); /* it can go on */
    assert_int_equal(appended.slot, 4);
    assert_true(solo_sends(s, 2, RAFT_APPENDED, true));
    assert_int_equal(s->p->chosen_upto, 4);
    solo_free(s);
}

static void a_read_waits_for_an_entry_of_the_leaders_own_term(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_append(s, 2, 1, 1, 1, 0);
    solo_lead(s);
    solo_durable(s);
    solo_step(s, (struct input){.kind = INPUT_READ, .token = 5});
    assert_int_equal(solo_count_sent(s, 3, RAFT_READ_ROUND), 0);
    say(s, 3, RAFT_APPENDED, 2);
    struct raft_message round;
    assert_true(solo_sent(s, 3, RAFT_READ_ROUND, &round)); /* now, and not before */
    assert_int_equal(solo_count(s, EFFECT_READ_OK), 0);
    solo_message(s, 3, (struct raft_message){.kind = RAFT_READ_ACK, .term = 2, .id = round.id});
    assert_int_equal(solo_count(s, EFFECT_READ_OK), 1);
    solo_free(s);
}

static void a_round_confirms_only_reads_that_came_before_it(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 1);
    solo_lead(s);
    solo_durable(s);
    say(s, 3, RAFT_APPENDED, 1);
    struct raft_message first;
    struct raft_message second;
    solo_step(s, (struct input){.kind = INPUT_READ, .token = 1});
    assert_true(solo_sent(s, 3, RAFT_READ_ROUND, &first));
    solo_step(s, (struct input){.kind = INPUT_READ, .token = 2});
    assert_true(solo_sent(s, 3, RAFT_READ_ROUND, &second));
    assert_true(second.id > first.id);
    solo_message(s, 3, (struct raft_message){.kind = RAFT_READ_ACK, .term = 2, .id = first.id});
    assert_int_equal(solo_count(s, EFFECT_READ_OK), 1);
    assert_int_equal(s->fx->items[0].token, 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_READ_ACK, .term = 2, .id = first.id});
    assert_int_equal(solo_count(s, EFFECT_READ_OK), 0);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_READ_ACK, .term = 2, .id = second.id});
    assert_int_equal(solo_count(s, EFFECT_READ_OK), 1);
    solo_free(s);
}

/* A window full of entries that only the next leader can commit: its no-op has a place. */
static void a_full_window_does_not_stop_the_next_leader(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    for (uint64_t slot = 1; slot <= 16; slot++)
        solo_append(s, 2, 1, slot, 1, slot == 1 ? 0 : 1);
    for (uint64_t term = 1; term < 40; term += 2) { /* and again, with every leader that fails */
        solo_lead(s);
        assert_int_equal(engine_raft.room(s->p), 0);
        solo_follow(s, 2, s->p->term + 1);
    }
    solo_lead(s);
    solo_durable(s);
    say(s, 3, RAFT_APPENDED, s->p->last);
    assert_int_equal(s->p->chosen_upto, s->p->last);
    solo_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_old_term_is_not_committed_by_counting),
        cmocka_unit_test(a_delayed_append_does_not_cut_what_newer_ones_brought),
        cmocka_unit_test(the_first_entry_that_differs_cuts_the_rest),
        cmocka_unit_test(an_append_that_continues_nothing_is_rejected),
        cmocka_unit_test(an_acknowledgement_covers_what_was_compared_and_no_more),
        cmocka_unit_test(a_commit_reaches_no_further_than_what_was_compared),
        cmocka_unit_test(a_late_commit_takes_nothing_back),
        cmocka_unit_test(completions_are_named_by_record_and_not_by_slot_and_term),
        cmocka_unit_test(the_leader_counts_itself_only_when_durable),
        cmocka_unit_test(a_single_voter_delivers_nothing_before_it_is_durable),
        cmocka_unit_test(an_acknowledgement_of_an_earlier_term_does_not_count),
        cmocka_unit_test(a_follower_is_asked_once_and_then_streamed_to),
        cmocka_unit_test(backtracking_skips_whole_terms),
        cmocka_unit_test(who_is_behind_the_leaders_memory_is_told_to_fetch),
        cmocka_unit_test(a_read_waits_for_an_entry_of_the_leaders_own_term),
        cmocka_unit_test(a_round_confirms_only_reads_that_came_before_it),
        cmocka_unit_test(a_full_window_does_not_stop_the_next_leader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
