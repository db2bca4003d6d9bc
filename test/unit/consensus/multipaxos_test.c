/* Multi-Paxos by named situations, each on a small simulated cluster: elections that do not depend
 * on who has the longest log, takeovers, and the mistakes others made. */
#include "consensus/multipaxos.h"
#include "consensus/support_scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void inject(struct cluster *c, uint32_t to, uint16_t from,
                   const struct multipaxos_message *message, struct blob *entry)
{
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    cluster_inject(c, to, from, multipaxos_message_encode(message, 1, buffer), entry);
}

static struct multipaxos_message message_of(struct bytes head)
{
    struct multipaxos_message message;
    assert_true(multipaxos_message_decode(head, 1, &message));
    return message;
}

/* Constrained election: only one member is connected to a quorum, and it is behind. */
static void member_with_a_quorum_wins_even_if_it_is_behind(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(&engine_multipaxos, 5, seed);
        uint32_t leader = elect(c);
        uint32_t hub = other_than(c, leader, leader);
        cluster_isolate(c, hub, true);
        write_values(c, 8);
        assert_true(c->members[hub].applied + 8 <= c->delivered_max);
        cluster_heal(c);
        for (uint32_t a = 0; a < 5; a++)
            for (uint32_t b = 0; b < a; b++)
                cluster_cut_both(c, a, b, (a != hub && b != hub) || a == leader || b == leader);
        cluster_run_for(c, 5000 * MS);
        assert_int_equal(cluster_leader(c), hub);
        write_values(c, 3);
        cluster_free(c);
    }
}

static bool silence_candidate(struct cluster *c, uint16_t from, uint16_t to, struct bytes head)
{
    const struct cluster_member *silenced = c->filter_owner;
    (void)to;
    return from != silenced->node || message_of(head).kind != MESSAGE_PRE_PREPARE;
}

static void candidate_behind_every_floor_still_wins(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(&engine_multipaxos, 3, seed);
        uint32_t leader = elect(c);
        uint32_t behind = other_than(c, leader, leader);
        uint32_t third = other_than(c, leader, behind);
        cluster_isolate(c, behind, true);
        write_values(c, 200);
        cluster_snapshot(c, leader);
        cluster_snapshot(c, third);
        write_values(c, 20);
        c->filter = silence_candidate;
        c->filter_owner = &c->members[third];
        cluster_crash(c, leader);
        cluster_cut_both(c, behind, third, false);
        cluster_run_until(c, cluster_has_leader, 3000 * MS);
        assert_int_equal(cluster_leader(c), behind);
        assert_int_equal(c->members[behind].applied, c->delivered_max);
        assert_int_equal(c->members[behind].snapshots_installed, 1);
        cluster_free(c);
    }
}

/* Isolated from the rest so that the test alone decides what the leader hears. */
static struct cluster *leader_alone(uint64_t seed, uint32_t *ret_leader)
{
    struct cluster *c = cluster_of(&engine_multipaxos, 3, seed);
    *ret_leader = elect(c);
    write_values(c, 3);
    cluster_isolate(c, *ret_leader, true);
    assert_true(cluster_propose(c, *ret_leader));
    cluster_run_for(c, 10 * MS);
    return c;
}

static struct multipaxos_message from_member(enum multipaxos_kind kind, struct ballot ballot,
                                             uint64_t slot)
{
    return (struct multipaxos_message){.kind = (uint8_t)kind, .ballot = ballot, .slot = slot};
}

static void an_acceptance_of_an_old_ballot_does_not_count(void **state)
{
    (void)state;
    uint32_t leader;
    struct cluster *c = leader_alone(19, &leader);
    const struct multipaxos *p = cluster_engine(c, leader);
    uint64_t slot = p->chosen_upto + 1;
    uint16_t from = c->members[other_than(c, leader, leader)].node;
    struct ballot old = p->ballot;
    old.round--;
    struct multipaxos_message accepted = from_member(MESSAGE_ACCEPTED, old, slot);
    inject(c, leader, from, &accepted, NULL);
    assert_int_equal(p->chosen_upto, slot - 1);
    accepted.ballot = p->ballot;
    inject(c, leader, from, &accepted, NULL);
    assert_int_equal(p->chosen_upto, slot);
    cluster_free(c);
}

