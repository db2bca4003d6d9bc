/* Compile: strings become keys and slots, operations become tests and steps, once, so that the
 * search compares nothing but numbers. */
#include "check/general_internal.h"

#include "base/hash.h"
#include "base/sort.h"

#include <string.h>

#define SEED_HIGH 0x5eed0001u
#define SEED_LOW 0x5eed0002u

static struct gen_hash random_of(uint64_t kind, uint64_t number)
{
    uint64_t what = kind << 32 | number;
    return (struct gen_hash){hash_fold(hash_u64(SEED_HIGH ^ what), what),
                             hash_fold(hash_u64(SEED_LOW ^ (what << 1)), ~what)};
}

static const struct history_op *op_at(const struct history_operation *o, uint32_t index)
{
    return index < o->then_count ? &o->then[index] : &o->otherwise[index - o->then_count];
}

/* --- keys and leases ----------------------------------------------------------------------- */

static void note_key(struct general *g, uint32_t string)
{
    if (g->key_of[string] != 0)
        return;
    g->strings[g->keys_count++] = string;
    g->key_of[string] = g->keys_count;
}

static void note_lease(struct general *g, int64_t lease)
{
    if (map_get(&g->lease_of, (uint64_t)lease) == NULL)
        map_put(&g->lease_of, (uint64_t)lease, (void *)(uintptr_t)++g->leases_count);
}

static void note_op(struct general *g, const struct history_op *op)
{
    if (op->kind == HISTORY_REVOKE) {
        g->revokes = true;
        note_lease(g, op->lease);
        return;
    }
    if (op->lease != 0)
        note_lease(g, op->lease);
    if (op->end == 0)
        note_key(g, op->key);
    else
        g->ordered = true;
    for (uint32_t i = 0; i < op->found_count; i++)
        note_key(g, op->found[i].key);
    g->found_count += op->found_count;
}

static int compare_strings(const void *one, const void *two, const void *context)
{
    const struct general *g = context;
    return bytes_compare(g->h->strings[*(const uint32_t *)one],
                         g->h->strings[*(const uint32_t *)two]);
}

static void find_keys(struct general *g)
{
    const struct history *h = g->h;
    g->key_of = arena_zero(&g->arena, h->strings_count * sizeof *g->key_of);
    g->strings = arena_alloc(&g->arena, h->strings_count * sizeof *g->strings);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        for (uint32_t j = 0; j < o->compares_count; j++)
            note_key(g, o->compares[j].key);
        for (uint32_t j = 0; j < o->then_count + o->otherwise_count; j++)
            note_op(g, op_at(o, j));
        g->tests_count += o->compares_count;
        g->steps_count += o->then_count + o->otherwise_count;
    }
    if (!g->ordered)
        return;
    uint32_t *scratch = arena_alloc(&g->arena, g->keys_count * sizeof *scratch);
    sort_stable(g->strings, scratch, g->keys_count, sizeof *scratch, compare_strings, g);
    for (uint32_t i = 0; i < g->keys_count; i++)
        g->key_of[g->strings[i]] = i + 1;
}

static uint32_t key_of(const struct general *g, uint32_t string)
{
    return g->key_of[string] - 1;
}

static uint32_t first_key(const struct general *g, struct bytes bytes)
{
    uint32_t low = 0;
    for (uint32_t high = g->keys_count; low < high;) {
        uint32_t middle = low + (high - low) / 2;
        bool before = bytes_compare(g->h->strings[g->strings[middle]], bytes) < 0;
        low = before ? middle + 1 : low;
        high = before ? high : middle;
    }
    return low;
}

static struct gen_span keys_of(const struct general *g, const struct history_op *op)
{
    if (op->end == 0)
        return (struct gen_span){key_of(g, op->key), key_of(g, op->key) + 1};
    struct bytes end = g->h->strings[op->end];
    struct gen_span keys = {first_key(g, g->h->strings[op->key]), g->keys_count};
    if (end.size != 1 || end.data[0] != 0)
        keys.to = first_key(g, end);
    if (keys.to < keys.from)
        keys.to = keys.from;
    return keys;
}

