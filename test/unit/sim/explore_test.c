/* The explorer: over both engines it finds nothing, over engines with a fault it finds the shortest
 * way to it, and the same options do the same again. */
#include "base/panic.h"
#include "sim/explore.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct explore_options options_of(const struct engine_ops *engine, uint32_t members)
{
    struct explore_options options = {
        .engine = engine,
        .members = members,
        .window_slots = 2,
        .tail_slots = 1,
        .elected = true,
        .ordered = true,
    };
    options.limits[LIMIT_PROPOSALS] = 1;
    options.limits[LIMIT_TIMEOUTS] = 1;
    options.limits[LIMIT_CRASHES] = 1;
    return options;
}

static struct explore_progress run(const struct explore_options *options,
                                   enum explore_verdict expected)
{
    struct explore *x = explore_new(options);
    struct explore_progress progress;
    enum explore_verdict verdict = explore_run(x, NULL, NULL);
    if (verdict == EXPLORE_VIOLATED && expected != EXPLORE_VIOLATED)
        print_error("%s\n", explore_violation(x));
    assert_int_equal(verdict, expected);
    explore_progress(x, &progress);
    explore_free(x);
    return progress;
}

static void a_small_cluster_is_explored_to_the_end(void **state)
{
    (void)state;
    for (const struct engine_ops *const *engine = engines_all; *engine != NULL; engine++) {
        for (uint32_t members = 1; members <= 2; members++) {
            struct explore_options options = options_of(*engine, members);
            options.elected = false;
            options.limits[LIMIT_TIMEOUTS] = 2;
            options.limits[LIMIT_READS] = 1;
            options.limits[LIMIT_SNAPSHOTS] = 1;
            struct explore_progress p = run(&options, EXPLORE_COMPLETE);
            assert_int_equal(p.cut, 0);
            assert_true(p.states > 10);
        }
    }
}

static void three_members_hold_all_invariants(void **state)
{
    (void)state;
    for (const struct engine_ops *const *engine = engines_all; *engine != NULL; engine++) {
        struct explore_options options = options_of(*engine, 3);
        options.limits[LIMIT_BREAKS] = 1;
        options.states = 100000;
        assert_true(run(&options, EXPLORE_BOUNDED).states >= 100000);
        options.limits[LIMIT_READS] = 1;
        options.limits[LIMIT_SNAPSHOTS] = 1;
        options.limits[LIMIT_TRANSFERS] = 1;
        options.limits[LIMIT_PAUSES] = 1;
        options.limits[LIMIT_DUPLICATES] = 1;
        options.limits[LIMIT_DROPS] = 1;
        options.ordered = false;
        options.heartbeats = true;
        assert_true(run(&options, EXPLORE_BOUNDED).states >= 100000);
    }
}

static void the_same_options_find_the_same_states(void **state)
{
    (void)state;
    struct explore_options options = options_of(&engine_multipaxos, 3);
    options.limits[LIMIT_CRASHES] = 0;
    options.limits[LIMIT_BREAKS] = 1;
    struct explore_progress first = run(&options, EXPLORE_COMPLETE);
    struct explore_progress second = run(&options, EXPLORE_COMPLETE);
    assert_int_equal(first.states, second.states);
    assert_int_equal(first.transitions, second.transitions);
    assert_int_equal(first.depth, second.depth);
    /* More freedom, more states. */
    options.ordered = false;
    options.depth = first.depth / 2;
    struct explore_progress free = run(&options, EXPLORE_BOUNDED);
    options.ordered = true;
    assert_true(free.states > run(&options, EXPLORE_BOUNDED).states);
    assert_int_equal(free.depth, first.depth / 2);
}

/* Two states with one fingerprint must react alike; the comparison itself must be able to fail. */

/* Sees no votes once something was chosen. */
static uint64_t blind_fingerprint(const void *engine)
{
    struct engine_status status;
    engine_multipaxos.status(engine, &status);
    if (status.chosen_upto == 0)
        return engine_multipaxos.fingerprint(engine);
    return status.chosen_upto << 8 | status.next_slot << 4 | status.role;
}

static void states_with_one_fingerprint_react_alike(void **state)
{
    (void)state;
    for (const struct engine_ops *const *engine = engines_all; *engine != NULL; engine++) {
        struct explore_options options = options_of(*engine, 3);
        options.limits[LIMIT_BREAKS] = 1;
        options.limits[LIMIT_READS] = 1;
        options.limits[LIMIT_PAUSES] = 1;
        options.states = 50000;
        struct explore *x = explore_new(&options);
        uint64_t compared;
        assert_int_equal(explore_run(x, NULL, NULL), EXPLORE_BOUNDED);
        assert_int_equal(explore_compare(x, &compared), 0);
        assert_true(compared > 100);
        explore_free(x);
    }
    struct engine_ops blind = engine_multipaxos;
    blind.fingerprint = blind_fingerprint;
    struct explore_options options = options_of(&blind, 3);
    options.limits[LIMIT_BREAKS] = 1;
    struct explore *x = explore_new(&options);
    uint64_t compared;
    assert_int_equal(explore_run(x, NULL, NULL), EXPLORE_COMPLETE);
    assert_true(explore_compare(x, &compared) > 0);
    explore_free(x);
}

