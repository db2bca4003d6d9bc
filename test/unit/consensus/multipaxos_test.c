/* Multi-Paxos by named situations, each on a small simulated cluster: the partial partitions that
 * break other elections, failovers with a budget of virtual time, and the mistakes others made. */
#include "consensus/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *cluster_of(uint32_t members, uint64_t seed)
{
    struct cluster_options options = cluster_options_default(seed);
    options.members = members;
    return cluster_new(options);
}

static uint32_t elect(struct cluster *c)
{
    cluster_run_until(c, cluster_converged, 2000 * MS);
    return (uint32_t)cluster_leader(c);
}

/* Proposes that many values at whoever leads, as room allows. */
static void write_values(struct cluster *c, uint32_t count)
{
    for (uint64_t end = c->now + 20000 * MS; count > 0 && c->now < end;) {
        int leader = cluster_leader(c);
        if (leader >= 0 && cluster_propose(c, (uint32_t)leader))
            count--;
        else
            cluster_run_for(c, MS);
    }
    assert_int_equal(count, 0);
    cluster_run_for(c, 20 * MS);
}

static uint32_t other_than(const struct cluster *c, uint32_t a, uint32_t b)
{
    uint32_t place = 0;
    while (place == a || place == b)
        place++;
    assert_true(place < c->options.members);
    return place;
}

static void first_boot_has_a_leader_soon(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(seed % 2 == 0 ? 3 : 5, seed);
        assert_true(cluster_run_until(c, cluster_has_leader, 1000 * MS) < 400 * MS);
        cluster_free(c);
    }
}

static void a_single_member_leads_and_serves(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(1, 1);
    elect(c);
    write_values(c, 100);
    cluster_read(c, 0);
    assert_int_equal(c->members[0].reads_ok, 1); /* confirmed at once */
    uint64_t delivered = c->delivered_max;
    assert_int_equal(delivered, 101); /* and the barrier */
    cluster_crash(c, 0);
    cluster_restart(c, 0);
    cluster_run_until(c, cluster_converged, 1000 * MS);
    assert_true(c->members[0].applied > delivered);
    cluster_free(c);
}

static void killed_leader_is_replaced_within_100_ms(void **state)
{
    (void)state;
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct cluster *c = cluster_of(3, seed);
        uint32_t leader = elect(c);
        write_values(c, 20);
        (void)cluster_propose(c, leader);
        cluster_crash(c, leader);
        uint64_t took = cluster_run_until(c, cluster_has_leader, 1000 * MS);
        worst = took > worst ? took : worst;
        cluster_free(c);
    }
    print_message("killed leader: replaced after %.1f ms at worst\n", (double)worst / 1e6);
    assert_true(worst < 100 * MS);
}

static void silent_leader_is_replaced_after_the_election_timeout(void **state)
{
    (void)state;
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(3, seed);
        uint32_t leader = elect(c);
        write_values(c, 5);
        cluster_pause(c, leader, true);
        uint64_t took = cluster_run_until(c, cluster_has_leader, 3000 * MS);
        assert_true(took >= 900 * MS);
        worst = took > worst ? took : worst;
        cluster_pause(c, leader, false);
        cluster_run_until(c, cluster_converged, 3000 * MS);
        cluster_free(c);
    }
    print_message("silent leader: replaced after %.1f ms at worst\n", (double)worst / 1e6);
    assert_true(worst < 1700 * MS);
}

static void a_dropped_connection_that_comes_back_changes_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(3, seed);
        uint32_t leader = elect(c);
        uint64_t elections = cluster_engine(c, other_than(c, leader, leader))->elections;
        struct input input = {.kind = INPUT_PEER, .from = c->members[leader].node, .now = c->now};
        uint32_t follower = other_than(c, leader, leader);
        effects_clear(c->members[follower].fx);
        engine_multipaxos.step(c->members[follower].engine, &input, c->members[follower].fx);
        cluster_run_for(c, 1000 * MS);
        assert_int_equal(cluster_leader(c), leader);
        assert_true(cluster_converged(c));
        assert_int_equal(cluster_engine(c, follower)->elections, elections);
        cluster_free(c);
    }
}

