/* Peers: what the inhabitant hears about the links with one other member.
 *
 * The one invariant: it hears "up" and "down" in turns. Up needs our own link to be established;
 * down comes as soon as either direction breaks, since a process that died takes both with it and
 * whichever the system reports first is the one to believe. A lost incoming link is forgotten when
 * either direction is made anew: then the other side has shown that it is there. */
#include "world/real_internal.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A host that died without a word is noticed within about this time. */
#define PEER_DEAD_MS 5000
#define PEER_KEEPALIVE_IDLE_S 2
#define PEER_KEEPALIVE_INTERVAL_S 1
#define PEER_KEEPALIVE_COUNT 3

struct peer *peer_find(struct real_world *real, uint16_t node)
{
    for (uint32_t i = 0; i < real->peers_count; i++) {
        if (real->peers[i].node == node)
            return &real->peers[i];
    }
    return NULL;
}

void peer_report(struct peer *peer)
{
    bool up = peer->state == DIAL_UP && !peer->incoming_lost;
    const struct world_events *events = peer->real->config.events;
    if (up == peer->reported_up || peer->real->stopping)
        return;
    peer->reported_up = up;
    if (events->on_peer != NULL)
        events->on_peer(events->owner, peer->node, up);
}

void peer_tune_socket(uv_tcp_t *tcp)
{
    /* Best effort: a link without these works, it only notices a dead host later. */
    uv_tcp_nodelay(tcp, 1);
    uv_tcp_keepalive(tcp, 1, PEER_KEEPALIVE_IDLE_S);
    uv_os_fd_t file;
    if (uv_fileno((uv_handle_t *)tcp, &file) != 0)
        return;
    const int interval = PEER_KEEPALIVE_INTERVAL_S;
    const int count = PEER_KEEPALIVE_COUNT;
    const unsigned dead_ms = PEER_DEAD_MS;
    setsockopt(file, IPPROTO_TCP, TCP_KEEPINTVL, &interval, sizeof interval);
    setsockopt(file, IPPROTO_TCP, TCP_KEEPCNT, &count, sizeof count);
    setsockopt(file, IPPROTO_TCP, TCP_USER_TIMEOUT, &dead_ms, sizeof dead_ms);
}

void peer_log(struct real_world *real, enum log_level level, const char *message, uint16_t node,
              const char *address, const char *reason)
{
    char room[768];
    struct text fields = text_of(room, sizeof room);
    log_field_u64(&fields, "peer", node);
    if (address != NULL)
        log_field_text(&fields, "address", address);
    if (reason != NULL)
        log_field_text(&fields, "reason", reason);
    log_write(&real->log, level, "world/link", message, fields.data);
}
