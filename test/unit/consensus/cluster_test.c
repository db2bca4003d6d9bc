/* Random clusters: every kind of fault at once, thousands of seeds, the oracles of
 * support_cluster.h on every step, and progress within bounded time once the faults end.
 *
 *     consensus_cluster_test                    all seeds, every engine
 *     consensus_cluster_test ENGINE SEED [v]    one seed, with every message on standard output
 */
#include "consensus/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
#define SEEDS 200 /* ten times slower */
#else
#define SEEDS 2000
#endif

static struct cluster_options random_options(const struct engine_ops *ops, uint64_t seed)
{
    struct prng prng = prng_seed(seed ^ 0x5eed);
    struct cluster_options options = cluster_options_default(ops, seed);
    const uint32_t sizes[] = {1, 3, 3, 3, 5, 5};
    options.members = sizes[prng_below(&prng, 6)];
    options.heartbeat_ns = 20 * MS;
    options.election_ns = 150 * MS;
    options.delay_max_ns = prng_below(&prng, 3) == 0 ? 30 * MS : 3 * MS;
    options.disk_max_ns = prng_below(&prng, 4) == 0 ? 40 * MS : 4 * MS;
    options.fifo = prng_below(&prng, 2) == 0;
    options.hints = prng_below(&prng, 2) == 0;
    options.loss = options.fifo ? 0 : (uint32_t)prng_below(&prng, 20);
    options.duplicate = options.fifo ? 0 : (uint32_t)prng_below(&prng, 20);
    options.crash_on_hard = (uint32_t)prng_below(&prng, 2) * 20;
    options.crash_on_value = (uint32_t)prng_below(&prng, 3) / 2;
    options.window_slots = 1u << (2 + prng_below(&prng, 4));
    options.tail_slots = (uint32_t)prng_below(&prng, 12);
    if (options.members == 5 && prng_below(&prng, 3) == 0)
        options.quorums = quorum_flexible(5, 4, 2);
    return options;
}

static uint32_t any_member(struct cluster *c)
{
    return (uint32_t)cluster_random(c, 0, c->options.members - 1);
}

static void random_fault(struct cluster *c)
{
    uint32_t a = any_member(c);
    uint32_t b = any_member(c);
    switch (cluster_random(c, 0, 13)) {
    case 0:
    case 1:
        cluster_crash(c, a);
        break;
    case 2:
    case 3:
    case 4:
        cluster_restart(c, a);
        break;
    case 5:
        cluster_pause(c, a, true);
        break;
    case 6:
    case 7:
        cluster_pause(c, a, false);
        break;
    case 8:
        cluster_cut(c, a, b, a != b);
        break;
    case 9:
        cluster_isolate(c, a, true);
        break;
    case 10:
    case 11:
        memset(c->cut, 0, sizeof c->cut);
        break;
    case 12:
        cluster_transfer(c, a, (uint16_t)cluster_random(c, 0, c->options.members));
        break;
    default:
        for (uint32_t i = 0; i < c->options.members && cluster_chance(c, 20); i++)
            cluster_crash(c, i);
        break;
    }
}

static void random_work(struct cluster *c)
{
    for (uint32_t i = 0; i < c->options.members; i++) {
        for (uint64_t n = cluster_random(c, 0, 3); n > 0 && cluster_chance(c, 60); n--)
            (void)cluster_propose(c, i);
        if (cluster_chance(c, 20))
            cluster_read(c, i);
        if (cluster_chance(c, 4))
            cluster_snapshot(c, i);
    }
}

static bool some_member_takes_a_proposal(struct cluster *c)
{
    int leader = cluster_leader(c);
    return leader >= 0 && cluster_propose(c, (uint32_t)leader);
}

/* After the faults: everybody agrees, and the cluster takes writes and serves reads again. */
static void must_recover(struct cluster *c)
{
    cluster_heal(c);
    c->options.loss = c->options.crash_on_hard = c->options.crash_on_value = 0;
    c->options.delay_max_ns = 3 * MS;
    c->options.disk_max_ns = 4 * MS;
    cluster_run_for(c, 50 * MS); /* the last crashes are under way */
    cluster_run_until(c, cluster_converged, 8000 * MS);
    uint64_t before = c->delivered_max;
    cluster_run_until(c, some_member_takes_a_proposal, 2000 * MS);
    cluster_run_until(c, cluster_converged, 1000 * MS);
    uint64_t reads[CLUSTER_MAX];
    for (uint32_t i = 0; i < c->options.members; i++) {
        reads[i] = c->members[i].reads_ok;
        cluster_read(c, i);
    }
    cluster_run_for(c, 500 * MS);
    assert_true(c->delivered_max > before);
    for (uint32_t i = 0; i < c->options.members; i++)
        if (c->members[i].reads_ok <= reads[i]) {
            fprintf(stderr, "seed %llu: a read at member %u was not answered\n",
                    (unsigned long long)c->options.seed, i + 1);
            abort();
        }
}

static void run_seed(const struct engine_ops *ops, uint64_t seed, bool trace, uint64_t *ret_steps,
                     uint64_t *ret_slots)
{
    struct cluster *c = cluster_new(random_options(ops, seed));
    c->trace = trace;
    uint32_t fault_percent = (uint32_t)cluster_random(c, 1, 8);
    uint64_t end = cluster_random(c, 500, 3000) * MS;
    while (c->now < end && c->delivered_max < CLUSTER_SLOTS - 200) {
        cluster_run_for(c, cluster_random(c, 1, 12) * MS);
        random_work(c);
        if (cluster_chance(c, fault_percent))
            random_fault(c);
    }
    must_recover(c);
    *ret_steps += c->steps;
    *ret_slots += c->delivered_max;
    cluster_free(c);
}

static void every_seed_agrees_and_recovers(void **state)
{
    const struct engine_ops *ops = *state;
    uint64_t steps = 0;
    uint64_t slots = 0;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(ops, seed, false, &steps, &slots);
    print_message("%s: %u seeds, %llu steps, %llu slots\n", ops->name, SEEDS,
                  (unsigned long long)steps, (unsigned long long)slots);
    assert_true(slots > SEEDS * 10);
}

int main(int argc, char **argv)
{
    if (argc > 2) {
        const struct engine_ops *ops = engine_by_name(argv[1]);
        uint64_t steps = 0;
        uint64_t slots = 0;
        if (ops == NULL)
            return 2;
        run_seed(ops, strtoull(argv[2], NULL, 10), argc > 3, &steps, &slots);
        printf("%llu steps, %llu slots\n", (unsigned long long)steps, (unsigned long long)slots);
        return 0;
    }
    const struct CMUnitTest tests[] = {
        {"multipaxos: every_seed_agrees_and_recovers", every_seed_agrees_and_recovers, NULL, NULL,
         (void *)&engine_multipaxos},
        {"raft: every_seed_agrees_and_recovers", every_seed_agrees_and_recovers, NULL, NULL,
         (void *)&engine_raft},
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
