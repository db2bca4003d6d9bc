/* The model: every question is answered by looking at every event. */
#include "store/support_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *test_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

void test_mem_init(struct mem *mem)
{
    *mem = (struct mem){.resize = test_resize};
}

void model_init(struct model *model)
{
    *model = (struct model){.revision = 1};
}

void model_release(struct model *model)
{
    for (size_t i = 0; i < model->count; i++)
        free((void *)(uintptr_t)model->events[i].value.data);
    free(model->events);
}

static int compare_keys(const void *a, const void *b)
{
    return bytes_compare(*(const struct bytes *)a, *(const struct bytes *)b);
}

struct bytes model_key(uint32_t index)
{
    static struct bytes keys[MODEL_KEYS];
    static uint8_t storage[MODEL_KEYS][40];
    if (keys[0].size == 0) {
        for (uint32_t i = 0; i < MODEL_KEYS; i++) {
            /* A third share a long prefix, a third are runs of one byte, a third end in zeros. */
            int size = 0;
            if (i % 3 == 0)
                size = snprintf((char *)storage[i], 40, "/registry/pods/default/%c", 'a' + (int)i);
            else if (i % 3 == 1)
                memset(storage[i], 'k', (size_t)(size = 1 + (int)i / 3));
            else
                size = snprintf((char *)storage[i], 40, "z") + (int)i / 3;
            keys[i] = bytes_of(storage[i], (size_t)size);
        }
        qsort(keys, MODEL_KEYS, sizeof keys[0], compare_keys);
    }
    return keys[index];
}

const struct model_event *model_last(const struct model *model, uint32_t key, int64_t revision)
{
    const struct model_event *last = NULL;
    for (size_t i = 0; i < model->count; i++) {
        if (model->events[i].key == key && model->events[i].revision <= revision)
            last = &model->events[i];
    }
    return last;
}

const struct model_event *model_at(const struct model *model, uint32_t key, int64_t revision)
{
    const struct model_event *last = model_last(model, key, revision);
    return last == NULL || last->tombstone ? NULL : last;
}

static void model_add(struct model *model, struct model_event event)
{
    if (model->count == model->capacity) {
        model->capacity = model->capacity == 0 ? 64 : model->capacity * 2;
        model->events = realloc(model->events, model->capacity * sizeof *model->events);
    }
    uint8_t *copy = malloc(event.value.size + 1);
    if (event.value.size > 0)
        memcpy(copy, event.value.data, event.value.size);
    event.value.data = copy;
    model->events[model->count++] = event;
}

void model_put(struct model *model, uint32_t key, struct bytes value, int64_t lease)
{
    int64_t revision = model->revision + 1;
    const struct model_event *before = model_at(model, key, revision);
    model_add(model, (struct model_event){
                         .revision = revision,
                         .key = key,
                         .create = before == NULL ? revision : before->create,
                         .number = before == NULL ? 1 : before->number + 1,
                         .lease = lease,
                         .value = value,
                     });
}

void model_delete(struct model *model, uint32_t key)
{
    model_add(model,
              (struct model_event){.revision = model->revision + 1, .key = key, .tombstone = true});
}

bool model_lease_exists(const struct model *model, int64_t id)
{
    for (int i = 0; i < MODEL_LEASES; i++) {
        if (model->leases[i] == id)
            return id != 0;
    }
    return false;
}

static bool bound_holds(int64_t number, int64_t min, int64_t max)
{
    return (min == 0 || number >= min) && (max == 0 || number <= max);
}

static int64_t sort_number(const struct kv *kv, enum sort_target target)
{
    return target == SORT_VERSION  ? kv->version
           : target == SORT_CREATE ? kv->create_revision
                                   : kv->mod_revision;
}

static int sort_order(const struct kv *a, const struct kv *b, enum sort_target target)
{
    if (target == SORT_KEY)
        return bytes_compare(a->key, b->key);
    if (target == SORT_VALUE)
        return bytes_compare(a->value, b->value);
    int64_t x = sort_number(a, target);
    int64_t y = sort_number(b, target);
    return x < y ? -1 : x > y;
}

