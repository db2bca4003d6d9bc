/* The store against the model: random commands, compaction and its slices, snapshots in the middle
 * of it all; and the rules of the etcd API one by one. */
#include "store/support_store.h"
#include "store/walk.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct fixture {
    struct mem mem;
    struct arena arena;
    struct store *store;
    struct model model;
    struct prng prng;
};

static void fixture_init(struct fixture *f, uint64_t seed)
{
    test_mem_init(&f->mem);
    arena_init(&f->arena, &f->mem);
    f->store = store_new(&f->mem);
    model_init(&f->model);
    f->prng = prng_seed(seed);
    if (seed > 0)
        print_message("seed %llu\n", (unsigned long long)seed);
}

static void fixture_release(struct fixture *f)
{
    store_free(f->store);
    arena_release(&f->arena);
    model_release(&f->model);
    assert_int_equal(f->mem.used, 0);
}

static void commit(struct fixture *f, size_t events)
{
    if (f->model.count > events)
        f->model.revision++;
    assert_int_equal(store_commit(f->store), f->model.revision);
}

static int64_t random_lease(struct fixture *f)
{
    if (prng_below(&f->prng, 2) == 0)
        return 0;
    return f->model.leases[prng_below(&f->prng, MODEL_LEASES)];
}

/* A put, and the same for the model; with the ignore flags as they come. */
static void random_put(struct fixture *f)
{
    uint8_t value[80];
    memset(value, (int)prng_below(&f->prng, 256), sizeof value);
    uint32_t key = (uint32_t)prng_below(&f->prng, MODEL_KEYS);
    int64_t open = f->model.revision + 1;
    const struct model_event *before = model_at(&f->model, key, open);
    struct put put = {
        .key = model_key(key),
        .value = bytes_of(value, (size_t)prng_below(&f->prng, sizeof value)),
        .lease = random_lease(f),
        .ignore_value = prng_below(&f->prng, 8) == 0,
        .ignore_lease = prng_below(&f->prng, 8) == 0,
    };
    bool ignores = put.ignore_value || put.ignore_lease;
    enum refusal expected = ignores && before == NULL ? REFUSAL_KEY_NOT_FOUND : REFUSAL_NONE;
    assert_int_equal(store_put_check(f->store, &put), expected);
    if (expected != REFUSAL_NONE)
        return;
    struct kv previous;
    assert_int_equal(store_put(f->store, &put, &previous), before != NULL);
    if (before != NULL)
        assert_bytes_equal(previous.value, before->value);
    model_put(&f->model, key, put.ignore_value ? before->value : put.value,
              put.ignore_lease ? before->lease : put.lease);
}

static void random_delete(struct fixture *f)
{
    struct key_range range = random_range(&f->prng);
    int64_t open = f->model.revision + 1;
    uint32_t doomed[MODEL_KEYS];
    struct bytes values[MODEL_KEYS];
    int64_t count = 0;
    for (uint32_t key = 0; key < MODEL_KEYS; key++) {
        const struct model_event *event = model_at(&f->model, key, open);
        if (event == NULL || !key_range_contains(&range, model_key(key)))
            continue;
        values[count] = event->value;
        doomed[count++] = key;
    }
    struct kv *previous;
    assert_int_equal(store_delete(f->store, &range, &f->arena, &previous), count);
    for (int64_t i = 0; i < count; i++) {
        assert_bytes_equal(previous[i].key, model_key(doomed[i]));
        assert_bytes_equal(previous[i].value, values[i]);
        model_delete(&f->model, doomed[i]);
    }
}

