/* Calls: headers in, messages in and out, trailers out. A unary call costs one structure from a
 * free list and one buffer for its answer; its request is usually read where it arrived. */
#include "front/etcd/call.h"

#include "base/panic.h"
#include "front/etcd/message.h"
#include "front/etcd/quota.h"

#include <string.h>

#define CALLS_FREE_MAX 1024U
#define NS_PER_MS UINT64_C(1000000)

static void on_deadline(struct timer *timer);

/* --- Beginning and end ------------------------------------------------------------------------*/

struct call *call_new(struct front_session *session, int32_t stream)
{
    struct etcd_front *front = session->front;
    struct call *call;
    if (list_empty(&front->calls_free)) {
        call = mem_alloc(front->mem, sizeof *call);
    } else {
        call = container_of(front->calls_free.next, struct call, link);
        list_remove(&call->link);
        front->calls_free_count--;
    }
    memset(call, 0, offsetof(struct call, room));
    call->session = session;
    call->stream = stream;
    call->began_ns = uv_hrtime();
    list_push(&session->calls, &call->link);
    list_init(&call->woken);
    list_init(&call->leader);
    timer_init(&call->deadline, on_deadline);
    request_init(&call->request, NULL);
    framing_init(&call->framing, front->mem, front->config.request_bytes_max + FRONT_MESSAGE_SLACK);
    buffer_init(&call->backlog, front->mem, SIZE_MAX / 2);
    buffer_init(&call->output, front->mem, INT32_MAX);
    session->calls_count++;
    front->stats.calls++;
    return call;
}

/* Ends what the call has under way, and lets its handler give back what it holds; once. */
static void call_end(struct call *call)
{
    replica_cancel(&call->request);
    timer_clear(&call_front(call)->timers, &call->deadline);
    list_remove(&call->leader);
    const struct method *method = call->method;
    call->method = NULL;
    if (method != NULL && method->over != NULL && call->state != NULL)
        method->over(call);
}

static void call_input_release(struct call *call)
{
    struct etcd_front *front = call_front(call);
    front->input_bytes -= call->framing.message.size + call->backlog.size;
    framing_release(&call->framing);
    buffer_release(&call->backlog);
}

void call_free(struct call *call)
{
    struct etcd_front *front = call_front(call);
    call_end(call);
    call_input_release(call);
    call->session->output_bytes -= call_output_waiting(call);
    buffer_release(&call->output);
    if (call->state != NULL && call->state != call->room)
        mem_free(front->mem, call->state, call->state_size);
    list_remove(&call->woken);
    list_remove(&call->link);
    call->session->calls_count--;
    front->stats.calls--;
    if (front->closing || front->calls_free_count >= CALLS_FREE_MAX) {
        mem_free(front->mem, call, sizeof *call);
        return;
    }
    list_push(&front->calls_free, &call->link);
    front->calls_free_count++;
}

void *call_state(struct call *call, size_t size)
{
    ensure(call->state == NULL);
    call->state = size <= sizeof call->room ? call->room : mem_alloc(call_front(call)->mem, size);
    call->state_size = size;
    return memset(call->state, 0, size);
}

