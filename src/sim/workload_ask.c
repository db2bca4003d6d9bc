/* What clients ask. Each command is what a front would make of some request of etcd's protocol; all
 * values are unique, so that whoever reads one knows which write it comes from. */
#include "sim/draw.h"
#include "sim/workload_internal.h"

#include <stdio.h>
#include <string.h>

#define KEYS_HOT 3u

/* --- Keys and values ------------------------------------------------------------------------- */

struct bytes workload_key(struct workload *w, uint32_t key)
{
    char raw[16];
    int size = snprintf(raw, sizeof raw, "k%03u", key);
    return arena_copy(&w->arena, bytes_of(raw, (size_t)size));
}

uint32_t workload_pick_key(struct workload *w)
{
    uint32_t keys = w->options->keys;
    if (keys > KEYS_HOT && draw_percent(w->prng, 40))
        keys = KEYS_HOT;
    return (uint32_t)prng_below(w->prng, keys == 0 ? 1 : keys);
}

struct bytes workload_value(struct workload *w)
{
    char raw[24];
    size_t size = (size_t)snprintf(raw, sizeof raw, "v%llu", (unsigned long long)++w->value_next);
    size_t most = w->options->value_bytes;
    size_t more = most > size && draw_percent(w->prng, 30) ? prng_below(w->prng, most - size) : 0;
    uint8_t *value = arena_alloc(&w->arena, size + more);
    memset(value, '.', size + more);
    memcpy(value, raw, size);
    return bytes_of(value, size + more);
}

struct key_range workload_pick_range(struct workload *w)
{
    static const uint8_t zero[1] = {0};
    struct key_range range = {.key = bytes_of(zero, 1), .end = bytes_of(zero, 1)};
    uint32_t keys = w->options->keys;
    switch (prng_below(w->prng, 4)) {
    case 0:
        break; /* everything */
    case 1: {
        uint32_t first = workload_pick_key(w);
        range.key = workload_key(w, first);
        range.end = workload_key(w, first + 1 + (uint32_t)prng_below(w->prng, keys));
        break;
    }
    case 2:
        range.key = workload_key(w, workload_pick_key(w)); /* and all behind it */
        break;
    default:
        range.key = workload_key(w, workload_pick_key(w));
        range.end = BYTES_EMPTY;
        break;
    }
    return range;
}

/* --- Into the history ------------------------------------------------------------------------ */

#define FLAT_MAX 16

static struct history_op flat_op(struct workload *w, const struct command *command)
{
    struct history *h = w->history;
    if (command->kind == COMMAND_PUT)
        return (struct history_op){.kind = HISTORY_PUT,
                                   .key = history_string(h, command->put.key),
                                   .value = history_string(h, command->put.value),
                                   .lease = command->put.lease};
    if (command->kind == COMMAND_LEASE_REVOKE)
        return (struct history_op){.kind = HISTORY_REVOKE, .lease = command->lease.id};
    const struct key_range *range =
        command->kind == COMMAND_DELETE ? &command->delete.range : &command->range.range;
    struct history_op op = {.kind = HISTORY_DELETE, .key = history_string(h, range->key)};
    if (!key_range_single(range))
        op.end = history_string(h, range->end);
    if (command->kind == COMMAND_DELETE)
        return op;
    op.kind = key_range_single(range) ? HISTORY_GET : HISTORY_RANGE;
    op.limit = op.kind == HISTORY_RANGE ? command->range.limit : 0;
    op.at = command->range.revision;
    return op;
}

/* A transaction in a branch that compares nothing is the same as its operations in that place. */
static uint32_t flatten(struct workload *w, const struct command *commands, uint32_t count,
                        struct history_op *ops, uint32_t at)
{
    for (uint32_t i = 0; i < count; i++) {
        if (commands[i].kind == COMMAND_TXN)
            at = flatten(w, commands[i].txn.success, commands[i].txn.success_count, ops, at);
        else if (at < FLAT_MAX)
            ops[at++] = flat_op(w, &commands[i]);
    }
    return at;
}

static struct history_compare flat_compare(struct workload *w, const struct compare *compare)
{
    struct history_compare flat = {.key = history_string(w->history, compare->range.key)};
    if (compare->target == COMPARE_VALUE) {
        flat.kind = HISTORY_COMPARE_VALUE;
        flat.value = history_string(w->history, compare->value);
    } else if (compare->target == COMPARE_MOD) {
        flat.kind = HISTORY_COMPARE_MOD;
        flat.mod = compare->number;
    } else {
        flat.kind = HISTORY_COMPARE_EXISTS; /* version equal to, or greater than 0 */
        flat.exists = compare->result == COMPARE_GREATER;
    }
    return flat;
}