static void a_restarted_leader_takes_a_new_ballot(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 7);
    uint32_t leader = elect(c);
    struct ballot before = c->members[leader].ballot;
    for (uint32_t i = 0; i < 3; i++)
        cluster_crash(c, i);
    cluster_heal(c);
    cluster_run_until(c, cluster_converged, 3000 * MS);
    int again = cluster_leader(c);
    assert_true(c->members[again].ballot.round > before.round);
    cluster_free(c);
}

/* Quorum loss: the leader hears one member only, and that one hears everybody. */
static void hub_takes_over_when_the_leader_lost_its_quorum(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(5, seed);
        uint32_t leader = elect(c);
        uint32_t hub = other_than(c, leader, leader);
        for (uint32_t a = 0; a < 5; a++)
            for (uint32_t b = 0; b < a; b++)
                cluster_cut_both(c, a, b, a != hub && b != hub);
        cluster_run_for(c, 4000 * MS);
        assert_int_equal(cluster_leader(c), hub);
        write_values(c, 10);
        cluster_heal(c);
        cluster_run_until(c, cluster_converged, 3000 * MS);
        cluster_free(c);
    }
}

/* Constrained election: only one member is connected to a quorum, and it is behind. */
static void member_with_a_quorum_wins_even_if_it_is_behind(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(5, seed);
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

/* Chained partition: A - B - C. Whoever leads stays, and the far end does not disturb. */
static void chain_keeps_one_leader(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(3, seed);
        uint32_t leader = elect(c);
        uint32_t far = other_than(c, leader, leader);
        cluster_cut_both(c, leader, far, true);
        cluster_run_for(c, 3000 * MS);
        int now = cluster_leader(c);
        assert_true(now >= 0);
        uint64_t round = c->members[now].ballot.round;
        cluster_run_for(c, 5000 * MS);
        assert_int_equal(cluster_leader(c), now);
        assert_int_equal(c->members[now].ballot.round, round);
        write_values(c, 5);
        cluster_run_for(c, 500 * MS);
        assert_int_equal(c->members[far].applied, c->delivered_max); /* through the middle */
        cluster_free(c);
    }
}

static void leader_that_nobody_reaches_steps_down(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 3);
    uint32_t leader = elect(c);
    for (uint32_t i = 0; i < 3; i++) /* it is heard, and hears nothing */
        cluster_cut(c, i, leader, i != leader);
    cluster_run_for(c, 4000 * MS);
    assert_true(cluster_leader(c) >= 0);
    assert_int_not_equal(cluster_leader(c), leader);
    cluster_free(c);
}

static bool silence_candidate(struct cluster *c, uint16_t from, uint16_t to,
                              const struct multipaxos_message *message)
{
    const struct cluster_member *silenced = c->filter_owner;
    (void)to;
    return from != silenced->node || message->kind != MESSAGE_PRE_PREPARE;
}

static void candidate_behind_every_floor_still_wins(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(3, seed);
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

static void candidates_do_not_duel(void **state)
{
    (void)state;
    uint64_t burned = 0;
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct cluster_options options = cluster_options_default(seed);
        options.members = 5;
        options.delay_min_ns = options.delay_max_ns = 20 * MS; /* as symmetric as can be */
        struct cluster *c = cluster_new(options);
        uint64_t took = cluster_run_until(c, cluster_has_leader, 5000 * MS);
        worst = took > worst ? took : worst;
        for (uint32_t i = 0; i < 5; i++)
            burned += cluster_engine(c, i)->ballots_burned;
        cluster_free(c);
    }
    print_message("symmetric candidates: %llu ballots burned in 100 elections, %.0f ms at worst\n",
                  (unsigned long long)burned, (double)worst / 1e6);
    assert_true(burned < 100);
    assert_true(worst < 600 * MS);
}

