/* A cluster of whole replicas in one process: virtual time, a network that delays, loses and cuts,
 * and a disk for each member that forgets what was not synced. Everything is drawn from one seed.
 *
 * It checks while it runs: what a member acknowledged is never lost, a linearizable read never
 * misses what was complete before it began, no lease ends before its time, and members that have
 * applied the same slot are in the same state. */
#ifndef TEST_SUPPORT_CLUSTER_H
#define TEST_SUPPORT_CLUSTER_H

#include "base/prng.h"
#include "replica/replica.h"

#define CLUSTER_MEMBERS_MAX 5
#define CLUSTER_KEYS 16
#define CLUSTER_PENDING_BYTES (512u * 1024) /* of each member's log */

struct cluster;

/* Every cluster from now on runs over this engine. */
void cluster_use_engine(const struct engine_ops *ops);
/* `members` whole replicas over fresh disks, started. */
struct cluster *cluster_new(uint64_t seed, uint32_t members);
void cluster_free(struct cluster *cluster);
struct prng *cluster_prng(struct cluster *cluster);

/* Lets virtual time pass. */
void cluster_run(struct cluster *cluster, uint64_t ns);
/* Runs until some live member leads and has told so, at most `ns`; its place, or -1. */
int cluster_run_until_leader(struct cluster *cluster, uint64_t ns);
/* Runs until no client waits any more, at most `ns`. */
bool cluster_run_until_quiet(struct cluster *cluster, uint64_t ns);
uint64_t cluster_now(const struct cluster *cluster);

/* The process dies at once. With `power` the disk loses what was not synced. */
void cluster_crash(struct cluster *cluster, uint32_t member, bool power);
void cluster_restart(struct cluster *cluster, uint32_t member);
/* Starts again with an empty disk, under the old identity. */
void cluster_wipe(struct cluster *cluster, uint32_t member);
bool cluster_alive(const struct cluster *cluster, uint32_t member);
void cluster_pause(struct cluster *cluster, uint32_t member, bool paused);
/* From now on nothing goes from one to the other. */
void cluster_cut(struct cluster *cluster, uint32_t from, uint32_t to, bool cut);
void cluster_heal(struct cluster *cluster);
void cluster_set_loss(struct cluster *cluster, uint32_t percent);
/* Snapshots after so many slots; used by the next start of each member. */
void cluster_set_snapshot_slots(struct cluster *cluster, uint64_t slots);

/* Values of puts get up to so many bytes longer. */
void cluster_set_value_size(struct cluster *cluster, uint32_t size_max);
/* Each step of this disk takes up to `pause` longer, until the cluster is healed. */
void cluster_slow_disk(struct cluster *cluster, uint32_t member, uint64_t pause);
/* The log of this member waits for its disk, the rest of it goes on. */
void cluster_hold_log(struct cluster *cluster, uint32_t member, bool hold);
/* One of the next writes of this disk fails. */
void cluster_break_disk(struct cluster *cluster, uint32_t member);
/* A bit of the newest snapshot of a dead member rots, if it has an older one to fall back to. */
bool cluster_damage_snapshot(struct cluster *cluster, uint32_t member);
/* What a live member has written to its log so far cannot be read back. */
void cluster_damage_log(struct cluster *cluster, uint32_t member);
/* How often its timer fired. */
uint64_t cluster_timers(const struct cluster *cluster, uint32_t member);

/* A client writes a new unique value to a random key through this member. */
void cluster_put(struct cluster *cluster, uint32_t member);
/* A client reads a key linearizably through this member; checked when it completes. */
void cluster_read(struct cluster *cluster, uint32_t member);
/* A client compacts the history up to a few revisions ago. */
void cluster_compact(struct cluster *cluster, uint32_t member);
/* A client asks for a lease of a few seconds, and hangs a key on it. */
void cluster_grant(struct cluster *cluster, uint32_t member);
/* A client renews, queries or revokes one of the newest leases. */
void cluster_touch_lease(struct cluster *cluster, uint32_t member);
void cluster_transfer(struct cluster *cluster, uint32_t member, uint32_t to);
struct replica *cluster_replica(struct cluster *cluster, uint32_t member);
/* The slot that a live member applied last. */
uint64_t cluster_slot(struct cluster *cluster, uint32_t member);
/* A live member is asked for its log from a slot on, as if by a member that lags. */
void cluster_ask_log(struct cluster *cluster, uint32_t from, uint32_t member, uint64_t slot);
/* Bytes that wait for the disk of a live member. */
uint64_t cluster_journal_pending(struct cluster *cluster, uint32_t member);
bool cluster_snapshot_under_way(struct cluster *cluster, uint32_t member);
/* Of the newest one that it has. */
uint64_t cluster_snapshot_size(struct cluster *cluster, uint32_t member);
/* Bytes of a snapshot that it has received and not written yet. */
uint64_t cluster_unwritten(struct cluster *cluster, uint32_t member);
uint64_t cluster_acknowledged(const struct cluster *cluster);
uint64_t cluster_reads_checked(const struct cluster *cluster);
/* The first thing that was found wrong; NULL if nothing was. */
const char *cluster_violation(const struct cluster *cluster);
/* After healing and quiet: every live member has the same state, and every acknowledged write is in
 * it. */
void cluster_check_end(struct cluster *cluster);

#endif
