/* Prepare: what a search of one partition needs to know before it begins: who comes next, whose
 * ends press, who waits for which value, and where the state is certain. And its memory. */
#include "check/general_search.h"

#include "base/hash.h"
#include "base/sort.h"

/* --- memory -------------------------------------------------------------------------------- */

static void memory_grow(struct gen_memory *m)
{
    struct gen_memory old = *m;
    m->capacity = old.capacity == 0 ? 256 : old.capacity * 2;
    m->count = 0;
    m->cells = mem_zero(m->mem, m->capacity * sizeof *m->cells);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.cells[i].high != 0 || old.cells[i].low != 0)
            gen_memory_add(m, old.cells[i]);
    }
    mem_free(m->mem, old.cells, old.capacity * sizeof *old.cells);
}

bool gen_memory_add(struct gen_memory *m, struct gen_hash hash)
{
    if ((m->count + 1) * 3 > m->capacity * 2)
        memory_grow(m);
    hash.low |= hash.high == 0 && hash.low == 0;
    size_t mask = m->capacity - 1;
    size_t at = (size_t)hash_u64(hash.low) & mask;
    for (; m->cells[at].high != 0 || m->cells[at].low != 0; at = (at + 1) & mask) {
        if (m->cells[at].high == hash.high && m->cells[at].low == hash.low)
            return false;
    }
    m->cells[at] = hash;
    m->count++;
    return true;
}

void gen_memory_forget(struct gen_memory *m)
{
    if (m->count < 4096)
        return; /* clearing would cost more than it frees */
    mem_free(m->mem, m->cells, m->capacity * sizeof *m->cells);
    *m = (struct gen_memory){.mem = m->mem};
}

void gen_memory_release(struct gen_memory *m)
{
    mem_free(m->mem, m->cells, m->capacity * sizeof *m->cells);
    *m = (struct gen_memory){.mem = m->mem};
}

/* --- preparation --------------------------------------------------------------------------- */

static void ring_add(struct gen_search *s, uint32_t head, uint32_t place)
{
    struct gen_link *links = s->links;
    links[place] = (struct gen_link){.next = head, .prev = links[head].prev};
    links[links[head].prev].next = place;
    links[head].prev = place;
}

static int compare_ends(const void *one, const void *two, const void *context)
{
    const struct gen_search *s = context;
    const struct gen_op *a = gen_op_at(s, *(const uint32_t *)one);
    const struct gen_op *b = gen_op_at(s, *(const uint32_t *)two);
    return a->end < b->end ? -1 : a->end > b->end;
}

/* The branches that an operation may have taken, as [from, to) of 0 and 1. */
struct gen_span gen_branches(const struct gen_op *op)
{
    if (op->forced)
        return (struct gen_span){op->succeeded, op->succeeded + 1u};
    return (struct gen_span){0, 2};
}

static const uint32_t *step_found(const struct gen_search *s, const struct gen_step *step,
                                  uint32_t *ret_count)
{
    *ret_count = step->kind == HISTORY_RANGE ? step->found_count
                 : step->kind == HISTORY_GET ? step->slot != 0
                                             : 0;
    return step->kind == HISTORY_RANGE ? s->g->found + step->found_from : &step->slot;
}

/* Adds `by` to the counts of what the operation finds, and of what it may write. */
void gen_search_count(struct gen_search *s, const struct gen_op *op, uint32_t by)
{
    struct gen_span branches = gen_branches(op);
    for (uint32_t b = branches.from; b < branches.to; b++) {
        for (uint32_t i = op->branches[b].from; i < op->branches[b].to; i++) {
            const struct gen_step *step = &s->g->steps[i];
            uint32_t count;
            const uint32_t *found = step_found(s, step, &count);
            for (uint32_t j = 0; j < count; j++)
                s->counts[found[j]].readers += by;
            if (step->kind == HISTORY_PUT)
                s->counts[step->slot].writers += by;
        }
    }
}

