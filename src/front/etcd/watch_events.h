/* Events on their way to watches, encoded once for all that read the same.
 *
 * Watches of one key, or of one range, pull the same batches one after the other; what the last one
 * was given is kept in its encoded form until one comes with other events.
 *
 * The one invariant: what is kept is used only for the very same events. An event is told by the
 * address of its key and its revision: no revision changes a key twice, and a key that took a freed
 * one's place has only later revisions. */
#ifndef SYNOD_FRONT_ETCD_WATCH_EVENTS_H
#define SYNOD_FRONT_ETCD_WATCH_EVENTS_H

#include "base/buffer.h"
#include "store/watch.h"

struct event_mark {
    const uint8_t *key;
    int64_t revision;
    uint32_t end; /* of its encoding, from the first event's begin */
    bool deleted;
    bool previous;
};

struct watch_events {
    struct event_mark *marks;
    uint32_t count;
    uint32_t capacity;
    struct buffer encoded; /* the field `events` of a WatchResponse, again and again */
};

void watch_events_init(struct watch_events *events, struct mem *mem);
void watch_events_release(struct watch_events *events);
/* Makes it hold the batch. False: the batch is larger than a message may be. */
bool watch_events_hold(struct watch_events *events, const struct watch_batch *batch);
/* The encoding of events `from` on until before `to`. */
struct bytes watch_events_encoded(const struct watch_events *events, uint32_t from, uint32_t to);

#endif