static void on_deadline(struct timer *timer)
{
    call_fail(container_of(timer, struct call, deadline), failure_deadline);
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

static void call_header_path(struct call *call, struct bytes value)
{
    call->path_too_long = value.size > sizeof call->path;
    if (!call->path_too_long && value.size > 0)
        memcpy(call->path, value.data, value.size);
    call->path_size = call->path_too_long ? 0 : (uint8_t)value.size;
}

static void call_header_encoding(struct call *call, struct bytes value)
{
    size_t size = value.size < sizeof call->encoding ? value.size : sizeof call->encoding - 1;
    if (size > 0 && !is_text(value, "identity"))
        memcpy(call->encoding, value.data, size);
}

void call_header(struct call *call, struct bytes name, struct bytes value)
{
    if (is_text(name, ":path"))
        call_header_path(call, value);
    else if (is_text(name, ":method"))
        call->post = is_text(value, "POST");
    else if (is_text(name, "content-type"))
        call->grpc = is_grpc(value);
    else if (is_text(name, "grpc-timeout"))
        (void)grpc_timeout_parse(value, &call->timeout_ns);
    else if (is_text(name, "grpc-encoding"))
        call_header_encoding(call, value);
    else if (is_text(name, "hasleader"))
        call->requires_leader = is_text(value, "true");
}

#define FIELD(name_, value_, size_)                                                                \
    ((nghttp2_nv){(uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_),                   \
                  sizeof(name_) - 1, (size_), NGHTTP2_NV_FLAG_NO_COPY_NAME})

/* The answer to something that is no gRPC at all. */
static void call_fail_http(struct call *call, const char *status)
{
    nghttp2_nv fields[] = {FIELD(":status", status, 3)};
    (void)nghttp2_submit_response(call->session->http2, call->stream, fields, 1, NULL);
    call->responding = true;
    call->finished = true;
    front_socket_touch(call->session->socket);
}

static void call_begin_deadline(struct call *call)
{
    if (call->timeout_ns > 0)
        timer_set(&call_front(call)->timers, &call->deadline,
                  call->timeout_ns / NS_PER_MS + (call->timeout_ns % NS_PER_MS != 0));
}

static void call_begin_leader(struct call *call)
{
    struct etcd_front *front = call_front(call);
    if (front_status(front)->leader == 0) {
        call_fail(call, failure_no_leader);
        return;
    }
    if (!call->method->stream)
        return;
    if (list_empty(&front->leader_calls))
        timer_set(&front->timers, &front->leader_timer, FRONT_LEADER_CHECK_MS);
    list_push(&front->leader_calls, &call->leader);
}

void call_begin(struct call *call)
{
    if (!call->post || !call->grpc) {
        call_fail_http(call, call->post ? "415" : "405");
        return;
    }
    char room[160];
    struct text refusal = text_of(room, sizeof room);
    call->method = method_find(bytes_of(call->path, call->path_size), &refusal);
    if (call->method == NULL) {
        call_fail_text(call, GRPC_UNIMPLEMENTED, room);
        return;
    }
    if (call_front(call)->stopping) {
        call_fail(call, failure_stopped);
        return;
    }
    call_begin_deadline(call);
    if (call->requires_leader)
        call_begin_leader(call);
}

/* --- Messages in ------------------------------------------------------------------------------*/

static void call_message(struct call *call, struct bytes message)
{
    struct etcd_front *front = call_front(call);
    call->message_size = message.size;
    if (!call->method->stream)
        call->taken = true;
    front->arena_users++;
    call->method->message(call, message);
    if (--front->arena_users == 0)
        arena_reset(&front->arena);
    if (call->taken)
        call_input_release(call);
}

static void call_fail_compressed(struct call *call)
{
    char room[128];
    struct text text = text_of(room, sizeof room);
    if (call->encoding[0] == '\0') {
        call_fail_text(call, GRPC_INTERNAL,
                       "grpc: compressed flag set with identity or empty encoding");
        return;
    }
    text_add(&text, "grpc: Decompressor is not installed for grpc-encoding \"");
    text_add(&text, call->encoding);
    text_add(&text, "\"");
    call_fail_text(call, GRPC_UNIMPLEMENTED, room);
}

static void call_fail_too_large(struct call *call)
{
    char room[128];
    struct text text = text_of(room, sizeof room);
    text_add(&text, "grpc: received message larger than max (");
    text_u64(&text, call->framing.size);
    text_add(&text, " vs. ");
    text_u64(&text, call->framing.message.limit);
    text_add(&text, ")");
    call_fail_text(call, GRPC_RESOURCE_EXHAUSTED, room);
}

static bool call_wants_input(const struct call *call)
{
    return !call->finished && !call->taken && !call->busy;
}

/* Hands messages to the handler while it takes them; returns what is left over. */
static struct bytes call_feed(struct call *call, struct bytes input)
{
    while (call_wants_input(call)) {
        size_t held = call->framing.message.size;
        struct bytes message;
        enum framing_event event = framing_next(&call->framing, &input, &message);
        call_front(call)->input_bytes += call->framing.message.size - held;
        if (event == FRAMING_MORE)
            break;
        if (event == FRAMING_COMPRESSED)
            call_fail_compressed(call);
        else if (event == FRAMING_TOO_LARGE)
            call_fail_too_large(call);
        else
            call_message(call, message);
    }
    return input;
}

static void call_consume(struct call *call, size_t size)
{
    if (size > 0)
        (void)nghttp2_session_consume_stream(call->session->http2, call->stream, size);
}

/* More is held of unfinished requests than the front allows: this one has to go. */
static void call_check_held(struct call *call)
{
    struct etcd_front *front = call_front(call);
    if (front->input_bytes > front->config.input_bytes_max && !call->finished &&
        call->framing.message.size + call->backlog.size > 0) {
        call_fail(call, failure_too_many_requests);
        call_input_release(call);
    }
}

void call_data(struct call *call, struct bytes bytes)
{
    if (call->finished || call->taken) {
        call_consume(call, bytes.size);
        return;
    }
    /* A call that was resumed takes its backlog at the end of the turn: until then, what comes
     * queues up behind that. */
    bool queued = call->busy || call->backlog.size > 0;
    struct bytes rest = queued ? bytes : call_feed(call, bytes);
    if (rest.size > 0 && (queued || call->busy) && !call->finished) {
        call_front(call)->input_bytes += rest.size;
        buffer_append(&call->backlog, rest);
        call_consume(call, bytes.size - rest.size);
    } else {
        call_consume(call, bytes.size);
    }
    call_check_held(call);
}

/* The client has sent its last byte, and every whole message was handled. */
static void call_input_ended(struct call *call)
{
    call->half_closed_told = true;
    if (call->method == NULL || call->finished || call->taken)
        return;
    if (!call->method->stream || framing_partial(&call->framing))
        call_fail_text(call, GRPC_INTERNAL, "the request ended before its message");
    else if (call->method->half_closed != NULL)
        call->method->half_closed(call);
    else
        call_finish(call);
}

void call_half_close(struct call *call)
{
    call->half_closed = true;
    if (!call->busy && call->backlog.size == 0 && !call->half_closed_told)
        call_input_ended(call);
}

/* After call_resume, at the end of the turn: what had to wait. */
static void call_continue_input(struct call *call)
{
    if (call->busy || call->finished)
        return;
    if (call->backlog.size > 0) {
        struct buffer backlog = call->backlog;
        buffer_init(&call->backlog, backlog.mem, backlog.limit);
        struct bytes rest = call_feed(call, buffer_bytes(&backlog));
        buffer_append(&call->backlog, rest);
        call_front(call)->input_bytes -= backlog.size - rest.size;
        call_consume(call, backlog.size - rest.size);
        buffer_release(&backlog);
    }
    if (!call->busy && !call->finished && call->half_closed && !call->half_closed_told)
        call_input_ended(call);
}

void call_resume(struct call *call)
{
    call->busy = false;
    call_wake(call);
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
    if (call->finished) {
        call_end(call);
        return;
    }
    call_continue_input(call);
    if (!call->finished && call->method != NULL && call->method->woken != NULL)
        call->method->woken(call);
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
    return call->output.size - call->output_sent;
}

static void submit_trailers(struct call *call)
{
    char status[4];
    char message[512];
    struct text code = text_of(status, sizeof status);
    text_u64(&code, call->code);
    nghttp2_nv fields[2] = {FIELD("grpc-status", status, code.size)};
    size_t count = 1;
    if (call->text != NULL)
        fields[count++] =
            FIELD("grpc-message", message, percent_encode(call->text, message, sizeof message));
    (void)nghttp2_submit_trailer(call->session->http2, call->stream, fields, count);
}

static ssize_t read_output(nghttp2_session *http2, int32_t stream, uint8_t *into, size_t size_max,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)http2;
    (void)stream;
    (void)into;
    (void)user;
    struct call *call = source->ptr;
    size_t waiting = call_output_waiting(call);
    if (waiting == 0 && !call->finished) {
        call->paused = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t size = waiting < size_max ? waiting : size_max;
    if (size > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size == waiting && call->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(call);
    }
    return (ssize_t)size;
}

void call_output_taken(struct call *call, size_t size)
{
    call->output_sent += size;
    call->session->output_bytes -= size;
    if (call_output_waiting(call) > 0)
        return;
    call->output_sent = 0;
    buffer_release(&call->output); /* streams wait by the thousand, with nothing to say */
    if (!call->finished && call->method != NULL && call->method->woken != NULL)
        call_wake(call);
}

/* Lets nghttp2 know that there is something to send: output, or the end. */
static void call_push(struct call *call)
{
    nghttp2_session *http2 = call->session->http2;
    front_socket_touch(call->session->socket);
    if (!call->responding) {
        static const char type[] = "application/grpc";
        nghttp2_nv fields[] = {FIELD(":status", "200", 3),
                               FIELD("content-type", type, sizeof type - 1)};
        nghttp2_data_provider provider = {.source = {.ptr = call}, .read_callback = read_output};
        call->responding = true;
        (void)nghttp2_submit_response(http2, call->stream, fields, 2, &provider);
    } else if (call->paused) {
        call->paused = false;
        (void)nghttp2_session_resume_data(http2, call->stream);
    }
}

/* Room for more output, counted as waiting; NULL: there is none. */
static uint8_t *call_extend(struct call *call, size_t size)
{
    if (call->output_sent > call->output.size / 2) {
        buffer_consume(&call->output, call->output_sent);
        call->output_sent = 0;
    }
    uint8_t *at = buffer_extend(&call->output, size);
    if (at != NULL)
        call->session->output_bytes += size;
    return at;
}

/* Appends the framed message and its further fields to the output; false: there is no room. */
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
    if (call_pack(call, message, fields))
        call_push(call);
    else
        call_fail_no_room(call);
}

