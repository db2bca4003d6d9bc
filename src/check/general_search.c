/* Search: Wing and Gong's algorithm. From the state so far, place next any operation that no other
 * one must precede, if its answer fits; go back when none does. Lowe: a set of placed operations
 * with the state that they led to is tried once.
 *
 * What makes it fast, and leaves nothing out:
 *   - what only reads is placed as soon as it fits: later is never better;
 *   - a value that somebody still has to find is not overwritten, if nobody else can write it;
 *   - of operations that may have happened and do the same, the first called goes first;
 *   - one that may have happened is placed right before the first that notices it, or not at all;
 *   - where all that was called has returned, and the state can only be one, it never looks back.
 *
 * The one invariant: the trail leads back, change by change, to every earlier state of the search.
 */
#include "check/general_search.h"

#include <string.h>

enum step_result {
    STEP_OPEN, /* operations can be tried from here */
    STEP_DONE, /* everything is placed */
    STEP_DEAD, /* was here before */
};

static void toggle(struct gen_search *s, const struct gen_op *op)
{
    s->hash.high ^= op->hash.high;
    s->hash.low ^= op->hash.low;
}

static void trail_add(struct gen_search *s, enum gen_trail_kind kind, uint32_t what, size_t log)
{
    struct gen_trail one = {.kind = kind, .what = what, .log = log};
    buffer_append(&s->trail, bytes_of(&one, sizeof one));
}

static void undo(struct gen_search *s, size_t trail)
{
    while (s->trail.size > trail) {
        s->trail.size -= sizeof(struct gen_trail);
        struct gen_trail one =
            *(const struct gen_trail *)(const void *)(s->trail.data + s->trail.size);
        if (one.kind == GEN_TRAIL_FRONT) {
            s->front = one.what;
            continue;
        }
        const struct gen_op *op = gen_op_at(s, one.what);
        s->placed[one.what] = false;
        s->sequence_count--;
        toggle(s, op);
        if (one.kind == GEN_TRAIL_MATCHED)
            continue;
        struct gen_link *link = &s->links[one.what];
        s->links[link->prev].next = one.what;
        s->links[link->next].prev = one.what;
        s->placed_required -= op->role == GEN_REQUIRED;
        gen_search_count(s, op, 1);
        gen_model_undo(s->model, one.log);
    }
}

/* --- placing ------------------------------------------------------------------------------- */

static bool branch_fits(const struct gen_search *s, const struct gen_op *op)
{
    enum gen_truth truth = gen_model_test(s->model, op->tests);
    return truth == GEN_MAYBE || truth == (op->succeeded ? GEN_YES : GEN_NO);
}

/* A loose operation that is true now need not be so later. It changes nothing. */
static void match(struct gen_search *s, uint32_t what)
{
    const struct gen_op *op = gen_op_at(s, what);
    if (s->placed[what] || !branch_fits(s, op) ||
        !gen_model_play(s->model, op->branches[op->succeeded]))
        return;
    s->placed[what] = true;
    s->sequence[s->sequence_count++] = what;
    toggle(s, op);
    trail_add(s, GEN_TRAIL_MATCHED, what, 0);
}

static void match_list(struct gen_search *s, uint32_t listing)
{
    for (; listing != 0; listing = s->listings[listing - 1].next)
        match(s, s->listings[listing - 1].op);
}

/* Loose operations that the changes since this size of the log made true. */
static void match_loose(struct gen_search *s, size_t log)
{
    for (size_t at = log; s->listings_count > 0 && at < s->model->log.size;
         at += sizeof(struct gen_change)) {
        const struct gen_change *one = (const void *)(s->model->log.data + at);
        uint32_t key = one->key;
        uint32_t slot = s->model->keys[key].slot;
        match_list(s, slot != 0 ? s->counts[slot].list : s->lists[key].missing);
        match_list(s, s->lists[key].any);
    }
}

