/* What the tests of the store share: memory that is counted, and a model of the store that is too
 * simple to be wrong: a plain list of everything that ever happened. */
#ifndef SYNOD_TEST_SUPPORT_STORE_H
#define SYNOD_TEST_SUPPORT_STORE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "store/store.h"
#include "store/watch.h"

/* An allocator over malloc. Ensure that `used` is 0 at the end. */
void test_mem_init(struct mem *mem);

#define MODEL_KEYS 48
#define MODEL_LEASES 6

struct model_event {
    int64_t revision;
    uint32_t key;
    bool tombstone;
    int64_t create;
    int64_t number;
    int64_t lease;
    struct bytes value;
};

struct model {
    struct model_event *events;
    size_t count;
    size_t capacity;
    int64_t revision;
    int64_t compacted;
    int64_t leases[MODEL_LEASES]; /* id, 0: not granted */
};

void model_init(struct model *model);
void model_release(struct model *model);
/* The universe: keys in order, some of them prefixes of others, some with zero bytes. */
struct bytes model_key(uint32_t index);
/* The event that is in force for the key at the revision; NULL if it never was or is deleted. */
const struct model_event *model_at(const struct model *model, uint32_t key, int64_t revision);
/* The same, but deletions are returned as well. */
const struct model_event *model_last(const struct model *model, uint32_t key, int64_t revision);
/* Records a change at model->revision + 1; the caller raises the revision. */
void model_put(struct model *model, uint32_t key, struct bytes value, int64_t lease);
void model_delete(struct model *model, uint32_t key);
bool model_lease_exists(const struct model *model, int64_t id);
/* What a range must give, worked out the slow way; kvs are malloc'ed. */
enum refusal model_range(const struct model *model, const struct range_query *query,
                         struct range_result *ret_result);

void assert_bytes_equal(struct bytes a, struct bytes b);
void assert_kv_equal(const struct kv *a, const struct kv *b);
/* A random range over the universe: one key, an interval, an empty one, or endless. */
struct key_range random_range(struct prng *prng);
struct range_query random_query(struct prng *prng, const struct model *model);
/* Compares everything that can be read of the store with the model. */
void assert_store_is_model(const struct store *store, const struct model *model);
/* A store from the snapshot of another, in pieces of random sizes. */
struct store *store_copy(struct store *store, struct mem *mem, struct prng *prng);

#endif
