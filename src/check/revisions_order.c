/* Order: the keys of a history, its operations in the order that their revisions claim, and whether
 * that order is possible in real time. */
#include "check/revisions_internal.h"

#include "base/sort.h"

#include <string.h>

bool rev_wrote(const struct history_operation *operation)
{
    uint32_t count;
    const struct history_op *ops = history_taken(operation, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind == HISTORY_PUT || (ops[i].kind == HISTORY_DELETE && ops[i].count > 0))
            return true;
    }
    return false;
}

static bool branch_may_write(const struct history_op *ops, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind != HISTORY_GET && ops[i].kind != HISTORY_RANGE)
            return true;
    }
    return false;
}

bool rev_may_write(const struct history_operation *operation)
{
    return branch_may_write(operation->then, operation->then_count) ||
           branch_may_write(operation->otherwise, operation->otherwise_count);
}

/* --- keys ---------------------------------------------------------------------------------- */

static void note_key(struct revisions *a, uint32_t string)
{
    if (a->key_of[string] == 0) {
        a->strings[a->keys_count] = string;
        a->key_of[string] = ++a->keys_count;
    }
}

static void note_branch(struct revisions *a, const struct history_op *ops, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind == HISTORY_REVOKE)
            continue;
        bool single = ops[i].end == 0;
        a->ordered |= !single;
        if (single)
            note_key(a, ops[i].key);
        if (ops[i].kind == HISTORY_PUT && ops[i].lease != 0)
            a->attachments_count++;
        for (uint32_t j = 0; j < ops[i].found_count; j++)
            note_key(a, ops[i].found[j].key);
    }
}

static int compare_strings(const void *one, const void *two, const void *context)
{
    const struct history *h = context;
    return bytes_compare(h->strings[*(const uint32_t *)one], h->strings[*(const uint32_t *)two]);
}

static void find_keys(struct revisions *a)
{
    const struct history *h = a->h;
    a->key_of = arena_zero(&a->arena, h->strings_count * sizeof *a->key_of);
    a->strings = arena_alloc(&a->arena, h->strings_count * sizeof *a->strings);
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        for (uint32_t j = 0; j < o->compares_count; j++)
            note_key(a, o->compares[j].key);
        note_branch(a, o->then, o->then_count);
        note_branch(a, o->otherwise, o->otherwise_count);
    }
    if (!a->ordered)
        return;
    uint32_t *scratch = arena_alloc(&a->arena, a->keys_count * sizeof *scratch);
    sort_stable(a->strings, scratch, a->keys_count, sizeof *scratch, compare_strings, h);
    for (uint32_t i = 0; i < a->keys_count; i++)
        a->key_of[a->strings[i]] = i + 1;
}

/* The first key that is not before these bytes. */
static uint32_t lower_bound(const struct revisions *a, struct bytes bytes)
{
    uint32_t from = 0;
    uint32_t to = a->keys_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (bytes_compare(a->h->strings[a->strings[middle]], bytes) < 0)
            from = middle + 1;
        else
            to = middle;
    }
    return from;
}

void rev_range(const struct revisions *a, uint32_t key, uint32_t end, uint32_t *ret_from,
               uint32_t *ret_to)
{
    if (end == 0) {
        *ret_from = rev_key_of(a, key);
        *ret_to = *ret_from + 1;
        return;
    }
    struct bytes stop = a->h->strings[end];
    *ret_from = lower_bound(a, a->h->strings[key]);
    *ret_to = stop.size == 1 && stop.data[0] == 0 ? a->keys_count : lower_bound(a, stop);
    if (*ret_to < *ret_from)
        *ret_to = *ret_from;
}

/* --- leases -------------------------------------------------------------------------------- */

static int compare_attachments(const void *one, const void *two, const void *context)
{
    (void)context;
    const struct rev_attachment *a = one;
    const struct rev_attachment *b = two;
    if (a->lease != b->lease)
        return a->lease < b->lease ? -1 : 1;
    return a->key < b->key ? -1 : a->key > b->key;
}

static void find_attachments(struct revisions *a)
{
    if (a->attachments_count == 0)
        return;
    const struct history *h = a->h;
    size_t size = a->attachments_count * sizeof *a->attachments;
    a->attachments = arena_alloc(&a->arena, size);
    uint32_t count = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        for (uint32_t j = 0; j < o->then_count + o->otherwise_count; j++) {
            const struct history_op *op =
                j < o->then_count ? &o->then[j] : &o->otherwise[j - o->then_count];
            if (op->kind == HISTORY_PUT && op->lease != 0)
                a->attachments[count++] =
                    (struct rev_attachment){.lease = op->lease, .key = rev_key_of(a, op->key)};
        }
    }
    void *scratch = arena_alloc(&a->arena, size);
    sort_stable(a->attachments, scratch, count, sizeof *a->attachments, compare_attachments, NULL);
    a->attachments_count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (i == 0 || compare_attachments(&a->attachments[i], &a->attachments[i - 1], NULL) != 0)
            a->attachments[a->attachments_count++] = a->attachments[i];
    }
}

void rev_lease(const struct revisions *a, int64_t lease, uint32_t *ret_from, uint32_t *ret_to)
{
    uint32_t from = 0;
    uint32_t to = a->attachments_count;
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (a->attachments[middle].lease < lease)
            from = middle + 1;
        else
            to = middle;
    }
    *ret_from = from;
    while (to < a->attachments_count && a->attachments[to].lease == lease)
        to++;
    *ret_to = to;
}

/* --- items --------------------------------------------------------------------------------- */

