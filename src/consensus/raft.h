/* Raft, inside: the state that its files share, and what each file offers the others.
 *
 *     raft.c           the interface: dispatch of inputs, what ends every step, status
 *     raft_message.c   heads of messages, records and marks, encoded, decoded and described
 *     raft_log.c       the part of the log that is kept in memory
 *     raft_follower.c  what a member takes from its leader: matching, truncation, acknowledgement
 *     raft_election.c  who should lead: heartbeats, pre-votes, votes, stepping down
 *     raft_leader.c    propose, replicate, commit, hand over
 *     raft_learner.c   what is chosen: replay, delivery, catch-up, snapshots
 *     raft_read.c      linearizable reads by read index
 *     raft_check.c     every invariant that one member can see; its fingerprint
 *
 * The one invariant behind all of it (Ongaro 2014): if two logs hold an entry of the same slot and
 * term, they are the same up to there; and the log of every leader holds all that was committed in
 * the terms before its own. */
#ifndef SYNOD_CONSENSUS_RAFT_H
#define SYNOD_CONSENSUS_RAFT_H

#include "base/prng.h"
#include "consensus/engine.h"
#include "consensus/read_lease.h"

/* Terms and slots beyond these are malformed: no arithmetic on them can overflow. */
#define RAFT_TERM_MAX (UINT64_MAX >> 2)
#define RAFT_SLOT_MAX (UINT64_MAX >> 2)
#define RAFT_READS_MAX 128
#define RAFT_ROUNDS_MAX 4
/* The bulk work of a step stops while so many effects are still free for all else. */
#define RAFT_RESERVE 256
#define RAFT_HEAD_MAX 96
#define RAFT_MARK_SIZE 8

enum raft_kind {
    RAFT_BEAT = 1, /* everybody to everybody; a leader's is an empty append: slot, prev_term */
    RAFT_PRE_VOTE, /* would you vote for me in term + 1? slot, log_term: my last entry */
    RAFT_PRE_VOTE_REPLY, /* asked: the term of the question */
    RAFT_VOTE,           /* vote for me in this term; slot, log_term: my last entry */
    RAFT_VOTE_REPLY,     /* in this term */
    RAFT_APPEND,         /* slot, log_term, entry; prev_term: of the slot before */
    RAFT_PROBE,          /* do you hold slot in prev_term? */
    RAFT_APPENDED,       /* durable here and the same as yours up to slot */
    RAFT_REJECT,         /* no: slot; from `first` on here lie entries of log_term (0: nothing) */
    RAFT_BEHIND,         /* up to slot all is chosen, and not in the leader's memory: fetch it */
    RAFT_COMMIT,         /* nothing but the head's chosen_upto */
    RAFT_NACK,           /* the head's term is above yours */
    RAFT_READ_ROUND,     /* id: do you still follow me? */
    RAFT_READ_ACK,       /* id */
    RAFT_READ_INDEX,     /* id: a follower asks for a safe slot */
    RAFT_READ_INDEX_OK,  /* id, slot */
    RAFT_TRANSFER_NOW,   /* stand for election at once */
    RAFT_KINDS,
};

enum {
    RAFT_FLAG_LEADING = 1,   /* BEAT: I lead in the term of this message */
    RAFT_FLAG_HEARS_YOU = 2, /* BEAT: your messages reach me */
    RAFT_FLAG_ANSWER = 4,    /* BEAT: say how far you are, I do not know it */
    RAFT_FLAG_TRANSFER = 8,  /* VOTE: the leader asked me to */
    RAFT_FLAG_GRANTED = 16,  /* replies: yes */
    RAFT_FLAG_JUMP = 32,     /* record HARD: the log begins anew behind its slot */
};

struct raft_message {
    uint8_t kind;
    uint8_t flags;
    uint64_t term;        /* the sender's own */
    uint64_t chosen_upto; /* of the sender: delivered */
    uint64_t slot;
    uint64_t prev_term;
    uint64_t log_term;
    uint64_t first;
    uint64_t asked;
    uint64_t id;
    uint64_t lease; /* READ_ROUND: grant me one of this length; READ_ACK: granted; 0: none */
    uint64_t stamp; /* BEAT: the sender's clock */
    uint64_t echo;  /* BEAT: the receiver's clock, as of now, without the time of travel */
};