/* Did a change since then take away a value that somebody still has to find, for good? */
static bool is_hopeless(const struct gen_search *s, size_t log)
{
    for (size_t at = log; at < s->model->log.size; at += sizeof(struct gen_change)) {
        const struct gen_change *one = (const void *)(s->model->log.data + at);
        uint32_t slot = one->before.slot;
        if (slot != 0 && s->model->keys[one->key].slot != slot && s->counts[slot].readers > 0 &&
            s->counts[slot].writers == 0)
            return true;
    }
    return false;
}

static void place(struct gen_search *s, uint32_t what, size_t log)
{
    const struct gen_op *op = gen_op_at(s, what);
    struct gen_link *link = &s->links[what];
    s->links[link->prev].next = link->next;
    s->links[link->next].prev = link->prev;
    s->placed[what] = true;
    s->placed_required += op->role == GEN_REQUIRED;
    s->sequence[s->sequence_count++] = what;
    toggle(s, op);
    trail_add(s, GEN_TRAIL_PLACED, what, log);
    match_loose(s, log);
}

/* Places an operation with this branch, if that fits. */
static bool place_branch(struct gen_search *s, uint32_t what, bool succeeded)
{
    const struct gen_op *op = gen_op_at(s, what);
    size_t log = s->model->log.size;
    bool fits = gen_model_play(s->model, op->branches[succeeded]) &&
                /* If it changes nothing, that it happened explains nothing. */
                (op->role != GEN_OPTIONAL || s->model->log.size > log);
    if (!fits) {
        gen_model_undo(s->model, log);
        return false;
    }
    gen_search_count(s, op, UINT32_MAX);
    if (s->clever && is_hopeless(s, log)) {
        gen_search_count(s, op, 1);
        gen_model_undo(s->model, log);
        return false;
    }
    place(s, what, log);
    s->g->verdict->steps++;
    return true;
}

/* Places it if it fits; `ret_other`: with the other branch it might fit too. */
static bool place_any(struct gen_search *s, uint32_t what, bool *ret_other)
{
    const struct gen_op *op = gen_op_at(s, what);
    enum gen_truth truth = gen_model_test(s->model, op->tests);
    *ret_other = false;
    if (op->forced)
        return branch_fits(s, op) && place_branch(s, what, op->succeeded);
    *ret_other = truth == GEN_MAYBE;
    return place_branch(s, what, truth != GEN_NO);
}

/* --- what is not noticed yet --------------------------------------------------------------- */

/* Pending are the operations at the end of the sequence that may have happened, do nothing but
 * write one key, and were placed for somebody to notice. If the next one does not notice one of
 * them, then that could as well be placed behind it. */
static bool is_pending(const struct gen_search *s)
{
    return s->pending_from < s->sequence_count;
}

static bool is_simple(const struct gen_search *s, const struct gen_op *op)
{
    struct gen_span steps = op->branches[true];
    const struct gen_step *step = &s->g->steps[steps.from];
    return op->role == GEN_OPTIONAL && op->tests.from == op->tests.to &&
           steps.to - steps.from == 1 && step->to - step->from == 1 &&
           (step->kind == HISTORY_PUT || step->kind == HISTORY_DELETE);
}

static bool step_notices(const struct gen_search *s, const struct gen_step *step, uint32_t key)
{
    if (step->kind == HISTORY_PUT)
        return false;
    if (step->kind != HISTORY_REVOKE)
        return key >= step->from && key < step->to;
    for (uint32_t i = step->from; i < step->to; i++) {
        if (s->g->attached[i] == key)
            return true;
    }
    return false;
}

static bool notices(const struct gen_search *s, const struct gen_op *op, uint32_t key)
{
    for (uint32_t i = op->tests.from; i < op->tests.to; i++) {
        if (s->g->tests[i].key == key)
            return true;
    }
    struct gen_span branches = gen_branches(op);
    for (uint32_t b = branches.from; b < branches.to; b++) {
        for (uint32_t i = op->branches[b].from; i < op->branches[b].to; i++) {
            if (step_notices(s, &s->g->steps[i], key))
                return true;
        }
    }
    return false;
}

/* Everything that was pending before sequence[until]. */
static bool notices_pending(const struct gen_search *s, const struct gen_op *op, uint32_t until)
{
    for (uint32_t i = s->pending_from; i < until; i++) {
        const struct gen_op *pending = gen_op_at(s, s->sequence[i]);
        if (!notices(s, op, s->g->steps[pending->branches[true].from].from))
            return false;
    }
    return true;
}

