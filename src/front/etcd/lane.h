/* Lanes: who carries connections. The first lane runs on the core thread and accepts; with
 * --front-threads there are others, each a thread with a loop of its own, and connections that turn
 * out to speak HTTP/2 are moved to them. A lane has everything that has to do with the network:
 * sockets, HTTP/2, gRPC's framing, deadlines of calls. The handlers of the methods, and all that
 * they touch, stay on the core thread.
 *
 * Between the two travel the messages named here, in letters (postbox.h) if the lane is a thread of
 * its own, as plain calls if it is the core's. Either way neither side looks into the other.
 *
 * The one invariant: after the core has released a call it never speaks of it again, and after a
 * lane has said that a call is gone it never speaks of it again. */
#ifndef SYNOD_FRONT_ETCD_LANE_H
#define SYNOD_FRONT_ETCD_LANE_H

#include "base/list.h"
#include "front/etcd/front.h"
#include "front/etcd/grpc_code.h"
#include "front/etcd/method.h"
#include "front/etcd/postbox.h"
#include "front/etcd/timers.h"

#include <nghttp2/nghttp2.h>
#include <stdatomic.h>

struct call;
struct stream;

/* What a lane tells the core about a call. */
enum news {
    NEWS_LEADER,      /* the client wants a leader to be known */
    NEWS_MESSAGE,     /* a message of the client's */
    NEWS_HALF_CLOSED, /* it has said all that it had to say */
    NEWS_DRAINED,     /* all output was taken */
    NEWS_CANCELLED,   /* the call ended on the lane: out of time, or a broken message */
    NEWS_GONE,        /* the stream is closed */
    NEWS_LANE_ENDED,  /* about the lane: the thread has come to its end */
};

/* What the core tells a lane: about a call, or about the lane as a whole. */
enum order {
    ORDER_OUTPUT,   /* framed bytes for the client */
    ORDER_FINISH,   /* the end: code and text */
    ORDER_NEXT,     /* the message was handled, and the next may come */
    ORDER_RELEASED, /* the core has forgotten the call */
    ORDER_ADOPT,    /* a connection: its descriptor, and what was read of it */
    ORDER_STOP,     /* no new calls; streams end */
    ORDER_CLOSE,    /* everything ends now */
    ORDER_READ_ON,  /* the core has caught up */
};

/* Counted by the lane, read by the core whenever somebody wants to know. */
struct lane_stats {
    _Atomic uint64_t connections_refused;
    _Atomic uint64_t connections_accepted;
    _Atomic uint64_t connections_abused;
    _Atomic uint64_t calls_finished;
    _Atomic uint64_t calls_failed;
    _Atomic uint64_t bytes_received;
    _Atomic uint64_t bytes_sent;
    _Atomic uint64_t latency_buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t latency_sum;
    _Atomic uint64_t handled[METHODS_COUNT][GRPC_CODES]; /* calls by method and code */
};

/* Only one thread writes, so this is no more than an addition. */
static inline void stat_add(_Atomic uint64_t *stat, uint64_t value)
{
    atomic_store_explicit(stat, atomic_load_explicit(stat, memory_order_relaxed) + value,
                          memory_order_relaxed);
}

static inline uint64_t stat_get(const _Atomic uint64_t *stat)
{
    return atomic_load_explicit(stat, memory_order_relaxed);
}

struct lane {
    struct etcd_front *front;
    uv_loop_t *loop;
    struct mem *mem;
    bool posts; /* what it and the core say to each other goes by letters */
    struct timers timers;
    uv_prepare_t prepare;
    uv_idle_t idle; /* runs while there is something to do at the end of the turn */

    struct list sockets;
    struct list dirty; /* sockets that have something to write */
    struct list woken; /* streams whose input goes on before the turn ends */
    struct list calls_free;
    uint32_t calls_free_count;
    uint32_t blocks; /* calls that were not released yet */
    uint8_t *read_buffer;
    struct buffer gather; /* what one socket writes this turn */
    bool stopping;
    bool closing;
    bool waiting;     /* nothing is read until the core has caught up */
    bool ending;      /* its handles are being closed */
    bool ended;       /* the core knows that nothing is left of it */
    uint32_t handles; /* of the loop's that are not closed yet */
    struct lane_stats stats;

    /* Of a lane that posts. */
    struct postbox orders; /* for the lane; */
    struct postbox news;   /* from it */
    bool orders_posted;    /* since the lane was last woken; the core's */
    bool news_posted;      /* since the core was last woken; the lane's */
    uv_async_t wake;       /* there are orders */

    /* Of a lane that is a thread. */
    uv_loop_t own_loop;
    struct mem own_mem;
    uv_thread_t thread;
    bool running;
};

/* `loop` is the core's for the first lane. */
void lane_open(struct lane *lane, struct etcd_front *front, uv_loop_t *loop, struct mem *mem);
/* A lane on a thread of its own; `mem` is a template of what allocates for any thread. */
enum status lane_start(struct lane *lane, struct etcd_front *front,
                       const struct mem *mem) MUST_CHECK;
/* Makes the lane one that posts. */
enum status lane_open_boxes(struct lane *lane, const struct mem *mem) MUST_CHECK;
/* After it has ended. */
void lane_release(struct lane *lane);
/* Closes every connection; the rest ends when nothing is under way any more. */
void lane_close(struct lane *lane);
void lane_stop(struct lane *lane);
/* Makes sure that the end of this turn comes, even if nothing else happens in the loop. */
void lane_wake(struct lane *lane);
/* The end of a turn: input that had to wait goes on; then sockets are written, and the core is
 * called if there is news. */
void lane_go_on(struct lane *lane);
void lane_flush(struct lane *lane);
bool lane_busy(const struct lane *lane);
/* A handle of the loop was opened, or closed. */
void lane_handle_opened(struct lane *lane);
void lane_handle_closed(struct lane *lane);
/* Ends a lane that is closing, once nothing of it is left. */
void lane_check_end(struct lane *lane);

/* On the lane: to the core. */
void lane_tell(struct lane *lane, enum news news, struct call *call, struct bytes bytes);
/* On the core: about a call, whose lane is told; `text` is static. */
void lane_order(struct lane *lane, const struct letter *order, struct bytes bytes);
/* What the other side has posted. */
void lane_read_orders(struct lane *lane);
void lane_read_news(struct lane *lane);
/* On the core, at the end of its turn: lets the lane know of what was posted. */
void lane_signal(struct lane *lane);

#endif
