/* What can be said about a command without the store: whether it is refused whatever the state, and
 * what it costs. The order of the checks is etcd's, because clients see the first one that fails.
 */
#include "service/command.h"

#include "service/command_internal.h"

/* Operations of one transaction, nested ones included, among which duplicates are searched. More
 * are refused: the search is quadratic. */
#define TXN_OPERATIONS_MAX 2048u

#define PUT_OVERHEAD 256u
#define LEASE_COST 64u

static enum refusal check_put(const struct put *put)
{
    if (put->key.size == 0)
        return REFUSAL_KEY_EMPTY;
    if (put->ignore_value && put->value.size > 0)
        return REFUSAL_VALUE_PROVIDED;
    if (put->ignore_lease && put->lease != 0)
        return REFUSAL_LEASE_PROVIDED;
    return REFUSAL_NONE;
}

static enum refusal check_range(const struct range_query *query)
{
    if (query->range.key.size == 0)
        return REFUSAL_KEY_EMPTY;
    if ((unsigned)query->order > SORT_DESCEND || (unsigned)query->target > SORT_VALUE)
        return REFUSAL_INVALID_SORT;
    return REFUSAL_NONE;
}

static enum refusal check_txn(const struct txn *txn, uint32_t ops_max, uint32_t depth);

static enum refusal check_operation(const struct command *command, uint32_t ops_max, uint32_t depth)
{
    switch (command->kind) {
    case COMMAND_PUT:
        return check_put(&command->put);
    case COMMAND_DELETE:
        return command->delete.range.key.size == 0 ? REFUSAL_KEY_EMPTY : REFUSAL_NONE;
    case COMMAND_RANGE:
        return check_range(&command->range);
    case COMMAND_TXN:
        return check_txn(&command->txn, ops_max, depth);
    case COMMAND_COMPACT:
    case COMMAND_LEASE_GRANT:
    case COMMAND_LEASE_REVOKE:
    case COMMAND_LEASE_EXPIRE:
    case COMMAND_KEEPER:
    case COMMAND_MEMBER:
    case COMMAND_ALARM:
    case COMMAND_DIGEST:
        break;
    }
    /* An operation that was left out. */
    return REFUSAL_KEY_NOT_FOUND;
}

static enum refusal check_branch(const struct command *commands, uint32_t count, uint32_t ops_max,
                                 uint32_t depth)
{
    for (uint32_t i = 0; i < count; i++) {
        enum refusal refusal = check_operation(&commands[i], ops_max, depth);
        if (refusal != REFUSAL_NONE)
            return refusal;
    }
    return REFUSAL_NONE;
}

static enum refusal check_txn(const struct txn *txn, uint32_t ops_max, uint32_t depth)
{
    uint32_t most = txn->compares_count;
    if (txn->success_count > most)
        most = txn->success_count;
    if (txn->failure_count > most)
        most = txn->failure_count;
    if (most > ops_max || depth >= COMMAND_TXN_DEPTH_MAX)
        return REFUSAL_TOO_MANY_OPS;
    for (uint32_t i = 0; i < txn->compares_count; i++) {
        if (txn->compares[i].range.key.size == 0)
            return REFUSAL_KEY_EMPTY;
    }
    enum refusal refusal =
        check_branch(txn->success, txn->success_count, ops_max - most, depth + 1);
    if (refusal == REFUSAL_NONE)
        refusal = check_branch(txn->failure, txn->failure_count, ops_max - most, depth + 1);
    return refusal;
}

/* --- Duplicate keys -----------------------------------------------------------------------------
 *
 * No key may be put twice, or put and deleted, by one transaction; except that of two branches only
 * one is taken. So every pair of operations of one branch is compared, each with all that it holds.
 */

static uint64_t count_operations(const struct command *commands, uint32_t count)
{
    uint64_t sum = count;
    for (uint32_t i = 0; i < count && sum <= TXN_OPERATIONS_MAX; i++) {
        if (commands[i].kind != COMMAND_TXN)
            continue;
        const struct txn *txn = &commands[i].txn;
        sum += count_operations(txn->success, txn->success_count);
        sum += count_operations(txn->failure, txn->failure_count);
    }
    return sum;
}

