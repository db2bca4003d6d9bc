/* Watches: a watcher is a range and a place in the history; nothing is queued for it. When
 * something that it covers is committed it becomes ready, once; its owner then pulls batches along
 * the history, at its own pace, until it is idle again. A slow reader costs nothing but its place,
 * and gets every event in order or is told that compaction overtook it.
 *
 * Millions of them may wait, so a watcher is one small block of memory, which holds what its owner
 * knows of it as well. */
#ifndef SYNOD_STORE_WATCH_H
#define SYNOD_STORE_WATCH_H

#include "base/arena.h"
#include "store/kv.h"

struct store;
struct watcher;

struct watch_spec {
    struct key_range range;
    int64_t start_revision; /* first revision of interest; 0: from now on. May be in the future */
    bool no_put;
    bool no_delete;
    bool previous;     /* fill event.previous */
    const void *owner; /* `owner_size` bytes (at most WATCH_OWNER_MAX), which are copied */
    size_t owner_size;
    /* Called from store_commit (or from inside watch_open) when an idle watcher has something to
     * read; `owner` is the copy. May not call back into the store: note it, and pull later. It is
     * the same function for all watchers of a store. */
    void (*on_ready)(void *owner, struct watcher *watcher);
};

#define WATCH_OWNER_MAX ((size_t)1024)

/* Copies the spec. Never fails; the caller has checked that the range is not empty. */
struct watcher *watch_open(struct store *store, const struct watch_spec *spec);
/* `store` is the one that it was opened in, or that has adopted it; here and below. */
void watch_close(struct store *store, struct watcher *watcher);
/* The owner's copy, aligned to 16 bytes, for as long as the watcher lives; and back. */
void *watch_owner(struct watcher *watcher);
struct watcher *watch_of_owner(void *owner, size_t owner_size);

enum watch_state {
    WATCH_IDLE,      /* all caught up: on_ready will be called */
    WATCH_EVENTS,    /* a batch; ask again */
    WATCH_AGAIN,     /* a slice of history was passed without a match; ask again, after others */
    WATCH_COMPACTED, /* what comes next was compacted: the watcher is finished, close it */
};

struct watch_batch {
    struct event *events; /* in the arena; values borrowed until the next commit or store_work */
    uint32_t count;
    int64_t revision;  /* every event <= this revision has now been given to this watcher */
    int64_t compacted; /* WATCH_COMPACTED: the compaction revision */
};

/* The next whole revisions, about `bytes_max` of keys and values and at most `revisions_max`
 * revisions; all events of one revision are always together. */
enum watch_state watch_next(const struct store *store, struct watcher *watcher, struct arena *arena,
                            uint64_t bytes_max, uint32_t revisions_max,
                            struct watch_batch *ret_batch);
/* Has it been given everything up to the current revision (and has its start been reached)? */
bool watch_synced(const struct store *store, const struct watcher *watcher);
uint64_t watch_count(const struct store *store);
/* Moves every watcher of `from` to `to`, a later state of the same history (a snapshot was
 * installed): each goes on from its place, and becomes ready if there is something behind it. */
void store_adopt_watchers(struct store *to, struct store *from);

#endif
