/* The Watch service: many watches on one stream. Nothing is queued for a watch: it is noted as
 * ready when the store has something for it, and pulled along the history at the end of the turn,
 * as long as the stream's output is not full. So a slow client costs its place in the history.
 *
 * The one invariant: everything a stream says goes through its one output, in the order in which it
 * became true. A promise "all up to revision R was sent" is written when nothing up to R is left.
 */
#include "store/watch.h"
#include "front/etcd/call.h"
#include "front/etcd/handlers.h"
#include "front/etcd/message.h"
#include "front/etcd/watch_ids.h"

#define BATCH_BYTES ((uint64_t)256 * 1024)
#define BATCH_REVISIONS 1000U
#define PULLS_PER_TURN 64U
#define ANSWERS_HIGH ((size_t)32 * 1024)
#define WATCHES_MAX 1000000U
#define ID_NONE (-1) /* of no watch: of the whole stream, or of one that was refused */
#define NS_PER_MS UINT64_C(1000000)

struct watch_stream {
    struct call *call;
    struct watch_ids watches;
    struct list ready; /* watches that have something to read */
    int64_t id_next;
    bool progress_asked;
    bool ticking;
    struct timer tick; /* progress notifications */
};

/* Lies in its watcher's block (store/watch.h). */
struct watch {
    struct watch_id id;
    struct list ready;
    struct watch_stream *stream;
    bool fragment;
    bool progress_notify;
    bool quiet; /* nothing was sent since the last tick */
};

static struct watch *watch_of(struct watch_id *id)
{
    return container_of(id, struct watch, id);
}

static struct watcher *watcher_of(struct watch *watch)
{
    return watch_of_owner(watch, sizeof *watch);
}

static struct store *stream_store(const struct watch_stream *stream)
{
    return front_store(call_front(stream->call));
}

/* --- What a stream says -----------------------------------------------------------------------*/

static Etcdserverpb__WatchResponse watch_response(int64_t id, Etcdserverpb__ResponseHeader *header)
{
    Etcdserverpb__WatchResponse response = ETCDSERVERPB__WATCH_RESPONSE__INIT;
    response.header = header;
    response.watch_id = id;
    return response;
}

static void say_created(struct watch_stream *stream, int64_t id)
{
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(stream->call));
    Etcdserverpb__WatchResponse response = watch_response(id, &header);
    response.created = true;
    call_send(stream->call, &response.base);
}

/* A watch that was refused is created and cancelled in one breath. */
static void say_refused(struct watch_stream *stream, const char *reason)
{
    char room[128];
    struct text text = text_of(room, sizeof room);
    text_add(&text, reason);
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(stream->call));
    Etcdserverpb__WatchResponse response = watch_response(ID_NONE, &header);
    response.created = true;
    response.canceled = true;
    response.cancel_reason = room;
    call_send(stream->call, &response.base);
}

static void say_cancelled(struct watch_stream *stream, int64_t id)
{
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(stream->call));
    Etcdserverpb__WatchResponse response = watch_response(id, &header);
    response.canceled = true;
    call_send(stream->call, &response.base);
}

/* Compaction overtook the watch. The header's revision is 0, as clients know it. */
static void say_compacted(struct watch_stream *stream, int64_t id, int64_t compacted)
{
    Etcdserverpb__ResponseHeader header = message_header(call_front(stream->call), 0);
    Etcdserverpb__WatchResponse response = watch_response(id, &header);
    response.canceled = true;
    response.compact_revision = compacted;
    call_send(stream->call, &response.base);
}

static void say_progress(struct watch_stream *stream, int64_t id)
{
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(stream->call));
    Etcdserverpb__WatchResponse response = watch_response(id, &header);
    call_send(stream->call, &response.base);
}

/* --- Events -----------------------------------------------------------------------------------*/

/* How many of the events from `at` on go into one fragment: at least one, and up to `size_max`. */
static uint32_t fragment_count(const struct watch_events *events, uint32_t at, size_t size_max)
{
    uint32_t taken = 1;
    while (at + taken < events->count &&
           watch_events_encoded(events, at, at + taken).size < size_max)
        taken++;
    return taken;
}

static void say_events(struct watch *watch, const struct watch_batch *batch)
{
    struct call *call = watch->stream->call;
    struct etcd_front *front = call_front(call);
    struct watch_events *events = &front->watch_events;
    if (!watch_events_hold(events, batch)) {
        call_fail_text(call, GRPC_RESOURCE_EXHAUSTED,
                       "grpc: trying to send a message that is larger than max");
        return;
    }
    Etcdserverpb__ResponseHeader header = message_header(front, batch->revision);
    size_t size_max = (size_t)(front->config.request_bytes_max + FRONT_MESSAGE_SLACK);
    for (uint32_t at = 0; at < events->count;) {
        Etcdserverpb__WatchResponse response = watch_response(watch->id.id, &header);
        uint32_t taken =
            watch->fragment ? fragment_count(events, at, size_max) : events->count - at;
        response.fragment = at + taken < events->count;
        call_send_with(call, &response.base, watch_events_encoded(events, at, at + taken));
        at += taken;
    }
    watch->quiet = false;
}

