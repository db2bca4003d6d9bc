/* Sockets: a client's TCP connection. The first bytes decide what is spoken on it: the HTTP/2
 * preface, or else HTTP/1.1.
 *
 * The one invariant: at most one write is under way, and while one is, nothing is read: a client
 * that does not take its answers cannot ask for more. */
#ifndef SYNOD_FRONT_ETCD_SOCKET_H
#define SYNOD_FRONT_ETCD_SOCKET_H

#include "front/etcd/internal.h"

struct front_session;

struct front_socket {
    struct list link;
    struct list dirty;
    struct lane *lane;
    uv_tcp_t tcp;
    uv_write_t write;
    struct timer timer;    /* handshake, idling without a call, a write that goes nowhere */
    struct buffer pending; /* of the write under way */
    uint8_t sniffed_size;
    uint8_t sniffed[4];
    bool detached; /* no descriptor behind it: a test or a fuzzer feeds it and takes its output */
    bool moved;    /* another lane has the connection now */
    bool writing;
    bool closing;
    bool ending; /* close when everything is written */
    struct front_session *session;
    struct http_session *http;
};

/* Accepts one connection of a listener. */
void front_socket_accept(struct etcd_front *front, uv_stream_t *listener);
/* A socket without a descriptor, and the other end of it: appends what it has written, which is
 * under way until then. */
struct front_socket *front_socket_detached(struct lane *lane);
void front_socket_take(struct front_socket *socket, struct buffer *into);
/* Takes over a connection whose first bytes another lane has read. */
void front_socket_adopt(struct lane *lane, int descriptor, struct bytes bytes);
/* Reads, or lets the client wait. */
void front_socket_read(struct front_socket *socket, bool on);
/* Bytes came in. */
void front_socket_receive(struct front_socket *socket, struct bytes bytes);
/* There is something to write. */
void front_socket_touch(struct front_socket *socket);
/* Writes what there is; called once a turn for what was touched. */
void front_socket_flush(struct front_socket *socket);
/* Closes at once. */
void front_socket_close(struct front_socket *socket);
/* Ends in order: what is under way is answered. */
void front_socket_stop(struct front_socket *socket);
/* The preface and the first SETTINGS are there: the handshake is over. */
void front_socket_established(struct front_socket *socket);

#endif
