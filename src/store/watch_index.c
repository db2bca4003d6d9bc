/* The index of watchers. Single keys: linear hashing, so that a million watchers never wait for one
 * big rehash. Ranges: a treap ordered by where they begin, each node knowing the range of its
 * subtree that ends last; weights are pseudo-random, so the depth is logarithmic whatever clients
 * ask for. */
#include "store/watch_index.h"

#include "base/hash.h"
#include "base/panic.h"
#include "base/planted.h"

#define BUCKETS_FIRST 16u
#define PER_BUCKET 2u

void watch_index_init(struct watch_index *index, struct mem *mem)
{
    *index = (struct watch_index){.mem = mem};
}

void watch_index_release(struct watch_index *index)
{
    ensure(index->singles == 0 && index->ranges == 0);
    mem_free(index->mem, index->buckets, index->buckets_capacity * sizeof(struct watcher *));
    watch_index_init(index, index->mem);
}

static bool is_single(const struct watcher *watcher)
{
    return watcher->end_size == 0;
}

/* From the watcher to its bytes. */
static size_t watcher_head(const struct watcher *watcher)
{
    return is_single(watcher) ? offsetof(struct watcher, bucket) + sizeof watcher->bucket
                              : sizeof *watcher;
}

void *watcher_block(struct watcher *watcher)
{
    return (uint8_t *)watcher - watcher->owner_size;
}

size_t watcher_size(const struct watcher *watcher)
{
    return watcher->owner_size + watcher_head(watcher) + watcher->key_size + watcher->end_size;
}

uint8_t *watcher_bytes(struct watcher *watcher)
{
    return (uint8_t *)watcher + watcher_head(watcher);
}

static struct bytes watcher_key(const struct watcher *watcher)
{
    return bytes_of((const uint8_t *)watcher + watcher_head(watcher), watcher->key_size);
}

struct key_range watcher_range(const struct watcher *watcher)
{
    struct bytes key = watcher_key(watcher);
    return (struct key_range){key, bytes_of(key.data + key.size, watcher->end_size)};
}

bool watcher_wants(const struct watcher *watcher, const struct version *version)
{
    return version_tombstone(version) ? !watcher->no_delete : !watcher->no_put;
}

void watcher_make_ready(struct watch_index *index, struct watcher *watcher)
{
    watcher->ready = true;
    index->on_ready(watcher_block(watcher), watcher);
}

/* --- Single keys --------------------------------------------------------------------------------
 */

/* Linear hashing: buckets at and behind the split use one bit less of the hash than those before.
 */
static size_t bucket_of(const struct watch_index *index, uint32_t hash)
{
    size_t size = BUCKETS_FIRST;
    while (size * 2 <= index->buckets_count)
        size *= 2;
    size_t bucket = hash & (size * 2 - 1);
    return bucket < index->buckets_count ? bucket : hash & (size - 1);
}

static void bucket_push(struct watcher **head, struct watcher *watcher)
{
    watcher->bucket.next = *head;
    watcher->bucket.link = head;
    if (*head != NULL)
        (*head)->bucket.link = &watcher->bucket.next;
    *head = watcher;
}

static void bucket_take(struct watcher *watcher)
{
    *watcher->bucket.link = watcher->bucket.next;
    if (watcher->bucket.next != NULL)
        watcher->bucket.next->bucket.link = watcher->bucket.link;
}

/* The heads move in memory: what the first of each bucket points back to moves along. */
static void buckets_resize(struct watch_index *index, size_t capacity)
{
    index->buckets =
        mem_resize(index->mem, index->buckets, index->buckets_capacity * sizeof(struct watcher *),
                   capacity * sizeof(struct watcher *));
    index->buckets_capacity = capacity;
    for (size_t i = 0; i < index->buckets_count; i++) {
        if (index->buckets[i] != NULL)
            index->buckets[i]->bucket.link = &index->buckets[i];
    }
}

