/* Gaps: the replay of a complete history, and the search for who wrote the revisions that no answer
 * claims. Only operations with an unknown outcome can have (and revocations, whose answers do not
 * say whether they did): each gap tries them in the order of their calls, and goes back to an
 * earlier gap when none fits. Histories without gaps need no search, and gaps whose values were
 * seen none either: rev_resolve has closed those.
 *
 * The one invariant: a candidate is left out only if it cannot be the one, or if an interchangeable
 * one was tried in its place. */
#include "check/revisions_internal.h"

#include "base/hash.h"
#include "base/sort.h"

struct candidate {
    uint32_t op;
    uint32_t twin; /* 1 + an earlier candidate that does the same; 0: none */
    bool used;
    bool matters; /* it may have to do with the failure that the search is going back from */
};

/* A pair that was found in the state of a revision. */
struct evidence {
    int64_t revision;
    const struct history_pair *pair;
};

/* A gap that must have written this key, for somebody saw it. */
struct demand {
    int64_t revision;
    uint32_t key;
};

struct choice {
    int64_t revision;
    size_t undo;
    uint32_t place;
    uint32_t candidate;
};

struct search {
    struct revisions *a;
    struct rev_replay replay;
    uint64_t *deadlines; /* by item: the earliest return of it and those behind it */
    struct candidate *candidates;
    uint32_t candidates_count;
    struct evidence *evidence; /* by key, then by revision: see evidence_from */
    uint32_t *evidence_from;   /* by key, and one more for the end */
    int64_t *absent_until;     /* by key: nobody can have written it before */
    struct demand *demands;    /* by revision */
    uint32_t demands_count;
    struct buffer choices;
    bool gaps;
    bool lenient_passed;
};

/* --- preparation --------------------------------------------------------------------------- */

static void find_deadlines(struct search *s)
{
    struct revisions *a = s->a;
    s->deadlines = arena_alloc(&a->arena, a->items_count * sizeof *s->deadlines);
    uint64_t deadline = UINT64_MAX;
    for (uint32_t i = a->items_count; i-- > 0;) {
        uint64_t end = a->h->operations[a->items[i].op].end;
        if (a->items[i].kind != REV_PAST && end < deadline)
            deadline = end;
        s->deadlines[i] = deadline;
    }
}

static bool is_ok_revoke(const struct history_operation *o)
{
    return o->outcome == HISTORY_OK && o->then_count == 1 && o->then[0].kind == HISTORY_REVOKE;
}

static bool is_candidate(const struct revisions *a, uint32_t number)
{
    const struct history_operation *o = &a->h->operations[number];
    return is_ok_revoke(o) ||
           (o->outcome == HISTORY_UNKNOWN && !a->resolved[number] && rev_may_write(o));
}

/* Values that were seen or compared: puts of others on the same key are interchangeable. */
static bool *find_seen(struct revisions *a)
{
    const struct history *h = a->h;
    bool *seen = arena_zero(&a->arena, h->strings_count);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        for (uint32_t j = 0; j < o->compares_count; j++)
            seen[o->compares[j].value] = true;
        uint32_t count;
        const struct history_op *ops = history_taken(o, &count);
        for (uint32_t j = 0; j < count; j++) {
            for (uint32_t k = 0; k < ops[j].found_count; k++)
                seen[ops[j].found[k].value] = true;
        }
    }
    return seen;
}

/* What the operation does, as a number, or 0 if it is nobody's twin. */
static uint64_t twin_hash(const struct history_operation *o, const bool *seen)
{
    if (o->outcome == HISTORY_OK || o->compares_count > 0 || o->then_count != 1)
        return 0;
    const struct history_op *op = &o->then[0];
    uint64_t hash = hash_fold(op->kind + 1, op->key);
    hash = hash_fold(hash, op->end);
    hash = hash_fold(hash, seen[op->value] ? op->value : 0);
    return hash_fold(hash, (uint64_t)op->lease) | 1;
}

