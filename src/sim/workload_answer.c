/* What clients hear. Every answer is compared with the truth at the revision that it names, and
 * written into the history, whose checkers know nothing of the truth.
 *
 * The one invariant: only an answer with an OK is held against the cluster. */
#include "sim/workload_internal.h"

#include <string.h>

/* --- Writes that were acknowledged ----------------------------------------------------------- */

static const struct truth_version *event_of(const struct truth *t, int64_t revision,
                                            struct bytes key)
{
    for (uint32_t i = truth_seek(t, revision); i < t->events_count; i++) {
        if (t->events[i]->mod != revision)
            return NULL;
        if (bytes_equal(t->events[i]->key->key, key))
            return t->events[i];
    }
    return NULL;
}

static void check_put(struct ask *ask, const struct command *command, int64_t revision)
{
    const struct truth_version *v = event_of(ask->workload->truth, revision, command->put.key);
    if (v == NULL || v->deleted || !bytes_equal(v->value, command->put.value) ||
        v->lease != command->put.lease)
        workload_object(ask->workload, "answer", "an acknowledged put is not in the log", ask,
                        revision, 0);
}

static void check_delete(struct ask *ask, const struct command *command, int64_t revision,
                         const struct result *result)
{
    const struct truth *t = ask->workload->truth;
    int64_t deleted = 0;
    for (uint32_t i = truth_seek(t, revision); i < t->events_count; i++) {
        if (t->events[i]->mod != revision)
            break;
        deleted += t->events[i]->deleted &&
                   key_range_contains(&command->delete.range, t->events[i]->key->key);
    }
    /* A deletion that found nothing has no revision of its own: it shows another's. */
    if (result->delete.deleted != 0 && deleted != result->delete.deleted)
        workload_object(ask->workload, "answer", "an acknowledged deletion is not in the log", ask,
                        result->delete.deleted, deleted);
}

/* Keys that a deletion says it found are of the revision before. */
static void check_previous(struct ask *ask, const struct kv *kv, int64_t revision)
{
    const struct truth *t = ask->workload->truth;
    const struct truth_key *key = truth_key(t, kv->key);
    const struct truth_version *v = key == NULL ? NULL : truth_version_at(key, revision - 1);
    if (v == NULL || !oracle_kv_equal(kv, v))
        workload_object(ask->workload, "answer", "a previous value is wrong", ask, revision,
                        kv->mod_revision);
}

static void check_written(struct ask *ask, const struct command *command,
                          const struct result *result, int64_t revision)
{
    if (command->kind == COMMAND_PUT) {
        check_put(ask, command, revision);
        if (result->put.has_previous)
            check_previous(ask, &result->put.previous, revision);
    } else if (command->kind == COMMAND_DELETE) {
        check_delete(ask, command, revision, result);
        for (uint32_t i = 0; i < result->delete.previous_count; i++)
            check_previous(ask, &result->delete.previous[i], revision);
    } else if (command->kind == COMMAND_TXN) {
        const struct txn *txn = &command->txn;
        const struct command *commands = result->txn.succeeded ? txn->success : txn->failure;
        for (uint32_t i = 0; i < result->txn.count; i++)
            check_written(ask, &commands[i], &result->txn.operations[i], revision);
    } else if (command->kind == COMMAND_COMPACT &&
               ask->workload->truth->compacted < command->compact.revision) {
        workload_object(ask->workload, "answer", "an acknowledged compaction is not in the log",
                        ask, command->compact.revision, ask->workload->truth->compacted);
    }
}

/* --- Into the history ------------------------------------------------------------------------ */

#define FOUND_MAX 4096u

static void note_found(struct workload *w, struct history_op *op, const struct range_result *found)
{
    struct history_pair *pairs = arena_alloc(&w->scratch, (found->kvs_count + 1) * sizeof *pairs);
    for (uint32_t i = 0; i < found->kvs_count; i++) {
        const struct kv *kv = &found->kvs[i];
        pairs[i] = (struct history_pair){.key = history_string(w->history, kv->key),
                                         .value = history_string(w->history, kv->value),
                                         .create = kv->create_revision,
                                         .mod = kv->mod_revision,
                                         .version = kv->version};
    }
    history_found(w->history, op, pairs, found->kvs_count, found->count, found->more);
}

/* The operations in the order in which workload_ask.c laid them flat. */
static struct history_op *note_results(struct workload *w, struct history_op *op,
                                       const struct result *results, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const struct result *result = &results[i];
        if (result->kind == COMMAND_TXN) {
            op = note_results(w, op, result->txn.operations, result->txn.count);
            continue;
        }
        if (result->kind == COMMAND_DELETE)
            op->count = result->delete.deleted;
        else if (result->kind == COMMAND_RANGE)
            note_found(w, op, &result->range);
        op++;
    }
    return op;
}

