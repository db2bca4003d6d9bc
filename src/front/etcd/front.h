/* The etcd front: etcd's version 3 API for its own clients, gRPC over HTTP/2, with the HTTP/1.1
 * pages (health, version, metrics) on the same port. It turns calls into the replica's requests and
 * results into etcd's messages, codes and texts; it decides nothing.
 *
 * All of it runs on the loop's thread, which is the core thread; unless it is told to let other
 * threads carry the connections, which changes nothing that a client or a handler could see. */
#ifndef SYNOD_FRONT_ETCD_FRONT_H
#define SYNOD_FRONT_ETCD_FRONT_H

#include "base/mem.h"
#include "base/text.h"
#include "replica/request.h"
#include "world/world.h"

#include <uv.h>

/* The version of etcd's API that this front speaks, as clients ask for it. */
#define ETCD_API_VERSION "3.6.0"

struct etcd_front;

struct etcd_front_config {
    uv_loop_t *loop;
    struct world *world; /* for log lines; may be NULL */
    struct replica *replica;
    struct mem *mem;
    const char *const *listen_urls; /* http://host:port, host an address or localhost */
    uint32_t listen_urls_count;
    /* Zero means the default that is named. */
    uint64_t request_bytes_max;    /* of a write; 1.5 MiB */
    uint32_t txn_ops_max;          /* 128 */
    uint32_t streams_max;          /* calls at once on a connection; 65536 */
    uint32_t connections_max;      /* 16384 */
    uint64_t progress_interval_ns; /* between notifications to idle watches; 10 minutes */
    uint64_t leaderless_ns_max;    /* ends calls that require a leader; 3 seconds */
    uint64_t input_bytes_max;      /* of requests that are still arriving, in all; 256 MiB */
    uint64_t output_bytes_max;     /* of replies that wait on one connection; 64 MiB */
    /* Connections of clients are carried by so many threads besides the core's; 0: by that one. */
    uint32_t threads;
    struct mem
        threads_mem; /* template of an allocator for them: its functions are for any thread */
};

/* Listens on every URL. On failure `error` says which address and why. */
enum status etcd_front_open(const struct etcd_front_config *config, struct text *error,
                            struct etcd_front **ret_front) MUST_CHECK;
/* No new connections and calls: every connection gets a GOAWAY without an error, streams end. What
 * was submitted is still answered. */
void etcd_front_stop(struct etcd_front *front);
/* Ends everything now; frees the front when the loop has let go of it, then calls `closed`. */
void etcd_front_close(struct etcd_front *front, void (*closed)(void *owner), void *owner);
/* The port that the listener of a URL got (for URLs with port 0). */
uint16_t etcd_front_port(const struct etcd_front *front, uint32_t index);

struct etcd_front_stats {
    uint64_t connections;          /* open now */
    uint64_t connections_accepted; /* since the start */
    uint64_t connections_refused;  /* there were too many */
    uint64_t connections_abused;   /* closed for flooding */
    uint64_t calls;                /* under way now */
    uint64_t watches;              /* open now */
    uint64_t calls_finished;
    uint64_t calls_failed; /* of those, with another code than 0 */
    uint64_t bytes_received;
    uint64_t bytes_sent;
    uint64_t input_bytes;        /* held now of requests that are not complete */
    struct histogram latency_ns; /* of unary calls; first bucket 100 microseconds */
};

void etcd_front_stats(const struct etcd_front *front, struct etcd_front_stats *ret_stats);

#endif