void rev_add_item(struct revisions *a, int64_t revision, uint32_t op, enum rev_kind kind,
                  bool succeeded)
{
    if (a->items_count == a->items_capacity) {
        uint32_t capacity = a->items_capacity * 2 + 64;
        struct rev_item *items = arena_alloc(&a->arena, capacity * sizeof *items);
        if (a->items_count > 0)
            memcpy(items, a->items, a->items_count * sizeof *items);
        a->items = items;
        a->items_capacity = capacity;
    }
    a->items[a->items_count++] = (struct rev_item){.revision = revision,
                                                   .call = a->h->operations[op].call,
                                                   .op = op,
                                                   .kind = kind,
                                                   .succeeded = succeeded};
}

static bool add_past_reads(struct revisions *a, uint32_t number)
{
    const struct history_operation *o = &a->h->operations[number];
    uint32_t count;
    const struct history_op *ops = history_taken(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].at == 0)
            continue;
        if (ops[i].at > o->revision) {
            struct text *text = rev_refute(a, 0, "future", number, CHECK_NOBODY);
            rev_say_number(text, "it read at revision ", ops[i].at);
            rev_say_number(text, ", which is behind the store's revision ", o->revision);
            return false;
        }
        bool first = true;
        for (uint32_t j = 0; j < i; j++)
            first &= ops[j].at != ops[i].at;
        if (first)
            rev_add_item(a, ops[i].at, number, REV_PAST, o->succeeded);
    }
    return true;
}

static bool add_operation(struct revisions *a, uint32_t number)
{
    const struct history_operation *o = &a->h->operations[number];
    bool wrote = rev_wrote(o);
    if (o->revision < (wrote ? 2 : 1)) {
        struct text *text = rev_refute(a, 0, "first revision", number, CHECK_NOBODY);
        rev_say_number(text, "an empty store has revision 1, a first write makes it 2: it says ",
                       o->revision);
        return false;
    }
    if (wrote) {
        uintptr_t other = (uintptr_t)map_get(&a->writes, (uint64_t)o->revision);
        if (other != 0) {
            struct text *text =
                rev_refute(a, 0, "one write a revision", number, (uint32_t)(other - 1));
            rev_say_number(text, "two operations wrote at revision ", o->revision);
            return false;
        }
        map_put(&a->writes, (uint64_t)o->revision, (void *)((uintptr_t)number + 1));
    }
    rev_add_item(a, o->revision, number, wrote ? REV_WRITE : REV_READ, o->succeeded);
    return add_past_reads(a, number);
}

bool rev_order(struct revisions *a)
{
    find_keys(a);
    find_attachments(a);
    a->items_capacity = a->h->count + 1;
    a->items = arena_alloc(&a->arena, a->items_capacity * sizeof *a->items);
    for (uint32_t i = 0; i < a->h->count; i++) {
        if (a->h->operations[i].outcome == HISTORY_OK && !add_operation(a, i))
            return false;
    }
    return true;
}

static int compare_items(const void *one, const void *two, const void *context)
{
    (void)context;
    const struct rev_item *a = one;
    const struct rev_item *b = two;
    if (a->revision != b->revision)
        return a->revision < b->revision ? -1 : 1;
    if (a->kind != b->kind)
        return a->kind < b->kind ? -1 : 1;
    return a->call < b->call ? -1 : a->call > b->call;
}

bool rev_sort(struct revisions *a)
{
    struct rev_item *scratch = arena_alloc(&a->arena, a->items_count * sizeof *scratch);
    sort_stable(a->items, scratch, a->items_count, sizeof *scratch, compare_items, NULL);
    return true;
}

/* --- real time ----------------------------------------------------------------------------- */

/* `later` was called after the item had returned, and is ordered before it. Whose fault is that? Of
 * two operations that were answered, that of the one that did not see the other; but nobody may see
 * what was not even asked for. */
static bool refute_time(struct revisions *a, uint32_t place, uint32_t later, bool from_future)
{
    const struct rev_item *item = &a->items[place];
    const struct history_operation *o = &a->h->operations[later];
    if (from_future || o->outcome != HISTORY_OK) {
        struct text *text = rev_refute(a, place, "real time", item->op, later);
        rev_say_number(text, "it returned at revision ", item->revision);
        text_add(text, " before #");
        text_u64(text, later);
        text_add(text, " was called, which is not behind that");
        return false;
    }
    struct text *text = rev_refute(a, place, "real time", later, item->op);
    rev_say_number(text, "it is at revision ", o->revision);
    text_add(text, ", although #");
    text_u64(text, item->op);
    rev_say_number(text, ", which is at revision ", item->revision);
    text_add(text, ", had returned before it was called");
    return false;
}

/* Points in time can be given to the operations in this order exactly if none returned before one
 * that is not behind it was called. A serializable read has to find a state that was there before
 * it returned, but may be as old as it likes. */
bool rev_real_time(struct revisions *a)
{
    uint64_t point = 0;
    uint32_t point_op = CHECK_NOBODY;
    uint64_t state = 0; /* when the state of this revision came into being, at the earliest */
    uint32_t state_op = CHECK_NOBODY;
    int64_t revision = 0;
    for (uint32_t i = 0; i < a->items_count; i++) {
        const struct rev_item *item = &a->items[i];
        const struct history_operation *o = &a->h->operations[item->op];
        bool write = item->kind == REV_WRITE;
        if (item->kind == REV_PAST)
            continue;
        if (item->revision != revision) {
            revision = item->revision;
            state = point;
            state_op = point_op;
        }
        bool loose = o->serializable && !rev_may_write(o);
        if (o->end < (loose ? state : point))
            return refute_time(a, i, loose ? state_op : point_op, loose);
        if (!loose && o->call > point) {
            point = o->call;
            point_op = item->op;
        }
        if (write) {
            state = point;
            state_op = point_op;
        }
    }
    return true;
}