static void note_written(struct ask *ask, const struct result *result)
{
    struct workload *w = ask->workload;
    uint64_t now = ++w->clock;
    bool succeeded = true;
    const struct result *inner = result;
    if (result->kind == COMMAND_TXN) {
        const struct txn *txn = &ask->command.txn;
        while (txn->compares_count == 0 && txn->success_count == 1 &&
               txn->success[0].kind == COMMAND_TXN) {
            txn = &txn->success[0].txn;
            inner = &inner->txn.operations[0];
        }
        succeeded = inner->txn.succeeded;
    }
    struct history_op *ops = history_ok(w->history, ask->history, now, result->revision, succeeded);
    (void)note_results(w, ops, inner, 1);
    arena_reset(&w->scratch);
}

/* --- Ends ------------------------------------------------------------------------------------ */

void answer_lost(struct ask *ask)
{
    struct workload *w = ask->workload;
    if (!ask->recorded || ask->kind != ASK_WRITE)
        return;
    w->lost = sim_grow(w->mem, w->lost, &w->lost_capacity, w->lost_count + 1, sizeof *w->lost);
    w->lost[w->lost_count++] =
        (struct lost_write){.history = ask->history, .command = ask->command};
}

bool ask_answered(struct ask *ask, enum status status, enum refusal refusal)
{
    struct workload *w = ask->workload;
    sim_trace(w->sim, ask->place, "answer", ask->number, (uint64_t)status << 8 | (uint64_t)refusal);
    bool sure = ask->submitting || status == STATUS_OK;
    w->heard[ask->kind] += status == STATUS_OK && ask->number != 0;
    if (!sure)
        answer_lost(ask);
    if (ask->recorded && sure && (status != STATUS_OK || refusal != REFUSAL_NONE))
        history_failed(w->history, ask->history, ++w->clock);
    if (status != STATUS_OK)
        w->counts.unknown++;
    else if (refusal != REFUSAL_NONE)
        w->counts.refused++;
    else
        w->counts.operations++;
    if (refusal == REFUSAL_NO_SPACE)
        w->clients[ask->client].chores = 3;
    bool success = status == STATUS_OK && refusal == REFUSAL_NONE;
    if (success && ask->recorded) {
        w->recorded_puts += ask->kind == ASK_WRITE && ask->command.kind == COMMAND_PUT;
        w->recorded_reads += ask->kind == ASK_READ;
    }
    return success;
}

static void remember(struct client *client, struct bytes value, int64_t mod)
{
    client->seen_value = value;
    client->seen_mod = mod;
}

static void client_saw(struct workload *w, uint32_t client, const struct kv *kv)
{
    struct client *c = &w->clients[client];
    uint32_t key = 0;
    for (size_t i = 1; i < kv->key.size; i++)
        key = key * 10 + (uint32_t)(kv->key.data[i] - '0');
    if (kv->key.size == 0 || kv->key.data[0] != 'k')
        return;
    c->seen_key = key;
    remember(c, arena_copy(&w->arena, kv->value), kv->mod_revision);
}

void on_written(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct workload *w = ask->workload;
    if (status == STATUS_OK && ask->call_ns > w->progress[ask->place])
        w->progress[ask->place] = ask->call_ns;
    if (ask_answered(ask, status, status == STATUS_OK ? result->refusal : REFUSAL_NONE)) {
        int64_t revision = result->revision;
        check_written(ask, &ask->command, result, revision);
        if (ask->recorded)
            note_written(ask, result);
        oracle_complete(w->oracle, revision);
        if (ask->command.kind == COMMAND_PUT && ask->command.put.key.data[0] == 'k') {
            struct kv kv = {.key = ask->command.put.key,
                            .value = ask->command.put.value,
                            .mod_revision = revision};
            client_saw(w, ask->client, &kv);
        }
    }
    ask_end(ask);
}

/* --- Reads ----------------------------------------------------------------------------------- */

static void check_found(struct workload *w, const struct ask *ask, const struct range_query *query,
                        int64_t revision, const struct range_result *found)
{
    const struct truth *t = w->truth;
    int64_t count = 0;
    for (uint32_t i = truth_find(t, query->range.key); i < t->keys_count; i++) {
        if (!key_range_contains(&query->range, t->keys[i]->key))
            break;
        const struct truth_version *v = truth_version_at(t->keys[i], revision);
        if (v == NULL)
            continue;
        if (count < found->kvs_count && !oracle_kv_equal(&found->kvs[count], v))
            workload_object(w, "answer", "a key was read as it never was", ask, revision, v->mod);
        count++;
    }
    uint64_t shown = found->kvs_count;
    bool cut = query->limit > 0 && count > query->limit;
    if (found->count != count || shown != (uint64_t)(cut ? query->limit : count) ||
        found->more != cut)
        workload_object(w, "answer", "a read shows other keys than there are", ask, count,
                        found->count);
}

