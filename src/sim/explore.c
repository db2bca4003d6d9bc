/* The search: layer by layer, so that the first violation has the shortest path.
 *
 * A state is looked at once: its fingerprint leaves out clocks, so of two states that differ only
 * in how late they are the first one goes on. The one invariant: the order is that of the options
 * and of nothing else, so the same options find the same states and the same path. */
#include "sim/explore_internal.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#define ACTIONS_MAX 1024
#define PROGRESS_EVERY 16384
#define PATH_MAX_STEPS 1024

struct explore *explore_new(const struct explore_options *options)
{
    struct explore *x = explore_memory(NULL, sizeof *x);
    memset(x, 0, sizeof *x);
    ensure(options->members > 0 && options->members <= EXPLORE_MEMBERS_MAX);
    x->options = *options;
    explore_tables_init(x);
    explore_host_init(x);
    if (explore_begin(x)) {
        explore_visit(x, explore_state_fingerprint(x, &x->root));
        explore_layer_add(&x->current, &x->root);
        *(struct explore_parent *)explore_array_add(&x->parents, 1) = (struct explore_parent){0};
    }
    return x;
}

void explore_free(struct explore *x)
{
    explore_host_free(x);
    explore_tables_free(x);
    free(x);
}

void explore_progress(const struct explore *x, struct explore_progress *ret_progress)
{
    *ret_progress = (struct explore_progress){
        .states = x->visited.count,
        .transitions = x->transitions,
        .frontier = x->next.count,
        .cut = x->cut,
        .components = x->components.count,
        .engine_steps = x->engine_steps,
        .bytes = explore_bytes(x),
        .depth = x->depth,
    };
}

const char *explore_violation(const struct explore *x)
{
    return x->violation;
}

/* Those that are new wait for their turn in the next layer. */
static void explore_settle(struct explore *x)
{
    for (uint32_t i = 0; i < x->arrivals_count; i++) {
        const struct explore_arrival *a = &x->arrivals[i];
        if (!explore_visit(x, a->fingerprint))
            continue;
        explore_layer_add(&x->next, &a->state);
        *(struct explore_parent *)explore_array_add(&x->parents, 1) =
            (struct explore_parent){.state = a->parent, .action = a->action};
    }
    x->arrivals_count = 0;
}

/* All that can follow one state. False: a violation. */
static bool explore_expand(struct explore *x, uint32_t number, const struct explore_state *state)
{
    uint32_t actions[ACTIONS_MAX];
    uint32_t count = explore_actions(x, state, actions, ACTIONS_MAX);
    uint32_t size = explore_state_size(state);
    for (uint32_t i = 0; i < count; i++) {
        struct explore_arrival *a = &x->arrivals[x->arrivals_count];
        memcpy(&a->state, state, size);
        enum explore_applied applied = explore_apply(x, &a->state, actions[i]);
        if (applied == APPLIED_VIOLATED) {
            x->violation_parent = number;
            x->violation_action = actions[i];
            return false;
        }
        if (applied != APPLIED)
            continue;
        x->transitions++;
        a->fingerprint = explore_state_fingerprint(x, &a->state);
        a->parent = number;
        a->action = actions[i];
        explore_visit_soon(x, a->fingerprint);
        if (++x->arrivals_count == EXPLORE_ARRIVALS_MAX)
            explore_settle(x);
    }
    return true;
}

static bool explore_enough(const struct explore *x)
{
    return x->options.states != 0 && x->visited.count >= x->options.states;
}

enum explore_verdict explore_run(struct explore *x, void *owner,
                                 bool (*more)(void *owner, const struct explore_progress *progress))
{
    uint32_t number = 0;
    struct explore_progress progress;
    if (x->violation[0] != '\0')
        return EXPLORE_VIOLATED;
    while (x->current.count > 0) {
        if (x->options.depth != 0 && x->depth >= x->options.depth)
            return EXPLORE_BOUNDED;
        struct explore_state state;
        while (explore_layer_take(&x->current, &state)) {
            if (!explore_expand(x, number, &state))
                return EXPLORE_VIOLATED;
            ensure(number < UINT32_MAX);
            number++;
            if (explore_enough(x))
                return EXPLORE_BOUNDED;
            if (more == NULL || number % PROGRESS_EVERY != 0)
                continue;
            explore_progress(x, &progress);
            if (!more(owner, &progress))
                return EXPLORE_BOUNDED;
        }
        explore_settle(x);
        explore_layer_clear(&x->current);
        x->current = x->next;
        x->next = (struct explore_layer){0};
        if (x->current.count > 0)
            x->depth++;
    }
    return EXPLORE_COMPLETE;
}

