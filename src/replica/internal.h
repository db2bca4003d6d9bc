/* The replica to itself: its parts, each kept by one file.
 *
 *     replica.c    boot, the step, effects, the turn of the loop, the timer
 *     request.c    requests in their lists: answered, cancelled, run out
 *     memory.c     what it must remember itself: incarnation, disks of the peers
 *     gate.c       messages held until their records are durable
 *     propose.c    batches: collected, sent to the leader, sent again, answered
 *     read.c       linearizable reads in shared rounds
 *     keeper.c     who times the leases, and asking it
 *     catchup.c    fetching what this member missed; serving others
 *     snapshots.c  taking snapshots of the own state
 *     status.c     what it tells about itself
 */
#ifndef SYNOD_REPLICA_INTERNAL_H
#define SYNOD_REPLICA_INTERNAL_H

#include "base/arena.h"
#include "base/heap.h"
#include "base/map.h"
#include "journal/snapshot.h"
#include "replica/replica.h"
#include "wire/message.h"

#define MILLISECOND UINT64_C(1000000)
#define SECOND (1000 * MILLISECOND)

/* Links and the log take no larger entry; a batch is closed at an eighth of it. */
#define ENTRY_BYTES_MAX (4u * 1024 * 1024)
#define ENTRY_RECORD_OVERHEAD 256u /* what the engine writes beside the entry, at most */
#define BATCH_COMMANDS_MAX 8192u
/* Members of one data center, virtual machines included: a hundredth is a thousand times what a
 * quartz does. */
#define LEASE_DRIFT 10000U
#define BATCHES_INFLIGHT_MAX 8u               /* own batches on their way at once */
#define BACKLOG_BYTES_MAX (64u * 1024 * 1024) /* own batches waiting or on their way */
#define FORWARDED_BYTES_MAX (64u * 1024 * 1024)
#define READ_ROUNDS_MAX 8u
#define RESEND_NS (2 * SECOND) /* and twice as long with every time in vain, up to */
#define RESEND_NS_MAX (32 * SECOND)

enum request_kind {
    REQUEST_NONE,
    REQUEST_WRITE,
    REQUEST_READ,
    REQUEST_RENEW,
    REQUEST_QUERY,
    REQUEST_TRANSFER,
};

/* --- memory.c -------------------------------------------------------------------------------- */

struct memory {
    uint64_t disks[MEMBERS_MAX];    /* of each peer, by place, as it was at first; 0: never met */
    uint64_t stranger[MEMBERS_MAX]; /* another one that was seen instead, and reported */
    uint64_t met_lsn;               /* of the record that last added a disk */
};

/* --- gate.c ---------------------------------------------------------------------------------- */

struct gate {
    struct list held; /* in order; the lsn they wait for never falls */
    uint64_t held_count;
};

/* --- propose.c ------------------------------------------------------------------------------- */

/* A closed batch of this member, from its first sending until it is applied here. */
struct batch {
    struct list link;
    struct list requests; /* those still waiting, in index order */
    struct blob *entry;
    uint64_t sequence;
    uint64_t opened_ns; /* when its first command came */
    uint64_t sent_ns;   /* last time */
    bool sent;          /* false: to be sent (again) */
    uint32_t count;
};

struct proposals {
    uint64_t incarnation;
    uint64_t incarnation_lsn; /* nothing is proposed before this record is durable */
    uint64_t sequence_next;   /* of the batch that is open */
    struct buffer open;       /* header and commands of the open batch */
    struct list open_requests;
    uint32_t open_count;
    uint64_t open_ns;
    struct list batches; /* closed and not applied here, in sequence order */
    uint32_t batches_count;
    uint64_t backlog_bytes;
    size_t entry_max;    /* no entry may be larger */
    size_t batch_target; /* a batch is closed when it has grown to this */
    uint64_t resend_pause;
    uint64_t gap_ignored_until; /* echoes of a gap that has been answered by sending again */
    struct list forwarded;      /* batches of other members, to be proposed by this leader */
    uint64_t forwarded_bytes;
};

