/* The client's half is plain nghttp2 with the usual callbacks; what it would send is fed to a
 * detached socket in chunks, so that a test can cut the stream at any place. */
#include "front_etcd/support_rig.h"

#include "front/etcd/framing.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* --- The client's callbacks -------------------------------------------------------------------*/

static int on_header(nghttp2_session *client, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_size, const uint8_t *value, size_t value_size, uint8_t flags,
                     void *user)
{
    (void)flags;
    (void)user;
    (void)name_size;
    (void)value_size;
    struct exchange *exchange = nghttp2_session_get_stream_user_data(client, frame->hd.stream_id);
    if (exchange == NULL)
        return 0;
    if (strcmp((const char *)name, ":status") == 0)
        exchange->http_status = atoi((const char *)value);
    if (strcmp((const char *)name, "grpc-status") == 0)
        exchange->grpc_status = atoi((const char *)value);
    if (strcmp((const char *)name, "grpc-message") == 0)
        strncpy(exchange->grpc_message, (const char *)value, sizeof exchange->grpc_message - 1);
    return 0;
}

static int on_data(nghttp2_session *client, uint8_t flags, int32_t stream, const uint8_t *data,
                   size_t size, void *user)
{
    (void)flags;
    struct rig *rig = user;
    struct exchange *exchange = nghttp2_session_get_stream_user_data(client, stream);
    buffer_append(&exchange->body, bytes_of(data, size));
    if (!rig->lazy)
        nghttp2_session_consume(client, stream, size);
    return 0;
}

static int on_close(nghttp2_session *client, int32_t stream, uint32_t error, void *user)
{
    (void)user;
    struct exchange *exchange = nghttp2_session_get_stream_user_data(client, stream);
    exchange->closed = true;
    exchange->error = error;
    return 0;
}

static int on_frame(nghttp2_session *client, const nghttp2_frame *frame, void *user)
{
    (void)client;
    struct rig *rig = user;
    if (frame->hd.type == NGHTTP2_GOAWAY) {
        rig->went_away = true;
        rig->went_away_code = frame->goaway.error_code;
    }
    return 0;
}

static ssize_t read_sending(nghttp2_session *client, int32_t stream, uint8_t *into, size_t size_max,
                            uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)client;
    (void)stream;
    (void)user;
    struct exchange *exchange = source->ptr;
    size_t left = exchange->sending.size - exchange->sent;
    size_t size = left < size_max ? left : size_max;
    if (size > 0)
        memcpy(into, exchange->sending.data + exchange->sent, size);
    exchange->sent += size;
    if (size == left && exchange->end_sent) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)size;
    }
    if (size == 0) {
        exchange->paused = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    return (ssize_t)size;
}

/* --- The rig ----------------------------------------------------------------------------------*/

void rig_open_client(struct rig *rig)
{
    nghttp2_session_callbacks *callbacks;
    nghttp2_option *option;
    assert_int_equal(nghttp2_session_callbacks_new(&callbacks), 0);
    assert_int_equal(nghttp2_option_new(&option), 0);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_option_set_no_auto_window_update(option, 1);
    nghttp2_session_client_new2(&rig->client, callbacks, rig, option);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_option_del(option);
    nghttp2_submit_settings(rig->client, NGHTTP2_FLAG_NONE, NULL, 0);
}

static void rig_connect(struct rig *rig)
{
    rig_open_client(rig);
    rig->socket = front_socket_detached(rig->lane);
}

static void on_news(uv_async_t *wake)
{
    struct etcd_front *front = wake->data;
    lane_read_news(&front->threads[0]);
}

/* What starting a thread does, without the thread. */
static void rig_open_lane(struct rig *rig)
{
    struct etcd_front *front = rig->front;
    front->config.threads = 1;
    front->threads = mem_zero(fake_mem(), sizeof *front->threads);
    rig->lane = &front->threads[0];
    lane_open(rig->lane, front, &rig->loop, fake_mem());
    assert_int_equal(lane_open_boxes(rig->lane, fake_mem()), STATUS_OK);
    front->threads_count = 1;
    front->threads_left = 1;
    assert_int_equal(uv_async_init(&rig->loop, &front->wake, on_news), 0);
    front->wake.data = front;
    front->handles++;
}