/* One transaction inside another that does nothing else, stands for it. */
static const struct txn *innermost(const struct txn *txn)
{
    while (txn->compares_count == 0 && txn->success_count == 1 &&
           txn->success[0].kind == COMMAND_TXN)
        txn = &txn->success[0].txn;
    return txn;
}

void history_note(struct ask *ask)
{
    struct workload *w = ask->workload;
    struct history_op then[FLAT_MAX];
    struct history_op otherwise[FLAT_MAX];
    struct history_compare compares[FLAT_MAX];
    struct history_request request = {.compares = compares, .then = then, .otherwise = otherwise};
    if (ask->command.kind == COMMAND_TXN) {
        const struct txn *txn = innermost(&ask->command.txn);
        request.compares_count = txn->compares_count;
        for (uint32_t i = 0; i < txn->compares_count && i < FLAT_MAX; i++)
            compares[i] = flat_compare(w, &txn->compares[i]);
        request.then_count = flatten(w, txn->success, txn->success_count, then, 0);
        request.otherwise_count = flatten(w, txn->failure, txn->failure_count, otherwise, 0);
    } else {
        request.then_count = flatten(w, &ask->command, 1, then, 0);
        request.serializable =
            ask->command.kind == COMMAND_RANGE && ask->command.range.serializable;
    }
    ask->recorded = true;
    ask->history = history_call(w->history, ask->client, ++w->clock, &request);
}

/* --- Admission ------------------------------------------------------------------------------- */

static bool space_alarmed(struct workload *w, uint32_t place)
{
    uint32_t count;
    struct replica *replica = sim_replica(w->sim, place);
    const struct alarm *alarms = machine_alarms(replica_machine(replica), &count);
    for (uint32_t i = 0; i < count; i++) {
        if (alarms[i].kind == ALARM_NO_SPACE)
            return true;
    }
    return false;
}

static void raise_alarm(struct workload *w, uint32_t client, uint32_t place)
{
    struct replica_status status;
    replica_status(sim_replica(w->sim, place), &status);
    struct ask *ask = ask_new(w, ASK_ALARM, client, place);
    ask->command = (struct command){
        .kind = COMMAND_ALARM,
        .alarm = {.activate = true, .member = status.member, .alarm = ALARM_NO_SPACE}};
    ask_submit(ask);
}

bool workload_admit(struct workload *w, uint32_t client, uint32_t place,
                    const struct command *command)
{
    if (command_check(command, TXN_OPS_MAX) != REFUSAL_NONE) {
        w->counts.refused++;
        return false;
    }
    uint64_t cost = command_cost(command);
    if (cost == 0 || w->options->quota_bytes == UINT64_MAX || w->options->quota_bytes == 0)
        return true;
    bool alarmed = space_alarmed(w, place);
    if (!alarmed && store_size(workload_store(w, place)) + cost < w->options->quota_bytes)
        return true;
    w->counts.refused++;
    w->clients[client].chores = 3;
    if (!alarmed)
        raise_alarm(w, client, place);
    return false;
}

/* --- Writes ---------------------------------------------------------------------------------- */

static void ask_write(struct workload *w, uint32_t client, uint32_t place,
                      const struct command *command)
{
    if (!workload_admit(w, client, place, command))
        return;
    struct ask *ask = ask_new(w, ASK_WRITE, client, place);
    ask->command = *command;
    history_note(ask);
    ask_submit(ask);
}

static struct command put_command(struct workload *w, uint32_t key)
{
    struct command command = {.kind = COMMAND_PUT};
    command.put.key = workload_key(w, key);
    command.put.value = workload_value(w);
    command.put.want_previous = draw_percent(w->prng, 20);
    if (w->options->weight_lease > 0 && draw_percent(w->prng, 10))
        command.put.lease = lease_pick(w);
    return command;
}

static struct command get_command(struct workload *w, uint32_t key)
{
    struct command command = {.kind = COMMAND_RANGE};
    command.range.range.key = workload_key(w, key);
    return command;
}

static struct command delete_command(struct workload *w)
{
    struct command command = {.kind = COMMAND_DELETE};
    command.delete.range.key = workload_key(w, workload_pick_key(w));
    if (draw_percent(w->prng, 20))
        command.delete.range = workload_pick_range(w);
    command.delete.want_previous = draw_percent(w->prng, 20);
    return command;
}

/* --- Transactions ---------------------------------------------------------------------------- */

