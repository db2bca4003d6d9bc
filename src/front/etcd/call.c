/* Calls, as far as the core has to do with them: messages come in as news from the lane, and what
 * handlers say goes out as orders to it. See lane.h for the two sides. */
#include "front/etcd/call.h"

#include "base/panic.h"
#include "front/etcd/message.h"
#include "front/etcd/quota.h"

#include <string.h>

#define POSTING_KEPT ((size_t)1024 * 1024)

static struct lane *call_lane(const struct call *call)
{
    return call->stream.session->lane;
}

/* --- Beginning and end ------------------------------------------------------------------------*/

void call_init(struct call *call, struct etcd_front *front)
{
    memset(call, 0, offsetof(struct call, room));
    call->front = front;
    list_init(&call->woken);
    list_init(&call->leader);
    request_init(&call->request, NULL);
}

/* Ends what the call has under way, and lets its handler give back what it holds; once. */
static void call_end(struct call *call)
{
    replica_cancel(&call->request);
    list_remove(&call->leader);
    if (call->over)
        return;
    call->over = true;
    if (call->state != NULL && call_method(call)->over != NULL)
        call_method(call)->over(call);
}

/* Marks the end. What the handler holds is given back later, when it is not on the stack. */
static void call_close(struct call *call)
{
    call->finished = true;
    replica_cancel(&call->request);
    list_remove(&call->leader);
    if (call->state != NULL && call_method(call)->over != NULL)
        call_wake(call);
}

static void call_order(struct call *call, struct letter order, struct bytes bytes)
{
    order.about = call;
    order.size = (uint32_t)bytes.size;
    lane_order(call_lane(call), &order, bytes);
}

/* The stream is closed: the last that is heard of the call. */
static void call_gone(struct call *call)
{
    call->finished = true;
    call_end(call);
    list_remove(&call->woken);
    if (call->state != NULL && call->state != call->room)
        mem_free(call_front(call)->mem, call->state, call->state_size);
    call_order(call, (struct letter){.kind = ORDER_RELEASED}, BYTES_EMPTY);
}

void *call_state(struct call *call, size_t size)
{
    ensure(call->state == NULL);
    call->state = size <= sizeof call->room ? call->room : mem_alloc(call_front(call)->mem, size);
    call->state_size = size;
    return memset(call->state, 0, size);
}

/* --- News -------------------------------------------------------------------------------------*/

static void call_needs_leader(struct call *call)
{
    struct etcd_front *front = call_front(call);
    if (front_status(front)->leader == 0) {
        call_fail(call, failure_no_leader);
        return;
    }
    if (!call_method(call)->stream)
        return;
    if (list_empty(&front->leader_calls))
        timer_set(front_timers(front), &front->leader_timer, FRONT_LEADER_CHECK_MS);
    list_push(&front->leader_calls, &call->leader);
}

static void call_message(struct call *call, struct bytes message)
{
    struct etcd_front *front = call_front(call);
    if (call->finished)
        return;
    call->message_size = message.size;
    front->arena_users++;
    call_method(call)->message(call, message);
    if (--front->arena_users == 0)
        arena_reset(&front->arena);
    if (call_method(call)->stream && !call->busy)
        call_order(call, (struct letter){.kind = ORDER_NEXT}, BYTES_EMPTY);
}

static void call_half_closed(struct call *call)
{
    if (call->finished)
        return;
    if (call_method(call)->half_closed != NULL)
        call_method(call)->half_closed(call);
    else
        call_finish(call);
}

void call_hear(struct call *call, enum news news, struct bytes bytes)
{
    switch (news) {
    case NEWS_LEADER:
        call_needs_leader(call);
        break;
    case NEWS_MESSAGE:
        call_message(call, bytes);
        break;
    case NEWS_HALF_CLOSED:
        call_half_closed(call);
        break;
    case NEWS_DRAINED:
        if (!call->finished && call_method(call)->woken != NULL)
            call_wake(call);
        break;
    case NEWS_CANCELLED:
        if (!call->finished)
            call_close(call);
        break;
    case NEWS_GONE:
        call_gone(call);
        break;
    default:
        panic("news about a call that are none");
    }
}

void call_resume(struct call *call)
{
    call->busy = false;
    if (!call->finished)
        call_order(call, (struct letter){.kind = ORDER_NEXT}, BYTES_EMPTY);
}

void call_wake(struct call *call)
{
    if (!list_empty(&call->woken))
        return;
    list_push(&call_front(call)->woken, &call->woken);
    front_wake(call_front(call));
}

void call_run_woken(struct call *call)
{
    if (call->finished)
        call_end(call);
    else if (call_method(call)->woken != NULL)
        call_method(call)->woken(call);
}

void *call_decode(struct call *call, const ProtobufCMessageDescriptor *descriptor,
                  struct bytes message)
{
    void *decoded = message_unfold(&call_front(call)->arena, descriptor, message);
    if (decoded == NULL)
        call_fail_text(call, GRPC_INTERNAL,
                       "grpc: error unmarshalling request: the message is malformed");
    return decoded;
}

/* --- Messages out -----------------------------------------------------------------------------*/

size_t call_output_waiting(const struct call *call)
{
    return atomic_load_explicit(&call->stream.waiting, memory_order_relaxed);
}

size_t call_connection_waiting(const struct call *call)
{
    return atomic_load_explicit(&call->stream.session->output_bytes, memory_order_relaxed);
}

/* Room for more output, counted as waiting; NULL: there is none. On the core's own lane that is the
 * stream's buffer; for another lane it is made in the front's, and posted. */