struct rig *rig_open_with(struct etcd_front_config config)
{
    struct rig *rig = calloc(1, sizeof *rig);
    char room[128];
    struct text error = text_of(room, sizeof room);
    uv_loop_init(&rig->loop);
    rig->replica = fake_replica_new(fake_mem());
    config.loop = &rig->loop;
    config.replica = rig->replica;
    config.mem = fake_mem();
    assert_int_equal(etcd_front_open(&config, &error, &rig->front), STATUS_OK);
    rig->lane = &rig->front->core;
    if (getenv("SYNOD_TEST_LETTERS") != NULL)
        rig_open_lane(rig);
    rig_connect(rig);
    return rig;
}

struct rig *rig_open(void)
{
    return rig_open_with((struct etcd_front_config){.txn_ops_max = 0});
}

static void rig_forget_exchanges(struct rig *rig)
{
    for (uint32_t i = 0; i < rig->exchanges_count; i++) {
        buffer_release(&rig->exchanges[i].sending);
        buffer_release(&rig->exchanges[i].body);
    }
    rig->exchanges_count = 0;
}

void rig_close_client(struct rig *rig)
{
    nghttp2_session_del(rig->client);
    rig_forget_exchanges(rig);
}

void rig_reconnect(struct rig *rig)
{
    rig_close_client(rig);
    if (rig->socket != NULL)
        front_socket_close(rig->socket);
    rig->went_away = false;
    rig_connect(rig);
}

static void on_front_closed(void *owner)
{
    *(bool *)owner = true;
}

void rig_close(struct rig *rig)
{
    bool closed = false;
    etcd_front_close(rig->front, on_front_closed, &closed);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    assert_true(closed);
    assert_int_equal(uv_loop_close(&rig->loop), 0);
    fake_replica_free(rig->replica);
    rig_close_client(rig);
    assert_int_equal(fake_mem()->used, 0);
    free(rig);
}

static void rig_feed(struct rig *rig, struct bytes bytes)
{
    while (bytes.size > 0 && rig->socket != NULL) {
        size_t size = rig->chunk == 0 || rig->chunk > bytes.size ? bytes.size : rig->chunk;
        front_socket_receive(rig->socket, bytes_of(bytes.data, size));
        bytes = bytes_of(bytes.data + size, bytes.size - size);
    }
}

/* What the client has to send, in one piece: a socket may close while it is fed. */
static bool rig_carry_there(struct rig *rig)
{
    struct buffer wire;
    const uint8_t *data;
    ssize_t size;
    buffer_init(&wire, fake_mem(), SIZE_MAX / 2);
    while ((size = nghttp2_session_mem_send(rig->client, &data)) > 0)
        buffer_append(&wire, bytes_of(data, (size_t)size));
    bool moved = wire.size > 0;
    rig_feed(rig, buffer_bytes(&wire));
    buffer_release(&wire);
    return moved;
}

static bool rig_carry_back(struct rig *rig)
{
    struct buffer wire;
    if (rig->socket == NULL || rig->socket->pending.size == 0)
        return false;
    buffer_init(&wire, fake_mem(), SIZE_MAX / 2);
    front_socket_take(rig->socket, &wire);
    (void)nghttp2_session_mem_recv(rig->client, wire.data, wire.size);
    buffer_release(&wire);
    return true;
}

static bool rig_front_busy(const struct rig *rig)
{
    const struct lane *lane = rig->lane;
    return !list_empty(&rig->front->woken) || lane_busy(lane) ||
           (lane->posts && lane->orders.waiting.size + lane->news.waiting.size > 0);
}

static void rig_turn_front(struct rig *rig)
{
    struct lane *lane = rig->lane;
    uv_update_time(&rig->loop);
    if (lane->posts)
        lane_read_news(lane);
    front_turn(rig->front);
    if (lane->posts) {
        lane_read_orders(lane);
        lane_go_on(lane);
        lane_flush(lane);
    }
}

struct etcd_front_stats rig_stats(const struct rig *rig)
{
    struct etcd_front_stats stats;
    etcd_front_stats(rig->front, &stats);
    return stats;
}

void rig_turn(struct rig *rig)
{
    bool moved = true;
    while (moved) {
        moved = rig_carry_there(rig);
        rig_turn_front(rig);
        if (list_empty(&rig->lane->sockets))
            rig->socket = NULL;
        moved = rig_carry_back(rig) || moved || rig_front_busy(rig);
    }
}

void rig_wait(struct rig *rig, struct exchange *exchange)
{
    rig_turn(rig);
    while (!exchange->closed) {
        uv_run(&rig->loop, UV_RUN_ONCE);
        rig_turn(rig);
    }
}