static void buckets_grow(struct watch_index *index)
{
    if (index->buckets_count == index->buckets_capacity)
        buckets_resize(index,
                       index->buckets_capacity == 0 ? BUCKETS_FIRST : index->buckets_capacity * 2);
    if (index->buckets_count == 0) {
        for (; index->buckets_count < BUCKETS_FIRST; index->buckets_count++)
            index->buckets[index->buckets_count] = NULL;
        return;
    }
    size_t size = BUCKETS_FIRST;
    while (size * 2 <= index->buckets_count)
        size *= 2;
    struct watcher **from = &index->buckets[index->buckets_count - size];
    index->buckets[index->buckets_count++] = NULL;
    for (struct watcher *at = *from, *next; at != NULL; at = next) {
        next = at->bucket.next;
        struct watcher **to = &index->buckets[bucket_of(index, at->weight)];
        if (to == from)
            continue;
        bucket_take(at);
        bucket_push(to, at);
    }
}

static uint32_t hash_key(struct bytes key)
{
    return (uint32_t)hash_u64(hash_bytes(0, key));
}

static void single_add(struct watch_index *index, struct watcher *watcher)
{
    if (index->singles >= index->buckets_count * PER_BUCKET)
        buckets_grow(index);
    watcher->weight = hash_key(watcher_key(watcher));
    bucket_push(&index->buckets[bucket_of(index, watcher->weight)], watcher);
    index->singles++;
}

/* --- Ranges -------------------------------------------------------------------------------------
 */

/* Does the range of `a` end behind that of `b`? end = "\0": never ends. */
static bool ends_later(const struct watcher *a, const struct watcher *b)
{
    struct bytes x = watcher_range(a).end;
    struct bytes y = watcher_range(b).end;
    if (y.size == 1 && y.data[0] == 0)
        return false;
    return (x.size == 1 && x.data[0] == 0) || bytes_compare(x, y) > 0;
}

static bool ends_behind(const struct watcher *watcher, struct bytes key)
{
    struct bytes end = watcher_range(watcher).end;
    return (end.size == 1 && end.data[0] == 0) || bytes_compare(end, key) > 0;
}

static void node_renew_furthest(struct watcher *at)
{
    struct watcher *furthest = at;
    if (at->node.left != NULL && ends_later(at->node.left->node.furthest, furthest))
        furthest = at->node.left->node.furthest;
    if (at->node.right != NULL && ends_later(at->node.right->node.furthest, furthest))
        furthest = at->node.right->node.furthest;
    at->node.furthest = furthest;
}

static struct watcher **node_link(struct watch_index *index, struct watcher *at)
{
    struct watcher *parent = at->node.parent;
    if (parent == NULL)
        return &index->root;
    return parent->node.left == at ? &parent->node.left : &parent->node.right;
}

/* Lifts a node over its parent; the order stays. */
static void node_lift(struct watch_index *index, struct watcher *at)
{
    struct watcher *parent = at->node.parent;
    *node_link(index, parent) = at;
    at->node.parent = parent->node.parent;
    parent->node.parent = at;
    struct watcher *moved;
    if (parent->node.left == at) {
        moved = at->node.right;
        parent->node.left = moved;
        at->node.right = parent;
    } else {
        moved = at->node.left;
        parent->node.right = moved;
        at->node.left = parent;
    }
    if (moved != NULL)
        moved->node.parent = parent;
    node_renew_furthest(parent);
    node_renew_furthest(at);
}

static void range_add(struct watch_index *index, struct watcher *watcher)
{
    struct watcher *parent = NULL;
    struct watcher **link = &index->root;
    while (*link != NULL) {
        parent = *link;
        bool left = bytes_compare(watcher_key(watcher), watcher_key(parent)) < 0;
        link = left ? &parent->node.left : &parent->node.right;
    }
    *link = watcher;
    watcher->node.left = NULL;
    watcher->node.right = NULL;
    watcher->node.parent = parent;
    watcher->node.furthest = watcher;
    watcher->weight = (uint32_t)hash_u64(++index->seed);
    while (watcher->node.parent != NULL && watcher->weight > watcher->node.parent->weight)
        node_lift(index, watcher);
    for (struct watcher *at = watcher->node.parent; at != NULL; at = at->node.parent)
        node_renew_furthest(at);
    index->ranges++;
}