static void own_vote_counts_only_when_durable(void **state)
{
    (void)state;
    struct cluster_options options = cluster_options_default(&engine_multipaxos, 23);
    options.disk_min_ns = options.disk_max_ns = 50 * MS;
    struct cluster *c = cluster_new(options);
    uint32_t leader = elect(c);
    cluster_isolate(c, leader, true);
    assert_true(cluster_propose(c, leader));
    const struct multipaxos *p = cluster_engine(c, leader);
    uint64_t slot = p->next_slot - 1;
    struct multipaxos_message accepted = from_member(MESSAGE_ACCEPTED, p->ballot, slot);
    inject(c, leader, c->members[other_than(c, leader, leader)].node, &accepted, NULL);
    assert_int_equal(p->chosen_upto, slot - 1);
    cluster_run_for(c, 60 * MS);
    assert_int_equal(p->chosen_upto, slot);
    cluster_free(c);
}

/* A follower that accepted something in ballot 1 must not deliver it because the leader of ballot 2
 * says that the slot is chosen. */
static void a_commit_counts_only_for_what_was_accepted_in_its_ballot(void **state)
{
    (void)state;
    struct cluster_options options = cluster_options_default(&engine_multipaxos, 29);
    struct cluster *c = cluster_new(options);
    memset(c->cut, 1, sizeof c->cut);
    uint8_t bytes[8] = {42};
    struct blob *entry = blob_copy(&c->mem, bytes_of(bytes, sizeof bytes));
    const struct multipaxos *p = cluster_engine(c, 0);
    struct ballot first = {1, 2, BALLOT_CLASSIC};
    struct ballot second = {2, 3, BALLOT_CLASSIC};
    struct multipaxos_message accept = from_member(MESSAGE_ACCEPT, first, 1);
    inject(c, 0, 2, &accept, entry);
    struct multipaxos_message commit = from_member(MESSAGE_COMMIT, second, 0);
    commit.chosen_upto = 1;
    inject(c, 0, 3, &commit, NULL);
    assert_int_equal(p->chosen_upto, 0);
    accept.ballot = second;
    inject(c, 0, 3, &accept, NULL); /* a no-op: the commit came before it */
    assert_int_equal(p->chosen_upto, 1);
    assert_int_equal(c->chosen[1], 1);
    blob_drop(entry);
    cluster_free(c);
}

static void inject_page(struct cluster *c, uint16_t from, uint64_t after, uint64_t slot,
                        struct ballot vbal, struct blob *entry)
{
    const struct multipaxos *p = cluster_engine(c, 0);
    struct multipaxos_message page = from_member(MESSAGE_PROMISE, p->ballot, slot);
    page.from = after;
    page.vbal = vbal;
    page.flags = slot == after ? FLAG_LAST : FLAG_REPORT;
    inject(c, 0, from, &page, entry);
}

static void a_new_leader_adopts_the_value_of_the_highest_ballot(void **state)
{
    (void)state;
    struct cluster_options options = cluster_options_default(&engine_multipaxos, 47);
    options.members = 5;
    struct cluster *c = cluster_new(options);
    memset(c->cut, 1, sizeof c->cut);
    const struct multipaxos *p = cluster_engine(c, 0);
    const struct ballot first = {1, 4, BALLOT_CLASSIC};
    const struct ballot second = {2, 2, BALLOT_CLASSIC};
    const struct ballot third = {3, 3, BALLOT_CLASSIC};
    struct blob *entries[4];
    for (uint8_t i = 0; i < 4; i++)
        entries[i] = blob_copy(&c->mem, bytes_of((uint8_t[8]){(uint8_t)(100 + i)}, 8));

    struct multipaxos_message message = from_member(MESSAGE_ACCEPT, second, 1);
    inject(c, 0, 2, &message, entries[0]);
    message.slot = 2;
    inject(c, 0, 2, &message, entries[0]);
    message = from_member(MESSAGE_TRANSFER_NOW, second, 0);
    inject(c, 0, 2, &message, NULL);
    message = from_member(MESSAGE_PRE_PROMISE, third, 0);
    message.id = p->attempt;
    message.flags = FLAG_WILLING;
    inject(c, 0, 3, &message, NULL);
    inject(c, 0, 4, &message, NULL);
    assert_int_equal(p->phase, PHASE_PREPARING);
    cluster_run_for(c, 5 * MS);

    inject_page(c, 3, 0, 1, first, entries[1]); /* below what this member accepted */
    inject_page(c, 3, 1, 2, third, entries[2]); /* above */
    inject_page(c, 3, 2, 2, (struct ballot){0}, NULL);
    assert_int_equal(p->phase, PHASE_PREPARING);
    inject_page(c, 4, 0, 2, first, entries[3]);
    inject_page(c, 4, 2, 4, first, entries[3]);
    assert_int_equal(p->phase, PHASE_PREPARING);
    inject_page(c, 4, 4, 4, (struct ballot){0}, NULL);
    assert_int_equal(p->phase, PHASE_LEADING);
    assert_ptr_equal(multipaxos_window_find(p, 1)->entry, entries[0]);
    assert_ptr_equal(multipaxos_window_find(p, 2)->entry, entries[2]);
    assert_null(multipaxos_window_find(p, 3)->entry); /* a hole becomes a no-op */
    assert_ptr_equal(multipaxos_window_find(p, 4)->entry, entries[3]);
    assert_int_equal(p->barrier, 5);
    for (uint32_t i = 0; i < 4; i++)
        blob_drop(entries[i]);
    cluster_free(c);
}

