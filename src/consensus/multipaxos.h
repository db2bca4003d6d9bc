/* Multi-Paxos, inside: the state that its files share, and what each file offers the others.
 *
 *     multipaxos.c           the interface: dispatch of inputs, what ends every step, status
 *     multipaxos_message.c   heads of messages and records, encoded and decoded
 *     multipaxos_window.c    the ring of slots that are kept in memory
 *     multipaxos_acceptor.c  what a member promises and accepts
 *     multipaxos_election.c  who should lead: heartbeats, suspicion, candidacy, stepping down
 *     multipaxos_takeover.c  phase 1: promises come in, a new leader adopts what they report
 *     multipaxos_leader.c    phase 2: propose, count votes, commit, send again, hand over
 *     multipaxos_learner.c   what is chosen: replay, delivery, catch-up, snapshots
 *     multipaxos_read.c      linearizable reads by read index
 *     multipaxos_check.c     every invariant that one member can see
 *     multipaxos_describe.c  messages in words, states as numbers
 *
 * The one invariant behind all of it (Lamport 2001): once a quorum accepted a value for a slot in
 * one ballot, every higher ballot proposes that value there. */
#ifndef SYNOD_CONSENSUS_MULTIPAXOS_H
#define SYNOD_CONSENSUS_MULTIPAXOS_H

#include "base/prng.h"
#include "consensus/engine.h"
#include "consensus/read_lease.h"

/* Rounds and slots beyond these are malformed: no arithmetic on them can overflow. */
#define MULTIPAXOS_ROUND_MAX (UINT64_MAX >> 2)
#define MULTIPAXOS_SLOT_MAX (UINT64_MAX >> 2)
#define MULTIPAXOS_READS_MAX 128
#define MULTIPAXOS_ROUNDS_MAX 4
/* The bulk work of a step stops while so many effects are still free for all else. */
#define MULTIPAXOS_RESERVE 256
#define MULTIPAXOS_HEAD_MAX 96

enum multipaxos_kind {
    MESSAGE_HEARTBEAT = 1, /* everybody to everybody; from a leader it also keeps followers */
    MESSAGE_PRE_PREPARE,   /* would you follow me? changes nothing at the acceptor */
    MESSAGE_PRE_PROMISE,
    MESSAGE_PREPARE,       /* slot: the first that is asked for */
    MESSAGE_PROMISE,       /* a page: in (from, slot] only `slot` was accepted, in vbal */
    MESSAGE_ACCEPT,        /* slot, entry */
    MESSAGE_ACCEPTED,      /* slot */
    MESSAGE_COMMIT,        /* nothing but the head's chosen_upto */
    MESSAGE_NACK,          /* the head's ballot is what was promised */
    MESSAGE_READ_ROUND,    /* id: do you still follow me? */
    MESSAGE_READ_ACK,      /* id */
    MESSAGE_READ_INDEX,    /* id: a follower asks for a safe slot */
    MESSAGE_READ_INDEX_OK, /* id, slot */
    MESSAGE_TRANSFER_NOW,  /* take over */
    MESSAGE_KINDS,
};

enum {
    FLAG_LEADING = 1,   /* HEARTBEAT: I lead in the ballot of this message */
    FLAG_HEARS_YOU = 2, /* HEARTBEAT: your messages reach me */
    FLAG_TRANSFER = 4,  /* PRE_PREPARE: the leader asked me to */
    FLAG_WILLING = 8,   /* PRE_PROMISE: yes */
    FLAG_REPORT = 16,   /* PROMISE: `slot` holds a value */
    FLAG_CHOSEN = 32,   /* PROMISE, record: and it is known to be chosen */
    FLAG_FLOOR = 64,    /* PROMISE: all of (from, slot] is chosen, but not in memory any more */
    FLAG_LAST = 128,    /* PROMISE: nothing was accepted after `from` */
};

