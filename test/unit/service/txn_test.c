/* Transactions: decided on the state before, refused as a whole, carried out in order. */
#include "service/support_machine.h"

#include <string.h>

static const struct compare *compare_of(enum compare_target target, enum compare_result result,
                                        const char *key, int64_t number)
{
    static struct compare compare;
    compare = (struct compare){
        .range = {.key = bytes_text(key)}, .result = result, .target = target, .number = number};
    return &compare;
}

static bool holds(struct feed *feed, const struct compare *compare)
{
    struct command command = {.kind = COMMAND_TXN};
    command.txn.compares = compare;
    command.txn.compares_count = 1;
    const struct result *result = feed_apply(feed, &command);
    assert_int_equal(result->refusal, REFUSAL_NONE);
    return result->txn.succeeded;
}

static struct compare compare_value(const char *key, enum compare_result result, const char *value)
{
    return (struct compare){.range = {.key = bytes_text(key)},
                            .result = result,
                            .target = COMPARE_VALUE,
                            .value = bytes_text(value)};
}

static void every_condition_counts(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "x");
    for (int wrong = 0; wrong <= 3; wrong++) {
        struct compare compares[3];
        for (int i = 0; i < 3; i++)
            compares[i] = compare_value("a", COMPARE_EQUAL, i == wrong ? "y" : "x");
        struct command command = {.kind = COMMAND_TXN};
        command.txn.compares = compares;
        command.txn.compares_count = 3;
        assert_int_equal(feed_apply(&feed, &command)->txn.succeeded, wrong == 3);
    }
    feed_release(&feed);
}

static void every_target_is_compared_with_every_operator(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "x");
    feed_put(&feed, "b", "y");
    feed_put(&feed, "a", "m");
    /* a: version 2, created at 2, changed at 4, no lease. */
    const int64_t numbers[5] = {2, 2, 4, 0, 0};
    for (int target = COMPARE_VERSION; target <= COMPARE_LEASE; target++) {
        if (target == COMPARE_VALUE)
            continue;
        for (int64_t change = -1; change <= 1; change++) {
            int64_t number = numbers[target] + change;
            enum compare_target t = (enum compare_target)target;
            assert_int_equal(holds(&feed, compare_of(t, COMPARE_EQUAL, "a", number)), change == 0);
            assert_int_equal(holds(&feed, compare_of(t, COMPARE_NOT_EQUAL, "a", number)),
                             change != 0);
            assert_int_equal(holds(&feed, compare_of(t, COMPARE_GREATER, "a", number)), change < 0);
            assert_int_equal(holds(&feed, compare_of(t, COMPARE_LESS, "a", number)), change > 0);
        }
    }
    struct compare value = compare_value("a", COMPARE_EQUAL, "m");
    assert_true(holds(&feed, &value));
    value = compare_value("a", COMPARE_LESS, "n");
    assert_true(holds(&feed, &value));
    value = compare_value("a", COMPARE_GREATER, "n");
    assert_false(holds(&feed, &value));
    feed_release(&feed);
}

static void a_missing_key_has_zeros_but_no_value(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    assert_true(holds(&feed, compare_of(COMPARE_VERSION, COMPARE_EQUAL, "none", 0)));
    assert_true(holds(&feed, compare_of(COMPARE_MOD, COMPARE_LESS, "none", 1)));
    for (int result = COMPARE_EQUAL; result <= COMPARE_NOT_EQUAL; result++) {
        struct compare value = compare_value("none", (enum compare_result)result, "");
        assert_false(holds(&feed, &value));
    }
    feed_release(&feed);
}

static void a_range_compares_every_key_and_an_empty_one_a_missing_key(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "1");
    feed_put(&feed, "b", "1");
    struct compare compare = *compare_of(COMPARE_VERSION, COMPARE_EQUAL, "a", 1);
    compare.range.end = bytes_text("c");
    assert_true(holds(&feed, &compare));
    feed_put(&feed, "b", "2");
    assert_false(holds(&feed, &compare));
    compare.range = (struct key_range){bytes_text("x"), bytes_text("y")};
    assert_false(holds(&feed, &compare));
    compare.number = 0;
    assert_true(holds(&feed, &compare));
    feed_release(&feed);
}

static void unknown_operators_ask_nothing_and_unknown_targets_are_equal(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "1");
    enum compare_result no_result = (enum compare_result)9;
    enum compare_target no_target = (enum compare_target)9;
    assert_true(holds(&feed, compare_of(COMPARE_VERSION, no_result, "a", 77)));
    assert_true(holds(&feed, compare_of(no_target, COMPARE_EQUAL, "a", 77)));
    assert_false(holds(&feed, compare_of(no_target, COMPARE_NOT_EQUAL, "none", 77)));
    struct compare value = compare_value("none", no_result, "");
    assert_false(holds(&feed, &value));
    feed_release(&feed);
}

