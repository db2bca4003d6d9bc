/* Watchers against the list of everything that happened: each gets every event that it asked for,
 * in order, whole revisions at a time, once; or is told that compaction overtook it. */
#include "store/support_store.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WATCHERS 40

struct watching {
    struct watcher *watcher;
    struct watch_spec spec;
    int64_t seen; /* everything up to this revision was given, or was not asked for */
    size_t at;    /* events of the model before this one are done with */
    bool ready;
    bool doomed; /* began below a compaction */
    uint32_t woken;
};

struct fixture {
    struct mem mem;
    struct arena arena;
    struct store *store;
    struct model model;
    struct prng prng;
    struct watching watching[WATCHERS];
    uint64_t events;
    uint64_t compacted;
};

static void fixture_init(struct fixture *f, uint64_t seed)
{
    memset(f, 0, sizeof *f);
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
    for (int i = 0; i < WATCHERS; i++) {
        if (f->watching[i].watcher != NULL)
            watch_close(f->store, f->watching[i].watcher);
    }
    assert_int_equal(watch_count(f->store), 0);
    store_free(f->store);
    arena_release(&f->arena);
    model_release(&f->model);
    assert_int_equal(f->mem.used, 0);
}

/* Ready is said once, until a pull has ended idle. */
static void on_ready(void *owner, struct watcher *watcher)
{
    struct watching *w = *(struct watching **)owner;
    assert_ptr_equal(owner, watch_owner(watcher));
    assert_ptr_equal(watch_of_owner(owner, sizeof w), watcher);
    assert_false(w->ready);
    w->ready = true;
    w->woken++;
}

static void open_watch(struct fixture *f, struct watching *w)
{
    struct watching *self = w;
    *w = (struct watching){0};
    w->spec = (struct watch_spec){
        .range = random_range(&f->prng),
        .no_put = prng_below(&f->prng, 6) == 0,
        .no_delete = prng_below(&f->prng, 6) == 0,
        .previous = prng_below(&f->prng, 2) == 0,
        .owner = &self,
        .owner_size = sizeof self,
        .on_ready = on_ready,
    };
    if (prng_below(&f->prng, 2) == 0)
        w->spec.start_revision = 1 + (int64_t)prng_below(&f->prng, (uint64_t)f->model.revision + 5);
    int64_t start = w->spec.start_revision;
    w->seen = start == 0 ? f->model.revision : start - 1;
    w->doomed = start != 0 && start < f->model.compacted;
    w->watcher = watch_open(f->store, &w->spec);
    assert_int_equal(w->ready, start != 0 && start <= f->model.revision);
}

static bool wanted(const struct watching *w, const struct model_event *event)
{
    return event->revision > w->seen && !(event->tombstone ? w->spec.no_delete : w->spec.no_put) &&
           key_range_contains(&w->spec.range, model_key(event->key));
}

/* The version before the event, if it is in force until then. */
static const struct model_event *event_before(const struct model *model, size_t at)
{
    for (size_t i = at; i-- > 0;) {
        if (model->events[i].key == model->events[at].key)
            return model->events[i].tombstone ? NULL : &model->events[i];
    }
    return NULL;
}

static void assert_event(const struct fixture *f, const struct watching *w, size_t at,
                         const struct event *event)
{
    const struct model_event *expected = &f->model.events[at];
    assert_int_equal(event->kind, expected->tombstone ? EVENT_DELETE : EVENT_PUT);
    struct kv kv = {model_key(expected->key), expected->value,  expected->create,
                    expected->revision,       expected->number, expected->lease};
    assert_kv_equal(&event->kv, &kv);
    const struct model_event *before = event_before(&f->model, at);
    /* What is at or above the compaction still has its version before. */
    if (w->spec.previous && before != NULL && expected->revision >= f->model.compacted)
        assert_true(event->has_previous);
    if (!w->spec.previous || before == NULL)
        assert_false(event->has_previous);
    if (event->has_previous) {
        assert_int_equal(event->previous.mod_revision, before->revision);
        assert_bytes_equal(event->previous.value, before->value);
    }
}

/* Checks a batch: exactly the wanted events up to its revision. */
static void take_batch(struct fixture *f, struct watching *w, const struct watch_batch *batch)
{
    uint32_t taken = 0;
    assert_true(batch->revision <= f->model.revision || batch->count == 0);
    for (; w->at < f->model.count; w->at++) {
        const struct model_event *event = &f->model.events[w->at];
        if (event->revision > batch->revision)
            break;
        if (!wanted(w, event))
            continue;
        assert_true(taken < batch->count);
        assert_event(f, w, w->at, &batch->events[taken++]);
    }
    assert_int_equal(taken, batch->count);
    if (batch->revision > w->seen)
        w->seen = batch->revision;
    f->events += taken;
}