struct multipaxos_message {
    uint8_t kind;
    uint8_t flags;
    struct ballot ballot;
    uint64_t chosen_upto; /* of the sender */
    uint64_t from;        /* PROMISE; PRE_PROMISE: the floor */
    uint64_t slot;
    uint64_t id;
    uint64_t lease; /* READ_ROUND: grant me one of this length; READ_ACK: granted; 0: none */
    uint64_t stamp; /* HEARTBEAT: the sender's clock */
    uint64_t echo;  /* HEARTBEAT: the receiver's clock, as of now, without the time of travel */
    struct ballot vbal;
};

struct multipaxos_record {
    uint8_t flags;
    struct ballot ballot; /* ENTRY and ACCEPT: vbal; HARD: promised */
    uint64_t chosen_upto; /* delivered when this was written */
};

struct bytes multipaxos_message_encode(const struct multipaxos_message *message, uint32_t era,
                                       uint8_t buffer[MULTIPAXOS_HEAD_MAX]);
bool multipaxos_message_decode(struct bytes head, uint32_t era,
                               struct multipaxos_message *ret_message);
struct bytes multipaxos_record_encode(const struct multipaxos_record *record,
                                      uint8_t buffer[MULTIPAXOS_HEAD_MAX]);
bool multipaxos_record_decode(struct bytes head, struct multipaxos_record *ret_record);

struct multipaxos_cell {
    uint64_t slot; /* 0: free */
    struct blob *entry;
    struct ballot vbal; /* in which `entry` was accepted; zero if it was only learned */
    struct lsn lsn;     /* the record that says so */
    bool accepted;      /* `entry` is a value, and on its way to the disk */
    bool chosen;
    bool reported;               /* candidate: somebody accepted something here: */
    struct ballot reported_vbal; /* in the highest ballot so far, */
    struct blob *reported_entry; /* this */
    member_set acks;             /* leader: who accepted it in exactly this ballot */
};

struct multipaxos_peer {
    uint16_t node;
    bool down;     /* the host said so, and nothing came since */
    bool hears_us; /* it said so */
    struct ballot promised;
    uint64_t chosen_upto;
    uint64_t heard_ns; /* 0: never */
    uint64_t greeted_ns;
    uint64_t stamp;    /* its clock in its last heartbeat, */
    uint64_t stamp_ns; /* which came then */
    uint64_t round_trip_ns;
    uint64_t floor;       /* candidate: slots up to here are chosen and not in its memory */
    uint64_t pages_upto;  /* candidate: its promise is in up to here, without a gap */
    uint64_t acked_upto;  /* leader: the highest slot it accepted in this ballot */
    uint64_t resend_next; /* leader: sending again from here; 0: not */
    uint64_t resend_end;
    uint64_t resend_at; /* not again before */
    uint64_t resend_pause;
    uint64_t unacked_slot; /* leader: the first not accepted, at the last tick */
};

enum multipaxos_read_state {
    READ_FREE,
    READ_WAITING,    /* for a leader, or for the next round */
    READ_CONFIRMING, /* leader: its round is under way */
    READ_FORWARDED,  /* follower: the leader was asked */
};

struct multipaxos_read {
    enum multipaxos_read_state state;
    uint16_t from;  /* NODE_NONE: this member's host; else the peer that asked */
    uint64_t token; /* the host's */
    uint64_t id;    /* between members; of the one that asks */
    uint64_t slot;
    uint64_t round;
    uint64_t deadline;
};

struct multipaxos_round {
    uint64_t id; /* 0: free */
    member_set acks;
    member_set grants; /* of the lease that was asked for with it */
    uint64_t lease;    /* its length; 0: none */
    uint64_t began_ns; /* first sent, */
    uint64_t sent_ns;  /* and last */
};

/*   FOLLOWING --suspicion--> ASKING --Q1 willing--> PREPARING --Q1 promised--> TAKING_OVER -->
 * LEADING ^                      |                       |                           |            |
 *       +----------------------+------ a live leader, a higher ballot, no answer --+------------+
 */
