/* Raft's elections by named situations: votes, pre-votes, check-quorum, and the ways in which their
 * interplay went wrong elsewhere. */
#include "consensus/raft.h"
#include "consensus/support_scenario.h"
#include "consensus/support_solo.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static struct raft_message question(enum raft_kind kind, uint64_t term, uint64_t slot,
                                    uint64_t log_term)
{
    return (struct raft_message){
        .kind = (uint8_t)kind, .term = term, .slot = slot, .log_term = log_term, .id = 77};
}

static bool granted(const struct solo *s, uint16_t to, enum raft_kind kind)
{
    struct raft_message reply;
    assert_true(solo_sent(s, to, kind, &reply));
    assert_int_equal(reply.id, 77);
    return (reply.flags & RAFT_FLAG_GRANTED) != 0;
}

/* Silence, but for heartbeats of members that do not lead: it asks for pre-votes. */
static void lose_leader(struct solo *s)
{
    for (uint32_t i = 0; s->p->phase == RAFT_FOLLOWING; i++) {
        assert_true(i < 1000);
        for (uint16_t node = 2; node <= s->configuration.count; node++)
            solo_message(s, node,
                         (struct raft_message){.kind = RAFT_BEAT, .flags = RAFT_FLAG_HEARS_YOU});
        s->now = engine_raft.wake(s->p);
        solo_step(s, (struct input){.kind = INPUT_TIME});
    }
    assert_int_equal(s->p->phase, RAFT_ASKING);
}

static void refuse(struct solo *s)
{
    for (uint16_t node = 2; node <= s->configuration.count; node++)
        solo_message(s, node,
                     (struct raft_message){.kind = RAFT_PRE_VOTE_REPLY,
                                           .term = s->p->term,
                                           .asked = s->p->term + 1,
                                           .id = s->p->attempt});
    assert_int_equal(s->p->phase, RAFT_FOLLOWING);
}

static void a_vote_is_durable_before_it_is_told(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_message(s, 2, question(RAFT_VOTE, 1, 0, 0));
    assert_true(granted(s, 2, RAFT_VOTE_REPLY));
    assert_true(solo_sends(s, 2, RAFT_VOTE_REPLY, true));
    bool recorded = false; /* and its record stands before it */
    for (uint32_t i = 0; s->fx->items[i].kind != EFFECT_SEND; i++)
        recorded = recorded || s->fx->items[i].kind == EFFECT_PERSIST;
    assert_true(recorded);
    solo_restart(s, s->records_count, 0, 0);
    solo_message(s, 3, question(RAFT_VOTE, 1, 0, 0));
    assert_false(granted(s, 3, RAFT_VOTE_REPLY));
    solo_message(s, 2, question(RAFT_VOTE, 1, 0, 0)); /* the same one asks again */
    assert_true(granted(s, 2, RAFT_VOTE_REPLY));
    solo_free(s);
}

static void one_vote_a_term(void **state)
{
    (void)state;
    struct solo *s = solo_new(5);
    solo_message(s, 2, question(RAFT_VOTE, 1, 0, 0));
    assert_true(granted(s, 2, RAFT_VOTE_REPLY));
    solo_message(s, 3, question(RAFT_VOTE, 1, 0, 0));
    assert_false(granted(s, 3, RAFT_VOTE_REPLY));
    solo_message(s, 3, question(RAFT_VOTE, 2, 0, 0));
    assert_true(granted(s, 3, RAFT_VOTE_REPLY));
    solo_message(s, 2, question(RAFT_VOTE, 1, 0, 0)); /* late: it hears of the new term */
    assert_false(granted(s, 2, RAFT_VOTE_REPLY));
    struct raft_message reply;
    assert_true(solo_sent(s, 2, RAFT_VOTE_REPLY, &reply));
    assert_int_equal(reply.term, 2);
    solo_free(s);
}