static enum refusal refusal_of_range_at(struct feed *feed, int64_t revision)
{
    struct command range = {.kind = COMMAND_RANGE};
    range.range = (struct range_query){.range = {.key = bytes_text("a")}, .revision = revision};
    struct command command = {.kind = COMMAND_TXN};
    command.txn.success = &range;
    command.txn.success_count = 1;
    return feed_apply(feed, &command)->refusal;
}

static void a_negative_revision_in_a_transaction_is_below_the_floor(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "1");
    feed_put(&feed, "a", "2");
    assert_int_equal(refusal_of_range_at(&feed, 0), REFUSAL_NONE);
    assert_int_equal(refusal_of_range_at(&feed, -1), REFUSAL_NONE);
    assert_int_equal(refusal_of_range_at(&feed, -2), REFUSAL_COMPACTED);
    struct command compact = {.kind = COMMAND_COMPACT, .compact.revision = 2};
    assert_int_equal(feed_apply(&feed, &compact)->refusal, REFUSAL_NONE);
    assert_int_equal(refusal_of_range_at(&feed, -1), REFUSAL_COMPACTED);
    assert_int_equal(refusal_of_range_at(&feed, 1), REFUSAL_COMPACTED);
    assert_int_equal(refusal_of_range_at(&feed, 2), REFUSAL_NONE);
    assert_int_equal(refusal_of_range_at(&feed, 0), REFUSAL_NONE);
    feed_release(&feed);
}

static struct command put_of(const char *key, const char *value)
{
    return (struct command){.kind = COMMAND_PUT,
                            .put = {.key = bytes_text(key), .value = bytes_text(value)}};
}

static void of_two_reasons_a_put_alone_names_the_lease_and_a_transaction_the_key(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    struct command put = put_of("none", "");
    put.put.ignore_value = true;
    put.put.lease = 77;
    assert_int_equal(feed_apply(&feed, &put)->refusal, REFUSAL_LEASE_NOT_FOUND);
    struct command command = {.kind = COMMAND_TXN};
    command.txn = (struct txn){NULL, 0, &put, 1, NULL, 0};
    assert_int_equal(feed_apply(&feed, &command)->refusal, REFUSAL_KEY_NOT_FOUND);
    feed_release(&feed);
}

static void nested_comparisons_look_at_the_state_before(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    struct compare missing = *compare_of(COMPARE_VERSION, COMPARE_EQUAL, "a", 0);
    struct command yes = put_of("b", "yes");
    struct command no = put_of("b", "no");
    struct command inner = {.kind = COMMAND_TXN};
    inner.txn = (struct txn){&missing, 1, &yes, 1, &no, 1};
    struct command operations[2] = {put_of("a", "1"), inner};
    struct command outer = {.kind = COMMAND_TXN};
    outer.txn = (struct txn){NULL, 0, operations, 2, NULL, 0};
    const struct result *result = feed_apply(&feed, &outer);
    assert_int_equal(result->refusal, REFUSAL_NONE);
    assert_int_equal(result->txn.count, 2);
    assert_int_equal(result->revision, 2);
    struct kv kv;
    assert_true(feed_get(&feed, "b", &kv));
    assert_true(bytes_equal(kv.value, bytes_text("yes")));
    assert_int_equal(kv.mod_revision, 2);
    feed_release(&feed);
}

static void one_refusal_on_the_path_undoes_nothing_because_nothing_was_done(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "1");
    struct command operations[2] = {put_of("b", "1"), put_of("c", "1")};
    struct command txn = {.kind = COMMAND_TXN};
    txn.txn = (struct txn){NULL, 0, operations, 2, NULL, 0};
    operations[1].put.lease = 99;
    assert_int_equal(feed_apply(&feed, &txn)->refusal, REFUSAL_LEASE_NOT_FOUND);
    operations[1] = put_of("c", "");
    operations[1].put.ignore_value = true;
    assert_int_equal(feed_apply(&feed, &txn)->refusal, REFUSAL_KEY_NOT_FOUND);
    operations[1] =
        (struct command){.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("a")}}};
    operations[1].range.revision = 3;
    assert_int_equal(feed_apply(&feed, &txn)->refusal, REFUSAL_FUTURE_REVISION);
    struct kv kv;
    assert_false(feed_get(&feed, "b", &kv));
    assert_int_equal(feed.result.revision, 2);
    /* The branch that is not taken may ask for anything. */
    txn.txn = (struct txn){NULL, 0, NULL, 0, operations, 2};
    assert_int_equal(feed_apply(&feed, &txn)->refusal, REFUSAL_NONE);
    feed_release(&feed);
}