static void pull(struct fixture *f, struct watching *w)
{
    struct watch_batch batch;
    uint64_t bytes = 1 + prng_below(&f->prng, 300);
    uint32_t revisions = 1 + (uint32_t)prng_below(&f->prng, 4);
    enum watch_state state = watch_next(f->store, w->watcher, &f->arena, bytes, revisions, &batch);
    if (!w->ready) {
        assert_int_equal(state, WATCH_IDLE);
        assert_int_equal(batch.count, 0);
        return;
    }
    if (w->doomed)
        assert_int_equal(state, WATCH_COMPACTED);
    if (state == WATCH_COMPACTED) {
        assert_true(w->seen + 1 < f->model.compacted);
        assert_int_equal(batch.compacted, f->model.compacted);
        watch_close(f->store, w->watcher);
        w->watcher = NULL;
        f->compacted++;
        return;
    }
    take_batch(f, w, &batch);
    if (state == WATCH_IDLE) {
        w->ready = false;
        assert_int_equal(batch.revision, f->model.revision);
    }
    arena_reset(&f->arena);
}

static void random_write(struct fixture *f)
{
    size_t events = f->model.count;
    store_begin(f->store);
    bool used[MODEL_KEYS] = {false};
    for (uint64_t n = 1 + prng_below(&f->prng, 4); n > 0; n--) {
        uint32_t key = (uint32_t)prng_below(&f->prng, MODEL_KEYS);
        if (used[key])
            continue;
        used[key] = true;
        if (prng_below(&f->prng, 3) == 0) {
            struct key_range range = {.key = model_key(key)};
            if (store_delete(f->store, &range, NULL, NULL) > 0)
                model_delete(&f->model, key);
        } else {
            struct put put = {.key = model_key(key), .value = bytes_text("some value")};
            store_put(f->store, &put, NULL);
            model_put(&f->model, key, put.value, 0);
        }
    }
    if (f->model.count > events)
        f->model.revision++;
    store_commit(f->store);
}

/* An idle watcher has missed nothing; a watcher that missed something is ready. */
static void assert_nobody_sleeps_over_an_event(const struct fixture *f)
{
    for (int i = 0; i < WATCHERS; i++) {
        const struct watching *w = &f->watching[i];
        if (w->watcher == NULL || w->ready)
            continue;
        for (size_t at = w->at; at < f->model.count; at++)
            assert_false(wanted(w, &f->model.events[at]));
        bool begun = w->spec.start_revision <= f->model.revision;
        assert_int_equal(watch_synced(f->store, w->watcher), begun);
    }
}

static void random_step(struct fixture *f)
{
    struct watching *w = &f->watching[prng_below(&f->prng, WATCHERS)];
    uint64_t kind = prng_below(&f->prng, 100);
    if (kind < 35) {
        random_write(f);
    } else if (kind < 85) {
        if (w->watcher != NULL)
            pull(f, w);
        else
            open_watch(f, w);
    } else if (kind < 88) {
        int64_t span = f->model.revision - f->model.compacted;
        int64_t revision = f->model.compacted + 1 + (int64_t)prng_below(&f->prng, 8);
        if (span > 0 && revision <= f->model.revision) {
            assert_int_equal(store_compact(f->store, revision), REFUSAL_NONE);
            f->model.compacted = revision;
        }
    } else if (kind < 97) {
        store_work(f->store, (uint32_t)prng_below(&f->prng, 10));
    } else if (w->watcher != NULL) {
        watch_close(f->store, w->watcher);
        w->watcher = NULL;
    }
}

static void every_watcher_gets_every_event_once_and_in_order(void **state)
{
    (void)state;
    uint64_t events = 0;
    uint64_t compacted = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 1500; step++) {
            random_step(&f);
            if (step % 10 == 0)
                assert_nobody_sleeps_over_an_event(&f);
        }
        events += f.events;
        compacted += f.compacted;
        fixture_release(&f);
    }
    /* The test must have had something to test. */
    assert_true(events > 10000);
    assert_true(compacted > 100);
}

