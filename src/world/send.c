/* Send: the frames that go out on an established link.
 *
 * Frames of one turn are gathered and offered to the system in one call; while it is busy with
 * them, new ones gather for the next. The one invariant: a frame goes out whole and in order, or
 * not at all: when the queue is full it is the new frame that is dropped. */
#include "world/real_internal.h"

uint64_t send_queued(const struct peer *peer)
{
    size_t unsent =
        peer->write_open ? uv_stream_get_write_queue_size((const uv_stream_t *)&peer->tcp) : 0;
    return peer->filling.size + unsent;
}

void send_add(struct peer *peer, struct bytes head, struct blob *entry)
{
    struct real_world *real = peer->real;
    uint64_t size = (uint64_t)head.size + blob_bytes(entry).size;
    if (peer->state != DIAL_UP) {
        peer->counters.messages_dropped++;
        return;
    }
    if (head.size > FRAME_HEAD_MAX || size > peer->message_max) {
        peer->counters.messages_dropped++;
        peer_log(real, LOG_ERROR, "dropped a message that is larger than the link allows",
                 peer->node, NULL, NULL);
        return;
    }
    if (send_queued(peer) + size + FRAME_HEADER_SIZE > real->config.queue_bytes_max) {
        peer->counters.messages_dropped++;
        if (!peer->dropping)
            peer_log(real, LOG_WARN, "a member reads too slowly: dropping messages for it",
                     peer->node, NULL, NULL);
        peer->dropping = true;
        return;
    }
    peer->counters.messages_sent++;
    outbox_add(&peer->filling, head, entry);
}

static void send_done(struct peer *peer)
{
    outbox_clear(&peer->writing);
    if (peer->dropping)
        peer_log(peer->real, LOG_INFO, "a member reads again", peer->node, NULL, NULL);
    peer->dropping = false;
}

static void send_written(uv_write_t *write, int status)
{
    struct peer *peer = write->data;
    peer->write_open = false;
    if (status == 0)
        send_done(peer);
    else if (peer->state == DIAL_UP)
        dial_fail(peer, "cannot write", status);
}

void send_flush(struct peer *peer)
{
    if (peer->state != DIAL_UP || peer->write_open || peer->filling.size == 0)
        return;
    struct outbox filled = peer->filling;
    peer->filling = peer->writing;
    peer->writing = filled;

    uv_stream_t *stream = (uv_stream_t *)&peer->tcp;
    unsigned count;
    uv_buf_t *vectors = outbox_vectors(&peer->writing, 0, &count);
    int taken = uv_try_write(stream, vectors, count);
    if (taken < 0 && taken != UV_EAGAIN) {
        dial_fail(peer, "cannot write", taken);
        return;
    }
    peer->counters.bytes_sent += peer->writing.size;
    if (taken == (int)peer->writing.size) {
        send_done(peer);
        return;
    }
    vectors = outbox_vectors(&peer->writing, taken < 0 ? 0 : (size_t)taken, &count);
    peer->write.data = peer;
    int error = uv_write(&peer->write, stream, vectors, count, send_written);
    if (error != 0)
        dial_fail(peer, "cannot write", error);
    else
        peer->write_open = true;
}

void send_clear(struct peer *peer)
{
    outbox_clear(&peer->filling);
    outbox_clear(&peer->writing);
    peer->write_open = false;
    peer->dropping = false;
}
