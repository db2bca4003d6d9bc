/* Sockets over libuv. All sockets of a lane read into one buffer and gather what they write in one
 * buffer; only what the kernel did not take at once is copied into the socket's own. So an
 * idle connection costs its structures and nothing else. */
#include "front/etcd/socket.h"

#include "front/etcd/session.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#define HANDSHAKE_MS 5000    /* from connecting, or from a request's first byte, to its end */
#define IDLE_HTTP_MS 60000   /* HTTP/1.1 between requests */
#define WRITE_STALL_MS 60000 /* the peer took nothing for so long */

static const uint8_t preface[3] = {'P', 'R', 'I'};

static void on_timer(struct timer *timer)
{
    front_socket_close(container_of(timer, struct front_socket, timer));
}

static void on_http_output(void *owner)
{
    front_socket_touch(owner);
}

static struct front_socket *socket_new(struct lane *lane)
{
    struct front_socket *socket = mem_zero(lane->mem, sizeof *socket);
    socket->lane = lane;
    list_init(&socket->dirty);
    list_push(&lane->sockets, &socket->link);
    timer_init(&socket->timer, on_timer);
    buffer_init(&socket->pending, lane->mem, SIZE_MAX / 2);
    return socket;
}

static void socket_free(struct front_socket *socket)
{
    struct lane *lane = socket->lane;
    list_remove(&socket->link);
    if (!socket->moved)
        atomic_fetch_sub_explicit(&lane->front->connections, 1, memory_order_relaxed);
    buffer_release(&socket->pending);
    mem_free(lane->mem, socket, sizeof *socket);
    lane_check_end(lane);
}

static void on_closed(uv_handle_t *handle)
{
    struct front_socket *socket = handle->data;
    struct lane *lane = socket->lane;
    socket_free(socket);
    lane_handle_closed(lane);
}

void front_socket_close(struct front_socket *socket)
{
    if (socket->closing)
        return;
    socket->closing = true;
    list_remove(&socket->dirty);
    timer_clear(&socket->lane->timers, &socket->timer);
    if (socket->session != NULL)
        front_session_close(socket->session);
    if (socket->http != NULL)
        http_session_free(socket->http);
    socket->session = NULL;
    socket->http = NULL;
    if (socket->detached)
        socket_free(socket);
    else
        uv_close((uv_handle_t *)&socket->tcp, on_closed);
}

/* --- Receiving --------------------------------------------------------------------------------*/

static void receive_http(struct front_socket *socket, struct bytes bytes)
{
    bool was_idle = http_session_idle(socket->http);
    if (!http_session_receive(socket->http, bytes))
        socket->ending = true;
    /* A head may take so long to arrive, but a page may wait longer for what it shows. */
    if (http_session_idle(socket->http) || http_session_waiting(socket->http))
        timer_set(&socket->lane->timers, &socket->timer, IDLE_HTTP_MS);
    else if (was_idle)
        timer_set(&socket->lane->timers, &socket->timer, HANDSHAKE_MS);
    front_socket_touch(socket);
}

static void receive_http2(struct front_socket *socket, struct bytes bytes)
{
    if (!front_session_receive(socket->session, bytes))
        socket->ending = true;
    front_socket_touch(socket);
}

static void receive_known(struct front_socket *socket, struct bytes bytes)
{
    if (bytes.size == 0 || socket->ending)
        return;
    if (socket->session != NULL)
        receive_http2(socket, bytes);
    else
        receive_http(socket, bytes);
}

/* Lets another lane have the connection, with what was read of it; false: it stays here. The
 * descriptor is doubled, so that closing it here does not end the connection. */
static bool socket_move(struct front_socket *socket, struct bytes bytes)
{
    struct lane *lane = front_lane_for(socket->lane->front);
    uv_os_fd_t descriptor;
    if (lane == socket->lane || socket->detached ||
        uv_fileno((uv_handle_t *)&socket->tcp, &descriptor) != 0)
        return false;
    descriptor = fcntl(descriptor, F_DUPFD_CLOEXEC, 0);
    if (descriptor < 0)
        return false;
    struct buffer *letter = &socket->lane->gather;
    buffer_clear(letter);
    buffer_append(letter, bytes_of(&descriptor, sizeof descriptor));
    buffer_append(letter, bytes_of(socket->sniffed, socket->sniffed_size));
    buffer_append(letter, bytes);
    lane_order(lane, &(struct letter){.kind = ORDER_ADOPT, .size = (uint32_t)letter->size},
               buffer_bytes(letter));
    socket->moved = true;
    front_socket_close(socket);
    return true;
}