static void list_loose(struct gen_search *s, uint32_t *list, uint32_t place)
{
    s->listings[s->listings_count] = (struct gen_listing){.next = *list, .op = place};
    *list = ++s->listings_count;
}

/* A loose operation can become true only by a change to what it found, or compared. */
static void list_op(struct gen_search *s, uint32_t place, bool count_only, uint32_t *count)
{
    const struct gen_op *op = gen_op_at(s, place);
    struct gen_span steps = op->branches[op->succeeded];
    *count += op->tests.to - op->tests.from;
    for (uint32_t i = op->tests.from; !count_only && i < op->tests.to; i++)
        list_loose(s, &s->lists[s->g->tests[i].key].any, place);
    for (uint32_t i = steps.from; i < steps.to; i++) {
        const struct gen_step *step = &s->g->steps[i];
        *count += step->to - step->from;
        uint32_t found_count;
        const uint32_t *found = step_found(s, step, &found_count);
        uint32_t at = 0;
        for (uint32_t key = step->from; !count_only && key < step->to; key++) {
            if (at < found_count && s->g->slots[found[at]].key == key)
                list_loose(s, &s->counts[found[at++]].list, place);
            else if (at == found_count && step->count > found_count)
                list_loose(s, &s->lists[key].any, place); /* behind its limit */
            else
                list_loose(s, &s->lists[key].missing, place);
        }
    }
}

static void list_all(struct gen_search *s)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->count; i++) {
        if (gen_op_at(s, i)->role == GEN_LOOSE)
            list_op(s, i, true, &count);
    }
    s->listings = arena_alloc(&s->g->arena, count * sizeof *s->listings);
    for (uint32_t i = 0; i < s->count; i++) {
        if (gen_op_at(s, i)->role == GEN_LOOSE)
            list_op(s, i, false, &count);
    }
}

/* --- certainty ----------------------------------------------------------------------------- */

/* The one key of the partition, if there is only one. */
static bool is_single(const struct gen_search *s)
{
    uint32_t key = GEN_NONE;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct gen_op *op = gen_op_at(s, i);
        for (uint32_t j = op->tests.from; j < op->tests.to; j++) {
            if (key != GEN_NONE && s->g->tests[j].key != key)
                return false;
            key = s->g->tests[j].key;
        }
        struct gen_span branches = gen_branches(op);
        for (uint32_t b = branches.from; b < branches.to; b++) {
            for (uint32_t j = op->branches[b].from; j < op->branches[b].to; j++) {
                const struct gen_step *step = &s->g->steps[j];
                if (step->kind == HISTORY_REVOKE || step->to - step->from > 1 ||
                    (step->to > step->from && key != GEN_NONE && key != step->from))
                    return false;
                key = step->to > step->from ? step->from : key;
            }
        }
    }
    return true;
}

/* An answer that tells the whole state of a partition of one key. */
static bool tells_state(const struct gen_search *s, const struct gen_op *op)
{
    struct gen_span steps = op->branches[op->succeeded];
    for (uint32_t i = steps.from; i < steps.to; i++) {
        const struct gen_step *step = &s->g->steps[i];
        if (step->answered && step->kind == HISTORY_GET)
            return true;
    }
    return false;
}

/* Where everything called so far has returned there is a cut. The state at a cut is certain if it
 * was so at the one before and one operation at most has changed it since, or if the history has
 * only one key and nobody changed it since the cut before, but somebody read it. */
static void find_certain(struct gen_search *s)
{
    if (s->listings_count > 0)
        return; /* which states a path went through is not told by where it is */
    uint64_t end = 0;
    bool sure = true;
    uint32_t writes = 0;
    bool told = false;
    bool single = is_single(s) && !s->g->revokes;
    for (uint32_t i = 0; i < s->count; i++) {
        const struct gen_op *op = gen_op_at(s, i);
        if (op->role == GEN_OPTIONAL)
            return; /* it may have happened at any time from here on */
        if (op->call > end) {
            sure = (sure && writes <= 1) || (writes == 0 && told);
            writes = 0;
            told = false;
            s->certain[i] = sure;
        }
        writes += op->pure ? 0 : op->forced ? 1 : 2;
        told |= single && op->pure && tells_state(s, op);
        end = op->end > end ? op->end : end;
    }
}