struct raft_record {
    uint8_t flags;
    uint64_t term;        /* ENTRY: in which the entry was created; HARD: the current one */
    uint16_t vote;        /* HARD: who got this member's vote in it */
    uint64_t chosen_upto; /* delivered when this was written */
};

struct bytes raft_message_encode(const struct raft_message *message, uint32_t era,
                                 uint8_t buffer[RAFT_HEAD_MAX]);
bool raft_message_decode(struct bytes head, uint32_t era, struct raft_message *ret_message);
void raft_message_describe(struct bytes head, struct text *text);
struct bytes raft_record_encode(const struct raft_record *record, uint8_t buffer[RAFT_HEAD_MAX]);
bool raft_record_decode(struct bytes head, struct raft_record *ret_record);
struct bytes raft_mark_encode(uint64_t term, uint8_t buffer[RAFT_MARK_SIZE]);
bool raft_mark_decode(struct bytes mark, uint64_t *ret_term);

struct raft_cell {
    uint64_t slot; /* 0: free */
    uint64_t term;
    struct blob *entry;
    struct lsn lsn; /* of its record */
};

enum raft_stream {
    RAFT_PROBING, /* where its log meets ours is not known: one question at a time */
    RAFT_STREAMING,
    RAFT_LAGGING, /* it needs what is not in memory any more, and was told to fetch it */
};

struct raft_peer {
    uint16_t node;
    bool down;     /* the host said so, and nothing came since */
    bool hears_us; /* it said so */
    uint64_t term;
    uint64_t chosen_upto;
    uint64_t heard_ns; /* 0: never */
    uint64_t greeted_ns;
    uint64_t stamp;    /* its clock in its last heartbeat, */
    uint64_t stamp_ns; /* which came then */
    uint64_t round_trip_ns;
    /* Leader: */
    enum raft_stream stream;
    bool asked;     /* PROBING: the question is on its way */
    uint64_t next;  /* the next slot to send */
    uint64_t match; /* durable there and the same as here up to this slot */
};

enum raft_read_state {
    RAFT_READ_FREE,
    RAFT_READ_WAITING,    /* for a leader, or for the next round */
    RAFT_READ_CONFIRMING, /* leader: its round is under way */
    RAFT_READ_FORWARDED,  /* follower: the leader was asked */
};

struct raft_read {
    enum raft_read_state state;
    uint16_t from;  /* NODE_NONE: this member's host; else the peer that asked */
    uint64_t token; /* the host's */
    uint64_t id;    /* between members; of the one that asks */
    uint64_t slot;
    uint64_t round;
    uint64_t deadline;
};

struct raft_round {
    uint64_t id; /* 0: free */
    member_set acks;
    member_set grants; /* of the lease that was asked for with it */
    uint64_t lease;    /* its length; 0: none */
    uint64_t began_ns; /* first sent, */
    uint64_t sent_ns;  /* and last */
};

/*   FOLLOWING --suspicion--> ASKING --Q1 would vote--> STANDING --Q1 voted--> LEADING
 *      ^                        |                         |                      |
 *      +------------------------+-- a leader, a higher term, no answer, no quorum --+
 */
enum raft_phase {
    RAFT_FOLLOWING,
    RAFT_ASKING,   /* pre-votes */
    RAFT_STANDING, /* votes */
    RAFT_LEADING,
};

struct raft {
    struct engine_config config;
    uint32_t place; /* of this member */
    member_set self;
    member_set everybody;
    struct prng prng;
    uint64_t now;
    bool started;
    bool unsound; /* a record was unreadable: this member learns but does not vote any more */
    bool again;   /* bounded work is left over: wake at once */

    /* Hard state: never changed without a record. */
    uint64_t term;
    uint16_t vote;       /* in this term */
    struct lsn vote_lsn; /* candidate, leader: the record of the own vote */
    struct lsn durable;

    /* The log: slots (base, last]. */
    uint64_t base; /* slots up to here are delivered and forgotten */
    uint64_t base_term;
    uint64_t chosen_upto; /* delivered */
    uint64_t commit;      /* known to be chosen, and here */
    uint64_t last;
    uint32_t capacity;
    uint64_t undelivered_bytes;
    uint64_t tail_bytes;

    /* Replay. */
    bool detached;        /* the records that come do not continue what is delivered */
    bool hole;            /* because a snapshot that they build on is lost */
    bool restate;         /* a snapshot was loaded at boot: write the hard state at the start */
    uint64_t replay_upto; /* some record says that its writer had delivered, or held, so far */