enum multipaxos_phase {
    PHASE_FOLLOWING,
    PHASE_ASKING,
    PHASE_PREPARING,
    PHASE_TAKING_OVER, /* proposing again what the promises reported */
    PHASE_LEADING,
};

struct multipaxos {
    struct engine_config config;
    uint32_t place; /* of this member */
    member_set self;
    member_set everybody;
    struct prng prng;
    uint64_t now;
    bool started;
    bool unsound; /* a record was unreadable: this member learns but does not vote any more */
    bool again;   /* bounded work is left over: wake at once */

    /* Acceptor. */
    struct ballot promised;
    struct ballot recorded; /* the highest ballot that some record promises */
    struct lsn promised_lsn;
    bool restate; /* a snapshot was loaded at boot: write the hard state again at the start */
    struct lsn durable;
    bool paging;               /* promise pages are on their way to the owner of */
    struct ballot page_ballot; /* this */
    uint64_t page_next;

    /* Learner. */
    uint64_t base; /* slots up to here are delivered and forgotten */
    uint64_t chosen_upto;
    uint64_t last_slot; /* the highest ever in the window */
    uint32_t capacity;
    uint64_t undelivered_slots;
    uint64_t undelivered_bytes;
    uint64_t tail_bytes;
    struct ballot known_ballot; /* its leader says that up to known_upto all is chosen: true here */
    uint64_t known_upto;        /* for every slot that was accepted in exactly that ballot */
    uint64_t replay_upto;       /* some record says that its writer had delivered so far */
    uint64_t jumped_upto;       /* the last snapshot that took the place of slots of the log */
    uint64_t hole_upto;         /* replay: up to here the log is no witness of what was chosen */
    bool fetching;              /* this step took in what was fetched */
    uint64_t fetched_ns;
    uint32_t fetched_place;
    uint64_t fetched_upto; /* chosen_upto at that time */
    uint64_t ticked_upto;  /* chosen_upto at the last tick */

    /* Election. */
    enum multipaxos_phase phase;
    struct ballot ballot; /* own: PREPARING and later */
    uint16_t leader;      /* who is followed */
    bool suspected;
    uint64_t leader_heard_ns;
    uint64_t round_max; /* the highest seen anywhere */
    uint64_t tick_at;
    uint64_t campaign_at;
    uint64_t jitter_ns;
    uint64_t deadline; /* of the candidacy */
    uint64_t repeat_at;
    uint64_t attempt;
    uint64_t courted_ns;   /* when the highest candidate got the promise; 0: never */
    bool transfer_ordered; /* this candidacy was asked for by the leader */
    uint32_t backoff;
    member_set willing;
    member_set promises;

    /* Leader. */
    uint64_t takeover_next; /* what the promises reported is proposed again from here */
    uint64_t next_slot;
    uint64_t barrier; /* its slot; 0: not proposed yet */
    uint64_t self_acked;
    uint64_t announced_upto; /* chosen_upto in the last ACCEPT or COMMIT */
    uint64_t led_since_ns;
    uint16_t transfer_to;
    uint64_t transfer_deadline;
    uint64_t transfer_at;

    /* Reads. */
    struct read_lease lease;
    uint64_t read_id;
    uint64_t round_id;
    uint32_t reads_count;
    struct multipaxos_read reads[MULTIPAXOS_READS_MAX];
    struct multipaxos_round rounds[MULTIPAXOS_ROUNDS_MAX];

    /* What was told last, and counters. */
    enum role told_role;
    uint16_t told_leader;
    struct ballot told_ballot;
    uint64_t proposals;
    uint64_t elections;
    uint64_t leader_changes;
    uint64_t ballots_burned;
    uint64_t dropped;

    struct multipaxos_peer peers[MEMBERS_MAX]; /* by place */
    struct multipaxos_cell cells[];
};