/* For each lease the keys that ever hung on it; a key may be there more than once. */
static void find_attached(struct general *g)
{
    const struct history *h = g->h;
    uint32_t *from = arena_zero(&g->arena, (g->leases_count + 2) * sizeof *from);
    for (int pass = 0; pass < 2; pass++) {
        for (uint32_t i = 0; i < h->count; i++) {
            const struct history_operation *o = &h->operations[i];
            for (uint32_t j = 0; j < o->then_count + o->otherwise_count; j++) {
                const struct history_op *op = op_at(o, j);
                if (op->kind != HISTORY_PUT || op->lease == 0)
                    continue;
                uintptr_t lease = (uintptr_t)map_get(&g->lease_of, (uint64_t)op->lease);
                if (pass == 0)
                    from[lease + 1]++;
                else
                    g->attached[from[lease]++] = key_of(g, op->key);
            }
        }
        for (uint32_t l = 0; pass == 0 && l <= g->leases_count; l++)
            from[l + 1] += from[l];
        if (pass == 0)
            g->attached = arena_alloc(&g->arena, from[g->leases_count + 1] * sizeof *g->attached);
    }
    /* Every beginning moved to the end of its own: that is the next one's beginning. */
    for (uint32_t l = g->leases_count + 1; l > 0; l--)
        from[l] = from[l - 1];
    from[0] = 0;
    g->attached_from = from;
}

/* --- slots --------------------------------------------------------------------------------- */

static uint32_t slot_of(struct general *g, uint32_t key_string, uint32_t value)
{
    uint64_t name = (uint64_t)key_string << 32 | value;
    uintptr_t known = (uintptr_t)map_get(&g->slot_of, name);
    if (known != 0)
        return (uint32_t)known;
    if (g->slots_count == g->slots_capacity) {
        uint32_t capacity = g->slots_capacity * 2;
        struct gen_slot *slots = arena_alloc(&g->arena, capacity * sizeof *slots);
        memcpy(slots, g->slots, g->slots_count * sizeof *slots);
        g->slots = slots;
        g->slots_capacity = capacity;
    }
    uint32_t slot = g->slots_count++;
    g->slots[slot] = (struct gen_slot){.key = key_of(g, key_string),
                                       .value = value,
                                       .read_end = UINT64_MAX,
                                       .hash = random_of(1, slot)};
    map_put(&g->slot_of, name, (void *)(uintptr_t)slot);
    return slot;
}

#define NAME_AMBIGUOUS UINT32_MAX

static uint64_t name_of(uint32_t key, int64_t mod)
{
    return hash_fold(hash_u64(key), (uint64_t)mod);
}

static void note_name(struct general *g, uint32_t key_string, int64_t mod, uint32_t value)
{
    uint32_t slot = slot_of(g, key_string, value);
    uint64_t name = name_of(key_of(g, key_string), mod);
    uintptr_t known = (uintptr_t)map_get(&g->names, name);
    if (known != 0 && known != slot)
        slot = NAME_AMBIGUOUS;
    map_put(&g->names, name, (void *)(uintptr_t)slot);
}

/* A compare of a mod revision is the only place where this tier looks at one, and then only as the
 * name of a value: the one that was written or found with it. */
static void find_names(struct general *g)
{
    const struct history *h = g->h;
    for (uint32_t i = 0; g->tests_count > 0 && i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        uint32_t count = 0;
        const struct history_op *ops = o->outcome == HISTORY_OK ? history_taken(o, &count) : NULL;
        for (uint32_t j = 0; j < count; j++) {
            if (ops[j].kind == HISTORY_PUT)
                note_name(g, ops[j].key, o->revision, ops[j].value);
            for (uint32_t k = 0; k < ops[j].found_count; k++)
                note_name(g, ops[j].found[k].key, ops[j].found[k].mod, ops[j].found[k].value);
        }
    }
}

/* --- operations ---------------------------------------------------------------------------- */

static void compile_test(struct general *g, const struct history_compare *c)
{
    struct gen_test t = {.kind = c->kind, .key = key_of(g, c->key), .exists = c->exists};
    if (c->kind == HISTORY_COMPARE_VALUE) {
        t.slot = slot_of(g, c->key, c->value);
        g->slots[t.slot].compared++;
    } else if (c->kind == HISTORY_COMPARE_MOD && c->mod == 0) {
        t.kind = HISTORY_COMPARE_EXISTS;
    } else if (c->kind == HISTORY_COMPARE_MOD) {
        uintptr_t slot = (uintptr_t)map_get(&g->names, name_of(t.key, c->mod));
        t.nameless = slot == 0 || slot == NAME_AMBIGUOUS;
        t.slot = t.nameless ? 0 : (uint32_t)slot;
        g->slots[t.slot].compared += t.slot != 0;
    }
    g->tests[g->tests_count++] = t;
}