    /* Follower. */
    uint16_t leader;      /* who is followed */
    uint16_t term_leader; /* whoever leads this term, once it is known */
    uint64_t verified;    /* up to here this log is that of this term's leader */
    uint64_t known_upto;  /* which has delivered so far */
    uint64_t behind_upto; /* and has nothing up to here in memory; 0: it has what comes next */
    bool fetching;        /* this step took in what was fetched */
    uint64_t fetched_ns;
    uint32_t fetched_place;
    uint64_t fetched_upto; /* chosen_upto at that time */
    uint64_t ticked_upto;  /* chosen_upto at the last tick */

    /* Election. */
    enum raft_phase phase;
    bool suspected;
    uint64_t leader_heard_ns;
    uint64_t tick_at;
    uint64_t campaign_at;
    uint64_t jitter_ns;
    uint64_t deadline; /* of the candidacy */
    uint64_t repeat_at;
    uint64_t attempt;
    uint64_t courted_ns; /* when this member last voted for another; 0: never */
    bool ordered;        /* this candidacy was asked for by the leader */
    uint32_t backoff;
    member_set granted;
    member_set refused;

    /* Leader. */
    uint64_t barrier;        /* the slot of the first entry of this term */
    uint64_t self_acked;     /* own log durable up to here */
    uint64_t announced_upto; /* chosen_upto in the last message to all */
    uint64_t led_since_ns;
    uint16_t transfer_to;
    uint64_t transfer_deadline;
    uint64_t transfer_at;

    /* Reads. */
    struct read_lease lease;
    uint64_t read_id;
    uint64_t round_id;
    uint32_t reads_count;
    struct raft_read reads[RAFT_READS_MAX];
    struct raft_round rounds[RAFT_ROUNDS_MAX];

    /* What was told last, and counters. */
    enum role told_role;
    uint16_t told_leader;
    uint64_t told_term;
    uint64_t proposals;
    uint64_t elections;
    uint64_t leader_changes;
    uint64_t terms_burned;
    uint64_t dropped;

    struct raft_peer peers[MEMBERS_MAX]; /* by place */
    struct raft_cell cells[];
};

/* raft.c */
bool raft_leads(const struct raft *p);
/* Leading, and an entry of this term is delivered. */
bool raft_ready(const struct raft *p);
/* Does this member know all that it ever acknowledged? Otherwise it learns, and has no vote. */
bool raft_sound(const struct raft *p);
/* May this step do more bulk work? If not, the step is continued at once. */
bool raft_may_add(struct raft *p, const struct effects *fx);
/* A message from this member in its current state; era, term and chosen_upto are filled in. */
struct raft_message raft_compose(const struct raft *p, enum raft_kind kind);
/* At once. */
void raft_send(const struct raft *p, struct effects *fx, uint16_t to,
               const struct raft_message *message, struct blob *entry);
/* After everything persisted so far is durable. */
void raft_send_durable(const struct raft *p, struct effects *fx, uint16_t to,
                       const struct raft_message *message);
void raft_broadcast(const struct raft *p, struct effects *fx, const struct raft_message *message);

/* raft_log.c */
uint32_t raft_log_capacity(const struct engine_config *config);
/* The cell of a slot that is in memory, or NULL. */
struct raft_cell *raft_log_find(const struct raft *p, uint64_t slot);
/* The term of a slot in [base, last]; 0 for any other. */
uint64_t raft_log_term(const struct raft *p, uint64_t slot);
uint64_t raft_log_last_term(const struct raft *p);
/* Is an entry (slot, term) as last one as good as this log's? The rule of every vote. */
bool raft_log_covered_by(const struct raft *p, uint64_t term, uint64_t slot);
/* Is there a place for one more entry? Lets go of delivered ones for it. */
bool raft_log_reach(struct raft *p);
/* The entry at last + 1. There is a place for it. */
struct raft_cell *raft_log_append(struct raft *p, uint64_t term, struct blob *entry);
/* Everything from `slot` on goes; it is not delivered. */
void raft_log_truncate(struct raft *p, uint64_t slot);
/* The next slot, which is committed, is delivered. */
void raft_log_deliver(struct raft *p);
/* Everything up to `slot` came with a snapshot; what follows it stays only if the log holds that
 * slot in that term. Returns whether it stayed. */
