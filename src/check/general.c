/* General: tier B. It believes no revision, so that a wrong one cannot mislead it: it looks for an
 * order of the operations, any order that respects real time, in which every answer is right.
 *
 * The one invariant: it shares no model with tier A. What both say they say for reasons of their
 * own. */
#include "check/check_internal.h"
#include "check/general_internal.h"

#include "base/panic.h"

#define STEPS_DEFAULT 3000000u

void gen_say_slot(const struct general *g, struct text *text, uint32_t key, uint32_t slot)
{
    check_describe_string(g->h, g->strings[key], text);
    if (slot == 0) {
        text_add(text, " does not exist");
        return;
    }
    text_add(text, " is ");
    check_describe_string(g->h, g->slots[slot].value, text);
}

/* The key that a sentence about the operation is about. */
static uint32_t key_of_op(const struct general *g, const struct gen_op *op)
{
    if (op->tests.from < op->tests.to)
        return g->tests[op->tests.from].key;
    struct gen_span steps = op->branches[op->succeeded];
    uint32_t key = steps.from < steps.to ? g->steps[steps.from].from : 0;
    return key < g->keys_count ? key : 0;
}

/* Operations that overlap with it, and so might have come before it or after. */
static uint32_t count_concurrent(const struct history *h, uint32_t number)
{
    const struct history_operation *o = &h->operations[number];
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *other = &h->operations[i];
        count += i != number && other->outcome != HISTORY_FAILED && other->call <= o->end &&
                 other->end >= o->call;
    }
    return count;
}

static void refute(struct general *g, const struct gen_result *result)
{
    struct check_verdict *v = g->verdict;
    const struct gen_op *op = &g->ops[result->culprit];
    struct text text = text_of(v->what, sizeof v->what);
    v->rule = "no order";
    v->culprit = op->number;
    text_add(&text, "no order explains it: in the longest one that can be found, ");
    gen_say_slot(g, &text, key_of_op(g, op), result->state);
    text_add(&text, " when it has to be placed, and none of the ");
    text_u64(&text, count_concurrent(g->h, op->number));
    text_add(&text, " operations concurrent with it can change that and fit themselves");
    v->prefix = mem_alloc(v->mem, result->prefix_count * sizeof *v->prefix);
    v->prefix_count = result->prefix_count;
    for (uint32_t i = 0; i < result->prefix_count; i++)
        v->prefix[i] = g->ops[result->prefix[i]].number;
}

/* The search that is quick to refute goes by what comes later; people want to know which operation
 * is the first that cannot be placed. */
static void explain(struct general *g, uint32_t partition, struct gen_result *result)
{
    struct gen_result plain;
    uint64_t steps = g->verdict->steps;
    g->verdict->steps = 0;
    gen_search(g, partition, false, &plain);
    g->verdict->steps += steps;
    ensure(plain.outcome != CHECK_OK);
    refute(g, plain.outcome == CHECK_VIOLATION ? &plain : result);
}

static enum check_outcome check_partitions(struct general *g)
{
    bool undecided = false;
    for (uint32_t i = 0; i < g->partitions_count; i++) {
        struct gen_result result;
        uint64_t steps = g->verdict->steps;
        g->verdict->steps = 0; /* the budget is that of one partition */
        gen_search(g, i, true, &result);
        g->verdict->steps += steps;
        undecided |= result.outcome == CHECK_UNDECIDED;
        if (result.outcome != CHECK_VIOLATION)
            continue;
        explain(g, i, &result);
        return CHECK_VIOLATION;
    }
    return undecided ? CHECK_UNDECIDED : CHECK_OK;
}

static enum check_outcome check_all(struct general *g)
{
    gen_compile(g);
    gen_unknown(g);
    if (!gen_explained(g))
        return CHECK_VIOLATION;
    gen_partition(g);
    gen_model_init(&g->model, g);
    g->counts = arena_zero(&g->arena, g->slots_count * sizeof *g->counts);
    g->lists = arena_zero(&g->arena, g->keys_count * sizeof *g->lists);
    enum check_outcome outcome = check_partitions(g);
    gen_model_release(&g->model);
    return outcome;
}

void check_general(const struct history *history, struct mem *mem,
                   const struct check_options *options, struct check_verdict *ret_verdict)
{
    *ret_verdict =
        (struct check_verdict){.culprit = CHECK_NOBODY, .other = CHECK_NOBODY, .mem = mem};
    struct general g = {.h = history, .verdict = ret_verdict};
    g.steps_max = options->steps > 0 ? options->steps : STEPS_DEFAULT;
    arena_init(&g.arena, mem);
    map_init(&g.slot_of, mem);
    map_init(&g.names, mem);
    map_init(&g.lease_of, mem);
    enum check_outcome outcome = check_all(&g);
    for (uint32_t i = 0; i < g.ops_count; i++)
        ret_verdict->checked += g.ops[i].role != GEN_LEFT_OUT;
    if (outcome == CHECK_UNDECIDED)
        ret_verdict->rule = "budget";
    if (outcome == CHECK_OK && check_is_vacuous(history))
        outcome = CHECK_VACUOUS;
    ret_verdict->outcome = outcome;
    map_release(&g.slot_of);
    map_release(&g.names);
    map_release(&g.lease_of);
    arena_release(&g.arena);
}
