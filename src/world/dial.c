/* Dial: the outgoing half of a peer, from name to established link and back.
 *
 * The one invariant: the state moves only as the chart in real_internal.h shows, and a peer that is
 * not up is always on its way there, by a timer, a request or a closing handle, until dial_stop. */
#include "world/real_internal.h"

#include <string.h>

#define DIAL_PATIENCE_MS 3000
/* A connect that takes longer than this has probably lost its packet to a host that was down, and
 * the system waits seconds before it sends another. */
#define DIAL_STUCK_MS 100
#define DIAL_BACKOFF_MIN_MS 10
#define DIAL_BACKOFF_MAX_MS 1000
/* A link that lived this long was a good one: its loss is met with a quick retry. */
#define DIAL_GOOD_NS UINT64_C(1000000000)
/* The same reason is not logged again for so long. */
#define DIAL_REPEAT_NS UINT64_C(30000000000)

static void dial_connect(struct peer *peer);
static void dial_wait(struct peer *peer);

void dial_init(struct peer *peer, struct real_world *real, const struct real_world_peer *config)
{
    *peer = (struct peer){.real = real, .node = config->node, .backoff_ms = DIAL_BACKOFF_MIN_MS};
    memcpy(peer->address.host, config->host, sizeof peer->address.host - 1);
    peer->address.port = config->port;
    outbox_init(&peer->filling, real->world.mem);
    outbox_init(&peer->writing, real->world.mem);
    uv_timer_init(real->config.loop, &peer->timer);
    peer->timer.data = peer;
    real_world_hold(real);
}

/* Why an attempt failed, once per reason: a member that is away for an hour is one line, not 3600.
 */
static void dial_log_failure(struct peer *peer, const char *what, int error)
{
    char reason_room[REASON_SIZE];
    struct text reason = text_of(reason_room, sizeof reason_room);
    text_add(&reason, what);
    if (error != 0) {
        text_add(&reason, ": ");
        text_add(&reason, uv_strerror(error));
    }
    char address_room[REAL_WORLD_HOST_MAX + 8];
    struct text address = text_of(address_room, sizeof address_room);
    text_add(&address, peer->address.host);
    text_add(&address, ":");
    text_u64(&address, peer->address.port);

    uint64_t now = real_world_now();
    bool repeated = strcmp(reason.data, peer->reason) == 0 && now < peer->reason_at;
    if (peer->state == DIAL_UP || !repeated) {
        peer_log(peer->real, LOG_WARN,
                 peer->state == DIAL_UP ? "lost the link to a member" : "cannot reach a member",
                 peer->node, address.data, reason.data);
        memcpy(peer->reason, reason_room, sizeof peer->reason);
        peer->reason_at = now + DIAL_REPEAT_NS;
    }
}

static void dial_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    send_clear(peer);
    peer->state = DIAL_IDLE;
    if (!peer->real->stopping) {
        if (!peer->at_once && peer->addresses_tried < peer->addresses_count)
            dial_connect(peer);
        else
            dial_wait(peer);
    }
    real_world_unhold(peer->real);
}

static void dial_close(struct peer *peer)
{
    peer->state = DIAL_CLOSING;
    uv_timer_stop(&peer->timer);
    uv_close((uv_handle_t *)&peer->tcp, dial_closed);
}

void dial_fail(struct peer *peer, const char *what, int error)
{
    dial_log_failure(peer, what, error);
    if (peer->state != DIAL_CONNECTING)
        peer->addresses_tried = peer->addresses_count; /* only connecting is tried elsewhere */
    if (peer->state == DIAL_UP && real_world_now() - peer->up_at >= DIAL_GOOD_NS)
        peer->backoff_ms = DIAL_BACKOFF_MIN_MS;
    dial_close(peer);
    peer_report(peer);
}

