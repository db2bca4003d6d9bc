/* gRPC call: framing of messages, headers and trailers of one stream.
 *
 * The fixed header fields are handed to nghttp2 without copies, and a call's buffers stay with it,
 * so a load generator allocates nothing of its own for a request. A message that came in one piece
 * is passed on from where nghttp2 holds it. */
#include "cli/grpc_internal.h"

#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void grpc_call_init(struct grpc_call *call)
{
    buffer_init(&call->out, cli_mem(), GRPC_MESSAGE_MAX);
    buffer_init(&call->in, cli_mem(), GRPC_MESSAGE_MAX + GRPC_PREFIX_SIZE);
    call->connection = NULL;
    list_init(&call->link);
    list_init(&call->deadline_link);
}

void grpc_call_release(struct grpc_call *call)
{
    grpc_call_cancel(call);
    buffer_release(&call->out);
    buffer_release(&call->in);
}

bool grpc_call_active(const struct grpc_call *call)
{
    return call->connection != NULL;
}

void grpc_call_begin(struct grpc_call *call)
{
    ensure(call->connection == NULL);
    buffer_clear(&call->out);
    buffer_clear(&call->in);
    call->out_done = 0;
}

uint8_t *grpc_call_message(struct grpc_call *call, size_t size)
{
    if (call->out_done == call->out.size) {
        buffer_clear(&call->out);
        call->out_done = 0;
    }
    uint8_t *at = buffer_extend(&call->out, size + GRPC_PREFIX_SIZE);
    if (at == NULL)
        panic("a request is larger than any server takes");
    at[0] = 0;
    at[1] = (uint8_t)(size >> 24);
    at[2] = (uint8_t)(size >> 16);
    at[3] = (uint8_t)(size >> 8);
    at[4] = (uint8_t)size;
    return at + GRPC_PREFIX_SIZE;
}

void grpc_call_pack(struct grpc_call *call, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    protobuf_c_message_pack(message, grpc_call_message(call, size));
}

static ssize_t on_source_read(nghttp2_session *session, int32_t stream, uint8_t *target,
                              size_t capacity, uint32_t *flags, nghttp2_data_source *source,
                              void *user)
{
    (void)source;
    (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    size_t left = call->out.size - call->out_done;
    size_t size = left < capacity ? left : capacity;
    if (size == 0 && !call->half_closed)
        return NGHTTP2_ERR_DEFERRED;
    memcpy(target, call->out.data + call->out_done, size);
    call->out_done += size;
    call->sent = true;
    if (call->half_closed && size == left)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)size;
}

#define FIELD_FLAGS (NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE)

static nghttp2_nv field_of(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)name, (uint8_t *)value, strlen(name), strlen(value),
                        FIELD_FLAGS};
}

static void deadline_set(struct grpc_call *call, struct grpc_client *client, uint64_t timeout_ms)
{
    if (timeout_ms == 0)
        return;
    call->deadline_ms = uv_now(&client->loop) + timeout_ms;
    struct list *after = client->deadlines.prev;
    while (after != &client->deadlines &&
           container_of(after, struct grpc_call, deadline_link)->deadline_ms > call->deadline_ms)
        after = after->prev;
    list_push(after->next, &call->deadline_link);
}

bool grpc_call_start(struct grpc_call *call, struct grpc_connection *connection, const char *path,
                     uint64_t timeout_ms, bool stream)
{
    ensure(call->connection == NULL);
    if (connection->state != GRPC_CONNECTING && connection->state != GRPC_READY)
        return false;
    const nghttp2_nv fields[] = {
        field_of(":method", "POST"),
        field_of(":scheme", "http"),
        field_of(":path", path),
        field_of(":authority", connection->endpoints[connection->endpoint].authority),
        field_of("content-type", "application/grpc"),
        field_of("user-agent", "synod/" SYNOD_VERSION),
        field_of("te", "trailers"),
    };
    nghttp2_data_provider provider = {.read_callback = on_source_read};
    call->half_closed = !stream;
    call->sent = false;
    call->trailers = false;
    call->http_status = 0;
    call->status.code = GRPC_UNKNOWN;
    call->status.message[0] = '\0';
    call->stream = nghttp2_submit_request(connection->session, NULL, fields,
                                          sizeof fields / sizeof fields[0], &provider, call);
    if (call->stream < 0) {
        /* Stream numbers are used up after 2^30 calls; a fresh connection has new ones. */
        connection_fail(connection, nghttp2_strerror(call->stream));
        return false;
    }
    call->connection = connection;
    list_push(&connection->calls, &call->link);
    deadline_set(call, connection->client, timeout_ms);
    connection_touch(connection);
    return true;
}

void grpc_call_push(struct grpc_call *call, bool last)
{
    if (call->connection == NULL)
        return;
    call->half_closed = last;
    nghttp2_session_resume_data(call->connection->session, call->stream);
    connection_touch(call->connection);
}

