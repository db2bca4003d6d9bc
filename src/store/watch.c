/* Watchers: opened, woken by commits, and pulled along the history by their owners.
 *
 * A watcher is idle (it has been given everything, and commits look at it) or ready (something
 * waits for it behind `next`, and commits pass it by). Nothing is ever queued for it. */
#include "store/watch.h"

#include "base/panic.h"
#include "base/planted.h"
#include "store/store_internal.h"

#include <string.h>

/* Versions that one pull passes without a match before it lets others go first. */
#define WATCH_SLICE 4096u

#define OWNER_ALIGN ((size_t)16)

static size_t owner_room(size_t size)
{
    return (size + OWNER_ALIGN - 1) & ~(OWNER_ALIGN - 1);
}

struct watcher *watch_open(struct store *store, const struct watch_spec *spec)
{
    struct bytes key = spec->range.key;
    struct bytes end = spec->range.end;
    ensure(spec->owner_size <= WATCH_OWNER_MAX);
    struct watcher fresh = {
        .next = spec->start_revision,
        .key_size = (uint32_t)key.size,
        .end_size = (uint32_t)end.size,
        .owner_size = (uint16_t)owner_room(spec->owner_size),
        .no_put = spec->no_put,
        .no_delete = spec->no_delete,
        .previous = spec->previous,
        .late = spec->start_revision != 0 && spec->start_revision < store->compacted,
    };
    uint8_t *block = mem_alloc(store->watches.mem, watcher_size(&fresh));
    struct watcher *watcher = (struct watcher *)(void *)(block + fresh.owner_size);
    if (spec->owner_size > 0)
        memcpy(block, spec->owner, spec->owner_size);
    /* Of one key's watcher the union's other part, and so the end of the struct, is not there. */
    memcpy(watcher, &fresh, offsetof(struct watcher, bucket));
    uint8_t *bytes = watcher_bytes(watcher);
    if (key.size > 0)
        memcpy(bytes, key.data, key.size);
    if (end.size > 0)
        memcpy(bytes + key.size, end.data, end.size);
    ensure(store->watches.on_ready == NULL || store->watches.on_ready == spec->on_ready);
    store->watches.on_ready = spec->on_ready;
    watch_index_add(&store->watches, watcher);
    if (planted(STORE_WATCH_FUTURE_IS_NOW) && watcher->next > store->revision)
        watcher->next = 0;
    if (watcher->next != 0 && watcher->next <= store->revision)
        watcher_make_ready(&store->watches, watcher);
    return watcher;
}

void watch_close(struct store *store, struct watcher *watcher)
{
    watch_index_remove(&store->watches, watcher);
    mem_free(store->watches.mem, watcher_block(watcher), watcher_size(watcher));
}

void *watch_owner(struct watcher *watcher)
{
    return watcher_block(watcher);
}

struct watcher *watch_of_owner(void *owner, size_t owner_size)
{
    return (struct watcher *)(void *)((uint8_t *)owner + owner_room(owner_size));
}

/* An idle watcher has been given everything so far: its place in the other store is behind that. */
static void watch_adopt(struct store *to, struct store *from, struct watcher *watcher)
{
    watch_index_remove(&from->watches, watcher);
    if (!watcher->ready && watcher->next <= from->revision)
        watcher->next = (planted(STORE_WATCH_ADOPT_SKIPS) ? to : from)->revision + 1;
    watch_index_add(&to->watches, watcher);
    if (!watcher->ready && watcher->next <= to->revision)
        watcher_make_ready(&to->watches, watcher);
}

void store_adopt_watchers(struct store *to, struct store *from)
{
    ensure(to != from && to->watches.mem == from->watches.mem);
    struct watcher *watcher;
    to->watches.on_ready = from->watches.on_ready;
    while ((watcher = watch_index_any(&from->watches)) != NULL)
        watch_adopt(to, from, watcher);
}

bool watch_synced(const struct store *store, const struct watcher *watcher)
{
    return !watcher->ready && watcher->next <= store->revision;
}

uint64_t watch_count(const struct store *store)
{
    return store->watches.singles + store->watches.ranges;
}

/* Is what comes next gone? Memory decides, not the compaction alone: who was already reading gets
 * what is still there. */
