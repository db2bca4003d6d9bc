/* Walks: a range at one revision, read slice by slice while commands go on being applied. What
 * store_range reads at once, a walk reads within bounds: for answers that are too large to be made
 * in one turn or held in memory.
 *
 * The one invariant: the slices together are what store_range would have given when the walk began,
 * in the order of keys. If compaction overtakes its revision, the walk ends with COMPACTED. */
#ifndef SYNOD_STORE_WALK_H
#define SYNOD_STORE_WALK_H

#include "base/arena.h"
#include "store/kv.h"

struct store;

struct range_walk {
    struct range_query query; /* its revision is the one that is read */
    struct bytes from;        /* the slice begins at this key, or behind it if it was given */
    bool begun;
    bool counted; /* `count` is final */
    uint64_t given;
    bool more;     /* there are keys beyond the limit */
    int64_t count; /* keys in the range, ignoring limit and bounds; final when the walk is done */
    bool done;
};

/* Keys of the range that live now: two descents of the tree. */
uint64_t range_walk_keys(const struct store *store, const struct key_range *range);
/* Whether the query can be walked: in the order of keys, from the first on. */
bool range_walk_possible(const struct range_query *query);
/* Begins a walk at the query's revision or the current one. Borrows the query's keys for as long as
 * it lasts. KEY_EMPTY, INVALID_SORT, COMPACTED, FUTURE_REVISION or NONE. */
enum refusal range_walk_begin(const struct store *store, const struct range_query *query,
                              struct range_walk *ret_walk);
/* The next pairs, in the arena: at most `keys_max` keys are looked at, and about `bytes_max` bytes
 * of keys and values are given. Afterwards walk->from is borrowed from the store: the caller copies
 * it before it lets go. COMPACTED or NONE. */
enum refusal range_walk_next(const struct store *store, struct range_walk *walk,
                             struct arena *arena, uint32_t keys_max, uint64_t bytes_max,
                             struct kv **ret_kvs, uint32_t *ret_count);

#endif
