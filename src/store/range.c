/* Reading: ranges at any revision that is not compacted, with etcd's sorting, filters and counts;
 * and the hash that compares whole stores. */
#include "store/range.h"
#include "base/crc32c.h"
#include "base/planted.h"
#include "base/sort.h"
#include "store/store_internal.h"

uint64_t store_count(const struct store *store, const struct key_range *range)
{
    if (key_range_single(range)) {
        struct tree_path path;
        const struct key *key = tree_find(&store->keys, range->key, &path);
        return key != NULL && !version_tombstone(key->newest);
    }
    uint64_t before = tree_rank(&store->keys, range->key);
    bool endless = range->end.size == 1 && range->end.data[0] == 0;
    uint64_t end = endless ? store->keys.live : tree_rank(&store->keys, range->end);
    return end > before ? end - before : 0;
}

enum refusal range_check(const struct store *store, const struct range_query *query)
{
    if (query->range.key.size == 0)
        return REFUSAL_KEY_EMPTY;
    if ((unsigned)query->order > SORT_DESCEND || (unsigned)query->target > SORT_VALUE)
        return REFUSAL_INVALID_SORT;
    if (query->revision > store_revision(store))
        return REFUSAL_FUTURE_REVISION;
    if (query->revision > 0 && !planted(STORE_COMPACTED_READABLE) &&
        query->revision < store->compacted + (planted(STORE_COMPACTED_TOO_FAR) ? 1 : 0))
        return REFUSAL_COMPACTED;
    return REFUSAL_NONE;
}

static bool within(int64_t number, int64_t min, int64_t max)
{
    return (min == 0 || number >= min) && (max == 0 || number <= max);
}

bool range_passes(const struct range_query *query, const struct kv *kv)
{
    return within(kv->mod_revision, query->min_mod_revision, query->max_mod_revision) &&
           within(kv->create_revision, query->min_create_revision, query->max_create_revision);
}

static bool range_filters(const struct range_query *query)
{
    return query->min_mod_revision != 0 || query->max_mod_revision != 0 ||
           query->min_create_revision != 0 || query->max_create_revision != 0;
}

/* A growing list of pairs in an arena. */
struct kv_list {
    struct arena *arena;
    struct kv *kvs;
    uint64_t count;
    uint64_t capacity;
};

static void kv_list_add(struct kv_list *list, const struct kv *kv)
{
    if (list->count == list->capacity) {
        uint64_t capacity = list->capacity == 0 ? 16 : list->capacity * 2;
        struct kv *kvs = arena_alloc(list->arena, capacity * sizeof *kvs);
        for (uint64_t i = 0; i < list->count; i++)
            kvs[i] = list->kvs[i];
        list->kvs = kvs;
        list->capacity = capacity;
    }
    list->kvs[list->count++] = *kv;
}

/* A read on its way: how many pairs are wanted, and whether the count needs the whole range. */
struct range_scan {
    const struct store *store;
    const struct range_query *query;
    int64_t revision;
    bool current;
    uint64_t wanted;
    struct kv_list list;
    int64_t count; /* of an old revision */
};

static void scan_take(struct range_scan *scan, const struct version *v)
{
    if (scan->query->count_only || scan->list.count >= scan->wanted)
        return;
    struct kv kv = version_kv(v);
    if (!range_passes(scan->query, &kv))
        return;
    if (scan->query->keys_only && scan->query->target != SORT_VALUE)
        kv.value = BYTES_EMPTY;
    kv_list_add(&scan->list, &kv);
}

/* Visits one key; false when the rest of the range does not matter. */
static bool scan_visit(struct range_scan *scan, const struct tree_cursor *at)
{
    if (scan->current) {
        if (tree_live(at))
            scan_take(scan, tree_key(at)->newest);
        return !scan->query->count_only && scan->list.count < scan->wanted;
    }
    const struct version *v = version_at(tree_key(at)->newest, scan->revision);
    if (planted(STORE_COMPACT_HIDES) && v != NULL && v->mod < scan->store->compacted)
        return true;
    if (v != NULL && !version_tombstone(v)) {
        scan->count++;
        scan_take(scan, v);
    }
    return true;
}

static void scan_forward(struct range_scan *scan)
{
    const struct key_range *range = &scan->query->range;
    const struct tree *keys = &scan->store->keys;
    for (struct tree_cursor at = tree_seek(keys, range->key); at.node != NULL; tree_next(&at)) {
        if (!key_range_contains(range, key_bytes(tree_key(&at))) || !scan_visit(scan, &at))
            return;
    }
}

/* From the last key of the range to the first: for the last few of many. */
static void scan_backward(struct range_scan *scan)
{
    const struct key_range *range = &scan->query->range;
    const struct tree *keys = &scan->store->keys;
    bool endless = range->end.size == 1 && range->end.data[0] == 0;
    struct tree_cursor at = endless ? tree_last(keys) : tree_seek(keys, range->end);
    if (!endless && at.node == NULL)
        at = tree_last(keys);
    else if (!endless)
        tree_prev(&at);
    for (; at.node != NULL; tree_prev(&at)) {
        if (!key_range_contains(range, key_bytes(tree_key(&at))) || !scan_visit(scan, &at))
            return;
    }
}