/* A transaction being put together, in the arena. */
struct build {
    struct compare *compares;
    struct command *success;
    struct command *failure;
    struct txn txn;
};

static struct build build_new(struct workload *w)
{
    struct build build;
    build.compares = arena_zero(&w->arena, 4 * sizeof *build.compares);
    build.success = arena_zero(&w->arena, 4 * sizeof *build.success);
    build.failure = arena_zero(&w->arena, 4 * sizeof *build.failure);
    build.txn = (struct txn){
        .compares = build.compares, .success = build.success, .failure = build.failure};
    return build;
}

static void build_if(struct workload *w, struct build *b, uint32_t client)
{
    const struct client *c = &w->clients[client];
    struct compare *compare = &b->compares[b->txn.compares_count++];
    compare->range.key = workload_key(w, c->seen_key);
    switch (prng_below(w->prng, 4)) {
    case 0:
        compare->target = COMPARE_VALUE;
        compare->value = c->seen_value;
        break;
    case 1:
    case 2:
        compare->target = COMPARE_MOD;
        compare->number = c->seen_mod;
        break;
    default:
        compare->target = COMPARE_VERSION;
        compare->range.key = workload_key(w, workload_pick_key(w));
        compare->result = draw_percent(w->prng, 50) ? COMPARE_GREATER : COMPARE_EQUAL;
        break;
    }
}

static void build_then(struct build *b, struct command command)
{
    b->success[b->txn.success_count++] = command;
}

static void build_else(struct build *b, struct command command)
{
    b->failure[b->txn.failure_count++] = command;
}

static struct command range_command(struct workload *w)
{
    struct command command = {.kind = COMMAND_RANGE};
    command.range.range = workload_pick_range(w);
    if (draw_percent(w->prng, 20))
        command.range.limit = (int64_t)draw_between(w->prng, 1, 4);
    return command;
}

static struct command txn_command(const struct build *b)
{
    return (struct command){.kind = COMMAND_TXN, .txn = b->txn};
}

/* Several keys at once, in one branch or the other. */
static struct build build_many(struct workload *w, uint32_t client)
{
    struct build b = build_new(w);
    uint32_t keys = w->options->keys;
    uint32_t key = workload_pick_key(w);
    build_if(w, &b, client);
    if (draw_percent(w->prng, 30))
        build_if(w, &b, client);
    build_then(&b, put_command(w, key));
    if (keys > 1) {
        struct command delete = {.kind = COMMAND_DELETE};
        delete.delete.range.key = workload_key(w, (key + 1) % keys);
        build_then(&b, draw_percent(w->prng, 50) ? delete : put_command(w, (key + 1) % keys));
    }
    build_then(&b, range_command(w));
    build_else(&b, put_command(w, (key + 2) % keys));
    build_else(&b, get_command(w, key));
    return b;
}

/* Compare and swap of what the client saw last. */
static struct build build_swap(struct workload *w, uint32_t client)
{
    struct build b = build_new(w);
    uint32_t key = w->clients[client].seen_key;
    build_if(w, &b, client);
    build_then(&b, put_command(w, key));
    build_then(&b, get_command(w, key));
    build_else(&b, get_command(w, key));
    return b;
}

static struct command build_nested(struct workload *w, uint32_t client)
{
    struct build outer = build_new(w);
    if (draw_percent(w->prng, 50)) {
        struct build inner = build_many(w, client);
        build_then(&outer, txn_command(&inner));
        return txn_command(&outer);
    }
    struct build inner = build_new(w);
    uint32_t key = workload_pick_key(w);
    build_then(&inner, put_command(w, key));
    build_then(&inner, get_command(w, key));
    build_if(w, &outer, client);
    build_then(&outer, get_command(w, key));
    build_then(&outer, txn_command(&inner));
    build_else(&outer, range_command(w));
    return txn_command(&outer);
}

static void ask_txn_read(struct workload *w, uint32_t client, uint32_t place)
{
    struct build b = build_new(w);
    build_if(w, &b, client);
    build_then(&b, get_command(w, workload_pick_key(w)));
    build_then(&b, range_command(w));
    build_else(&b, get_command(w, workload_pick_key(w)));
    struct ask *ask = ask_new(w, ASK_TXN_READ, client, place);
    ask->command = txn_command(&b);
    history_note(ask);
    ask_submit(ask);
}

