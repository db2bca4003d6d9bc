#include "check/support_random.h"

#include "check/support_naive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TICK 1000

struct run {
    struct prng *prng;
    const struct random_plan *plan;
    struct history *h; /* for its strings */
    struct naive *n;
    uint32_t keys[NAIVE_KEYS];
    uint32_t values;
    struct history_operation *made; /* as they happened */
    struct arena arena;
    int64_t step_revision[4096]; /* after each step */
};

static bool chance(struct run *r, uint32_t percent)
{
    return prng_below(r->prng, 100) < percent;
}

static uint32_t any_key(struct run *r)
{
    return r->keys[prng_below(r->prng, r->plan->keys)];
}

static uint32_t number_string(struct history *h, char letter, uint64_t number)
{
    char text[32];
    snprintf(text, sizeof text, "%c%llu", letter, (unsigned long long)number);
    return history_string(h, bytes_text(text));
}

static uint32_t any_value(struct run *r)
{
    bool old = r->values > 0 && chance(r, r->plan->repeats);
    return number_string(r->h, 'v', old ? prng_below(r->prng, r->values) : r->values++);
}

static uint32_t any_end(struct run *r)
{
    static const char *const ends[] = {"k1", "k2", "k3", "l", "\0"};
    uint32_t which = (uint32_t)prng_below(r->prng, 5);
    return history_string(r->h, which == 4 ? bytes_of("", 1) : bytes_text(ends[which]));
}

static struct history_op any_read(struct run *r)
{
    struct history_op op = {.kind = HISTORY_GET, .key = any_key(r)};
    if (chance(r, r->plan->ranges)) {
        op.kind = HISTORY_RANGE;
        op.end = chance(r, 90) ? any_end(r) : 0;
        op.limit = chance(r, 20) ? 1 + (int64_t)prng_below(r->prng, 2) : 0;
    }
    if (chance(r, r->plan->past))
        op.at = 1 + (int64_t)prng_below(r->prng, (uint64_t)r->n->now.revision);
    return op;
}

static struct history_op any_op(struct run *r)
{
    if (chance(r, r->plan->reads))
        return any_read(r);
    if (chance(r, r->plan->deletes))
        return (struct history_op){.kind = HISTORY_DELETE,
                                   .key = any_key(r),
                                   .end = chance(r, r->plan->ranges) ? any_end(r) : 0};
    return (struct history_op){
        .kind = HISTORY_PUT,
        .key = any_key(r),
        .value = any_value(r),
        .lease = chance(r, r->plan->leases) ? 1 + (int64_t)prng_below(r->prng, 2) : 0};
}

static struct history_compare any_compare(struct run *r)
{
    struct history_compare c = {.kind = (enum history_compare_kind)prng_below(r->prng, 3),
                                .key = any_key(r),
                                .exists = chance(r, 50)};
    const struct naive_key *now = &r->n->now.keys[prng_below(r->prng, r->n->keys_count)];
    if (chance(r, 60))
        c.key = now->key;
    if (c.kind == HISTORY_COMPARE_VALUE)
        c.value = now->value != 0 ? now->value : number_string(r->h, 'v', 0);
    if (c.kind == HISTORY_COMPARE_MOD)
        c.mod = chance(r, 70) ? now->mod : (int64_t)prng_below(r->prng, 20);
    c.exists &= c.kind == HISTORY_COMPARE_EXISTS;
    return c;
}

/* Etcd refuses transactions that touch a key twice; so a branch has at most one write. */
static uint32_t any_branch(struct run *r, struct history_op *ops)
{
    uint32_t count = 1 + (uint32_t)prng_below(r->prng, 3);
    bool wrote = false;
    for (uint32_t i = 0; i < count; i++) {
        ops[i] = any_op(r);
        bool writes = ops[i].kind == HISTORY_PUT || ops[i].kind == HISTORY_DELETE;
        if (writes && wrote)
            ops[i] = any_read(r);
        wrote |= writes;
    }
    return count;
}

