/* Calls: one gRPC call, as the handlers of methods see it, on the core thread. What its lane works
 * with, the HTTP/2 stream, is the first part of the same block (stream.h); the handlers leave it
 * alone.
 *
 * The one invariant: a call ends exactly once, with a code; after call_finish or call_fail nothing
 * that its handlers do reaches the client. */
#ifndef SYNOD_FRONT_ETCD_CALL_H
#define SYNOD_FRONT_ETCD_CALL_H

#include "front/etcd/internal.h"
#include "front/etcd/stream.h"

#include <protobuf-c/protobuf-c.h>

#define CALL_ROOM 128

struct call {
    struct stream
        stream; /* the lane's, but for what does not change: session, method; and counts */
    struct etcd_front *front;
    struct list woken;
    struct list leader;     /* in front->leader_calls */
    bool busy;              /* messages wait until call_resume */
    bool finished;          /* for the handlers; the lane may still have work with it */
    bool over;              /* its handler has given back what it held */
    size_t message_size;    /* of the current message */
    struct request request; /* the one that is under way, if any */
    void *state;            /* the handler's; freed with the call */
    size_t state_size;
    _Alignas(16) uint8_t room[CALL_ROOM];
};

/* A new block; the lane sets up its own part. */
void call_init(struct call *call, struct etcd_front *front);
/* What its lane has to tell. */
void call_hear(struct call *call, enum news news, struct bytes bytes);
/* The end of the turn, for a call that was woken. */
void call_run_woken(struct call *call);

static inline struct etcd_front *call_front(const struct call *call)
{
    return call->front;
}

static inline const struct method *call_method(const struct call *call)
{
    return call->stream.method;
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
/* How many bytes of output wait: of this call, and of all calls of its connection. */
size_t call_output_waiting(const struct call *call);
size_t call_connection_waiting(const struct call *call);

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
