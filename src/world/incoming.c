/* Incoming: the half of a peer that it dialled, on which we only receive.
 *
 * Whoever connects is a stranger until a hello with our cluster's id names a member we know; a
 * stranger gets a bounded time, a bounded number of places and no memory of its size's choosing.
 * The one invariant: a peer has at most one incoming link, the newest; what does not decode ends
 * the link, since nothing after it can be trusted to begin at the right byte. */
#include "world/real_internal.h"

#include "base/panic.h"

#include <string.h>

#define INCOMING_MAX (REAL_WORLD_PEERS_MAX + 64)
#define INCOMING_PATIENCE_MS 5000
/* Strangers are logged at most so often: a scanner must not fill the disk. */
#define INCOMING_REFUSAL_NS UINT64_C(1000000000)
/* From this size on the rest of an entry is read straight into its place. */
#define INCOMING_DIRECT_MIN ((size_t)32 * 1024)

static void incoming_log(struct incoming *incoming, enum log_level level, const char *message,
                         const char *reason)
{
    struct sockaddr_storage address;
    int length = sizeof address;
    char host[64] = "unknown";
    if (uv_tcp_getpeername(&incoming->tcp, (struct sockaddr *)&address, &length) == 0)
        uv_ip_name((struct sockaddr *)&address, host, sizeof host);
    char room[512];
    struct text fields = text_of(room, sizeof room);
    if (incoming->peer != NULL)
        log_field_u64(&fields, "peer", incoming->peer->node);
    log_field_text(&fields, "address", host);
    log_field_text(&fields, "reason", reason);
    log_write(&incoming->real->log, level, "world/link", message, fields.data);
}

static void incoming_closed(uv_handle_t *handle)
{
    struct incoming *incoming = handle->data;
    struct real_world *real = incoming->real;
    if (--incoming->handles_open > 0)
        return;
    frame_decoder_release(&incoming->decoder);
    mem_free(real->world.mem, incoming, sizeof *incoming);
    real_world_unhold(real);
}

void incoming_close(struct incoming *incoming, const char *reason)
{
    struct peer *peer = incoming->peer;
    if (incoming->closing)
        return;
    if (peer != NULL && !incoming->real->stopping)
        incoming_log(incoming, LOG_WARN, "lost the link from a member", reason);
    incoming->closing = true;
    incoming->real->incoming_count--;
    list_remove(&incoming->link);
    uv_close((uv_handle_t *)&incoming->tcp, incoming_closed);
    uv_close((uv_handle_t *)&incoming->timer, incoming_closed);
    if (peer != NULL) {
        peer->incoming = NULL;
        peer->incoming_lost = true;
        peer_report(peer);
    }
}

static void incoming_refuse(struct incoming *incoming, const char *reason)
{
    struct real_world *real = incoming->real;
    uint64_t now = real_world_now();
    if (real->refused_at == 0 || now - real->refused_at >= INCOMING_REFUSAL_NS) {
        real->refused_at = now;
        incoming_log(incoming, LOG_WARN, "refused a connection on the members' port", reason);
    }
    incoming_close(incoming, reason);
}

/* The answer is the first thing on a fresh socket, so it fits; if the connection is gone already,
 * reading will say so. */
static void incoming_answer(struct incoming *incoming, enum greeting_kind kind, uint16_t to)
{
    const struct real_world_config *config = &incoming->real->config;
    uint8_t raw[GREETING_SIZE];
    struct greeting answer = {.version = LINK_VERSION,
                              .kind = (uint16_t)kind,
                              .from = config->self,
                              .to = to,
                              .cluster = config->cluster,
                              .message_max = config->message_bytes_max};
    greeting_encode(&answer, raw);
    uv_buf_t vector = uv_buf_init((char *)raw, sizeof raw);
    uv_try_write((uv_stream_t *)&incoming->tcp, &vector, 1);
}

static void incoming_welcome(struct incoming *incoming, struct peer *peer)
{
    if (peer->incoming != NULL)
        incoming_close(peer->incoming, "the member made a new one");
    if (incoming->closing)
        return;
    incoming->peer = peer;
    peer->incoming = incoming;
    peer->incoming_lost = false;
    uv_timer_stop(&incoming->timer);
    incoming_answer(incoming, GREETING_WELCOME, peer->node);
    dial_at_once(peer);
    peer_report(peer);
}

