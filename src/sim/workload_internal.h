/* The workload to itself.
 *
 *     workload.c         its life: clients wake, choose a member, wait, give up
 *     workload_ask.c     what clients ask: puts, reads, deletions, transactions, compactions
 *     workload_answer.c  what they hear, against the truth; and into the history
 *     workload_lease.c   leases: granted, renewed, asked about, revoked, expired
 *     workload_watch.c   watchers, wherever they are
 *     workload_judge.c   the end
 *
 * Everything here is drawn from STREAM_WORKLOAD. */
#ifndef SYNOD_SIM_WORKLOAD_INTERNAL_H
#define SYNOD_SIM_WORKLOAD_INTERNAL_H

#include "check/history.h"
#include "sim/oracle_internal.h"
#include "sim/workload.h"
#include "store/watch.h"

#define WORKLOAD_MS UINT64_C(1000000)
#define WORKLOAD_S (1000 * WORKLOAD_MS)
#define NOWHERE UINT32_MAX
#define TXN_OPS_MAX 128u

enum ask_kind {
    ASK_WRITE,    /* put, delete, transaction: through the log */
    ASK_READ,     /* a range, linearizable */
    ASK_TXN_READ, /* a transaction that only reads */
    ASK_COMPACT,
    ASK_GRANT,
    ASK_REVOKE,
    ASK_RENEW,
    ASK_QUERY,
    ASK_TRANSFER,
    ASK_ALARM, /* lowers the alarm for want of space */
    ASK_KINDS,
};

/* One request under way. What it points to lives in the workload's arena. */
struct ask {
    struct request request;
    struct list link; /* in workload.asks */
    struct workload *workload;
    enum ask_kind kind;
    uint32_t client;
    uint32_t place;
    uint64_t number;
    uint64_t call_ns;
    bool submitting;   /* inside the call that hands it over: a failure now is a sure one */
    bool waiting;      /* its member is paused: not handed over yet */
    bool recorded;     /* it stands in the history, */
    uint32_t history;  /* under this number */
    uint64_t complete; /* the slot that was complete when it began */
    struct command command;
    int64_t lease;
    uint32_t epoch; /* of the lease */
};

struct client {
    uint32_t place;  /* the member that it likes */
    struct ask *ask; /* NULL: it thinks */
    bool planned;    /* its next thought is under way: never two, or they would multiply */
    bool sleeping;   /* it has asked enough for this phase */
    uint32_t chores; /* left to do for want of space */
    bool holder;     /* takes a lease and renews it, again and again */
    int64_t held;    /* that lease; 0: none */
    uint32_t held_epoch;
    int64_t probe;    /* a lease that it has ended: does nobody renew it any more? 0: none */
    uint64_t wake_at; /* when it has something to do next; 0: after some thought */
    /* The last version that it saw: what its compare-and-swaps hope for. */
    uint32_t seen_key;
    int64_t seen_mod;
    struct bytes seen_value;
};

/* A lease as clients know it. */
struct known_lease {
    int64_t id;
    int64_t ttl;
    uint32_t epoch;       /* grows when the id is granted anew */
    uint32_t revocations; /* asked for and not answered */
    bool granted;         /* somebody was told so, */
    uint64_t slot;        /* and it stood at this slot */
    uint64_t alive_until; /* true time */
    uint64_t asked_ns;    /* when somebody last spoke of it */
    bool revoking;        /* somebody wants it gone: nothing is sure any more */
};

struct watch {
    struct workload *workload;
    struct watcher *watcher; /* NULL: closed */
    uint32_t place;          /* NOWHERE: closed */
    uint32_t number;         /* of this opening: an earlier one's wake-up is not for it */
    struct key_range range;
    bool no_put;
    bool no_delete;
    bool previous;
    bool ready;
    bool lazy;     /* pulls only now and then */
    int64_t first; /* nothing before this revision was asked for */
    int64_t next;  /* everything before this revision was given or is of no interest */
    uint32_t at;   /* the first event of the truth that was not looked at */
    uint32_t left; /* batches until it wants something else */
};

/* A write of which nobody heard the end. */
struct lost_write {
    uint32_t history;
    struct command command;
    const struct truth_lease *expired; /* not asked for by anybody: this lease ran out */
};