static bool drop_middle_pages(struct cluster *c, uint16_t from, uint16_t to, struct bytes head)
{
    (void)from;
    (void)to;
    struct multipaxos_message message = message_of(head);
    if (message.kind != MESSAGE_PROMISE || (message.flags & FLAG_REPORT) == 0)
        return true;
    uint64_t *left = c->filter_owner;
    if (*left == 0)
        return true;
    --*left;
    return *left % 2 == 0;
}

/* Every value that a quorum accepted survives, although half of the pages get lost. */
static void a_torn_promise_is_asked_for_again(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct cluster *c = cluster_of(&engine_multipaxos, 3, seed);
        uint32_t leader = elect(c);
        write_values(c, 2);
        for (uint32_t i = 0; i < 3; i++) /* accepted everywhere, chosen nowhere */
            cluster_cut(c, i, leader, i != leader);
        for (uint32_t i = 0; i < 10; i++)
            assert_true(cluster_propose(c, leader));
        uint64_t last = c->values;
        cluster_run_for(c, 20 * MS);
        uint64_t left = 30;
        c->filter = drop_middle_pages;
        c->filter_owner = &left;
        cluster_crash(c, leader);
        cluster_run_until(c, cluster_has_leader, 4000 * MS);
        uint64_t found = 0;
        for (uint64_t slot = 1; slot <= c->delivered_max; slot++)
            found += c->chosen[slot] > last - 10 + 1 && c->chosen[slot] <= last + 1 ? 1 : 0;
        assert_int_equal(found, 10);
        cluster_free(c);
    }
}

static void a_follower_drops_what_lies_beyond_its_window(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(&engine_multipaxos, 3, 31);
    memset(c->cut, 1, sizeof c->cut);
    const struct multipaxos *p = cluster_engine(c, 0);
    struct ballot ballot = {1, 2, BALLOT_CLASSIC};
    struct multipaxos_message accept = from_member(MESSAGE_ACCEPT, ballot, 17);
    inject(c, 0, 2, &accept, NULL);
    assert_null(multipaxos_window_find(p, 17));
    accept.slot = 16;
    inject(c, 0, 2, &accept, NULL);
    assert_non_null(multipaxos_window_find(p, 16));
    cluster_free(c);
}

static void foreign_and_malformed_messages_are_counted_and_dropped(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(&engine_multipaxos, 3, 37);
    const struct multipaxos *p = cluster_engine(c, 0);
    uint64_t dropped = p->dropped;
    struct ballot others = {5, 3, BALLOT_CLASSIC};
    struct multipaxos_message accept = from_member(MESSAGE_ACCEPT, others, 1);
    inject(c, 0, 2, &accept, NULL); /* in the ballot of somebody else */
    assert_int_equal(p->dropped, dropped + 1);
    inject(c, 0, 9, &accept, NULL); /* from a stranger */
    assert_int_equal(p->dropped, dropped + 2);
    accept.ballot.round = UINT64_MAX;
    inject(c, 0, 3, &accept, NULL);
    assert_int_equal(p->dropped, dropped + 3);
    assert_int_equal(p->promised.round, 0);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(member_with_a_quorum_wins_even_if_it_is_behind),
        cmocka_unit_test(candidate_behind_every_floor_still_wins),
        cmocka_unit_test(an_acceptance_of_an_old_ballot_does_not_count),
        cmocka_unit_test(own_vote_counts_only_when_durable),
        cmocka_unit_test(a_commit_counts_only_for_what_was_accepted_in_its_ballot),
        cmocka_unit_test(a_new_leader_adopts_the_value_of_the_highest_ballot),
        cmocka_unit_test(a_torn_promise_is_asked_for_again),
        cmocka_unit_test(a_follower_drops_what_lies_beyond_its_window),
        cmocka_unit_test(foreign_and_malformed_messages_are_counted_and_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
