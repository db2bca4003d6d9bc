/* Revisions: tier A. The header of every reply states the revision at which it was given, so the
 * order of all writes is known, and all that is left is to verify it:
 *
 *     every write has a revision of its own, and every revision its write
 *     every reply is what the writes before it make of it: values, revisions, versions, counts,
 *         branches
 *     no operation is ordered before one that had returned when it was called
 *
 * A write without an answer is at the revision at which its value was seen; one that nobody saw may
 * be what fills a gap between the revisions, and must be where there is no other.
 *
 * The one invariant: it is exact. It takes n log n steps for n operations, but for the gaps: there
 * it searches, within a budget. */
#include "check/check_internal.h"
#include "check/revisions_internal.h"

#define STEPS_DEFAULT 5000000u

struct text *rev_refute(struct revisions *a, uint32_t place, const char *rule, uint32_t op,
                        uint32_t other)
{
    if (a->refuted && place < a->best) {
        a->said = text_of(a->nothing, sizeof a->nothing);
        return &a->said;
    }
    a->refuted = true;
    a->best = place;
    a->verdict->rule = rule;
    a->verdict->culprit = op;
    a->verdict->other = other;
    a->said = text_of(a->verdict->what, sizeof a->verdict->what);
    return &a->said;
}

void rev_say_string(const struct revisions *a, struct text *text, uint32_t string)
{
    check_describe_string(a->h, string, text);
}

void rev_say_number(struct text *text, const char *before, int64_t number)
{
    text_add(text, before);
    text_i64(text, number);
}

void rev_say_pair(const struct revisions *a, struct text *text, uint32_t key, uint32_t value,
                  int64_t create, int64_t mod, int64_t version)
{
    rev_say_string(a, text, key);
    text_add(text, "=");
    rev_say_string(a, text, value);
    rev_say_number(text, " (create ", create);
    rev_say_number(text, ", mod ", mod);
    rev_say_number(text, ", version ", version);
    text_add(text, ")");
}

/* The order so far, each operation once. */
static void take_prefix(struct revisions *a, const struct buffer *chosen, uint32_t items)
{
    const struct rev_chosen *gap = (const void *)chosen->data;
    size_t gaps = chosen->size / sizeof *gap;
    struct check_verdict *v = a->verdict;
    bool *told = arena_zero(&a->arena, a->h->count);
    uint32_t count = 0;
    v->prefix = mem_alloc(v->mem, a->h->count * sizeof *v->prefix);
    for (uint32_t i = 0; i < items; i++) {
        const struct rev_item *item = &a->items[i];
        for (; gaps > 0 && gap->revision <= item->revision; gap++, gaps--) {
            told[gap->op] = true;
            v->prefix[count++] = gap->op;
        }
        if (item->kind != REV_PAST && !told[item->op])
            v->prefix[count++] = item->op;
    }
    v->prefix =
        mem_resize(v->mem, v->prefix, a->h->count * sizeof *v->prefix, count * sizeof *v->prefix);
    v->prefix_count = count;
}

/* True: every pass was content. */
static bool run(struct revisions *a, bool partial, struct buffer *chosen, bool *ret_undecided)
{
    if (!rev_order(a) || !rev_resolve(a, partial))
        return false;
    rev_sort(a);
    if (!rev_real_time(a))
        return false;
    return partial ? rev_partial(a) : rev_search(a, chosen, ret_undecided);
}

/* What stopped attempts before the one that went through. */
static void clear_refutation(struct check_verdict *v)
{
    v->rule = NULL;
    v->what[0] = '\0';
    v->culprit = CHECK_NOBODY;
    v->other = CHECK_NOBODY;
}

void check_revisions(const struct history *history, struct mem *mem,
                     const struct check_options *options, struct check_verdict *ret_verdict)
{
    *ret_verdict =
        (struct check_verdict){.culprit = CHECK_NOBODY, .other = CHECK_NOBODY, .mem = mem};
    struct revisions a = {.h = history, .verdict = ret_verdict};
    a.steps_max = options->steps > 0 ? options->steps : STEPS_DEFAULT;
    struct buffer chosen;
    bool undecided = false;
    arena_init(&a.arena, mem);
    map_init(&a.writes, mem);
    buffer_init(&chosen, mem, SIZE_MAX / 2);
    bool fine = run(&a, options->partial, &chosen, &undecided);
    ret_verdict->checked = a.items_count;
    if (fine) {
        ret_verdict->outcome = check_is_vacuous(history) ? CHECK_VACUOUS : CHECK_OK;
        clear_refutation(ret_verdict);
        take_prefix(&a, &chosen, a.items_count);
    } else {
        ret_verdict->outcome = undecided ? CHECK_UNDECIDED : CHECK_VIOLATION;
        take_prefix(&a, &chosen, a.best);
        if (undecided)
            ret_verdict->rule = "budget";
    }
    buffer_release(&chosen);
    map_release(&a.writes);
    arena_release(&a.arena);
}
