/* What the files of the store share: the store itself and its leases. */
#ifndef SYNOD_STORE_STORE_INTERNAL_H
#define SYNOD_STORE_STORE_INTERNAL_H

#include "base/list.h"
#include "base/map.h"
#include "store/history.h"
#include "store/store.h"
#include "store/tree.h"
#include "store/watch_index.h"

struct lease {
    struct lease_info info;
    struct list link;
    struct tree keys; /* attached, in key order */
};

/* Compaction's second half: giving memory back. It works on what is older than `target`, from its
 * end to the front, so that of each key it meets first the version that stays. */
struct squeeze {
    bool active;
    int64_t floor;  /* everything older than this has been squeezed before */
    int64_t target; /* a revision that was compacted */
    int64_t mod;    /* work goes on before this place */
    uint32_t sub;
};

struct store {
    struct mem mem; /* counts what the store takes; asks `parent` */
    struct mem *parent;
    struct tree keys;
    struct history history;
    int64_t revision;
    int64_t compacted;
    uint64_t digest;
    uint64_t garbage; /* bytes that compaction could free */
    bool open;        /* between begin and commit */
    uint32_t sub;     /* changes in the open revision */
    struct map leases;
    struct list leases_list;
    uint64_t leases_granted;
    struct lease_events lease_events;
    struct squeeze squeeze;
    uint32_t savers;
    struct watch_index watches;
};

/* The revision that an open transaction is making. */
static inline int64_t store_revision_open(const struct store *store)
{
    return store->revision + 1;
}

/* Appends a version of the key and makes it the newest; links, lives and garbage follow. The key is
 * in the tree at the path. */
void store_append(struct store *store, struct key *key, const struct tree_path *path,
                  struct version *version);
/* Deletes a living key. Leaves its lease alone if `keep_lease`: that one is going anyway. */
void store_delete_key(struct store *store, struct key *key, bool keep_lease);
/* Bytes of a version that compaction may free, its place in the history included. */
uint64_t version_cost(const struct version *version);
uint64_t key_cost(const struct key *key);

/* Keys that live in the range now. */
uint64_t store_count(const struct store *store, const struct key_range *range);

struct lease *lease_find(const struct store *store, int64_t id);
void lease_attach(struct store *store, int64_t id, struct key *key);
void lease_detach(struct store *store, int64_t id, struct key *key);
/* Adds a lease without a word to the digest; the loader's way. */
struct lease *lease_add(struct store *store, const struct lease_info *info);
void lease_free_all(struct store *store);

/* One slice of squeezing. True while the pass goes on. */
bool squeeze_slice(struct store *store, uint32_t budget);

#endif
