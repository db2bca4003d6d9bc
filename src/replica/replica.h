/* The replica: one member of the cluster. It feeds inputs to the engine, executes its effects in
 * order, holds messages back until what they claim is durable, applies what is chosen to the
 * machine, answers requests (request.h), lets itself and others catch up, times leases while it
 * leads, and takes snapshots. It touches the outside only through world.h, and no clock but the
 * world's: over a simulated world it behaves bit for bit as in production.
 *
 * The one invariant: nothing leaves this member that claims a record which a crash could still
 * take. */
#ifndef SYNOD_REPLICA_REPLICA_H
#define SYNOD_REPLICA_REPLICA_H

#include "base/text.h"
#include "consensus/engine.h"
#include "replica/identity.h"
#include "replica/request.h"
#include "world/world.h"

/* Sees all that passes between the host and its engine, as it happens; may not call back. For the
 * simulator's oracles and traces: any member of it may be NULL. What it is shown is borrowed. */
struct replica_observer {
    void *owner;
    /* Recovery is over: every record up to lsn_last was found on the disk. */
    void (*on_recovered)(void *owner, uint64_t lsn_last);
    void (*on_input)(void *owner, const struct input *input);
    /* Before it is executed. A held SEND is only queued by then. */
    void (*on_effect)(void *owner, const struct effect *effect);
    /* A held message leaves now; it claims every record up to this one. */
    void (*on_release)(void *owner, uint16_t to, uint64_t lsn);
    /* The entry of a slot was applied (at boot too); the machine shows the state behind it. */
    void (*on_applied)(void *owner, uint64_t slot, const struct machine *machine);
    /* A snapshot took the place of the state. */
    void (*on_installed)(void *owner, uint64_t slot, const struct machine *machine);
};

struct replica_config {
    struct world *world;
    struct mem *mem;
    const struct identity *identity; /* outlives the replica */
    const char *const *client_urls;  /* what this member publishes; outlive the replica */
    uint32_t client_urls_count;
    uint64_t heartbeat_ns;
    uint64_t election_ns;
    uint64_t lease_ns; /* the longest lease for reads that this member grants a leader; 0: none */
    bool lease_reads;  /* leading, it reads by such leases */
    uint64_t quota_bytes;
    uint64_t snapshot_bytes; /* take a snapshot after so many bytes of log, */
    uint64_t snapshot_slots; /* or after so many slots, whichever comes first; 0: default */
    uint64_t segment_bytes;  /* of a log segment; 0: default */
    uint64_t record_bytes;   /* of a record of the log, at most; 0: default */
    uint64_t pending_bytes;  /* may wait for the disk before work is held back; 0: default */
    uint64_t
        log_keep_bytes; /* of log kept behind a snapshot for peers that lag a little; 0: default */
    const struct replica_observer *observer; /* NULL: none; outlives the replica */
    void *owner;
    /* The member cannot go on (its disk failed): the process must end. */
    void (*on_fatal)(void *owner, const char *what);
    /* It has caught up with a leader for the first time and can serve. */
    void (*on_ready)(void *owner);
};

/* Recovers from the disk (synchronously): snapshot, then log. `error` says what is wrong and what
 * to do. */
enum status replica_open(const struct replica_config *config, struct text *error,
                         struct replica **ret_replica) MUST_CHECK;
/* What the world is to call; fill in before its links start. */
struct world_events replica_events(struct replica *replica);
/* Begins to take part. */
void replica_start(struct replica *replica);
/* Graceful stop: hands over the leadership if it leads, then calls `stopped` (within a bounded
 * time). Requests under way may still complete meanwhile. */
void replica_stop(struct replica *replica, void *owner, void (*stopped)(void *owner));
/* Fails every request with STOPPED; from here on it starts nothing. The world may still report
 * jobs. */
void replica_halt(struct replica *replica);
/* Frees everything. It was halted, or never started, and the world's disk is idle. */
void replica_close(struct replica *replica);

#endif
