/* Unknown: what can be said about operations without an answer before any search.
 *
 * One whose value was found, and that alone may have written it, has happened: before the first
 * that found it was done. One that nobody can notice is left out: whatever order explains the
 * history with it explains it without. What remains may have happened, or not. */
#include "check/general_internal.h"

#include "base/hash.h"

/* What others could notice of a key besides the values that they found. */
struct key_notice {
    bool blind;   /* compared, counted, deleted with an answer, or revoked with a lease */
    bool missing; /* somebody found nothing there */
};

/* Visits the steps of every branch that the operation may have taken. */
static void each_step(struct general *g, struct gen_op *op, void *context,
                      void (*visit)(struct general *g, struct gen_op *op, bool succeeded,
                                    struct gen_step *step, void *context))
{
    for (int b = 0; b < 2; b++) {
        if (op->forced && op->succeeded != (b == 1))
            continue;
        for (uint32_t i = op->branches[b].from; i < op->branches[b].to; i++)
            visit(g, op, b == 1, &g->steps[i], context);
    }
}

static void each_op(struct general *g, enum gen_role role, void *context,
                    void (*visit)(struct general *g, struct gen_op *op, bool succeeded,
                                  struct gen_step *step, void *context))
{
    for (uint32_t i = 0; i < g->ops_count; i++) {
        if (g->ops[i].role == role)
            each_step(g, &g->ops[i], context, visit);
    }
}

static void note_write(struct general *g, struct gen_op *op, bool succeeded, struct gen_step *step,
                       void *context)
{
    (void)succeeded;
    (void)context;
    struct gen_slot *slot = &g->slots[step->slot];
    uint32_t self = (uint32_t)(op - g->ops) + 1;
    if (step->kind == HISTORY_PUT && slot->writer != self) {
        slot->writer = self;
        slot->writers++;
    }
}

static void note_read(struct general *g, struct gen_op *op, bool succeeded, struct gen_step *step,
                      void *context)
{
    (void)succeeded;
    (void)context;
    const uint32_t *found = step->kind == HISTORY_RANGE ? g->found + step->found_from : &step->slot;
    uint32_t count = step->kind == HISTORY_RANGE ? step->found_count
                     : step->kind == HISTORY_GET ? step->slot != 0
                                                 : 0;
    for (uint32_t i = 0; i < count; i++) {
        struct gen_slot *slot = &g->slots[found[i]];
        slot->readers++;
        if (op->end < slot->read_end)
            slot->read_end = op->end;
    }
}

/* --- what happened ------------------------------------------------------------------------- */

struct proof {
    bool branches[2]; /* a value that this branch writes was found */
    uint64_t end;
};

static void prove(struct general *g, struct gen_op *op, bool succeeded, struct gen_step *step,
                  void *context)
{
    (void)op;
    struct proof *proof = context;
    const struct gen_slot *slot = &g->slots[step->slot];
    if (step->kind != HISTORY_PUT || slot->readers == 0 || slot->writers != 1)
        return;
    proof->branches[succeeded] = true;
    if (slot->read_end < proof->end)
        proof->end = slot->read_end;
}

static void require_proven(struct general *g, struct gen_op *op)
{
    struct proof proof = {.end = UINT64_MAX};
    each_step(g, op, &proof, prove);
    if (!proof.branches[0] && !proof.branches[1])
        return;
    op->role = GEN_REQUIRED;
    op->end = proof.end;
    op->forced = proof.branches[0] != proof.branches[1];
    op->succeeded = proof.branches[1];
}

/* --- what nobody can notice ---------------------------------------------------------------- */

static void note_blind_op(struct general *g, struct gen_op *op, struct key_notice *notices)
{
    for (uint32_t i = op->tests.from; i < op->tests.to; i++)
        notices[g->tests[i].key].blind = true;
}

/* Of a range with an answer: the keys that it did not find were missing, or behind its limit. */
static void note_range(struct general *g, const struct gen_step *step, struct key_notice *notices)
{
    uint32_t at = 0;
    for (uint32_t key = step->from; key < step->to; key++) {
        bool found = at < step->found_count && g->slots[g->found[step->found_from + at]].key == key;
        at += found;
        notices[key].missing |= !found;
        notices[key].blind |= step->count > step->found_count;
    }
}

static void note_blind(struct general *g, struct gen_op *op, bool succeeded, struct gen_step *step,
                       void *context)
{
    (void)op;
    (void)succeeded;
    struct key_notice *notices = context;
    if (step->kind == HISTORY_PUT && step->lease != 0)
        notices[step->from].blind = true;
    if (step->kind == HISTORY_GET && step->answered)
        notices[step->from].missing |= step->slot == 0;
    if (step->kind == HISTORY_RANGE && step->answered)
        note_range(g, step, notices);
    for (uint32_t key = step->from;
         step->kind == HISTORY_DELETE && step->answered && key < step->to; key++)
        notices[key].blind = true;
}

struct secrecy {
    const struct key_notice *notices;
    bool noticed;
};

static void look_closely(struct general *g, struct gen_op *op, bool succeeded,
                         struct gen_step *step, void *context)
{
    (void)op;
    (void)succeeded;
    struct secrecy *secrecy = context;
    const struct key_notice *notices = secrecy->notices;
    if (step->kind == HISTORY_REVOKE)
        secrecy->noticed |= step->from < step->to;
    else if (step->kind == HISTORY_PUT)
        secrecy->noticed |= g->slots[step->slot].readers > 0 || notices[step->from].blind;
    for (uint32_t key = step->from; step->kind == HISTORY_DELETE && key < step->to; key++)
        secrecy->noticed |= notices[key].blind || notices[key].missing;
}