static void leadership_is_handed_over_in_one_round(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(3, seed);
        uint32_t leader = elect(c);
        uint32_t target = other_than(c, leader, leader);
        write_values(c, 20);
        struct ballot before = c->members[leader].ballot;
        for (uint32_t i = 0; i < 5; i++)
            (void)cluster_propose(c, leader); /* under way when the order comes */
        bool named = seed % 2 == 0;
        cluster_transfer(c, leader, named ? c->members[target].node : NODE_NONE);
        assert_int_equal(engine_multipaxos.room(c->members[leader].engine), 0);
        uint64_t begin = c->now;
        while (cluster_leader(c) == (int)leader || cluster_leader(c) < 0)
            cluster_run_for(c, MS);
        assert_true(c->now - begin < 50 * MS);
        if (named)
            assert_int_equal(cluster_leader(c), target);
        assert_int_equal(c->members[cluster_leader(c)].ballot.round, before.round + 1);
        cluster_run_until(c, cluster_converged, 1000 * MS);
        cluster_free(c);
    }
}

static void transfer_to_a_dead_member_is_given_up(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 5);
    uint32_t leader = elect(c);
    uint32_t target = other_than(c, leader, leader);
    cluster_crash(c, target);
    cluster_run_for(c, 10 * MS);
    write_values(c, 3);
    cluster_transfer(c, leader, c->members[target].node);
    assert_false(cluster_propose(c, leader));
    cluster_run_for(c, 1500 * MS);
    assert_int_equal(cluster_leader(c), leader);
    assert_true(cluster_propose(c, leader));
    cluster_free(c);
}

static void lagging_follower_catches_up_by_log_and_by_snapshot(void **state)
{
    (void)state;
    for (uint32_t by_snapshot = 0; by_snapshot < 2; by_snapshot++) {
        struct cluster *c = cluster_of(3, 11 + by_snapshot);
        uint32_t leader = elect(c);
        uint32_t follower = other_than(c, leader, leader);
        cluster_crash(c, follower);
        write_values(c, 300);
        if (by_snapshot) {
            cluster_snapshot(c, leader);
            cluster_snapshot(c, other_than(c, leader, follower));
            cluster_run_for(c, 50 * MS);
            write_values(c, 20);
        }
        cluster_restart(c, follower);
        assert_true(cluster_run_until(c, cluster_converged, 5000 * MS) < 2000 * MS);
        assert_int_equal(c->members[follower].snapshots_installed, by_snapshot);
        cluster_crash(c, follower);
        cluster_restart(c, follower);
        cluster_run_until(c, cluster_converged, 2000 * MS);
        cluster_free(c);
    }
}

static void reads_are_answered_by_every_member(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(5, 13);
    elect(c);
    write_values(c, 10);
    for (uint32_t i = 0; i < 5; i++) {
        cluster_read(c, i);
        cluster_read(c, i);
    }
    cluster_run_for(c, 20 * MS);
    for (uint32_t i = 0; i < 5; i++) {
        assert_int_equal(c->members[i].reads_ok, 2);
        assert_true(c->members[i].read_slot_last >= 11);
    }
    cluster_free(c);
}

static void a_cut_off_leader_answers_no_read(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 17);
    uint32_t leader = elect(c);
    write_values(c, 10);
    cluster_isolate(c, leader, true);
    uint64_t before = c->members[leader].reads_ok;
    cluster_read(c, leader);
    cluster_run_for(c, 1500 * MS);
    assert_int_equal(c->members[leader].reads_ok, before);
    assert_int_equal(c->members[leader].reads_failed, 1);
    cluster_free(c);
}

/* Isolated from the rest so that the test alone decides what the leader hears. */
static struct cluster *leader_alone(uint64_t seed, uint32_t *ret_leader)
{
    struct cluster *c = cluster_of(3, seed);
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
    cluster_inject(c, leader, from, &accepted, NULL);
    assert_int_equal(p->chosen_upto, slot - 1);
    accepted.ballot = p->ballot;
    cluster_inject(c, leader, from, &accepted, NULL);
    assert_int_equal(p->chosen_upto, slot);
    cluster_free(c);
}

