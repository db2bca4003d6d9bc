/* Encoding a batch of events, or finding that it was just encoded. See watch_events.h. */
#include "front/etcd/watch_events.h"

#include "front/etcd/message.h"

#define EVENTS_TAG ((11U << 3) | 2U) /* WatchResponse.events, length-delimited */
/* More than these are given back after use: a batch of that size is read by few. */
#define MARKS_KEPT 1024U
#define ENCODED_KEPT ((size_t)1024 * 1024)

void watch_events_init(struct watch_events *events, struct mem *mem)
{
    *events = (struct watch_events){.count = 0};
    buffer_init(&events->encoded, mem, INT32_MAX);
}

void watch_events_release(struct watch_events *events)
{
    mem_free(events->encoded.mem, events->marks, events->capacity * sizeof *events->marks);
    events->marks = NULL;
    events->count = 0;
    events->capacity = 0;
    buffer_release(&events->encoded);
}

static struct event_mark mark_of(const struct event *event)
{
    return (struct event_mark){.key = event->kv.key.data,
                               .revision = event->kv.mod_revision,
                               .deleted = event->kind == EVENT_DELETE,
                               .previous = event->has_previous};
}

static bool held(const struct watch_events *events, const struct watch_batch *batch)
{
    if (events->count != batch->count)
        return false;
    for (uint32_t i = 0; i < batch->count; i++) {
        struct event_mark mark = mark_of(&batch->events[i]);
        const struct event_mark *ours = &events->marks[i];
        if (mark.key != ours->key || mark.revision != ours->revision ||
            mark.deleted != ours->deleted || mark.previous != ours->previous)
            return false;
    }
    return true;
}

static void encode(struct buffer *into, const struct event *event)
{
    Mvccpb__Event message = MVCCPB__EVENT__INIT;
    Mvccpb__KeyValue kv;
    Mvccpb__KeyValue previous;
    if (event->kind == EVENT_DELETE)
        message.type = MVCCPB__EVENT__EVENT_TYPE__DELETE;
    message_kv(&kv, &event->kv);
    message.kv = &kv;
    if (event->has_previous) {
        message_kv(&previous, &event->previous);
        message.prev_kv = &previous;
    }
    size_t size = protobuf_c_message_get_packed_size(&message.base);
    buffer_varint(into, EVENTS_TAG);
    buffer_varint(into, size);
    uint8_t *at = buffer_extend(into, size);
    if (at != NULL)
        (void)protobuf_c_message_pack(&message.base, at);
}

static void make_room(struct watch_events *events, uint32_t count)
{
    if (events->capacity > MARKS_KEPT || events->encoded.capacity > ENCODED_KEPT)
        watch_events_release(events);
    events->count = 0;
    buffer_clear(&events->encoded);
    if (count <= events->capacity)
        return;
    events->marks =
        mem_resize(events->encoded.mem, events->marks, events->capacity * sizeof *events->marks,
                   count * sizeof *events->marks);
    events->capacity = count;
}

bool watch_events_hold(struct watch_events *events, const struct watch_batch *batch)
{
    if (held(events, batch))
        return true;
    make_room(events, batch->count);
    for (uint32_t i = 0; i < batch->count; i++) {
        encode(&events->encoded, &batch->events[i]);
        events->marks[i] = mark_of(&batch->events[i]);
        events->marks[i].end = (uint32_t)events->encoded.size;
    }
    if (events->encoded.failed)
        return false; /* nothing is held: the count is 0 */
    events->count = batch->count;
    return true;
}

struct bytes watch_events_encoded(const struct watch_events *events, uint32_t from, uint32_t to)
{
    size_t begin = from == 0 ? 0 : events->marks[from - 1].end;
    size_t end = to == 0 ? 0 : events->marks[to - 1].end;
    return bytes_of(events->encoded.data + begin, end - begin);
}