static void incoming_greeted(struct incoming *incoming)
{
    struct real_world *real = incoming->real;
    struct greeting hello;
    if (greeting_decode(incoming->greeting, &hello) != STATUS_OK || hello.kind != GREETING_HELLO) {
        incoming_refuse(incoming, "it did not greet as a member");
        return;
    }
    enum greeting_kind verdict = GREETING_WELCOME;
    const char *reason = NULL;
    struct peer *peer = peer_find(real, hello.from);
    if (hello.version != LINK_VERSION) {
        verdict = GREETING_WRONG_VERSION;
        reason = "it speaks another version of the link protocol";
    } else if (hello.cluster != real->config.cluster) {
        verdict = GREETING_WRONG_CLUSTER;
        reason = "it belongs to another cluster";
    } else if (hello.to != real->config.self) {
        verdict = GREETING_WRONG_MEMBER;
        reason = "it wants to reach another member";
    } else if (peer == NULL) {
        verdict = GREETING_UNKNOWN_MEMBER;
        reason = "it is not in this member's configuration";
    }
    if (reason == NULL) {
        incoming_welcome(incoming, peer);
    } else {
        incoming_answer(incoming, verdict, hello.from);
        incoming_refuse(incoming, reason);
    }
}

static void incoming_decode(struct incoming *incoming, struct bytes input)
{
    const struct world_events *events = incoming->real->config.events;
    while (!incoming->closing) {
        struct frame frame;
        bool complete;
        enum status status = frame_decode(&incoming->decoder, &input, &frame, &complete);
        if (status != STATUS_OK) {
            incoming_close(incoming, status_text(status));
            return;
        }
        if (!complete)
            return;
        incoming->peer->counters.messages_received++;
        if (events->on_message != NULL)
            events->on_message(events->owner, incoming->peer->node, frame.head, frame.entry);
    }
}

static void incoming_take(struct incoming *incoming, struct bytes input)
{
    if (incoming->peer == NULL) {
        size_t missing = GREETING_SIZE - incoming->greeting_size;
        size_t taken = missing < input.size ? missing : input.size;
        memcpy(incoming->greeting + incoming->greeting_size, input.data, taken);
        incoming->greeting_size += taken;
        input = bytes_of(input.data + taken, input.size - taken);
        if (incoming->greeting_size < GREETING_SIZE)
            return;
        incoming_greeted(incoming);
        if (incoming->closing)
            return;
    }
    incoming->peer->counters.bytes_received += input.size;
    incoming_decode(incoming, input);
}

static void incoming_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct incoming *incoming = handle->data;
    size_t size = 0;
    uint8_t *space = frame_decoder_space(&incoming->decoder, &size);
    if (space == NULL || size < INCOMING_DIRECT_MIN) {
        space = incoming->real->receive;
        size = RECEIVE_SIZE;
    }
    *buffer = uv_buf_init((char *)space, (unsigned)size);
}

static void incoming_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    struct incoming *incoming = stream->data;
    if (size == 0 || incoming->closing)
        return;
    if (size < 0) {
        if (incoming->peer == NULL)
            incoming_close(incoming, NULL);
        else
            incoming_close(incoming, uv_strerror((int)size));
        return;
    }
    if ((uint8_t *)buffer->base == incoming->real->receive) {
        incoming_take(incoming, bytes_of(buffer->base, (size_t)size));
    } else {
        incoming->peer->counters.bytes_received += (uint64_t)size;
        frame_decoder_filled(&incoming->decoder, (size_t)size);
        incoming_decode(incoming, BYTES_EMPTY);
    }
}

static void incoming_timer(uv_timer_t *timer)
{
    incoming_refuse(timer->data, "it did not greet in time");
}

void incoming_accept(struct real_world *real, uv_stream_t *listener)
{
    struct incoming *incoming = mem_zero(real->world.mem, sizeof *incoming);
    incoming->real = real;
    incoming->handles_open = 2;
    real_world_hold(real);
    real->incoming_count++;
    list_push(&real->incoming, &incoming->link);
    frame_decoder_init(&incoming->decoder, real->world.mem, real->config.message_bytes_max);
    uv_tcp_init(real->config.loop, &incoming->tcp);
    uv_timer_init(real->config.loop, &incoming->timer);
    incoming->tcp.data = incoming;
    incoming->timer.data = incoming;
    if (uv_accept(listener, (uv_stream_t *)&incoming->tcp) != 0 ||
        uv_read_start((uv_stream_t *)&incoming->tcp, incoming_allocate, incoming_read) != 0) {
        incoming_close(incoming, NULL);
        return;
    }
    if (real->incoming_count > INCOMING_MAX) {
        incoming_refuse(incoming, "too many connections");
        return;
    }
    peer_tune_socket(&incoming->tcp);
    uv_timer_start(&incoming->timer, incoming_timer, INCOMING_PATIENCE_MS, 0);
}