/* --- Watches ----------------------------------------------------------------------------------*/

static void watch_drop(struct watch *watch)
{
    struct watch_stream *stream = watch->stream;
    watch_ids_remove(&stream->watches, &watch->id);
    list_remove(&watch->ready);
    call_front(stream->call)->watches--;
    watch_close(stream_store(stream), watcher_of(watch));
}

/* A watch is copied to where it stays, and an item of a list that is in none points to itself. */
static void watch_settle(struct watch *watch)
{
    if (watch->ready.next == NULL)
        list_init(&watch->ready);
}

/* Only takes note: the store is in the middle of its work. */
static void on_ready(void *owner, struct watcher *watcher)
{
    struct watch *watch = owner;
    (void)watcher;
    watch_settle(watch); /* perhaps it is still being opened */
    if (list_empty(&watch->ready))
        list_push(&watch->stream->ready, &watch->ready);
    call_wake(watch->stream->call);
}

/* Pulls the next batch of one watch. */
static void watch_pull(struct watch *watch)
{
    struct watch_stream *stream = watch->stream;
    struct arena *arena = &call_front(stream->call)->reply;
    struct watch_batch batch;
    list_remove(&watch->ready);
    arena_reset(arena);
    switch (watch_next(stream_store(stream), watcher_of(watch), arena, BATCH_BYTES, BATCH_REVISIONS,
                       &batch)) {
    case WATCH_EVENTS:
        say_events(watch, &batch);
        list_push(&stream->ready, &watch->ready);
        break;
    case WATCH_AGAIN:
        list_push(&stream->ready, &watch->ready);
        break;
    case WATCH_COMPACTED:
        say_compacted(stream, watch->id.id, batch.compacted);
        watch_drop(watch);
        break;
    case WATCH_IDLE:
        break;
    }
    arena_reset(arena);
}

static bool stream_full(const struct watch_stream *stream)
{
    return call_output_waiting(stream->call) >= FRONT_OUTPUT_HIGH;
}

/* Answers wait as well. They come by the thousand when a client opens its watches, and a stream for
 * each of many: that is no reason to hold as much as of events. */
static bool stream_talks(const struct watch_stream *stream)
{
    return call_output_waiting(stream->call) >= ANSWERS_HIGH;
}

/* An answer to a question for progress is a promise for all watches; if it cannot be made now, the
 * client asks again. */
static void stream_answer_progress(struct watch_stream *stream)
{
    stream->progress_asked = false;
    struct watch_id *at = NULL;
    while ((at = watch_ids_next(&stream->watches, at)) != NULL) {
        if (!watch_synced(stream_store(stream), watcher_of(watch_of(at))))
            return;
    }
    say_progress(stream, ID_NONE);
}

void call_watch_woken(struct call *call)
{
    struct watch_stream *stream = call->state;
    if (stream == NULL)
        return;
    for (unsigned i = 0; i < PULLS_PER_TURN && !list_empty(&stream->ready); i++) {
        if (call->finished || stream_full(stream))
            return; /* goes on when the output has drained */
        watch_pull(container_of(stream->ready.next, struct watch, ready));
    }
    if (!list_empty(&stream->ready))
        call_wake(call);
    else if (stream->progress_asked)
        stream_answer_progress(stream);
    if (call->busy && !stream_talks(stream))
        call_resume(call);
}

/* --- Notifications of progress ----------------------------------------------------------------*/

static void stream_set_tick(struct watch_stream *stream)
{
    struct etcd_front *front = call_front(stream->call);
    uint64_t interval = front->config.progress_interval_ns / NS_PER_MS;
    uint64_t jitter = interval / 10 > 0 ? replica_random(front->replica) % (interval / 10) : 0;
    timer_set(front_timers(front), &stream->tick, interval + jitter);
}

static void on_tick(struct timer *timer)
{
    struct watch_stream *stream = container_of(timer, struct watch_stream, tick);
    struct watch_id *at = NULL;
    while ((at = watch_ids_next(&stream->watches, at)) != NULL) {
        struct watch *watch = watch_of(at);
        if (!watch->progress_notify)
            continue;
        if (watch->quiet && !stream_full(stream) &&
            watch_synced(stream_store(stream), watcher_of(watch)))
            say_progress(stream, at->id);
        watch->quiet = true;
    }
    stream_set_tick(stream);
}

/* --- Requests ---------------------------------------------------------------------------------*/

static void watch_spec_filters(const Etcdserverpb__WatchCreateRequest *request,
                               struct watch_spec *spec)
{
    for (size_t i = 0; i < request->n_filters; i++) {
        if (request->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT)
            spec->no_put = true;
        if (request->filters[i] == ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE)
            spec->no_delete = true;
    }
}