static void any_request(struct run *r, struct history_operation *o)
{
    struct history_op *ops = arena_zero(&r->arena, 8 * sizeof *ops);
    o->then = ops;
    o->otherwise = ops + 4;
    if (chance(r, r->plan->leases / 4)) {
        ops[0] = (struct history_op){.kind = HISTORY_REVOKE,
                                     .lease = 1 + (int64_t)prng_below(r->prng, 2)};
        o->then_count = 1;
    } else if (chance(r, r->plan->transactions)) {
        struct history_compare *compares = arena_zero(&r->arena, 2 * sizeof *compares);
        o->compares = compares;
        o->compares_count = (uint32_t)prng_below(r->prng, 3);
        for (uint32_t i = 0; i < o->compares_count; i++)
            compares[i] = any_compare(r);
        o->then_count = any_branch(r, o->then);
        o->otherwise_count =
            o->compares_count > 0 && chance(r, 70) ? any_branch(r, o->otherwise) : 0;
    } else {
        ops[0] = any_op(r);
        o->then_count = 1;
    }
}

static bool reads_only(const struct history_operation *o)
{
    for (uint32_t i = 0; i < o->then_count + o->otherwise_count; i++) {
        const struct history_op *op =
            i < o->then_count ? &o->then[i] : &o->otherwise[i - o->then_count];
        if (op->kind != HISTORY_GET && op->kind != HISTORY_RANGE)
            return false;
    }
    return true;
}

static void answer(struct run *r, struct history_operation *o)
{
    struct naive_answer answers[NAIVE_OPS];
    o->succeeded = naive_holds(r->n, o);
    struct history_op *ops = o->succeeded ? o->then : o->otherwise;
    uint32_t count = o->succeeded ? o->then_count : o->otherwise_count;
    naive_play(r->n, ops, count, answers);
    o->revision = r->n->now.revision;
    for (uint32_t i = 0; i < count; i++) {
        ops[i].found_count = answers[i].found_count;
        ops[i].count = answers[i].count;
        ops[i].more = answers[i].more;
        struct history_pair *found = arena_alloc(&r->arena, sizeof answers[i].found);
        memcpy(found, answers[i].found, sizeof answers[i].found);
        ops[i].found = found;
    }
}

/* What happens at one moment, and how its client sees it. */
static void step(struct run *r, uint32_t index)
{
    struct history_operation *o = &r->made[index];
    uint64_t moment = (uint64_t)(index + 10) * TICK;
    uint64_t width = r->plan->width * TICK + 1;
    any_request(r, o);
    o->client = (uint32_t)prng_below(r->prng, 5);
    uint64_t early = prng_below(r->prng, width);
    o->call = moment > early ? moment - early : 0;
    o->end = moment + prng_below(r->prng, width);
    o->outcome = HISTORY_OK;
    bool only_reads = reads_only(o);
    if (chance(r, r->plan->failed)) {
        o->outcome = HISTORY_FAILED;
    } else if (chance(r, r->plan->unknown)) {
        o->outcome = HISTORY_UNKNOWN;
        o->end = UINT64_MAX;
        o->call -= prng_below(r->prng, 2) ? 0 : o->call / 2;
        if (chance(r, 60))
            answer(r, o);
    } else if (only_reads && chance(r, r->plan->serializable) && index > 0) {
        /* An older state, as a member that lags would have it; its return may be before now. */
        struct naive_state now = r->n->now;
        uint32_t back = (uint32_t)prng_below(r->prng, index < 8 ? index : 8);
        o->serializable = true;
        r->n->now = r->n->past[r->step_revision[index - 1 - back]];
        for (uint32_t i = 0; i < 8; i++) {
            if (o->then[i].at > r->n->now.revision)
                o->then[i].at = 0;
        }
        answer(r, o);
        r->n->now = now;
    } else {
        answer(r, o);
    }
    r->step_revision[index] = r->n->now.revision;
}

