/* The glue between nghttp2 and the calls: its callbacks, what a session may cost, and the two ways
 * that bytes go through it. See session.h for how the windows work. */
#include "front/etcd/session.h"

#include "base/panic.h"
#include "front/etcd/stream.h"

#include <string.h>

#define CALLS_MAX 262144U
#define HEADER_BYTES_MAX 16384U
#define STREAM_WINDOW (1024 * 1024)
#define CONNECTION_WINDOW (8 * 1024 * 1024)
/* Of the headers that we send there are three, two of which are worth remembering. */
#define DEFLATE_TABLE_SIZE 256U
/* Allowances: how many at once, and how many more each second. */
#define RESETS_BURST 1000U
#define RESETS_PER_SECOND 100U
#define PINGS_BURST 1000U
#define PINGS_PER_SECOND 10U
#define ACKS_WAITING_MAX 1000U
#define SETTINGS_ENTRIES_MAX 32U

/* --- Abuse ------------------------------------------------------------------------------------*/

static uint32_t allowance_refill(uint32_t left, uint64_t ms, uint32_t rate, uint32_t most)
{
    uint64_t more = left + ms * rate / 1000;
    return more > most ? most : (uint32_t)more;
}

/* Takes one of an allowance; ends the session when nothing is left. */
static void session_charge(struct front_session *session, uint32_t *left)
{
    uint64_t now = uv_now(session->lane->loop);
    if (now - session->bucket_ms >= 100) {
        uint64_t ms = now - session->bucket_ms;
        session->bucket_ms = now;
        session->resets = allowance_refill(session->resets, ms, RESETS_PER_SECOND, RESETS_BURST);
        session->pings = allowance_refill(session->pings, ms, PINGS_PER_SECOND, PINGS_BURST);
    }
    if (*left > 0) {
        --*left;
        return;
    }
    if (session->abused)
        return;
    static const char too_many[] = "too_many_pings"; /* gRPC clients look for it */
    bool pings = left == &session->pings;
    session->abused = true;
    stat_add(&session->lane->stats.connections_abused, 1);
    (void)nghttp2_submit_goaway(
        session->http2, NGHTTP2_FLAG_NONE, nghttp2_session_get_last_proc_stream_id(session->http2),
        NGHTTP2_ENHANCE_YOUR_CALM, (const uint8_t *)too_many, pings ? sizeof too_many - 1 : 0);
}

/* --- Callbacks: what came in ------------------------------------------------------------------*/

static struct stream *session_stream(nghttp2_session *http2, int32_t id)
{
    return nghttp2_session_get_stream_user_data(http2, id);
}

static int on_begin_headers(nghttp2_session *http2, const nghttp2_frame *frame, void *user)
{
    struct front_session *session = user;
    if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
        return 0;
    if (atomic_load_explicit(&session->lane->front->calls, memory_order_relaxed) >= CALLS_MAX)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    struct stream *stream = stream_new(session, frame->hd.stream_id);
    (void)nghttp2_session_set_stream_user_data(http2, frame->hd.stream_id, stream);
    return 0;
}

static int on_header(nghttp2_session *http2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    struct stream *stream = session_stream(http2, frame->hd.stream_id);
    if (stream == NULL)
        return 0;
    /* 32 bytes a field, as HTTP/2 counts them; trailers count as well. */
    size_t cost = name_size + value_size + 32;
    if (cost > HEADER_BYTES_MAX - stream->header_bytes)
        return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->header_bytes += (uint32_t)cost;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        stream_header(stream, bytes_of(name, name_size), bytes_of(value, value_size));
    return 0;
}

static void on_headers_complete(struct stream *stream, const nghttp2_frame *frame)
{
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        stream_begin(stream);
    if (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)
        stream_half_close(stream);
}

