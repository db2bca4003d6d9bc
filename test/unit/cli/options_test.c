/* The parser of command lines: what it takes, what it refuses, and that a value that was refused is
 * never read. Messages go to stderr and are not compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/options.h"

#include <stdlib.h>
#include <string.h>

static const char *choice(size_t i)
{
    static const char *const names[] = {"one", "two", "three", NULL};
    return names[i];
}

static const struct option flags[] = {
    {.name = "name", .kind = OPTION_STRING, .preset = "default", .help = "a name"},
    {.name = "fast", .kind = OPTION_BOOL, .help = "a switch"},
    {.name = "snapshot-count",
     .alias = "experimental-snapshot-count",
     .kind = OPTION_NUMBER,
     .preset = "10000",
     .minimum = 1,
     .maximum = 100000,
     .help = "a number"},
    {.name = "engine",
     .kind = OPTION_STRING,
     .preset = "one",
     .choice = choice,
     .help = "one of a few names"},
    {.name = "wait", .kind = OPTION_DURATION, .preset = "1m30s", .help = "a duration"},
    {.name = "urls", .kind = OPTION_LIST, .preset = "http://localhost:2379", .help = "a list"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "test",
    .summary = "a command of the tests",
    .arguments = "A [B]",
    .arguments_max = 2,
    .env_prefix = "OPTIONS_TEST_",
    .tables = {flags},
};

/* Parses words up to a NULL; the first is the command's name. */
static enum options_result parse(struct options *options, const struct options_spec *with,
                                 const char **words)
{
    int count = 0;
    while (words[count] != NULL)
        count++;
    return options_parse(options, with, count, (char **)(uintptr_t)words);
}

#define PARSE(options, ...) parse(options, &spec, (const char *[]){"test", __VA_ARGS__, NULL})

static void a_text_with_choices_takes_nothing_else(void **state)
{
    (void)state;
    struct options o;
    char error[128];
    assert_int_equal(PARSE(&o, "--engine", "three"), OPTIONS_RUN);
    assert_string_equal(options_string(&o, "engine"), "three");
    assert_false(options_set(&o, "engine", "thre", error, sizeof error));
    assert_string_equal(error, "must be one, two or three");
    options_release(&o);
    assert_int_equal(PARSE(&o, "--engine", ""), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "--engine", "four"), OPTIONS_BAD);
}

static void defaults_hold_without_flags(void **state)
{
    (void)state;
    struct options o;
    size_t count;
    assert_int_equal(parse(&o, &spec, (const char *[]){"test", NULL}), OPTIONS_RUN);
    assert_string_equal(options_string(&o, "name"), "default");
    assert_false(options_bool(&o, "fast"));
    assert_int_equal(options_number(&o, "snapshot-count"), 10000);
    assert_int_equal(options_duration_ns(&o, "wait"), INT64_C(90000000000));
    assert_string_equal(options_list(&o, "urls", &count)[0], "http://localhost:2379");
    assert_int_equal(count, 1);
    assert_false(options_given(&o, "name"));
    options_release(&o);
}

static void flags_take_both_forms_and_one_or_two_dashes(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(PARSE(&o, "-name", "a", "x", "--snapshot-count=7", "-fast", "--", "-y"),
                     OPTIONS_RUN);
    assert_string_equal(options_string(&o, "name"), "a");
    assert_int_equal(options_number(&o, "snapshot-count"), 7);
    assert_true(options_bool(&o, "fast"));
    assert_int_equal(o.arguments_count, 2);
    assert_string_equal(o.arguments[0], "x");
    assert_string_equal(o.arguments[1], "-y");
    options_release(&o);
}

static void a_boolean_takes_its_value_only_after_equals(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(PARSE(&o, "--fast=false", "true"), OPTIONS_RUN);
    assert_false(options_bool(&o, "fast"));
    assert_int_equal(o.arguments_count, 1);
    options_release(&o);
    assert_int_equal(PARSE(&o, "--fast=yes"), OPTIONS_BAD);
}

static void a_list_splits_at_commas_and_grows_when_repeated(void **state)
{
    (void)state;
    struct options o;
    size_t count;
    assert_int_equal(PARSE(&o, "--urls", "a,b", "--urls=c"), OPTIONS_RUN);
    const char *const *urls = options_list(&o, "urls", &count);
    assert_int_equal(count, 3);
    assert_string_equal(urls[0], "a");
    assert_string_equal(urls[2], "c");
    options_release(&o);
}

static void an_older_name_sets_the_same_value(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(PARSE(&o, "--experimental-snapshot-count", "5"), OPTIONS_RUN);
    assert_int_equal(options_number(&o, "snapshot-count"), 5);
    options_release(&o);
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    struct options o;
    assert_int_equal(PARSE(&o, "--snapshot-count", "0"), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "--snapshot-count", "100001"), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "--snapshot-count", "12x"), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "--snapshot-count"), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "--wait", "90"), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "--nmae", "a"), OPTIONS_BAD);
    assert_int_equal(PARSE(&o, "a", "b", "c"), OPTIONS_BAD);
    assert_int_equal(options_exit_code(OPTIONS_BAD), 2);
}

