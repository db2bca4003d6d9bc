/* Whole replicas under faults: seeds of random histories, and the named cases. Run with a number to
 * replay one seed (SYNOD_TEST_LOG=1 shows what the members log). */
#include "replica/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define SEC (1000 * MS)
#define SEEDS 300

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
    for (uint32_t i = 0; i < members; i++)
        cluster_restart(c, i);
    check(c, seed);
    if (cluster_run_until_leader(c, 20 * SEC) < 0)
        fail_msg("seed %llu: no leader after healing", (unsigned long long)seed);
    if (!cluster_run_until_quiet(c, 20 * SEC))
        fail_msg("seed %llu: clients still wait after healing", (unsigned long long)seed);
    uint64_t before = cluster_acknowledged(c);
    for (uint32_t i = 0; i < members; i++)
        cluster_put(c, i);
    cluster_run_until_quiet(c, 10 * SEC);
    if (cluster_acknowledged(c) != before + members) {
        describe(c, members);
        fail_msg("seed %llu: no progress after healing", (unsigned long long)seed);
    }
    cluster_run(c, 3 * SEC);
    cluster_check_end(c);
    check(c, seed);
}

static void random_fault(struct cluster *c, uint32_t members)
{
    struct prng *prng = cluster_prng(c);
    uint32_t a = (uint32_t)prng_below(prng, members);
    uint32_t b = (uint32_t)prng_below(prng, members);
    switch (prng_below(prng, 10)) {
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
    cluster_run_until_leader(c, 5 * SEC);
    for (int round = 0; round < 150; round++) {
        for (uint64_t i = prng_below(&draw, 12); i > 0; i--)
            cluster_put(c, (uint32_t)prng_below(&draw, members));
        for (uint64_t i = prng_below(&draw, 4); i > 0; i--)
            cluster_read(c, (uint32_t)prng_below(&draw, members));
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

int main(int argc, char **argv)
{
    if (argc > 1) {
        uint64_t first = strtoull(argv[1], NULL, 10);
        uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        for (uint64_t seed = first; seed < first + count; seed++)
            run_seed(seed);
        printf("%llu passed\n", (unsigned long long)count);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_killed_leader_is_replaced_without_waiting_for_the_timeout),
        cmocka_unit_test(a_silent_leader_is_replaced_and_serves_no_stale_read),
        cmocka_unit_test(a_member_that_missed_the_log_catches_up_from_a_snapshot),
        cmocka_unit_test(a_member_that_lost_its_disk_is_not_listened_to),
        cmocka_unit_test(random_histories_keep_every_promise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