/* --- Calls ------------------------------------------------------------------------------------*/

static nghttp2_nv field(const char *name, const char *value)
{
    return (nghttp2_nv){(uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name),
                        strlen(value), NGHTTP2_NV_FLAG_NONE};
}

struct exchange *rig_begin(struct rig *rig, const char *path, const char *extra,
                           const char *extra_value)
{
    assert_true(rig->exchanges_count < RIG_CALLS_MAX);
    struct exchange *exchange = &rig->exchanges[rig->exchanges_count++];
    *exchange = (struct exchange){.rig = rig, .grpc_status = -1};
    buffer_init(&exchange->sending, fake_mem(), SIZE_MAX / 2);
    buffer_init(&exchange->body, fake_mem(), SIZE_MAX / 2);
    nghttp2_nv fields[] = {
        field(":method", "POST"),
        field(":scheme", "http"),
        field(":path", path),
        field(":authority", "localhost"),
        field("content-type", "application/grpc"),
        field("te", "trailers"),
        field(extra == NULL ? "x-nothing" : extra, extra_value == NULL ? "" : extra_value)};
    nghttp2_data_provider provider = {.source = {.ptr = exchange}, .read_callback = read_sending};
    exchange->stream = nghttp2_submit_request(rig->client, NULL, fields, 7, &provider, exchange);
    assert_true(exchange->stream > 0);
    return exchange;
}

static void rig_go_on(struct exchange *exchange)
{
    if (exchange->paused)
        nghttp2_session_resume_data(exchange->rig->client, exchange->stream);
    exchange->paused = false;
}

void rig_send_raw(struct exchange *exchange, struct bytes bytes)
{
    buffer_append(&exchange->sending, bytes);
    rig_go_on(exchange);
}

void rig_send(struct exchange *exchange, const ProtobufCMessage *message)
{
    size_t size = protobuf_c_message_get_packed_size(message);
    uint8_t *at = buffer_extend(&exchange->sending, FRAMING_HEAD_SIZE + size);
    framing_head_store(at, (uint32_t)size);
    protobuf_c_message_pack(message, at + FRAMING_HEAD_SIZE);
    rig_go_on(exchange);
}

void rig_end(struct exchange *exchange)
{
    exchange->end_sent = true;
    rig_go_on(exchange);
}

void rig_reset(struct exchange *exchange)
{
    nghttp2_submit_rst_stream(exchange->rig->client, NGHTTP2_FLAG_NONE, exchange->stream,
                              NGHTTP2_CANCEL);
}

struct exchange *rig_call(struct rig *rig, const char *path, const ProtobufCMessage *message)
{
    struct exchange *exchange = rig_begin(rig, path, NULL, NULL);
    rig_send(exchange, message);
    rig_end(exchange);
    rig_turn(rig);
    return exchange;
}

void *rig_next(struct exchange *exchange, const ProtobufCMessageDescriptor *descriptor)
{
    size_t left = exchange->body.size - exchange->read;
    if (left < FRAMING_HEAD_SIZE)
        return NULL;
    const uint8_t *head = exchange->body.data + exchange->read;
    size_t size = (size_t)head[1] << 24 | (size_t)head[2] << 16 | (size_t)head[3] << 8 | head[4];
    if (left - FRAMING_HEAD_SIZE < size)
        return NULL;
    exchange->read += FRAMING_HEAD_SIZE + size;
    void *message = protobuf_c_message_unpack(descriptor, NULL, size, head + FRAMING_HEAD_SIZE);
    assert_non_null(message);
    return message;
}

void *rig_reply(struct exchange *exchange, const ProtobufCMessageDescriptor *descriptor)
{
    assert_int_equal(exchange->http_status, 200);
    assert_string_equal(exchange->grpc_message, "");
    assert_int_equal(exchange->grpc_status, 0);
    assert_true(exchange->closed);
    void *message = rig_next(exchange, descriptor);
    assert_non_null(message);
    assert_int_equal(exchange->read, exchange->body.size);
    return message;
}

void rig_assert_failed(const struct exchange *exchange, int code, const char *text)
{
    assert_string_equal(exchange->grpc_message, text);
    assert_int_equal(exchange->grpc_status, code);
    assert_true(exchange->closed);
}

ProtobufCBinaryData rig_data(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

void rig_assert_data(ProtobufCBinaryData data, const char *text)
{
    assert_int_equal(data.len, strlen(text));
    assert_memory_equal(data.data, text, data.len);
}
