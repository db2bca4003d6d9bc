/* The engine: one interface for every consensus algorithm.
 *
 *     step(engine, input, effects)
 *
 * An engine is a state machine. It never fails, allocates, blocks or reads a clock: time, messages,
 * durability and the seed of its randomness are inputs, and all that it wants done comes back as an
 * ordered list of effects. The contract, all of it:
 *
 *  1. step is a pure function of state and input. wake() gives the next deadline. Pseudo-randomness
 *     is seeded state.
 *  2. Effects are executed in list order. A SEND is held until every record persisted before it (in
 *     this step or an earlier one) is durable: a promise can never leave before it is on disk. A
 *     SEND_EARLY claims nothing about the disk and leaves at once.
 *  3. Messages may be lost, duplicated, delayed and reordered.
 *  4. A member's own vote counts through the same gate: only when DURABLE says so.
 *  5. Durability is named by a local sequence number (lsn), never by slot or ballot. An engine that
 *     removes records of its past does so by another record.
 *  6. Every member delivers the same entries at the same slots, from 1, without gaps. A no-op is a
 *     NULL entry.
 *  7. Duplicate proposals are dropped by the replicated state machine, for every algorithm alike.
 *  8. The effects of a step are bounded (EFFECTS_MAX, EFFECTS_HEADS_MAX); more work is continued by
 *     wake() == now.
 *
 * Entries are blobs: an engine keeps references to those in its window and no copies. Heads are
 * small, encoded by the engine, and opaque to everybody else. */
#ifndef SYNOD_CONSENSUS_ENGINE_H
#define SYNOD_CONSENSUS_ENGINE_H

#include "base/blob.h"
#include "base/bytes.h"
#include "base/text.h"
#include "consensus/ballot.h"
#include "quorum/members.h"

#define TIME_NEVER UINT64_MAX
#define NODE_NONE 0

/* Types of log records that engines write; the host's own begin at RECORD_HOST. */
enum record_type {
    RECORD_ENTRY = 1,  /* slot, head, entry: this value was accepted at this slot */
    RECORD_HARD = 2,   /* head: promises and whatever else must survive */
    RECORD_ACCEPT = 3, /* slot, head: the value that is already recorded, under a newer ballot */
    RECORD_HOST = 64,
};

enum input_kind {
    INPUT_RECORD,  /* boot: replay one durable record, in lsn order: lsn, type, slot, head, entry */
    INPUT_START,   /* boot is over; always as follower, a new ballot is required to lead */
    INPUT_TIME,    /* `now` has reached wake() */
    INPUT_MESSAGE, /* from, head, entry */
    INPUT_PROPOSE, /* entry, token; only where room() > 0, otherwise it is rejected */
    INPUT_READ,    /* token: at which slot is a linearizable read safe? */
    INPUT_DURABLE, /* every record up to and including lsn is durable */
    INPUT_CHOSEN, /* slot, head, entry: fetched from a peer; known to be chosen. The head is that of
                   * the ENTRY record in the peer's log */
    INPUT_SNAPSHOT, /* slot, head: a snapshot of the state after this slot is durable here; the head
                     * is the mark that came with the delivery of that slot, here or at the member
                     * that took the snapshot. If the engine has not delivered so far it continues
                     * behind it; in any case it persists again whatever hard state must outlive the
                     * log before the snapshot */
    INPUT_PEER,     /* from, up: a hint that the connection to a peer came up or went down */
    INPUT_TRANSFER, /* node: hand the leadership over (0: to whoever is most up to date) */
};

struct input {
    enum input_kind kind;
    uint64_t now; /* nanoseconds of a clock that never goes back; on every input */
    uint16_t from;
    uint16_t node;
    bool up;
    uint8_t type;
    struct lsn lsn;
    uint64_t slot;
    uint64_t token;
    struct bytes head;  /* borrowed for the call */
    struct blob *entry; /* borrowed for the call; NULL: empty */
};

enum effect_kind {
    EFFECT_PERSIST,    /* type, slot, head, entry -> lsn */
    EFFECT_SEND,       /* to, head, entry: after everything persisted so far is durable */
    EFFECT_SEND_EARLY, /* to, head, entry: now; not at all if the clock has reached `until` */
    EFFECT_DELIVER, /* slot, head, entry: chosen; the slot after the last one delivered. The head is
                     * the engine's mark of the slot (MARK_MAX bytes at most, often none), which
                     * the host keeps with a snapshot taken there */
    EFFECT_READ_OK, /* token, slot, until: serve when applied >= slot. The state that is read then
                     * is the right one if, after reading it, the clock is still below `until` */
    EFFECT_READ_FAIL, /* token: could not be confirmed; ask again */
    EFFECT_REJECT,    /* token, to: a proposal was not taken; `to` is the leader if known */
    EFFECT_FETCH,     /* to, slot: chosen slots from `slot` on are missing here and `to` has them.
                       * The host brings them as INPUT_CHOSEN in slot order, or as a snapshot. Sent
                       * again while they are missing: the host ignores what is under way */
    EFFECT_ROLE,      /* role, to (leader, 0 if unknown), ballot: what changed */
};

enum role {
    ROLE_FOLLOWER,
    ROLE_CANDIDATE,
    ROLE_LEADER, /* phase 1 is done and the barrier of this leadership is delivered */
};

