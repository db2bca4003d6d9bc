/* Streams: headers in, messages in, and where a stream begins and ends. What goes out is in
 * stream_output.c. A unary call costs one block from a free list and one buffer for its answer; its
 * request is usually read where it arrived. */
#include "front/etcd/stream.h"

#include "base/panic.h"
#include "front/etcd/call.h"

#include <string.h>

#define CALLS_FREE_MAX 1024U
#define NS_PER_MS UINT64_C(1000000)

static struct lane *stream_lane(const struct stream *stream)
{
    return stream->session->lane;
}

static struct call *stream_call(struct stream *stream)
{
    return container_of(stream, struct call, stream);
}

static void stream_tell(struct stream *stream, enum news news, struct bytes bytes)
{
    stream->known = true;
    lane_tell(stream_lane(stream), news, stream_call(stream), bytes);
}

/* --- Beginning and end ------------------------------------------------------------------------*/

static void on_deadline(struct timer *timer)
{
    stream_fail(container_of(timer, struct stream, deadline), failure_deadline);
}

static struct call *block_take(struct lane *lane)
{
    lane->blocks++;
    if (list_empty(&lane->calls_free))
        return mem_alloc(lane->mem, sizeof(struct call));
    struct list *first = lane->calls_free.next;
    list_remove(first);
    lane->calls_free_count--;
    return container_of(container_of(first, struct stream, link), struct call, stream);
}

static void block_give_back(struct lane *lane, struct call *call)
{
    lane->blocks--;
    if (lane->closing || lane->calls_free_count >= CALLS_FREE_MAX) {
        mem_free(lane->mem, call, sizeof *call);
        return;
    }
    list_push(&lane->calls_free, &call->stream.link);
    lane->calls_free_count++;
}

struct stream *stream_new(struct front_session *session, int32_t id)
{
    struct lane *lane = session->lane;
    struct call *call = block_take(lane);
    call_init(call, lane->front);
    struct stream *stream = &call->stream;
    stream->session = session;
    stream->id = id;
    stream->began_ns = uv_hrtime();
    list_init(&stream->woken);
    list_push(&session->streams, &stream->link);
    timer_init(&stream->deadline, on_deadline);
    framing_init(&stream->framing, lane->mem,
                 lane->front->config.request_bytes_max + FRONT_MESSAGE_SLACK);
    buffer_init(&stream->backlog, lane->mem, SIZE_MAX / 2);
    buffer_init(&stream->output, lane->mem, INT32_MAX);
    session->holds++;
    atomic_fetch_add_explicit(&lane->front->calls, 1, memory_order_relaxed);
    return stream;
}

/* Bytes that are held of requests, more and less. Most requests are read where they arrive, and
 * hold none. */
static void input_count(struct stream *stream, size_t more, size_t less)
{
    if (more != less)
        atomic_fetch_add_explicit(&stream_lane(stream)->front->input_bytes, (uint64_t)more - less,
                                  memory_order_relaxed);
}

static void input_release(struct stream *stream)
{
    input_count(stream, 0, stream->framing.message.size + stream->backlog.size);
    framing_release(&stream->framing);
    buffer_release(&stream->backlog);
}

void stream_gone(struct stream *stream)
{
    struct front_session *session = stream->session;
    timer_clear(&session->lane->timers, &stream->deadline);
    input_release(stream);
    stream_output_drop(stream);
    list_remove(&stream->woken);
    list_remove(&stream->link);
    atomic_fetch_sub_explicit(&session->lane->front->calls, 1, memory_order_relaxed);
    stream->gone = true;
    stream->finished = true;
    if (stream->known)
        stream_tell(stream, NEWS_GONE, BYTES_EMPTY);
    else
        stream_release(stream);
}

void stream_release(struct stream *stream)
{
    struct front_session *session = stream->session;
    struct lane *lane = session->lane;
    ensure(stream->gone);
    block_give_back(lane, stream_call(stream));
    front_session_let_go(session);
    lane_check_end(lane);
}

/* See stream_finish for the two texts. */
static void stream_cancel(struct stream *stream, enum grpc_code code, const char *text,
                          struct bytes made)
{
    if (stream->finished)
        return;
    stream_finish(stream, code, text, made);
    if (stream->known)
        stream_tell(stream, NEWS_CANCELLED, BYTES_EMPTY);
}

