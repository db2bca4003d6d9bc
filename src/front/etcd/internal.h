/* The front's own shape, shared by its files: front > lanes > sockets > sessions > streams, calls.
 *
 * A socket is a client's TCP connection, carried by a lane; when its first bytes say HTTP/2 it has
 * a session; a session has streams, each of which is half of a call. Nothing is written from inside
 * a callback: whoever has something to send touches its socket, and what was touched is written
 * once, at the end of the turn. */
#ifndef SYNOD_FRONT_ETCD_INTERNAL_H
#define SYNOD_FRONT_ETCD_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/list.h"
#include "front/etcd/front.h"
#include "front/etcd/lane.h"
#include "front/etcd/watch_events.h"
#include "front/http/http.h"

#include <nghttp2/nghttp2.h>

#define FRONT_READ_SIZE ((size_t)64 * 1024)
/* About as much is given to a socket in one turn; the rest waits where it is accounted for. */
#define FRONT_GATHER_SIZE ((size_t)256 * 1024)
/* A streaming call makes no more output while so much of its own waits. */
#define FRONT_OUTPUT_HIGH ((size_t)256 * 1024)
#define FRONT_LEADER_CHECK_MS 250
#define FRONT_MESSAGE_SLACK ((uint64_t)512 * 1024) /* above a write's size, as etcd has it */

/* What headers and checks need of the replica, taken once a turn. */
struct front_standing {
    bool fresh;
    struct replica_status status;
};

struct etcd_front {
    struct etcd_front_config config;
    uv_loop_t *loop;
    struct replica *replica;
    struct mem *mem;
    struct http_front *http;
    nghttp2_session_callbacks *callbacks; /* of all sessions */
    nghttp2_option *options;

    struct front_listener *listeners;
    struct lane core;     /* on this thread */
    struct lane *threads; /* the others */
    uint32_t threads_count;
    uint32_t threads_left;        /* not ended yet */
    uint32_t thread_next;         /* for the next connection */
    uv_async_t wake;              /* there is news; open while there are other lanes */
    _Atomic uint32_t connections; /* of all lanes; here and below */
    _Atomic uint32_t calls;
    _Atomic uint64_t input_bytes; /* held of requests that are not complete */

    struct list woken;        /* calls that want to go on before the turn ends */
    struct list leader_calls; /* streams that end when there is no leader */
    struct timer leader_timer;

    struct arena arena; /* decoded requests: reset when the outermost one was handled */
    uint32_t arena_users;
    struct arena reply;    /* results on their way into a message: reset for each */
    struct buffer posting; /* a message on its way to another lane */
    struct watch_events watch_events;

    struct front_standing standing;
    struct request alarm_request; /* raises NOSPACE */
    bool alarm_under_way;
    uint32_t snapshots; /* being sent */
    uint64_t watches;   /* open now */
    bool closing;
    uint32_t handles; /* what must have ended before the front may be freed */
    void (*closed)(void *owner);
    void *closed_owner;
};

/* Makes sure that the end of this turn comes, even if nothing else happens in the loop. */
static inline void front_wake(struct etcd_front *front)
{
    lane_wake(&front->core);
}

/* Timers of the core thread. */
static inline struct timers *front_timers(struct etcd_front *front)
{
    return &front->core.timers;
}

static inline uint32_t front_connections(const struct etcd_front *front)
{
    return atomic_load_explicit(&front->connections, memory_order_relaxed);
}

/* The lane that is to have the next connection. */
struct lane *front_lane_for(struct etcd_front *front);
/* Calls of a method that ended with a code. */
uint64_t front_handled(const struct etcd_front *front, unsigned method, unsigned code);
/* A lane that is not the first has come to its end. */
void front_lane_ended(struct etcd_front *front, struct lane *lane);
/* The replica's status, at most one turn old. */
const struct replica_status *front_status(struct etcd_front *front);
struct store *front_store(const struct etcd_front *front);
void front_log(struct etcd_front *front, enum log_level level, const char *message,
               const char *fields);
/* The end of a turn: runs the calls that were woken, writes what sockets have, calls the lanes. */
void front_turn(struct etcd_front *front);
/* A handle of the loop was closed, or a lane has ended. */
void front_handle_closed(struct etcd_front *front);
/* Writes the front's own metrics (http.h's hook). */
void front_metrics_write(void *owner, struct buffer *out);

/* --- Listeners ---------------------------------------------------------------------------------*/

enum status front_listeners_open(struct etcd_front *front, struct text *error);
void front_listeners_close(struct etcd_front *front);
void front_listeners_free(struct etcd_front *front);

#endif
