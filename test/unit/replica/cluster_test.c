/* Whole replicas under faults: seeds of random histories, and the named cases. Run with a number to
 * replay one seed (SYNOD_TEST_ENGINE names one engine, SYNOD_TEST_LOG=1 shows what the members
 * log). */
#include "replica/support_cluster.h"

#include "store/store_internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define SEC (1000 * MS)
#ifdef __SANITIZE_ADDRESS__
#define SEEDS 15 /* ten times slower */
#else
#define SEEDS 200
#endif

static void check(struct cluster *c, uint64_t seed)
{
    if (cluster_violation(c) != NULL)
        fail_msg("seed %llu: %s", (unsigned long long)seed, cluster_violation(c));
}

/* Where everybody stands, for a failure's report. */
static void describe(struct cluster *c, uint32_t members)
{
    for (uint32_t i = 0; i < members; i++) {
        struct replica_status s;
        if (!cluster_alive(c, i))
            continue;
        replica_status(cluster_replica(c, i), &s);
        print_message("m%u: term %llu leader %llx%s proposed %llu chosen %llu applied %llu "
                      "snapshot %llu pending %llu%s\n",
                      i + 1, (unsigned long long)s.term, (unsigned long long)s.leader,
                      s.leading ? " (leading)" : "", (unsigned long long)s.slot_proposed,
                      (unsigned long long)s.slot_chosen, (unsigned long long)s.slot_applied,
                      (unsigned long long)s.snapshot_slot, (unsigned long long)s.proposals_pending,
                      s.diverged ? " DIVERGED" : "");
    }
}

/* Settles a healed cluster with everybody alive, and compares all members. */
static void settle(struct cluster *c, uint32_t members, uint64_t seed)
{
    cluster_heal(c);
    cluster_run(c, SEC / 2); /* what a disk has failed is reported, and its member ends */
    for (uint32_t i = 0; i < members; i++)
        cluster_restart(c, i);
    check(c, seed);
    if (cluster_run_until_leader(c, 20 * SEC) < 0)
        fail_msg("seed %llu: no leader after healing", (unsigned long long)seed);
    if (!cluster_run_until_quiet(c, 20 * SEC))
        fail_msg("seed %llu: clients still wait after healing", (unsigned long long)seed);
    cluster_run(c, SEC); /* what comes inside a snapshot has no result */
    uint64_t before = cluster_acknowledged(c);
    for (uint32_t i = 0; i < members; i++)
        cluster_put(c, i);
    cluster_run_until_quiet(c, 10 * SEC);
    check(c, seed);
    if (cluster_acknowledged(c) != before + members) {
        describe(c, members);
        fail_msg("seed %llu: no progress after healing", (unsigned long long)seed);
    }
    cluster_run(c, 8 * SEC); /* every lease runs out */
    cluster_check_end(c);
    check(c, seed);
}

static void random_fault(struct cluster *c, uint32_t members)
{
    struct prng *prng = cluster_prng(c);
    uint32_t a = (uint32_t)prng_below(prng, members);
    uint32_t b = (uint32_t)prng_below(prng, members);
    switch (prng_below(prng, 16)) {
    case 0:
        cluster_crash(c, a, true);
        break;
    case 1:
        cluster_crash(c, a, false);
        break;
    case 2:
        for (uint32_t i = 0; i < members; i++)
            cluster_crash(c, i, true);
        break;
    case 3:
    case 4:
    case 5:
        cluster_restart(c, a);
        break;
    case 6:
        if (a != b)
            cluster_cut(c, a, b, true);
        break;
    case 7:
        cluster_pause(c, a, true);
        break;
    case 8:
        cluster_set_loss(c, (uint32_t)prng_below(prng, 10));
        break;
    case 9:
        cluster_heal(c);
        break;
    case 10:
        cluster_slow_disk(c, a, 10 * MS << prng_below(prng, 4));
        break;
    case 11:
        cluster_break_disk(c, a);
        break;
    case 12:
    case 13:
        cluster_transfer(c, a, b);
        break;
    case 14: /* nothing from it arrives, but it hears the others */
        for (uint32_t i = 0; i < members; i++)
            cluster_cut(c, a, i, true);
        break;
    case 15: /* alone */
        for (uint32_t i = 0; i < members; i++) {
            cluster_cut(c, a, i, true);
            cluster_cut(c, i, a, true);
        }
        break;
    }
}