static uint32_t lease_of(const struct general *g, int64_t lease)
{
    /* Where nothing is ever revoked a lease is of no consequence. */
    return lease == 0 || !g->revokes ? 0
                                     : (uint32_t)(uintptr_t)map_get(&g->lease_of, (uint64_t)lease);
}

static void compile_step(struct general *g, const struct history_op *op, bool answered)
{
    struct gen_step step = {.kind = op->kind,
                            .answered = answered && op->kind != HISTORY_PUT,
                            .more = op->more,
                            .limit = op->limit,
                            .count = op->count};
    step.lease = lease_of(g, op->lease);
    if (op->kind == HISTORY_REVOKE) {
        step.from = g->attached_from[step.lease];
        step.to = g->attached_from[step.lease + 1];
    } else {
        struct gen_span keys = keys_of(g, op);
        step.from = keys.from;
        step.to = keys.to;
    }
    if (op->kind == HISTORY_PUT)
        step.slot = slot_of(g, op->key, op->value);
    if (op->kind == HISTORY_GET && answered && op->found_count > 0)
        step.slot = slot_of(g, op->key, op->found[0].value);
    if (op->kind == HISTORY_RANGE && answered) {
        step.found_from = g->found_count;
        step.found_count = op->found_count;
        for (uint32_t i = 0; i < op->found_count; i++)
            g->found[g->found_count++] = slot_of(g, op->found[i].key, op->found[i].value);
    }
    g->steps[g->steps_count++] = step;
}

static struct gen_span compile_branch(struct general *g, const struct history_op *ops,
                                      uint32_t count, bool answered)
{
    struct gen_span branch = {.from = g->steps_count};
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].at == 0) /* what was read in the past says nothing about now */
            compile_step(g, &ops[i], answered);
    }
    branch.to = g->steps_count;
    return branch;
}

/* Does an answered branch change nothing, by its own account? */
static bool is_pure(const struct general *g, struct gen_span branch)
{
    for (uint32_t i = branch.from; i < branch.to; i++) {
        const struct gen_step *step = &g->steps[i];
        if (step->kind == HISTORY_PUT || step->kind == HISTORY_REVOKE ||
            (step->kind == HISTORY_DELETE && step->count > 0))
            return false;
    }
    return true;
}

static bool may_write(const struct history_operation *o)
{
    for (uint32_t i = 0; i < o->then_count + o->otherwise_count; i++) {
        enum history_op_kind kind = op_at(o, i)->kind;
        if (kind != HISTORY_GET && kind != HISTORY_RANGE)
            return true;
    }
    return false;
}

static void compile_operation(struct general *g, uint32_t number)
{
    const struct history_operation *o = &g->h->operations[number];
    bool ok = o->outcome == HISTORY_OK;
    bool writes = may_write(o);
    struct gen_op op = {.number = number,
                        .role = ok ? GEN_REQUIRED : GEN_OPTIONAL,
                        .forced = ok,
                        .succeeded = o->succeeded,
                        .call = o->call,
                        .end = o->end,
                        .hash = random_of(2, number)};
    op.tests.from = g->tests_count;
    for (uint32_t i = 0; i < o->compares_count; i++)
        compile_test(g, &o->compares[i]);
    op.tests.to = g->tests_count;
    if (!ok || o->succeeded)
        op.branches[true] = compile_branch(g, o->then, o->then_count, ok);
    if (!ok || !o->succeeded)
        op.branches[false] = compile_branch(g, o->otherwise, o->otherwise_count, ok);
    op.pure = ok && is_pure(g, op.branches[o->succeeded]);
    if (o->outcome == HISTORY_FAILED || (!ok && !writes))
        op.role = GEN_LEFT_OUT;
    else if (o->serializable && !writes)
        op.role = GEN_LOOSE;
    g->ops[g->ops_count++] = op;
}

void gen_compile(struct general *g)
{
    g->slots_count = 1; /* slot 0: no value */
    g->slots_capacity = 64;
    g->slots = arena_zero(&g->arena, g->slots_capacity * sizeof *g->slots);
    find_keys(g);
    find_attached(g);
    find_names(g);
    g->ops = arena_alloc(&g->arena, g->h->count * sizeof *g->ops);
    g->tests = arena_alloc(&g->arena, g->tests_count * sizeof *g->tests);
    g->steps = arena_alloc(&g->arena, g->steps_count * sizeof *g->steps);
    g->found = arena_alloc(&g->arena, g->found_count * sizeof *g->found);
    g->tests_count = 0;
    g->steps_count = 0;
    g->found_count = 0;
    for (uint32_t i = 0; i < g->h->count; i++)
        compile_operation(g, i);
}
