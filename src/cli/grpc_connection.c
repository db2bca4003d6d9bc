/* gRPC connection: one TCP connection at a time, its HTTP/2 session, and the way to the next.
 *
 *     CONNECTING --connected--> READY --failure--> CLOSING --> CONNECTING (the next endpoint)
 *          \------failure or dial timeout----------^     \--> WAITING (all failed lately) --^
 *
 * The invariant: a session exists exactly in CONNECTING and READY, and it is never deleted while
 * nghttp2 is on the stack (in_session): a failure noticed there is carried out afterwards. */
#include "cli/grpc_internal.h"

#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OUT_CAPACITY (64 * 1024)
#define FRAME_MAX (16 * 1024 + 64) /* what nghttp2 hands out at once, at most */
#define WINDOW_STREAM (4 << 20)
#define WINDOW_CONNECTION (16 << 20)
#define KEEPALIVE_IDLE_MS 10000 /* silence, with calls open, after which a ping goes out */
#define KEEPALIVE_WAIT_MS 5000
#define BACKOFF_MIN_MS 50
#define BACKOFF_MAX_MS 1000

static void connection_dial(struct grpc_connection *connection);

static int on_frame_recv(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
    struct grpc_connection *connection = user;
    if ((frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0)
        call_on_last_frame(session, frame->hd.stream_id);
    if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
        connection->ping_ms = 0;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        connection->failing = true;
        snprintf(connection->error, sizeof connection->error, "the server closed the connection");
    }
    return 0;
}

static void session_open(struct grpc_connection *connection)
{
    static nghttp2_session_callbacks *callbacks;
    if (callbacks == NULL) {
        if (nghttp2_session_callbacks_new(&callbacks) != 0)
            panic("out of memory");
        nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame_recv);
        call_set_callbacks(callbacks);
    }
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW_STREAM},
    };
    if (nghttp2_session_client_new(&connection->session, callbacks, connection) != 0)
        panic("out of memory");
    nghttp2_submit_settings(connection->session, NGHTTP2_FLAG_NONE, settings,
                            sizeof settings / sizeof settings[0]);
    nghttp2_session_set_local_window_size(connection->session, NGHTTP2_FLAG_NONE, 0,
                                          WINDOW_CONNECTION);
}

void connection_touch(struct grpc_connection *connection)
{
    if (list_empty(&connection->dirty))
        list_push(&connection->client->dirty, &connection->dirty);
}

static void on_written(uv_write_t *request, int status)
{
    struct grpc_connection *connection = request->data;
    connection->writing = false;
    connection->out_size = 0;
    if (connection->state != GRPC_READY)
        return;
    if (status < 0)
        connection_fail(connection, uv_strerror(status));
    else
        connection_flush(connection);
}

/* Takes frames from the session until the buffer is full; returns false if the session broke. */
static bool fill_out(struct grpc_connection *connection)
{
    connection->in_session = true;
    ssize_t size = 0;
    while (connection->out_size + FRAME_MAX <= OUT_CAPACITY) {
        const uint8_t *data;
        size = nghttp2_session_mem_send(connection->session, &data);
        if (size <= 0)
            break;
        ensure(connection->out_size + (size_t)size <= OUT_CAPACITY);
        memcpy(connection->out + connection->out_size, data, (size_t)size);
        connection->out_size += (size_t)size;
    }
    connection->in_session = false;
    return size >= 0;
}

void connection_flush(struct grpc_connection *connection)
{
    while (connection->state == GRPC_READY && !connection->writing) {
        if (!fill_out(connection)) {
            connection_fail(connection, "HTTP/2 error while sending");
            return;
        }
        if (connection->failing) {
            connection_fail(connection, connection->error);
            return;
        }
        if (connection->out_size == 0)
            return;
        uv_buf_t buffer = uv_buf_init((char *)connection->out, (unsigned)connection->out_size);
        int written = uv_try_write((uv_stream_t *)&connection->tcp, &buffer, 1);
        if (written == (int)connection->out_size) {
            connection->out_size = 0;
            continue;
        }
        if (written < 0 && written != UV_EAGAIN) {
            connection_fail(connection, uv_strerror(written));
            return;
        }
        size_t done = written > 0 ? (size_t)written : 0;
        buffer =
            uv_buf_init((char *)connection->out + done, (unsigned)(connection->out_size - done));
        connection->writing = true;
        connection->write.data = connection;
        if (uv_write(&connection->write, (uv_stream_t *)&connection->tcp, &buffer, 1, on_written) !=
            0)
            panic("a write cannot be queued");
    }
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret_buffer)
{
    struct grpc_connection *connection = handle->data;
    (void)suggested;
    *ret_buffer = uv_buf_init((char *)connection->client->read_buffer,
                              sizeof connection->client->read_buffer);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct grpc_connection *connection = stream->data;
    if (size < 0) {
        connection_fail(connection, size == UV_EOF ? "the server closed the connection"
                                                   : uv_strerror((int)size));
        return;
    }
    connection->read_ms = uv_now(&connection->client->loop);
    connection->failures = 0; /* not at connecting: what accepts and closes is no server */
    connection->in_session = true;
    ssize_t taken =
        nghttp2_session_mem_recv(connection->session, (const uint8_t *)buffer->base, (size_t)size);
    connection->in_session = false;
    if (taken < 0)
        connection_fail(connection, "the server does not speak HTTP/2");
    else if (connection->failing)
        connection_fail(connection, connection->error);
    else
        connection_touch(connection);
}