/* --- what remains -------------------------------------------------------------------------- */

static uint64_t fold_step(const struct general *g, uint64_t hash, const struct gen_step *step)
{
    const struct gen_slot *slot = &g->slots[step->slot];
    hash = hash_fold(hash, step->kind);
    hash = hash_fold(hash, step->from);
    hash = hash_fold(hash, step->to);
    hash = hash_fold(hash, step->lease);
    /* Which value it writes is of no consequence if nobody ever found or compared it. */
    return hash_fold(hash, slot->readers + slot->compared > 0 ? step->slot : 0);
}

/* What an unanswered operation asks for, as a number. */
static uint64_t twin_of(const struct general *g, const struct gen_op *op)
{
    uint64_t hash = 0;
    for (uint32_t i = op->tests.from; i < op->tests.to; i++) {
        const struct gen_test *t = &g->tests[i];
        hash = hash_fold(hash, t->kind);
        hash = hash_fold(hash, t->key);
        hash = hash_fold(hash, t->slot);
        hash = hash_fold(hash, (uint64_t)t->exists << 1 | t->nameless);
    }
    for (int b = 0; b < 2; b++) {
        hash = hash_fold(hash, op->branches[b].to - op->branches[b].from);
        for (uint32_t i = op->branches[b].from; i < op->branches[b].to; i++)
            hash = fold_step(g, hash, &g->steps[i]);
    }
    return hash;
}

static void find_twins(struct general *g)
{
    struct map twins;
    map_init(&twins, g->arena.mem);
    for (uint32_t i = 0; i < g->ops_count; i++) {
        struct gen_op *op = &g->ops[i];
        if (op->role != GEN_OPTIONAL)
            continue;
        uint64_t hash = twin_of(g, op);
        op->twin = (uint32_t)(uintptr_t)map_get(&twins, hash);
        map_put(&twins, hash, (void *)((uintptr_t)i + 1));
    }
    map_release(&twins);
}

void gen_unknown(struct general *g)
{
    each_op(g, GEN_REQUIRED, NULL, note_write);
    each_op(g, GEN_OPTIONAL, NULL, note_write);
    each_op(g, GEN_REQUIRED, NULL, note_read);
    each_op(g, GEN_LOOSE, NULL, note_read);
    struct key_notice *notices = arena_zero(&g->arena, g->keys_count * sizeof *notices);
    for (enum gen_role role = GEN_REQUIRED; role < GEN_LEFT_OUT; role++)
        each_op(g, role, notices, note_blind);
    for (uint32_t i = 0; i < g->ops_count; i++) {
        if (g->ops[i].role != GEN_LEFT_OUT)
            note_blind_op(g, &g->ops[i], notices);
    }
    for (uint32_t i = 0; i < g->ops_count; i++) {
        struct gen_op *op = &g->ops[i];
        if (op->role != GEN_OPTIONAL)
            continue;
        require_proven(g, op);
        struct secrecy secrecy = {.notices = notices};
        each_step(g, op, &secrecy, look_closely);
        if (op->role == GEN_OPTIONAL && !secrecy.noticed)
            op->role = GEN_LEFT_OUT;
    }
    find_twins(g);
}

/* --- answers without a write --------------------------------------------------------------- */

struct orphan {
    uint32_t op;
    uint32_t slot; /* 0: a count of keys that there never were */
    bool there;
};

static void look_for_orphan(struct general *g, struct gen_op *op, bool succeeded,
                            struct gen_step *step, void *context)
{
    (void)succeeded;
    struct orphan *orphan = context;
    const uint32_t *found = step->kind == HISTORY_RANGE ? g->found + step->found_from : &step->slot;
    uint32_t count = step->kind == HISTORY_RANGE ? step->found_count
                     : step->kind == HISTORY_GET ? step->slot != 0
                                                 : 0;
    bool empty = step->answered && step->from == step->to &&
                 (step->kind == HISTORY_RANGE || step->kind == HISTORY_DELETE);
    if (!orphan->there && empty && (step->count != 0 || count != 0 || step->more))
        *orphan = (struct orphan){(uint32_t)(op - g->ops), 0, true};
    for (uint32_t i = 0; i < count && !orphan->there; i++) {
        if (g->slots[found[i]].writers == 0)
            *orphan = (struct orphan){(uint32_t)(op - g->ops), found[i], true};
    }
}

bool gen_explained(struct general *g)
{
    struct orphan orphan = {.there = false};
    each_op(g, GEN_REQUIRED, &orphan, look_for_orphan);
    each_op(g, GEN_LOOSE, &orphan, look_for_orphan);
    if (!orphan.there)
        return true;
    struct check_verdict *v = g->verdict;
    struct text text = text_of(v->what, sizeof v->what);
    v->outcome = CHECK_VIOLATION;
    v->rule = "phantom";
    v->culprit = g->ops[orphan.op].number;
    text_add(&text, "it found ");
    if (orphan.slot == 0) {
        text_add(&text, "keys where there never were any");
    } else {
        gen_say_slot(g, &text, g->slots[orphan.slot].key, orphan.slot);
        text_add(&text, ", which no operation wrote that can have taken effect");
    }
    return false;
}