/* After a candidate was placed at sequence[at]. */
static void note_pending(struct gen_search *s, uint32_t at)
{
    bool waits = s->sequence_count == at + 1 && is_simple(s, gen_op_at(s, s->sequence[at]));
    if (!waits)
        s->pending_from = s->sequence_count;
}

/* After reads were placed from sequence[from] on: false if none of them notices what is pending. */
static bool settle_pending(struct gen_search *s, uint32_t from)
{
    bool fine = s->pending_from >= from || s->sequence_count == from;
    for (uint32_t i = from; !fine && i < s->sequence_count; i++)
        fine = notices_pending(s, gen_op_at(s, s->sequence[i]), from);
    if (s->sequence_count > from)
        s->pending_from = s->sequence_count;
    return fine;
}

/* --- a state ------------------------------------------------------------------------------- */

static void advance_front(struct gen_search *s)
{
    uint32_t front = s->front;
    while (front < s->by_end_count && s->placed[s->by_end[front]])
        front++;
    if (front != s->front)
        trail_add(s, GEN_TRAIL_FRONT, s->front, 0);
    s->front = front;
}

/* Whatever is placed next was called by then: before the first that has to be placed returned. */
static uint64_t horizon(const struct gen_search *s)
{
    return gen_op_at(s, s->by_end[s->front])->end;
}

/* Places all that only reads and fits. False: everything that is required is placed. */
static bool settle(struct gen_search *s)
{
    for (;;) {
        bool placed = false;
        advance_front(s);
        if (s->front == s->by_end_count)
            return false;
        uint64_t until = horizon(s);
        for (uint32_t at = s->links[s->count].next; at != s->count;) {
            const struct gen_op *op = gen_op_at(s, at);
            uint32_t next = s->links[at].next;
            bool other;
            if (op->call > until)
                break;
            placed |= op->pure && place_any(s, at, &other);
            at = next;
        }
        if (!placed)
            return true;
    }
}

/* What its first key holds: of a branch that ends a lease, the first that hangs on it. */
static uint32_t first_state(const struct gen_search *s, const struct gen_op *op)
{
    const struct general *g = s->g;
    struct gen_span steps = op->branches[op->succeeded];
    uint32_t key = GEN_NONE;
    if (op->tests.from < op->tests.to) {
        key = g->tests[op->tests.from].key;
    } else if (steps.from < steps.to) {
        const struct gen_step *step = &g->steps[steps.from];
        key = step->from;
        if (step->kind == HISTORY_REVOKE)
            key = step->from < step->to ? g->attached[step->from] : GEN_NONE;
    }
    return key < g->keys_count ? s->model->keys[key].slot : 0;
}

static void note_best(struct gen_search *s)
{
    if (s->front <= s->best_front && s->best_noted)
        return;
    s->best_noted = true;
    s->best_front = s->front;
    s->best_new = true;
    s->best_state = first_state(s, gen_op_at(s, s->by_end[s->front]));
}

static void copy_best(struct gen_search *s)
{
    if (s->sequence_count > s->best_base)
        memcpy(s->best + s->best_base, s->sequence + s->best_base,
               (s->sequence_count - s->best_base) * sizeof *s->best);
    s->best_count = s->sequence_count;
    s->best_new = false;
}

/* Nothing before here can have been otherwise. */
static void forget_past(struct gen_search *s)
{
    copy_best(s);
    s->best_base = s->sequence_count;
    s->trail.size = 0;
    s->frames.size = 0;
    s->model->log.size = 0;
    gen_memory_forget(&s->memory);
}

/* Where the search is: what was placed, what came of it, and what waits to be noticed. */
static struct gen_hash hash_here(const struct gen_search *s)
{
    struct gen_hash here = {s->hash.high ^ s->model->hash.high, s->hash.low ^ s->model->hash.low};
    for (uint32_t i = s->pending_from; i < s->sequence_count; i++) {
        const struct gen_op *op = gen_op_at(s, s->sequence[i]);
        here.high += op->hash.low;
        here.low += op->hash.high;
    }
    return here;
}