/* True if enough happened for the run to say something. */
static bool run_seed(uint64_t seed)
{
    struct prng draw = prng_seed(seed ^ 0x5eed);
    uint32_t members = (uint32_t[]){1, 3, 3, 3, 5}[prng_below(&draw, 5)];
    struct cluster *c = cluster_new(seed, members);
    if (prng_below(&draw, 2) == 0)
        cluster_set_snapshot_slots(c, 20 + prng_below(&draw, 100));
    if (prng_below(&draw, 2) == 0)
        cluster_set_value_size(c, 1 << (4 + prng_below(&draw, 10)));
    cluster_run_until_leader(c, 5 * SEC);
    for (int round = 0; round < 150; round++) {
        for (uint64_t i = prng_below(&draw, 12); i > 0; i--)
            cluster_put(c, (uint32_t)prng_below(&draw, members));
        for (uint64_t i = prng_below(&draw, 4); i > 0; i--)
            cluster_read(c, (uint32_t)prng_below(&draw, members));
        if (prng_below(&draw, 6) == 0)
            cluster_grant(c, (uint32_t)prng_below(&draw, members));
        if (prng_below(&draw, 2) == 0)
            cluster_touch_lease(c, (uint32_t)prng_below(&draw, members));
        if (prng_below(&draw, 20) == 0)
            cluster_compact(c, (uint32_t)prng_below(&draw, members));
        if (prng_below(&draw, 8) == 0)
            random_fault(c, members);
        cluster_run(c, prng_below(&draw, 120 * MS));
        check(c, seed);
    }
    settle(c, members, seed);
    bool happened = cluster_acknowledged(c) >= 100 && cluster_reads_checked(c) >= 10;
    cluster_free(c);
    return happened;
}

static void random_histories_keep_every_promise(void **state)
{
    (void)state;
    uint32_t happened = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        happened += run_seed(seed);
    assert_true(happened > SEEDS * 3 / 4);
}

static void a_member_that_missed_the_log_catches_up_from_a_snapshot(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(7, 3);
    cluster_crash(c, 2, false);
    cluster_set_snapshot_slots(c, 50);
    cluster_crash(c, 0, false);
    cluster_crash(c, 1, false);
    cluster_restart(c, 0);
    cluster_restart(c, 1);
    assert_true(cluster_run_until_leader(c, 10 * SEC) >= 0);
    /* Enough for the log to be trimmed behind several snapshots: the log kept for laggards is 16
     * MiB. */
    for (int i = 0; i < 600; i++) {
        cluster_put(c, (uint32_t)i % 2);
        cluster_run(c, 5 * MS);
    }
    settle(c, 3, 7);
    cluster_free(c);
}

/* Writes slot by slot, through members that live. */
static void write_slots(struct cluster *c, uint32_t member, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        cluster_put(c, member);
        cluster_run(c, 5 * MS);
    }
}

/* A cluster whose members take a snapshot every `slots` slots. */
static struct cluster *cluster_with_snapshots(uint64_t seed, uint32_t members, uint64_t slots)
{
    struct cluster *c = cluster_new(seed, members);
    cluster_set_snapshot_slots(c, slots);
    for (uint32_t i = 0; i < members; i++) {
        cluster_crash(c, i, false);
        cluster_restart(c, i);
    }
    return c;
}

/* Five members, of which one led while it was cut off, and so accepted what was never chosen; then
 * it was given a snapshot. Another one was dead meanwhile. */
static struct cluster *cluster_with_stale_log(uint64_t seed, uint32_t *ret_stale,
                                              uint32_t *ret_dead)
{
    struct cluster *c = cluster_with_snapshots(seed, 5, 40);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    uint32_t stale = (uint32_t)leader;
    uint32_t dead = (stale + 1) % 5;
    uint32_t writer = (stale + 2) % 5;
    write_slots(c, stale, 60);
    cluster_crash(c, dead, false);
    for (uint32_t i = 0; i < 5; i++) {
        cluster_cut(c, stale, i, true);
        cluster_cut(c, i, stale, true);
    }
    for (uint32_t i = 0; i < 8; i++) {
        cluster_put(c, stale); /* in a slot that the others will fill with something else */
        cluster_run(c, MS);
    }
    cluster_run(c, 4 * SEC);
    cluster_set_value_size(c, 8000); /* so that the log of the others is trimmed */
    write_slots(c, writer, 400);
    cluster_set_value_size(c, 0);
    cluster_run(c, 10 * SEC);
    cluster_heal(c);
    cluster_run(c, 5 * SEC);
    check(c, seed);
    assert_true(cluster_slot(c, stale) == cluster_slot(c, writer));
    *ret_stale = stale;
    *ret_dead = dead;
    return c;
}