static void own_vote_counts_only_when_durable(void **state)
{
    (void)state;
    struct cluster_options options = cluster_options_default(23);
    options.disk_min_ns = options.disk_max_ns = 50 * MS;
    struct cluster *c = cluster_new(options);
    uint32_t leader = elect(c);
    cluster_isolate(c, leader, true);
    assert_true(cluster_propose(c, leader));
    const struct multipaxos *p = cluster_engine(c, leader);
    uint64_t slot = p->next_slot - 1;
    struct multipaxos_message accepted = from_member(MESSAGE_ACCEPTED, p->ballot, slot);
    cluster_inject(c, leader, c->members[other_than(c, leader, leader)].node, &accepted, NULL);
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
    struct cluster_options options = cluster_options_default(29);
    struct cluster *c = cluster_new(options);
    memset(c->cut, 1, sizeof c->cut);
    uint8_t bytes[8] = {42};
    struct blob *entry = blob_copy(&c->mem, bytes_of(bytes, sizeof bytes));
    const struct multipaxos *p = cluster_engine(c, 0);
    struct ballot first = {1, 2, BALLOT_CLASSIC};
    struct ballot second = {2, 3, BALLOT_CLASSIC};
    struct multipaxos_message accept = from_member(MESSAGE_ACCEPT, first, 1);
    cluster_inject(c, 0, 2, &accept, entry);
    struct multipaxos_message commit = from_member(MESSAGE_COMMIT, second, 0);
    commit.chosen_upto = 1;
    cluster_inject(c, 0, 3, &commit, NULL);
    assert_int_equal(p->chosen_upto, 0);
    accept.ballot = second;
    cluster_inject(c, 0, 3, &accept, NULL); /* a no-op: the commit came before it */
    assert_int_equal(p->chosen_upto, 1);
    assert_int_equal(c->chosen[1], 1);
    blob_drop(entry);
    cluster_free(c);
}

static void inject_page(struct cluster *c, uint16_t from, uint64_t after, uint64_t slot,
                        struct ballot vbal, struct blob *entry)
{
    struct multipaxos_message page =
        from_member(MESSAGE_PROMISE, cluster_engine(c, 0)->ballot, slot);
    page.from = after;
    page.vbal = vbal;
    page.flags = slot == after ? FLAG_LAST : FLAG_REPORT;
    cluster_inject(c, 0, from, &page, entry);
}

static void a_new_leader_adopts_the_value_of_the_highest_ballot(void **state)
{
    (void)state;
    struct cluster_options options = cluster_options_default(47);
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
    cluster_inject(c, 0, 2, &message, entries[0]);
    message.slot = 2;
    cluster_inject(c, 0, 2, &message, entries[0]);
    message = from_member(MESSAGE_TRANSFER_NOW, second, 0);
    cluster_inject(c, 0, 2, &message, NULL);
    message = from_member(MESSAGE_PRE_PROMISE, third, 0);
    message.id = p->attempt;
    message.flags = FLAG_WILLING;
    cluster_inject(c, 0, 3, &message, NULL);
    cluster_inject(c, 0, 4, &message, NULL);
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

static bool drop_middle_pages(struct cluster *c, uint16_t from, uint16_t to,
                              const struct multipaxos_message *message)
{
    (void)from;
    (void)to;
    if (message->kind != MESSAGE_PROMISE || (message->flags & FLAG_REPORT) == 0)
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
        struct cluster *c = cluster_of(3, seed);
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
    struct cluster *c = cluster_of(3, 31);
    memset(c->cut, 1, sizeof c->cut);
    const struct multipaxos *p = cluster_engine(c, 0);
    struct ballot ballot = {1, 2, BALLOT_CLASSIC};
    struct multipaxos_message accept = from_member(MESSAGE_ACCEPT, ballot, 17);
    cluster_inject(c, 0, 2, &accept, NULL);
    assert_null(multipaxos_window_find(p, 17));
    accept.slot = 16;
    cluster_inject(c, 0, 2, &accept, NULL);
    assert_non_null(multipaxos_window_find(p, 16));
    cluster_free(c);
}

static void foreign_and_malformed_messages_are_counted_and_dropped(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 37);
    const struct multipaxos *p = cluster_engine(c, 0);
    uint64_t dropped = p->dropped;
    struct ballot others = {5, 3, BALLOT_CLASSIC};
    struct multipaxos_message accept = from_member(MESSAGE_ACCEPT, others, 1);
    cluster_inject(c, 0, 2, &accept, NULL); /* in the ballot of somebody else */
    assert_int_equal(p->dropped, dropped + 1);
    cluster_inject(c, 0, 9, &accept, NULL); /* from a stranger */
    assert_int_equal(p->dropped, dropped + 2);
    accept.ballot.round = UINT64_MAX;
    cluster_inject(c, 0, 3, &accept, NULL);
    assert_int_equal(p->dropped, dropped + 3);
    assert_int_equal(p->promised.round, 0);
    cluster_free(c);
}

