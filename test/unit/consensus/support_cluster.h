/* A whole cluster in memory: engines of any kind, a network, disks and hosts, all driven by one
 * seed and one virtual clock. What one run does, every run with that seed does.
 *
 * The oracles look at everything that leaves an engine: one chosen value a slot, the same gapless
 * deliveries everywhere, no read older than what was complete before it was asked for; and, by
 * engine, what its messages claim (support_multipaxos.c, support_raft.c). A violation ends the run
 * with the seed. */
#ifndef TEST_CONSENSUS_SUPPORT_CLUSTER_H
#define TEST_CONSENSUS_SUPPORT_CLUSTER_H

#include "base/prng.h"
#include "consensus/engine.h"

#define CLUSTER_MAX 5
#define CLUSTER_SLOTS 4096
#define CLUSTER_READS 4096
#define CLUSTER_HEAD_MAX 128
#define MS 1000000ull

struct cluster_options {
    const struct engine_ops *ops;
    uint32_t members;
    uint64_t seed;
    uint64_t heartbeat_ns;
    uint64_t election_ns;
    uint64_t delay_min_ns; /* of a message */
    uint64_t delay_max_ns;
    uint64_t disk_min_ns; /* of a sync */
    uint64_t disk_max_ns;
    uint32_t loss;           /* percent of the messages */
    uint32_t duplicate;      /* percent */
    uint32_t crash_on_hard;  /* percent of the hard states that their writer crashes over, */
    uint32_t crash_on_value; /* and of the other records; it is back a moment later */
    uint32_t window_slots;
    uint32_t tail_slots;
    bool fifo;  /* messages between two members stay in order, as on a connection */
    bool hints; /* members hear about dropped connections */
    struct quorum_system quorums; /* count 0: majorities */
};

/* Sensible: 3 members, 100 ms heartbeats, 1 s elections, a quiet and ordered network. */
struct cluster_options cluster_options_default(const struct engine_ops *ops, uint64_t seed);

struct cluster_mark {
    uint8_t size;
    uint8_t bytes[MARK_MAX];
};

struct cluster_record {
    uint8_t type;
    uint8_t head_size;
    uint8_t head[CLUSTER_HEAD_MAX];
    uint64_t lsn;
    uint64_t slot;
    struct blob *entry;
};

struct cluster_held {
    uint64_t lsn; /* leaves when this is durable */
    uint16_t to;
    uint8_t head_size;
    uint8_t head[CLUSTER_HEAD_MAX];
    struct blob *entry;
};

struct cluster_member {
    uint16_t node;
    bool alive;
    bool paused;
    uint32_t boot; /* events of an earlier life are dropped */
    void *engine;
    struct effects *fx;
    struct cluster_record *log;
    uint32_t log_first; /* trimmed before */
    uint32_t log_count;
    uint32_t log_capacity;
    uint64_t durable;
    uint64_t durable_time; /* of the last record queued */
    struct cluster_held *held;
    uint32_t held_first;
    uint32_t held_count;
    uint32_t held_capacity;
    uint64_t applied;
    struct cluster_mark mark; /* of the slot applied last */
    uint64_t snapshot;        /* durable */
    struct cluster_mark snapshot_mark;
    uint64_t log_from; /* what is applied from here on came out of this log */
    uint64_t trim_lsn; /* the hard state written again after it */
    uint64_t fetching_until;
    enum role role;
    uint16_t leader;
    struct ballot ballot;
    uint64_t rejected;
    uint64_t reads_ok;
    uint64_t reads_failed;
    uint64_t read_slot_last;
    uint64_t snapshots_installed;
};

struct cluster_event;

struct cluster {
    struct cluster_options options;
    struct prng prng;
    struct mem mem;
    struct configuration configuration;
    uint64_t now;
    uint64_t sequence;
    struct cluster_event **events; /* a heap */
    uint32_t events_count;
    uint32_t events_capacity;
    uint64_t arrived[CLUSTER_MAX][CLUSTER_MAX]; /* fifo: last arrival */
    bool cut[CLUSTER_MAX][CLUSTER_MAX];         /* from, to */
    struct cluster_member members[CLUSTER_MAX];
    /* Oracles. */
    uint64_t chosen[CLUSTER_SLOTS]; /* value + 1; 0: nothing yet */
    uint64_t delivered_max;
    uint64_t values; /* handed out so far */
    uint64_t read_floor[CLUSTER_READS];
    uint32_t reads;
    void *oracle; /* of the engine's protocol */
    uint64_t steps;
    /* A test may look at, and swallow, messages. Returns false to drop one. */
    bool (*filter)(struct cluster *c, uint16_t from, uint16_t to, struct bytes head);
    void *filter_owner;
    bool trace;
};

struct cluster *cluster_new(struct cluster_options options);
void cluster_free(struct cluster *c);
/* Runs until that virtual time. */
void cluster_run(struct cluster *c, uint64_t until);
void cluster_run_for(struct cluster *c, uint64_t duration);
/* Runs until `done` holds; fails the test after `within`. Returns how long it took. */
uint64_t cluster_run_until(struct cluster *c, bool (*done)(struct cluster *c), uint64_t within);
void cluster_crash(struct cluster *c, uint32_t place);
void cluster_restart(struct cluster *c, uint32_t place);
void cluster_pause(struct cluster *c, uint32_t place, bool paused);
/* The way from one member to another, in one direction. */
void cluster_cut(struct cluster *c, uint32_t from, uint32_t to, bool cut);
void cluster_cut_both(struct cluster *c, uint32_t a, uint32_t b, bool cut);
void cluster_isolate(struct cluster *c, uint32_t place, bool cut);
void cluster_heal(struct cluster *c);
/* Proposes a fresh value at that member; false if there is no room. */
bool cluster_propose(struct cluster *c, uint32_t place);
void cluster_read(struct cluster *c, uint32_t place);
void cluster_transfer(struct cluster *c, uint32_t place, uint16_t node);
/* Takes a snapshot of what is applied; the log before it may be trimmed when that is safe. */
void cluster_snapshot(struct cluster *c, uint32_t place);
/* Hands a message to a member as if it came from `from`. */
void cluster_inject(struct cluster *c, uint32_t to, uint16_t from, struct bytes head,
                    struct blob *entry);
/* Gives a member any other input. */
void cluster_give(struct cluster *c, uint32_t place, struct input input);
/* The member that leads in the highest ballot, or -1. */
int cluster_leader(const struct cluster *c);
bool cluster_has_leader(struct cluster *c);
/* Everybody lives, follows one leader, and has applied all that anybody has. */
bool cluster_converged(struct cluster *c);
/* The engine's own state, for tests that know it. */
const void *cluster_engine(const struct cluster *c, uint32_t place);
struct engine_status cluster_status(const struct cluster *c, uint32_t place);
uint64_t cluster_random(struct cluster *c, uint64_t from, uint64_t to);
bool cluster_chance(struct cluster *c, uint32_t percent);

#endif