static void what_was_accepted_below_a_received_snapshot_is_not_handed_out(void **state)
{
    (void)state;
    uint32_t stale, dead;
    struct cluster *c = cluster_with_stale_log(19, &stale, &dead);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    if ((uint32_t)leader != stale)
        cluster_transfer(c, (uint32_t)leader, stale);
    cluster_run(c, 2 * SEC);
    assert_int_equal(cluster_run_until_leader(c, SEC), (int)stale);
    cluster_restart(c, dead); /* it asks the leader first */
    cluster_run(c, 5 * SEC);
    check(c, 19);
    assert_true(cluster_slot(c, dead) == cluster_slot(c, stale));
    settle(c, 5, 19);
    cluster_free(c);
}

static void a_member_that_falls_back_to_an_older_snapshot_asks_for_the_rest(void **state)
{
    (void)state;
    uint32_t stale, dead;
    struct cluster *c = cluster_with_stale_log(23, &stale, &dead);
    cluster_crash(c, stale, false);
    assert_true(cluster_damage_snapshot(c, stale));
    cluster_restart(c, stale);
    cluster_run(c, 5 * SEC);
    check(c, 23);
    settle(c, 5, 23);
    cluster_free(c);
}

/* The network is faster than this disk: what was received waits in memory, and must not grow with
 * the snapshot. */
static void a_snapshot_comes_no_faster_than_the_disk_takes_it(void **state)
{
    (void)state;
    struct cluster *c = cluster_with_snapshots(41, 3, 40);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    uint32_t slow = ((uint32_t)leader + 1) % 3;
    cluster_crash(c, slow, false);
    cluster_set_value_size(c, 16000);
    write_slots(c, (uint32_t)leader, 800);
    cluster_set_value_size(c, 0);
    cluster_restart(c, slow);
    cluster_slow_disk(c, slow, 300 * MS);
    uint64_t most = 0;
    for (int i = 0; i < 60000 && cluster_slot(c, slow) < 700; i++) {
        cluster_run(c, MS);
        uint64_t unwritten = cluster_unwritten(c, slow);
        most = unwritten > most ? unwritten : most;
    }
    assert_true(cluster_slot(c, slow) >= 700);
    assert_true(most > 0 && most <= 2u << 20); /* of some six MiB */
    settle(c, 3, 41);
    cluster_free(c);
}

static void a_disk_that_fails_under_a_snapshot_ends_the_transfer(void **state)
{
    (void)state;
    for (uint64_t seed = 51; seed <= 54; seed++) {
        struct cluster *c = cluster_with_snapshots(seed, 3, 40);
        int leader = cluster_run_until_leader(c, 10 * SEC);
        assert_true(leader >= 0);
        uint32_t slow = ((uint32_t)leader + 1) % 3;
        cluster_crash(c, slow, false);
        cluster_set_value_size(c, 16000);
        write_slots(c, (uint32_t)leader, 600);
        cluster_set_value_size(c, 0);
        cluster_restart(c, slow);
        cluster_slow_disk(c, slow, 300 * MS);
        for (int i = 0; i < 20000 && cluster_unwritten(c, slow) <= 1u << 20; i++)
            cluster_run(c, MS);
        assert_true(cluster_unwritten(c, slow) > 1u << 20);
        cluster_break_disk(c, slow);
        cluster_run(c, 5 * SEC);
        settle(c, 3, seed);
        cluster_free(c);
    }
}

static void cut_off(struct cluster *c, uint32_t member, uint32_t members)
{
    for (uint32_t i = 0; i < members; i++) {
        cluster_cut(c, member, i, true);
        cluster_cut(c, i, member, true);
    }
}

/* What stands in the log of a member that led while it was cut off is replaced; until that is
 * durable, the old value is what would be found on its disk. */
static void what_is_not_durable_is_not_handed_out(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 4; seed++) {
        struct cluster *c = cluster_new(seed, 3);
        int leader = cluster_run_until_leader(c, 10 * SEC);
        assert_true(leader >= 0);
        uint32_t stale = (uint32_t)leader;
        cluster_run(c, SEC);
        write_slots(c, stale, 5);
        cut_off(c, stale, 3);
        uint64_t slot = cluster_slot(c, stale) + 1;
        for (uint32_t i = 0; i < 8; i++) {
            cluster_put(c, stale);
            cluster_run(c, MS);
        }
        cluster_run(c, 4 * SEC);
        write_slots(c, (stale + 1) % 3, 20);
        cluster_heal(c);
        cluster_slow_disk(c, stale, 30 * MS);
        for (int i = 0; i < 2000; i++) {
            if (cluster_slot(c, stale) >= slot)
                cluster_ask_log(c, (stale + 1) % 3, stale, slot);
            cluster_run(c, MS);
        }
        settle(c, 3, seed);
        cluster_free(c);
    }
}

