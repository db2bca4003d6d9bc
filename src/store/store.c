/* Writing: a put or a deletion is a new version, at the front of its key's chain and at the end of
 * the history. Everything that the store allocates goes through a counter of its own: that is its
 * size. */
#include "base/hash.h"
#include "base/panic.h"
#include "base/planted.h"
#include "store/store_internal.h"

static void *store_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    struct store *store = container_of(mem, struct store, mem);
    return mem_resize(store->parent, at, size_old, size_new);
}

struct store *store_new(struct mem *mem)
{
    struct store *store = mem_zero(mem, sizeof *store);
    store->mem.resize = store_resize;
    store->parent = mem;
    store->revision = 1;
    tree_init(&store->keys, &store->mem);
    history_init(&store->history, &store->mem);
    map_init(&store->leases, &store->mem);
    list_init(&store->leases_list);
    watch_index_init(&store->watches, mem);
    return store;
}

/* Keys that left the tree are known only to the versions that squeezing has not come to yet; the
 * oldest one frees the key, so a newer one must not look at it any more. */
static void store_free_keys(struct store *store)
{
    struct history_place place = {0, 0};
    struct version *v;
    while ((v = history_next(&store->history, &place)) != NULL) {
        if (v->prev == NULL && v->key->newest == NULL)
            key_free(&store->mem, v->key);
    }
    for (struct tree_cursor at = tree_first(&store->keys); at.node != NULL; tree_next(&at))
        key_free(&store->mem, tree_key(&at));
}

void store_free(struct store *store)
{
    if (store == NULL)
        return;
    lease_free_all(store);
    store_free_keys(store);
    history_release(&store->history);
    tree_release(&store->keys);
    watch_index_release(&store->watches);
    ensure(store->mem.used == 0);
    mem_free(store->parent, store, sizeof *store);
}

int64_t store_revision(const struct store *store)
{
    return store->revision + (store->open && store->sub > 0 ? 1 : 0);
}

int64_t store_compacted(const struct store *store)
{
    return store->compacted;
}

uint64_t store_size(const struct store *store)
{
    return store->mem.used;
}

uint64_t store_size_in_use(const struct store *store)
{
    return store->mem.used - store->garbage;
}

uint64_t store_keys(const struct store *store)
{
    return planted(STORE_KEYS_WITH_DELETED) ? store->keys.count : store->keys.live;
}

uint64_t store_digest(const struct store *store)
{
    return store->digest;
}

uint64_t version_cost(const struct version *version)
{
    return version_size(version) + sizeof(struct version *);
}

uint64_t key_cost(const struct key *key)
{
    return key_size(key) + sizeof(uint64_t) + sizeof(struct key *);
}

void store_begin(struct store *store)
{
    ensure(!store->open);
    store->open = true;
    store->sub = 0;
}

int64_t store_commit(struct store *store)
{
    ensure(store->open);
    store->open = false;
    if (store->sub == 0)
        return store->revision;
    store->revision++;
    watch_index_notify(&store->watches, &store->history, store->revision);
    return store->revision;
}

static void store_fold(struct store *store, const struct version *v)
{
    uint64_t digest = hash_fold(store->digest, (uint64_t)v->mod);
    digest = hash_fold(digest, version_tombstone(v) ? UINT64_MAX : (uint64_t)version_lease(v));
    digest = hash_bytes(digest, key_bytes(v->key));
    store->digest = hash_bytes(digest, version_value(v));
}

void store_append(struct store *store, struct key *key, const struct tree_path *path,
                  struct version *version)
{
    struct version *before = key->newest;
    bool lived = before != NULL && !version_tombstone(before);
    version->prev = before;
    key->newest = version;
    history_append(&store->history, version);
    if (lived) {
        store->garbage += version_cost(before);
    } else if (before != NULL) {
        version_set_successor(before, version);
        store->garbage -= key_cost(key);
    }
    if (version_tombstone(version))
        store->garbage += version_cost(version) + key_cost(key);
    if (lived == version_tombstone(version))
        tree_set_live(&store->keys, path, !lived);
}

/* The current version, if the key lives. */
static const struct version *store_living(const struct store *store, struct bytes key)
{
    struct tree_path path;
    const struct key *found = tree_find(&store->keys, key, &path);
    if (found == NULL || version_tombstone(found->newest))
        return NULL;
    return found->newest;
}