struct random_plan random_plan_any(struct prng *prng, uint32_t operations)
{
    struct random_plan plan = {
        .operations = operations,
        .keys = 1 + (uint32_t)prng_below(prng, 3),
        .width = prng_below(prng, 7),
        .reads = 30 + (uint32_t)prng_below(prng, 40),
        .ranges = prng_below(prng, 2) ? 30 : 0,
        .deletes = prng_below(prng, 2) ? 30 : 5,
        .transactions = prng_below(prng, 2) ? 30 : 0,
        .leases = prng_below(prng, 3) ? 0 : 40,
        .past = prng_below(prng, 4) ? 0 : 10,
        .serializable = prng_below(prng, 2) ? 20 : 0,
        .unknown = prng_below(prng, 3) ? (uint32_t)prng_below(prng, 30) : 0,
        .failed = prng_below(prng, 2) ? 5 : 0,
        .repeats = prng_below(prng, 4) ? 0 : 30,
    };
    return plan;
}

/* --- copies -------------------------------------------------------------------------------- */

static int by_call(const void *one, const void *two)
{
    const struct history_operation *a = one;
    const struct history_operation *b = two;
    if (a->call != b->call)
        return a->call < b->call ? -1 : 1;
    return a->client < b->client ? -1 : a->client > b->client;
}

static void record(struct history *h, const struct history_operation *o)
{
    struct history_request request = {
        .serializable = o->serializable,
        .compares = o->compares,
        .compares_count = o->compares_count,
        .then = o->then,
        .then_count = o->then_count,
        .otherwise = o->otherwise,
        .otherwise_count = o->otherwise_count,
    };
    uint32_t number = history_call(h, o->client, o->call, &request);
    struct history_operation *made = &h->operations[number];
    for (uint32_t i = 0; i < made->then_count + made->otherwise_count; i++) {
        struct history_op *op =
            i < made->then_count ? &made->then[i] : &made->otherwise[i - made->then_count];
        op->found = NULL;
        op->found_count = 0;
        op->count = 0;
        op->more = false;
    }
    if (o->outcome == HISTORY_FAILED)
        history_failed(h, number, o->end);
    if (o->outcome != HISTORY_OK)
        return;
    struct history_op *ops = history_ok(h, number, o->end, o->revision, o->succeeded);
    uint32_t count;
    const struct history_op *from = history_taken(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        ops[i].count = from[i].count;
        if (ops[i].kind == HISTORY_GET || ops[i].kind == HISTORY_RANGE)
            history_found(h, &ops[i], from[i].found, from[i].found_count, from[i].count,
                          from[i].more);
    }
}

static void copy_strings(struct history *to, const struct history *from)
{
    for (uint32_t i = 1; i < from->strings_count; i++)
        assert_int_equal(history_string(to, from->strings[i]), i);
}

struct history *random_history(struct mem *mem, struct prng *prng, const struct random_plan *plan)
{
    static struct run r;
    static struct naive n;
    struct history *strings = history_new(mem);
    memset(&r, 0, sizeof r);
    memset(&n, 0, sizeof n);
    r = (struct run){.prng = prng, .plan = plan, .h = strings, .n = &n};
    arena_init(&r.arena, mem);
    n.h = strings;
    n.now.revision = 1;
    for (uint32_t i = 0; i < plan->keys; i++) {
        r.keys[i] = number_string(strings, 'k', i);
        naive_know(&n, r.keys[i]);
    }
    r.made = arena_zero(&r.arena, plan->operations * sizeof *r.made);
    for (uint32_t i = 0; i < plan->operations; i++)
        step(&r, i);
    qsort(r.made, plan->operations, sizeof *r.made, by_call);
    struct history *h = history_new(mem);
    copy_strings(h, strings);
    for (uint32_t i = 0; i < plan->operations; i++)
        record(h, &r.made[i]);
    arena_release(&r.arena);
    history_free(strings);
    return h;
}

static void copy_op(struct arena *arena, struct history_op *op)
{
    struct history_pair *found = arena_alloc(arena, op->found_count * sizeof *found);
    for (uint32_t i = 0; i < op->found_count; i++)
        found[i] = op->found[i];
    op->found = found;
}

/* Deep copies, so that whoever changes one does not change the original. */
static struct history_op *copy_ops(struct arena *arena, const struct history_op *ops,
                                   uint32_t count)
{
    struct history_op *copy = arena_alloc(arena, count * sizeof *copy);
    for (uint32_t i = 0; i < count; i++) {
        copy[i] = ops[i];
        copy_op(arena, &copy[i]);
    }
    return copy;
}

