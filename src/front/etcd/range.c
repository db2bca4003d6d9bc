/* Range and RangeStream. A small answer is made at once; a large one is walked (store/walk.h), some
 * keys a turn and no further ahead than the client takes it, so that a gigabyte costs a few hundred
 * kilobytes and nobody else waits for it.
 *
 * A message of gRPC begins with its size. So a large Range is walked twice over the same revision:
 * to measure the message, then to write it. RangeStream cuts the same answer into messages of their
 * own and is walked once; what its client gets by merging them is what Range answers.
 *
 * The one invariant: of an answer that was begun, exactly as many bytes follow as were measured, or
 * the call fails. */
#include "front/etcd/call.h"
#include "front/etcd/convert.h"
#include "front/etcd/handlers.h"
#include "store/walk.h"

#include <string.h>

#define WALK_FROM 1000         /* answers of more keys than this are walked */
#define WALK_KEYS 1024U        /* looked at in one slice */
#define WALK_BYTES (64U << 10) /* given in one slice */
#define WALK_SLICES_PER_TURN 4U
#define KVS_TAG ((2U << 3) | 2U)      /* RangeResponse.kvs, length-delimited */
#define RESPONSE_TAG ((1U << 3) | 2U) /* RangeStreamResponse.range_response */

enum range_phase {
    RANGE_WAITING,   /* until the local state is fresh */
    RANGE_MEASURING, /* the message's size */
    RANGE_WRITING,   /* the message */
    RANGE_STREAMING, /* messages */
};

/* A read that is not answered at once; its keys follow it in memory. */
struct range {
    enum range_phase phase;
    bool stream;
    struct range_query query;
    struct range_walk walk;
    uint64_t size;       /* of the pairs in the message */
    struct buffer from;  /* the walk's place */
    struct buffer slice; /* its pairs, encoded */
    uint8_t keys[];
};

static enum refusal query_check(struct call *call, const struct range_query *query)
{
    if (query->range.key.size == 0)
        return REFUSAL_KEY_EMPTY;
    if ((unsigned)query->order > SORT_DESCEND || (unsigned)query->target > SORT_VALUE)
        return REFUSAL_INVALID_SORT;
    return call_standing(call);
}

static struct range *range_keep(struct call *call, const struct range_query *query, bool stream)
{
    struct bytes key = query->range.key;
    struct bytes end = query->range.end;
    struct range *range = call_state(call, sizeof *range + key.size + end.size);
    range->stream = stream;
    range->query = *query;
    memcpy(range->keys, key.data, key.size);
    if (end.size > 0)
        memcpy(range->keys + key.size, end.data, end.size);
    range->query.range.key = bytes_of(range->keys, key.size);
    range->query.range.end = bytes_of(range->keys + key.size, end.size);
    buffer_init(&range->from, call_front(call)->mem, INT32_MAX);
    buffer_init(&range->slice, call_front(call)->mem, INT32_MAX);
    return range;
}

/* --- At once ----------------------------------------------------------------------------------*/

static void range_reply(struct call *call, const struct range_query *query, bool fresh)
{
    struct etcd_front *front = call_front(call);
    struct store *store = front_store(front);
    struct range_result result;
    arena_reset(&front->reply);
    enum refusal refusal = store_range(store, query, &front->reply, &result);
    if (fresh && !call_read_holds(call))
        return;
    if (refusal != REFUSAL_NONE) {
        call_refuse(call, refusal);
        return;
    }
    Etcdserverpb__RangeResponse reply;
    convert_range_result(&result, &front->reply, &reply);
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    reply.header = &header;
    call_reply(call, &reply.base);
    arena_reset(&front->reply);
}

static bool range_is_large(struct call *call, const struct range_query *query)
{
    if (query->count_only || (query->limit > 0 && query->limit <= WALK_FROM) ||
        !range_walk_possible(query))
        return false;
    return range_walk_keys(front_store(call_front(call)), &query->range) > WALK_FROM;
}

/* --- Walking ----------------------------------------------------------------------------------*/

/* The fields around the pairs: the header in front of them, or what is known when they end. A
 * reader of the newest state goes on watching behind the header's revision: it has to be the one
 * that was read, however far the store has come since. */
static struct bytes range_edge(struct call *call, const struct range *range, bool header,
                               bool count)
{
    struct etcd_front *front = call_front(call);
    Etcdserverpb__RangeResponse reply = ETCDSERVERPB__RANGE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader head = message_header_now(front);
    if (range->query.revision <= 0)
        head.revision = range->walk.query.revision;
    reply.header = header ? &head : NULL;
    reply.more = count && range->walk.more;
    reply.count = count ? range->walk.count : 0;
    uint8_t *at = arena_alloc(&front->reply, protobuf_c_message_get_packed_size(&reply.base));
    return bytes_of(at, protobuf_c_message_pack(&reply.base, at));
}

static void slice_add(struct buffer *slice, const struct kv *kv, uint64_t *size)
{
    Mvccpb__KeyValue message;
    message_kv(&message, kv);
    size_t packed = protobuf_c_message_get_packed_size(&message.base);
    if (slice == NULL) {
        *size += 1 + varint_size(packed) + packed;
        return;
    }
    buffer_varint(slice, KVS_TAG);
    buffer_varint(slice, packed);
    uint8_t *at = buffer_extend(slice, packed);
    if (at != NULL)
        (void)protobuf_c_message_pack(&message.base, at);
}