static bool watch_overtaken(const struct store *store, const struct watcher *watcher)
{
    const struct squeeze *squeeze = &store->squeeze;
    int64_t gone = squeeze->active ? squeeze->target : squeeze->floor;
    return (watcher->late || watcher->next < gone) && !planted(STORE_WATCH_NOT_OVERTAKEN);
}

static struct event watch_event(const struct watcher *watcher, const struct version *v)
{
    struct event event = {
        .kind = version_tombstone(v) ? EVENT_DELETE : EVENT_PUT,
        .kv = version_kv(v),
    };
    const struct version *before = v->prev;
    if (planted(STORE_WATCH_PREVIOUS_WRONG) && before != NULL && before->prev != NULL)
        before = before->prev;
    if (watcher->previous && before != NULL && !version_tombstone(before)) {
        event.has_previous = true;
        event.previous = version_kv(before);
    }
    return event;
}

/* The events of one pull, as they are found. */
struct watch_pull {
    struct watcher *watcher;
    struct arena *arena;
    struct event *events;
    uint32_t count;
    uint32_t capacity;
    uint64_t bytes;
    uint32_t revisions; /* with events */
    uint32_t passed;
};

static void pull_add(struct watch_pull *pull, const struct version *v)
{
    if (pull->count == pull->capacity) {
        uint32_t capacity = pull->capacity == 0 ? 4 : pull->capacity * 2;
        struct event *events = arena_alloc(pull->arena, capacity * sizeof *events);
        if (pull->count > 0)
            memcpy(events, pull->events, pull->count * sizeof *events);
        pull->events = events;
        pull->capacity = capacity;
    }
    struct event *event = &pull->events[pull->count++];
    *event = watch_event(pull->watcher, v);
    pull->bytes += event->kv.key.size + event->kv.value.size;
    if (event->has_previous)
        pull->bytes += event->previous.key.size + event->previous.value.size;
}

/* Takes the whole revision that begins at the place. */
static void pull_revision(struct watch_pull *pull, const struct history *history,
                          struct history_place *place, int64_t revision)
{
    struct key_range range = watcher_range(pull->watcher);
    uint32_t count = pull->count;
    for (;;) {
        struct history_place at = *place;
        struct version *v = history_next(history, &at);
        if (v == NULL || v->mod != revision)
            break;
        if (planted(STORE_WATCH_SPLITS) && pull->passed > 0 && pull->count > count)
            break;
        *place = at;
        pull->passed++;
        if (watcher_wants(pull->watcher, v) && key_range_contains(&range, key_bytes(v->key)))
            pull_add(pull, v);
    }
    pull->revisions += pull->count > count;
}

enum watch_state watch_next(const struct store *store, struct watcher *watcher, struct arena *arena,
                            uint64_t bytes_max, uint32_t revisions_max,
                            struct watch_batch *ret_batch)
{
    *ret_batch = (struct watch_batch){.revision = store->revision};
    if (!watcher->ready)
        return WATCH_IDLE;
    if (watch_overtaken(store, watcher)) {
        *ret_batch = (struct watch_batch){.compacted = store->compacted};
        return WATCH_COMPACTED;
    }
    struct watch_pull pull = {.watcher = watcher, .arena = arena};
    struct history_place place = history_seek(&store->history, watcher->next, 0);
    for (;;) {
        struct history_place at = place;
        const struct version *v = history_next(&store->history, &at);
        if (v == NULL || v->mod > store->revision) {
            watcher->next = store->revision + (planted(STORE_WATCH_REPEATS) ? 0 : 1);
            break;
        }
        bool full = pull.bytes >= bytes_max || pull.revisions >= revisions_max;
        if ((pull.count > 0 && full) || pull.passed >= WATCH_SLICE) {
            watcher->next = v->mod;
            break;
        }
        pull_revision(&pull, &store->history, &place, v->mod);
    }
    ret_batch->events = pull.events;
    ret_batch->count = pull.count;
    ret_batch->revision = watcher->next - 1;
    if (pull.count > 0)
        return WATCH_EVENTS;
    if (watcher->next <= store->revision)
        return WATCH_AGAIN;
    watcher->ready = false;
    watcher->next = 0;
    return WATCH_IDLE;
}