/* --- read.c ---------------------------------------------------------------------------------- */

struct read_round {
    uint64_t token; /* 0: free */
    uint64_t slot;
    uint64_t until; /* what is read is right if the clock is still below that afterwards */
    bool confirmed; /* waits only for `slot` to be applied */
    struct list requests;
};

struct reads {
    struct list waiting; /* not in a round yet */
    struct read_round rounds[READ_ROUNDS_MAX];
    uint64_t token_next;
    uint64_t retry_ns; /* no round is asked for before */
};

/* --- keeper.c -------------------------------------------------------------------------------- */

struct lease_clock {
    struct heap_item due;
    int64_t id;
    int64_t ttl;
    uint64_t generation;
    bool expiring; /* its end was proposed at `due.key` less a pause: no renewal any more */
};

struct keeper {
    uint16_t node; /* who keeps, as the log says; 0: nobody yet */
    uint64_t round;
    struct map clocks; /* lease id -> lease_clock, on every member */
    struct heap due;   /* the same, by deadline; only meaningful on the keeper */
    struct list asks;  /* requests that wait for the keeper's word */
    uint64_t ask_next;
    uint64_t ask_retry_ns;
    uint64_t ask_again_ns; /* an ask or its answer may have been lost: then everything again */
    uint64_t expire_ns;    /* nothing is ended before */
    struct list remote;    /* asks of other members, waiting for a confirmed round here */
    uint32_t remote_count;
};

/* --- catchup.c ------------------------------------------------------------------------------- */

struct fetch {
    bool active;
    uint16_t from;
    uint64_t id;
    uint64_t slot;     /* the next one wanted */
    uint64_t deadline; /* give up and let the engine ask again */
    struct snapshot_receiver *receiver;
    uint64_t snapshot_slot;
    uint64_t snapshot_size;
    bool waiting;                  /* for the own disk: the next chunk is not asked for yet */
    bool installing;               /* all has come; it is read back into: */
    struct machine *machine;       /* the state to be, */
    struct machine_loader *loader; /* and how far it is */
};

/* What is being read for one peer; one request of it at a time. */
struct serve {
    struct replica *replica;
    uint16_t node;
    uint64_t id;
    bool log_busy;
    bool chunk_busy;
    struct journal_read log;
    struct snapshot_read chunk;
};

struct catchup {
    struct fetch fetch;
    uint64_t id_next;
    uint64_t retry_ns;  /* nothing is fetched before: the last snapshot was of no use */
    member_set in_vain; /* these did not answer */
    uint32_t skipped;   /* so often one of them was named since */
    struct serve serves[MEMBERS_MAX]; /* by place in the configuration */
    uint64_t log_from;                /* entries of the log are handed out from this slot on, */
    uint64_t log_upto;                /* and up to this one: what was applied there is durable */
    uint64_t settle_slot;             /* the next such slot, */
    uint64_t settle_lsn;              /* once this record is durable */
};

/* Whether what was worked out by a lease may be given out: the clock is read anew, after the work.
 */
bool still_holds(const struct replica *r, uint64_t until);

/* --- snapshots.c ----------------------------------------------------------------------------- */

struct snapshots {
    uint64_t slot; /* of the newest published one */
    uint64_t size;
    struct snapshot_mark mark; /* of that slot */
    struct snapshot_mark mark_begun;
    uint64_t bytes_since; /* of entries applied since */
    uint64_t slot_begun;  /* of the one being written; 0: none */
    bool demanded;        /* whatever the log has grown */
    struct machine_saver *saver;
    struct snapshot_writer *writer; /* NULL: none is being written */
    uint64_t begun_ns;
    uint64_t written;     /* bytes of it that were made */
    uint64_t pause_ns;    /* the next slice is not made before */
    bool held;            /* it waits for that */
    bool hurry;           /* somebody waits for it to end */
    uint64_t retry_ns;    /* after a failure: not again before */
    uint64_t restate_lsn; /* once durable, the log before the snapshot may go */
};

