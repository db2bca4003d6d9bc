/* Calls: one gRPC call, which is one HTTP/2 stream, from its headers to its trailers. What handlers
 * of methods see of the transport.
 *
 * The one invariant: a call ends exactly once, with a code; after call_finish or call_fail nothing
 * that its handlers do reaches the client. */
#ifndef SYNOD_FRONT_ETCD_CALL_H
#define SYNOD_FRONT_ETCD_CALL_H

#include "front/etcd/failure.h"
#include "front/etcd/framing.h"
#include "front/etcd/session.h"

#include <protobuf-c/protobuf-c.h>

#define CALL_ROOM 256

struct call {
    struct list link;
    struct list woken;
    struct list leader; /* in front->leader_calls */
    struct front_session *session;
    const struct method *method; /* NULL until the headers are complete */
    int32_t stream;
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
    struct buffer backlog; /* bytes that arrived while the call was busy; their window is shut */
    bool busy;             /* messages wait until call_resume */
    bool taken;            /* a unary call has its message */
    bool half_closed;      /* the client sends no more */
    bool half_closed_told;
    size_t message_size; /* of the current message */

    /* what goes out */
    struct buffer output; /* framed messages */
    size_t output_sent;
    bool responding; /* headers are submitted */
    bool paused;     /* nghttp2 waits for more output */
    bool finished;
    enum grpc_code code;
    const char *text;

    struct timer deadline;
    uint64_t began_ns;
    struct request request; /* the one that is under way, if any */
    void *state;            /* the handler's; freed with the call */
    size_t state_size;
    _Alignas(16) uint8_t room[CALL_ROOM];
};

struct call *call_new(struct front_session *session, int32_t stream);
/* The stream is gone. */
void call_free(struct call *call);
void call_header(struct call *call, struct bytes name, struct bytes value);
void call_begin(struct call *call);
void call_data(struct call *call, struct bytes bytes);
void call_half_close(struct call *call);
/* nghttp2 took `size` bytes of output; called from the session. */
void call_output_taken(struct call *call, size_t size);
/* The end of the turn, for a call that was woken. */
void call_run_woken(struct call *call);

static inline struct etcd_front *call_front(const struct call *call)
{
    return call->session->front;
}

/* Memory for the handler, zeroed; lives as long as the call. Once. */
void *call_state(struct call *call, size_t size);
/* The request as a message in the front's arena; NULL: malformed, and the call has failed. */
void *call_decode(struct call *call, const ProtobufCMessageDescriptor *descriptor,
                  struct bytes message);
/* Sends a message; headers go before the first one. */
void call_send(struct call *call, const ProtobufCMessage *message);
/* The same with fields behind it that are encoded already; their numbers come after its own. */
void call_send_with(struct call *call, const ProtobufCMessage *message, struct bytes fields);
/* Begins a message of this size, whose bytes the handler writes itself; false: it is too large, and
 * the call has failed. */
bool call_begin_message(struct call *call, uint64_t size);
void call_write(struct call *call, struct bytes bytes);
/* Sends the one message of a unary call and ends it well. */
void call_reply(struct call *call, const ProtobufCMessage *message);
void call_finish(struct call *call);
void call_fail(struct call *call, struct failure failure);
/* The same with a text that is made for the occasion. */
void call_fail_text(struct call *call, enum grpc_code code, const char *text);
void call_refuse(struct call *call, enum refusal refusal);
/* Lets the messages come that waited while the call was busy. */
void call_resume(struct call *call);
/* Has method->woken called before the turn ends. */
void call_wake(struct call *call);
/* How many bytes of output wait. */
size_t call_output_waiting(const struct call *call);

/* Submits a write after all checks that are made before anything is replicated. */
void call_submit(struct call *call, const struct command *command, request_done_fn done);
/* Waits until the local state is linearizable. */
void call_read(struct call *call, request_done_fn done);
/* For what call_read called, after it has read the state: is that linearizable? If not, the read
 * has been asked for again, and `done` will be called once more. */
bool call_read_holds(struct call *call);
/* The call of a request; for done functions, which begin with:
 * `struct call *call = call_done(request, status)`, NULL if the call failed for that reason. */
struct call *call_done(struct request *request, enum status status);
/* CORRUPT if this member must not serve; NONE. */
enum refusal call_standing(struct call *call);

#endif
