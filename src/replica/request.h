/* Requests: the door between fronts and the replica. A front embeds a `struct request`, submits it,
 * and gets `done` exactly once, on the core thread, unless it cancels.
 *
 * Everything that a callback is shown is borrowed for the call: encode the answer inside it. */
#ifndef SYNOD_REPLICA_REQUEST_H
#define SYNOD_REPLICA_REQUEST_H

#include "base/list.h"
#include "base/status.h"
#include "journal/journal.h"
#include "quorum/members.h"
#include "service/machine.h"

struct replica;
struct request;

/* status OK: for a write, `result` is what applying it gave (which may be a refusal); for the
 * others see below. Otherwise: NO_LEADER, TIMEOUT (the outcome of a write is unknown), BUSY,
 * STOPPED, NO_SPACE, CORRUPT (this member's state diverged: it does not serve), TOO_LARGE. */
typedef void (*request_done_fn)(struct request *request, enum status status,
                                const struct result *result);

struct request {
    request_done_fn done;
    /* the replica's from here on, but for `value`, which lease requests read in done */
    struct list link;
    uint64_t deadline;
    uint64_t until;
    uint64_t sequence;
    uint32_t index;
    uint8_t kind;
    int64_t lease;
    struct {
        int64_t ttl; /* seconds left, rounded down; 0 from a renewal, -1 from a query: no lease */
        int64_t ttl_granted;
    } value;
};

/* A write: replicated, applied, then done with its result. The command is encoded before this
 * returns. */
void replica_submit(struct replica *replica, struct request *request,
                    const struct command *command);
/* A linearizable read: done with OK when the local state contains everything that was complete when
 * this was called; the front then reads it inside `done`. */
void replica_read(struct replica *replica, struct request *request);
/* To be asked inside `done`, after the state was read: is what was read linearizable? It always is
 * if members read by asking a quorum; by a lease of the leader's, the lease must still hold. If
 * not, what was read is thrown away and the read is asked for again. */
bool replica_read_holds(struct replica *replica, const struct request *request);
/* Renews a lease with its keeper; done with OK and value.ttl, 0 if it does not exist or has
 * expired. */
void replica_lease_renew(struct replica *replica, struct request *request, int64_t id);
/* Asks the keeper how long a lease has to live; done with OK and value. */
void replica_lease_query(struct replica *replica, struct request *request, int64_t id);
/* Hands the leadership to the member with this id. NOT_LEADER, NOT_FOUND; done with OK when it
 * leads, TIMEOUT when that took too long. */
void replica_transfer(struct replica *replica, struct request *request, uint64_t member);
/* `done` will not be called any more. Harmless for a request that is not under way. */
void replica_cancel(struct request *request);
void request_init(struct request *request, request_done_fn done);

/* The local state, for reads: whenever it may be stale (serializable reads), or inside `done`. */
struct machine *replica_machine(struct replica *replica);

#define NAME_SIZE 64

struct replica_peer {
    uint64_t id;
    uint16_t node;
    bool up;
    uint64_t slot; /* last slot that it reported as chosen */
    uint64_t round_trip_ns;
};

#define HISTOGRAM_BUCKETS 16
/* buckets[i] counts values below first * 2^i that are in no earlier one; the last holds the rest.
 */
struct histogram {
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t sum;
};

/* What became of the time of this member's batches, one value each. First bucket 10 microseconds.
 */
struct replica_stages {
    struct histogram queue_ns; /* from the first command to the (last) sending to the leader */
    struct histogram agree_ns; /* until it was chosen and its turn had come */
    struct histogram apply_ns; /* until it was applied and its requests were answered */
};

struct replica_status {
    uint64_t cluster;
    uint64_t member; /* this one's id */
    uint64_t leader; /* member id; 0: none known */
    uint64_t term;   /* round of the ballot: grows with each change of leader */
    bool leading;
    bool serving; /* boot is over and this member's state is sound */
    bool diverged;
    const char *engine;
    uint64_t slot_proposed;
    uint64_t slot_chosen;
    uint64_t slot_applied;
    uint64_t snapshot_slot;
    uint64_t proposals_pending;
    uint64_t proposals_failed;
    uint64_t batches;
    uint64_t commands;
    uint64_t reads;
    uint64_t read_rounds;
    uint64_t leader_changes;
    uint64_t elections;
    uint64_t ballots_burned;
    uint64_t leaderless_ns; /* for how long no leader has been known; 0: there is one */
    uint64_t quota_bytes;
    struct histogram batch_commands; /* commands a batch; first bucket 1 */
    struct histogram commit_ns;      /* from submit to applied; first bucket 100 microseconds */
    struct replica_stages stages;
    struct journal_stats journal;
    uint32_t peers_count;
    struct replica_peer peers[MEMBERS_MAX];
};

void replica_status(struct replica *replica, struct replica_status *ret_status);
/* Milliseconds and seconds that fronts need: the lease's least TTL in seconds. */
int64_t replica_lease_ttl_min(const struct replica *replica);
uint64_t replica_now(const struct replica *replica);
uint64_t replica_random(struct replica *replica);
/* Membership as bootstrapped, merged with what members published; in the arena. */
struct command_member *replica_members(struct replica *replica, struct arena *arena,
                                       uint32_t *ret_count);

#endif
