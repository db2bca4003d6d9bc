/* Streams: the half of a call that its lane works with (lane.h): one HTTP/2 stream, from its
 * headers to its trailers. The other half is struct call (call.h), in the same block of memory.
 *
 * The one invariant: a stream is answered exactly once, with a code; what the core says of it after
 * that does not reach the client. */
#ifndef SYNOD_FRONT_ETCD_STREAM_H
#define SYNOD_FRONT_ETCD_STREAM_H

#include "front/etcd/failure.h"
#include "front/etcd/framing.h"
#include "front/etcd/session.h"

struct stream {
    struct list link;
    struct list woken;
    struct front_session *session;
    const struct method *method; /* NULL until the headers are complete */
    int32_t id;
    uint32_t header_bytes;

    /* what the headers say */
    char path[96];
    uint8_t path_size;
    bool path_too_long;
    bool post;
    bool grpc; /* the content type */
    bool requires_leader;
    char encoding[24];
    uint64_t timeout_ns; /* 0: none */

    /* what comes in */
    struct framing framing;
    struct buffer backlog; /* bytes that arrived while a message was held; their window is shut */
    bool held;             /* a message is with the core, and the next one has to wait */
    bool taken;            /* a unary call has its message */
    bool half_closed;      /* the client sends no more */
    bool half_closed_told;
    bool known; /* to the core */
    bool gone;  /* closed; the core has to release it */

    /* what goes out */
    struct buffer output; /* framed messages */
    size_t output_sent;
    bool responding; /* headers are submitted */
    bool paused;     /* nghttp2 waits for more output */
    bool finished;
    enum grpc_code code;
    const char *text;
    /* Output of this call that the client has not taken, wherever it is. */
    _Atomic size_t waiting;

    struct timer deadline;
    uint64_t began_ns;
};

struct stream *stream_new(struct front_session *session, int32_t id);
/* HTTP/2 has closed it. */
void stream_gone(struct stream *stream);
void stream_header(struct stream *stream, struct bytes name, struct bytes value);
void stream_begin(struct stream *stream);
void stream_data(struct stream *stream, struct bytes bytes);
void stream_half_close(struct stream *stream);
/* nghttp2 took `size` bytes of output; called from the session. */
void stream_output_taken(struct stream *stream, size_t size);
/* Nobody will take what waits. */
void stream_output_drop(struct stream *stream);
/* The end of the turn, for a stream that was woken. */
void stream_run_woken(struct stream *stream);
/* Ends it from this side. */
void stream_fail(struct stream *stream, struct failure failure);

/* --- What the core orders ---------------------------------------------------------------------*/

/* Room for output, which is counted already; stream_push when it is filled. NULL: there is none. */
uint8_t *stream_extend(struct stream *stream, size_t size);
/* Lets nghttp2 know that there is something to send: output, or the end. */
void stream_push(struct stream *stream);
/* `text` is static; `made`, if not empty, is a text in its place that was made for the occasion. */
void stream_finish(struct stream *stream, enum grpc_code code, const char *text, struct bytes made);
void stream_next(struct stream *stream);
void stream_release(struct stream *stream);
/* One of these, in a letter. */
void stream_obey(struct stream *stream, const struct letter *order, struct bytes bytes);

#endif