/* A member alone, which leads, with large values and a snapshot every so many slots. */
static struct cluster *alone_with_snapshots(uint64_t seed, uint64_t slots)
{
    struct cluster *c = cluster_with_snapshots(seed, 1, slots);
    assert_int_equal(cluster_run_until_leader(c, 10 * SEC), 0);
    cluster_run(c, SEC);
    cluster_set_value_size(c, 16000);
    return c;
}

static uint64_t segments_of(struct cluster *c, uint32_t member)
{
    struct replica_status status;
    replica_status(cluster_replica(c, member), &status);
    return status.journal.segments;
}

/* The incarnation and the engine's promises are written again behind a snapshot; as long as that is
 * on its way, the log before the snapshot is the only place where they stand. */
static void the_log_is_not_trimmed_before_what_must_outlive_it_is_durable(void **state)
{
    (void)state;
    struct cluster *c = alone_with_snapshots(43, 300);
    struct replica_status status = {0};
    while (status.snapshot_slot == 0 && cluster_now(c) < 100 * SEC) {
        uint64_t segments = segments_of(c, 0);
        cluster_put(c, 0);
        cluster_run(c, MS / 5);
        replica_status(cluster_replica(c, 0), &status);
        if (cluster_snapshot_under_way(c, 0)) {
            cluster_hold_log(c, 0, true);
            cluster_run(c, 2 * SEC);
            replica_status(cluster_replica(c, 0), &status);
            assert_true(status.snapshot_slot > 0);
            assert_true(segments > 2 && segments_of(c, 0) >= segments);
            cluster_hold_log(c, 0, false);
            cluster_run(c, SEC);
            assert_true(segments_of(c, 0) < segments);
        }
    }
    assert_true(status.snapshot_slot > 0);
    settle(c, 1, 43);
    cluster_free(c);
}

/* Nobody else shall notice much of it. 32 MiB a second, and more only if the log grows faster. */
static void a_snapshot_takes_its_time(void **state)
{
    (void)state;
    struct cluster *c = alone_with_snapshots(47, 600);
    while (!cluster_snapshot_under_way(c, 0) && cluster_now(c) < 100 * SEC) {
        cluster_put(c, 0);
        cluster_run(c, MS);
    }
    uint64_t began = cluster_now(c);
    while (cluster_snapshot_under_way(c, 0))
        cluster_run(c, MS);
    uint64_t size = cluster_snapshot_size(c, 0);
    assert_true(size > 1024 * 1024);
    uint64_t paced = size / (32 * 1024) * MS;
    assert_in_range(cluster_now(c) - began, paced * 8 / 10, paced * 2);
    settle(c, 1, 47);
    cluster_free(c);
}

/* While a snapshot is written, what was compacted cannot be given back. If the next snapshot is due
 * whenever one ends, the compaction must have its turn in between. */
static void a_compaction_gets_its_turn_between_snapshots(void **state)
{
    (void)state;
    struct cluster *c = alone_with_snapshots(59, 20);
    uint32_t snapshots = 0;
    uint32_t done = 0;
    uint64_t slot = 0;
    for (int i = 0; i < 3000; i++) {
        struct replica_status status;
        const struct store *store = machine_store(replica_machine(cluster_replica(c, 0)));
        cluster_put(c, 0);
        if (i % 100 == 50 && store->squeeze.floor >= store->compacted) {
            done++;
            cluster_compact(c, 0);
        }
        cluster_run(c, MS);
        replica_status(cluster_replica(c, 0), &status);
        snapshots += status.snapshot_slot != slot;
        slot = status.snapshot_slot;
    }
    assert_true(snapshots > 10);
    assert_true(done > 10); /* each one begins when the one before was over */
    settle(c, 1, 59);
    cluster_free(c);
}

/* It leads as far as it knows, while another keeps the leases already: its word would be worth
 * nothing. The clients of the harness count on every renewal that they are told of. */