static void find_candidates(struct search *s)
{
    struct revisions *a = s->a;
    for (uint32_t i = 0; i < a->h->count; i++)
        s->candidates_count += is_candidate(a, i);
    s->candidates = arena_alloc(&a->arena, s->candidates_count * sizeof *s->candidates);
    s->candidates_count = 0;
    const bool *seen = find_seen(a);
    struct map twins;
    map_init(&twins, a->arena.mem);
    for (uint32_t i = 0; i < a->h->count; i++) {
        if (!is_candidate(a, i))
            continue;
        struct candidate *c = &s->candidates[s->candidates_count++];
        *c = (struct candidate){.op = i};
        uint64_t hash = twin_hash(&a->h->operations[i], seen);
        if (hash == 0)
            continue;
        c->twin = (uint32_t)(uintptr_t)map_get(&twins, hash);
        map_put(&twins, hash, (void *)(uintptr_t)s->candidates_count);
    }
    map_release(&twins);
}

/* More gaps up to some item than operations that might have written them: no search can help. */
static bool check_counts(struct search *s)
{
    struct revisions *a = s->a;
    uint32_t reached = 0;
    int64_t writes = 0;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const struct rev_item *item = &a->items[i];
        writes += item->kind == REV_WRITE;
        while (reached < s->candidates_count &&
               a->h->operations[s->candidates[reached].op].call <= s->deadlines[i])
            reached++;
        int64_t missing = item->revision - 1 - writes;
        s->gaps |= missing > 0;
        if (missing <= (int64_t)reached)
            continue;
        struct text *text = rev_refute(a, i, "missing revision", item->op, CHECK_NOBODY);
        rev_say_number(text, "up to revision ", item->revision);
        rev_say_number(text, " nobody claims ", missing);
        rev_say_number(text, " of the revisions, and the outcome of only ", (int64_t)reached);
        text_add(text, " operations that were called by then is unknown");
        return false;
    }
    return true;
}

/* Calls back for every pair found by an item, with the revision of the state it was in. */
static void each_pair(struct search *s, void (*visit)(struct search *s, int64_t revision,
                                                      const struct history_pair *pair))
{
    struct revisions *a = s->a;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const struct rev_item *item = &a->items[i];
        const struct history_operation *o = &a->h->operations[item->op];
        if (o->outcome != HISTORY_OK)
            continue;
        uint32_t count;
        const struct history_op *ops = history_taken(o, &count);
        for (uint32_t j = 0; j < count; j++) {
            if ((item->kind == REV_PAST ? item->revision : 0) != ops[j].at)
                continue;
            for (uint32_t k = 0; k < ops[j].found_count; k++) {
                const struct history_pair *pair = &ops[j].found[k];
                bool before = item->kind == REV_WRITE && pair->mod < item->revision;
                visit(s, item->revision - before, pair);
            }
        }
    }
}

static void count_evidence(struct search *s, int64_t revision, const struct history_pair *pair)
{
    (void)revision;
    s->evidence_from[rev_key_of(s->a, pair->key) + 1]++;
    s->demands_count += map_get(&s->a->writes, (uint64_t)pair->mod) == NULL;
    s->demands_count += map_get(&s->a->writes, (uint64_t)pair->create) == NULL;
}

static void note_evidence(struct search *s, int64_t revision, const struct history_pair *pair)
{
    uint32_t key = rev_key_of(s->a, pair->key);
    s->evidence[s->evidence_from[key]++] = (struct evidence){revision, pair};
    if (map_get(&s->a->writes, (uint64_t)pair->mod) == NULL)
        s->demands[s->demands_count++] = (struct demand){pair->mod, key};
    if (map_get(&s->a->writes, (uint64_t)pair->create) == NULL)
        s->demands[s->demands_count++] = (struct demand){pair->create, key};
}

/* Compares of mod revisions that held demand the same of a gap. Counts them if there is no room. */
static void note_compares(struct search *s, bool count_only)
{
    struct revisions *a = s->a;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const struct history_operation *o = &a->h->operations[a->items[i].op];
        for (uint32_t j = 0; a->items[i].succeeded && j < o->compares_count; j++) {
            const struct history_compare *c = &o->compares[j];
            if (c->kind != HISTORY_COMPARE_MOD || c->mod == 0 ||
                map_get(&a->writes, (uint64_t)c->mod) != NULL)
                continue;
            if (!count_only)
                s->demands[s->demands_count] = (struct demand){c->mod, rev_key_of(a, c->key)};
            s->demands_count++;
        }
    }
}

