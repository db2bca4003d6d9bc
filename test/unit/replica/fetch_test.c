/* Fetching from whoever answers: a member that hears somebody who cannot hear it must not ask that
 * one for ever. Found by `synod sim`: the engine names its peers in turn, the host listened to it
 * only once a second, and each time it was the same one's turn. And what nobody can read any more.
 */
#include "replica/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#define SEC UINT64_C(1000000000)
#ifdef __SANITIZE_ADDRESS__
#define SEEDS 6
#else
#define SEEDS 30
#endif
#define LAGS 2 /* the member that misses something */

/* Somebody else leads, and there is a third one that the member hears, but not the other way. */
static void run_seed(uint64_t seed)
{
    struct cluster *c = cluster_new(seed, 3);
    int leader = cluster_run_until_leader(c, 20 * SEC);
    if (leader == LAGS) { /* only the other places are told apart */
        cluster_free(c);
        return;
    }
    assert_true(leader >= 0);
    uint32_t first = (uint32_t)leader;
    uint32_t third = 1 - first;
    cluster_cut(c, first, LAGS, true);
    cluster_cut(c, LAGS, first, true);
    cluster_cut(c, LAGS, third, true);
    for (uint32_t i = 0; i < 20; i++) {
        cluster_put(c, first);
        cluster_run(c, SEC / 10);
    }
    cluster_cut(c, first, LAGS, false);
    cluster_cut(c, LAGS, first, false);
    uint64_t slot = cluster_slot(c, first);
    cluster_run(c, 10 * SEC);
    if (cluster_slot(c, LAGS) < slot)
        fail_msg("seed %llu: the member still lacks slot %llu", (unsigned long long)seed,
                 (unsigned long long)slot);
    assert_null(cluster_violation(c));
    cluster_free(c);
}

static void a_member_fetches_from_another_when_one_does_not_answer(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++)
        run_seed(seed);
}

/* Of four others two answer, and two only hear that they are asked: names that come in step with
 * the host's patience must not be the silent two for ever. */
static void a_member_finds_those_of_many_that_answer(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= SEEDS; seed++) {
        struct cluster *c = cluster_new(seed, 5);
        int leader = cluster_run_until_leader(c, 20 * SEC);
        assert_true(leader >= 0);
        uint32_t first = (uint32_t)leader;
        uint32_t lags = (first + 1) % 5;
        for (uint32_t i = 2; i < 5; i++)
            cluster_cut(c, lags, (first + i) % 5, true);
        cluster_cut(c, first, lags, true);
        cluster_cut(c, lags, first, true);
        for (uint32_t i = 0; i < 20; i++) {
            cluster_put(c, first);
            cluster_run(c, SEC / 10);
        }
        cluster_cut(c, first, lags, false);
        cluster_cut(c, lags, (first + 3) % 5, false);
        uint64_t slot = cluster_slot(c, first);
        cluster_run(c, 20 * SEC);
        if (cluster_slot(c, lags) < slot)
            fail_msg("seed %llu: the member still lacks slot %llu", (unsigned long long)seed,
                     (unsigned long long)slot);
        assert_null(cluster_violation(c));
        cluster_free(c);
    }
}

/* The only member that knows what was chosen cannot read it in its log any more, and has written no
 * snapshot: what it has applied is all that is left. */
static void what_cannot_be_read_in_the_log_comes_in_a_snapshot(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(5, 3);
    int leader = cluster_run_until_leader(c, 20 * SEC);
    assert_true(leader >= 0);
    uint32_t lags = ((uint32_t)leader + 1) % 3;
    cluster_crash(c, lags, false);
    for (uint32_t i = 0; i < 20; i++) {
        cluster_put(c, (uint32_t)leader);
        cluster_run(c, SEC / 10);
    }
    cluster_damage_log(c, (uint32_t)leader);
    cluster_crash(c, ((uint32_t)leader + 2) % 3, false);
    uint64_t slot = cluster_slot(c, (uint32_t)leader);
    cluster_restart(c, lags);
    cluster_run(c, 20 * SEC);
    assert_true(cluster_slot(c, lags) >= slot);
    assert_null(cluster_violation(c));
    cluster_free(c);
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_member_fetches_from_another_when_one_does_not_answer),
        cmocka_unit_test(a_member_finds_those_of_many_that_answer),
        cmocka_unit_test(what_cannot_be_read_in_the_log_comes_in_a_snapshot),
    };
    for (uint32_t i = 0; engines_all[i] != NULL; i++) {
        cluster_use_engine(engines_all[i]);
        failed += cmocka_run_group_tests_name(engines_all[i]->name, tests, NULL, NULL);
    }
    return failed;
}
