/* Whole runs: a seed is one trace, seeds pass over every engine, a failure is reported and can be
 * replayed and shrunk, and a process runs one after the other without keeping anything. */
#include "consensus/engine.h"
#include "sim/run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#ifdef __SANITIZE_ADDRESS__
#define SEEDS 15
#else
#define SEEDS 60
#endif
#define SECONDS UINT64_C(1000000000)

static void seeds_pass_and_do_the_same_again(void **state)
{
    (void)state;
    for (uint32_t e = 0; engines_all[e] != NULL; e++) {
        for (uint64_t seed = 1; seed <= SEEDS; seed++) {
            struct sim_options options;
            struct sim_result first;
            struct sim_result second;
            sim_options_draw(&options, engines_all[e]->id, seed);
            sim_run(&options, &first);
            if (first.failed)
                fail_msg("%s, seed %llu: %s: %s", engines_all[e]->name, (unsigned long long)seed,
                         first.oracle, first.violation);
            if (seed % 10 != 0)
                continue;
            sim_run(&options, &second);
            assert_int_equal(first.hash, second.hash);
            assert_int_equal(first.events, second.events);
        }
    }
}

static void another_seed_is_another_trace(void **state)
{
    (void)state;
    struct sim_options options;
    struct sim_result a;
    struct sim_result b;
    sim_options_draw(&options, engines_all[0]->id, 1);
    sim_run(&options, &a);
    sim_options_draw(&options, engines_all[0]->id, 2);
    sim_run(&options, &b);
    assert_int_not_equal(a.hash, b.hash);
}

/* Nobody answers within the time that is allowed here: the canary. */
static void make_hopeless(struct sim_options *options)
{
    sim_options_draw(options, engines_all[0]->id, 1);
    options->members = 3;
    options->clients = 4;
    options->weight_put = 50;
    options->loss = 1000000;
    options->partition = options->crash = 100000;
    options->delay_ns = 50 * SECONDS;
    options->liveness_ns = 2 * SECONDS;
}

static void a_cluster_that_cannot_work_fails_by_liveness(void **state)
{
    (void)state;
    struct sim_options options;
    struct sim_result result;
    make_hopeless(&options);
    sim_run(&options, &result);
    assert_true(result.failed);
    assert_string_equal(result.oracle, "liveness");
    options.without = "liveness"; /* switched off, it says nothing, and the run does not end */
    options.liveness_ns = 100 * SECONDS;
    options.delay_ns = 1000000;
    sim_run(&options, &result);
    assert_false(result.failed);
}

static uint32_t attempts;

static void on_tried(void *owner, const struct sim_options *options, bool kept)
{
    (void)owner;
    (void)options;
    (void)kept;
    attempts++;
}

static void a_failure_is_shrunk_and_fails_alike(void **state)
{
    (void)state;
    struct sim_options options;
    struct sim_result result;
    make_hopeless(&options);
    struct sim_options before = options;
    sim_run(&options, &result);
    sim_shrink(&options, &result, NULL, on_tried);
    assert_true(attempts > 10);
    assert_true(options.operations < before.operations);
    assert_int_equal(options.crash, 0);
    struct sim_result again;
    sim_run(&options, &again);
    assert_true(again.failed);
    assert_string_equal(again.oracle, result.oracle);
    assert_int_equal(again.hash, result.hash);
}

/* With every copy damaged, the members halt and say so, and nobody is told a lie. */
static void damage_everywhere_ends_in_halting(void **state)
{
    (void)state;
    uint64_t halted = 0;
    for (uint64_t seed = 1; seed <= SEEDS / 2; seed++) {
        struct sim_options options;
        struct sim_result result;
        sim_options_draw(&options, engines_all[0]->id, seed);
        options.damage_all_copies = true;
        options.rot = 50000;
        options.crash = 20000;
        sim_run(&options, &result);
        if (result.failed)
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, result.oracle,
                     result.violation);
        halted += result.halted;
    }
    assert_true(halted > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(seeds_pass_and_do_the_same_again),
        cmocka_unit_test(another_seed_is_another_trace),
        cmocka_unit_test(a_cluster_that_cannot_work_fails_by_liveness),
        cmocka_unit_test(a_failure_is_shrunk_and_fails_alike),
        cmocka_unit_test(damage_everywhere_ends_in_halting),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
