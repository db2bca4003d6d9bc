/* Random histories: both tiers against every order where the histories are short, and against each
 * other where they are long. What keeps a history right must keep the verdict. */
#include "base/support_mem.h"
#include "check/check.h"
#include "check/history_file.h"
#include "check/support_naive.h"
#include "check/support_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static uint64_t seed;

/* Twice as many for each step of SYNOD_CHECK_EFFORT. */
static uint64_t effort(uint64_t runs)
{
    const char *text = getenv("SYNOD_CHECK_EFFORT");
    return runs << (text == NULL ? 0 : strtoul(text, NULL, 10));
}

static void show(const struct history *h)
{
    struct buffer buffer;
    buffer_init(&buffer, h->mem, 1 << 20);
    history_write(h, &buffer);
    print_message("%.*s", (int)buffer.size, (const char *)buffer.data);
    buffer_release(&buffer);
}

static enum check_outcome verdict_of(const struct history *h, bool general,
                                     struct check_verdict *ret_verdict)
{
    struct check_options options = {.steps = 100000};
    (general ? check_general : check_revisions)(h, h->mem, &options, ret_verdict);
    check_verdict_release(ret_verdict);
    return ret_verdict->outcome;
}

static bool agrees(enum check_outcome outcome, bool linearizable)
{
    return linearizable ? outcome == CHECK_OK || outcome == CHECK_VACUOUS
                        : outcome == CHECK_VIOLATION;
}

static void both_agree_with_every_order(const struct history *h, uint64_t counts[4])
{
    struct check_verdict verdict;
    for (int general = 0; general < 2; general++) {
        bool wanted = naive_linearizable(h, !general);
        enum check_outcome outcome = verdict_of(h, general, &verdict);
        counts[general * 2 + wanted]++;
        if (agrees(outcome, wanted))
            continue;
        show(h);
        fail_msg("seed %llu: %s says %d (%s: %s), every order says %d", (unsigned long long)seed,
                 general ? "general" : "revisions", outcome,
                 verdict.rule == NULL ? "" : verdict.rule, verdict.what, wanted);
    }
}

static void short_histories_agree_with_every_order(void **state)
{
    (void)state;
    struct test_mem mem;
    uint64_t counts[4] = {0};
    struct prng prng = prng_seed(seed);
    test_mem_init(&mem);
    for (uint64_t i = 0; i < effort(5000); i++) {
        struct random_plan plan = random_plan_any(&prng, 2 + (uint32_t)prng_below(&prng, 6));
        struct history *h = random_history(&mem.mem, &prng, &plan);
        both_agree_with_every_order(h, counts);
        if (!naive_linearizable(h, true)) {
            show(h);
            fail_msg("the generator made a history that is not linearizable");
        }
        for (uint64_t j = prng_below(&prng, 3) + 1; j > 0; j--) {
            struct history *mutant = random_mutated(&mem.mem, h, &prng);
            history_free(h);
            h = mutant;
            both_agree_with_every_order(h, counts);
        }
        history_free(h);
    }
    test_mem_check(&mem);
    print_message("revisions: %llu linearizable, %llu not; general: %llu, %llu\n",
                  (unsigned long long)counts[1], (unsigned long long)counts[0],
                  (unsigned long long)counts[3], (unsigned long long)counts[2]);
    for (int i = 0; i < 4; i++)
        assert_true(counts[i] > 100);
}

/* Who is right when every order cannot be tried: a history that really happened is linearizable,
 * and what tier B refutes for its values alone tier A must refute too. */
static void the_tiers_agree_on(const struct history *h, bool right, uint64_t counts[4])
{
    struct check_verdict a;
    struct check_verdict b;
    enum check_outcome revisions = verdict_of(h, false, &a);
    enum check_outcome general = verdict_of(h, true, &b);
    counts[0] += revisions == CHECK_VIOLATION;
    counts[1] += general == CHECK_VIOLATION;
    counts[2] += revisions == CHECK_UNDECIDED;
    counts[3] += general == CHECK_UNDECIDED;
    bool contradiction = general == CHECK_VIOLATION && revisions != CHECK_VIOLATION;
    if (!contradiction && !(right && revisions == CHECK_VIOLATION))
        return;
    show(h);
    fail_msg("seed %llu: revisions says %d (%s), general says %d (%s)", (unsigned long long)seed,
             revisions, a.what, general, b.what);
}

static void long_histories_agree_between_the_tiers(void **state)
{
    (void)state;
    struct test_mem mem;
    uint64_t right[4] = {0};
    uint64_t wrong[4] = {0};
    uint64_t mutants = 0;
    struct prng prng = prng_seed(seed + 1);
    test_mem_init(&mem);
    uint64_t runs = effort(400);
    for (uint64_t i = 0; i < runs; i++) {
        struct random_plan plan = random_plan_any(&prng, 20 + (uint32_t)prng_below(&prng, 181));
        plan.keys = 1 + (uint32_t)prng_below(&prng, 6);
        plan.unknown = (uint32_t)prng_below(&prng, 3) * 10;
        struct history *h = random_history(&mem.mem, &prng, &plan);
        the_tiers_agree_on(h, true, right);
        for (uint64_t j = 0; j < 4; j++) {
            struct history *mutant = random_mutated(&mem.mem, h, &prng);
            history_free(h);
            h = mutant;
            the_tiers_agree_on(h, false, wrong);
            mutants++;
        }
        history_free(h);
    }
    test_mem_check(&mem);
    print_message("%llu histories that happened: undecided %llu by revisions, %llu in general; "
                  "%llu mutants: refuted %llu, %llu, undecided %llu, %llu\n",
                  (unsigned long long)runs, (unsigned long long)right[2],
                  (unsigned long long)right[3], (unsigned long long)mutants,
                  (unsigned long long)wrong[0], (unsigned long long)wrong[1],
                  (unsigned long long)wrong[2], (unsigned long long)wrong[3]);
    assert_true(wrong[0] > runs / 4 && wrong[1] > runs / 20);
    assert_true(right[2] * 50 <= runs);
    assert_true(right[3] * 10 <= runs);
}