static void only_a_log_that_is_as_good_gets_a_vote(void **state)
{
    (void)state;
    const struct {
        uint64_t slot;
        uint64_t log_term;
        bool grant;
    } asks[] = {{3, 2, true},  {4, 2, true},  {1, 3, true},
                {2, 2, false}, {9, 1, false}, {0, 0, false}};
    for (uint32_t i = 0; i < 6; i++) {
        for (uint32_t pre = 0; pre < 2; pre++) {
            struct solo *s = solo_new(3);
            for (uint64_t slot = 1; slot <= 3; slot++)
                solo_append(s, 2, 2, slot, 2, slot == 1 ? 0 : 2);
            lose_leader(s);
            refuse(s); /* its own candidacy came to nothing */
            solo_message(
                s, 3, question(pre ? RAFT_PRE_VOTE : RAFT_VOTE, 5, asks[i].slot, asks[i].log_term));
            assert_int_equal(granted(s, 3, pre ? RAFT_PRE_VOTE_REPLY : RAFT_VOTE_REPLY),
                             asks[i].grant);
            assert_int_equal(s->p->term, pre ? 2 : 5);
            solo_free(s);
        }
    }
}

static void own_vote_counts_only_when_durable(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 1);
    solo_message(s, 2, (struct raft_message){.kind = RAFT_TRANSFER_NOW, .term = 1});
    assert_true(solo_sends(s, 2, RAFT_VOTE, true)); /* nobody hears of it before, either */
    solo_message(
        s, 3,
        (struct raft_message){
            .kind = RAFT_VOTE_REPLY, .flags = RAFT_FLAG_GRANTED, .term = 2, .id = s->p->attempt});
    assert_int_equal(s->p->phase, RAFT_STANDING);
    solo_durable(s);
    assert_int_equal(s->p->phase, RAFT_LEADING);
    solo_free(s);
}

/* 4.4a: a member that came to a higher term alone, with an old log, is not left behind for ever. */
static void a_member_in_a_higher_term_with_an_old_log_comes_back(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(&engine_raft, 3, seed);
        uint32_t leader = elect(c);
        uint32_t stray = other_than(c, leader, leader);
        cluster_isolate(c, stray, true);
        write_values(c, 5);
        uint8_t buffer[RAFT_HEAD_MAX];
        struct raft_message nack = {.kind = RAFT_NACK, .term = 50};
        cluster_inject(c, stray, c->members[leader].node, raft_message_encode(&nack, 1, buffer),
                       NULL);
        cluster_run_for(c, 2000 * MS);
        cluster_heal(c);
        cluster_run_until(c, cluster_converged, 1500 * MS);
        assert_true(c->members[stray].ballot.round > 50);
        cluster_free(c);
    }
    struct solo *s = solo_new(3); /* both who lead and who ask below its term hear of it */
    solo_follow(s, 2, 9);
    struct raft_message reply;
    solo_append(s, 3, 4, 1, 4, 0);
    assert_true(solo_sent(s, 3, RAFT_NACK, &reply));
    assert_int_equal(reply.term, 9);
    solo_message(s, 3, question(RAFT_PRE_VOTE, 4, 8, 4));
    assert_false(granted(s, 3, RAFT_PRE_VOTE_REPLY));
    assert_true(solo_sent(s, 3, RAFT_PRE_VOTE_REPLY, &reply));
    assert_int_equal(reply.term, 9);
    solo_free(s);
}

/* 4.4b: the longest log is in the old term, the majority in a newer one. */
static void a_refused_pre_vote_brings_the_term(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_append(s, 2, 1, 1, 1, 0);
    lose_leader(s);
    solo_message(s, 3,
                 (struct raft_message){
                     .kind = RAFT_PRE_VOTE_REPLY, .term = 9, .asked = 2, .id = s->p->attempt});
    assert_int_equal(s->p->term, 9);
    assert_int_equal(s->p->phase, RAFT_FOLLOWING);
    lose_leader(s); /* it asks again, in the term that counts */
    struct raft_message ask;
    assert_true(solo_sent(s, 3, RAFT_PRE_VOTE, &ask));
    assert_int_equal(ask.term, 9);
    solo_free(s);
}

/* 4.4c: who asks has no leader any more, and so it helps others to become one. */
static void who_asks_forgets_its_leader(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 1);
    solo_message(s, 3, question(RAFT_PRE_VOTE, 1, 0, 0));
    assert_false(granted(s, 3, RAFT_PRE_VOTE_REPLY));
    solo_step(s, (struct input){.kind = INPUT_PEER, .from = 2, .up = false});
    lose_leader(s);
    assert_int_equal(s->p->leader, NODE_NONE);
    solo_message(s, 3, question(RAFT_PRE_VOTE, 1, 0, 0)); /* of two, the higher number goes on */
    assert_true(granted(s, 3, RAFT_PRE_VOTE_REPLY));
    assert_int_equal(s->p->phase, RAFT_FOLLOWING);
    solo_free(s);
}

