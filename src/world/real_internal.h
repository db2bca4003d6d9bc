/* What the files of the real world share: the world itself, its peers, and who calls whom.
 *
 * A peer has two halves that live apart. The outgoing link is ours to dial and only sends; the
 * incoming one is theirs and only receives. peer.c alone decides what the inhabitant hears of both.
 */
#ifndef SYNOD_WORLD_REAL_INTERNAL_H
#define SYNOD_WORLD_REAL_INTERNAL_H

#include "base/list.h"
#include "base/prng.h"
#include "world/disk_queue.h"
#include "world/frame.h"
#include "world/outbox.h"
#include "world/real.h"

#define DIAL_ADDRESSES_MAX 4
#define RECEIVE_SIZE ((size_t)128 * 1024)
#define REASON_SIZE 160

/*      IDLE ──timer──► RESOLVING ──► CONNECTING ──► GREETING ──► UP
 *       ▲                  │              │             │          │
 *       └── (no addresses) ┘              └─────────► CLOSING ◄────┘
 *       └───────────────────────────────────────────────┘            */
enum dial_state {
    DIAL_IDLE, /* waiting for the timer */
    DIAL_RESOLVING,
    DIAL_CONNECTING,
    DIAL_GREETING, /* our hello is out, the answer is not in */
    DIAL_UP,
    DIAL_CLOSING,
};

struct incoming;

struct peer {
    struct real_world *real;
    uint16_t node;
    struct real_world_address address;

    enum dial_state state;
    bool at_once; /* the next dial does not wait: they came back */
    uint32_t backoff_ms;
    uv_timer_t timer; /* of the wait in IDLE; of the patience in CONNECTING and GREETING */
    uv_getaddrinfo_t resolve;
    struct sockaddr_storage addresses[DIAL_ADDRESSES_MAX];
    uint32_t addresses_count;
    uint32_t addresses_tried;
    uv_tcp_t tcp;
    uv_connect_t connect;
    uint8_t
        greeting[GREETING_SIZE + 1]; /* the answer; the last byte catches what nobody may send */
    size_t greeting_size;
    uint32_t message_max;     /* that both of us accept */
    char reason[REASON_SIZE]; /* why the last attempt failed, as it was logged */
    uint64_t reason_at;
    uint64_t up_at;

    struct outbox filling; /* frames of this turn */
    struct outbox writing; /* frames that the system has not taken yet */
    uv_write_t write;
    bool write_open;
    bool dropping; /* the queue is full: said so once */

    struct incoming *incoming;
    bool incoming_lost; /* it broke, and neither direction was made anew since */
    bool reported_up;
    struct real_world_link counters;
};

struct incoming {
    struct real_world *real;
    struct list link;  /* in real->incoming */
    struct peer *peer; /* NULL until its hello was accepted */
    uv_tcp_t tcp;
    uv_timer_t timer; /* patience for the hello */
    unsigned handles_open;
    bool closing;
    uint8_t greeting[GREETING_SIZE];
    size_t greeting_size;
    struct frame_decoder decoder;
};

struct real_world {
    struct world world;
    struct real_world_config config; /* with the defaults filled in; root is not kept */
    struct log log;
    struct prng prng;
    struct disk disk;
    struct disk_worker workers[2]; /* by enum disk_queue */
    struct disk_job *ahead;        /* begun by disk_ahead, not yet run; NULL: none */
    uv_async_t disk_finished;
    uv_prepare_t before_poll;
    uv_check_t after_poll;
    uv_timer_t timer;
    uv_idle_t overdue; /* runs once when a deadline has already passed */
    uint64_t deadline;
    uv_tcp_t listeners[REAL_WORLD_LISTEN_MAX * DIAL_ADDRESSES_MAX];
    uint32_t listeners_count;
    struct peer peers[REAL_WORLD_PEERS_MAX];
    uint32_t peers_count;
    struct list incoming;
    uint32_t incoming_count;
    uint8_t *receive;      /* RECEIVE_SIZE bytes, valid within one read callback */
    uint64_t refused_at;   /* when a stranger was last logged */
    uint32_t handles_open; /* callbacks that must still come before the memory may go */
    bool started;
    bool stopping;
    bool closing;
    bool finishing; /* the disk is drained, the last handles are going */
    void (*drained)(void *owner);
    void (*closed)(void *owner);
    void *closed_owner;
};

/* real.c */
uint64_t real_world_now(void);
/* Registers a handle or request whose callback must come before the world is freed. */
void real_world_hold(struct real_world *real);
/* Its callback came. May free the world: the caller touches it no more. */
void real_world_unhold(struct real_world *real);

/* peer.c */
struct peer *peer_find(struct real_world *real, uint16_t node);
/* Tells the inhabitant if the peer went up or down since it was last told. */
void peer_report(struct peer *peer);
/* A line about a peer; `address` and `reason` may be NULL. */
void peer_log(struct real_world *real, enum log_level level, const char *message, uint16_t node,
              const char *address, const char *reason);
/* Options for a link's socket: no delay, and dead hosts noticed. */
void peer_tune_socket(uv_tcp_t *tcp);

/* dial.c: outgoing links */
void dial_init(struct peer *peer, struct real_world *real, const struct real_world_peer *config);
void dial_start(struct peer *peer);
/* They reached us, so they are there: do not wait for the timer. */
void dial_at_once(struct peer *peer);
void dial_stop(struct peer *peer);

/* send.c: what goes out on an established link */
void send_add(struct peer *peer, struct bytes head, struct blob *entry);
/* Offers what was added to the system; a link that fails is closed. */
void send_flush(struct peer *peer);
/* Forgets everything that was not sent. */
void send_clear(struct peer *peer);
uint64_t send_queued(const struct peer *peer);
/* dial.c, for send.c: the link is no good any more. */
void dial_fail(struct peer *peer, const char *what, int error);

/* listen.c and incoming.c: incoming links */
enum status listen_start(struct real_world *real, struct text *error);
void listen_stop(struct real_world *real);
void incoming_accept(struct real_world *real, uv_stream_t *listener);
void incoming_close(struct incoming *incoming, const char *reason);

/* resolve.c. Numbers are understood without asking anybody. */
bool resolve_numeric(const struct real_world_address *address, struct sockaddr_storage *ret);
/* Distinct addresses, at most DIAL_ADDRESSES_MAX, with the port filled in. */
uint32_t resolve_collect(const struct addrinfo *found, uint16_t port,
                         struct sockaddr_storage *ret_addresses);

#endif