/* Looks at the first bytes; what was looked at is handed on to whoever they are for. */
static void receive_unknown(struct front_socket *socket, struct bytes bytes)
{
    size_t at = 0;
    while (at < bytes.size && socket->sniffed_size + at < sizeof preface &&
           bytes.data[at] == preface[socket->sniffed_size + at])
        at++;
    if (socket->sniffed_size + at < sizeof preface && at == bytes.size) {
        memcpy(socket->sniffed + socket->sniffed_size, bytes.data, at);
        socket->sniffed_size = (uint8_t)(socket->sniffed_size + at);
        return;
    }
    if (socket->sniffed_size + at == sizeof preface) {
        if (socket_move(socket, bytes))
            return;
        socket->session = front_session_open(socket);
    } else {
        socket->http = http_session_new(socket->lane->front->http, socket, on_http_output);
    }
    receive_known(socket, bytes_of(socket->sniffed, socket->sniffed_size));
    receive_known(socket, bytes);
}

void front_socket_receive(struct front_socket *socket, struct bytes bytes)
{
    stat_add(&socket->lane->stats.bytes_received, bytes.size);
    if (socket->session == NULL && socket->http == NULL)
        receive_unknown(socket, bytes);
    else
        receive_known(socket, bytes);
}

void front_socket_established(struct front_socket *socket)
{
    timer_clear(&socket->lane->timers, &socket->timer);
}

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *buf)
{
    struct front_socket *socket = handle->data;
    (void)suggested;
    *buf = uv_buf_init((char *)socket->lane->read_buffer, FRONT_READ_SIZE);
}

static void on_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buf)
{
    struct front_socket *socket = stream->data;
    if (size < 0)
        front_socket_close(socket);
    else if (size > 0)
        front_socket_receive(socket, bytes_of(buf->base, (size_t)size));
}

void front_socket_read(struct front_socket *socket, bool on)
{
    if (socket->closing || socket->writing || socket->detached)
        return;
    if (on)
        (void)uv_read_start((uv_stream_t *)&socket->tcp, on_alloc, on_read);
    else
        (void)uv_read_stop((uv_stream_t *)&socket->tcp);
}

/* --- Writing ----------------------------------------------------------------------------------*/

void front_socket_touch(struct front_socket *socket)
{
    if (socket->closing || !list_empty(&socket->dirty))
        return;
    list_push(&socket->lane->dirty, &socket->dirty);
    lane_wake(socket->lane);
}

static void on_written(uv_write_t *write, int status)
{
    struct front_socket *socket = write->data;
    socket->writing = false;
    buffer_release(&socket->pending);
    if (socket->closing)
        return;
    if (status < 0) {
        front_socket_close(socket);
        return;
    }
    timer_clear(&socket->lane->timers, &socket->timer);
    if (socket->http != NULL)
        timer_set(&socket->lane->timers, &socket->timer, IDLE_HTTP_MS);
    front_socket_read(socket, !socket->lane->waiting);
    front_socket_touch(socket);
}

/* The kernel took only a part: keeps the rest, and asks for nothing more until it is gone. */
static bool write_later(struct front_socket *socket, struct bytes rest)
{
    buffer_append(&socket->pending, rest);
    uv_buf_t buf = uv_buf_init((char *)socket->pending.data, (unsigned)socket->pending.size);
    socket->write.data = socket;
    if (uv_write(&socket->write, (uv_stream_t *)&socket->tcp, &buf, 1, on_written) != 0)
        return false;
    socket->writing = true;
    (void)uv_read_stop((uv_stream_t *)&socket->tcp);
    timer_set(&socket->lane->timers, &socket->timer, WRITE_STALL_MS);
    return true;
}

static bool write_now(struct front_socket *socket, struct bytes bytes)
{
    stat_add(&socket->lane->stats.bytes_sent, bytes.size);
    if (socket->detached) {
        buffer_append(&socket->pending, bytes);
        socket->writing = true;
        return true;
    }
    uv_buf_t buf = uv_buf_init((char *)(uintptr_t)bytes.data, (unsigned)bytes.size);
    int written = uv_try_write((uv_stream_t *)&socket->tcp, &buf, 1);
    if (written < 0 && written != UV_EAGAIN)
        return false;
    size_t taken = written < 0 ? 0 : (size_t)written;
    if (taken == bytes.size)
        return true;
    return write_later(socket, bytes_of(bytes.data + taken, bytes.size - taken));
}