/* multipaxos.c */
bool multipaxos_leads(const struct multipaxos *p);
/* Leading, and the barrier of this leadership is delivered. */
bool multipaxos_ready(const struct multipaxos *p);
/* Does this member know all that it ever accepted? Otherwise it learns, and has no vote. */
bool multipaxos_sound(const struct multipaxos *p);
/* May this step do more bulk work? If not, the step is continued at once. */
bool multipaxos_may_add(struct multipaxos *p, const struct effects *fx, uint32_t reserve);
/* A message from this member in its current state; era, ballot and chosen_upto are filled in. */
struct multipaxos_message multipaxos_compose(const struct multipaxos *p, enum multipaxos_kind kind);
void multipaxos_send(const struct multipaxos *p, struct effects *fx, uint16_t to,
                     const struct multipaxos_message *message, struct blob *entry);
void multipaxos_broadcast(const struct multipaxos *p, struct effects *fx,
                          const struct multipaxos_message *message, struct blob *entry);
bool multipaxos_entries_equal(const struct blob *a, const struct blob *b);

/* multipaxos_window.c */
uint32_t multipaxos_window_capacity(const struct engine_config *config);
/* The cell of a slot that is in the window, or NULL. */
struct multipaxos_cell *multipaxos_window_find(const struct multipaxos *p, uint64_t slot);
/* Is the slot undelivered and near enough to be taken in? */
bool multipaxos_window_fits(const struct multipaxos *p, uint64_t slot);
/* Lets go of delivered slots until `slot` has a place. False if it cannot have one. */
bool multipaxos_window_reach(struct multipaxos *p, uint64_t slot);
/* The cell of a slot that has a place. */
struct multipaxos_cell *multipaxos_window_claim(struct multipaxos *p, uint64_t slot);
void multipaxos_window_store(struct multipaxos *p, struct multipaxos_cell *cell,
                             struct blob *entry);
void multipaxos_window_report(struct multipaxos *p, struct multipaxos_cell *cell,
                              struct ballot vbal, struct blob *entry);
void multipaxos_window_clear_reports(struct multipaxos *p);
/* The next slot, which holds a chosen value, is delivered. */
void multipaxos_window_deliver(struct multipaxos *p);
/* Everything up to `slot` came with a snapshot. */
void multipaxos_window_jump(struct multipaxos *p, uint64_t slot);
void multipaxos_window_release(struct multipaxos *p);

/* multipaxos_acceptor.c */
void multipaxos_promise(struct multipaxos *p, struct ballot ballot, struct effects *fx);
void multipaxos_persist_hard(struct multipaxos *p, struct effects *fx);
/* Writes the record for a value that this member accepts in `ballot`, and takes it in. */
void multipaxos_accept(struct multipaxos *p, struct multipaxos_cell *cell, struct ballot ballot,
                       struct blob *entry, struct effects *fx);
