/* The real world: files, threads for the disk, TCP links to the other members, the system's clock,
 * over one libuv loop that is shared with the fronts.
 *
 * The one invariant: the inhabitant is called on the core thread only, from the loop or from
 * inside none of its own calls: a world_ops function never calls back. */
#ifndef SYNOD_WORLD_REAL_H
#define SYNOD_WORLD_REAL_H

#include "base/text.h"
#include "world/log.h"
#include "world/world.h"

#include <uv.h>

#define REAL_WORLD_PEERS_MAX 32
#define REAL_WORLD_LISTEN_MAX 8
#define REAL_WORLD_HOST_MAX 256
#define REAL_WORLD_MESSAGE_BYTES_MAX ((uint32_t)(4 * 1024 * 1024 + 64 * 1024))
#define REAL_WORLD_QUEUE_BYTES_MAX ((uint32_t)(16 * 1024 * 1024))

struct real_world_address {
    char host[REAL_WORLD_HOST_MAX]; /* a name or a number; for listening, "" is 0.0.0.0 */
    uint16_t port;
};

struct real_world_peer {
    uint16_t node;
    char host[REAL_WORLD_HOST_MAX];
    uint16_t port;
};

struct real_world_config {
    uv_loop_t *loop;
    struct mem *mem;  /* NULL: mem_system() */
    const char *root; /* the data directory; NULL: no disk, and disk jobs fail */
    uint64_t cluster; /* members of another cluster are turned away */
    uint16_t self;
    struct real_world_peer peers[REAL_WORLD_PEERS_MAX]; /* one with node == self is skipped */
    uint32_t peers_count;
    struct real_world_address listen[REAL_WORLD_LISTEN_MAX];
    uint32_t listen_count;
    enum log_level log_level;
    enum log_format log_format;
    /* Borrowed for the world's life. Its functions may be NULL, and may be filled in any time
     * before real_world_start_links. */
    const struct world_events *events;
    uint32_t message_bytes_max; /* head and entry of one message; 0: the default above */
    uint32_t queue_bytes_max;   /* unsent bytes kept for one peer; 0: the default above */
};

/* What happened on the links with one peer since the start; for metrics and tests. */
struct real_world_link {
    bool up;
    uint64_t connects; /* links established by us */
    uint64_t messages_sent;
    uint64_t messages_dropped; /* not connected, or the queue was full */
    uint64_t messages_received;
    uint64_t bytes_sent; /* handed to the system */
    uint64_t bytes_received;
    uint64_t bytes_queued; /* now */
};

struct real_world;

/* Opens and locks the data directory; nothing touches the network yet, so that recovery can run
 * with disk_run first. From here on SIGPIPE and SIGXFSZ are ignored: both come back as errors of
 * the call that caused them. On failure `error` says why, for a person. */
enum status real_world_open(const struct real_world_config *config, struct text *error,
                            struct real_world **ret_real) MUST_CHECK;
struct world *real_world_world(struct real_world *real);
/* Says who is who, for a member that learns it in recovery (and not from the config). Before
 * real_world_start_links, and only where the config named no peer. */
void real_world_set_members(struct real_world *real, uint64_t cluster, uint16_t self,
                            const struct real_world_peer *peers, uint32_t peers_count);
/* Listens, and dials every peer. Fails if one of the addresses cannot be listened on. */
enum status real_world_start_links(struct real_world *real, struct text *error) MUST_CHECK;
/* Ends the links, after what was sent was offered to the system, and the timer. No event is called
 * any more; disk jobs go on and are reported, and the log can be written. Harmless when repeated.
 */
void real_world_stop(struct real_world *real);
/* Stops and waits for the disk jobs; calls `drained`, in which the inhabitant may free itself
 * (disk_run and the log still work); releases everything, and calls `closed` from the loop. Both
 * may be NULL. */
void real_world_close(struct real_world *real, void (*drained)(void *owner),
                      void (*closed)(void *owner), void *owner);
/* False if there is no such peer. */
bool real_world_link(const struct real_world *real, uint16_t node,
                     struct real_world_link *ret_link);
/* A line of the same log from somebody who is not the inhabitant: `caller` names the place. */
void real_world_log(struct real_world *real, enum log_level level, const char *caller,
                    const char *message, const char *fields);

#endif