/* What the operations of a transaction saw, noted while the results are valid. */
struct seen {
    int64_t revisions[8];
    uint32_t found[8];
    int64_t deleted;
    uint32_t count;
};

static void note_result(void *owner, uint64_t sequence, uint32_t index, const struct result *result)
{
    struct seen *seen = owner;
    (void)sequence;
    (void)index;
    if (result->kind != COMMAND_TXN)
        return;
    seen->count = result->txn.count;
    for (uint32_t i = 0; i < result->txn.count; i++) {
        const struct result *operation = &result->txn.operations[i];
        seen->revisions[i] = operation->revision;
        if (operation->kind == COMMAND_RANGE)
            seen->found[i] = operation->range.kvs_count;
        if (operation->kind == COMMAND_DELETE)
            seen->deleted = operation->delete.deleted;
    }
}

static void operations_see_the_writes_before_them_and_say_at_which_revision(void **state)
{
    (void)state;
    struct feed feed;
    struct seen seen = {0};
    feed_init(&feed);
    feed_put(&feed, "gone", "1");
    struct machine_events events = {
        .owner = &seen, .node = 1, .incarnation = 1, .on_result = note_result};
    machine_listen(feed.machine, &events);
    struct command range = {.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("new")}}};
    struct command del = {.kind = COMMAND_DELETE};
    del.delete.range.key = bytes_text("gone");
    struct command operations[4] = {range, put_of("new", "1"), range, del};
    struct command txn = {.kind = COMMAND_TXN};
    txn.txn = (struct txn){NULL, 0, operations, 4, NULL, 0};
    struct batch_header header = {.origin = 1, .incarnation = 1, .sequence = 2, .count = 1};
    encode_batch(&feed.buffer, &header, &txn);
    machine_apply(feed.machine, 2, buffer_bytes(&feed.buffer));
    assert_int_equal(seen.count, 4);
    assert_int_equal(seen.revisions[0], 2);
    assert_int_equal(seen.found[0], 0);
    assert_int_equal(seen.revisions[1], 3);
    assert_int_equal(seen.revisions[2], 3);
    assert_int_equal(seen.found[2], 1);
    assert_int_equal(seen.deleted, 1);
    feed_release(&feed);
}

static void a_transaction_that_changes_nothing_makes_no_revision(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    struct command del = {.kind = COMMAND_DELETE};
    del.delete.range.key = bytes_text("nothing");
    struct command txn = {.kind = COMMAND_TXN};
    txn.txn = (struct txn){NULL, 0, &del, 1, NULL, 0};
    assert_int_equal(feed_apply(&feed, &txn)->revision, 1);
    struct command range = {.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("a")}}};
    struct txn read = {NULL, 0, &range, 1, NULL, 0};
    struct result result;
    machine_txn_read(feed.machine, &read, &feed.arena, &result);
    assert_int_equal(result.refusal, REFUSAL_NONE);
    assert_true(result.txn.succeeded);
    assert_int_equal(result.txn.operations[0].range.kvs_count, 0);
    range.range.revision = 9;
    machine_txn_read(feed.machine, &read, &feed.arena, &result);
    assert_int_equal(result.refusal, REFUSAL_FUTURE_REVISION);
    feed_release(&feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_condition_counts),
        cmocka_unit_test(every_target_is_compared_with_every_operator),
        cmocka_unit_test(a_missing_key_has_zeros_but_no_value),
        cmocka_unit_test(a_range_compares_every_key_and_an_empty_one_a_missing_key),
        cmocka_unit_test(unknown_operators_ask_nothing_and_unknown_targets_are_equal),
        cmocka_unit_test(a_negative_revision_in_a_transaction_is_below_the_floor),
        cmocka_unit_test(of_two_reasons_a_put_alone_names_the_lease_and_a_transaction_the_key),
        cmocka_unit_test(nested_comparisons_look_at_the_state_before),
        cmocka_unit_test(one_refusal_on_the_path_undoes_nothing_because_nothing_was_done),
        cmocka_unit_test(operations_see_the_writes_before_them_and_say_at_which_revision),
        cmocka_unit_test(a_transaction_that_changes_nothing_makes_no_revision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