static int compare_evidence(const void *one, const void *two, const void *context)
{
    (void)context;
    const struct evidence *a = one;
    const struct evidence *b = two;
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static int compare_demands(const void *one, const void *two, const void *context)
{
    (void)context;
    const struct demand *a = one;
    const struct demand *b = two;
    return a->revision < b->revision ? -1 : a->revision > b->revision;
}

static void find_evidence(struct search *s)
{
    struct revisions *a = s->a;
    size_t keys = a->keys_count;
    s->evidence_from = arena_zero(&a->arena, (keys + 1) * sizeof *s->evidence_from);
    each_pair(s, count_evidence);
    note_compares(s, true);
    for (size_t i = 0; i < keys; i++)
        s->evidence_from[i + 1] += s->evidence_from[i];
    uint32_t total = s->evidence_from[keys];
    s->evidence = arena_alloc(&a->arena, total * sizeof *s->evidence);
    s->demands = arena_alloc(&a->arena, s->demands_count * sizeof *s->demands);
    uint32_t demands = s->demands_count;
    s->demands_count = 0;
    each_pair(s, note_evidence);
    note_compares(s, false);
    for (size_t i = keys; i > 0; i--)
        s->evidence_from[i] = s->evidence_from[i - 1];
    s->evidence_from[0] = 0;
    /* A transaction's reads may be of the state before its own revision: nearly sorted is not. */
    struct evidence *scratch = arena_alloc(&a->arena, total * sizeof *scratch);
    for (size_t i = 0; i < keys; i++)
        sort_stable(&s->evidence[s->evidence_from[i]], scratch,
                    s->evidence_from[i + 1] - s->evidence_from[i], sizeof *scratch,
                    compare_evidence, NULL);
    void *more = arena_alloc(&a->arena, demands * sizeof *s->demands);
    sort_stable(s->demands, more, demands, sizeof *s->demands, compare_demands, NULL);
}

static void note_absent(struct search *s, const bool *deleted, uint32_t key, int64_t revision)
{
    uint32_t number = rev_key_of(s->a, key);
    if (!deleted[number] && s->absent_until[number] < revision)
        s->absent_until[number] = revision;
}

/* A key that was found missing, and that nobody can have deleted, did not exist before. */
static void find_absent(struct search *s)
{
    struct revisions *a = s->a;
    bool *deleted = arena_zero(&a->arena, a->keys_count);
    s->absent_until = arena_zero(&a->arena, a->keys_count * sizeof *s->absent_until);
    for (uint32_t i = 0; i < a->attachments_count; i++)
        deleted[a->attachments[i].key] = true;
    for (uint32_t i = 0; i < a->h->count; i++) {
        const struct history_operation *o = &a->h->operations[i];
        for (uint32_t j = 0; j < o->then_count + o->otherwise_count; j++) {
            const struct history_op *op =
                j < o->then_count ? &o->then[j] : &o->otherwise[j - o->then_count];
            uint32_t key;
            uint32_t to;
            if (op->kind != HISTORY_DELETE || (o->outcome == HISTORY_OK && op->count == 0))
                continue;
            for (rev_range(a, op->key, op->end, &key, &to); key < to; key++)
                deleted[key] = true;
        }
    }
    for (uint32_t i = 0; i < a->items_count; i++) {
        const struct rev_item *item = &a->items[i];
        const struct history_operation *o = &a->h->operations[item->op];
        uint32_t count = 0;
        const struct history_op *ops = item->kind == REV_READ ? history_taken(o, &count) : NULL;
        for (uint32_t j = 0; j < count; j++) {
            bool looked = ops[j].kind == HISTORY_GET && ops[j].at == 0;
            bool deleted_none = ops[j].kind == HISTORY_DELETE && ops[j].end == 0;
            if ((looked && ops[j].found_count == 0) || deleted_none)
                note_absent(s, deleted, ops[j].key, item->revision);
        }
        for (uint32_t j = 0; item->succeeded && item->kind != REV_PAST && j < o->compares_count;
             j++) {
            const struct history_compare *c = &o->compares[j];
            if ((c->kind == HISTORY_COMPARE_EXISTS && !c->exists) ||
                (c->kind == HISTORY_COMPARE_MOD && c->mod == 0))
                note_absent(s, deleted, c->key, item->revision - (item->kind == REV_WRITE));
        }
    }
}

/* --- one gap ------------------------------------------------------------------------------- */

/* The key just became what it is: does the next pair that was found of it allow that? */
static bool evidence_allows(const struct search *s, uint32_t key, int64_t revision)
{
    uint32_t from = s->evidence_from[key];
    uint32_t to = s->evidence_from[key + 1];
    uint32_t end = to;
    if (revision <= s->absent_until[key])
        return false;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (s->evidence[middle].revision < revision)
            from = middle + 1;
        else
            to = middle;
    }
    if (from == end)
        return true;
    const struct history_pair *next = s->evidence[from].pair;
    const struct rev_key *now = &s->replay.keys[key];
    if (next->mod < revision)
        return false;
    if (next->mod == revision)
        return now->value == next->value && now->create == next->create &&
               now->version == next->version;
    if (next->create <= revision)
        return now->value != 0 && now->create == next->create && now->version < next->version;
    return true;
}

