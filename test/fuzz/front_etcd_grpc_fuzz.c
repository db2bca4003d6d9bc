/* Fuzzes everything between a client's bytes and the state machine: sniffing, HTTP/1.1, HTTP/2,
 * gRPC's framing, protobuf, conversion and all handlers, over the fake replica.
 *
 * The first byte chooses how the rest is used: raw, as bytes of a connection; or behind a good
 * preface and headers, as the body of a call of one of the methods, in pieces. Small mutations of
 * raw bytes seldom survive HPACK, so the second form is where the handlers get their exercise. */
#include "front/etcd/session.h"

#include "front_etcd/support_replica.c" /* NOLINT(bugprone-suspicious-include) */

#include <stdio.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct rig {
    uv_loop_t loop;
    struct replica *replica;
    struct etcd_front *front;
};

static void rig_open(struct rig *rig, uint8_t choice)
{
    char room[128];
    struct text error = text_of(room, sizeof room);
    uv_loop_init(&rig->loop);
    rig->replica = fake_replica_new(fake_mem());
    rig->replica->hold = (choice & 0x80) != 0;
    fake_replica_put(rig->replica, "a", "1");
    fake_replica_put(rig->replica, "a", "2");
    struct etcd_front_config config = {
        .loop = &rig->loop, .replica = rig->replica, .mem = fake_mem()};
    if (etcd_front_open(&config, &error, &rig->front) != STATUS_OK)
        abort();
}

static void rig_close(struct rig *rig)
{
    etcd_front_close(rig->front, NULL, NULL);
    uv_run(&rig->loop, UV_RUN_DEFAULT);
    if (uv_loop_close(&rig->loop) != 0)
        abort();
    fake_replica_free(rig->replica);
    if (fake_mem()->used != 0)
        abort(); /* a leak */
}

static bool rig_alive(const struct rig *rig)
{
    return !list_empty(&rig->front->core.sockets);
}

/* Ends turns until nothing is left to do; the output goes nowhere. */
static void rig_turn(struct rig *rig, struct front_socket *socket)
{
    struct buffer nowhere;
    buffer_init(&nowhere, fake_mem(), SIZE_MAX / 2);
    for (int i = 0; i < 8 && rig_alive(rig); i++) {
        front_turn(rig->front);
        if (rig_alive(rig))
            front_socket_take(socket, &nowhere);
        fake_replica_release(rig->replica);
    }
    buffer_release(&nowhere);
}

static void rig_feed(struct rig *rig, struct front_socket *socket, struct bytes bytes)
{
    if (rig_alive(rig) && bytes.size > 0)
        front_socket_receive(socket, bytes);
    rig_turn(rig, socket);
}

/* A literal header field that is not indexed, without Huffman coding. */
static void hpack_field(struct buffer *out, const char *name, const char *value)
{
    buffer_u8(out, 0);
    buffer_u8(out, (uint8_t)strlen(name));
    buffer_append(out, bytes_text(name));
    buffer_u8(out, (uint8_t)strlen(value));
    buffer_append(out, bytes_text(value));
}

static void frame_head(struct buffer *out, size_t size, uint8_t type, uint8_t flags, uint8_t stream)
{
    const uint8_t head[9] = {
        (uint8_t)(size >> 16), (uint8_t)(size >> 8), (uint8_t)size, type, flags, 0, 0, 0, stream};
    buffer_append(out, bytes_of(head, sizeof head));
}

static void call_headers(struct buffer *out, uint8_t choice)
{
    char path[96];
    struct buffer block;
    const struct method *method = &methods[choice % METHODS_COUNT];
    buffer_init(&block, fake_mem(), 4096);
    (void)snprintf(path, sizeof path, "/%s/%s", method->service, method->name);
    hpack_field(&block, ":method", "POST");
    hpack_field(&block, ":scheme", "http");
    hpack_field(&block, ":path", path);
    hpack_field(&block, ":authority", "a");
    hpack_field(&block, "content-type", "application/grpc");
    hpack_field(&block, "te", "trailers");
    frame_head(out, block.size, NGHTTP2_HEADERS, NGHTTP2_FLAG_END_HEADERS, 1);
    buffer_append(out, buffer_bytes(&block));
    buffer_release(&block);
}

static void feed_call(struct rig *rig, struct front_socket *socket, uint8_t choice,
                      struct bytes body)
{
    struct buffer out;
    buffer_init(&out, fake_mem(), SIZE_MAX / 2);
    buffer_append(&out, bytes_text(NGHTTP2_CLIENT_MAGIC));
    frame_head(&out, 0, NGHTTP2_SETTINGS, 0, 0);
    call_headers(&out, choice);
    rig_feed(rig, socket, buffer_bytes(&out));
    /* A piece is what its first byte says, so that messages are cut anywhere. */
    while (body.size > 1) {
        size_t piece = body.data[0] < body.size - 1 ? body.data[0] : body.size - 1;
        buffer_clear(&out);
        frame_head(&out, piece, NGHTTP2_DATA, 0, 1);
        buffer_append(&out, bytes_of(body.data + 1, piece));
        rig_feed(rig, socket, buffer_bytes(&out));
        body = bytes_of(body.data + 1 + piece, body.size - 1 - piece);
    }
    buffer_clear(&out);
    frame_head(&out, 0, NGHTTP2_DATA, NGHTTP2_FLAG_END_STREAM, 1);
    rig_feed(rig, socket, buffer_bytes(&out));
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct rig rig;
    if (size < 1)
        return 0;
    rig_open(&rig, data[0]);
    struct front_socket *socket = front_socket_detached(&rig.front->core);
    struct bytes rest = bytes_of(data + 1, size - 1);
    if ((data[0] & 0x40) != 0)
        rig_feed(&rig, socket, rest);
    else
        feed_call(&rig, socket, data[0] & 0x3f, rest);
    rig_close(&rig);
    return 0;
}