static void range_remove(struct watch_index *index, struct watcher *watcher)
{
    while (watcher->node.left != NULL || watcher->node.right != NULL) {
        struct watcher *left = watcher->node.left;
        struct watcher *right = watcher->node.right;
        bool lift_left = right == NULL || (left != NULL && left->weight > right->weight);
        node_lift(index, lift_left ? left : right);
    }
    *node_link(index, watcher) = NULL;
    for (struct watcher *at = watcher->node.parent; at != NULL; at = at->node.parent)
        node_renew_furthest(at);
    index->ranges--;
}

void watch_index_add(struct watch_index *index, struct watcher *watcher)
{
    if (is_single(watcher))
        single_add(index, watcher);
    else
        range_add(index, watcher);
}

void watch_index_remove(struct watch_index *index, struct watcher *watcher)
{
    if (!is_single(watcher)) {
        range_remove(index, watcher);
        return;
    }
    bucket_take(watcher);
    index->singles--;
}

struct watcher *watch_index_any(struct watch_index *index)
{
    if (index->root != NULL)
        return index->root;
    if (index->singles == 0)
        return NULL;
    while (index->buckets[index->sweep] == NULL)
        index->sweep = (index->sweep + 1) % index->buckets_count;
    return index->buckets[index->sweep];
}

/* --- Waking -------------------------------------------------------------------------------------
 */

static void wake(struct watch_index *index, struct watcher *watcher, const struct version *version)
{
    if (watcher->ready || version->mod < watcher->next || !watcher_wants(watcher, version))
        return;
    /* Idle means that everything before was given: what comes next begins here. */
    watcher->next = version->mod;
    watcher_make_ready(index, watcher);
}

static void wake_singles(struct watch_index *index, const struct version *version)
{
    struct bytes key = key_bytes(version->key);
    uint32_t hash = hash_key(key);
    for (struct watcher *at = index->buckets[bucket_of(index, hash)]; at != NULL;
         at = at->bucket.next) {
        if (at->weight == hash && bytes_equal(watcher_key(at), key))
            wake(index, at, version);
    }
}

/* In order, skipping subtrees that end too early or begin too late; links up replace a stack. */
static void wake_ranges(struct watch_index *index, const struct version *version)
{
    struct bytes key = key_bytes(version->key);
    struct watcher *from = NULL;
    struct watcher *at = index->root;
    while (at != NULL) {
        struct watcher *left = at->node.left;
        struct watcher *right = at->node.right;
        bool down = from == at->node.parent;
        if (down && left != NULL && ends_behind(left->node.furthest, key)) {
            from = at;
            at = left;
            continue;
        }
        bool visit = down || from == left;
        bool begins = visit && bytes_compare(watcher_key(at), key) <= 0;
        if (begins && ends_behind(at, key))
            wake(index, at, version);
        from = at;
        at = begins && right != NULL && ends_behind(right->node.furthest, key) ? right
                                                                               : at->node.parent;
    }
}

void watch_index_notify(struct watch_index *index, const struct history *history, int64_t revision)
{
    if (index->singles == 0 && index->ranges == 0)
        return;
    struct history_place place = history_seek(history, revision, 0);
    struct version *v;
    while ((v = history_next(history, &place)) != NULL) {
        if (planted(STORE_WATCH_FIRST_ONLY) && v->sub > 0)
            break;
        if (index->singles > 0)
            wake_singles(index, v);
        if (index->ranges > 0)
            wake_ranges(index, v);
    }
}