/* Engines with a fault. */

static void step_that_does_not_wait(void *engine, const struct input *input, struct effects *fx)
{
    engine_multipaxos.step(engine, input, fx);
    for (uint32_t i = 0; i < fx->count; i++)
        if (fx->items[i].kind == EFFECT_SEND)
            fx->items[i].kind = EFFECT_SEND_EARLY;
}

static void step_that_forgets(void *engine, const struct input *input, struct effects *fx)
{
    if (input->kind != INPUT_RECORD || input->slot != 2)
        engine_multipaxos.step(engine, input, fx);
}

static void step_that_serves_at_once(void *engine, const struct input *input, struct effects *fx)
{
    struct engine_status status;
    engine_multipaxos.status(engine, &status);
    if (input->kind == INPUT_READ)
        effects_read_ok(fx, input->token, status.chosen_upto, TIME_NEVER);
    else
        engine_multipaxos.step(engine, input, fx);
}

static void step_that_skips(void *engine, const struct input *input, struct effects *fx)
{
    engine_multipaxos.step(engine, input, fx);
    for (uint32_t i = 0; i < fx->count; i++)
        if (fx->items[i].kind == EFFECT_DELIVER && fx->items[i].slot == 2)
            fx->items[i].slot = 3;
}

static void step_that_panics(void *engine, const struct input *input, struct effects *fx)
{
    struct engine_status status;
    engine_multipaxos.step(engine, input, fx);
    engine_multipaxos.status(engine, &status);
    ensure(status.chosen_upto < 2);
}

static void step_that_all_lead(void *engine, const struct input *input, struct effects *fx)
{
    engine_multipaxos.step(engine, input, fx);
    for (uint32_t i = 0; i < fx->count; i++)
        if (fx->items[i].kind == EFFECT_ROLE && fx->items[i].to != NODE_NONE)
            fx->items[i].role = ROLE_LEADER;
}

/* Explores an engine with that step; the violation must say so, and its path must lead to it. */
static uint32_t find(struct explore_options options,
                     void (*step)(void *engine, const struct input *input, struct effects *fx),
                     const char *expected)
{
    static char path[4096];
    struct engine_ops faulty = engine_multipaxos;
    faulty.step = step;
    options.engine = &faulty;
    struct explore *x = explore_new(&options);
    assert_int_equal(explore_run(x, NULL, NULL), EXPLORE_VIOLATED);
    if (strstr(explore_violation(x), expected) == NULL)
        fail_msg("%s", explore_violation(x));
    explore_path(x, path, sizeof path);
    uint32_t steps = path[0] == '\0' ? 0 : 1;
    for (const char *at = path; *at != '\0'; at++)
        steps += *at == ',' ? 1 : 0;
    struct explore_progress progress;
    explore_progress(x, &progress);
    if (steps > 0)
        assert_int_equal(steps, progress.depth + 1);
    explore_free(x);

    x = explore_new(&options);
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    assert_true(explore_replay(x, path, out));
    fclose(out);
    if (strstr(explore_violation(x), expected) == NULL)
        fail_msg("walked again: %s", explore_violation(x));
    if (steps > 0)
        assert_non_null(strstr(text, "member "));
    free(text);
    explore_free(x);
    return steps;
}

static void a_fault_is_found_by_the_shortest_way(void **state)
{
    (void)state;
    struct explore_options options = options_of(&engine_multipaxos, 3);
    /* Proposed; the follower's answer outruns its record; the leader's own is on its disk. */
    assert_int_equal(find(options, step_that_does_not_wait, "no quorum has"), 4);
    find(options, step_that_forgets, "");
    assert_int_equal(find(options, step_that_skips, "delivered slot 3 after slot 1"), 4);
    assert_int_equal(find(options, step_that_panics, "broken invariant: status.chosen_upto < 2"),
                     4);
    find(options, step_that_all_lead, "lead in the same ballot");
    options.limits[LIMIT_READS] = 1;
    find(options, step_that_serves_at_once, "was delivered before it was asked");
}

static void a_wrong_path_is_refused(void **state)
{
    (void)state;
    static const char *const wrong[] = {"d12345678", "p2", "s1", "p1,p1,p1,p1", "?", "t9"};
    struct explore_options options = options_of(&engine_multipaxos, 3);
    FILE *out = fopen("/dev/null", "w");
    assert_non_null(out);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct explore *x = explore_new(&options);
        assert_false(explore_replay(x, wrong[i], out));
        assert_string_equal(explore_violation(x), "");
        explore_free(x);
    }
    struct explore *x = explore_new(&options);
    assert_true(explore_replay(x, "p1,s1,t1,c2.0", out));
    explore_free(x);
    fclose(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_small_cluster_is_explored_to_the_end),
        cmocka_unit_test(three_members_hold_all_invariants),
        cmocka_unit_test(the_same_options_find_the_same_states),
        cmocka_unit_test(states_with_one_fingerprint_react_alike),
        cmocka_unit_test(a_fault_is_found_by_the_shortest_way),
        cmocka_unit_test(a_wrong_path_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