/* The next pairs, measured or encoded. False: the call has failed. */
static bool range_slice(struct call *call, struct range *range)
{
    struct etcd_front *front = call_front(call);
    struct kv *kvs;
    uint32_t count;
    arena_reset(&front->reply);
    buffer_clear(&range->slice);
    enum refusal refusal = range_walk_next(front_store(front), &range->walk, &front->reply,
                                           WALK_KEYS, WALK_BYTES, &kvs, &count);
    if (refusal != REFUSAL_NONE) {
        call_refuse(call, refusal);
        return false;
    }
    bool measuring = range->phase == RANGE_MEASURING;
    for (uint32_t i = 0; i < count; i++)
        slice_add(measuring ? NULL : &range->slice, &kvs[i], &range->size);
    buffer_clear(&range->from);
    buffer_append(&range->from, range->walk.from);
    range->walk.from = buffer_bytes(&range->from);
    return true;
}

/* Measured: begins the message, and the walk that writes it. */
static void range_begin_message(struct call *call, struct range *range)
{
    struct etcd_front *front = call_front(call);
    struct bytes header = range_edge(call, range, true, false);
    struct bytes end = range_edge(call, range, false, true);
    if (!call_begin_message(call, header.size + range->size + end.size))
        return;
    call_write(call, header);
    struct range_query query = range->query;
    query.revision = range->walk.query.revision;
    enum refusal refusal = range_walk_begin(front_store(front), &query, &range->walk);
    if (refusal != REFUSAL_NONE)
        call_refuse(call, refusal);
    range->phase = RANGE_WRITING;
}

static void range_write_slice(struct call *call, struct range *range)
{
    struct bytes pairs = buffer_bytes(&range->slice);
    call_write(call, pairs);
    range->size -= pairs.size;
    if (!range->walk.done)
        return;
    if (range->size != 0) {
        call_refuse(call, REFUSAL_COMPACTED); /* cannot be: the revision is the same */
        return;
    }
    call_write(call, range_edge(call, range, false, true));
    call_finish(call);
}

static void range_stream_slice(struct call *call, struct range *range)
{
    if (range->slice.size == 0 && !range->walk.done)
        return; /* nothing that passes the bounds */
    if (range->walk.done)
        buffer_append(&range->slice, range_edge(call, range, true, true));
    uint8_t room[1 + VARINT_SIZE_MAX];
    struct writer head = writer_of(room, sizeof room);
    write_varint(&head, RESPONSE_TAG);
    write_varint(&head, range->slice.size);
    if (!call_begin_message(call, writer_size(&head) + range->slice.size))
        return;
    call_write(call, writer_bytes(&head));
    call_write(call, buffer_bytes(&range->slice));
    if (range->walk.done)
        call_finish(call);
}

static void range_go_on(struct call *call, struct range *range)
{
    if (!range_slice(call, range))
        return;
    if (range->phase == RANGE_STREAMING)
        range_stream_slice(call, range);
    else if (range->phase == RANGE_WRITING)
        range_write_slice(call, range);
    else if (range->walk.done)
        range_begin_message(call, range);
}

void call_range_woken(struct call *call)
{
    struct range *range = call->state;
    if (range == NULL || range->phase == RANGE_WAITING)
        return;
    for (unsigned i = 0; i < WALK_SLICES_PER_TURN; i++) {
        if (call->finished || call_output_waiting(call) >= FRONT_OUTPUT_HIGH)
            return; /* goes on when the output has drained */
        range_go_on(call, range);
    }
    call_wake(call);
}

void call_range_over(struct call *call)
{
    struct range *range = call->state;
    buffer_release(&range->from);
    buffer_release(&range->slice);
}

static void range_walk(struct call *call, struct range *range)
{
    struct etcd_front *front = call_front(call);
    enum refusal refusal = range_walk_begin(front_store(front), &range->query, &range->walk);
    if (!range->query.serializable && !call_read_holds(call))
        return;
    if (refusal != REFUSAL_NONE)
        call_refuse(call, refusal);
    else if (call_connection_waiting(call) > front->config.output_bytes_max)
        call_fail(call, failure_too_many_requests);
    range->phase = range->stream ? RANGE_STREAMING : RANGE_MEASURING;
    call_wake(call);
}

/* --- Requests ---------------------------------------------------------------------------------*/

static void on_range_read(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call == NULL)
        return;
    struct range *range = call->state;
    if (range->stream || range_is_large(call, &range->query))
        range_walk(call, range);
    else
        range_reply(call, &range->query, true);
}

static bool range_request(struct call *call, struct bytes message, struct range_query *ret_query)
{
    const Etcdserverpb__RangeRequest *request =
        call_decode(call, &etcdserverpb__range_request__descriptor, message);
    if (request == NULL)
        return false;
    *ret_query = convert_range(request);
    enum refusal refusal = query_check(call, ret_query);
    if (refusal != REFUSAL_NONE)
        call_refuse(call, refusal);
    return refusal == REFUSAL_NONE;
}

void call_range(struct call *call, struct bytes message)
{
    struct range_query query;
    if (!range_request(call, message, &query))
        return;
    if (!query.serializable) {
        (void)range_keep(call, &query, false);
        call_read(call, on_range_read);
    } else if (range_is_large(call, &query)) {
        range_walk(call, range_keep(call, &query, false));
    } else {
        range_reply(call, &query, false);
    }
}

void call_range_stream(struct call *call, struct bytes message)
{
    struct range_query query;
    if (call->state != NULL || !range_request(call, message, &query))
        return;
    if (query.order != SORT_NONE && (query.order != SORT_ASCEND || query.target != SORT_KEY)) {
        call_refuse(call, REFUSAL_INVALID_SORT);
        return;
    }
    struct range *range = range_keep(call, &query, true);
    range->query.target = SORT_KEY;
    if (query.serializable)
        range_walk(call, range);
    else
        call_read(call, on_range_read);
}

/* The client has asked; what it waits for is still to come. */
void call_range_half_closed(struct call *call)
{
    if (call->state == NULL)
        call_fail_text(call, GRPC_INTERNAL, "the request ended before its message");
}