static struct watch_spec watch_spec_of(const Etcdserverpb__WatchCreateRequest *request)
{
    static const uint8_t first[1] = {0};
    struct watch_spec spec = {
        .range = {message_bytes(request->key), message_bytes(request->range_end)},
        .start_revision = request->start_revision,
        .previous = request->prev_kv,
        .on_ready = on_ready,
    };
    if (spec.range.key.size == 0)
        spec.range.key = bytes_of(first, sizeof first); /* the least key that there is */
    watch_spec_filters(request, &spec);
    return spec;
}

static bool range_is_empty(const struct key_range *range)
{
    bool open_end = range->end.size == 1 && range->end.data[0] == 0;
    return range->end.size > 0 && !open_end && bytes_compare(range->key, range->end) >= 0;
}

/* NULL, or why the watch cannot be. */
static const char *create_refusal(struct watch_stream *stream,
                                  const Etcdserverpb__WatchCreateRequest *request,
                                  const struct key_range *range)
{
    if (request->start_revision < 0)
        return failure_of_refusal(REFUSAL_COMPACTED).text;
    if (range_is_empty(range))
        return "mvcc: watcher range is empty";
    if (request->watch_id != 0 && watch_ids_find(&stream->watches, request->watch_id) != NULL)
        return "mvcc: duplicate watch ID provided on the WatchStream";
    if (call_front(stream->call)->watches >= WATCHES_MAX)
        return failure_too_many_requests.text;
    return NULL;
}

static int64_t stream_take_id(struct watch_stream *stream, int64_t wanted)
{
    if (wanted != 0)
        return wanted;
    while (watch_ids_find(&stream->watches, stream->id_next) != NULL)
        stream->id_next++;
    return stream->id_next++;
}

static void watch_create(struct watch_stream *stream,
                         const Etcdserverpb__WatchCreateRequest *request)
{
    struct etcd_front *front = call_front(stream->call);
    struct watch_spec spec = watch_spec_of(request);
    const char *refusal = create_refusal(stream, request, &spec.range);
    if (refusal != NULL) {
        say_refused(stream, refusal);
        return;
    }
    const struct watch watch = {
        .id.id = stream_take_id(stream, request->watch_id),
        .stream = stream,
        .fragment = request->fragment,
        .progress_notify = request->progress_notify,
        .quiet = true,
    };
    spec.owner = &watch;
    spec.owner_size = sizeof watch;
    say_created(stream, watch.id.id);
    struct watch *opened = watch_owner(watch_open(front_store(front), &spec));
    watch_settle(opened);
    watch_ids_add(&stream->watches, &opened->id);
    front->watches++;
    if (watch.progress_notify && !stream->ticking) {
        stream->ticking = true;
        stream_set_tick(stream);
    }
}

static void watch_cancel(struct watch_stream *stream, int64_t id)
{
    struct watch_id *watch = watch_ids_find(&stream->watches, id);
    if (watch == NULL)
        return; /* no answer, as etcd does */
    watch_drop(watch_of(watch));
    say_cancelled(stream, id);
}

static struct watch_stream *stream_of(struct call *call)
{
    if (call->state != NULL)
        return call->state;
    struct watch_stream *stream = call_state(call, sizeof *stream);
    stream->call = call;
    list_init(&stream->ready);
    watch_ids_init(&stream->watches, call_front(call)->mem);
    timer_init(&stream->tick, on_tick);
    return stream;
}

void call_watch(struct call *call, struct bytes message)
{
    const Etcdserverpb__WatchRequest *request =
        call_decode(call, &etcdserverpb__watch_request__descriptor, message);
    if (request == NULL)
        return;
    enum refusal refusal = call_standing(call);
    if (refusal != REFUSAL_NONE) {
        call_refuse(call, refusal);
        return;
    }
    struct watch_stream *stream = stream_of(call);
    switch (request->request_union_case) {
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST:
        watch_create(stream, request->create_request);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST:
        watch_cancel(stream, request->cancel_request->watch_id);
        break;
    case ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST:
        stream->progress_asked = true;
        call_wake(call);
        break;
    default:
        break; /* a newer client's question: not answered, as etcd does */
    }
    if (stream_talks(stream))
        call->busy = true; /* who does not read may not ask */
}

void call_watch_half_closed(struct call *call)
{
    call_finish(call);
}

void call_watch_over(struct call *call)
{
    struct watch_stream *stream = call->state;
    timer_clear(front_timers(call_front(call)), &stream->tick);
    struct watch_id *at = watch_ids_next(&stream->watches, NULL);
    while (at != NULL) {
        struct watch_id *next = watch_ids_next(&stream->watches, at);
        watch_drop(watch_of(at));
        at = next;
    }
    watch_ids_release(&stream->watches);
}