void stream_fail(struct stream *stream, struct failure failure)
{
    stream_cancel(stream, failure.code, failure.text, BYTES_EMPTY);
}

/* The same with a text that is made for the occasion. */
static void stream_fail_text(struct stream *stream, enum grpc_code code, const char *text)
{
    stream_cancel(stream, code, NULL, bytes_text(text));
}

/* --- Headers ----------------------------------------------------------------------------------*/

/* "application/grpc", alone or with a format or parameters behind it. */
static bool is_grpc(struct bytes type)
{
    static const char name[] = "application/grpc";
    size_t size = sizeof name - 1;
    if (type.size < size || memcmp(type.data, name, size) != 0)
        return false;
    return type.size == size || type.data[size] == '+' || type.data[size] == ';';
}

static bool is_text(struct bytes bytes, const char *text)
{
    return bytes_equal(bytes, bytes_text(text));
}

static void header_path(struct stream *stream, struct bytes value)
{
    stream->path_too_long = value.size > sizeof stream->path;
    if (!stream->path_too_long && value.size > 0)
        memcpy(stream->path, value.data, value.size);
    stream->path_size = stream->path_too_long ? 0 : (uint8_t)value.size;
}

static void header_encoding(struct stream *stream, struct bytes value)
{
    size_t size = value.size < sizeof stream->encoding ? value.size : sizeof stream->encoding - 1;
    if (size > 0 && !is_text(value, "identity"))
        memcpy(stream->encoding, value.data, size);
}

void stream_header(struct stream *stream, struct bytes name, struct bytes value)
{
    if (is_text(name, ":path"))
        header_path(stream, value);
    else if (is_text(name, ":method"))
        stream->post = is_text(value, "POST");
    else if (is_text(name, "content-type"))
        stream->grpc = is_grpc(value);
    else if (is_text(name, "grpc-timeout"))
        (void)grpc_timeout_parse(value, &stream->timeout_ns);
    else if (is_text(name, "grpc-encoding"))
        header_encoding(stream, value);
    else if (is_text(name, "hasleader"))
        stream->requires_leader = is_text(value, "true");
}

/* The answer to something that is no gRPC at all. */
static void fail_http(struct stream *stream, const char *status)
{
    static const char name[] = ":status";
    nghttp2_nv field = {(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)status, sizeof name - 1,
                        3, NGHTTP2_NV_FLAG_NO_COPY_NAME};
    (void)nghttp2_submit_response(stream->session->http2, stream->id, &field, 1, NULL);
    stream->responding = true;
    stream->finished = true;
    front_socket_touch(stream->session->socket);
}

void stream_begin(struct stream *stream)
{
    if (!stream->post || !stream->grpc) {
        fail_http(stream, stream->post ? "415" : "405");
        return;
    }
    char room[160];
    struct text refusal = text_of(room, sizeof room);
    stream->method = method_find(bytes_of(stream->path, stream->path_size), &refusal);
    if (stream->method == NULL) {
        stream_fail_text(stream, GRPC_UNIMPLEMENTED, room);
        return;
    }
    if (stream_lane(stream)->stopping) {
        stream_fail(stream, failure_stopped);
        return;
    }
    if (stream->timeout_ns > 0)
        timer_set(&stream_lane(stream)->timers, &stream->deadline,
                  stream->timeout_ns / NS_PER_MS + (stream->timeout_ns % NS_PER_MS != 0));
    if (stream->requires_leader)
        stream_tell(stream, NEWS_LEADER, BYTES_EMPTY);
}

/* --- Messages in ------------------------------------------------------------------------------*/

static void fail_compressed(struct stream *stream)
{
    char room[128];
    struct text text = text_of(room, sizeof room);
    if (stream->encoding[0] == '\0') {
        stream_fail_text(stream, GRPC_INTERNAL,
                         "grpc: compressed flag set with identity or empty encoding");
        return;
    }
    text_add(&text, "grpc: Decompressor is not installed for grpc-encoding \"");
    text_add(&text, stream->encoding);
    text_add(&text, "\"");
    stream_fail_text(stream, GRPC_UNIMPLEMENTED, room);
}

