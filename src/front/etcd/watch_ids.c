/* Chains of at most two watches on average; twice as many chains when there are more. */
#include "front/etcd/watch_ids.h"

#include "base/hash.h"
#include "base/panic.h"

#define PER_CHAIN 2U

void watch_ids_init(struct watch_ids *ids, struct mem *mem)
{
    *ids = (struct watch_ids){.mem = mem};
}

void watch_ids_release(struct watch_ids *ids)
{
    ensure(ids->count == 0);
    mem_free(ids->mem, ids->chains, ids->chains_count * sizeof(struct watch_id *));
    watch_ids_init(ids, ids->mem);
}

static size_t chain_of(const struct watch_ids *ids, int64_t id)
{
    return (size_t)hash_u64((uint64_t)id) & (ids->chains_count - 1);
}

static void chain_push(struct watch_ids *ids, struct watch_id *watch)
{
    struct watch_id **chain = &ids->chains[chain_of(ids, watch->id)];
    watch->next = *chain;
    *chain = watch;
}

static void grow(struct watch_ids *ids)
{
    struct watch_ids old = *ids;
    ids->chains_count = old.chains_count == 0 ? 1 : old.chains_count * 2;
    ids->chains = mem_zero(ids->mem, ids->chains_count * sizeof(struct watch_id *));
    for (size_t i = 0; i < old.chains_count; i++) {
        for (struct watch_id *at = old.chains[i], *next; at != NULL; at = next) {
            next = at->next;
            chain_push(ids, at);
        }
    }
    mem_free(ids->mem, old.chains, old.chains_count * sizeof(struct watch_id *));
}

struct watch_id *watch_ids_find(const struct watch_ids *ids, int64_t id)
{
    if (ids->count == 0)
        return NULL;
    struct watch_id *at = ids->chains[chain_of(ids, id)];
    while (at != NULL && at->id != id)
        at = at->next;
    return at;
}

void watch_ids_add(struct watch_ids *ids, struct watch_id *watch)
{
    if (ids->count >= ids->chains_count * PER_CHAIN)
        grow(ids);
    chain_push(ids, watch);
    ids->count++;
}

void watch_ids_remove(struct watch_ids *ids, struct watch_id *watch)
{
    struct watch_id **link = &ids->chains[chain_of(ids, watch->id)];
    while (*link != watch)
        link = &(*link)->next;
    *link = watch->next;
    ids->count--;
}

static struct watch_id *first_from(const struct watch_ids *ids, size_t chain)
{
    while (chain < ids->chains_count && ids->chains[chain] == NULL)
        chain++;
    return chain < ids->chains_count ? ids->chains[chain] : NULL;
}

struct watch_id *watch_ids_next(const struct watch_ids *ids, const struct watch_id *after)
{
    if (after == NULL)
        return first_from(ids, 0);
    return after->next != NULL ? after->next : first_from(ids, chain_of(ids, after->id) + 1);
}