static void random_lease_change(struct fixture *f)
{
    size_t events = f->model.count;
    int64_t *slot = &f->model.leases[prng_below(&f->prng, MODEL_LEASES)];
    store_begin(f->store);
    if (*slot == 0) {
        int64_t id = 1000 + (int64_t)prng_below(&f->prng, 1000000);
        bool exists = model_lease_exists(&f->model, id);
        assert_int_equal(store_lease_grant(f->store, id, 60),
                         exists ? REFUSAL_LEASE_EXISTS : REFUSAL_NONE);
        if (!exists)
            *slot = id;
    } else {
        int64_t open = f->model.revision + 1;
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            const struct model_event *event = model_at(&f->model, key, open);
            if (event != NULL && event->lease == *slot)
                model_delete(&f->model, key);
        }
        assert_int_equal(store_lease_revoke(f->store, *slot), REFUSAL_NONE);
        *slot = 0;
    }
    commit(f, events);
}

static void random_compact(struct fixture *f)
{
    int64_t revision = (int64_t)prng_below(&f->prng, (uint64_t)f->model.revision + 2);
    enum refusal expected = revision <= f->model.compacted ? REFUSAL_COMPACTED
                            : revision > f->model.revision ? REFUSAL_FUTURE_REVISION
                                                           : REFUSAL_NONE;
    assert_int_equal(store_compact(f->store, revision), expected);
    if (expected == REFUSAL_NONE)
        f->model.compacted = revision;
}

static void random_read(struct fixture *f)
{
    struct range_query query = random_query(&f->prng, &f->model);
    struct range_result expected;
    struct range_result actual;
    enum refusal refusal = model_range(&f->model, &query, &expected);
    assert_int_equal(store_range(f->store, &query, &f->arena, &actual), refusal);
    assert_int_equal(actual.count, expected.count);
    assert_int_equal(actual.more, expected.more);
    assert_int_equal(actual.kvs_count, expected.kvs_count);
    for (uint32_t i = 0; i < actual.kvs_count; i++)
        assert_kv_equal(&actual.kvs[i], &expected.kvs[i]);
    free(expected.kvs);
    arena_reset(&f->arena);
}

static void random_step(struct fixture *f)
{
    uint64_t kind = prng_below(&f->prng, 100);
    if (kind < 55) {
        size_t events = f->model.count;
        store_begin(f->store);
        for (uint64_t n = 1 + prng_below(&f->prng, 3); n > 0; n--) {
            if (prng_below(&f->prng, 4) == 0)
                random_delete(f);
            else
                random_put(f);
        }
        commit(f, events);
    } else if (kind < 63) {
        random_lease_change(f);
    } else if (kind < 67) {
        random_compact(f);
    } else if (kind < 80) {
        store_work(f->store, (uint32_t)prng_below(&f->prng, 12));
    } else {
        random_read(f);
    }
}

static void store_agrees_with_the_model_under_random_commands(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 30; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 600; step++)
            random_step(&f);
        assert_store_is_model(f.store, &f.model);
        while (store_work(f.store, 7))
            continue;
        assert_store_is_model(f.store, &f.model);
        fixture_release(&f);
    }
}

static void a_snapshot_taken_while_commands_go_on_is_the_state_of_its_beginning(void **state)
{
    (void)state;
    for (uint64_t seed = 100; seed < 130; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 300; step++)
            random_step(&f);
        struct model then = f.model;
        then.events = malloc(then.count * sizeof *then.events + 1);
        memcpy(then.events, f.model.events, then.count * sizeof *then.events);
        uint64_t digest = store_digest(f.store);
        uint32_t hash;
        assert_int_equal(store_hash(f.store, 0, &hash), REFUSAL_NONE);

        struct buffer buffer;
        buffer_init(&buffer, &f.mem, (size_t)1 << 24);
        struct store_saver *saver = store_save(f.store);
        /* The first step takes little of the history when a pass is to be finished first. */
        bool more = true;
        for (int step = 0; step < 100; step++) {
            random_step(&f);
            if (more && step % 10 == 5)
                more = store_save_next(saver, &buffer);
        }
        while (more)
            more = store_save_next(saver, &buffer);
        store_save_end(saver);

        struct store *copy = store_new(&f.mem);
        struct store_loader *loader = store_load(copy);
        assert_int_equal(store_load_piece(loader, buffer_bytes(&buffer)), STATUS_OK);
        assert_int_equal(store_load_end(loader), STATUS_OK);
        assert_store_is_model(copy, &then);
        assert_int_equal(store_digest(copy), digest);
        uint32_t hash_copy;
        assert_int_equal(store_hash(copy, 0, &hash_copy), REFUSAL_NONE);
        assert_int_equal(hash_copy, hash);
        store_free(copy);
        buffer_release(&buffer);
        free(then.events);
        fixture_release(&f);
    }
}