static void a_member_whose_log_is_unreadable_does_not_vote(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 41);
    uint32_t leader = elect(c);
    write_values(c, 5);
    uint32_t victim = other_than(c, leader, leader);
    cluster_crash(c, victim);
    struct cluster_member *m = &c->members[victim];
    m->log[m->log_count - 1].head_size = 3;
    cluster_crash(c, other_than(c, leader, victim));
    cluster_restart(c, victim);
    cluster_run_for(c, 50 * MS);
    uint64_t before = c->delivered_max;
    (void)cluster_propose(c, leader);
    cluster_run_for(c, 3000 * MS);
    assert_int_equal(c->delivered_max, before);
    cluster_free(c);
}

static void an_idle_member_wakes_once_a_heartbeat(void **state)
{
    (void)state;
    struct cluster *c = cluster_of(3, 43);
    elect(c);
    cluster_run_for(c, 1000 * MS);
    uint64_t before = c->steps;
    cluster_run_for(c, 10000 * MS);
    /* 3 members, 100 intervals: one wake and two heartbeats each. */
    assert_true(c->steps - before <= 3 * 101 * 3);
    assert_true(c->steps - before >= 3 * 99 * 3);
    cluster_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(first_boot_has_a_leader_soon),
        cmocka_unit_test(a_single_member_leads_and_serves),
        cmocka_unit_test(killed_leader_is_replaced_within_100_ms),
        cmocka_unit_test(silent_leader_is_replaced_after_the_election_timeout),
        cmocka_unit_test(a_dropped_connection_that_comes_back_changes_nothing),
        cmocka_unit_test(a_restarted_leader_takes_a_new_ballot),
        cmocka_unit_test(hub_takes_over_when_the_leader_lost_its_quorum),
        cmocka_unit_test(member_with_a_quorum_wins_even_if_it_is_behind),
        cmocka_unit_test(chain_keeps_one_leader),
        cmocka_unit_test(leader_that_nobody_reaches_steps_down),
        cmocka_unit_test(candidate_behind_every_floor_still_wins),
        cmocka_unit_test(candidates_do_not_duel),
        cmocka_unit_test(leadership_is_handed_over_in_one_round),
        cmocka_unit_test(transfer_to_a_dead_member_is_given_up),
        cmocka_unit_test(lagging_follower_catches_up_by_log_and_by_snapshot),
        cmocka_unit_test(reads_are_answered_by_every_member),
        cmocka_unit_test(a_cut_off_leader_answers_no_read),
        cmocka_unit_test(an_acceptance_of_an_old_ballot_does_not_count),
        cmocka_unit_test(own_vote_counts_only_when_durable),
        cmocka_unit_test(a_commit_counts_only_for_what_was_accepted_in_its_ballot),
        cmocka_unit_test(a_new_leader_adopts_the_value_of_the_highest_ballot),
        cmocka_unit_test(a_torn_promise_is_asked_for_again),
        cmocka_unit_test(a_follower_drops_what_lies_beyond_its_window),
        cmocka_unit_test(foreign_and_malformed_messages_are_counted_and_dropped),
        cmocka_unit_test(a_member_whose_log_is_unreadable_does_not_vote),
        cmocka_unit_test(an_idle_member_wakes_once_a_heartbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