static int on_frame(nghttp2_session *http2, const nghttp2_frame *frame, void *user)
{
    struct front_session *session = user;
    struct stream *stream =
        frame->hd.stream_id == 0 ? NULL : session_stream(http2, frame->hd.stream_id);
    switch (frame->hd.type) {
    case NGHTTP2_HEADERS:
        if (stream != NULL)
            on_headers_complete(stream, frame);
        break;
    case NGHTTP2_DATA:
        if (stream != NULL && (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
            stream_half_close(stream);
        break;
    case NGHTTP2_SETTINGS:
        front_socket_established(session->socket);
        break;
    case NGHTTP2_RST_STREAM:
        session_charge(session, &session->resets);
        break;
    case NGHTTP2_PING:
        if (!(frame->hd.flags & NGHTTP2_FLAG_ACK))
            session_charge(session, &session->pings);
        break;
    default:
        break;
    }
    return 0;
}

static int on_data(nghttp2_session *http2, uint8_t flags, int32_t id, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    (void)user;
    struct stream *stream = session_stream(http2, id);
    (void)nghttp2_session_consume_connection(http2, size);
    if (stream != NULL)
        stream_data(stream, bytes_of(data, size));
    return 0;
}

static int on_stream_close(nghttp2_session *http2, int32_t id, uint32_t error, void *user)
{
    (void)error;
    (void)user;
    struct stream *stream = session_stream(http2, id);
    if (stream != NULL)
        stream_gone(stream);
    return 0;
}

/* --- Callbacks: what goes out -----------------------------------------------------------------*/

/* A whole DATA frame, straight from the stream's output. */
static int on_send_data(nghttp2_session *http2, nghttp2_frame *frame, const uint8_t *head,
                        size_t size, nghttp2_data_source *source, void *user)
{
    (void)http2;
    struct front_session *session = user;
    struct stream *stream = source->ptr;
    struct buffer *gather = &session->lane->gather;
    if (gather->size >= FRONT_GATHER_SIZE)
        return NGHTTP2_ERR_WOULDBLOCK;
    size_t padding = frame->data.padlen;
    buffer_append(gather, bytes_of(head, 9));
    if (padding > 0)
        buffer_u8(gather, (uint8_t)(padding - 1));
    buffer_append(gather, bytes_of(stream->output.data + stream->output_sent, size));
    for (size_t i = 1; i < padding; i++)
        buffer_u8(gather, 0);
    stream_output_taken(stream, size);
    session->pings = PINGS_BURST; /* who is being answered may measure the way */
    return 0;
}

/* An answer that is complete before the request is: tell the client to stop sending. */
static int on_frame_sent(nghttp2_session *http2, const nghttp2_frame *frame, void *user)
{
    (void)user;
    if (frame->hd.type != NGHTTP2_HEADERS || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return 0;
    struct stream *stream = session_stream(http2, frame->hd.stream_id);
    if (stream != NULL && !stream->half_closed)
        (void)nghttp2_submit_rst_stream(http2, NGHTTP2_FLAG_NONE, frame->hd.stream_id,
                                        NGHTTP2_NO_ERROR);
    return 0;
}

/* --- The session ------------------------------------------------------------------------------*/

enum status front_session_setup(struct etcd_front *front)
{
    if (nghttp2_session_callbacks_new(&front->callbacks) != 0 ||
        nghttp2_option_new(&front->options) != 0)
        return STATUS_NO_MEMORY;
    nghttp2_session_callbacks *callbacks = front->callbacks;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_send_data_callback(callbacks, on_send_data);
    nghttp2_session_callbacks_set_on_frame_send_callback(callbacks, on_frame_sent);
    nghttp2_option_set_no_auto_window_update(front->options, 1);
    nghttp2_option_set_no_closed_streams(front->options, 1);
    /* etcd's own client may send a whole URL as :authority, which nghttp2 would refuse as
     * malformed. Nothing here relies on headers being well formed: the few that count are read with
     * bounds. */
    nghttp2_option_set_no_http_messaging(front->options, 1);
    nghttp2_option_set_max_deflate_dynamic_table_size(front->options, DEFLATE_TABLE_SIZE);
    nghttp2_option_set_max_outbound_ack(front->options, ACKS_WAITING_MAX);
    nghttp2_option_set_max_settings(front->options, SETTINGS_ENTRIES_MAX);
    /* Resets are counted here, by session_charge; the library's own limit is lower (33 a second
     * after the first thousand), counts in whole seconds and ends a session as if by an error. */
#ifdef HAVE_NGHTTP2_RESET_LIMIT
    nghttp2_option_set_stream_reset_rate_limit(front->options, UINT32_MAX, UINT32_MAX);
#endif
    return STATUS_OK;
}

void front_session_teardown(struct etcd_front *front)
{
    nghttp2_session_callbacks_del(front->callbacks);
    nghttp2_option_del(front->options);
}

struct front_session *front_session_open(struct front_socket *socket)
{
    struct lane *lane = socket->lane;
    const struct etcd_front *front = lane->front;
    struct front_session *session = mem_zero(lane->mem, sizeof *session);
    session->socket = socket;
    session->lane = lane;
    session->resets = RESETS_BURST;
    session->pings = PINGS_BURST;
    session->bucket_ms = uv_now(lane->loop);
    session->holds = 1;
    list_init(&session->streams);
    session_memory_open(&session->memory, lane->mem);
    nghttp2_mem memory = session_memory_functions(&session->memory);
    int failed = nghttp2_session_server_new3(&session->http2, front->callbacks, session,
                                             front->options, &memory);
    session_memory_opened(&session->memory);
    ensure(failed == 0); /* only for want of memory, which our allocator does not report */
    nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, front->config.streams_max},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_BYTES_MAX},
    };
    (void)nghttp2_submit_settings(session->http2, NGHTTP2_FLAG_NONE, settings,
                                  sizeof settings / sizeof settings[0]);
    (void)nghttp2_session_set_local_window_size(session->http2, NGHTTP2_FLAG_NONE, 0,
                                                CONNECTION_WINDOW);
    return session;
}