/* Insertion sort: stable and obvious. */
static void sort_kvs(struct kv *kvs, uint32_t count, const struct range_query *query)
{
    for (uint32_t i = 1; i < count; i++) {
        for (uint32_t j = i; j > 0; j--) {
            int order = sort_order(&kvs[j - 1], &kvs[j], query->target);
            if (query->order == SORT_DESCEND ? order >= 0 : order <= 0)
                break;
            struct kv swap = kvs[j];
            kvs[j] = kvs[j - 1];
            kvs[j - 1] = swap;
        }
    }
}

enum refusal model_range(const struct model *model, const struct range_query *query,
                         struct range_result *ret_result)
{
    *ret_result = (struct range_result){0};
    if (query->range.key.size == 0)
        return REFUSAL_KEY_EMPTY;
    if (query->revision > model->revision)
        return REFUSAL_FUTURE_REVISION;
    if (query->revision > 0 && query->revision < model->compacted)
        return REFUSAL_COMPACTED;
    int64_t revision = query->revision > 0 ? query->revision : model->revision;
    struct kv *kvs = malloc(MODEL_KEYS * sizeof *kvs);
    uint32_t count = 0;
    for (uint32_t i = 0; i < MODEL_KEYS; i++) {
        const struct model_event *event = model_at(model, i, revision);
        if (event == NULL || !key_range_contains(&query->range, model_key(i)))
            continue;
        ret_result->count++;
        if (!bound_holds(event->revision, query->min_mod_revision, query->max_mod_revision) ||
            !bound_holds(event->create, query->min_create_revision, query->max_create_revision))
            continue;
        kvs[count++] = (struct kv){model_key(i),    event->value,  event->create,
                                   event->revision, event->number, event->lease};
    }
    bool unfiltered = query->min_mod_revision == 0 && query->max_mod_revision == 0 &&
                      query->min_create_revision == 0 && query->max_create_revision == 0;
    if (query->order == SORT_NONE && unfiltered && query->limit > 0 && count > query->limit)
        count = (uint32_t)query->limit + 1;
    if (query->order != SORT_NONE || query->target != SORT_KEY)
        sort_kvs(kvs, count, query);
    if (query->limit > 0 && count > query->limit) {
        count = (uint32_t)query->limit;
        ret_result->more = !query->count_only;
    }
    for (uint32_t i = 0; i < count && query->keys_only; i++)
        kvs[i].value = BYTES_EMPTY;
    ret_result->kvs = kvs;
    ret_result->kvs_count = query->count_only ? 0 : count;
    return REFUSAL_NONE;
}

void assert_bytes_equal(struct bytes a, struct bytes b)
{
    assert_int_equal(a.size, b.size);
    assert_true(bytes_equal(a, b));
}

void assert_kv_equal(const struct kv *a, const struct kv *b)
{
    assert_bytes_equal(a->key, b->key);
    assert_bytes_equal(a->value, b->value);
    assert_int_equal(a->create_revision, b->create_revision);
    assert_int_equal(a->mod_revision, b->mod_revision);
    assert_int_equal(a->version, b->version);
    assert_int_equal(a->lease, b->lease);
}

struct key_range random_range(struct prng *prng)
{
    struct key_range range = {.key = model_key((uint32_t)prng_below(prng, MODEL_KEYS))};
    uint64_t kind = prng_below(prng, 8);
    if (kind < 3)
        range.end = model_key((uint32_t)prng_below(prng, MODEL_KEYS));
    else if (kind == 3)
        range.end = bytes_of("\0", 1);
    else if (kind == 4)
        range = (struct key_range){bytes_of("\0", 1), bytes_of("\0", 1)};
    return range;
}

