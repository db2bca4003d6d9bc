/* gRPC client: calls over HTTP/2 in clear text, many at once, on one event loop.
 *
 * A client owns the loop and the deadlines. A connection owns one TCP connection at a time, to one
 * of a list of endpoints; when that fails, every call on it ends with UNAVAILABLE and it goes on to
 * the next endpoint by itself. A call is memory of the caller, used again and again without
 * allocation: begin it, add a message, start it; its callbacks come from the loop.
 * The one invariant: a started call ends exactly once, by on_end or by grpc_call_cancel; after that
 * it may be begun again, also from within on_end. */
#ifndef SYNOD_CLI_GRPC_CLIENT_H
#define SYNOD_CLI_GRPC_CLIENT_H

#include "base/buffer.h"
#include "base/list.h"
#include "front/etcd/grpc_code.h"

#include <protobuf-c/protobuf-c.h>
#include <uv.h>

struct grpc_status {
    int code;
    bool sent; /* the request left this process, so the server may have acted on it */
    char message[256];
};

struct grpc_endpoint {
    char text[280];      /* host:port, as the user gave it, without its scheme */
    char authority[280]; /* for the :authority header */
    struct sockaddr_storage address;
};

/* Reads "host:port", "http://host:port" or a bare "host" (port 2379) and resolves the name. Returns
 * false with a message. */
bool grpc_endpoint_parse(const char *text, struct grpc_endpoint *ret_endpoint, char *ret_error,
                         size_t error_capacity);

struct grpc_client {
    uv_loop_t loop;
    uv_prepare_t flush; /* writes what the loop's turn produced, once for each connection */
    uv_timer_t tick;    /* deadlines, dial timeouts, keepalive; every GRPC_TICK_MS */
    struct list connections;
    struct list dirty;     /* connections with something to write */
    struct list deadlines; /* calls with a deadline, earliest first */
    uint8_t read_buffer[64 * 1024];
};

#define GRPC_TICK_MS 10

void grpc_client_init(struct grpc_client *client);
/* Closes what is open, without callbacks, and the loop. */
void grpc_client_release(struct grpc_client *client);

enum grpc_connection_state {
    GRPC_CONNECTING,
    GRPC_READY,
    GRPC_CLOSING, /* the socket is on its way down; then WAITING, or CONNECTING at once */
    GRPC_WAITING, /* until retry_ms */
    GRPC_CLOSED,  /* by grpc_connection_close */
};

struct nghttp2_session;

struct grpc_connection {
    /* Set before grpc_connection_open; all borrowed. */
    const struct grpc_endpoint *endpoints;
    size_t endpoints_count;
    size_t endpoint; /* the one in use; set it to choose the first */
    void *owner;
    /* Told of every change to READY and away from it; may be NULL. */
    void (*on_state)(struct grpc_connection *connection);
    uint32_t dial_timeout_ms; /* 0: 2 seconds */

    /* Read by anyone. */
    struct grpc_client *client;
    enum grpc_connection_state state;
    char error[128];   /* why it last failed */
    uint64_t failures; /* in a row; 0 once it has said anything */

    /* Private. */
    struct nghttp2_session *session;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uv_write_t write;
    bool tcp_open;
    bool writing;
    bool in_session; /* nghttp2 is calling us: the session must not be deleted */
    bool failing;    /* fail once it no longer does */
    struct list link;
    struct list dirty;
    struct list calls;
    size_t out_size;
    uint64_t dial_deadline_ms;
    uint64_t retry_ms;
    uint64_t read_ms; /* when bytes last came */
    uint64_t ping_ms; /* when a ping went out that was not answered; 0: none */
    uint8_t *out;
};

/* Begins to connect. Calls may be started at once; they wait for the connection. */
void grpc_connection_open(struct grpc_connection *connection, struct grpc_client *client);
/* Drops the connection, ending its calls with UNAVAILABLE, and dials the next endpoint. */
void grpc_connection_rotate(struct grpc_connection *connection, const char *why);
/* If it waits before it dials again: dials now, and begins with short waits again. */
void grpc_connection_hurry(struct grpc_connection *connection);
/* Ends calls without callbacks. Not from a callback of one of its calls. The memory is free once
 * the loop has turned (grpc_client_release). */
void grpc_connection_close(struct grpc_connection *connection);

struct grpc_call {
    /* One message of the answer, borrowed until the callback returns. It may cancel the call, but
     * not begin it again. May be NULL. */
    void (*on_message)(struct grpc_call *call, struct bytes message);
    void (*on_end)(struct grpc_call *call, const struct grpc_status *status);
    void *owner;

    /* Private. */
    struct grpc_connection *connection; /* NULL unless active */
    int32_t stream;
    bool half_closed; /* the request's last message is in `out` */
    bool sent;
    bool trailers; /* a grpc-status was received */
    uint16_t http_status;
    struct list link;
    struct list deadline_link;
    uint64_t deadline_ms;
    struct buffer out;
    size_t out_done;
    struct buffer in; /* a message of which only a part has come */
    struct grpc_status status;
};

void grpc_call_init(struct grpc_call *call);
void grpc_call_release(struct grpc_call *call);
bool grpc_call_active(const struct grpc_call *call);
/* Forgets the previous request. Not while active. */
void grpc_call_begin(struct grpc_call *call);
/* Adds a message of `size` bytes and returns the place to write it to. */
uint8_t *grpc_call_message(struct grpc_call *call, size_t size);
void grpc_call_pack(struct grpc_call *call, const ProtobufCMessage *message);
/* Sends what was added. With `stream` the request stays open for more. A timeout of 0 is none.
 * Returns false, and does nothing, if the connection is down (neither CONNECTING nor READY). */
bool grpc_call_start(struct grpc_call *call, struct grpc_connection *connection, const char *path,
                     uint64_t timeout_ms, bool stream);
/* Sends what was added to an active stream since; `last` ends the request. */
void grpc_call_push(struct grpc_call *call, bool last);
/* Ends an active call without callbacks; harmless on others. */
void grpc_call_cancel(struct grpc_call *call);

/* The allocator of the command line tool: malloc, counted. */
struct mem *cli_mem(void);

#endif