static void adopted_watchers_go_on_from_their_place(void **state)
{
    (void)state;
    for (uint64_t seed = 50; seed < 70; seed++) {
        struct fixture f;
        fixture_init(&f, seed);
        for (int step = 0; step < 300; step++)
            random_step(&f);
        /* The other store is ahead: it grew from a copy while the watchers stayed behind. */
        struct store *old = f.store;
        f.store = store_copy(old, &f.mem, &f.prng);
        for (int i = 0; i < 20; i++)
            random_write(&f);
        uint64_t count = watch_count(old);
        store_adopt_watchers(f.store, old);
        assert_int_equal(watch_count(old), 0);
        assert_int_equal(watch_count(f.store), count);
        store_free(old);
        for (int step = 0; step < 300; step++) {
            random_step(&f);
            assert_nobody_sleeps_over_an_event(&f);
        }
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

static void a_watch_at_the_compacted_revision_still_sees_its_delete(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    put_text(f.store, "a", "1");
    struct key_range range = {.key = bytes_text("a")};
    store_begin(f.store);
    store_delete(f.store, &range, NULL, NULL);
    assert_int_equal(store_commit(f.store), 3);
    put_text(f.store, "b", "1");
    assert_int_equal(store_compact(f.store, 3), REFUSAL_NONE);
    while (store_work(f.store, 100))
        continue;
    struct watching w = {0};
    struct watching *self = &w;
    struct watch_spec spec = {
        .range = range,
        .start_revision = 3,
        .previous = true,
        .owner = &self,
        .owner_size = sizeof self,
        .on_ready = on_ready,
    };
    struct watcher *watcher = watch_open(f.store, &spec);
    struct watch_batch batch;
    assert_int_equal(watch_next(f.store, watcher, &f.arena, 1000, 10, &batch), WATCH_EVENTS);
    assert_int_equal(batch.count, 1);
    assert_int_equal(batch.events[0].kind, EVENT_DELETE);
    assert_int_equal(batch.events[0].kv.mod_revision, 3);
    assert_true(batch.events[0].has_previous);
    watch_close(f.store, watcher);
    w.ready = false;
    spec.start_revision = 2;
    watcher = watch_open(f.store, &spec);
    assert_int_equal(watch_next(f.store, watcher, &f.arena, 1000, 10, &batch), WATCH_COMPACTED);
    assert_int_equal(batch.compacted, 3);
    watch_close(f.store, watcher);
    fixture_release(&f);
}

static void a_long_history_without_a_match_is_passed_in_slices(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    for (int i = 0; i < 10000; i++)
        put_text(f.store, "noise", "x");
    int64_t last = put_text(f.store, "signal", "x");
    struct watching w = {0};
    struct watching *self = &w;
    struct watch_spec spec = {.range = {.key = bytes_text("signal")},
                              .start_revision = 2,
                              .owner = &self,
                              .owner_size = sizeof self,
                              .on_ready = on_ready};
    struct watcher *watcher = watch_open(f.store, &spec);
    struct watch_batch batch;
    assert_int_equal(watch_next(f.store, watcher, &f.arena, 1000, 10, &batch), WATCH_AGAIN);
    assert_true(batch.revision > 2 && batch.revision < last);
    enum watch_state result = WATCH_AGAIN;
    for (int i = 0; i < 4 && result == WATCH_AGAIN; i++)
        result = watch_next(f.store, watcher, &f.arena, 1000, 10, &batch);
    assert_int_equal(result, WATCH_EVENTS);
    assert_int_equal(batch.events[0].kv.mod_revision, last);
    assert_int_equal(watch_next(f.store, watcher, &f.arena, 1000, 10, &batch), WATCH_IDLE);
    assert_true(watch_synced(f.store, watcher));
    watch_close(f.store, watcher);
    fixture_release(&f);
}

#define MANY 20000

static void only_watchers_of_the_changed_key_are_woken_among_many(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f, 0);
    struct watching *watching = calloc(2 * MANY, sizeof *watching);
    size_t before = f.mem.used;
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        char key[32];
        char end[32];
        snprintf(key, sizeof key, "/watched/%08u", i / 2);
        snprintf(end, sizeof end, "/watched/%08u", i / 2 + 2);
        struct watching *self = &watching[i];
        struct watch_spec spec = {.range = {.key = bytes_text(key)},
                                  .owner = &self,
                                  .owner_size = sizeof self,
                                  .on_ready = on_ready};
        if (i % 2 == 1)
            spec.range.end = bytes_text(end);
        watching[i].watcher = watch_open(f.store, &spec);
    }
    assert_true((f.mem.used - before) / (2 * MANY) < 110);
    for (uint32_t i = 0; i < MANY; i += 100) {
        char key[32];
        snprintf(key, sizeof key, "/watched/%08u", i);
        put_text(f.store, key, "x");
    }
    for (uint32_t i = 0; i < 2 * MANY; i++) {
        uint32_t place = i / 2 % 100;
        bool range = i % 2 == 1;
        bool touched = place == 0 || (range && place == 99 && i / 2 < MANY - 1);
        assert_int_equal(watching[i].woken, touched);
        watch_close(f.store, watching[i].watcher);
    }
    free(watching);
    fixture_release(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_watcher_gets_every_event_once_and_in_order),
        cmocka_unit_test(adopted_watchers_go_on_from_their_place),
        cmocka_unit_test(a_watch_at_the_compacted_revision_still_sees_its_delete),
        cmocka_unit_test(a_long_history_without_a_match_is_passed_in_slices),
        cmocka_unit_test(only_watchers_of_the_changed_key_are_woken_among_many),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