struct range_query random_query(struct prng *prng, const struct model *model)
{
    struct range_query query = {.range = random_range(prng)};
    uint64_t revisions = (uint64_t)model->revision + 3;
    if (prng_below(prng, 2) == 0)
        query.revision = (int64_t)prng_below(prng, revisions);
    if (prng_below(prng, 2) == 0)
        query.limit = (int64_t)prng_below(prng, 6);
    if (prng_below(prng, 2) == 0) {
        query.order = (enum sort_order)prng_below(prng, 3);
        query.target = (enum sort_target)prng_below(prng, 5);
    }
    query.keys_only = prng_below(prng, 4) == 0;
    query.count_only = prng_below(prng, 6) == 0;
    if (prng_below(prng, 4) == 0)
        query.min_mod_revision = (int64_t)prng_below(prng, revisions);
    if (prng_below(prng, 4) == 0)
        query.max_mod_revision = (int64_t)prng_below(prng, revisions);
    if (prng_below(prng, 6) == 0)
        query.min_create_revision = (int64_t)prng_below(prng, revisions);
    if (prng_below(prng, 6) == 0)
        query.max_create_revision = (int64_t)prng_below(prng, revisions);
    return query;
}

static void assert_leases_are_model(const struct store *store, const struct model *model,
                                    struct arena *arena)
{
    uint64_t granted = 0;
    for (int i = 0; i < MODEL_LEASES; i++) {
        int64_t id = model->leases[i];
        if (id == 0)
            continue;
        granted++;
        struct lease_info info;
        assert_true(store_lease_get(store, id, &info));
        uint32_t count;
        struct bytes *keys = store_lease_keys(store, id, arena, &count);
        uint32_t at = 0;
        for (uint32_t key = 0; key < MODEL_KEYS; key++) {
            const struct model_event *event = model_at(model, key, model->revision);
            if (event == NULL || event->lease != id)
                continue;
            assert_true(at < count);
            assert_bytes_equal(keys[at++], model_key(key));
        }
        assert_int_equal(at, count);
    }
    assert_int_equal(store_leases(store), granted);
}

void assert_store_is_model(const struct store *store, const struct model *model)
{
    struct mem mem;
    struct arena arena;
    test_mem_init(&mem);
    arena_init(&arena, &mem);
    assert_int_equal(store_revision(store), model->revision);
    assert_int_equal(store_compacted(store), model->compacted);
    int64_t first = model->compacted > 0 ? model->compacted : 1;
    for (int64_t revision = first; revision <= model->revision; revision++) {
        struct range_query query = {.range = {bytes_of("\0", 1), bytes_of("\0", 1)},
                                    .revision = revision};
        struct range_result expected;
        struct range_result actual;
        assert_int_equal(model_range(model, &query, &expected), REFUSAL_NONE);
        assert_int_equal(store_range(store, &query, &arena, &actual), REFUSAL_NONE);
        assert_int_equal(actual.count, expected.count);
        assert_int_equal(actual.kvs_count, expected.kvs_count);
        for (uint32_t i = 0; i < actual.kvs_count; i++)
            assert_kv_equal(&actual.kvs[i], &expected.kvs[i]);
        free(expected.kvs);
        arena_reset(&arena);
    }
    assert_leases_are_model(store, model, &arena);
    arena_release(&arena);
}

struct store *store_copy(struct store *store, struct mem *mem, struct prng *prng)
{
    struct buffer buffer;
    buffer_init(&buffer, mem, (size_t)1 << 30);
    struct store_saver *saver = store_save(store);
    while (store_save_next(saver, &buffer))
        continue;
    store_save_end(saver);
    struct store *copy = store_new(mem);
    struct store_loader *loader = store_load(copy);
    size_t at = 0;
    while (at < buffer.size) {
        size_t size = 1 + (size_t)prng_below(prng, 200);
        if (size > buffer.size - at)
            size = buffer.size - at;
        assert_int_equal(store_load_piece(loader, bytes_of(buffer.data + at, size)), STATUS_OK);
        at += size;
    }
    assert_int_equal(store_load_end(loader), STATUS_OK);
    buffer_release(&buffer);
    return copy;
}