void call_reply(struct call *call, const ProtobufCMessage *message)
{
    struct etcd_front *front = call_front(call);
    struct front_session *session = call->session;
    if (call->finished)
        return;
    /* A client that asks for more than it takes is not given memory for it. */
    if (session->output_bytes > front->config.output_bytes_max)
        call_fail(call, failure_too_many_requests);
    else if (!call_pack(call, message, BYTES_EMPTY))
        call_fail_no_room(call);
    else
        call_finish(call);
}

/* --- The end ----------------------------------------------------------------------------------*/

static void call_count(struct call *call)
{
    struct etcd_front *front = call_front(call);
    struct etcd_front_stats *stats = &front->stats;
    stats->calls_finished++;
    if (call->code != GRPC_OK)
        stats->calls_failed++;
    if (call->method == NULL)
        return;
    front->handled[call->method - methods][call->code]++;
    if (call->method->stream)
        return;
    uint64_t took = uv_hrtime() - call->began_ns;
    unsigned bucket = 0;
    while (bucket + 1 < HISTOGRAM_BUCKETS && took >= UINT64_C(100000) << bucket)
        bucket++;
    stats->latency_ns.buckets[bucket]++;
    stats->latency_ns.count++;
    stats->latency_ns.sum += took;
}

/* Marks the end. What the handler holds is given back later, when it is not on the stack. */
static void call_close(struct call *call, enum grpc_code code, const char *text)
{
    call->finished = true;
    call->code = code;
    call->text = text;
    call_count(call);
    replica_cancel(&call->request);
    timer_clear(&call_front(call)->timers, &call->deadline);
    if (call->method != NULL && call->method->over != NULL && call->state != NULL)
        call_wake(call);
}

