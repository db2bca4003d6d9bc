/* A rig for tests of the whole front without a network: a front over the fake replica, and an
 * HTTP/2 client (nghttp2's) whose bytes are carried to and fro by hand.
 *
 * With SYNOD_TEST_LETTERS in the environment the connection is on a lane that speaks to the core in
 * letters, as threads do; everything has to be the same. */
#ifndef SYNOD_TEST_FRONT_ETCD_SUPPORT_RIG_H
#define SYNOD_TEST_FRONT_ETCD_SUPPORT_RIG_H

#include "front/etcd/socket.h"
#include "front_etcd/support_replica.h"

#include <etcd_rpc.pb-c.h>

#define RIG_CALLS_MAX 64

/* One call as the client sees it. */
struct exchange {
    struct rig *rig;
    int32_t stream;
    struct buffer sending; /* framed */
    size_t sent;
    bool end_sent; /* the client has said that it sends no more */
    bool paused;
    struct buffer body;
    size_t read; /* how much of the body the test has looked at */
    int http_status;
    int grpc_status; /* -1: none came */
    char grpc_message[256];
    bool closed;
    uint32_t error;
};

struct rig {
    uv_loop_t loop;
    struct replica *replica;
    struct etcd_front *front;
    struct lane *lane;           /* that has the connection */
    struct front_socket *socket; /* NULL when the front has closed it */
    nghttp2_session *client;
    size_t chunk; /* bytes handed to the front at once; 0: all */
    bool lazy;    /* the client opens no windows */
    bool went_away;
    uint32_t went_away_code;
    struct exchange exchanges[RIG_CALLS_MAX];
    uint32_t exchanges_count;
};

struct rig *rig_open(void);
/* With a front that is configured otherwise; loop, replica and mem are filled in. */
struct rig *rig_open_with(struct etcd_front_config config);
void rig_close(struct rig *rig);
/* The client alone: what it would send and what it is sent is up to the caller. */
void rig_open_client(struct rig *rig);
void rig_close_client(struct rig *rig);
struct etcd_front_stats rig_stats(const struct rig *rig);
/* A new connection in place of the first. */
void rig_reconnect(struct rig *rig);
/* Carries bytes until nothing moves any more. */
void rig_turn(struct rig *rig);
/* The same, and lets time pass, until the call is over. */
void rig_wait(struct rig *rig, struct exchange *exchange);

/* Begins a call; its messages follow. `extra` is one more header, or NULL. */
struct exchange *rig_begin(struct rig *rig, const char *path, const char *extra,
                           const char *extra_value);
void rig_send(struct exchange *exchange, const ProtobufCMessage *message);
void rig_send_raw(struct exchange *exchange, struct bytes bytes);
void rig_end(struct exchange *exchange);
void rig_reset(struct exchange *exchange);
/* A unary call from its beginning to the end of the turn. */
struct exchange *rig_call(struct rig *rig, const char *path, const ProtobufCMessage *message);
/* The next message that came back; NULL: there is none. Free with free_unpacked. */
void *rig_next(struct exchange *exchange, const ProtobufCMessageDescriptor *descriptor);
/* The only message of a call that ended well. */
void *rig_reply(struct exchange *exchange, const ProtobufCMessageDescriptor *descriptor);
/* The call failed so. */
void rig_assert_failed(const struct exchange *exchange, int code, const char *text);

ProtobufCBinaryData rig_data(const char *text);
/* "abc", for comparing. */
void rig_assert_data(ProtobufCBinaryData data, const char *text);

#endif