struct workload {
    struct sim *sim;
    struct oracle *oracle;
    struct truth *truth;
    struct mem *mem;
    const struct sim_options *options;
    struct prng *prng;
    struct arena arena;   /* what stays */
    struct arena scratch; /* of one answer */
    struct list asks;
    uint64_t asks_count;
    uint64_t ask_next;
    uint64_t clock; /* of the history: one tick for each call and each end */
    struct history *history;
    struct client *clients;
    struct lost_write *lost;
    uint32_t lost_count;
    uint32_t lost_capacity;
    uint64_t issued;
    uint64_t value_next;
    bool started;
    bool calm;
    bool stopped;
    uint64_t calm_ns;
    uint32_t rotate;
    struct known_lease *leases;
    uint32_t leases_count;
    uint32_t leases_capacity;
    struct watch *watches;
    uint32_t *ready;           /* by place: watches with something to read */
    uint64_t *progress;        /* by place: when the newest write that succeeded was asked for */
    uint32_t asked[ASK_KINDS]; /* in the end, of members that have shown that they work */
    uint32_t heard[ASK_KINDS]; /* answered, at any time */
    uint32_t recorded_puts;    /* succeeded, and the history must know of them */
    uint32_t recorded_reads;
    struct workload_counts counts;
};

/* --- workload.c ------------------------------------------------------------------------------ */

/* A request of this kind to this member, not handed over yet. */
struct ask *ask_new(struct workload *w, enum ask_kind kind, uint32_t client, uint32_t place);
/* Hands it over, at once or when its member goes on. */
void ask_submit(struct ask *ask);
/* It was answered, or nobody waits any more: the client goes on. Frees it. */
void ask_end(struct ask *ask);
struct store *workload_store(struct workload *w, uint32_t place);
bool workload_up(struct workload *w, uint32_t place);
void workload_object(struct workload *w, const char *oracle, const char *what,
                     const struct ask *ask, int64_t a, int64_t b);

/* --- workload_ask.c -------------------------------------------------------------------------- */

/* What the client does next. */
void ask_something(struct workload *w, uint32_t client, uint32_t place);
struct bytes workload_key(struct workload *w, uint32_t key);
struct bytes workload_value(struct workload *w);
uint32_t workload_pick_key(struct workload *w);
struct key_range workload_pick_range(struct workload *w);
/* Notes in the history that this write, or this read, is asked for. */
void history_note(struct ask *ask);
/* As a front: may this write go into the log? */
bool workload_admit(struct workload *w, uint32_t client, uint32_t place,
                    const struct command *command);

/* --- workload_answer.c ----------------------------------------------------------------------- */

void on_written(struct request *request, enum status status, const struct result *result);
void on_read(struct request *request, enum status status, const struct result *result);
void on_txn_read(struct request *request, enum status status, const struct result *result);
void on_other(struct request *request, enum status status, const struct result *result);
/* It was answered: counted, traced, and noted where it surely failed. True if with an OK. */
bool ask_answered(struct ask *ask, enum status status, enum refusal refusal);
/* A read of the member's own state, as it is. */
void answer_stale(struct workload *w, uint32_t client, uint32_t place,
                  const struct range_query *query);

/* Its outcome is unknown, now and for ever. */
void answer_lost(struct ask *ask);

/* --- workload_lease.c ------------------------------------------------------------------------ */

void lease_ask(struct workload *w, uint32_t client, uint32_t place);
void lease_submit(struct ask *ask);
/* Asks some member about the lease that it ended. */
void lease_probe(struct workload *w, uint32_t client);
/* What a client does that holds a lease. */
void lease_hold(struct workload *w, uint32_t client, uint32_t place);
/* A lease that may live, to hang a key on; 0: none. */
int64_t lease_pick(struct workload *w);
void lease_on_ended(void *owner, const struct truth_lease *lease);
/* The true time by which every lease that lives must have ended, if nobody speaks of them. */
bool lease_overdue(const struct workload *w, const struct truth_lease *lease);
void lease_judge(struct workload *w);

/* --- workload_watch.c ------------------------------------------------------------------------ */

void watches_init(struct workload *w);
void watches_start(struct workload *w);
void watches_member_down(struct workload *w, uint32_t place);
void watches_turn(struct workload *w, uint32_t place);
void watches_judge(struct workload *w);
void watches_release(struct workload *w);

#endif
