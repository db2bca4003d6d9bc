/* The path of a transaction (which branch of it, and of each transaction inside) is written down
 * first, from the state before; checks and execution follow the same path in the same order. */
#include "service/txn.h"

#include "base/panic.h"
#include "base/planted.h"

struct txn_run {
    struct store *store;
    struct arena *arena;
    bool results;
    bool *path;
    uint32_t at; /* the next decision, to write or to read */
};

static const struct command *txn_branch(const struct txn *txn, bool success, uint32_t *ret_count)
{
    *ret_count = success ? txn->success_count : txn->failure_count;
    return success ? txn->success : txn->failure;
}

/* --- Comparing ----------------------------------------------------------------------------------
 */

static int64_t compare_number(const struct compare *compare, const struct kv *kv)
{
    switch (compare->target) {
    case COMPARE_VERSION:
        return kv->version;
    case COMPARE_CREATE:
        return kv->create_revision;
    case COMPARE_MOD:
        return kv->mod_revision;
    case COMPARE_LEASE:
        return kv->lease;
    case COMPARE_VALUE:
        break;
    }
    return 0;
}

/* `kv` NULL: there is no such key. Its numbers count as 0, but it has no value to be compared. */
static bool compare_holds(const struct compare *compare, const struct kv *kv)
{
    static const struct kv missing = {0};
    int order = 0;
    if (compare->target == COMPARE_VALUE) {
        if (kv == NULL)
            return false;
        order = bytes_compare(kv->value, compare->value);
    } else if ((unsigned)compare->target <= COMPARE_LEASE) {
        int64_t number = compare_number(compare, kv == NULL ? &missing : kv);
        order = (number > compare->number) - (number < compare->number);
    }
    switch (compare->result) {
    case COMPARE_EQUAL:
        return order == 0;
    case COMPARE_GREATER:
        return order > 0;
    case COMPARE_LESS:
        return order < 0;
    case COMPARE_NOT_EQUAL:
        return order != 0;
    }
    /* An operator that is not known asks nothing. */
    return true;
}

static bool compare_range(const struct txn_run *run, const struct compare *compare)
{
    struct kv kv;
    if (key_range_single(&compare->range)) {
        bool found = store_get(run->store, compare->range.key, &kv);
        return compare_holds(compare, found ? &kv : NULL);
    }
    struct range_query query = {.range = compare->range};
    struct range_result found;
    enum refusal refusal = store_range(run->store, &query, run->arena, &found);
    ensure(refusal == REFUSAL_NONE);
    for (uint32_t i = 0; i < found.kvs_count; i++) {
        if (!compare_holds(compare, &found.kvs[i]))
            return false;
    }
    return found.kvs_count > 0 || compare_holds(compare, NULL);
}

static uint32_t count_branch(const struct command *commands, uint32_t count);

/* Transactions in a transaction, itself included: decisions there may be. */
static uint32_t count_txns(const struct txn *txn)
{
    return 1 + count_branch(txn->success, txn->success_count) +
           count_branch(txn->failure, txn->failure_count);
}

static uint32_t count_branch(const struct command *commands, uint32_t count)
{
    uint32_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += commands[i].kind == COMMAND_TXN ? count_txns(&commands[i].txn) : 0;
    return sum;
}

static void txn_decide(struct txn_run *run, const struct txn *txn)
{
    bool success = true;
    for (uint32_t i = 0; i < txn->compares_count && success; i++)
        success =
            (planted(SERVICE_TXN_FIRST_COMPARE) && i > 0) || compare_range(run, &txn->compares[i]);
    run->path[run->at++] = success;
    uint32_t count;
    const struct command *commands = txn_branch(txn, success, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].kind == COMMAND_TXN)
            txn_decide(run, &commands[i].txn);
    }
}

/* --- Checking -----------------------------------------------------------------------------------
 */

/* Unlike a range by itself, one in a transaction does not take a negative revision for the current
 * one: clients of etcd may count on either. Before the first compaction the floor is -1. */
static enum refusal txn_check_revision(const struct store *store, int64_t revision)
{
    int64_t compacted = store_compacted(store);
    if (revision == 0)
        return REFUSAL_NONE;
    if (revision > store_revision(store))
        return REFUSAL_FUTURE_REVISION;
    return revision < (compacted == 0 ? -1 : compacted) ? REFUSAL_COMPACTED : REFUSAL_NONE;
}