void front_session_close(struct front_session *session)
{
    list_each (at, &session->streams) {
        stream_gone(container_of(at, struct stream, link));
    }
    nghttp2_session_del(session->http2);
    session->http2 = NULL;
    session_memory_close(&session->memory);
    front_session_let_go(session);
}

void front_session_let_go(struct front_session *session)
{
    ensure(session->holds > 0);
    if (--session->holds == 0)
        mem_free(session->lane->mem, session, sizeof *session);
}

bool front_session_receive(struct front_session *session, struct bytes bytes)
{
    ssize_t taken = nghttp2_session_mem_recv(session->http2, bytes.data, bytes.size);
    return taken >= 0 && (size_t)taken == bytes.size && !session->abused;
}

bool front_session_produce(struct front_session *session)
{
    struct buffer *gather = &session->lane->gather;
    while (gather->size < FRONT_GATHER_SIZE) {
        const uint8_t *data;
        ssize_t size = nghttp2_session_mem_send(session->http2, &data);
        if (size < 0)
            return false;
        if (size == 0)
            break;
        buffer_append(gather, bytes_of(data, (size_t)size));
    }
    return true;
}

void front_session_stop(struct front_session *session)
{
    (void)nghttp2_submit_goaway(session->http2, NGHTTP2_FLAG_NONE,
                                nghttp2_session_get_last_proc_stream_id(session->http2),
                                NGHTTP2_NO_ERROR, NULL, 0);
    list_each (at, &session->streams) {
        struct stream *stream = container_of(at, struct stream, link);
        if (stream->method == NULL || stream->method->stream)
            stream_fail(stream, failure_stopped);
    }
}

bool front_session_done(const struct front_session *session)
{
    if (nghttp2_session_want_write(session->http2) != 0)
        return false;
    return session->socket->ending || nghttp2_session_want_read(session->http2) == 0;
}