/* Fills lane->gather; false: the connection is of no use any more. */
static bool socket_produce(struct front_socket *socket)
{
    struct buffer *gather = &socket->lane->gather;
    buffer_clear(gather);
    if (socket->session != NULL)
        return front_session_produce(socket->session);
    if (socket->http != NULL) {
        struct buffer *output = http_session_output(socket->http);
        buffer_append(gather, buffer_bytes(output));
        buffer_release(output);
    }
    return true;
}

static bool socket_done(const struct front_socket *socket)
{
    if (socket->session != NULL)
        return front_session_done(socket->session);
    if (socket->http != NULL && http_session_waiting(socket->http))
        return false;
    return socket->ending || (socket->http != NULL && http_session_ended(socket->http));
}

void front_socket_flush(struct front_socket *socket)
{
    if (socket->writing || socket->closing)
        return;
    bool alive = socket_produce(socket);
    struct bytes bytes = buffer_bytes(&socket->lane->gather);
    if (bytes.size > 0 && !write_now(socket, bytes))
        alive = false;
    if (!alive || (!socket->writing && socket_done(socket)))
        front_socket_close(socket);
    else if (bytes.size >= FRONT_GATHER_SIZE)
        front_socket_touch(socket); /* there may be more */
}

/* --- Beginning and end ------------------------------------------------------------------------*/

static void on_refused(uv_handle_t *handle)
{
    struct front_socket *socket = handle->data;
    struct lane *lane = socket->lane;
    mem_free(lane->mem, socket, sizeof *socket);
    lane_handle_closed(lane);
}

/* A connection too many: taken out of the kernel's queue and closed without a word. */
static void socket_refuse(struct lane *lane, uv_stream_t *listener)
{
    struct front_socket *socket = mem_zero(lane->mem, sizeof *socket);
    socket->lane = lane;
    (void)uv_tcp_init(lane->loop, &socket->tcp);
    socket->tcp.data = socket;
    lane_handle_opened(lane);
    stat_add(&lane->stats.connections_refused, 1);
    (void)uv_accept(listener, (uv_stream_t *)&socket->tcp);
    uv_close((uv_handle_t *)&socket->tcp, on_refused);
}

static struct front_socket *socket_open(struct lane *lane)
{
    struct front_socket *socket = socket_new(lane);
    (void)uv_tcp_init(lane->loop, &socket->tcp);
    socket->tcp.data = socket;
    lane_handle_opened(lane);
    return socket;
}

void front_socket_accept(struct etcd_front *front, uv_stream_t *listener)
{
    struct lane *lane = &front->core;
    if (lane->stopping || front_connections(front) >= front->config.connections_max) {
        socket_refuse(lane, listener);
        return;
    }
    struct front_socket *socket = socket_open(lane);
    atomic_fetch_add_explicit(&front->connections, 1, memory_order_relaxed);
    stat_add(&lane->stats.connections_accepted, 1);
    if (uv_accept(listener, (uv_stream_t *)&socket->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&socket->tcp, on_alloc, on_read) != 0) {
        front_socket_close(socket);
        return;
    }
    (void)uv_tcp_nodelay(&socket->tcp, 1);
    (void)uv_tcp_keepalive(&socket->tcp, 1, 60);
    timer_set(&lane->timers, &socket->timer, HANDSHAKE_MS);
}

void front_socket_adopt(struct lane *lane, int descriptor, struct bytes bytes)
{
    struct front_socket *socket = socket_open(lane);
    if (uv_tcp_open(&socket->tcp, descriptor) != 0) {
        (void)close(descriptor);
        front_socket_close(socket);
        return;
    }
    if (!lane->waiting && uv_read_start((uv_stream_t *)&socket->tcp, on_alloc, on_read) != 0) {
        front_socket_close(socket);
        return;
    }
    timer_set(&lane->timers, &socket->timer, HANDSHAKE_MS);
    socket->session = front_session_open(socket);
    receive_known(socket, bytes); /* counted where they were read */
    if (lane->stopping)
        front_socket_stop(socket);
}

struct front_socket *front_socket_detached(struct lane *lane)
{
    struct front_socket *socket = socket_new(lane);
    atomic_fetch_add_explicit(&lane->front->connections, 1, memory_order_relaxed);
    socket->detached = true;
    return socket;
}

void front_socket_take(struct front_socket *socket, struct buffer *into)
{
    buffer_append(into, buffer_bytes(&socket->pending));
    buffer_clear(&socket->pending);
    socket->writing = false;
    front_socket_touch(socket);
}

void front_socket_stop(struct front_socket *socket)
{
    if (socket->closing)
        return;
    if (socket->session != NULL)
        front_session_stop(socket->session);
    else
        socket->ending = true;
    front_socket_touch(socket);
}
