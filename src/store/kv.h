/* The store's values: keys with their versions, ranges over them, events. Plain structs that borrow
 * their bytes from the store; they are valid until the next command is applied. */
#ifndef SYNOD_STORE_KV_H
#define SYNOD_STORE_KV_H

#include "base/bytes.h"
#include "store/refusal.h"

#include <stdbool.h>
#include <stdint.h>

/* One version of a key. A deletion in an event has only key and mod_revision. */
struct kv {
    struct bytes key;
    struct bytes value;
    int64_t create_revision;
    int64_t mod_revision;
    int64_t version;
    int64_t lease; /* 0: none */
};

/* Which keys: as etcd says it. end empty: exactly `key`. end = "\0": every key >= key. Otherwise
 * [key, end); an end that is not behind the key is an empty range, not an error. */
struct key_range {
    struct bytes key;
    struct bytes end;
};

bool key_range_single(const struct key_range *range);
bool key_range_contains(const struct key_range *range, struct bytes key);
bool key_range_overlap(const struct key_range *a, const struct key_range *b);

enum sort_order {
    SORT_NONE,
    SORT_ASCEND,
    SORT_DESCEND,
};

enum sort_target {
    SORT_KEY,
    SORT_VERSION,
    SORT_CREATE,
    SORT_MOD,
    SORT_VALUE,
};

struct range_query {
    struct key_range range;
    int64_t revision; /* <= 0: the current one */
    int64_t limit;    /* <= 0: none */
    enum sort_order order;
    enum sort_target target;
    bool keys_only;
    bool count_only;
    bool serializable; /* may be answered without asking the other members; used by fronts only */
    int64_t min_mod_revision; /* 0: no bound; bounds are inclusive */
    int64_t max_mod_revision;
    int64_t min_create_revision;
    int64_t max_create_revision;
};

struct range_result {
    struct kv *kvs; /* in the arena of the caller */
    uint32_t kvs_count;
    bool more;
    int64_t count; /* keys in the range at that revision, ignoring limit and bounds */
};

enum event_kind {
    EVENT_PUT,
    EVENT_DELETE,
};

struct event {
    enum event_kind kind;
    bool has_previous; /* asked for, and there was one that is not compacted */
    struct kv kv;
    struct kv previous;
};

#endif
