/* Slices of a range. A walk remembers a key, not a place in the tree, which changes under it. */
#include "store/walk.h"

#include "base/panic.h"
#include "store/range.h"
#include "store/store_internal.h"

uint64_t range_walk_keys(const struct store *store, const struct key_range *range)
{
    return store_count(store, range);
}

bool range_walk_possible(const struct range_query *query)
{
    return query->target == SORT_KEY && query->order != SORT_DESCEND;
}

enum refusal range_walk_begin(const struct store *store, const struct range_query *query,
                              struct range_walk *ret_walk)
{
    ensure(range_walk_possible(query));
    enum refusal refusal = range_check(store, query);
    if (refusal != REFUSAL_NONE)
        return refusal;
    int64_t current = store_revision(store);
    *ret_walk = (struct range_walk){.query = *query, .from = query->range.key};
    if (query->revision <= 0 || query->revision == current) {
        ret_walk->query.revision = current;
        ret_walk->count = (int64_t)store_count(store, &query->range);
        ret_walk->counted = true;
    }
    return REFUSAL_NONE;
}

/* One living version of the range; true if it is to be given. */
static bool walk_visit(struct range_walk *walk, const struct kv *kv)
{
    const struct range_query *query = &walk->query;
    if (!walk->counted)
        walk->count++;
    if (query->count_only || walk->more || !range_passes(query, kv))
        return false;
    if (query->limit > 0 && walk->given == (uint64_t)query->limit) {
        walk->more = true;
        return false;
    }
    walk->given++;
    return true;
}

/* Nothing that is still to come would change the answer. */
static bool walk_enough(const struct range_walk *walk)
{
    return walk->counted && (walk->more || walk->query.count_only);
}

enum refusal range_walk_next(const struct store *store, struct range_walk *walk,
                             struct arena *arena, uint32_t keys_max, uint64_t bytes_max,
                             struct kv **ret_kvs, uint32_t *ret_count)
{
    const struct range_query *query = &walk->query;
    *ret_count = 0;
    *ret_kvs = arena_alloc(arena, keys_max * sizeof **ret_kvs);
    enum refusal refusal = range_check(store, query);
    if (refusal != REFUSAL_NONE)
        return refusal;
    uint64_t bytes = 0;
    struct tree_cursor at = tree_seek(&store->keys, walk->from);
    if (walk->begun && at.node != NULL && bytes_equal(key_bytes(tree_key(&at)), walk->from))
        tree_next(&at);
    for (uint32_t i = 0; !walk_enough(walk); tree_next(&at), i++) {
        if (at.node == NULL || !key_range_contains(&query->range, key_bytes(tree_key(&at))))
            break;
        if (i == keys_max || bytes >= bytes_max)
            return REFUSAL_NONE;
        walk->begun = true;
        walk->from = key_bytes(tree_key(&at));
        const struct version *v = version_at(tree_key(&at)->newest, query->revision);
        if (v == NULL || version_tombstone(v))
            continue;
        struct kv kv = version_kv(v);
        if (!walk_visit(walk, &kv))
            continue;
        if (query->keys_only)
            kv.value = BYTES_EMPTY;
        bytes += kv.key.size + kv.value.size;
        (*ret_kvs)[(*ret_count)++] = kv;
    }
    walk->done = true;
    walk->counted = true;
    return REFUSAL_NONE;
}