static void reset_counts(struct gen_search *s, const struct gen_op *op)
{
    struct gen_span branches = gen_branches(op);
    for (uint32_t b = branches.from; b < branches.to; b++) {
        for (uint32_t i = op->branches[b].from; i < op->branches[b].to; i++) {
            const struct gen_step *step = &s->g->steps[i];
            uint32_t count;
            const uint32_t *found = step_found(s, step, &count);
            for (uint32_t j = 0; j < count; j++)
                s->counts[found[j]] = (struct gen_count){0};
            s->counts[step->slot] = (struct gen_count){0};
            for (uint32_t key = step->from; step->kind != HISTORY_REVOKE && key < step->to; key++) {
                s->lists[key] = (struct gen_lists){0};
                s->model->keys[key] = (struct gen_key){0};
            }
        }
    }
    for (uint32_t i = op->tests.from; i < op->tests.to; i++) {
        s->lists[s->g->tests[i].key] = (struct gen_lists){0};
        s->model->keys[s->g->tests[i].key] = (struct gen_key){0};
    }
}

static void order_ends(struct gen_search *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (gen_op_at(s, i)->role != GEN_OPTIONAL)
            s->by_end[s->by_end_count++] = i;
    }
    uint32_t *scratch = arena_alloc(&s->g->arena, s->by_end_count * sizeof *scratch);
    sort_stable(s->by_end, scratch, s->by_end_count, sizeof *scratch, compare_ends, s);
}

static void fill(struct gen_search *s)
{
    uint32_t required = 0;
    s->links[s->count] = (struct gen_link){s->count, s->count};
    s->links[s->count + 1] = (struct gen_link){s->count + 1, s->count + 1};
    for (uint32_t i = 0; i < s->count; i++)
        reset_counts(s, gen_op_at(s, i));
    for (uint32_t i = 0; i < s->count; i++) {
        struct gen_op *op = &s->g->ops[s->order[i]];
        op->place = i;
        s->rank[i] = required;
        required += op->role == GEN_REQUIRED;
        if (op->role == GEN_LOOSE)
            continue;
        ring_add(s, s->count + (op->role == GEN_OPTIONAL), i);
        gen_search_count(s, op, 1);
    }
}

void gen_search_init(struct gen_search *s, struct general *g, uint32_t partition, bool clever)
{
    struct arena *arena = &g->arena;
    *s = (struct gen_search){.g = g, .model = &g->model, .clever = clever};
    s->order = g->order + g->partition_from[partition];
    s->count = g->partition_from[partition + 1] - g->partition_from[partition];
    s->links = arena_alloc(arena, ((size_t)s->count + 2) * sizeof *s->links);
    s->by_end = arena_alloc(arena, s->count * sizeof *s->by_end);
    s->placed = arena_zero(arena, s->count);
    s->certain = arena_zero(arena, s->count);
    s->rank = arena_alloc(arena, s->count * sizeof *s->rank);
    s->sequence = arena_alloc(arena, s->count * sizeof *s->sequence);
    s->best = arena_alloc(arena, s->count * sizeof *s->best);
    s->counts = g->counts;
    s->lists = g->lists;
    s->model->hash = (struct gen_hash){0};
    s->model->log.size = 0;
    buffer_init(&s->trail, arena->mem, SIZE_MAX / 2);
    buffer_init(&s->frames, arena->mem, SIZE_MAX / 2);
    s->memory.mem = arena->mem;
    fill(s);
    order_ends(s);
    list_all(s);
    find_certain(s);
}

void gen_search_release(struct gen_search *s)
{
    buffer_release(&s->trail);
    buffer_release(&s->frames);
    gen_memory_release(&s->memory);
}