/* A store that goes on from a snapshot stays equal to the one that never stopped. */
static void a_loaded_store_goes_on_like_the_original(void **state)
{
    (void)state;
    for (uint64_t seed = 200; seed < 220; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 200; step++)
            random_step(&f);
        struct store *original = f.store;
        f.store = store_copy(original, &f.mem, &f.prng);
        store_free(original);
        for (int step = 0; step < 200; step++)
            random_step(&f);
        while (store_work(f.store, 1000))
            continue;
        assert_store_is_model(f.store, &f.model);
        fixture_release(&f);
    }
}

static void the_hash_does_not_depend_on_how_far_squeezing_has_come(void **state)
{
    (void)state;
    for (uint64_t seed = 300; seed < 310; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 400; step++)
            random_step(&f);
        while (store_work(f.store, 100))
            continue;
        int64_t revision = (f.model.compacted + f.model.revision + 1) / 2;
        uint32_t before;
        uint32_t after;
        if (revision > f.model.compacted)
            assert_int_equal(store_compact(f.store, revision), REFUSAL_NONE);
        assert_int_equal(store_hash(f.store, 0, &before), REFUSAL_NONE);
        while (store_work(f.store, 3)) {
            assert_int_equal(store_hash(f.store, 0, &after), REFUSAL_NONE);
            assert_int_equal(before, after);
        }
        assert_int_equal(store_hash(f.store, 0, &after), REFUSAL_NONE);
        assert_int_equal(before, after);
        fixture_release(&f);
    }
}

static int64_t put_text(struct store *store, const char *key, const char *value)
{
    struct put put = {.key = bytes_text(key), .value = bytes_text(value)};
    store_begin(store);
    store_put(store, &put, NULL);
    return store_commit(store);
}

static int64_t delete_text(struct store *store, const char *key)
{
    struct key_range range = {.key = bytes_text(key)};
    store_begin(store);
    store_delete(store, &range, NULL, NULL);
    return store_commit(store);
}

static void the_first_write_makes_revision_two_and_nothing_makes_none(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    assert_int_equal(store_revision(f.store), 1);
    assert_int_equal(delete_text(f.store, "nothing"), 1);
    assert_int_equal(put_text(f.store, "a", "1"), 2);
    assert_int_equal(put_text(f.store, "a", "1"), 3);
    assert_int_equal(delete_text(f.store, "a"), 4);
    assert_int_equal(delete_text(f.store, "a"), 4);
    struct kv kv;
    assert_false(store_get(f.store, bytes_text("a"), &kv));
    assert_int_equal(put_text(f.store, "a", "2"), 5);
    assert_true(store_get(f.store, bytes_text("a"), &kv));
    assert_int_equal(kv.create_revision, 5);
    assert_int_equal(kv.version, 1);
    fixture_release(&f);
}

static void an_open_transaction_sees_its_own_writes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    struct put put = {.key = bytes_text("a"), .value = bytes_text("1")};
    store_begin(f.store);
    assert_int_equal(store_revision(f.store), 1);
    store_put(f.store, &put, NULL);
    assert_int_equal(store_revision(f.store), 2);
    struct range_query query = {.range = {.key = bytes_text("a")}};
    struct range_result result;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_NONE);
    assert_int_equal(result.kvs_count, 1);
    query.revision = 1;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_NONE);
    assert_int_equal(result.kvs_count, 0);
    assert_int_equal(store_commit(f.store), 2);
    fixture_release(&f);
}