static void a_leader_that_is_cut_off_renews_no_lease(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        struct cluster *c = cluster_new(seed, 3);
        int leader = cluster_run_until_leader(c, 10 * SEC);
        assert_true(leader >= 0);
        cluster_run(c, SEC);
        cluster_grant(c, (uint32_t)leader);
        cluster_run(c, SEC / 2);
        cut_off(c, (uint32_t)leader, 3);
        cluster_run(c, SEC / 2);
        for (int i = 0; i < 4; i++) {
            cluster_touch_lease(c, (uint32_t)leader);
            cluster_run(c, 100 * MS);
        }
        cluster_run(c, 8 * SEC);
        settle(c, 3, seed);
        cluster_free(c);
    }
}

static void an_idle_member_sleeps_between_heartbeats(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(29, 3);
    assert_true(cluster_run_until_leader(c, 10 * SEC) >= 0);
    cluster_grant(c, 0);
    cluster_run(c, 10 * SEC);
    uint64_t before = cluster_timers(c, 0) + cluster_timers(c, 1) + cluster_timers(c, 2);
    cluster_run(c, 10 * SEC);
    uint64_t fired = cluster_timers(c, 0) + cluster_timers(c, 1) + cluster_timers(c, 2) - before;
    assert_true(fired <= 3 * 110); /* a heartbeat every 100 ms */
    cluster_free(c);
}

/* Whoever reads the metrics wants to know where the time goes: all of it, in the right place. */
static void the_stages_of_a_put_add_up(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(53, 3);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    for (uint32_t i = 0; i < 3; i++)
        cluster_slow_disk(c, i, 40 * MS);
    cluster_run(c, SEC);
    struct replica_status before;
    struct replica_status after;
    replica_status(cluster_replica(c, (uint32_t)leader), &before);
    for (int i = 0; i < 5; i++) {
        cluster_put(c, (uint32_t)leader);
        cluster_run(c, 200 * MS);
    }
    replica_status(cluster_replica(c, (uint32_t)leader), &after);
    const struct replica_stages *stages = &after.stages;
    assert_true(after.batches >= before.batches + 5);
    assert_int_equal(stages->queue_ns.count, after.commit_ns.count);
    assert_int_equal(stages->agree_ns.count, after.commit_ns.count);
    assert_int_equal(stages->apply_ns.count, after.commit_ns.count);
    assert_int_equal(stages->queue_ns.sum + stages->agree_ns.sum + stages->apply_ns.sum,
                     after.commit_ns.sum);
    uint64_t agree = stages->agree_ns.sum - before.stages.agree_ns.sum;
    assert_true(agree >= 50 * MS);
    assert_true(agree >= 9 * (after.commit_ns.sum - before.commit_ns.sum) / 10);
    check(c, 53);
    cluster_free(c);
}

static void a_leader_whose_disk_hangs_hands_over(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(31, 3);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    cluster_run(c, SEC);
    cluster_slow_disk(c, (uint32_t)leader, 3600 * SEC);
    write_slots(c, (uint32_t)leader, 400);
    cluster_run(c, 2 * SEC);
    struct replica_status status;
    replica_status(cluster_replica(c, (uint32_t)leader), &status);
    assert_false(status.leading);
    uint64_t before = cluster_acknowledged(c);
    for (uint32_t i = 0; i < 3; i++)
        cluster_put(c, i);
    cluster_run(c, SEC);
    assert_int_equal(cluster_acknowledged(c), before + 3);
    check(c, 31);
    cluster_free(c);
}

/* The others go on without this disk, and what waits for it must not grow for ever. */
static void what_waits_for_a_disk_that_hangs_is_bounded(void **state)
{
    (void)state;
    struct cluster *c = cluster_with_snapshots(37, 3, 300);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    cluster_run(c, SEC);
    uint32_t slow = ((uint32_t)leader + 1) % 3;
    cluster_slow_disk(c, slow, 3600 * SEC);
    cluster_set_value_size(c, 16000);
    for (int i = 0; i < 300; i++) {
        cluster_put(c, (uint32_t)leader);
        cluster_run(c, 10 * MS);
        assert_true(cluster_journal_pending(c, slow) <= CLUSTER_PENDING_BYTES + (64u << 10));
    }
    assert_true(cluster_acknowledged(c) * 8000 > 3 * CLUSTER_PENDING_BYTES);
    assert_true(cluster_journal_pending(c, slow) > CLUSTER_PENDING_BYTES);
    cluster_set_value_size(c, 0);
    settle(c, 3, 37);
    cluster_free(c);
}