void call_finish(struct call *call)
{
    if (call->finished)
        return;
    call_close(call, GRPC_OK, NULL);
    call_push(call);
}

/* Nothing was sent yet: status and headers travel together. */
static void call_fail_at_once(struct call *call, const char *text)
{
    static const char type[] = "application/grpc";
    static const char identity[] = "identity";
    char message[1024];
    char status[4];
    struct text code = text_of(status, sizeof status);
    text_u64(&code, call->code);
    nghttp2_nv fields[] = {
        FIELD(":status", "200", 3),
        FIELD("content-type", type, sizeof type - 1),
        FIELD("grpc-status", status, code.size),
        FIELD("grpc-message", message, percent_encode(text, message, sizeof message)),
        FIELD("grpc-accept-encoding", identity, sizeof identity - 1),
    };
    size_t count = call->code == GRPC_UNIMPLEMENTED ? 5 : 4;
    call->responding = true;
    (void)nghttp2_submit_response(call->session->http2, call->stream, fields, count, NULL);
    front_socket_touch(call->session->socket);
}

void call_fail(struct call *call, struct failure failure)
{
    if (call->finished)
        return;
    call_close(call, failure.code, failure.text);
    if (call->responding || call->output.size > 0)
        call_push(call);
    else
        call_fail_at_once(call, failure.text);
}

void call_fail_text(struct call *call, enum grpc_code code, const char *text)
{
    if (call->finished)
        return;
    /* The text does not outlive this call: only an answer that goes out at once can carry it. */
    bool later = call->responding || call->output.size > 0;
    call_close(call, code, later ? "the request is not acceptable" : NULL);
    if (later)
        call_push(call);
    else
        call_fail_at_once(call, text);
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
