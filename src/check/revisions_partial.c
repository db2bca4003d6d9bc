/* Partial: the replay where others wrote as well, of whom nothing is known but the revisions that
 * nobody in the history wrote. What they did shows only in what is read afterwards.
 *
 * The one invariant: a *fact* is what the key was at revision `seen`, as far as the history forces
 * it. A gap since then may have changed everything about it, and one gap every key at once. */
#include "check/revisions_internal.h"

struct fact {
    uint32_t value;  /* 0: it does not exist */
    uint32_t writer; /* 1 + who wrote or showed it */
    int64_t create;  /* 0: not known */
    int64_t mod;
    int64_t version; /* 0: not known */
    int64_t seen;
};

struct partial {
    struct revisions *a;
    struct fact *facts;
    int64_t *revisions; /* of the writes so far, in order */
    int64_t count;
    uint32_t place;
    const struct rev_item *item;
};

/* Writes of the history at revisions <= `revision`, among those played. */
static int64_t writes_until(const struct partial *p, int64_t revision)
{
    int64_t from = 0;
    int64_t to = p->count;
    while (from < to) {
        int64_t middle = from + (to - from) / 2;
        if (p->revisions[middle] <= revision)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

/* Gaps in (after, until]. */
static int64_t gaps(const struct partial *p, int64_t after, int64_t until)
{
    if (until <= after)
        return 0;
    return until - after - (writes_until(p, until) - writes_until(p, after));
}

static bool is_gap(const struct partial *p, int64_t revision)
{
    return revision >= 2 && map_get(&p->a->writes, (uint64_t)revision) == NULL;
}

static bool certain(const struct partial *p, const struct fact *fact, int64_t revision)
{
    return gaps(p, fact->seen, revision) == 0;
}

static bool refute(struct partial *p, const char *rule, uint32_t key,
                   const struct history_pair *pair, int64_t revision)
{
    const struct fact *fact = &p->facts[key];
    struct text *text = rev_refute(p->a, p->place, rule, p->item->op, fact->writer - 1);
    text_add(text, "it found ");
    if (pair != NULL)
        rev_say_pair(p->a, text, pair->key, pair->value, pair->create, pair->mod, pair->version);
    else
        text_add(text, "nothing");
    rev_say_number(text, " at revision ", revision);
    rev_say_number(text, ", but at revision ", fact->seen);
    text_add(text, " ");
    rev_say_string(p->a, text, p->a->strings[key]);
    if (fact->value == 0) {
        text_add(text, " did not exist");
    } else {
        text_add(text, " was ");
        rev_say_string(p->a, text, fact->value);
        rev_say_number(text, " with mod ", fact->mod);
    }
    text_add(text, ", and nobody can have made it so in between");
    return false;
}

/* Could others have turned the fact into the pair, in the gaps between? */
static const char *adoption_flaw(const struct partial *p, const struct fact *fact,
                                 const struct history_pair *pair, int64_t revision)
{
    if (pair->mod <= fact->seen || pair->mod > revision || !is_gap(p, pair->mod))
        return "value";
    bool same_life = fact->value != 0 && (pair->create == fact->create || fact->create == 0);
    if (same_life && fact->version != 0) {
        int64_t between = pair->version - fact->version - 1;
        return between < 0 || between > gaps(p, fact->seen, pair->mod - 1) ? "version" : NULL;
    }
    if (same_life)
        return NULL;
    if (pair->create <= fact->seen || !is_gap(p, pair->create))
        return "create revision";
    int64_t between = pair->version - 2;
    if (pair->create < pair->mod && between > gaps(p, pair->create, pair->mod - 1))
        return "version";
    return NULL;
}

static bool observe(struct partial *p, uint32_t key, const struct history_pair *pair,
                    int64_t revision)
{
    struct fact *fact = &p->facts[key];
    if (pair == NULL) {
        if (fact->value != 0 && certain(p, fact, revision))
            return refute(p, "value", key, pair, revision);
        if (fact->value != 0)
            *fact = (struct fact){.writer = p->item->op + 1};
        fact->seen = revision > fact->seen ? revision : fact->seen;
        return true;
    }
    if (pair->create > pair->mod || (pair->version == 1) != (pair->create == pair->mod))
        return refute(p, "version", key, pair, revision);
    if (fact->value == 0 || pair->mod != fact->mod) {
        const char *flaw = adoption_flaw(p, fact, pair, revision);
        if (flaw != NULL)
            return refute(p, flaw, key, pair, revision);
        fact->writer = p->item->op + 1;
    } else if (pair->value != fact->value) {
        return refute(p, "value", key, pair, revision);
    } else if (fact->create != 0 && pair->create != fact->create) {
        return refute(p, "create revision", key, pair, revision);
    } else if (fact->version != 0 && pair->version != fact->version) {
        return refute(p, "version", key, pair, revision);
    }
    fact->value = pair->value;
    fact->create = pair->create;
    fact->mod = pair->mod;
    fact->version = pair->version;
    fact->seen = revision > fact->seen ? revision : fact->seen;
    return true;
}

/* --- operations ---------------------------------------------------------------------------- */

static bool observe_range(struct partial *p, const struct history_op *op, int64_t revision)
{
    uint32_t at;
    uint32_t to;
    rev_range(p->a, op->key, op->end, &at, &to);
    for (uint32_t i = 0; i < op->found_count; i++) {
        uint32_t key = rev_key_of(p->a, op->found[i].key);
        if (key < at || key >= to)
            return refute(p, "order", key, &op->found[i], revision);
        for (; at < key; at++) {
            if (!observe(p, at, NULL, revision))
                return false;
        }
        if (!observe(p, at++, &op->found[i], revision))
            return false;
    }
    bool cut = op->count > op->found_count;
    for (; !cut && at < to; at++) {
        if (!observe(p, at, NULL, revision))
            return false;
    }
    bool counted = op->more == cut && op->count >= op->found_count &&
                   (op->limit == 0 ? !cut : op->found_count <= op->limit);
    if (counted && (!cut || op->found_count == op->limit))
        return true;
    struct text *text = rev_refute(p->a, p->place, "count", p->item->op, CHECK_NOBODY);
    rev_say_number(text, "it counted ", op->count);
    rev_say_number(text, " keys and found ", op->found_count);
    return false;
}

static void partial_put(struct partial *p, const struct history_op *op, int64_t revision)
{
    struct fact *fact = &p->facts[rev_key_of(p->a, op->key)];
    bool known = certain(p, fact, revision - 1);
    bool exists = fact->value != 0;
    if (!known) {
        fact->create = 0;
        fact->version = 0;
    } else {
        fact->create = exists ? fact->create : revision;
        fact->version = !exists ? 1 : fact->version != 0 ? fact->version + 1 : 0;
    }
    fact->value = op->value;
    fact->writer = p->item->op + 1;
    fact->mod = revision;
    fact->seen = revision;
}

/* Keys that existed for sure, and those that perhaps did. */
static bool partial_delete(struct partial *p, const struct history_op *op, int64_t revision,
                           bool answered)
{
    uint32_t from;
    uint32_t to;
    int64_t least = 0;
    int64_t most = 0;
    rev_range(p->a, op->key, op->end, &from, &to);
    for (uint32_t key = from; key < to; key++) {
        struct fact *fact = &p->facts[key];
        bool known = certain(p, fact, revision - 1);
        least += known && fact->value != 0;
        most += !known || fact->value != 0;
        *fact = (struct fact){.writer = p->item->op + 1, .seen = revision};
    }
    /* There may be keys in a range of which this history knows nothing. */
    bool open = op->end != 0 && gaps(p, 1, revision - 1) > 0;
    if (!answered || (op->count >= least && (open || op->count <= most)))
        return true;
    struct text *text = rev_refute(p->a, p->place, "deleted", p->item->op, CHECK_NOBODY);
    rev_say_number(text, "keys deleted: ", op->count);
    rev_say_number(text, ", but there were at least ", least);
    rev_say_number(text, " and at most ", most);
    return false;
}

/* A delete that found nothing is a read. */
static bool observe_nothing(struct partial *p, const struct history_op *op, int64_t revision)
{
    uint32_t from;
    uint32_t to;
    rev_range(p->a, op->key, op->end, &from, &to);
    for (; from < to; from++) {
        if (!observe(p, from, NULL, revision))
            return false;
    }
    return true;
}

/* Only what cannot be: a compare of a key that nobody can have touched says the opposite. */
static bool holds_or_may(const struct partial *p, const struct history_operation *o, bool succeeded,
                         int64_t revision)
{
    bool all_hold = true;
    for (uint32_t i = 0; i < o->compares_count; i++) {
        const struct history_compare *c = &o->compares[i];
        const struct fact *fact = &p->facts[rev_key_of(p->a, c->key)];
        if (!certain(p, fact, revision)) {
            all_hold = false;
            continue;
        }
        bool holds = c->kind == HISTORY_COMPARE_VALUE    ? fact->value == c->value
                     : c->kind == HISTORY_COMPARE_EXISTS ? (fact->value != 0) == c->exists
                                                         : fact->mod == c->mod;
        if (!holds)
            return !succeeded;
    }
    return succeeded || !all_hold;
}

static bool partial_op(struct partial *p, const struct history_op *op, bool answered)
{
    int64_t revision = p->item->revision;
    bool write = p->item->kind == REV_WRITE;
    if (p->item->kind == REV_PAST && op->at == 0)
        return true;
    switch (op->kind) {
    case HISTORY_PUT:
        partial_put(p, op, revision);
        return true;
    case HISTORY_GET:
    case HISTORY_RANGE:
        if (!answered || op->at != (p->item->kind == REV_PAST ? revision : 0))
            return true;
        if (op->kind == HISTORY_RANGE)
            return observe_range(p, op, revision);
        return observe(p, rev_key_of(p->a, op->key), op->found_count > 0 ? op->found : NULL,
                       revision);
    case HISTORY_DELETE:
        if (!write || (answered && op->count == 0))
            return observe_nothing(p, op, revision - write);
        return partial_delete(p, op, revision, answered);
    case HISTORY_REVOKE: /* it may have been the gap */
        break;
    }
    return true;
}

static bool partial_item(struct partial *p)
{
    const struct rev_item *item = p->item;
    const struct history_operation *o = &p->a->h->operations[item->op];
    int64_t before = item->revision - (item->kind == REV_WRITE);
    if (item->kind != REV_PAST && !holds_or_may(p, o, item->succeeded, before)) {
        struct text *text = rev_refute(p->a, p->place, "branch", item->op, CHECK_NOBODY);
        rev_say_number(text, "it took the wrong branch: its compares were decided before revision ",
                       item->revision);
        return false;
    }
    if (item->kind == REV_WRITE)
        p->revisions[p->count++] = item->revision;
    const struct history_op *ops = item->succeeded ? o->then : o->otherwise;
    uint32_t count = item->succeeded ? o->then_count : o->otherwise_count;
    for (uint32_t i = 0; i < count; i++) {
        if (!partial_op(p, &ops[i], o->outcome == HISTORY_OK))
            return false;
    }
    return true;
}

bool rev_partial(struct revisions *a)
{
    struct partial p = {.a = a};
    p.facts = arena_zero(&a->arena, a->keys_count * sizeof *p.facts);
    p.revisions = arena_alloc(&a->arena, a->items_count * sizeof *p.revisions);
    for (uint32_t i = 0; i < a->keys_count; i++)
        p.facts[i].seen = 1;
    uint32_t best = a->best;
    a->best = 0;
    for (p.place = 0; p.place < a->items_count; p.place++) {
        p.item = &a->items[p.place];
        if (!partial_item(&p))
            return false;
    }
    a->best = best;
    return true;
}