struct history *history_again(struct mem *mem, const struct history *h,
                              void (*change)(struct history *copy, uint32_t number,
                                             struct history_operation *o, void *context),
                              void *context)
{
    struct arena arena;
    struct history *copy = history_new(mem);
    arena_init(&arena, mem);
    copy_strings(copy, h);
    struct history_operation *made = arena_alloc(&arena, h->count * sizeof *made);
    for (uint32_t i = 0; i < h->count; i++) {
        made[i] = h->operations[i];
        made[i].then = copy_ops(&arena, made[i].then, made[i].then_count);
        made[i].otherwise = copy_ops(&arena, made[i].otherwise, made[i].otherwise_count);
        struct history_compare *compares =
            arena_alloc(&arena, made[i].compares_count * sizeof *compares);
        for (uint32_t j = 0; j < made[i].compares_count; j++)
            compares[j] = made[i].compares[j];
        made[i].compares = compares;
        change(copy, i, &made[i], context);
    }
    qsort(made, h->count, sizeof *made, by_call);
    for (uint32_t i = 0; i < h->count; i++) {
        if (made[i].client != UINT32_MAX)
            record(copy, &made[i]);
    }
    arena_release(&arena);
    return copy;
}

/* --- what keeps it right ------------------------------------------------------------------- */

static uint32_t renamed(struct history *copy, uint32_t string)
{
    if (string == 0)
        return 0;
    struct bytes old = copy->strings[string];
    uint8_t text[64] = "zz/";
    assert_true(old.size < 50);
    memcpy(text + 3, old.data, old.size);
    bool open = old.size == 1 && old.data[0] == 0;
    return open ? string : history_string(copy, bytes_of(text, 3 + old.size));
}

static void rename_operation(struct history *copy, uint32_t number, struct history_operation *o,
                             void *context)
{
    (void)number;
    (void)context;
    o->client = 1000 - o->client;
    for (uint32_t i = 0; i < o->compares_count; i++) {
        struct history_compare *c = (struct history_compare *)(uintptr_t)&o->compares[i];
        c->key = renamed(copy, c->key);
        c->value = renamed(copy, c->value);
    }
    for (uint32_t i = 0; i < o->then_count + o->otherwise_count; i++) {
        struct history_op *op = i < o->then_count ? &o->then[i] : &o->otherwise[i - o->then_count];
        op->key = renamed(copy, op->key);
        op->end = renamed(copy, op->end);
        op->value = renamed(copy, op->value);
        op->lease = op->lease == 0 ? 0 : 77 - op->lease;
        for (uint32_t j = 0; j < op->found_count; j++) {
            struct history_pair *pair = (struct history_pair *)(uintptr_t)&op->found[j];
            pair->key = renamed(copy, pair->key);
            pair->value = renamed(copy, pair->value);
        }
    }
}

struct history *random_renamed(struct mem *mem, const struct history *h)
{
    return history_again(mem, h, rename_operation, NULL);
}

static void widen_operation(struct history *copy, uint32_t number, struct history_operation *o,
                            void *context)
{
    (void)copy;
    (void)number;
    o->call -= prng_below(context, o->call < 4 * TICK ? o->call + 1 : 4 * TICK);
    if (o->outcome != HISTORY_UNKNOWN)
        o->end += prng_below(context, 4 * TICK);
}

struct history *random_widened(struct mem *mem, const struct history *h, struct prng *prng)
{
    return history_again(mem, h, widen_operation, prng);
}

static void drop_some(struct history *copy, uint32_t number, struct history_operation *o,
                      void *context)
{
    (void)copy;
    (void)number;
    (void)context;
    if (o->client < 2)
        o->client = UINT32_MAX;
}

struct history *random_part(struct mem *mem, const struct history *h)
{
    return history_again(mem, h, drop_some, NULL);
}

/* --- what may make it wrong ---------------------------------------------------------------- */