static void a_sort_without_an_order_is_of_what_the_limit_left(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    put_text(f.store, "a", "3");
    put_text(f.store, "b", "2");
    put_text(f.store, "c", "1");
    struct range_result result;
    struct range_query query = {
        .range = {bytes_text("a"), bytes_text("z")}, .limit = 1, .target = SORT_VALUE};
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_NONE);
    assert_int_equal(result.kvs_count, 1);
    assert_true(result.more);
    assert_bytes_equal(result.kvs[0].key, bytes_text("b"));
    query.order = SORT_ASCEND;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_NONE);
    assert_bytes_equal(result.kvs[0].key, bytes_text("c"));
    query.order = SORT_NONE;
    query.min_mod_revision = -1; /* any filter has everything read first */
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_NONE);
    assert_bytes_equal(result.kvs[0].key, bytes_text("c"));
    fixture_release(&f);
}

static void bad_queries_are_refused(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    put_text(f.store, "a", "1");
    put_text(f.store, "a", "2");
    put_text(f.store, "a", "3");
    struct range_result result;
    struct range_query query = {0};
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_KEY_EMPTY);
    query.range.key = bytes_text("a");
    query.target = (enum sort_target)5;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_INVALID_SORT);
    query.target = SORT_KEY;
    query.order = (enum sort_order)3;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_INVALID_SORT);
    query.order = SORT_NONE;
    query.revision = 5;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_FUTURE_REVISION);
    assert_int_equal(store_compact(f.store, 3), REFUSAL_NONE);
    query.revision = 2;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_COMPACTED);
    query.revision = 3;
    assert_int_equal(store_range(f.store, &query, &f.arena, &result), REFUSAL_NONE);
    assert_int_equal(store_compact(f.store, 3), REFUSAL_COMPACTED);
    assert_int_equal(store_compact(f.store, 5), REFUSAL_FUTURE_REVISION);
    fixture_release(&f);
}

static void every_change_changes_the_digest(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    uint64_t seen[6] = {store_digest(f.store)};
    put_text(f.store, "a", "x");
    seen[1] = store_digest(f.store);
    delete_text(f.store, "a");
    seen[2] = store_digest(f.store);
    assert_int_equal(store_lease_grant(f.store, 5, 60), REFUSAL_NONE);
    seen[3] = store_digest(f.store);
    assert_int_equal(store_compact(f.store, store_revision(f.store)), REFUSAL_NONE);
    seen[4] = store_digest(f.store);
    store_begin(f.store);
    assert_int_equal(store_lease_revoke(f.store, 5), REFUSAL_NONE);
    store_commit(f.store);
    seen[5] = store_digest(f.store);
    for (size_t i = 1; i < sizeof seen / sizeof seen[0]; i++)
        assert_true(seen[i] != seen[i - 1]);
    fixture_release(&f);
}

/* Found under AddressSanitizer: keys that had left the tree were looked at after they were freed.
 */
static void a_store_can_be_freed_in_the_middle_of_squeezing(void **state)
{
    (void)state;
    for (uint32_t steps = 0; steps < 12; steps++) {
        struct fixture f;
        fixture_init(&f, 0);
        for (int i = 0; i < 5; i++)
            put_text(f.store, "a", "x");
        delete_text(f.store, "a");
        put_text(f.store, "b", "x");
        assert_int_equal(store_compact(f.store, store_revision(f.store)), REFUSAL_NONE);
        for (uint32_t i = 0; i < steps; i++)
            store_work(f.store, 1);
        fixture_release(&f);
    }
}