static enum refusal txn_check(struct txn_run *run, const struct txn *txn)
{
    uint32_t count;
    const struct command *commands = txn_branch(txn, run->path[run->at++], &count);
    enum refusal refusal = REFUSAL_NONE;
    for (uint32_t i = 0; i < count && refusal == REFUSAL_NONE; i++) {
        if (commands[i].kind == COMMAND_PUT)
            refusal = store_put_check(run->store, &commands[i].put);
        else if (commands[i].kind == COMMAND_RANGE)
            refusal = txn_check_revision(run->store, commands[i].range.revision);
        else if (commands[i].kind == COMMAND_TXN)
            refusal = txn_check(run, &commands[i].txn);
    }
    return refusal;
}

/* --- Carrying out -------------------------------------------------------------------------------
 */

void txn_put(struct store *store, const struct put *put, struct result *ret_result)
{
    struct kv previous;
    bool had = store_put(store, put, &previous);
    *ret_result = (struct result){.kind = COMMAND_PUT};
    if (put->want_previous && had) {
        ret_result->put.has_previous = true;
        ret_result->put.previous = previous;
    }
    ret_result->revision = store_revision(store);
}

void txn_delete(struct store *store, const struct command *command, struct arena *arena,
                bool results, struct result *ret_result)
{
    bool want = results && command->delete.want_previous;
    *ret_result = (struct result){.kind = COMMAND_DELETE};
    struct kv *previous = NULL;
    int64_t deleted = store_delete(store, &command->delete.range, arena, want ? &previous : NULL);
    ret_result->delete.deleted = deleted;
    ret_result->delete.previous = previous;
    ret_result->delete.previous_count = want ? (uint32_t)deleted : 0;
    ret_result->revision = store_revision(store);
}

static void txn_range(struct txn_run *run, const struct range_query *query,
                      struct result *ret_result)
{
    *ret_result = (struct result){.kind = COMMAND_RANGE};
    if (!run->results)
        return;
    enum refusal refusal = store_range(run->store, query, run->arena, &ret_result->range);
    ensure(refusal == REFUSAL_NONE);
    ret_result->revision = store_revision(run->store);
}

static void txn_execute(struct txn_run *run, const struct txn *txn, struct result *ret_result)
{
    bool success = run->path[run->at++];
    uint32_t count;
    const struct command *commands = txn_branch(txn, success, &count);
    struct result *operations =
        run->results ? arena_alloc(run->arena, count * sizeof *operations) : NULL;
    for (uint32_t i = 0; i < count; i++) {
        struct result scratch;
        struct result *result = run->results ? &operations[i] : &scratch;
        bool writes = commands[i].kind == COMMAND_PUT || commands[i].kind == COMMAND_DELETE;
        if (planted(SERVICE_TXN_SPLIT) && i > 0 && writes && store_commit(run->store) > 0)
            store_begin(run->store);
        if (commands[i].kind == COMMAND_PUT)
            txn_put(run->store, &commands[i].put, result);
        else if (commands[i].kind == COMMAND_DELETE)
            txn_delete(run->store, &commands[i], run->arena, run->results, result);
        else if (commands[i].kind == COMMAND_RANGE)
            txn_range(run, &commands[i].range, result);
        else
            txn_execute(run, &commands[i].txn, result);
    }
    *ret_result = (struct result){.kind = COMMAND_TXN, .revision = store_revision(run->store)};
    ret_result->txn.succeeded = success;
    ret_result->txn.operations = operations;
    ret_result->txn.count = run->results ? count : 0;
}

void txn_run(struct store *store, const struct txn *txn, struct arena *arena, bool results,
             struct result *ret_result)
{
    struct txn_run run = {.store = store, .arena = arena, .results = results};
    run.path = arena_alloc(arena, count_txns(txn) * sizeof *run.path);
    txn_decide(&run, txn);
    run.at = 0;
    enum refusal refusal = txn_check(&run, txn);
    if (refusal != REFUSAL_NONE) {
        *ret_result = (struct result){
            .kind = COMMAND_TXN, .refusal = refusal, .revision = store_revision(store)};
        return;
    }
    run.at = 0;
    txn_execute(&run, txn, ret_result);
}