struct replica {
    struct replica_config config;
    struct world *world;
    struct mem *mem;
    struct configuration configuration;
    const struct engine_ops *ops;
    void *engine;
    size_t engine_size;
    struct effects *effects;
    bool booting;
    bool stepping;
    bool started;
    bool failed;
    bool diverged;
    bool ready_told;
    struct journal *journal;
    struct machine *machine;
    struct snapshot_mark mark; /* the engine's, of the slot that was applied last */
    struct snapshot_config snapshot_config;
    struct text *boot_error;

    enum role role;
    uint16_t leader;
    struct ballot ballot;
    uint64_t leaderless_since; /* 0: there is a leader */
    uint64_t armed;
    uint64_t request_timeout_ns;

    struct memory memory;
    struct gate gate;
    struct proposals proposals;
    struct reads reads;
    struct keeper keeper;
    struct catchup catchup;
    struct snapshots snapshots;
    uint64_t digest_slot; /* last digest point that was stated */
    bool store_work;      /* compaction has more to do */

    struct request publish; /* makes this member's name and addresses known */
    struct list transfers;  /* at most one request to hand the leadership over */
    uint16_t transfer_node;
    bool transfer_asked;
    void *stop_owner;
    void (*stopped)(void *owner);
    uint64_t stop_deadline;
    uint64_t durable_seen; /* the lsn that was durable, */
    uint64_t durable_ns;   /* and since when nothing more is though something waits */

    uint64_t batches_applied;
    uint64_t commands_applied;
    uint64_t reads_served;
    uint64_t read_rounds;
    uint64_t requests_failed;
    struct histogram batch_commands;
    struct histogram commit_ns;
    struct replica_stages stages;
    uint64_t apply_began_ns; /* of the entry that is being applied */
};

/* replica.c */
/* What the observer is told, if there is one and it wants to know. */
void replica_show_installed(const struct replica *r);
uint64_t replica_clock(const struct replica *r);
void replica_step(struct replica *r, struct input input);
void replica_send(struct replica *r, uint16_t to, const struct message *message,
                  struct blob *payload);
void replica_log(struct replica *r, enum log_level level, const char *message, const char *fields);
void replica_fail(struct replica *r, const char *what);
/* Listens to the machine's results and leases: after boot and after a snapshot replaced it. */
void replica_listen(struct replica *r);
/* Does more wait for this member's disk than it should? Then it proposes nothing, and drops what
 * others send, as a link could lose it: they send again. */
bool replica_disk_lags(const struct replica *r);
/* Why nothing can be asked of this member now; OK if it can. */
enum status replica_serving(const struct replica *r);

/* request.c */
void request_finish(struct request *request, enum status status, const struct result *result);
/* Fails those whose deadline is not behind `until` (TIME_NEVER: all), oldest first. */
void requests_fail(struct replica *r, struct list *requests, uint64_t until, enum status status);
/* The earlier of `wake` and the first deadline. */
uint64_t requests_wake(const struct list *requests, uint64_t wake);

/* memory.c */
/* Its lsn. */
uint64_t memory_write(struct replica *r);
void memory_replay(struct replica *r, struct bytes head);
/* May this peer, which says that it has this disk, be listened to? */
bool memory_trusts(struct replica *r, int place, uint64_t disk);

/* gate.c */
void gate_send(struct replica *r, uint16_t to, struct bytes head, struct blob *entry);
void gate_open(struct replica *r, uint64_t lsn_durable);
void gate_clear(struct replica *r);
void engine_send(struct replica *r, uint16_t to, struct bytes head, struct blob *entry);