void multipaxos_on_prepare(struct multipaxos *p, uint16_t from,
                           const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_accept(struct multipaxos *p, uint16_t from,
                          const struct multipaxos_message *message, struct blob *entry,
                          struct effects *fx);
void multipaxos_nack(struct multipaxos *p, uint16_t to, struct effects *fx);
void multipaxos_pump_pages(struct multipaxos *p, struct effects *fx);

/* multipaxos_election.c */
bool multipaxos_peer_up(const struct multipaxos *p, const struct multipaxos_peer *peer);
void multipaxos_election_start(struct multipaxos *p, struct effects *fx);
/* What every message tells about its sender. */
void multipaxos_heard(struct multipaxos *p, struct multipaxos_peer *peer,
                      const struct multipaxos_message *message);
/* A message of the leader of `ballot`. False, and a NACK, if a higher one was promised. */
bool multipaxos_follow(struct multipaxos *p, uint16_t from, struct ballot ballot,
                       struct effects *fx);
/* Gives up leading or trying to; nothing else is known to lead. */
void multipaxos_step_down(struct multipaxos *p);
void multipaxos_wait_for_leader(struct multipaxos *p);
void multipaxos_on_heartbeat(struct multipaxos *p, struct multipaxos_peer *peer,
                             const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_pre_prepare(struct multipaxos *p, struct multipaxos_peer *peer,
                               const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_pre_promise(struct multipaxos *p, struct multipaxos_peer *peer,
                               const struct multipaxos_message *message);
void multipaxos_on_transfer_now(struct multipaxos *p, uint16_t from,
                                const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_peer(struct multipaxos *p, struct multipaxos_peer *peer, bool up,
                        struct effects *fx);
void multipaxos_on_time(struct multipaxos *p, struct effects *fx);
void multipaxos_pump_election(struct multipaxos *p, struct effects *fx);

/* multipaxos_takeover.c */
void multipaxos_prepare(struct multipaxos *p, struct effects *fx);
void multipaxos_prepare_again(struct multipaxos *p, struct effects *fx);
void multipaxos_on_promise(struct multipaxos *p, struct multipaxos_peer *peer,
                           const struct multipaxos_message *message, struct blob *entry,
                           struct effects *fx);
void multipaxos_pump_takeover(struct multipaxos *p, struct effects *fx);

/* multipaxos_leader.c */
void multipaxos_propose(struct multipaxos *p, uint64_t slot, struct blob *entry,
                        struct effects *fx);
void multipaxos_on_propose(struct multipaxos *p, const struct input *input, struct effects *fx);
void multipaxos_on_accepted(struct multipaxos *p, struct multipaxos_peer *peer,
                            const struct multipaxos_message *message);
void multipaxos_on_transfer(struct multipaxos *p, uint16_t node);
void multipaxos_resend(struct multipaxos *p, struct multipaxos_peer *peer);
void multipaxos_leader_tick(struct multipaxos *p);
void multipaxos_pump_votes(struct multipaxos *p);
void multipaxos_pump_leader(struct multipaxos *p, struct effects *fx);
uint32_t multipaxos_room(const struct multipaxos *p);

/* multipaxos_learner.c */
void multipaxos_on_record(struct multipaxos *p, const struct input *input, struct effects *fx);
void multipaxos_on_chosen(struct multipaxos *p, const struct input *input, struct effects *fx);
void multipaxos_on_snapshot(struct multipaxos *p, uint64_t slot, struct effects *fx);
/* The leader of `ballot` says that all is chosen up to `upto`. */
void multipaxos_learn_upto(struct multipaxos *p, struct ballot ballot, uint64_t upto);
/* Takes in a value that is known to be chosen. False if it is too far ahead. */
bool multipaxos_learn(struct multipaxos *p, uint64_t slot, struct blob *entry, struct effects *fx);
void multipaxos_fetch_tick(struct multipaxos *p, struct effects *fx);
void multipaxos_fetch(struct multipaxos *p, struct effects *fx);
void multipaxos_pump_deliveries(struct multipaxos *p, struct effects *fx);
void multipaxos_pump_fetch(struct multipaxos *p, struct effects *fx);

/* multipaxos_read.c */
void multipaxos_on_read(struct multipaxos *p, uint64_t token, struct effects *fx);
void multipaxos_on_read_round(struct multipaxos *p, uint16_t from,
                              const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_read_ack(struct multipaxos *p, struct multipaxos_peer *peer,
                            const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_read_index(struct multipaxos *p, uint16_t from,
                              const struct multipaxos_message *message, struct effects *fx);
void multipaxos_on_read_index_ok(struct multipaxos *p, const struct multipaxos_message *message,
                                 struct effects *fx);
/* The leader changed: what was under way with the old one starts over. */
void multipaxos_reads_reset(struct multipaxos *p);
void multipaxos_reads_tick(struct multipaxos *p, struct effects *fx);
void multipaxos_pump_reads(struct multipaxos *p, struct effects *fx);

/* multipaxos_check.c */
void multipaxos_check(const struct multipaxos *p);

/* multipaxos_describe.c: as engine_ops has it. */
void multipaxos_describe(struct bytes head, struct text *text);
uint64_t multipaxos_fingerprint(const struct multipaxos *p);

#endif