static void a_variable_counts_where_the_flag_is_absent(void **state)
{
    (void)state;
    struct options o;
    setenv("OPTIONS_TEST_SNAPSHOT_COUNT", "33", 1);
    assert_int_equal(PARSE(&o, "a"), OPTIONS_RUN);
    assert_int_equal(options_number(&o, "snapshot-count"), 33);
    assert_int_equal(options_source(&o, "snapshot-count"), OPTION_FROM_ENV);
    options_release(&o);
    assert_int_equal(PARSE(&o, "--snapshot-count=4"), OPTIONS_RUN);
    assert_int_equal(options_number(&o, "snapshot-count"), 4);
    options_release(&o);
    struct options_spec exclusive = spec;
    exclusive.env_is_exclusive = true;
    assert_int_equal(parse(&o, &exclusive, (const char *[]){"test", "--snapshot-count=4", NULL}),
                     OPTIONS_CONFLICT);
    unsetenv("OPTIONS_TEST_SNAPSHOT_COUNT");
}

static void variables_of_no_flag_are_found(void **state)
{
    (void)state;
    char name[64];
    size_t cursor = 0;
    setenv("OPTIONS_TEST_NAME", "x", 1);
    setenv("OPTIONS_TEST_EXPERIMENTAL_SNAPSHOT_COUNT", "5", 1);
    setenv("OPTIONS_TEST_NMAE", "x", 1);
    assert_true(options_env_unknown(&spec, &cursor, name, sizeof name));
    assert_string_equal(name, "OPTIONS_TEST_NMAE");
    assert_false(options_env_unknown(&spec, &cursor, name, sizeof name));
    unsetenv("OPTIONS_TEST_NAME");
    unsetenv("OPTIONS_TEST_EXPERIMENTAL_SNAPSHOT_COUNT");
    unsetenv("OPTIONS_TEST_NMAE");
}

static void a_caller_may_set_and_reset_values(void **state)
{
    (void)state;
    struct options o;
    char error[128];
    assert_int_equal(PARSE(&o, "--name", "a"), OPTIONS_RUN);
    assert_true(options_set(&o, "snapshot-count", "8", error, sizeof error));
    assert_int_equal(options_number(&o, "snapshot-count"), 8);
    assert_false(options_set(&o, "snapshot-count", "many", error, sizeof error));
    assert_false(options_set(&o, "nothing", "1", error, sizeof error));
    options_reset(&o);
    assert_string_equal(options_string(&o, "name"), "default");
    assert_int_equal(options_number(&o, "snapshot-count"), 10000);
    options_release(&o);
}

static void durations_are_those_of_go(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t ns;
    } good[] = {
        {"0", 0},
        {"100ms", 100000000},
        {"1m0s", INT64_C(60000000000)},
        {"1.5h", INT64_C(5400000000000)},
        {"-2s", INT64_C(-2000000000)},
        {"3us", 3000},
        {"3\xc2\xb5s", 3000},
        {"1h2m3s4ms5us6ns", INT64_C(3723004005006)},
        {".5s", 500000000},
    };
    static const char *const bad[] = {"", "-", "s", "1", "1x", "1s1", "1 s", "1..5s", "300000000h"};
    int64_t ns;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        assert_true(duration_parse(good[i].text, &ns));
        assert_int_equal(ns, good[i].ns);
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_false(duration_parse(bad[i], &ns));
}

static void the_nearest_name_is_a_likely_one(void **state)
{
    (void)state;
    static const char *const names[] = {"put", "get", "status", "snapshot", "bench"};
    assert_string_equal(nearest_name("stauts", names, 5), "status");
    assert_string_equal(nearest_name("snap", names, 5), "snapshot");
    assert_null(nearest_name("xyzzyplugh", names, 5));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_hold_without_flags),
        cmocka_unit_test(a_text_with_choices_takes_nothing_else),
        cmocka_unit_test(flags_take_both_forms_and_one_or_two_dashes),
        cmocka_unit_test(a_boolean_takes_its_value_only_after_equals),
        cmocka_unit_test(a_list_splits_at_commas_and_grows_when_repeated),
        cmocka_unit_test(an_older_name_sets_the_same_value),
        cmocka_unit_test(bad_values_are_refused),
        cmocka_unit_test(a_variable_counts_where_the_flag_is_absent),
        cmocka_unit_test(variables_of_no_flag_are_found),
        cmocka_unit_test(a_caller_may_set_and_reset_values),
        cmocka_unit_test(durations_are_those_of_go),
        cmocka_unit_test(the_nearest_name_is_a_likely_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
