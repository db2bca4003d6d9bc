/* Versions and keys as they lie in memory: one allocation each, sized so that a million keys cost
 * little more than their bytes.
 *
 * A version is immutable but for three links that compaction and the next write own: `prev`, a
 * tombstone's successor, and the garbage mark. What most versions do not have (a creation
 * revision other than their own, a lease) is not stored: flags say which words follow. */
#ifndef SYNOD_STORE_VERSION_H
#define SYNOD_STORE_VERSION_H

#include "base/mem.h"
#include "store/kv.h"

struct version;

struct key {
    struct version *newest; /* NULL: gone from the tree, kept only for its dying versions */
    uint32_t size;
    uint8_t bytes[];
};

enum version_flag {
    VERSION_TOMBSTONE = 1, /* a deletion: one word, the successor */
    VERSION_REWRITE = 2,   /* not the first of its key's life: two words, creation and number */
    VERSION_LEASED = 4,    /* one word, the lease */
    VERSION_GARBAGE = 8,   /* compaction will free it when it comes by */
};

struct version {
    struct version *prev; /* the one before of the same key, NULL if there is none any more */
    struct key *key;
    int64_t mod;
    uint32_t sub; /* order within the revision */
    uint32_t flags : 4;
    uint32_t size : 28; /* of the value */
    uint64_t words[];   /* as the flags say; the value follows */
};

_Static_assert(sizeof(struct version) == 32, "the price of a version is counted in doc/store.md");

#define VERSION_VALUE_MAX ((size_t)1 << 28)

struct version_spec {
    int64_t mod;
    uint32_t sub;
    bool tombstone;
    int64_t create; /* == mod: the first of its life */
    int64_t number;
    int64_t lease;
    struct bytes value;
};

struct version *version_new(struct mem *mem, struct key *key, const struct version_spec *spec);
void version_free(struct mem *mem, struct version *version);
size_t version_size(const struct version *version);
static inline bool version_tombstone(const struct version *version)
{
    return (version->flags & VERSION_TOMBSTONE) != 0;
}
int64_t version_create(const struct version *version);
int64_t version_number(const struct version *version);
int64_t version_lease(const struct version *version);
struct bytes version_value(const struct version *version);
struct kv version_kv(const struct version *version);
/* The first version of the key's next life, which a tombstone points to; NULL if none. */
struct version *version_successor(const struct version *tombstone);
void version_set_successor(struct version *tombstone, struct version *successor);
/* The newest version of the key that is not above the revision; NULL or a tombstone: none. */
const struct version *version_at(const struct version *newest, int64_t revision);

struct key *key_new(struct mem *mem, struct bytes bytes);
void key_free(struct mem *mem, struct key *key);
size_t key_size(const struct key *key);
static inline struct bytes key_bytes(const struct key *key)
{
    return bytes_of(key->bytes, key->size);
}

#endif