static enum step_result arrive(struct gen_search *s)
{
    uint32_t from = s->sequence_count;
    if (!settle(s))
        return STEP_DONE;
    note_best(s);
    if (!settle_pending(s, from))
        return STEP_DEAD;
    uint32_t first = s->links[s->count].next;
    bool nothing_else = s->sequence_count == s->placed_required;
    if (first != s->count && s->certain[first] && s->placed_required == s->rank[first] &&
        nothing_else)
        forget_past(s);
    if (!gen_memory_add(&s->memory, hash_here(s)))
        return STEP_DEAD;
    struct gen_frame frame = {
        .trail = s->trail.size, .candidate = s->count, .pending_from = s->pending_from};
    buffer_append(&s->frames, bytes_of(&frame, sizeof frame));
    return STEP_OPEN;
}

/* --- the search ---------------------------------------------------------------------------- */

static bool is_candidate(const struct gen_search *s, uint32_t at)
{
    const struct gen_op *op = gen_op_at(s, at);
    const struct gen_op *twin = op->twin != 0 ? &s->g->ops[op->twin - 1] : NULL;
    if (op->pure || (twin != NULL && !s->placed[twin->place]))
        return false;
    return !is_pending(s) || is_simple(s, op) || notices_pending(s, op, s->sequence_count);
}

/* The next operation to try from a frame; GEN_NONE: all were. */
static uint32_t next_candidate(struct gen_search *s, struct gen_frame *frame)
{
    uint64_t until = horizon(s);
    for (;;) {
        uint32_t head = s->count + frame->optional;
        uint32_t at = s->links[frame->candidate].next;
        frame->candidate = at;
        s->looks++;
        if (at != head && gen_op_at(s, at)->call <= until) {
            if (is_candidate(s, at))
                return at;
            continue;
        }
        if (frame->optional)
            return GEN_NONE;
        frame->optional = true;
        frame->candidate = s->count + 1;
    }
}

/* Goes on from the last frame that has something left to try. False: none has. */
static bool go_on(struct gen_search *s)
{
    while (s->frames.size > 0) {
        struct gen_frame *frame =
            (void *)(s->frames.data + s->frames.size - sizeof(struct gen_frame));
        if (s->best_new)
            copy_best(s);
        undo(s, frame->trail);
        s->pending_from = frame->pending_from;
        uint32_t at = s->sequence_count;
        bool placed = false;
        if (frame->other_branch) {
            frame->other_branch = false;
            placed = place_branch(s, frame->candidate, false);
        } else if (next_candidate(s, frame) == GEN_NONE) {
            s->frames.size -= sizeof(struct gen_frame);
        } else {
            placed = place_any(s, frame->candidate, &frame->other_branch);
        }
        if (placed) {
            note_pending(s, at);
            return true;
        }
    }
    return false;
}

static enum check_outcome run(struct gen_search *s)
{
    for (uint32_t i = 0; i < s->count; i++) {
        if (gen_op_at(s, i)->role == GEN_LOOSE)
            match(s, i);
    }
    s->pending_from = s->sequence_count;
    do {
        if (arrive(s) == STEP_DONE)
            return CHECK_OK;
        if (s->g->verdict->steps + s->looks / 64 > s->g->steps_max)
            return CHECK_UNDECIDED;
    } while (go_on(s));
    return CHECK_VIOLATION;
}

void gen_search(struct general *g, uint32_t partition, bool clever, struct gen_result *ret_result)
{
    struct gen_search s;
    gen_search_init(&s, g, partition, clever);
    ret_result->outcome = run(&s);
    if (s.best_new)
        copy_best(&s);
    ret_result->culprit = s.best_noted ? s.order[s.by_end[s.best_front]] : 0;
    ret_result->state = s.best_state;
    ret_result->prefix = s.best;
    ret_result->prefix_count = s.best_count;
    for (uint32_t i = 0; i < s.best_count; i++)
        s.best[i] = s.order[s.best[i]];
    gen_search_release(&s);
}