bool store_get(const struct store *store, struct bytes key, struct kv *ret_kv)
{
    const struct version *v = store_living(store, key);
    if (v != NULL)
        *ret_kv = version_kv(v);
    return v != NULL;
}

enum refusal store_put_check(const struct store *store, const struct put *put)
{
    if ((put->ignore_value || put->ignore_lease) && store_living(store, put->key) == NULL)
        return REFUSAL_KEY_NOT_FOUND;
    if (!put->ignore_lease && put->lease != 0 && lease_find(store, put->lease) == NULL)
        return REFUSAL_LEASE_NOT_FOUND;
    return REFUSAL_NONE;
}

static struct version *store_make(struct store *store, struct key *key, const struct put *put,
                                  const struct version *before)
{
    struct version_spec spec = {
        .mod = store_revision_open(store),
        .sub = store->sub++,
        .number = 1,
        .lease = put->lease,
        .value = put->value,
    };
    spec.create = spec.mod;
    if (before != NULL) {
        spec.create = version_create(before);
        spec.number = version_number(before) + 1;
        spec.lease = put->ignore_lease ? version_lease(before) : put->lease;
        spec.value = put->ignore_value ? version_value(before) : put->value;
    }
    return version_new(&store->mem, key, &spec);
}

bool store_put(struct store *store, const struct put *put, struct kv *ret_previous)
{
    ensure(store->open);
    struct tree_path path;
    struct key *key = tree_find(&store->keys, put->key, &path);
    const struct version *before = key == NULL ? NULL : key->newest;
    if (before != NULL && version_tombstone(before))
        before = NULL;
    if (key == NULL) {
        key = key_new(&store->mem, put->key);
        tree_insert(&store->keys, &path, key, true);
        struct version *v = store_make(store, key, put, NULL);
        key->newest = v;
        history_append(&store->history, v);
    } else {
        store_append(store, key, &path, store_make(store, key, put, before));
    }
    int64_t lease = version_lease(key->newest);
    int64_t lease_before = before == NULL ? 0 : version_lease(before);
    if (lease != lease_before) {
        if (!planted(STORE_LEASE_NOT_DETACHED))
            lease_detach(store, lease_before, key);
        lease_attach(store, lease, key);
    }
    store_fold(store, key->newest);
    if (before != NULL && ret_previous != NULL)
        *ret_previous = version_kv(before);
    return before != NULL;
}

void store_delete_key(struct store *store, struct key *key, bool keep_lease)
{
    struct tree_path path;
    const struct key *found = tree_find(&store->keys, key_bytes(key), &path);
    ensure(store->open && found == key && !version_tombstone(key->newest));
    if (!keep_lease)
        lease_detach(store, version_lease(key->newest), key);
    struct version_spec spec = {
        .mod = store_revision_open(store), .sub = store->sub++, .tombstone = true};
    struct version *v = version_new(&store->mem, key, &spec);
    store_append(store, key, &path, v);
    if (!planted(STORE_DIGEST_SKIPS_DELETES))
        store_fold(store, v);
}

int64_t store_delete(struct store *store, const struct key_range *range, struct arena *arena,
                     struct kv **ret_previous)
{
    uint64_t most = key_range_single(range) ? 1 : store_count(store, range);
    struct kv *previous = NULL;
    int64_t deleted = 0;
    if (ret_previous != NULL) {
        previous = arena_alloc(arena, most * sizeof *previous);
        *ret_previous = previous;
    }
    if (most == 0)
        return 0;
    /* No key comes or goes: deletions only change what lives, and the cursor stays valid. */
    for (struct tree_cursor at = tree_seek(&store->keys, range->key); at.node != NULL;
         tree_next(&at)) {
        struct key *key = tree_key(&at);
        if (!key_range_contains(range, key_bytes(key)))
            break;
        if (!tree_live(&at))
            continue;
        if (previous != NULL)
            previous[deleted] = version_kv(key->newest);
        store_delete_key(store, key, false);
        deleted++;
    }
    return deleted;
}

enum refusal store_compact(struct store *store, int64_t revision)
{
    if (revision <= store->compacted)
        return REFUSAL_COMPACTED;
    if (revision > store->revision)
        return REFUSAL_FUTURE_REVISION;
    store->compacted = revision;
    store->digest = hash_fold(hash_fold(store->digest, UINT64_MAX), (uint64_t)revision);
    return REFUSAL_NONE;
}
