/* Options: what a seed draws, and changing it by name. */
#include "consensus/engine.h"
#include "sim/options.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void a_seed_draws_the_same_again(void **state)
{
    (void)state;
    struct sim_options a;
    struct sim_options b;
    sim_options_draw(&a, 1, 42);
    sim_options_draw(&b, 1, 42);
    assert_memory_equal(&a, &b, sizeof a);
    sim_options_draw(&b, 1, 43);
    assert_memory_not_equal(&a, &b, sizeof a);
}

/* Swarm testing: every kind of fault is in some seeds and absent from others, every size occurs,
 * and what is drawn could also be set by hand. */
static void seeds_draw_of_everything(void **state)
{
    (void)state;
    uint32_t sizes[SIM_MEMBERS_MAX + 1] = {0};
    uint32_t present[100] = {0};
    uint32_t fields = 0;
    const uint32_t seeds = 2000;
    for (uint64_t seed = 0; seed < seeds; seed++) {
        struct sim_options options;
        sim_options_draw(&options, 1, seed);
        struct sim_options copy = options;
        assert_in_range(options.members, 1, SIM_MEMBERS_MAX);
        assert_true(options.segment_bytes % 4096 == 0);
        assert_true(options.segment_bytes >= 2 * options.record_bytes);
        assert_true(options.election_ns >= 5 * options.heartbeat_ns);
        sizes[options.members]++;
        uint32_t cursor = 0;
        uint64_t value;
        const char *name;
        while ((name = sim_options_next(&options, &cursor, &value)) != NULL) {
            char text[32];
            snprintf(text, sizeof text, "%llu", (unsigned long long)value);
            if (!sim_options_set(&copy, name, text))
                fail_msg("%s=%s was drawn and cannot be set", name, text);
            present[cursor - 1] += value != 0;
        }
        fields = cursor;
        assert_memory_equal(&copy, &options, sizeof copy);
    }
    for (uint32_t size = 1; size <= SIM_MEMBERS_MAX; size++)
        assert_true(sizes[size] > seeds / 50);
    uint32_t cursor = 0;
    uint64_t value;
    struct sim_options options;
    sim_options_draw(&options, 1, 1);
    for (uint32_t i = 0; i < fields; i++) {
        const char *name = sim_options_next(&options, &cursor, &value);
        if (present[i] == 0 && strcmp(name, "jump") != 0) /* a negative test: never drawn */
            fail_msg("%s is never drawn", name);
    }
}

static void only_known_names_and_values_in_bounds_are_set(void **state)
{
    (void)state;
    struct sim_options options;
    sim_options_draw(&options, 1, 1);
    assert_true(sim_options_set(&options, "members", "5"));
    assert_int_equal(options.members, 5);
    assert_true(sim_options_set(&options, "hints", "0"));
    assert_false(options.hints);
    assert_false(sim_options_set(&options, "members", "8"));
    assert_false(sim_options_set(&options, "members", "0"));
    assert_false(sim_options_set(&options, "members", ""));
    assert_false(sim_options_set(&options, "members", "3x"));
    assert_false(sim_options_set(&options, "members", "99999999999999999999"));
    assert_false(sim_options_set(&options, "nonsense", "1"));
    assert_false(sim_options_set(&options, "", "1"));
    assert_int_equal(options.members, 5);
}

/* What is printed for a failure runs exactly these options again. */
static void the_command_line_repeats_the_options(void **state)
{
    (void)state;
    struct sim_options options;
    sim_options_draw(&options, engines_all[0]->id, 77);
    sim_options_set(&options, "members", options.members == 5 ? "4" : "5");
    sim_options_set(&options, "crash", "123");
    char room[1024];
    struct text text = text_of(room, sizeof room);
    sim_options_command(&options, &text);
    struct sim_options again;
    sim_options_draw(&again, engines_all[0]->id, 77);
    for (char *at = strstr(room, " --set "); at != NULL; at = strstr(at + 1, " --set ")) {
        char name[64];
        char value[32];
        assert_int_equal(sscanf(at, " --set %63[^=]=%31[0-9]", name, value), 2);
        assert_true(sim_options_set(&again, name, value));
    }
    assert_memory_equal(&again, &options, sizeof again);
    assert_non_null(strstr(room, "--seed 77"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_seed_draws_the_same_again),
        cmocka_unit_test(seeds_draw_of_everything),
        cmocka_unit_test(only_known_names_and_values_in_bounds_are_set),
        cmocka_unit_test(the_command_line_repeats_the_options),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
