/* Transactions, as the truth carries them out: which branches are taken is decided on the state
 * before, all of it; then either everything may be done, or nothing is.
 *
 * The one invariant: deciding and refusing change nothing. */
#include "sim/oracle_internal.h"

struct walk {
    struct truth *truth;
    bool *taken; /* of each transaction on the way, in the order in which they are met */
    uint32_t at;
};

static bool number_holds(enum compare_result result, int64_t found, int64_t wanted)
{
    switch (result) {
    case COMPARE_EQUAL:
        return found == wanted;
    case COMPARE_GREATER:
        return found > wanted;
    case COMPARE_LESS:
        return found < wanted;
    case COMPARE_NOT_EQUAL:
        return found != wanted;
    }
    return true;
}

/* NULL: there is no such key. It has zeros for numbers, and no value that could equal any. */
static bool version_holds(const struct compare *compare, const struct truth_version *v)
{
    switch (compare->target) {
    case COMPARE_VERSION:
        return number_holds(compare->result, v == NULL ? 0 : v->number, compare->number);
    case COMPARE_CREATE:
        return number_holds(compare->result, v == NULL ? 0 : v->create, compare->number);
    case COMPARE_MOD:
        return number_holds(compare->result, v == NULL ? 0 : v->mod, compare->number);
    case COMPARE_LEASE:
        return number_holds(compare->result, v == NULL ? 0 : v->lease, compare->number);
    case COMPARE_VALUE:
        return v != NULL &&
               number_holds(compare->result, bytes_compare(v->value, compare->value), 0);
    }
    return number_holds(compare->result, 0, 0);
}

static bool compare_holds(const struct truth *t, const struct compare *compare)
{
    if (key_range_single(&compare->range))
        return version_holds(compare, truth_living(truth_key(t, compare->range.key)));
    bool any = false;
    for (uint32_t i = truth_find(t, compare->range.key); i < t->keys_count; i++) {
        const struct truth_version *v = truth_living(t->keys[i]);
        if (!key_range_contains(&compare->range, t->keys[i]->key))
            break;
        if (v == NULL)
            continue;
        any = true;
        if (!version_holds(compare, v))
            return false;
    }
    return any || version_holds(compare, NULL);
}

static uint32_t txns_in(const struct txn *txn)
{
    uint32_t sum = 1;
    for (uint32_t i = 0; i < txn->success_count; i++)
        sum += txn->success[i].kind == COMMAND_TXN ? txns_in(&txn->success[i].txn) : 0;
    for (uint32_t i = 0; i < txn->failure_count; i++)
        sum += txn->failure[i].kind == COMMAND_TXN ? txns_in(&txn->failure[i].txn) : 0;
    return sum;
}

static const struct command *branch(const struct txn *txn, bool success, uint32_t *ret_count)
{
    *ret_count = success ? txn->success_count : txn->failure_count;
    return success ? txn->success : txn->failure;
}

static void decide(struct walk *walk, const struct txn *txn)
{
    bool success = true;
    for (uint32_t i = 0; i < txn->compares_count; i++)
        success = success && compare_holds(walk->truth, &txn->compares[i]);
    walk->taken[walk->at++] = success;
    uint32_t count;
    const struct command *commands = branch(txn, success, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].kind == COMMAND_TXN)
            decide(walk, &commands[i].txn);
    }
}

enum refusal truth_put_refused(const struct truth *t, const struct put *put)
{
    const struct truth_version *v = truth_living(truth_key(t, put->key));
    if (v == NULL && (put->ignore_value || put->ignore_lease))
        return REFUSAL_KEY_NOT_FOUND;
    if (put->lease != 0 && !put->ignore_lease && !truth_lease_lives(t, put->lease))
        return REFUSAL_LEASE_NOT_FOUND;
    return REFUSAL_NONE;
}

static bool refused(struct walk *walk, const struct txn *txn)
{
    const struct truth *t = walk->truth;
    uint32_t count;
    const struct command *commands = branch(txn, walk->taken[walk->at++], &count);
    for (uint32_t i = 0; i < count; i++) {
        const struct command *command = &commands[i];
        int64_t revision = command->kind == COMMAND_RANGE ? command->range.revision : 0;
        int64_t floor = t->compacted == 0 ? -1 : t->compacted;
        if (command->kind == COMMAND_PUT && truth_put_refused(t, &command->put) != REFUSAL_NONE)
            return true;
        if (revision != 0 && (revision > t->revision || revision < floor))
            return true;
        if (command->kind == COMMAND_TXN && refused(walk, &command->txn))
            return true;
    }
    return false;
}

static void execute(struct walk *walk, const struct txn *txn)
{
    uint32_t count;
    const struct command *commands = branch(txn, walk->taken[walk->at++], &count);
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].kind == COMMAND_PUT)
            truth_put(walk->truth, &commands[i].put);
        else if (commands[i].kind == COMMAND_DELETE)
            truth_delete(walk->truth, &commands[i].delete.range);
        else if (commands[i].kind == COMMAND_TXN)
            execute(walk, &commands[i].txn);
    }
}

void truth_txn(struct truth *t, const struct txn *txn)
{
    struct walk walk = {.truth = t};
    walk.taken = arena_zero(&t->scratch, txns_in(txn) * sizeof *walk.taken);
    decide(&walk, txn);
    walk.at = 0;
    if (refused(&walk, txn))
        return;
    walk.at = 0;
    execute(&walk, txn);
}