static void compaction_gives_memory_back(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    put_text(f.store, "hot", "x");
    put_text(f.store, "gone", "x");
    uint64_t size = store_size(f.store);
    for (int i = 0; i < 20000; i++)
        put_text(f.store, "hot", "some value or other");
    delete_text(f.store, "gone");
    put_text(f.store, "last", "x");
    uint64_t full = store_size(f.store);
    assert_true(full > size + 20000 * 50);
    assert_true(store_size_in_use(f.store) < full / 2);
    assert_int_equal(store_compact(f.store, store_revision(f.store)), REFUSAL_NONE);
    while (store_work(f.store, 100))
        continue;
    assert_true(store_size(f.store) < size + 8 * 1024);
    assert_int_equal(store_keys(f.store), 2);
    /* What is left beside the living is bookkeeping. */
    assert_true(store_size(f.store) - store_size_in_use(f.store) < 100);
    fixture_release(&f);
}

/* Compacting behind every write must not leave anything behind, chunk by chunk. */
static void compacting_all_the_time_keeps_the_store_small(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    uint64_t after_first = 0;
    for (int i = 0; i < 30000; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d", i % 100);
        if (i % 3 == 0)
            delete_text(f.store, key);
        put_text(f.store, key, "value");
        if (i % 50 == 0) {
            assert_int_equal(store_compact(f.store, store_revision(f.store)), REFUSAL_NONE);
            while (store_work(f.store, 16))
                continue;
        }
        if (i == 1000)
            after_first = store_size(f.store);
    }
    assert_true(store_size(f.store) < after_first * 3 / 2);
    fixture_release(&f);
}

static void leases_say_what_they_refuse(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    store_begin(f.store);
    assert_int_equal(store_lease_grant(f.store, 7, LEASE_TTL_MAX + 1), REFUSAL_LEASE_TTL_TOO_LARGE);
    assert_int_equal(store_lease_grant(f.store, 7, LEASE_TTL_MAX), REFUSAL_NONE);
    assert_int_equal(store_lease_grant(f.store, 7, 5), REFUSAL_LEASE_EXISTS);
    assert_int_equal(store_lease_grant(f.store, -7, 5), REFUSAL_NONE);
    assert_int_equal(store_lease_revoke(f.store, 8), REFUSAL_LEASE_NOT_FOUND);
    assert_int_equal(store_commit(f.store), 1);
    uint32_t count;
    struct lease_info *infos = store_lease_list(f.store, &f.arena, &count);
    assert_int_equal(count, 2);
    assert_int_equal(infos[0].id, -7);
    assert_int_equal(infos[1].ttl, LEASE_TTL_MAX);
    struct put put = {.key = bytes_text("a"), .lease = 8};
    assert_int_equal(store_put_check(f.store, &put), REFUSAL_LEASE_NOT_FOUND);
    fixture_release(&f);
}

/* Every damaged snapshot is refused or harmless: whatever the loader made must still be a store. */
static void damaged_snapshots_never_crash_the_loader(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 400);
    for (int step = 0; step < 150; step++)
        random_step(&f);
    struct buffer buffer;
    buffer_init(&buffer, &f.mem, (size_t)1 << 24);
    struct store_saver *saver = store_save(f.store);
    while (store_save_next(saver, &buffer))
        continue;
    store_save_end(saver);
    for (int round = 0; round < 3000; round++) {
        uint8_t *damaged = malloc(buffer.size);
        memcpy(damaged, buffer.data, buffer.size);
        size_t size = buffer.size;
        if (round % 4 == 0)
            size = (size_t)prng_below(&f.prng, size);
        else
            damaged[prng_below(&f.prng, size)] ^= (uint8_t)(1 + prng_below(&f.prng, 255));
        struct store *copy = store_new(&f.mem);
        struct store_loader *loader = store_load(copy);
        enum status piece = store_load_piece(loader, bytes_of(damaged, size));
        enum status end = store_load_end(loader);
        assert_true(piece == STATUS_OK || end == STATUS_INVALID);
        if (round % 4 == 0)
            assert_int_equal(end, STATUS_INVALID);
        if (end == STATUS_OK) {
            while (store_work(copy, 50))
                continue;
            uint32_t hash;
            assert_int_equal(store_hash(copy, 0, &hash), REFUSAL_NONE);
        }
        store_free(copy);
        free(damaged);
    }
    buffer_release(&buffer);
    fixture_release(&f);
}