static void ask_txn(struct workload *w, uint32_t client, uint32_t place)
{
    struct command command;
    struct build b;
    switch (prng_below(w->prng, 8)) {
    case 0:
        ask_txn_read(w, client, place);
        return;
    case 1:
        command = build_nested(w, client);
        break;
    case 2:
    case 3:
    case 4:
        b = build_many(w, client);
        command = txn_command(&b);
        break;
    default:
        b = build_swap(w, client);
        command = txn_command(&b);
        break;
    }
    ask_write(w, client, place, &command);
}

/* --- Reads and the rest ---------------------------------------------------------------------- */

static void ask_read(struct workload *w, uint32_t client, uint32_t place, bool range)
{
    struct command command = range ? range_command(w) : get_command(w, workload_pick_key(w));
    uint64_t how = prng_below(w->prng, 10);
    int64_t revision = store_revision(workload_store(w, place));
    if (how < 2) {
        int64_t back = (int64_t)prng_below(w->prng, 30);
        command.range.revision = revision > back ? revision - back : 1;
        if (how == 0 && draw_percent(w->prng, 20))
            command.range.revision = revision + 1 + (int64_t)prng_below(w->prng, 3);
    }
    if (how > 7 && !sim_paused(w->sim, place)) {
        command.range.serializable = true;
        answer_stale(w, client, place, &command.range);
        return;
    }
    struct ask *ask = ask_new(w, ASK_READ, client, place);
    ask->command = command;
    history_note(ask);
    ask_submit(ask);
}

static void ask_compact(struct workload *w, uint32_t client, uint32_t place)
{
    int64_t revision = store_revision(workload_store(w, place)) + 1;
    revision -= (int64_t)draw_between(w->prng, 0, draw_percent(w->prng, 50) ? 5 : 40);
    struct ask *ask = ask_new(w, ASK_COMPACT, client, place);
    ask->command = (struct command){.kind = COMMAND_COMPACT, .compact = {.revision = revision}};
    ask_submit(ask);
}

static void ask_simple(struct workload *w, enum ask_kind kind, uint32_t client, uint32_t place,
                       struct command command)
{
    struct ask *ask = ask_new(w, kind, client, place);
    ask->command = command;
    ask_submit(ask);
}

/* For want of space: delete, compact, lower the alarm. */
static void ask_chore(struct workload *w, uint32_t client, uint32_t place)
{
    struct client *c = &w->clients[client];
    static const uint8_t zero[1] = {0};
    struct command command = {.kind = COMMAND_DELETE};
    c->chores--;
    if (c->chores == 2) {
        command.delete.range = (struct key_range){bytes_of(zero, 1), bytes_of(zero, 1)};
        ask_write(w, client, place, &command);
    } else if (c->chores == 1) {
        command = (struct command){.kind = COMMAND_COMPACT};
        command.compact.revision = store_revision(workload_store(w, place));
        ask_simple(w, ASK_COMPACT, client, place, command);
    } else {
        command = (struct command){.kind = COMMAND_ALARM, .alarm = {.alarm = ALARM_NO_SPACE}};
        ask_simple(w, ASK_ALARM, client, place, command);
    }
}

void ask_something(struct workload *w, uint32_t client, uint32_t place)
{
    const struct sim_options *o = w->options;
    const uint32_t weights[] = {o->weight_put,   o->weight_get,
                                o->weight_range, o->weight_delete,
                                o->weight_txn,   w->calm ? 0 : o->weight_compact,
                                o->weight_lease, w->calm ? 0 : o->weight_transfer};
    uint64_t sum = 0;
    if (w->clients[client].chores > 0) {
        ask_chore(w, client, place);
        return;
    }
    if (w->clients[client].probe != 0) {
        lease_probe(w, client);
        return;
    }
    if (w->clients[client].holder && draw_percent(w->prng, 80)) {
        lease_hold(w, client, place);
        return;
    }
    for (uint32_t i = 0; i < 8; i++)
        sum += weights[i];
    uint64_t drawn = prng_below(w->prng, sum + 1);
    uint32_t what = 0;
    while (what < 8 && drawn >= weights[what])
        drawn -= weights[what++];
    struct command command;
    switch (what) {
    case 1:
    case 2:
        ask_read(w, client, place, what == 2);
        break;
    case 3:
        command = delete_command(w);
        ask_write(w, client, place, &command);
        break;
    case 4:
        ask_txn(w, client, place);
        break;
    case 5:
        ask_compact(w, client, place);
        break;
    case 6:
        lease_ask(w, client, place);
        break;
    case 7:
        ask_simple(w, ASK_TRANSFER, client, place, (struct command){.kind = COMMAND_RANGE});
        break;
    default:
        command = put_command(w, workload_pick_key(w));
        ask_write(w, client, place, &command);
        break;
    }
}
