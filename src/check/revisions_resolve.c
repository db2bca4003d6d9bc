/* Resolve: which unknown operations took effect, as far as their values tell. A value that was seen
 * at a revision that no answered operation wrote was written there by the one unknown operation
 * that might have written it, if there is only one. */
#include "check/revisions_internal.h"

/* A put of an operation that is not OK: who might have written this value. */
struct put_by {
    struct put_by *next; /* of the same key and value */
    uint32_t op;
    bool succeeded;
};

struct resolver {
    struct revisions *a;
    bool partial;
    struct map writers;
};

static uint64_t put_key(uint32_t key, uint32_t value)
{
    return (uint64_t)key << 32 | value;
}

static void note_writers(struct resolver *r, uint32_t number, const struct history_op *ops,
                         uint32_t count, bool succeeded)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind != HISTORY_PUT)
            continue;
        struct put_by *put = arena_alloc(&r->a->arena, sizeof *put);
        uint64_t key = put_key(ops[i].key, ops[i].value);
        *put = (struct put_by){
            .next = map_get(&r->writers, key), .op = number, .succeeded = succeeded};
        map_put(&r->writers, key, put);
    }
}

static bool refute_phantom(struct resolver *r, uint32_t reader, const struct history_pair *pair,
                           uint32_t failed)
{
    struct text *text =
        rev_refute(r->a, 0, failed != CHECK_NOBODY ? "failed write" : "phantom", reader, failed);
    text_add(text, "it found ");
    rev_say_pair(r->a, text, pair->key, pair->value, pair->create, pair->mod, pair->version);
    text_add(text, failed != CHECK_NOBODY ? ", which only an operation that failed wrote"
                                          : ", which nobody wrote at that revision");
    return false;
}

/* A value seen at a revision that no answered operation wrote. */
static bool resolve_pair(struct resolver *r, uint32_t reader, const struct history_pair *pair)
{
    struct revisions *a = r->a;
    const struct put_by *found = NULL;
    uint32_t failed = CHECK_NOBODY;
    uint32_t unknown = 0;
    for (const struct put_by *w = map_get(&r->writers, put_key(pair->key, pair->value)); w != NULL;
         w = w->next) {
        if (a->h->operations[w->op].outcome == HISTORY_FAILED) {
            failed = w->op;
            continue;
        }
        unknown++;
        found = w;
    }
    if (unknown == 0 && (!r->partial || failed != CHECK_NOBODY))
        return refute_phantom(r, reader, pair, failed);
    if (unknown == 1 && a->resolved[found->op] && !r->partial)
        return refute_phantom(r, reader, pair, CHECK_NOBODY); /* it wrote another revision */
    /* With several that might be meant, the search tries them. */
    if (unknown != 1 || a->resolved[found->op])
        return true;
    a->resolved[found->op] = true;
    map_put(&a->writes, (uint64_t)pair->mod, (void *)((uintptr_t)found->op + 1));
    rev_add_item(a, pair->mod, found->op, REV_WRITE, found->succeeded);
    return true;
}

static bool resolve_answers(struct resolver *r, uint32_t number)
{
    struct revisions *a = r->a;
    const struct history_operation *o = &a->h->operations[number];
    uint32_t count;
    const struct history_op *ops = history_taken(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        for (uint32_t j = 0; j < ops[i].found_count; j++) {
            const struct history_pair *pair = &ops[i].found[j];
            if (pair->mod > o->revision || pair->mod < 2) {
                struct text *text = rev_refute(a, 0, "future", number, CHECK_NOBODY);
                text_add(text, "it found ");
                rev_say_pair(a, text, pair->key, pair->value, pair->create, pair->mod,
                             pair->version);
                rev_say_number(text, ", which cannot be at revision ", o->revision);
                return false;
            }
            if (map_get(&a->writes, (uint64_t)pair->mod) == NULL && !resolve_pair(r, number, pair))
                return false;
        }
    }
    return true;
}

bool rev_resolve(struct revisions *a, bool partial)
{
    struct resolver r = {.a = a, .partial = partial};
    bool fine = true;
    map_init(&r.writers, a->arena.mem);
    a->resolved = arena_zero(&a->arena, a->h->count);
    for (uint32_t i = 0; i < a->h->count; i++) {
        const struct history_operation *o = &a->h->operations[i];
        if (o->outcome == HISTORY_OK)
            continue;
        note_writers(&r, i, o->then, o->then_count, true);
        note_writers(&r, i, o->otherwise, o->otherwise_count, false);
    }
    for (uint32_t i = 0; fine && i < a->h->count; i++) {
        if (a->h->operations[i].outcome == HISTORY_OK)
            fine = resolve_answers(&r, i);
    }
    map_release(&r.writers);
    return fine;
}
