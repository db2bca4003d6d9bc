/* What every engine must do, in named situations on small simulated clusters: failovers with a
 * budget of virtual time, partitions that break careless elections, catching up, reads. */
#include "consensus/support_scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void first_boot_has_a_leader_soon(void **state)
{
    const struct engine_ops *ops = *state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(ops, seed % 2 == 0 ? 3 : 5, seed);
        assert_true(cluster_run_until(c, cluster_has_leader, 1000 * MS) < 400 * MS);
        cluster_free(c);
    }
}

static void a_single_member_leads_and_serves(void **state)
{
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 1, 1);
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
    const struct engine_ops *ops = *state;
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct cluster *c = cluster_of(ops, 3, seed);
        uint32_t leader = elect(c);
        write_values(c, 20);
        (void)cluster_propose(c, leader);
        cluster_crash(c, leader);
        uint64_t took = cluster_run_until(c, cluster_has_leader, 1000 * MS);
        worst = took > worst ? took : worst;
        cluster_free(c);
    }
    print_message("%s: killed leader: replaced after %.1f ms at worst\n", ops->name,
                  (double)worst / 1e6);
    assert_true(worst < 100 * MS);
}

static void silent_leader_is_replaced_after_the_election_timeout(void **state)
{
    const struct engine_ops *ops = *state;
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(ops, 3, seed);
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
    print_message("%s: silent leader: replaced after %.1f ms at worst\n", ops->name,
                  (double)worst / 1e6);
    assert_true(worst < 1700 * MS);
}

static void a_dropped_connection_that_comes_back_changes_nothing(void **state)
{
    const struct engine_ops *ops = *state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(ops, 3, seed);
        uint32_t leader = elect(c);
        uint64_t elections = cluster_status(c, other_than(c, leader, leader)).elections;
        struct input input = {.kind = INPUT_PEER, .from = c->members[leader].node, .now = c->now};
        uint32_t follower = other_than(c, leader, leader);
        effects_clear(c->members[follower].fx);
        ops->step(c->members[follower].engine, &input, c->members[follower].fx);
        cluster_run_for(c, 1000 * MS);
        assert_int_equal(cluster_leader(c), leader);
        assert_true(cluster_converged(c));
        assert_int_equal(cluster_status(c, follower).elections, elections);
        cluster_free(c);
    }
}

static void a_restarted_leader_takes_a_new_ballot(void **state)
{
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 3, 7);
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
    const struct engine_ops *ops = *state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(ops, 5, seed);
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

/* Chained partition: A - B - C. Whoever leads stays, and the far end does not disturb. */
static void chain_keeps_one_leader(void **state)
{
    const struct engine_ops *ops = *state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct cluster *c = cluster_of(ops, 3, seed);
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
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 3, 3);
    uint32_t leader = elect(c);
    for (uint32_t i = 0; i < 3; i++) /* it is heard, and hears nothing */
        cluster_cut(c, i, leader, i != leader);
    cluster_run_for(c, 4000 * MS);
    assert_true(cluster_leader(c) >= 0);
    assert_int_not_equal(cluster_leader(c), leader);
    cluster_free(c);
}

static void candidates_do_not_duel(void **state)
{
    const struct engine_ops *ops = *state;
    uint64_t burned = 0;
    uint64_t worst = 0;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct cluster_options options = cluster_options_default(ops, seed);
        options.members = 5;
        options.delay_min_ns = options.delay_max_ns = 20 * MS; /* as symmetric as can be */
        struct cluster *c = cluster_new(options);
        uint64_t took = cluster_run_until(c, cluster_has_leader, 5000 * MS);
        worst = took > worst ? took : worst;
        for (uint32_t i = 0; i < 5; i++)
            burned += cluster_status(c, i).ballots_burned;
        cluster_free(c);
    }
    print_message(
        "%s: symmetric candidates: %llu ballots burned in 100 elections, %.0f ms at worst\n",
        ops->name, (unsigned long long)burned, (double)worst / 1e6);
    assert_true(burned < 100);
    assert_true(worst < 600 * MS);
}

static void leadership_is_handed_over_in_one_round(void **state)
{
    const struct engine_ops *ops = *state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct cluster *c = cluster_of(ops, 3, seed);
        uint32_t leader = elect(c);
        uint32_t target = other_than(c, leader, leader);
        write_values(c, 20);
        struct ballot before = c->members[leader].ballot;
        for (uint32_t i = 0; i < 5; i++)
            (void)cluster_propose(c, leader); /* under way when the order comes */
        bool named = seed % 2 == 0;
        cluster_transfer(c, leader, named ? c->members[target].node : NODE_NONE);
        assert_int_equal(ops->room(c->members[leader].engine), 0);
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
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 3, 5);
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
    const struct engine_ops *ops = *state;
    for (uint32_t by_snapshot = 0; by_snapshot < 2; by_snapshot++) {
        struct cluster *c = cluster_of(ops, 3, 11 + by_snapshot);
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
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 5, 13);
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
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 3, 17);
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

static void a_member_whose_log_is_unreadable_does_not_vote(void **state)
{
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 3, 41);
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
    uint64_t reads = c->members[leader].reads_ok;
    (void)cluster_propose(c, leader);
    cluster_read(c, leader); /* nor does its word confirm a read: it may follow another one */
    cluster_run_for(c, 3000 * MS);
    assert_int_equal(c->delivered_max, before);
    assert_int_equal(c->members[leader].reads_ok, reads);
    cluster_free(c);
}

static void an_idle_member_wakes_once_a_heartbeat(void **state)
{
    const struct engine_ops *ops = *state;
    struct cluster *c = cluster_of(ops, 3, 43);
    elect(c);
    cluster_run_for(c, 1000 * MS);
    uint64_t before = c->steps;
    cluster_run_for(c, 10000 * MS);
    /* 3 members, 100 intervals: one wake and two heartbeats each. */
    assert_true(c->steps - before <= 3 * 101 * 3);
    assert_true(c->steps - before >= 3 * 99 * 3);
    cluster_free(c);
}

#define EACH(test)                                                                                 \
    {"multipaxos: " #test, test, NULL, NULL, (void *)&engine_multipaxos},                          \
    {                                                                                              \
        "raft: " #test, test, NULL, NULL, (void *)&engine_raft                                     \
    }

int main(void)
{
    const struct CMUnitTest tests[] = {
        EACH(first_boot_has_a_leader_soon),
        EACH(a_single_member_leads_and_serves),
        EACH(killed_leader_is_replaced_within_100_ms),
        EACH(silent_leader_is_replaced_after_the_election_timeout),
        EACH(a_dropped_connection_that_comes_back_changes_nothing),
        EACH(a_restarted_leader_takes_a_new_ballot),
        EACH(hub_takes_over_when_the_leader_lost_its_quorum),
        EACH(chain_keeps_one_leader),
        EACH(leader_that_nobody_reaches_steps_down),
        EACH(candidates_do_not_duel),
        EACH(leadership_is_handed_over_in_one_round),
        EACH(transfer_to_a_dead_member_is_given_up),
        EACH(lagging_follower_catches_up_by_log_and_by_snapshot),
        EACH(reads_are_answered_by_every_member),
        EACH(a_cut_off_leader_answers_no_read),
        EACH(a_member_whose_log_is_unreadable_does_not_vote),
        EACH(an_idle_member_wakes_once_a_heartbeat),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