/* 4.4d: a member that is behind and cannot hear the leader cannot win, and does not disturb. */
static void a_hopeless_candidate_does_not_flap_the_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *c = cluster_of(&engine_raft, 3, seed);
        uint32_t leader = elect(c);
        uint32_t behind = other_than(c, leader, leader);
        uint64_t round = c->members[leader].ballot.round;
        cluster_cut(c, leader, behind, true); /* it can talk, but does not hear the leader */
        write_values(c, 5);
        cluster_run_for(c, 5000 * MS);
        assert_int_equal(cluster_leader(c), leader);
        assert_int_equal(c->members[leader].ballot.round, round);
        cluster_free(c);
    }
}

static bool count_leaders_messages(struct cluster *c, uint16_t from, uint16_t to, struct bytes head)
{
    uint64_t *counts = c->filter_owner; /* by sender */
    struct raft_message message;
    (void)to;
    assert_true(raft_message_decode(head, 1, &message));
    if (message.kind == RAFT_APPEND || message.kind == RAFT_PROBE || message.kind == RAFT_COMMIT ||
        message.kind == RAFT_READ_ROUND || message.kind == RAFT_BEHIND ||
        (message.kind == RAFT_BEAT && (message.flags & RAFT_FLAG_LEADING)))
        counts[from]++;
    return true;
}

/* 4.4e: a leader that lost its quorum holds nobody hostage: it says nothing more as a leader. */
static void check_quorum_silences_the_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 10; seed++) {
        struct cluster *c = cluster_of(&engine_raft, 5, seed);
        uint32_t leader = elect(c);
        uint32_t bridge = other_than(c, leader, leader);
        for (uint32_t i = 0; i < 5; i++) /* the leader reaches the bridge alone */
            if (i != leader && i != bridge)
                cluster_cut_both(c, leader, i, true);
        cluster_crash(c, other_than(c, leader, bridge)); /* so nobody can do without the bridge */
        cluster_run_for(c, 1500 * MS);
        uint64_t counts[CLUSTER_MAX + 1] = {0};
        c->filter = count_leaders_messages;
        c->filter_owner = counts;
        cluster_run_for(c, 3000 * MS);
        assert_int_equal(counts[c->members[leader].node], 0);
        assert_true(cluster_leader(c) >= 0);
        assert_int_not_equal(cluster_leader(c), leader);
        write_values(c, 3);
        cluster_run_for(c, 200 * MS);
        assert_int_equal(c->members[bridge].applied, c->delivered_max);
        cluster_free(c);
    }
}

/* 4.4f: a pre-vote counts by the term of the question, though the one who answers is behind. */
static void a_pre_vote_counts_by_the_term_of_the_question(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 5);
    lose_leader(s);
    struct raft_message yes = {.kind = RAFT_PRE_VOTE_REPLY,
                               .flags = RAFT_FLAG_GRANTED,
                               .term = 3,
                               .asked = 5,
                               .id = s->p->attempt};
    solo_message(s, 3, yes); /* to an earlier question */
    assert_int_equal(s->p->phase, RAFT_ASKING);
    yes.asked = 6;
    solo_message(s, 3, yes);
    assert_int_equal(s->p->phase, RAFT_STANDING);
    assert_int_equal(s->p->term, 6);
    solo_free(s);
}

static void questions_change_nothing_while_there_is_a_leader(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 5);
    uint32_t written = s->records_count;
    solo_message(s, 3, question(RAFT_PRE_VOTE, 8, 9, 8));
    assert_false(granted(s, 3, RAFT_PRE_VOTE_REPLY));
    solo_message(s, 3, question(RAFT_VOTE, 9, 9, 8));
    assert_false(granted(s, 3, RAFT_VOTE_REPLY));
    assert_int_equal(s->p->term, 5);
    assert_int_equal(s->p->leader, 2);
    assert_int_equal(s->records_count, written);
    struct raft_message ordered = question(RAFT_VOTE, 9, 9, 8);
    ordered.flags = RAFT_FLAG_TRANSFER; /* but an order of the leader is obeyed */
    solo_message(s, 3, ordered);
    assert_true(granted(s, 3, RAFT_VOTE_REPLY));
    assert_int_equal(s->p->term, 9);
    solo_free(s);
}

