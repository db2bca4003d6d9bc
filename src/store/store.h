/* The store: an ordered keyspace in memory with its whole history since the last compaction (MVCC),
 * and the leases that keys hang on. Deterministic: the same calls give the same state and the same
 * digest on every member.
 *
 * Shape: a B+ tree from key to its newest version; each version points to the one before; and a
 * chunked vector of all versions in revision order, which *is* the history: a watch from an old
 * revision is a walk along it, a snapshot is its written form, compaction squeezes it.
 *
 * The one invariant: versions are immutable; a revision once shown never changes until compaction
 * takes it away, and the newest version of a living key is never taken. */
#ifndef SYNOD_STORE_STORE_H
#define SYNOD_STORE_STORE_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "store/kv.h"

struct store;

struct store *store_new(struct mem *mem);
/* Watchers must be closed before. NULL is allowed. */
void store_free(struct store *store);

/* --- Reading ------------------------------------------------------------------------------------
 */

/* The last revision; 1 when nothing was ever written. Sees the writes of an open transaction. */
int64_t store_revision(const struct store *store);
/* The revision of the last compaction; 0 if there was none. Reads at it are legal, below it not. */
int64_t store_compacted(const struct store *store);
/* KEY_EMPTY, INVALID_SORT, COMPACTED or FUTURE_REVISION; or NONE and a result in the arena. */
enum refusal store_range(const struct store *store, const struct range_query *query,
                         struct arena *arena, struct range_result *ret_result);
/* The current version of one key; false if it does not exist. */
bool store_get(const struct store *store, struct bytes key, struct kv *ret_kv);
/* Memory that keys, versions, leases and index take, in bytes: what the quota counts. */
uint64_t store_size(const struct store *store);
/* The same without what compaction could give back at once. */
uint64_t store_size_in_use(const struct store *store);
uint64_t store_keys(const struct store *store);
/* Running digest over every change since the beginning; equal on members that applied the same. */
uint64_t store_digest(const struct store *store);
/* CRC-32C over all versions with revision <= `revision` that compaction would leave (0: the current
 * revision). Refusals as for a read. Equal on equal members. */
enum refusal store_hash(const struct store *store, int64_t revision, uint32_t *ret_hash);

/* --- Writing: only from apply -------------------------------------------------------------------
 */

/* Opens the revision that the following changes share. Nothing is numbered if nothing changes. */
void store_begin(struct store *store);
/* Closes it: revision + 1 if anything changed; wakes watchers. Returns the revision after it. */
int64_t store_commit(struct store *store);

struct put {
    struct bytes key;
    struct bytes value;
    int64_t lease;
    bool ignore_value;
    bool ignore_lease;
    bool want_previous; /* for the caller; store_put always tells */
};
/* Would this put be refused? KEY_NOT_FOUND (ignore_* on a missing key), LEASE_NOT_FOUND. */
enum refusal store_put_check(const struct store *store, const struct put *put);
/* The put must have passed the check. `ret_previous` gets the version before; false: there was
 * none. */
bool store_put(struct store *store, const struct put *put, struct kv *ret_previous);
/* Deletes the range; the versions before in key order in the arena if `ret_previous` is not NULL.
 */
int64_t store_delete(struct store *store, const struct key_range *range, struct arena *arena,
                     struct kv **ret_previous);
/* COMPACTED if not above the last compaction, FUTURE_REVISION if above the current one. Takes
 * effect for readers at once; memory is given back by store_work. */
enum refusal store_compact(struct store *store, int64_t revision);
/* Does a slice of background work (compaction, about `budget` versions). True while there is more.
 */
bool store_work(struct store *store, uint32_t budget);

/* --- Leases (the durable half: existence, TTL, attached keys; who times them is the host) --------
 */

#define LEASE_TTL_MAX INT64_C(9000000000)

struct lease_info {
    int64_t id;
    int64_t ttl; /* seconds, as granted */
    /* Of all leases ever granted, which one this is, from 1: an id that is granted again gets
     * another number. */
    uint64_t generation;
};

/* LEASE_EXISTS, LEASE_TTL_TOO_LARGE. id must not be 0. */
enum refusal store_lease_grant(struct store *store, int64_t id, int64_t ttl);
/* LEASE_NOT_FOUND; deletes all attached keys in key order, within the open revision. */
enum refusal store_lease_revoke(struct store *store, int64_t id);
bool store_lease_get(const struct store *store, int64_t id, struct lease_info *ret_info);
uint64_t store_leases(const struct store *store);
/* All leases, ordered by id, in the arena. */
struct lease_info *store_lease_list(const struct store *store, struct arena *arena,
                                    uint32_t *ret_count);
/* The keys of a lease in key order, in the arena. */
struct bytes *store_lease_keys(const struct store *store, int64_t id, struct arena *arena,
                               uint32_t *ret_count);
/* Does the lease exist that was granted as the n-th? */
bool store_lease_is(const struct store *store, int64_t id, uint64_t generation);
/* Tells the host about leases that come and go, including those of a loaded snapshot. */
struct lease_events {
    void *owner;
    void (*on_grant)(void *owner, const struct lease_info *lease);
    void (*on_revoke)(void *owner, int64_t id);
};
void store_lease_listen(struct store *store, const struct lease_events *events);

/* --- Snapshot -----------------------------------------------------------------------------------
 */

/* A walk over the state as it is now, in slices, while commands go on being applied: versions are
 * immutable, so the walk sees the state of its beginning. Compaction's squeezing waits for it. */
struct store_saver;
struct store_saver *store_save(struct store *store);
/* Appends about 256 KiB, or nothing yet while squeezing is being finished; false when that was the
 * last. */
bool store_save_next(struct store_saver *saver, struct buffer *slice);
void store_save_end(struct store_saver *saver);

/* Loading into an empty store: pieces in order, of any size. */
struct store_loader;
struct store_loader *store_load(struct store *store);
enum status store_load_piece(struct store_loader *loader, struct bytes piece) MUST_CHECK;
/* INVALID if the content was not complete. Frees the loader in any case. */
enum status store_load_end(struct store_loader *loader) MUST_CHECK;

#endif