struct effect {
    enum effect_kind kind;
    enum role role;
    uint8_t type;
    uint16_t to;
    struct lsn lsn;
    uint64_t slot;
    uint64_t token;
    uint64_t until;
    struct ballot ballot;
    struct bytes head;  /* lives in the list */
    struct blob *entry; /* referenced by the list until effects_clear() */
};

#define MARK_MAX 16
#define EFFECTS_MAX 1024
#define EFFECTS_HEADS_MAX (128 * 1024)

/* Owned by the host; cleared by it before each step, after it has executed the last one's. */
struct effects {
    uint32_t count;
    struct lsn lsn_last; /* of the last record persisted; recovery sets it before the first step */
    size_t heads_used;
    struct effect items[EFFECTS_MAX];
    uint8_t heads[EFFECTS_HEADS_MAX];
};

void effects_init(struct effects *fx, struct lsn lsn_last);
void effects_clear(struct effects *fx);
struct lsn effects_persist(struct effects *fx, enum record_type type, uint64_t slot,
                           struct bytes head, struct blob *entry);
void effects_send(struct effects *fx, uint16_t to, struct bytes head, struct blob *entry);
void effects_send_early(struct effects *fx, uint16_t to, struct bytes head, struct blob *entry);
/* Early, and only while the clock is below `until`. */
void effects_send_until(struct effects *fx, uint16_t to, struct bytes head, uint64_t until);
void effects_deliver(struct effects *fx, uint64_t slot, struct bytes mark, struct blob *entry);
void effects_read_ok(struct effects *fx, uint64_t token, uint64_t slot, uint64_t until);
void effects_read_fail(struct effects *fx, uint64_t token);
void effects_reject(struct effects *fx, uint64_t token, uint16_t leader);
void effects_fetch(struct effects *fx, uint16_t to, uint64_t slot);
void effects_role(struct effects *fx, enum role role, uint16_t leader, struct ballot ballot);

struct engine_config {
    uint32_t era;  /* which algorithm and configuration generation records and messages belong to */
    uint16_t self; /* this member's node number */
    const struct configuration *configuration; /* outlives the engine */
    uint64_t heartbeat_ns;
    uint64_t election_ns;  /* silence after which a leader is suspected; at least 5 heartbeats */
    uint32_t window_slots; /* at most so many slots beyond the delivered ones; a power of two */
    uint64_t window_bytes; /* the leader proposes no more while so many bytes are undelivered */
    uint32_t tail_slots;   /* delivered entries kept in memory for takeovers */
    uint64_t tail_bytes;
    uint64_t lease_ns; /* the longest lease for reads that is granted (read_lease.h); 0: none is */
    bool lease_reads;  /* leading, read by a lease of that length instead of asking each time */
    uint32_t lease_drift; /* millionths by which no clock is faster or slower than true time */
    uint64_t seed;
};

struct engine_peer {
    uint16_t node;
    bool up;                /* heard from within the election timeout */
    uint64_t chosen_upto;   /* the last that it reported */
    uint64_t heard_ns;      /* when; 0: never */
    uint64_t round_trip_ns; /* smoothed; 0: unknown */
};

struct engine_status {
    enum role role;
    uint16_t leader;      /* NODE_NONE: unknown */
    struct ballot ballot; /* the highest promised */
    uint64_t chosen_upto; /* delivered up to here */
    uint64_t next_slot;   /* leader: the next one to propose at; else one past the last accepted */
    uint64_t window_used_slots;
    uint64_t window_used_bytes;
    uint64_t proposals;      /* entries proposed by this member since start */
    uint64_t elections;      /* candidacies */
    uint64_t leader_changes; /* seen */
    uint64_t ballots_burned; /* ballots prepared that did not lead */
    uint64_t dropped;        /* malformed or foreign messages */
    uint32_t peers_count;
    struct engine_peer peers[MEMBERS_MAX];
};

struct engine_ops {
    const char *name; /* as in --engine */
    uint16_t id;      /* as in the cluster's identity; never reused */
    size_t (*size)(const struct engine_config *config);
    void (*init)(void *engine, const struct engine_config *config);
    /* Drops every blob that it holds. */
    void (*release)(void *engine);
    void (*step)(void *engine, const struct input *input, struct effects *fx);
    uint64_t (*wake)(const void *engine);
    /* How many proposals can be taken now; 0 unless leading. */
    uint32_t (*room)(const void *engine);
    void (*status)(const void *engine, struct engine_status *ret_status);
    /* Panics if an invariant does not hold. For tests and the simulator. */
    void (*check)(const void *engine);
    /* A hash of everything that decides what the engine will do, except how late it is: two states
     * with the same one react alike, but for time. For the explorer. */
    uint64_t (*fingerprint)(const void *engine);
    /* A message of this engine in a few words, for traces and transcripts: its name, then
     * field=value, each behind a blank. "malformed" for what is no message. Clocks are left out:
     * two heads with the same words differ in nothing else. The name of a message that members
     * send now and then just to be heard ends in BEAT. */
    void (*describe)(struct bytes head, struct text *text);
};

extern const struct engine_ops engine_multipaxos;
extern const struct engine_ops engine_raft;

/* Every engine, NULL at the end. */
extern const struct engine_ops *const engines_all[];
/* By name or by id; NULL if there is none. */
const struct engine_ops *engine_by_name(const char *name);
const struct engine_ops *engine_by_id(uint16_t id);

#endif