static void a_pre_vote_raises_no_term(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    uint32_t written = s->records_count;
    solo_message(s, 3, question(RAFT_PRE_VOTE, 8, 9, 8));
    assert_true(granted(s, 3, RAFT_PRE_VOTE_REPLY));
    assert_true(solo_sends(s, 3, RAFT_PRE_VOTE_REPLY, false));
    assert_int_equal(s->p->term, 0);
    assert_int_equal(s->p->vote, NODE_NONE);
    assert_int_equal(s->records_count, written);
    lose_leader(s); /* nor does asking itself */
    assert_int_equal(s->p->term, 0);
    assert_int_equal(s->records_count, written);
    solo_free(s);
}

static void a_candidate_that_cannot_win_any_more_gives_up_at_once(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 5);
    lose_leader(s);
    refuse(s);
    assert_int_equal(s->p->term, 5);
    solo_free(s);
}

static void a_transfer_is_given_up_after_an_election_timeout(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 1);
    solo_lead(s);
    solo_durable(s);
    solo_message(s, 3, (struct raft_message){.kind = RAFT_APPENDED, .term = 2, .slot = 1});
    solo_step(s, (struct input){.kind = INPUT_TRANSFER, .node = 2});
    assert_int_equal(engine_raft.room(s->p), 0);
    assert_int_equal(solo_count_sent(s, 2, RAFT_TRANSFER_NOW), 0); /* it has not got all yet */
    for (uint32_t i = 0; i < 9; i++) {
        solo_message(
            s, 3,
            (struct raft_message){.kind = RAFT_BEAT, .flags = RAFT_FLAG_HEARS_YOU, .term = 2});
        solo_wait(s, 100 * MS);
        assert_int_equal(engine_raft.room(s->p), 0);
    }
    solo_wait(s, 200 * MS);
    assert_true(engine_raft.room(s->p) > 0);
    assert_int_equal(s->p->phase, RAFT_LEADING);
    solo_step(s, (struct input){.kind = INPUT_TRANSFER, .node = 2});
    solo_message(s, 2, (struct raft_message){.kind = RAFT_APPENDED, .term = 2, .slot = 1});
    assert_int_equal(solo_count_sent(s, 2, RAFT_TRANSFER_NOW), 1);
    solo_free(s);
}

static void a_second_leader_of_a_term_is_not_believed(void **state)
{
    (void)state;
    struct solo *s = solo_new(3);
    solo_follow(s, 2, 5);
    solo_append(s, 3, 5, 1, 5, 0);
    assert_int_equal(s->p->dropped, 1);
    assert_int_equal(s->p->last, 0);
    assert_int_equal(s->p->leader, 2);
    solo_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_vote_is_durable_before_it_is_told),
        cmocka_unit_test(one_vote_a_term),
        cmocka_unit_test(only_a_log_that_is_as_good_gets_a_vote),
        cmocka_unit_test(own_vote_counts_only_when_durable),
        cmocka_unit_test(a_member_in_a_higher_term_with_an_old_log_comes_back),
        cmocka_unit_test(a_refused_pre_vote_brings_the_term),
        cmocka_unit_test(who_asks_forgets_its_leader),
        cmocka_unit_test(a_hopeless_candidate_does_not_flap_the_leader),
        cmocka_unit_test(check_quorum_silences_the_leader),
        cmocka_unit_test(a_pre_vote_counts_by_the_term_of_the_question),
        cmocka_unit_test(questions_change_nothing_while_there_is_a_leader),
        cmocka_unit_test(a_pre_vote_raises_no_term),
        cmocka_unit_test(a_candidate_that_cannot_win_any_more_gives_up_at_once),
        cmocka_unit_test(a_transfer_is_given_up_after_an_election_timeout),
        cmocka_unit_test(a_second_leader_of_a_term_is_not_believed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