bool raft_log_jump(struct raft *p, uint64_t slot, uint64_t term);
void raft_log_release(struct raft *p);

/* raft_follower.c */
/* Appends and writes the record. */
void raft_append(struct raft *p, uint64_t term, struct blob *entry, struct effects *fx);
void raft_on_append(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                    struct blob *entry, struct effects *fx);
/* An empty append: a probe, or a leader's heartbeat. */
void raft_on_probe(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                   bool answer, struct effects *fx);
void raft_on_behind(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                    struct effects *fx);
/* The leader of this term has delivered up to `upto`. */
void raft_learn_upto(struct raft *p, uint64_t upto);

/* raft_election.c */
bool raft_peer_up(const struct raft *p, const struct raft_peer *peer);
void raft_election_start(struct raft *p, struct effects *fx);
struct lsn raft_persist_hard(struct raft *p, uint8_t flags, struct effects *fx);
/* What every message tells about its sender; a higher term is adopted, unless it is only asked for
 * while there is a leader. */
void raft_heard(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                struct effects *fx);
void raft_adopt_term(struct raft *p, uint64_t term, struct effects *fx);
/* A message of the leader of `term`. False if it is not: a NACK says why, or it is dropped. */
bool raft_follow(struct raft *p, uint16_t from, uint64_t term, struct effects *fx);
/* Gives up leading or trying to; nothing else is known to lead. */
void raft_step_down(struct raft *p);
void raft_wait_for_leader(struct raft *p);
void raft_on_beat(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                  struct effects *fx);
void raft_on_pre_vote(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                      struct effects *fx);
void raft_on_pre_vote_reply(struct raft *p, struct raft_peer *peer,
                            const struct raft_message *message);
void raft_on_vote(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                  struct effects *fx);
void raft_on_vote_reply(struct raft *p, struct raft_peer *peer, const struct raft_message *message);
void raft_on_transfer_now(struct raft *p, uint16_t from, const struct raft_message *message,
                          struct effects *fx);
void raft_on_peer(struct raft *p, struct raft_peer *peer, bool up, struct effects *fx);
void raft_on_time(struct raft *p, struct effects *fx);
void raft_pump_election(struct raft *p, struct effects *fx);

/* raft_leader.c */
void raft_lead(struct raft *p, struct effects *fx);
uint32_t raft_room(const struct raft *p);
void raft_on_propose(struct raft *p, const struct input *input, struct effects *fx);
void raft_on_appended(struct raft *p, struct raft_peer *peer, const struct raft_message *message);
void raft_on_reject(struct raft *p, struct raft_peer *peer, const struct raft_message *message);
void raft_on_transfer(struct raft *p, uint16_t node);
/* The previous slot and its term, for an empty append to this peer. */
void raft_fill_probe(const struct raft *p, const struct raft_peer *peer,
                     struct raft_message *message);
void raft_leader_tick(struct raft *p);
void raft_pump_commit(struct raft *p);
void raft_pump_leader(struct raft *p, struct effects *fx);

/* raft_learner.c */
void raft_on_record(struct raft *p, const struct input *input, struct effects *fx);
void raft_on_chosen(struct raft *p, const struct input *input, struct effects *fx);
void raft_on_snapshot(struct raft *p, const struct input *input, struct effects *fx);
void raft_fetch_tick(struct raft *p, struct effects *fx);
void raft_pump_deliveries(struct raft *p, struct effects *fx);
void raft_pump_fetch(struct raft *p, struct effects *fx);

/* raft_read.c */
void raft_on_read(struct raft *p, uint64_t token, struct effects *fx);
void raft_on_read_round(struct raft *p, uint16_t from, const struct raft_message *message,
                        struct effects *fx);
void raft_on_read_ack(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                      struct effects *fx);
void raft_on_read_index(struct raft *p, uint16_t from, const struct raft_message *message,
                        struct effects *fx);
void raft_on_read_index_ok(struct raft *p, const struct raft_message *message, struct effects *fx);
/* The leader changed: what was under way with the old one starts over. */
void raft_reads_reset(struct raft *p);
void raft_reads_tick(struct raft *p, struct effects *fx);
void raft_pump_reads(struct raft *p, struct effects *fx);

/* raft_check.c */
void raft_check(const struct raft *p);
uint64_t raft_fingerprint(const struct raft *p);

#endif