static bool demands_met(const struct search *s, int64_t revision)
{
    uint32_t from = 0;
    uint32_t to = s->demands_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (s->demands[middle].revision < revision)
            from = middle + 1;
        else
            to = middle;
    }
    for (; from < s->demands_count && s->demands[from].revision == revision; from++) {
        if (s->replay.keys[s->demands[from].key].mod != revision)
            return false;
    }
    return true;
}

/* Plays a candidate at a gap. False: it cannot have been this one, and nothing is changed. */
static bool gap_try(struct search *s, uint32_t index, int64_t revision, uint32_t place)
{
    const struct candidate *c = &s->candidates[index];
    const struct history_operation *o = &s->a->h->operations[c->op];
    bool twin_first = c->twin != 0 && !s->candidates[c->twin - 1].used;
    if (c->used || twin_first || o->call > s->deadlines[place] ||
        (o->outcome == HISTORY_OK && o->revision != revision))
        return false;
    s->a->verdict->steps++;
    size_t undo = s->replay.undo.size;
    bool fits = rev_replay_branch(&s->replay, c->op, rev_replay_holds(&s->replay, o), revision);
    for (size_t at = undo; fits && at < s->replay.undo.size; at += sizeof(struct rev_undo)) {
        const struct rev_undo *changed = (const void *)(s->replay.undo.data + at);
        fits = evidence_allows(s, changed->key, revision);
    }
    if (fits && demands_met(s, revision))
        return true;
    rev_replay_undo(&s->replay, undo);
    return false;
}

/* Fills the gap with the first candidate from `index` on that fits; with `only`, that matters. */
static bool gap_fill(struct search *s, uint32_t index, bool only, int64_t revision, uint32_t place)
{
    size_t undo = s->replay.undo.size;
    for (; index < s->candidates_count; index++) {
        if ((only && !s->candidates[index].matters) || !gap_try(s, index, revision, place))
            continue;
        struct choice choice = {
            .revision = revision, .undo = undo, .place = place, .candidate = index};
        buffer_append(&s->choices, bytes_of(&choice, sizeof choice));
        s->candidates[index].used = true;
        s->replay.revision = revision;
        return true;
    }
    struct text *text =
        rev_refute(s->a, place, "missing revision", s->a->items[place].op, CHECK_NOBODY);
    rev_say_number(text, "nobody can have written revision ", revision);
    return false;
}

/* --- going back ---------------------------------------------------------------------------- */

/* Does an operation look at any key of [from, to)? */
static bool looks_at(const struct revisions *a, const struct history_operation *o, uint32_t from,
                     uint32_t to)
{
    for (uint32_t i = 0; i < o->compares_count; i++) {
        uint32_t key = rev_key_of(a, o->compares[i].key);
        if (key >= from && key < to)
            return true;
    }
    uint32_t count;
    const struct history_op *ops = history_taken(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t first;
        uint32_t end;
        if (ops[i].kind == HISTORY_REVOKE)
            return true;
        rev_range(a, ops[i].key, ops[i].end, &first, &end);
        if (first < to && from < end)
            return true;
    }
    return false;
}

/* May what the candidate writes have to do with what this operation found? */
static bool may_matter(const struct revisions *a, const struct history_operation *candidate,
                       const struct history_operation *failed)
{
    for (uint32_t i = 0; i < candidate->then_count + candidate->otherwise_count; i++) {
        const struct history_op *op = i < candidate->then_count
                                          ? &candidate->then[i]
                                          : &candidate->otherwise[i - candidate->then_count];
        uint32_t from;
        uint32_t to;
        if (op->kind == HISTORY_REVOKE)
            return true;
        if (op->kind != HISTORY_PUT && op->kind != HISTORY_DELETE)
            continue;
        rev_range(a, op->key, op->end, &from, &to);
        if (looks_at(a, failed, from, to))
            return true;
    }
    return false;
}