/* Is it right that this was refused, or that it was not? What is read below a compaction has no
 * meaning: then this is the only objection. */
static enum refusal check_refusal(struct workload *w, const struct ask *ask, uint32_t place,
                                  int64_t revision, enum refusal refusal)
{
    uint64_t slot = machine_slot(replica_machine(sim_replica(w->sim, place)));
    const struct truth_slot *truth = truth_at_slot(w->truth, slot);
    enum refusal right = REFUSAL_NONE;
    if (revision > truth->revision)
        right = REFUSAL_FUTURE_REVISION;
    else if (revision > 0 && revision < truth->compacted)
        right = REFUSAL_COMPACTED;
    if (refusal != right)
        workload_object(w, "compaction", "a read was refused, or should have been", ask, revision,
                        truth->compacted);
    return refusal == REFUSAL_NONE ? right : refusal;
}

/* Reads the state of the member, in the middle of its callback or at any time. */
static enum refusal read_state(struct workload *w, const struct ask *ask, uint32_t place,
                               const struct range_query *query, struct range_result *ret_found)
{
    struct store *store = workload_store(w, place);
    enum refusal refusal = store_range(store, query, &w->scratch, ret_found);
    refusal = check_refusal(w, ask, place, query->revision, refusal);
    if (refusal == REFUSAL_NONE)
        check_found(w, ask, query, query->revision > 0 ? query->revision : store_revision(store),
                    ret_found);
    return refusal;
}

/* If not, the read is asked for again, as a front would. */
static bool ask_read_holds(struct ask *ask)
{
    struct replica *replica = sim_replica(ask->workload->sim, ask->place);
    if (replica_read_holds(replica, &ask->request))
        return true;
    replica_read(replica, &ask->request);
    return false;
}

void on_read(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct workload *w = ask->workload;
    (void)result;
    struct range_result found = {0};
    const struct range_query *query = &ask->command.range;
    enum refusal refusal =
        status == STATUS_OK ? read_state(w, ask, ask->place, query, &found) : REFUSAL_NONE;
    if (status == STATUS_OK && !ask_read_holds(ask)) {
        arena_reset(&w->scratch);
        return;
    }
    if (ask_answered(ask, status, refusal)) {
        int64_t revision = store_revision(workload_store(w, ask->place));
        note_found(w, history_ok(w->history, ask->history, ++w->clock, revision, true), &found);
        oracle_complete(w->oracle, revision);
        if (found.kvs_count > 0 && query->revision == 0)
            client_saw(w, ask->client, &found.kvs[found.kvs_count - 1]);
    }
    arena_reset(&w->scratch);
    ask_end(ask);
}

void answer_stale(struct workload *w, uint32_t client, uint32_t place,
                  const struct range_query *query)
{
    struct ask ask = {.workload = w, .kind = ASK_READ, .client = client, .place = place};
    ask.command = (struct command){.kind = COMMAND_RANGE, .range = *query};
    ask.submitting = true;
    history_note(&ask);
    struct range_result found;
    enum refusal refusal = read_state(w, &ask, place, query, &found);
    if (ask_answered(&ask, STATUS_OK, refusal)) {
        int64_t revision = store_revision(workload_store(w, place));
        note_found(w, history_ok(w->history, ask.history, ++w->clock, revision, true), &found);
    }
    arena_reset(&w->scratch);
}

void on_txn_read(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct workload *w = ask->workload;
    struct result read = {0};
    (void)result;
    if (status == STATUS_OK) {
        struct machine *machine = replica_machine(sim_replica(w->sim, ask->place));
        machine_txn_read(machine, &ask->command.txn, &w->scratch, &read);
    }
    if (status == STATUS_OK && !ask_read_holds(ask)) {
        arena_reset(&w->scratch);
        return;
    }
    if (ask_answered(ask, status, read.refusal)) {
        note_written(ask, &read);
        oracle_complete(w->oracle, read.revision);
    }
    arena_reset(&w->scratch);
    ask_end(ask);
}

void on_other(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    (void)result;
    (void)ask_answered(ask, status, REFUSAL_NONE);
    ask_end(ask);
}