static const char *dial_refusal(uint16_t kind)
{
    switch (kind) {
    case GREETING_WRONG_VERSION:
        return "it refused us: it speaks another version of the link protocol";
    case GREETING_WRONG_CLUSTER:
        return "it refused us: it belongs to another cluster; compare --initial-cluster, "
               "--initial-cluster-token and --engine of both, and their data directories";
    case GREETING_WRONG_MEMBER:
        return "it refused us: this address leads to another member; compare --initial-cluster";
    case GREETING_UNKNOWN_MEMBER:
        return "it refused us: it does not know this member; compare --initial-cluster";
    default:
        return "it did not answer as a member";
    }
}

static void dial_answered(struct peer *peer)
{
    struct greeting answer;
    const struct real_world_config *config = &peer->real->config;
    if (greeting_decode(peer->greeting, &answer) != STATUS_OK) {
        dial_fail(peer, "it did not answer as a member", 0);
        return;
    }
    if (answer.kind != GREETING_WELCOME) {
        dial_fail(peer, dial_refusal(answer.kind), 0);
        return;
    }
    if (answer.version != LINK_VERSION || answer.cluster != config->cluster ||
        answer.from != peer->node || answer.to != config->self) {
        dial_fail(peer, "its welcome is meant for somebody else", 0);
        return;
    }
    uv_timer_stop(&peer->timer);
    peer->state = DIAL_UP;
    peer->message_max = answer.message_max < config->message_bytes_max ? answer.message_max
                                                                       : config->message_bytes_max;
    peer->up_at = real_world_now();
    peer->incoming_lost = false;
    peer->reason[0] = '\0';
    peer->counters.connects++;
    peer_log(peer->real, LOG_INFO, "established the link to a member", peer->node, NULL, NULL);
    peer_report(peer);
}

static void dial_allocate(uv_handle_t *handle, size_t suggested, uv_buf_t *buffer)
{
    (void)suggested;
    struct peer *peer = handle->data;
    *buffer = uv_buf_init((char *)peer->greeting + peer->greeting_size,
                          (unsigned)(sizeof peer->greeting - peer->greeting_size));
}

static void dial_read(uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer)
{
    (void)buffer;
    struct peer *peer = stream->data;
    if (size == 0 || peer->state == DIAL_CLOSING)
        return;
    if (size < 0) {
        dial_fail(peer, peer->state == DIAL_UP ? "connection lost" : "no answer", (int)size);
        return;
    }
    peer->greeting_size += (size_t)size;
    if (peer->greeting_size > GREETING_SIZE)
        dial_fail(peer, "it sent more than an answer", 0);
    else if (peer->greeting_size == GREETING_SIZE)
        dial_answered(peer);
}

static void dial_greet(struct peer *peer)
{
    const struct real_world_config *config = &peer->real->config;
    uint8_t raw[GREETING_SIZE];
    struct greeting hello = {.version = LINK_VERSION,
                             .kind = GREETING_HELLO,
                             .from = config->self,
                             .to = peer->node,
                             .cluster = config->cluster,
                             .message_max = config->message_bytes_max};
    greeting_encode(&hello, raw);
    uv_buf_t vector = uv_buf_init((char *)raw, sizeof raw);
    peer_tune_socket(&peer->tcp);
    peer->state = DIAL_GREETING;
    peer->greeting_size = 0;
    int error = uv_try_write((uv_stream_t *)&peer->tcp, &vector, 1);
    if (error == (int)sizeof raw)
        error = uv_read_start((uv_stream_t *)&peer->tcp, dial_allocate, dial_read);
    if (error != 0)
        dial_fail(peer, "cannot greet", error < 0 ? error : UV_EAGAIN);
}

static void dial_connected(uv_connect_t *connect, int status)
{
    struct peer *peer = connect->data;
    if (peer->state != DIAL_CONNECTING)
        return;
    if (status != 0)
        dial_fail(peer, "cannot connect", status);
    else
        dial_greet(peer);
}