static int order_i64(int64_t a, int64_t b)
{
    return (a > b) - (a < b);
}

static int kv_compare(const void *a, const void *b, const void *context)
{
    const struct kv *x = a;
    const struct kv *y = b;
    const struct range_query *query = context;
    int order = 0;
    switch (query->target) {
    case SORT_KEY:
        order = bytes_compare(x->key, y->key);
        break;
    case SORT_VERSION:
        order = order_i64(x->version, y->version);
        break;
    case SORT_CREATE:
        order = order_i64(x->create_revision, y->create_revision);
        break;
    case SORT_MOD:
        order = order_i64(x->mod_revision, y->mod_revision);
        break;
    case SORT_VALUE:
        order = bytes_compare(x->value, y->value);
        break;
    }
    return query->order == SORT_DESCEND ? -order : order;
}

static void scan_sort(struct range_scan *scan)
{
    const struct range_query *query = scan->query;
    struct kv_list *list = &scan->list;
    struct kv *scratch = arena_alloc(list->arena, list->count * sizeof *scratch);
    sort_stable(list->kvs, scratch, list->count, sizeof *scratch, kv_compare, query);
    for (uint64_t i = 0; query->keys_only && i < list->count; i++)
        list->kvs[i].value = BYTES_EMPTY;
}

static void scan_run(struct range_scan *scan)
{
    const struct range_query *query = scan->query;
    bool by_key = query->target == SORT_KEY;
    bool backward = by_key && query->order == SORT_DESCEND && !key_range_single(&query->range);
    bool sorted = !by_key;
    /* etcd cuts before it sorts if it was told what to sort by, but not how. */
    bool cut_first = query->order == SORT_NONE && !range_filters(query);
    bool limited = query->limit > 0 && (!sorted || cut_first);
    /* One more than the limit tells whether there is more. */
    scan->wanted = limited ? (uint64_t)query->limit + 1 : UINT64_MAX;
    if (backward)
        scan_backward(scan);
    else
        scan_forward(scan);
    if (sorted)
        scan_sort(scan);
}

enum refusal store_range(const struct store *store, const struct range_query *query,
                         struct arena *arena, struct range_result *ret_result)
{
    *ret_result = (struct range_result){0};
    enum refusal refusal = range_check(store, query);
    if (refusal != REFUSAL_NONE)
        return refusal;
    int64_t current = store_revision(store);
    struct range_scan scan = {
        .store = store,
        .query = query,
        .revision = query->revision > 0 ? query->revision : current,
        .list = {.arena = arena},
    };
    scan.current = scan.revision == current;
    if (scan.current) {
        scan.count = (int64_t)store_count(store, &query->range);
        bool few = query->limit > 0 && query->limit < scan.count && query->target == SORT_KEY;
        uint64_t most = (uint64_t)(few ? query->limit + 1 : scan.count);
        if (!query->count_only && !range_filters(query)) {
            scan.list.kvs = arena_alloc(arena, most * sizeof *scan.list.kvs);
            scan.list.capacity = most;
        }
    }
    if (!scan.current || (scan.count > 0 && !query->count_only))
        scan_run(&scan);
    uint64_t given = scan.list.count;
    if (query->limit > 0 && given > (uint64_t)query->limit) {
        given = (uint64_t)query->limit;
        ret_result->more = true;
    }
    ret_result->kvs = scan.list.kvs;
    ret_result->kvs_count = (uint32_t)given;
    ret_result->count = scan.count;
    return REFUSAL_NONE;
}

static uint32_t hash_version(uint32_t crc, const struct version *v)
{
    uint8_t head[44];
    struct writer w = writer_of(head, sizeof head);
    struct kv kv = version_kv(v);
    write_u64(&w, (uint64_t)kv.mod_revision);
    write_u64(&w, (uint64_t)kv.create_revision);
    write_u64(&w, (uint64_t)kv.version);
    write_u64(&w, (uint64_t)kv.lease);
    write_u32(&w, v->sub);
    write_u32(&w, (uint32_t)kv.key.size);
    write_u32(&w, (uint32_t)kv.value.size);
    crc = crc32c(crc, writer_bytes(&w));
    crc = crc32c(crc, kv.key);
    return kv.value.size == 0 ? crc : crc32c(crc, kv.value);
}

enum refusal store_hash(const struct store *store, int64_t revision, uint32_t *ret_hash)
{
    int64_t current = store_revision(store);
    if (revision <= 0)
        revision = current;
    if (revision > current)
        return REFUSAL_FUTURE_REVISION;
    if (revision < store->compacted)
        return REFUSAL_COMPACTED;
    /* Of each key: what is not compacted, and the newest before that if it lives. So the hash does
     * not depend on how far this member has come in giving memory back. */
    uint32_t crc = crc32c(0, bytes_of("synod", 5));
    for (struct tree_cursor at = tree_first(&store->keys); at.node != NULL; tree_next(&at)) {
        const struct version *v = version_at(tree_key(&at)->newest, revision);
        for (; v != NULL && v->mod >= store->compacted; v = v->prev)
            crc = hash_version(crc, v);
        if (v != NULL && !version_tombstone(v))
            crc = hash_version(crc, v);
    }
    *ret_hash = crc;
    return REFUSAL_NONE;
}