static void on_connected(uv_connect_t *request, int status)
{
    struct grpc_connection *connection = request->data;
    if (connection->state != GRPC_CONNECTING)
        return;
    if (status < 0) {
        connection_fail(connection, uv_strerror(status));
        return;
    }
    uv_tcp_nodelay(&connection->tcp, 1);
    uv_read_start((uv_stream_t *)&connection->tcp, on_alloc, on_read);
    connection->state = GRPC_READY;
    connection->read_ms = uv_now(&connection->client->loop);
    connection_touch(connection);
    if (connection->on_state != NULL)
        connection->on_state(connection);
}

static void connection_dial(struct grpc_connection *connection)
{
    struct grpc_client *client = connection->client;
    const struct grpc_endpoint *endpoint = &connection->endpoints[connection->endpoint];
    uint32_t timeout = connection->dial_timeout_ms != 0 ? connection->dial_timeout_ms : 2000;
    connection->state = GRPC_CONNECTING;
    connection->failing = false;
    connection->ping_ms = 0;
    connection->out_size = 0;
    uv_update_time(&client->loop);
    connection->dial_deadline_ms = uv_now(&client->loop) + timeout;
    session_open(connection);
    uv_tcp_init(&client->loop, &connection->tcp);
    connection->tcp_open = true;
    connection->tcp.data = connection;
    connection->connect.data = connection;
    int rc = uv_tcp_connect(&connection->connect, &connection->tcp,
                            (const struct sockaddr *)&endpoint->address, on_connected);
    if (rc != 0)
        connection_fail(connection, uv_strerror(rc));
}

static void on_closed(uv_handle_t *handle)
{
    struct grpc_connection *connection = handle->data;
    connection->tcp_open = false;
    connection->writing = false;
    if (connection->state == GRPC_CLOSED)
        return;
    connection->endpoint = (connection->endpoint + 1) % connection->endpoints_count;
    if (connection->failures < connection->endpoints_count) {
        connection_dial(connection);
        return;
    }
    uint64_t rounds = connection->failures / connection->endpoints_count;
    uint64_t wait = rounds < 6 ? (uint64_t)BACKOFF_MIN_MS << (rounds - 1) : BACKOFF_MAX_MS;
    connection->retry_ms =
        uv_now(&connection->client->loop) + (wait < BACKOFF_MAX_MS ? wait : BACKOFF_MAX_MS);
    connection->state = GRPC_WAITING;
}

static void session_close(struct grpc_connection *connection)
{
    nghttp2_session_del(connection->session);
    connection->session = NULL;
    list_remove(&connection->dirty);
    if (connection->tcp_open && !uv_is_closing((uv_handle_t *)&connection->tcp))
        uv_close((uv_handle_t *)&connection->tcp, on_closed);
}

void connection_fail(struct grpc_connection *connection, const char *why)
{
    if (connection->state != GRPC_CONNECTING && connection->state != GRPC_READY)
        return;
    if (why != connection->error)
        snprintf(connection->error, sizeof connection->error, "%s", why);
    if (connection->in_session) {
        connection->failing = true;
        return;
    }
    bool was_ready = connection->state == GRPC_READY;
    connection->state = GRPC_CLOSING;
    connection->failures++;
    session_close(connection);
    /* Calls begun from on_end are refused by now, so the list only shrinks. */
    while (!list_empty(&connection->calls)) {
        struct grpc_call *call = container_of(connection->calls.next, struct grpc_call, link);
        char message[512];
        snprintf(message, sizeof message, "%s: %s",
                 connection->endpoints[connection->endpoint].text, connection->error);
        call_end_with(call, GRPC_UNAVAILABLE, message);
    }
    if (was_ready && connection->on_state != NULL)
        connection->on_state(connection);
}

void connection_tick(struct grpc_connection *connection, uint64_t now_ms)
{
    if (connection->state == GRPC_CONNECTING && now_ms >= connection->dial_deadline_ms) {
        connection_fail(connection, "connecting timed out");
    } else if (connection->state == GRPC_WAITING && now_ms >= connection->retry_ms) {
        connection_dial(connection);
    } else if (connection->state == GRPC_READY && !list_empty(&connection->calls)) {
        if (connection->ping_ms != 0 && now_ms - connection->ping_ms > KEEPALIVE_WAIT_MS) {
            connection_fail(connection, "the server does not answer");
        } else if (connection->ping_ms == 0 && now_ms - connection->read_ms > KEEPALIVE_IDLE_MS) {
            connection->ping_ms = now_ms;
            nghttp2_submit_ping(connection->session, NGHTTP2_FLAG_NONE, NULL);
            connection_touch(connection);
        }
    }
}

void grpc_connection_open(struct grpc_connection *connection, struct grpc_client *client)
{
    ensure(connection->endpoints_count > 0);
    connection->client = client;
    connection->out = malloc(OUT_CAPACITY);
    if (connection->out == NULL)
        panic("out of memory");
    list_init(&connection->calls);
    list_init(&connection->dirty);
    list_init(&connection->link);
    list_push(&client->connections, &connection->link);
    connection_dial(connection);
}

void grpc_connection_rotate(struct grpc_connection *connection, const char *why)
{
    connection_fail(connection, why);
}

void grpc_connection_hurry(struct grpc_connection *connection)
{
    if (connection->state != GRPC_WAITING)
        return;
    connection->failures = 0;
    connection_dial(connection);
}

void grpc_connection_close(struct grpc_connection *connection)
{
    ensure(!connection->in_session);
    if (connection->state == GRPC_CLOSED)
        return;
    while (!list_empty(&connection->calls))
        call_detach(container_of(connection->calls.next, struct grpc_call, link));
    bool has_session = connection->session != NULL;
    connection->state = GRPC_CLOSED;
    if (has_session)
        session_close(connection);
    list_remove(&connection->link);
    free(connection->out);
    connection->out = NULL;
}
