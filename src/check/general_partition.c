/* Partition: keys that no operation links can be checked one by one, for a history is linearizable
 * exactly if it is so for each of them (Herlihy and Wing's locality). An operation links all the
 * keys that it reads, writes or compares. */
#include "check/general_internal.h"

struct forest {
    uint32_t *parents;
};

static uint32_t root(const struct forest *f, uint32_t key)
{
    while (f->parents[key] != key) {
        f->parents[key] = f->parents[f->parents[key]];
        key = f->parents[key];
    }
    return key;
}

/* The lower number becomes the root, so that the order of partitions is that of their first keys.
 */
static void join(const struct forest *f, uint32_t *first, uint32_t key)
{
    if (*first == UINT32_MAX) {
        *first = root(f, key);
        return;
    }
    uint32_t a = root(f, *first);
    uint32_t b = root(f, key);
    f->parents[a > b ? a : b] = a > b ? b : a;
    *first = a > b ? b : a;
}

/* Joins the keys of an operation. Returns one of them; UINT32_MAX if it has none. */
static uint32_t join_op(const struct general *g, const struct forest *f, const struct gen_op *op)
{
    uint32_t first = UINT32_MAX;
    for (uint32_t i = op->tests.from; i < op->tests.to; i++)
        join(f, &first, g->tests[i].key);
    for (int b = 0; b < 2; b++) {
        if (op->forced && op->succeeded != (b == 1))
            continue;
        for (uint32_t i = op->branches[b].from; i < op->branches[b].to; i++) {
            const struct gen_step *step = &g->steps[i];
            bool revoke = step->kind == HISTORY_REVOKE;
            for (uint32_t k = step->from; k < step->to; k++)
                join(f, &first, revoke ? g->attached[k] : k);
        }
    }
    return first;
}

void gen_partition(struct general *g)
{
    struct forest f = {.parents = arena_alloc(&g->arena, (g->keys_count + 1) * sizeof *f.parents)};
    uint32_t *keys = arena_alloc(&g->arena, g->ops_count * sizeof *keys);
    for (uint32_t i = 0; i < g->keys_count; i++)
        f.parents[i] = i;
    for (uint32_t i = 0; i < g->ops_count; i++) {
        struct gen_op *op = &g->ops[i];
        keys[i] = op->role == GEN_LEFT_OUT ? UINT32_MAX : join_op(g, &f, op);
        if (keys[i] == UINT32_MAX)
            op->role = GEN_LEFT_OUT; /* it says nothing about any key */
    }
    uint32_t *numbers = arena_zero(&g->arena, g->keys_count * sizeof *numbers);
    for (uint32_t i = 0; i < g->keys_count; i++) {
        if (f.parents[i] == i)
            numbers[i] = g->partitions_count++;
    }
    uint32_t *from = arena_zero(&g->arena, (g->partitions_count + 1) * sizeof *from);
    for (uint32_t i = 0; i < g->ops_count; i++) {
        if (g->ops[i].role == GEN_LEFT_OUT)
            continue;
        g->ops[i].partition = numbers[root(&f, keys[i])];
        from[g->ops[i].partition + 1]++;
    }
    for (uint32_t i = 0; i < g->partitions_count; i++)
        from[i + 1] += from[i];
    uint32_t *next = arena_alloc(&g->arena, (g->partitions_count + 1) * sizeof *next);
    for (uint32_t i = 0; i < g->partitions_count; i++)
        next[i] = from[i];
    g->order = arena_alloc(&g->arena, g->ops_count * sizeof *g->order);
    for (uint32_t i = 0; i < g->ops_count; i++) {
        if (g->ops[i].role != GEN_LEFT_OUT)
            g->order[next[g->ops[i].partition]++] = i;
    }
    g->partition_from = from;
}