static bool leaves_collide(const struct command *a, const struct command *b)
{
    if (a->kind == COMMAND_PUT && b->kind == COMMAND_PUT)
        return bytes_equal(a->put.key, b->put.key);
    if (a->kind == COMMAND_PUT && b->kind == COMMAND_DELETE)
        return key_range_contains(&b->delete.range, a->put.key);
    if (a->kind == COMMAND_DELETE && b->kind == COMMAND_PUT)
        return key_range_contains(&a->delete.range, b->put.key);
    return false;
}

static bool collide(const struct command *a, const struct command *b);

static bool branch_collides(const struct command *commands, uint32_t count,
                            const struct command *with)
{
    for (uint32_t i = 0; i < count; i++) {
        if (collide(&commands[i], with))
            return true;
    }
    return false;
}

static bool collide(const struct command *a, const struct command *b)
{
    if (a->kind != COMMAND_TXN && b->kind != COMMAND_TXN)
        return leaves_collide(a, b);
    const struct command *outer = a->kind == COMMAND_TXN ? a : b;
    const struct command *other = a->kind == COMMAND_TXN ? b : a;
    return branch_collides(outer->txn.success, outer->txn.success_count, other) ||
           branch_collides(outer->txn.failure, outer->txn.failure_count, other);
}

static bool branch_has_duplicates(const struct command *commands, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct txn *txn = &commands[i].txn;
        if (commands[i].kind == COMMAND_TXN &&
            (branch_has_duplicates(txn->success, txn->success_count) ||
             branch_has_duplicates(txn->failure, txn->failure_count)))
            return true;
        for (uint32_t j = 0; j < i; j++) {
            if (collide(&commands[j], &commands[i]))
                return true;
        }
    }
    return false;
}

enum refusal command_check_fields(const struct command *command, uint32_t txn_ops_max)
{
    switch (command->kind) {
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_RANGE:
    case COMMAND_TXN:
        return check_operation(command, txn_ops_max, 0);
    case COMMAND_LEASE_GRANT:
        if (command->lease.ttl > LEASE_TTL_MAX)
            return REFUSAL_LEASE_TTL_TOO_LARGE;
        return command->lease.id == 0 ? REFUSAL_LEASE_NOT_FOUND : REFUSAL_NONE;
    case COMMAND_COMPACT:
    case COMMAND_LEASE_REVOKE:
    case COMMAND_LEASE_EXPIRE:
    case COMMAND_KEEPER:
    case COMMAND_MEMBER:
    case COMMAND_ALARM:
    case COMMAND_DIGEST:
        return REFUSAL_NONE;
    }
    return REFUSAL_UNKNOWN_COMMAND;
}

enum refusal command_check(const struct command *command, uint32_t txn_ops_max)
{
    enum refusal refusal = command_check_fields(command, txn_ops_max);
    if (refusal != REFUSAL_NONE || command->kind != COMMAND_TXN)
        return refusal;
    const struct txn *txn = &command->txn;
    if (count_operations(command, 1) > TXN_OPERATIONS_MAX)
        return REFUSAL_TOO_MANY_OPS;
    if (branch_has_duplicates(txn->success, txn->success_count) ||
        branch_has_duplicates(txn->failure, txn->failure_count))
        return REFUSAL_DUPLICATE_KEY;
    return REFUSAL_NONE;
}

static uint64_t branch_cost(const struct command *commands, uint32_t count)
{
    uint64_t sum = 0;
    for (uint32_t i = 0; i < count; i++)
        sum += command_cost(&commands[i]);
    return sum;
}

uint64_t command_cost(const struct command *command)
{
    if (command->kind == COMMAND_PUT)
        return PUT_OVERHEAD + command->put.key.size + command->put.value.size;
    if (command->kind == COMMAND_LEASE_GRANT)
        return LEASE_COST;
    if (command->kind != COMMAND_TXN)
        return 0;
    uint64_t success = branch_cost(command->txn.success, command->txn.success_count);
    uint64_t failure = branch_cost(command->txn.failure, command->txn.failure_count);
    return success > failure ? success : failure;
}

static bool branch_only(const struct command *commands, uint32_t count, bool serializable)
{
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].kind != COMMAND_RANGE)
            return false;
        if (serializable && !commands[i].range.serializable)
            return false;
    }
    return true;
}

bool command_txn_read_only(const struct txn *txn)
{
    return branch_only(txn->success, txn->success_count, false) &&
           branch_only(txn->failure, txn->failure_count, false);
}

bool command_txn_serializable(const struct txn *txn)
{
    return branch_only(txn->success, txn->success_count, true) &&
           branch_only(txn->failure, txn->failure_count, true);
}