struct mutation {
    struct prng *prng;
    uint32_t victim;
    uint32_t kind;
    const struct history *h;
};

static struct history_pair *some_pair(struct mutation *m, struct history_operation *o)
{
    for (uint32_t i = 0; i < o->then_count + o->otherwise_count; i++) {
        struct history_op *op = i < o->then_count ? &o->then[i] : &o->otherwise[i - o->then_count];
        if (op->found_count > 0)
            return (struct history_pair *)(uintptr_t)&op
                ->found[prng_below(m->prng, op->found_count)];
    }
    return NULL;
}

static struct history_op *some_op(struct mutation *m, struct history_operation *o)
{
    uint32_t count = o->then_count + o->otherwise_count;
    uint32_t which = (uint32_t)prng_below(m->prng, count);
    return which < o->then_count ? &o->then[which] : &o->otherwise[which - o->then_count];
}

/* The answer of another operation that asked the same kind of thing. */
static void stale_answer(struct mutation *m, struct history_op *op)
{
    for (int tries = 0; tries < 20; tries++) {
        const struct history_operation *other = &m->h->operations[prng_below(m->prng, m->h->count)];
        const struct history_op *ops = other->then;
        if (other->outcome != HISTORY_OK || !other->succeeded || other->then_count == 0 ||
            ops[0].kind != op->kind || ops[0].key != op->key || ops[0].end != op->end)
            continue;
        op->found = ops[0].found;
        op->found_count = ops[0].found_count;
        op->count = ops[0].count;
        op->more = ops[0].more;
        return;
    }
}

static void mutate_pair(struct mutation *m, struct history *copy, struct history_operation *o)
{
    struct history_pair *pair = some_pair(m, o);
    if (pair == NULL)
        return;
    switch (m->kind) {
    case 0:
        pair->value = number_string(copy, 'v', prng_below(m->prng, 8));
        break;
    case 1:
        pair->mod += prng_below(m->prng, 2) ? 1 : -1;
        break;
    case 2:
        pair->create += prng_below(m->prng, 2) ? 1 : -1;
        break;
    default:
        pair->version += prng_below(m->prng, 2) ? 1 : -1;
        break;
    }
}

static void mutate_operation(struct history *copy, uint32_t number, struct history_operation *o,
                             void *context)
{
    struct mutation *m = context;
    if (number != m->victim)
        return;
    struct history_op *op = o->then_count + o->otherwise_count > 0 ? some_op(m, o) : NULL;
    switch (m->kind) {
    case 4:
        o->revision += prng_below(m->prng, 2) || o->revision < 2 ? 1 : -1;
        break;
    case 5: /* it returned earlier */
        o->end = o->outcome == HISTORY_OK ? o->call + prng_below(m->prng, TICK) : o->end;
        break;
    case 6: /* it was called later */
        o->call = o->outcome == HISTORY_OK ? o->end - prng_below(m->prng, TICK) % (o->end + 1)
                                           : o->call + 3 * TICK;
        o->end = o->end < o->call ? o->call : o->end;
        break;
    case 7: /* what happened is said not to have */
        o->end = o->end == UINT64_MAX ? o->call + TICK : o->end;
        o->outcome = HISTORY_FAILED;
        break;
    case 8: /* a stale or a future read */
        if (op != NULL && (op->kind == HISTORY_GET || op->kind == HISTORY_RANGE))
            stale_answer(m, op);
        break;
    case 9:
        if (op != NULL && op->kind == HISTORY_DELETE)
            op->count += prng_below(m->prng, 2) || op->count == 0 ? 1 : -1;
        break;
    case 10:
        o->serializable = false;
        break;
    case 11:
        if (op != NULL && op->kind == HISTORY_RANGE)
            op->count += 1;
        break;
    default:
        mutate_pair(m, copy, o);
        break;
    }
}

struct history *random_mutated(struct mem *mem, const struct history *h, struct prng *prng)
{
    struct mutation m = {.prng = prng,
                         .victim = (uint32_t)prng_below(prng, h->count),
                         .kind = (uint32_t)prng_below(prng, 12),
                         .h = h};
    return history_again(mem, h, mutate_operation, &m);
}
