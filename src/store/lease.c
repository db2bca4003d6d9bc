/* Leases: who exists, and which keys hang on whom. A lease keeps its keys in a small tree of its
 * own, so that revoking takes them in key order on every member alike. */
#include "base/hash.h"
#include "base/panic.h"
#include "base/sort.h"
#include "store/store_internal.h"

struct lease *lease_find(const struct store *store, int64_t id)
{
    return map_get(&store->leases, (uint64_t)id);
}

void lease_attach(struct store *store, int64_t id, struct key *key)
{
    if (id == 0)
        return;
    struct lease *lease = lease_find(store, id);
    ensure(lease != NULL);
    struct tree_path path;
    ensure(tree_find(&lease->keys, key_bytes(key), &path) == NULL);
    tree_insert(&lease->keys, &path, key, true);
}

void lease_detach(struct store *store, int64_t id, struct key *key)
{
    if (id == 0)
        return;
    struct lease *lease = lease_find(store, id);
    ensure(lease != NULL);
    tree_remove(&lease->keys, key);
}

struct lease *lease_add(struct store *store, const struct lease_info *info)
{
    struct lease *lease = mem_alloc(&store->mem, sizeof *lease);
    lease->info = *info;
    tree_init(&lease->keys, &store->mem);
    list_push(&store->leases_list, &lease->link);
    map_put(&store->leases, (uint64_t)info->id, lease);
    if (store->lease_events.on_grant != NULL)
        store->lease_events.on_grant(store->lease_events.owner, info);
    return lease;
}

static void lease_fold(struct store *store, int64_t id, int64_t ttl)
{
    uint64_t digest = hash_fold(store->digest, UINT64_MAX - 1);
    store->digest = hash_fold(hash_fold(digest, (uint64_t)id), (uint64_t)ttl);
}

enum refusal store_lease_grant(struct store *store, int64_t id, int64_t ttl)
{
    ensure(id != 0);
    if (ttl > LEASE_TTL_MAX)
        return REFUSAL_LEASE_TTL_TOO_LARGE;
    if (lease_find(store, id) != NULL)
        return REFUSAL_LEASE_EXISTS;
    struct lease_info info = {id, ttl, ++store->leases_granted};
    lease_add(store, &info);
    lease_fold(store, id, ttl);
    return REFUSAL_NONE;
}

static void lease_free(struct store *store, struct lease *lease)
{
    tree_release(&lease->keys);
    list_remove(&lease->link);
    mem_free(&store->mem, lease, sizeof *lease);
}

enum refusal store_lease_revoke(struct store *store, int64_t id)
{
    struct lease *lease = id == 0 ? NULL : lease_find(store, id);
    if (lease == NULL)
        return REFUSAL_LEASE_NOT_FOUND;
    for (struct tree_cursor at = tree_first(&lease->keys); at.node != NULL; tree_next(&at))
        store_delete_key(store, tree_key(&at), true);
    map_take(&store->leases, (uint64_t)id);
    lease_free(store, lease);
    lease_fold(store, id, -1);
    if (store->lease_events.on_revoke != NULL)
        store->lease_events.on_revoke(store->lease_events.owner, id);
    return REFUSAL_NONE;
}

void lease_free_all(struct store *store)
{
    list_each (at, &store->leases_list)
        lease_free(store, container_of(at, struct lease, link));
    map_release(&store->leases);
}

bool store_lease_get(const struct store *store, int64_t id, struct lease_info *ret_info)
{
    const struct lease *lease = lease_find(store, id);
    if (lease != NULL)
        *ret_info = lease->info;
    return lease != NULL;
}

bool store_lease_is(const struct store *store, int64_t id, uint64_t generation)
{
    const struct lease *lease = lease_find(store, id);
    return lease != NULL && lease->info.generation == generation;
}

uint64_t store_leases(const struct store *store)
{
    return store->leases.count;
}

static int lease_compare(const void *a, const void *b, const void *context)
{
    (void)context;
    const struct lease_info *x = a;
    const struct lease_info *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

struct lease_info *store_lease_list(const struct store *store, struct arena *arena,
                                    uint32_t *ret_count)
{
    size_t count = store->leases.count;
    struct lease_info *infos = arena_alloc(arena, 2 * count * sizeof *infos);
    uint32_t filled = 0;
    const struct list *list = &store->leases_list;
    for (struct list *at = list->next; at != list; at = at->next)
        infos[filled++] = container_of(at, struct lease, link)->info;
    sort_stable(infos, infos + count, count, sizeof *infos, lease_compare, NULL);
    *ret_count = filled;
    return infos;
}

struct bytes *store_lease_keys(const struct store *store, int64_t id, struct arena *arena,
                               uint32_t *ret_count)
{
    const struct lease *lease = lease_find(store, id);
    *ret_count = 0;
    if (lease == NULL)
        return NULL;
    struct bytes *keys = arena_alloc(arena, lease->keys.count * sizeof *keys);
    for (struct tree_cursor at = tree_first(&lease->keys); at.node != NULL; tree_next(&at))
        keys[(*ret_count)++] = key_bytes(tree_key(&at));
    return keys;
}

void store_lease_listen(struct store *store, const struct lease_events *events)
{
    store->lease_events = *events;
}