static void find_matters(struct search *s, uint32_t failed)
{
    const struct history_operation *o = &s->a->h->operations[s->a->items[failed].op];
    for (uint32_t i = 0; i < s->candidates_count; i++)
        s->candidates[i].matters = may_matter(s->a, &s->a->h->operations[s->candidates[i].op], o);
}

/* Another candidate that matters and was called in time. It may have been tried here before: that
 * it failed then may have had to do with an earlier gap. */
static bool another_matters(const struct search *s, const struct choice *choice)
{
    for (uint32_t i = 0; i < s->candidates_count; i++) {
        const struct candidate *c = &s->candidates[i];
        if (s->a->h->operations[c->op].call > s->deadlines[choice->place])
            return false; /* and so are those behind it */
        if (c->matters && !c->used)
            return true;
    }
    return false;
}

/* Goes back to the last gap that another candidate fits. False: there is none.
 *
 * If it was an item that failed, gaps where neither the chosen candidate nor another one has to do
 * with what the item found are passed over: whoever filled them, it would fail again. */
static bool gap_again(struct search *s, bool item_failed, uint32_t *ret_place)
{
    if (item_failed && s->choices.size > 0)
        find_matters(s, *ret_place);
    while (s->choices.size > 0) {
        s->choices.size -= sizeof(struct choice);
        struct choice choice =
            *(const struct choice *)(const void *)(s->choices.data + s->choices.size);
        bool matters = s->candidates[choice.candidate].matters;
        rev_replay_undo(&s->replay, choice.undo);
        s->candidates[choice.candidate].used = false;
        s->replay.revision = choice.revision - 1;
        *ret_place = choice.place;
        s->a->verdict->steps++;
        if (item_failed && !matters && !another_matters(s, &choice))
            continue;
        if (gap_fill(s, choice.candidate + 1, item_failed && !matters, choice.revision,
                     choice.place))
            return true;
        item_failed = false; /* it may be for want of candidates that others took */
    }
    return false;
}

/* --- the search ---------------------------------------------------------------------------- */

static bool search_begin(struct search *s)
{
    struct revisions *a = s->a;
    rev_replay_init(&s->replay, a);
    buffer_init(&s->choices, a->arena.mem, SIZE_MAX / 2);
    find_deadlines(s);
    find_candidates(s);
    if (!check_counts(s))
        return false;
    s->replay.logging = s->gaps;
    if (s->gaps) {
        find_evidence(s);
        find_absent(s);
    }
    return true;
}

/* An attempt failed, and there are others. Most violations are none of the gaps' making: the replay
 * that lets anybody fill them finds those at once, where a search would try every combination. */
static bool search_is_futile(struct search *s)
{
    if (s->lenient_passed || s->choices.size == 0)
        return false;
    s->lenient_passed = rev_partial(s->a);
    return !s->lenient_passed;
}

static bool search_run(struct search *s, bool *ret_undecided)
{
    struct revisions *a = s->a;
    uint32_t place = 0;
    while (place < a->items_count) {
        const struct rev_item *item = &a->items[place];
        int64_t before = item->revision - (item->kind == REV_WRITE);
        bool gap = s->replay.revision < before;
        bool fine;
        if (gap) {
            fine = gap_fill(s, 0, false, s->replay.revision + 1, place);
        } else {
            fine = rev_replay_item(&s->replay, item, place);
            place += fine;
        }
        a->verdict->steps++;
        if (fine)
            continue;
        if (search_is_futile(s) || !gap_again(s, !gap, &place))
            return false;
        *ret_undecided = a->verdict->steps > a->steps_max;
        if (*ret_undecided)
            return false;
    }
    return true;
}

bool rev_search(struct revisions *a, struct buffer *chosen, bool *ret_undecided)
{
    struct search s = {.a = a};
    *ret_undecided = false;
    bool fine = search_begin(&s) && search_run(&s, ret_undecided);
    const struct choice *choices = (const void *)s.choices.data;
    for (size_t i = 0; fine && i < s.choices.size / sizeof *choices; i++) {
        struct rev_chosen one = {choices[i].revision, s.candidates[choices[i].candidate].op};
        buffer_append(chosen, bytes_of(&one, sizeof one));
    }
    buffer_release(&s.choices);
    rev_replay_release(&s.replay);
    return fine;
}