/* propose.c */
void proposals_init(struct replica *r);
void proposals_fail_all(struct replica *r, enum status status);
void proposals_release(struct replica *r);
void proposals_begin(struct replica *r);
/* A command of the replica's own, without anybody waiting for its result. */
void propose_internal(struct replica *r, const struct command *command);
/* So much waits to be proposed that what can wait should. */
bool propose_crowded(const struct replica *r);
void propose_dispatch(struct replica *r);
/* The way to the leader changed: what is under way must be sent again, in order. */
void propose_resend(struct replica *r);
void propose_forwarded(struct replica *r, struct blob *entry);
void propose_on_result(struct replica *r, uint64_t sequence, uint32_t index,
                       const struct result *result);
void propose_on_batch(struct replica *r, uint64_t sequence, enum batch_outcome outcome);
/* A snapshot was installed: batches up to this sequence were applied without their results. */
void propose_skip(struct replica *r, uint64_t sequence);
void propose_expire(struct replica *r, uint64_t now);
uint64_t propose_wake(const struct replica *r);

/* read.c */
void reads_init(struct replica *r);
void reads_add(struct replica *r, struct request *request, enum request_kind kind);
void reads_dispatch(struct replica *r);
void reads_on_ok(struct replica *r, uint64_t token, uint64_t slot, uint64_t until);
void reads_on_fail(struct replica *r, uint64_t token);
void reads_on_applied(struct replica *r);
void reads_expire(struct replica *r, uint64_t now);
void reads_fail_all(struct replica *r, enum status status);
uint64_t reads_wake(const struct replica *r);

/* keeper.c */
void keeper_init(struct replica *r);
void keeper_release(struct replica *r);
/* Keeps the clocks of another machine from here on. */
void keeper_adopt(struct replica *r, struct machine *machine);
void keeper_on_grant(void *owner, const struct lease_info *lease);
void keeper_on_revoke(void *owner, int64_t id);
void keeper_on_keeper(struct replica *r, uint16_t node, uint64_t round);
/* A read round confirmed that this member leads: answer for the lease. */
void keeper_answer(struct replica *r, struct request *request);
void keeper_on_ask(struct replica *r, uint16_t from, const struct message *message);
void keeper_on_tell(struct replica *r, const struct message *message);
void keeper_ask_again(struct replica *r);
void keeper_tick(struct replica *r, uint64_t now);
void keeper_clear(struct replica *r);
uint64_t keeper_wake(const struct replica *r);
void keeper_fail_all(struct replica *r, enum status status);

/* catchup.c */
void catchup_init(struct replica *r);
void catchup_start(struct replica *r, uint16_t from, uint64_t slot);
void catchup_on_message(struct replica *r, uint16_t from, const struct message *message,
                        struct blob *payload);
/* The log is durable up to here. */
void catchup_on_durable(struct replica *r, uint64_t lsn);
/* Once a turn of the loop. */
void catchup_turn(struct replica *r);
void catchup_tick(struct replica *r, uint64_t now);
uint64_t catchup_wake(const struct replica *r);
void catchup_release(struct replica *r);

/* snapshots.c */
/* As soon as possible: what the log held of applied slots is lost. */
void snapshots_demand(struct replica *r);
void snapshots_consider(struct replica *r);
/* Once a turn: lets the one that is being written go on when its time has come. */
void snapshots_tick(struct replica *r);
uint64_t snapshots_wake(const struct replica *r);
void snapshots_on_durable(struct replica *r, uint64_t lsn);
void snapshots_published(struct replica *r, const struct snapshot_info *info);
/* Tells the engine of the newest snapshot. */
void snapshots_tell(struct replica *r);
/* Writes again what must outlive the log before the newest snapshot; then that log may go. */
void snapshots_restate(struct replica *r);
/* A machine without any state. */
struct machine *snapshots_machine(struct replica *r);
/* At boot: reads the newest whole snapshot, if there is one, into the member's machine. */
enum status snapshots_boot(struct replica *r, struct text *error, struct snapshot_info *ret_info);

/* status.c */
void histogram_add(struct histogram *histogram, uint64_t first, uint64_t value);

#endif
