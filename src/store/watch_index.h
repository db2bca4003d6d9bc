/* The watchers of a store, found by the keys that change: those of one key in a hash table, those
 * of a range in a tree of intervals. A commit costs what it wakes, not how many wait.
 *
 * The one invariant: every open watcher is in exactly one of the two, ready or not. */
#ifndef SYNOD_STORE_WATCH_INDEX_H
#define SYNOD_STORE_WATCH_INDEX_H

#include "store/history.h"
#include "store/watch.h"

/* In front of it in memory: what its owner keeps. Behind it, where the union's part ends that it
 * uses: key and end. */
struct watcher {
    int64_t next; /* first revision that it has not been given; 0: whatever comes */
    uint32_t key_size;
    uint32_t end_size;
    uint32_t weight;     /* hash of the key, or place in the heap order of the interval tree */
    uint16_t owner_size; /* rounded up */
    bool no_put : 1;
    bool no_delete : 1;
    bool previous : 1;
    bool ready : 1;
    bool late : 1; /* began below what was compacted */
    union {
        struct {
            struct watcher *next;
            struct watcher **link; /* what points to this one */
        } bucket;
        struct {
            struct watcher *left;
            struct watcher *right;
            struct watcher *parent;
            struct watcher *furthest; /* of this subtree, the one whose range ends last */
        } node;
    };
};

struct watch_index {
    struct mem *mem;
    void (*on_ready)(void *owner, struct watcher *watcher); /* of all of them */
    struct watcher **buckets; /* linear hashing: grows by one bucket at a time */
    size_t buckets_count;
    size_t buckets_capacity;
    uint64_t singles;
    struct watcher *root;
    uint64_t ranges;
    uint64_t seed;
    size_t sweep; /* where watch_index_any looked last */
};

void watch_index_init(struct watch_index *index, struct mem *mem);
void watch_index_release(struct watch_index *index);
void watch_index_add(struct watch_index *index, struct watcher *watcher);
void watch_index_remove(struct watch_index *index, struct watcher *watcher);
/* Some watcher of the index, in no order; NULL if there is none. */
struct watcher *watch_index_any(struct watch_index *index);
/* Readies idle watchers that want something of the revision, which was just committed. */
void watch_index_notify(struct watch_index *index, const struct history *history, int64_t revision);

/* The whole block: where it begins, and how large it is. */
void *watcher_block(struct watcher *watcher);
size_t watcher_size(const struct watcher *watcher);
/* Key and end. */
uint8_t *watcher_bytes(struct watcher *watcher);
struct key_range watcher_range(const struct watcher *watcher);
bool watcher_wants(const struct watcher *watcher, const struct version *version);
void watcher_make_ready(struct watch_index *index, struct watcher *watcher);

#endif