/* Many writes without an answer, and many revisions that nobody claims: whoever filled them, there
 * is a way, and it must be found. */
static void gaps_are_filled_if_they_can_be(void **state)
{
    (void)state;
    struct test_mem mem;
    struct prng prng = prng_seed(seed + 4);
    uint64_t undecided = 0;
    uint64_t runs = effort(400);
    test_mem_init(&mem);
    for (uint64_t i = 0; i < runs; i++) {
        struct random_plan plan = {.operations = 200,
                                   .keys = 2 + (uint32_t)prng_below(&prng, 7),
                                   .width = 1 + prng_below(&prng, 6),
                                   .reads = 30 + (uint32_t)prng_below(&prng, 30),
                                   .deletes = 10,
                                   .transactions = (uint32_t)prng_below(&prng, 2) * 20,
                                   .unknown = 10 + (uint32_t)prng_below(&prng, 30)};
        struct history *h = random_history(&mem.mem, &prng, &plan);
        struct check_verdict verdict;
        enum check_outcome outcome = verdict_of(h, false, &verdict);
        undecided += outcome == CHECK_UNDECIDED;
        if (outcome == CHECK_VIOLATION) {
            show(h);
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, verdict.rule, verdict.what);
        }
        history_free(h);
    }
    test_mem_check(&mem);
    print_message("%llu of %llu undecided\n", (unsigned long long)undecided,
                  (unsigned long long)runs);
    assert_true(undecided * 20 <= runs);
}

static void check_kept(const struct history *h, struct history *changed, const char *what,
                       bool may_heal)
{
    struct check_verdict verdict;
    for (int general = 0; general < 2; general++) {
        enum check_outcome before = verdict_of(h, general, &verdict);
        enum check_outcome after = verdict_of(changed, general, &verdict);
        bool healed = may_heal && before == CHECK_VIOLATION;
        bool decided = before != CHECK_UNDECIDED && after != CHECK_UNDECIDED;
        if (!decided || before == after || healed)
            continue;
        show(h);
        show(changed);
        fail_msg("seed %llu: %s makes %s say %d instead of %d: %s", (unsigned long long)seed, what,
                 general ? "general" : "revisions", after, before, verdict.what);
    }
    history_free(changed);
}

static void names_and_wider_intervals_do_not_matter(void **state)
{
    (void)state;
    struct test_mem mem;
    struct prng prng = prng_seed(seed + 2);
    test_mem_init(&mem);
    for (uint64_t i = 0; i < effort(1000); i++) {
        struct random_plan plan = random_plan_any(&prng, 2 + (uint32_t)prng_below(&prng, 30));
        struct history *h = random_history(&mem.mem, &prng, &plan);
        if (prng_below(&prng, 2) == 0) {
            struct history *mutant = random_mutated(&mem.mem, h, &prng);
            history_free(h);
            h = mutant;
        }
        check_kept(h, random_renamed(&mem.mem, h), "renaming", false);
        check_kept(h, random_widened(&mem.mem, h, &prng), "widening", true);
        history_free(h);
    }
    test_mem_check(&mem);
}

static void a_part_of_the_clients_is_no_violation(void **state)
{
    (void)state;
    struct test_mem mem;
    struct prng prng = prng_seed(seed + 3);
    struct check_options options = {.partial = true};
    test_mem_init(&mem);
    for (uint64_t i = 0; i < effort(2000); i++) {
        struct random_plan plan = random_plan_any(&prng, 10 + (uint32_t)prng_below(&prng, 100));
        plan.repeats = 0; /* a value tells who wrote it, also to those who know only a part */
        struct history *h = random_history(&mem.mem, &prng, &plan);
        struct history *part = random_part(&mem.mem, h);
        struct check_verdict verdict;
        check_revisions(part, &mem.mem, &options, &verdict);
        if (verdict.outcome != CHECK_OK && verdict.outcome != CHECK_VACUOUS) {
            show(part);
            fail_msg("seed %llu: %s: %s", (unsigned long long)seed, verdict.rule, verdict.what);
        }
        check_verdict_release(&verdict);
        history_free(part);
        history_free(h);
    }
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(short_histories_agree_with_every_order),
        cmocka_unit_test(long_histories_agree_between_the_tiers),
        cmocka_unit_test(gaps_are_filled_if_they_can_be),
        cmocka_unit_test(names_and_wider_intervals_do_not_matter),
        cmocka_unit_test(a_part_of_the_clients_is_no_violation),
    };
    const char *text = getenv("SYNOD_TEST_SEED");
    seed = text != NULL ? strtoull(text, NULL, 10) : (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