/* Do two outcomes bring about the same, clocks aside? */
static bool outcomes_alike(const struct explore *x, const struct explore_outcome *a,
                           const struct explore_outcome *b)
{
    if (a->count != b->count || explore_component_at(x, a->component)->fingerprint !=
                                    explore_component_at(x, b->component)->fingerprint)
        return false;
    for (uint32_t i = 0; i < a->count; i++) {
        bool sends = a->items[i] >> 28 == ITEM_SEND && b->items[i] >> 28 == ITEM_SEND;
        if (!sends && a->items[i] != b->items[i])
            return false;
        if (sends && explore_message_at(x, a->items[i] & 0xfffffff)->fingerprint !=
                         explore_message_at(x, b->items[i] & 0xfffffff)->fingerprint)
            return false;
    }
    return true;
}

static int by_fingerprint(const void *a, const void *b)
{
    const struct explore_twin *m = a;
    const struct explore_twin *n = b;
    if (m->fingerprint != n->fingerprint)
        return m->fingerprint < n->fingerprint ? -1 : 1;
    return m->component < n->component ? -1 : m->component > n->component;
}

/* The first member's state with the same fingerprint, for each. */
static uint32_t *explore_twins(const struct explore *x, uint64_t count)
{
    struct explore_twin *twins = explore_memory(NULL, (count + 1) * sizeof *twins);
    uint32_t *first = explore_memory(NULL, (count + 1) * sizeof *first);
    for (uint32_t i = 0; i < count; i++)
        twins[i] = (struct explore_twin){explore_component_at(x, i)->fingerprint, i};
    qsort(twins, count, sizeof *twins, by_fingerprint);
    for (uint64_t i = 0; i < count; i++) {
        bool same = i > 0 && twins[i].fingerprint == twins[i - 1].fingerprint;
        first[twins[i].component] = same ? first[twins[i - 1].component] : twins[i].component;
    }
    free(twins);
    return first;
}

uint64_t explore_compare(struct explore *x, uint64_t *ret_compared)
{
    uint64_t components = x->components.count;
    uint64_t capacity = x->steps.capacity;
    uint64_t different = 0;
    uint32_t *first = explore_twins(x, components);
    struct explore_step *steps = explore_memory(NULL, (capacity + 1) * sizeof *steps);
    memcpy(steps, x->steps.cells, capacity * sizeof *steps); /* the table grows meanwhile */
    *ret_compared = 0;
    for (uint64_t i = 0; i < capacity; i++) {
        uint32_t component = (uint32_t)((steps[i].key - 1) >> 32);
        uint32_t action = (uint32_t)(steps[i].key - 1);
        enum explore_action kind = action_kind(action);
        if (steps[i].key == 0 || component >= components || first[component] == component ||
            kind == ACTION_TIMEOUT || kind == ACTION_TIMEOUT_UNHEARD || kind == ACTION_BREAK)
            continue;
        const struct explore_outcome *twin =
            explore_host_step(x, first[component], kind, action & 0x7ffffff);
        const struct explore_outcome *own = explore_array_at(&x->outcomes, steps[i].outcome);
        ++*ret_compared;
        if (twin == NULL || !outcomes_alike(x, own, twin))
            different++;
    }
    free(steps);
    free(first);
    return different;
}

void explore_path(const struct explore *x, char *ret_path, size_t capacity)
{
    uint32_t actions[PATH_MAX_STEPS];
    uint32_t count = 0;
    struct text text = text_of(ret_path, capacity);
    if (x->parents.count == 0)
        return;
    actions[count++] = x->violation_action;
    for (uint64_t at = x->violation_parent; at != 0 && count < PATH_MAX_STEPS;) {
        const struct explore_parent *parent = explore_array_at(&x->parents, at);
        actions[count++] = parent->action;
        at = parent->state;
    }
    while (count > 0) {
        explore_write_action(x, actions[--count], &text);
        if (count > 0)
            text_add(&text, ",");
    }
}
