/* Sessions: HTTP/2 on a socket. nghttp2 does the protocol; this is the glue between its callbacks
 * and the calls, with the limits that a hostile client meets.
 *
 * Flow control is by hand: the connection's window opens for everything that arrives, a stream's
 * window only for what its call has taken, so a call that does not get on stops itself alone. */
#ifndef SYNOD_FRONT_ETCD_SESSION_H
#define SYNOD_FRONT_ETCD_SESSION_H

#include "front/etcd/session_memory.h"
#include "front/etcd/socket.h"

struct front_session {
    struct front_socket *socket;
    struct lane *lane;
    nghttp2_session *http2;
    struct session_memory memory;
    struct list streams;
    uint32_t holds; /* the socket's, and one for each call that the core has not released */
    /* Of all calls, not yet handed to nghttp2: what the core makes and the lane gets rid of. */
    _Atomic size_t output_bytes;
    uint64_t bucket_ms; /* when the allowances were last filled up */
    uint32_t resets;    /* allowances left */
    uint32_t pings;
    bool abused;
};

/* The callbacks and options that all sessions share. */
enum status front_session_setup(struct etcd_front *front) MUST_CHECK;
void front_session_teardown(struct etcd_front *front);

struct front_session *front_session_open(struct front_socket *socket);
void front_session_close(struct front_session *session);
/* A stream of it was released. */
void front_session_let_go(struct front_session *session);
/* False: the connection is of no use any more. */
bool front_session_receive(struct front_session *session, struct bytes bytes);
/* Puts up to about FRONT_GATHER_SIZE bytes into lane->gather; false: the connection is of no use
 * any more. */
bool front_session_produce(struct front_session *session);
/* GOAWAY; streams end, unary calls go on. */
void front_session_stop(struct front_session *session);
/* Nothing will be read or written any more. */
bool front_session_done(const struct front_session *session);

#endif