/* --- Walks ----------------------------------------------------------------------------------- */

/* One slice, compared with the next pairs that the range had when the walk began. False: the walk
 * is over, ended by compaction or by itself. */
static bool walk_slice(struct fixture *f, struct range_walk *walk, struct buffer *from,
                       const struct range_result *expected, uint32_t *at)
{
    struct arena arena;
    struct kv *kvs;
    uint32_t count;
    arena_init(&arena, &f->mem);
    uint32_t keys_max = 1 + (uint32_t)prng_below(&f->prng, 6);
    uint64_t bytes_max = 1 + prng_below(&f->prng, 200);
    enum refusal refusal =
        range_walk_next(f->store, walk, &arena, keys_max, bytes_max, &kvs, &count);
    bool compacted = walk->query.revision < f->model.compacted;
    assert_int_equal(refusal, compacted ? REFUSAL_COMPACTED : REFUSAL_NONE);
    assert_true(count <= keys_max && count <= expected->kvs_count - *at);
    for (uint32_t i = 0; i < count; i++)
        assert_kv_equal(&kvs[i], &expected->kvs[(*at)++]);
    buffer_clear(from);
    buffer_append(from, walk->from);
    walk->from = buffer_bytes(from);
    arena_release(&arena);
    return refusal == REFUSAL_NONE && !walk->done;
}

static void random_walk(struct fixture *f)
{
    struct range_query query = random_query(&f->prng, &f->model);
    query.order = (enum sort_order)prng_below(&f->prng, 2);
    query.target = SORT_KEY;
    struct range_result expected;
    struct range_walk walk;
    enum refusal refusal = model_range(&f->model, &query, &expected);
    assert_int_equal(range_walk_begin(f->store, &query, &walk), refusal);
    if (refusal != REFUSAL_NONE)
        return;
    struct buffer from;
    buffer_init(&from, &f->mem, 4096);
    uint32_t at = 0;
    /* The model keeps its values for good, so what was expected stays valid. */
    while (walk_slice(f, &walk, &from, &expected, &at))
        random_step(f);
    if (walk.done) {
        assert_int_equal(at, expected.kvs_count);
        assert_int_equal(walk.count, expected.count);
        assert_int_equal(walk.more, expected.more);
    }
    free(expected.kvs);
    buffer_release(&from);
}

static void a_walk_gives_what_the_range_was_while_commands_go_on(void **state)
{
    (void)state;
    for (uint64_t seed = 300; seed < 330; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 200; step++)
            random_step(&f);
        for (int i = 0; i < 100; i++)
            random_walk(&f);
        fixture_release(&f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(store_agrees_with_the_model_under_random_commands),
        cmocka_unit_test(a_snapshot_taken_while_commands_go_on_is_the_state_of_its_beginning),
        cmocka_unit_test(a_loaded_store_goes_on_like_the_original),
        cmocka_unit_test(the_hash_does_not_depend_on_how_far_squeezing_has_come),
        cmocka_unit_test(the_first_write_makes_revision_two_and_nothing_makes_none),
        cmocka_unit_test(an_open_transaction_sees_its_own_writes),
        cmocka_unit_test(a_sort_without_an_order_is_of_what_the_limit_left),
        cmocka_unit_test(bad_queries_are_refused),
        cmocka_unit_test(every_change_changes_the_digest),
        cmocka_unit_test(a_store_can_be_freed_in_the_middle_of_squeezing),
        cmocka_unit_test(compaction_gives_memory_back),
        cmocka_unit_test(compacting_all_the_time_keeps_the_store_small),
        cmocka_unit_test(leases_say_what_they_refuse),
        cmocka_unit_test(a_walk_gives_what_the_range_was_while_commands_go_on),
        cmocka_unit_test(damaged_snapshots_never_crash_the_loader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