static void fail_too_large(struct stream *stream)
{
    char room[128];
    struct text text = text_of(room, sizeof room);
    text_add(&text, "grpc: received message larger than max (");
    text_u64(&text, stream->framing.size);
    text_add(&text, " vs. ");
    text_u64(&text, stream->framing.message.limit);
    text_add(&text, ")");
    stream_fail_text(stream, GRPC_RESOURCE_EXHAUSTED, room);
}

/* The core has the message from here on; of a stream the next one waits until it says so. */
static void hand_over(struct stream *stream, struct bytes message)
{
    if (stream->method->stream)
        stream->held = true;
    else
        stream->taken = true;
    stream_tell(stream, NEWS_MESSAGE, message);
    if (stream->taken)
        input_release(stream);
}

static bool wants_input(const struct stream *stream)
{
    return !stream->finished && !stream->taken && !stream->held;
}

/* Hands messages over while they are taken; returns what is left over. */
static struct bytes feed(struct stream *stream, struct bytes input)
{
    while (wants_input(stream)) {
        size_t held = stream->framing.message.size;
        struct bytes message;
        enum framing_event event = framing_next(&stream->framing, &input, &message);
        input_count(stream, stream->framing.message.size, held);
        if (event == FRAMING_MORE)
            break;
        if (event == FRAMING_COMPRESSED)
            fail_compressed(stream);
        else if (event == FRAMING_TOO_LARGE)
            fail_too_large(stream);
        else
            hand_over(stream, message);
    }
    return input;
}

static void consume(struct stream *stream, size_t size)
{
    if (size > 0)
        (void)nghttp2_session_consume_stream(stream->session->http2, stream->id, size);
}

/* More is held of unfinished requests than the front allows: this one has to go. */
static void check_held(struct stream *stream)
{
    const struct etcd_front *front = stream_lane(stream)->front;
    size_t held = stream->framing.message.size + stream->backlog.size;
    if (held > 0 && !stream->finished &&
        atomic_load_explicit(&front->input_bytes, memory_order_relaxed) >
            front->config.input_bytes_max) {
        stream_fail(stream, failure_too_many_requests);
        input_release(stream);
    }
}

void stream_data(struct stream *stream, struct bytes bytes)
{
    if (stream->finished || stream->taken) {
        consume(stream, bytes.size);
        return;
    }
    /* A stream that may go on takes its backlog at the end of the turn: until then, what comes
     * queues up behind that. */
    bool queued = stream->held || stream->backlog.size > 0;
    struct bytes rest = queued ? bytes : feed(stream, bytes);
    if (rest.size > 0 && (queued || stream->held) && !stream->finished) {
        input_count(stream, rest.size, 0);
        buffer_append(&stream->backlog, rest);
        consume(stream, bytes.size - rest.size);
    } else {
        consume(stream, bytes.size);
    }
    check_held(stream);
}

/* If the client has sent its last byte, and every whole message was handled: says so, once. */
static void input_check_end(struct stream *stream)
{
    if (!stream->half_closed || stream->half_closed_told || stream->held ||
        stream->backlog.size > 0)
        return;
    stream->half_closed_told = true;
    if (stream->method == NULL || stream->finished || stream->taken)
        return;
    if (!stream->method->stream || framing_partial(&stream->framing))
        stream_fail_text(stream, GRPC_INTERNAL, "the request ended before its message");
    else
        stream_tell(stream, NEWS_HALF_CLOSED, BYTES_EMPTY);
}

void stream_half_close(struct stream *stream)
{
    stream->half_closed = true;
    input_check_end(stream);
}

void stream_next(struct stream *stream)
{
    stream->held = false;
    bool more = stream->backlog.size > 0 || (stream->half_closed && !stream->half_closed_told);
    if (!more || stream->finished || !list_empty(&stream->woken))
        return;
    list_push(&stream_lane(stream)->woken, &stream->woken);
    lane_wake(stream_lane(stream));
}

void stream_run_woken(struct stream *stream)
{
    if (stream->held || stream->finished)
        return;
    if (stream->backlog.size > 0) {
        struct buffer backlog = stream->backlog;
        buffer_init(&stream->backlog, backlog.mem, backlog.limit);
        struct bytes rest = feed(stream, buffer_bytes(&backlog));
        size_t size = rest.size;
        buffer_append(&stream->backlog, rest);
        input_count(stream, size, backlog.size);
        consume(stream, backlog.size - size);
        buffer_release(&backlog);
    }
    input_check_end(stream);
}