static void dial_timer(uv_timer_t *timer)
{
    struct peer *peer = timer->data;
    if (peer->state == DIAL_IDLE)
        dial_start(peer);
    else
        dial_fail(peer, "no answer", UV_ETIMEDOUT);
}

static void dial_connect(struct peer *peer)
{
    const struct sockaddr_storage *address = &peer->addresses[peer->addresses_tried++];
    peer->state = DIAL_CONNECTING;
    uv_tcp_init(peer->real->config.loop, &peer->tcp);
    real_world_hold(peer->real);
    peer->tcp.data = peer;
    peer->connect.data = peer;
    uv_timer_start(&peer->timer, dial_timer, DIAL_PATIENCE_MS, 0);
    int error = uv_tcp_connect(&peer->connect, &peer->tcp, (const struct sockaddr *)address,
                               dial_connected);
    if (error != 0)
        dial_fail(peer, "cannot connect", error);
}

/* Half of the wait is chance, so that members which lost each other do not meet in lockstep. */
static void dial_wait(struct peer *peer)
{
    uint64_t half = peer->backoff_ms / 2;
    uint64_t wait = peer->at_once ? 0 : half + prng_below(&peer->real->prng, half + 1);
    peer->at_once = false;
    peer->backoff_ms =
        peer->backoff_ms * 2 < DIAL_BACKOFF_MAX_MS ? peer->backoff_ms * 2 : DIAL_BACKOFF_MAX_MS;
    peer->state = DIAL_IDLE;
    uv_timer_start(&peer->timer, dial_timer, wait, 0);
}

static void dial_resolved(uv_getaddrinfo_t *resolve, int status, struct addrinfo *found)
{
    struct peer *peer = resolve->data;
    if (!peer->real->stopping) {
        peer->addresses_count = resolve_collect(found, peer->address.port, peer->addresses);
        if (peer->addresses_count > 0) {
            dial_connect(peer);
        } else {
            dial_log_failure(peer, "cannot resolve its name", status != 0 ? status : UV_EAI_NODATA);
            dial_wait(peer);
        }
    }
    uv_freeaddrinfo(found);
    real_world_unhold(peer->real);
}

void dial_start(struct peer *peer)
{
    peer->addresses_tried = 0;
    peer->addresses_count = 1;
    if (resolve_numeric(&peer->address, &peer->addresses[0])) {
        dial_connect(peer);
        return;
    }
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    peer->addresses_count = 0;
    peer->state = DIAL_RESOLVING;
    peer->resolve.data = peer;
    real_world_hold(peer->real);
    int error = uv_getaddrinfo(peer->real->config.loop, &peer->resolve, dial_resolved,
                               peer->address.host, NULL, &hints);
    if (error != 0)
        dial_resolved(&peer->resolve, error, NULL);
}

void dial_at_once(struct peer *peer)
{
    peer->backoff_ms = DIAL_BACKOFF_MIN_MS;
    if (peer->state == DIAL_CLOSING) {
        peer->at_once = true;
    } else if (peer->state == DIAL_IDLE) {
        uv_timer_start(&peer->timer, dial_timer, 0, 0);
    } else if (peer->state == DIAL_CONNECTING &&
               uv_timer_get_due_in(&peer->timer) + DIAL_STUCK_MS < DIAL_PATIENCE_MS) {
        peer->at_once = true;
        dial_close(peer);
    }
}

static void dial_timer_closed(uv_handle_t *handle)
{
    struct peer *peer = handle->data;
    real_world_unhold(peer->real);
}

void dial_stop(struct peer *peer)
{
    if (peer->state == DIAL_UP)
        send_flush(peer);
    if (peer->state == DIAL_RESOLVING)
        uv_cancel(
            (uv_req_t *)&peer->resolve); /* if it is too late, its callback comes all the same */
    else if (peer->state != DIAL_IDLE && peer->state != DIAL_CLOSING)
        dial_close(peer);
    uv_close((uv_handle_t *)&peer->timer, dial_timer_closed);
}