void call_detach(struct grpc_call *call)
{
    list_remove(&call->link);
    list_remove(&call->deadline_link);
    call->connection = NULL;
}

void grpc_call_cancel(struct grpc_call *call)
{
    struct grpc_connection *connection = call->connection;
    if (connection == NULL)
        return;
    nghttp2_session_set_stream_user_data(connection->session, call->stream, NULL);
    nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, call->stream, NGHTTP2_CANCEL);
    connection_touch(connection);
    call_detach(call);
}

void call_end(struct grpc_call *call)
{
    call_detach(call);
    call->status.sent = call->sent;
    call->on_end(call, &call->status);
}

void call_end_with(struct grpc_call *call, int code, const char *message)
{
    call->status.code = code;
    snprintf(call->status.message, sizeof call->status.message, "%s", message);
    call_end(call);
}

static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* grpc-message is percent-encoded; what is not well encoded stays as it is. */
static void decode_message(struct grpc_status *status, const uint8_t *value, size_t size)
{
    size_t out = 0;
    for (size_t i = 0; i < size && out + 1 < sizeof status->message; i++) {
        int high = value[i] == '%' && i + 2 < size ? hex_digit(value[i + 1]) : -1;
        int low = high >= 0 ? hex_digit(value[i + 2]) : -1;
        if (low >= 0) {
            status->message[out++] = (char)(high * 16 + low);
            i += 2;
        } else {
            status->message[out++] = (char)value[i];
        }
    }
    status->message[out] = '\0';
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
    if (call == NULL)
        return 0;
    if (name_size == 7 && memcmp(name, ":status", 7) == 0) {
        call->http_status = (uint16_t)strtoul((const char *)value, NULL, 10);
    } else if (name_size == 11 && memcmp(name, "grpc-status", 11) == 0) {
        call->status.code = (int)strtoul((const char *)value, NULL, 10);
        call->trailers = true;
    } else if (name_size == 12 && memcmp(name, "grpc-message", 12) == 0) {
        decode_message(&call->status, value, value_size);
    }
    return 0;
}

/* The size of the message at the start of `bytes`, prefix excluded; SIZE_MAX if it is not known. */
static size_t message_size(struct bytes bytes)
{
    if (bytes.size < GRPC_PREFIX_SIZE)
        return SIZE_MAX;
    return (size_t)bytes.data[1] << 24 | (size_t)bytes.data[2] << 16 | (size_t)bytes.data[3] << 8 |
           bytes.data[4];
}

/* Hands on the whole messages at the start of `bytes`; returns how much that was. */
static size_t deliver_messages(struct grpc_call *call, struct bytes bytes)
{
    size_t done = 0;
    while (call->connection != NULL) {
        struct bytes rest = bytes_of(bytes.data + done, bytes.size - done);
        size_t size = message_size(rest);
        if (size == SIZE_MAX || size > rest.size - GRPC_PREFIX_SIZE)
            break;
        done += GRPC_PREFIX_SIZE + size;
        if (call->on_message != NULL)
            call->on_message(call, bytes_of(rest.data + GRPC_PREFIX_SIZE, size));
    }
    return done;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL)
        return 0;
    struct bytes bytes = bytes_of(data, size);
    if (call->in.size == 0) {
        size_t done = deliver_messages(call, bytes);
        bytes = bytes_of(data + done, size - done);
        if (bytes.size == 0 || call->connection == NULL)
            return 0;
    }
    buffer_append(&call->in, bytes);
    if (call->in.failed) {
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
        return 0;
    }
    size_t done = deliver_messages(call, buffer_bytes(&call->in));
    if (call->connection != NULL)
        buffer_consume(&call->in, done);
    return 0;
}

static int on_stream_close(nghttp2_session *session, int32_t stream, uint32_t error, void *user)
{
    (void)user;
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call == NULL)
        return 0;
    if (call->trailers) {
        call_end(call);
    } else if (call->http_status != 0 && call->http_status != 200) {
        char message[64];
        snprintf(message, sizeof message, "HTTP status %u instead of a gRPC answer",
                 call->http_status);
        call_end_with(call, GRPC_UNAVAILABLE, message);
    } else {
        call_end_with(call, error == NGHTTP2_CANCEL ? GRPC_CANCELED : GRPC_UNAVAILABLE,
                      nghttp2_http2_strerror(error));
    }
    return 0;
}

/* A server may answer before our side of a stream is finished; nobody listens to the rest of it. */
void call_on_last_frame(nghttp2_session *session, int32_t stream)
{
    struct grpc_call *call = nghttp2_session_get_stream_user_data(session, stream);
    if (call != NULL && (!call->half_closed || call->out_done < call->out.size))
        nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
}

void call_set_callbacks(nghttp2_session_callbacks *callbacks)
{
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
}