static void a_killed_leader_is_replaced_without_waiting_for_the_timeout(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(11, 3);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    cluster_run(c, SEC);
    uint64_t before = cluster_now(c);
    cluster_crash(c, (uint32_t)leader, false);
    assert_true(cluster_run_until_leader(c, 10 * SEC) >= 0);
    assert_true(cluster_now(c) - before < 300 * MS); /* virtual time */
    settle(c, 3, 11);
    cluster_free(c);
}

static void a_silent_leader_is_replaced_and_serves_no_stale_read(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(13, 3);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    for (uint32_t i = 0; i < 3; i++)
        cluster_read(c, (uint32_t)leader);
    cluster_pause(c, (uint32_t)leader, true);
    uint64_t before = cluster_now(c);
    assert_true(cluster_run_until_leader(c, 10 * SEC) >= 0);
    assert_true(cluster_now(c) - before < 2 * SEC);
    for (uint32_t i = 0; i < 3; i++)
        cluster_put(c, i);
    cluster_run(c, SEC);
    settle(c, 3, 13);
    cluster_free(c);
}

static void a_member_that_lost_its_disk_is_not_listened_to(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(17, 3);
    int leader = cluster_run_until_leader(c, 10 * SEC);
    assert_true(leader >= 0);
    cluster_run(c, SEC);
    uint32_t wiped = ((uint32_t)leader + 1) % 3;
    uint32_t other = ((uint32_t)leader + 2) % 3;
    cluster_wipe(c, wiped);
    cluster_crash(c, other, false);
    uint64_t before = cluster_acknowledged(c);
    cluster_put(c, (uint32_t)leader);
    cluster_run(c, 4 * SEC);
    assert_int_equal(cluster_acknowledged(c),
                     before); /* one member and an amnesiac decide nothing */
    cluster_restart(c, other);
    cluster_run(c, 4 * SEC);
    assert_true(cluster_acknowledged(c) > before);
    assert_int_equal(machine_slot(replica_machine(cluster_replica(c, wiped))), 0);
    check(c, 17);
    cluster_free(c);
}

static void run_seeds(uint64_t first, uint64_t count)
{
    for (uint64_t seed = first; seed < first + count; seed++)
        run_seed(seed);
    printf("%llu passed\n", (unsigned long long)count);
}

int main(int argc, char **argv)
{
    const char *only = getenv("SYNOD_TEST_ENGINE");
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_leader_is_replaced_without_waiting_for_the_timeout),
        cmocka_unit_test(a_silent_leader_is_replaced_and_serves_no_stale_read),
        cmocka_unit_test(a_member_that_missed_the_log_catches_up_from_a_snapshot),
        cmocka_unit_test(what_was_accepted_below_a_received_snapshot_is_not_handed_out),
        cmocka_unit_test(a_member_that_falls_back_to_an_older_snapshot_asks_for_the_rest),
        cmocka_unit_test(the_stages_of_a_put_add_up),
        cmocka_unit_test(a_leader_whose_disk_hangs_hands_over),
        cmocka_unit_test(what_waits_for_a_disk_that_hangs_is_bounded),
        cmocka_unit_test(what_is_not_durable_is_not_handed_out),
        cmocka_unit_test(the_log_is_not_trimmed_before_what_must_outlive_it_is_durable),
        cmocka_unit_test(a_snapshot_takes_its_time),
        cmocka_unit_test(a_compaction_gets_its_turn_between_snapshots),
        cmocka_unit_test(a_leader_that_is_cut_off_renews_no_lease),
        cmocka_unit_test(a_snapshot_comes_no_faster_than_the_disk_takes_it),
        cmocka_unit_test(a_disk_that_fails_under_a_snapshot_ends_the_transfer),
        cmocka_unit_test(an_idle_member_sleeps_between_heartbeats),
        cmocka_unit_test(a_member_that_lost_its_disk_is_not_listened_to),
        cmocka_unit_test(random_histories_keep_every_promise),
    };
    for (uint32_t i = 0; engines_all[i] != NULL; i++) {
        const struct engine_ops *engine = engines_all[i];
        if (only != NULL && strcmp(only, engine->name) != 0)
            continue;
        cluster_use_engine(engine);
        if (argc > 1)
            run_seeds(strtoull(argv[1], NULL, 10), argc > 2 ? strtoull(argv[2], NULL, 10) : 1);
        else
            failed += cmocka_run_group_tests_name(engine->name, tests, NULL, NULL);
    }
    return failed;
}