static uint8_t *call_extend(struct call *call, size_t size)
{
    struct etcd_front *front = call_front(call);
    struct stream *stream = &call->stream;
    if (size > (size_t)INT32_MAX - call_output_waiting(call))
        return NULL;
    atomic_fetch_add_explicit(&stream->waiting, size, memory_order_relaxed);
    atomic_fetch_add_explicit(&stream->session->output_bytes, size, memory_order_relaxed);
    if (!call_lane(call)->posts)
        return stream_extend(stream, size);
    buffer_clear(&front->posting);
    return buffer_extend(&front->posting, size);
}

/* What call_extend made room for is written. */
static void call_push(struct call *call)
{
    if (!call_lane(call)->posts) {
        stream_push(&call->stream);
        return;
    }
    struct buffer *posting = &call_front(call)->posting;
    call_order(call, (struct letter){.kind = ORDER_OUTPUT}, buffer_bytes(posting));
    if (posting->capacity > POSTING_KEPT)
        buffer_release(posting);
}

/* Sends the framed message and its further fields; false: there is no room. */
static bool call_pack(struct call *call, const ProtobufCMessage *message, struct bytes fields)
{
    size_t packed = protobuf_c_message_get_packed_size(message);
    size_t size = packed + fields.size;
    if (size > (size_t)INT32_MAX - FRAMING_HEAD_SIZE)
        return false;
    uint8_t *at = call_extend(call, FRAMING_HEAD_SIZE + size);
    if (at == NULL)
        return false;
    framing_head_store(at, (uint32_t)size);
    (void)protobuf_c_message_pack(message, at + FRAMING_HEAD_SIZE);
    if (fields.size > 0)
        memcpy(at + FRAMING_HEAD_SIZE + packed, fields.data, fields.size);
    call_push(call);
    return true;
}

static void call_fail_no_room(struct call *call)
{
    call_fail_text(call, GRPC_RESOURCE_EXHAUSTED,
                   "grpc: trying to send a message that is larger than max");
}

bool call_begin_message(struct call *call, uint64_t size)
{
    if (call->finished)
        return false;
    uint8_t *at = size > INT32_MAX ? NULL : call_extend(call, FRAMING_HEAD_SIZE);
    if (at == NULL) {
        call_fail_no_room(call);
        return false;
    }
    framing_head_store(at, (uint32_t)size);
    call_push(call);
    return true;
}

void call_write(struct call *call, struct bytes bytes)
{
    if (call->finished || bytes.size == 0)
        return;
    uint8_t *at = call_extend(call, bytes.size);
    if (at == NULL) {
        call_fail_no_room(call);
        return;
    }
    memcpy(at, bytes.data, bytes.size);
    call_push(call);
}

void call_send(struct call *call, const ProtobufCMessage *message)
{
    call_send_with(call, message, BYTES_EMPTY);
}

void call_send_with(struct call *call, const ProtobufCMessage *message, struct bytes fields)
{
    if (call->finished)
        return;
    if (!call_pack(call, message, fields))
        call_fail_no_room(call);
}

void call_reply(struct call *call, const ProtobufCMessage *message)
{
    struct etcd_front *front = call_front(call);
    if (call->finished)
        return;
    /* A client that asks for more than it takes is not given memory for it. */
    if (call_connection_waiting(call) > front->config.output_bytes_max)
        call_fail(call, failure_too_many_requests);
    else if (!call_pack(call, message, BYTES_EMPTY))
        call_fail_no_room(call);
    else
        call_finish(call);
}

/* --- The end ----------------------------------------------------------------------------------*/

static void call_end_with(struct call *call, enum grpc_code code, const char *text,
                          struct bytes made)
{
    call_close(call);
    call_order(call, (struct letter){.kind = ORDER_FINISH, .code = (uint8_t)code, .text = text},
               made);
}

void call_finish(struct call *call)
{
    if (!call->finished)
        call_end_with(call, GRPC_OK, NULL, BYTES_EMPTY);
}

void call_fail(struct call *call, struct failure failure)
{
    if (!call->finished)
        call_end_with(call, failure.code, failure.text, BYTES_EMPTY);
}

void call_fail_text(struct call *call, enum grpc_code code, const char *text)
{
    if (!call->finished)
        call_end_with(call, code, NULL, bytes_text(text));
}

void call_refuse(struct call *call, enum refusal refusal)
{
    call_fail(call, failure_of_refusal(refusal));
}

/* --- The replica ------------------------------------------------------------------------------*/

enum refusal call_standing(struct call *call)
{
    return front_corrupt(call_front(call)) ? REFUSAL_CORRUPT : REFUSAL_NONE;
}

void call_submit(struct call *call, const struct command *command, request_done_fn done)
{
    struct etcd_front *front = call_front(call);
    enum refusal refusal = front_admit(front, command, call->message_size);
    if (refusal != REFUSAL_NONE) {
        call_refuse(call, refusal);
        return;
    }
    request_init(&call->request, done);
    replica_submit(front->replica, &call->request, command);
}

void call_read(struct call *call, request_done_fn done)
{
    request_init(&call->request, done);
    replica_read(call_front(call)->replica, &call->request);
}

bool call_read_holds(struct call *call)
{
    if (replica_read_holds(call_front(call)->replica, &call->request))
        return true;
    call_read(call, call->request.done);
    return false;
}

struct call *call_done(struct request *request, enum status status)
{
    struct call *call = container_of(request, struct call, request);
    if (status == STATUS_OK)
        return call;
    call_fail(call, failure_of_status(status));
    return NULL;
}
