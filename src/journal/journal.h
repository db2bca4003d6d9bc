/* The journal: what survives. One append-only log per member, in preallocated segments, with group
 * commit: while a sync is in flight new records queue, and they all go together in the next. No
 * timers. Format: doc/formats/journal.md.
 *
 * The one invariant: on_durable(lsn) is called only when every record up to lsn would be found by a
 * recovery that happens now. An error from a write or a sync is final: the journal reports it once
 * through on_failure and accepts nothing more (after a failed fsync the page cache lies). */
#ifndef SYNOD_JOURNAL_JOURNAL_H
#define SYNOD_JOURNAL_JOURNAL_H

#include "base/blob.h"
#include "base/text.h"
#include "world/world.h"

struct journal;

/* One record. Records with a slot and an entry (or that stand for an empty one) are found again by
 * slot with journal_read. */
struct journal_record {
    uint64_t lsn; /* result of append; given in replay */
    uint8_t type;
    bool located; /* this record holds the value of `slot`: journal_read finds the last such one */
    uint32_t era;
    uint64_t slot; /* 0: none */
    struct bytes head;
    struct blob *entry; /* NULL: empty */
};

struct journal_config {
    struct world *world;
    struct mem *mem;
    uint64_t cluster; /* in every segment's header; another cluster's files are refused */
    uint64_t member;
    uint64_t segment_size; /* bytes of a segment, a multiple of 4096 */
    uint64_t record_size_max;
    uint64_t snapshot_slot; /* of the state that the log is replayed onto; 0: none */
    void *owner;
    void (*on_durable)(void *owner, uint64_t lsn);
    void (*on_failure)(void *owner, enum status status, const char *what);
};

typedef void (*journal_replay_fn)(void *owner, const struct journal_record *record);

/* Makes the log of a new member: the directory "log" and an empty first segment. To be called
 * before the member's identity is written, so that an identity without a log is a loss and not a
 * start that was interrupted. A log without records is what such a start left, and stays; one with
 * records is CORRUPT: it belongs to a member that has lost its identity, its engine with it. */
enum status journal_create(struct world *world, struct mem *mem, uint64_t cluster, uint64_t member,
                           struct text *error) MUST_CHECK;
/* OK: there is a log. CORRUPT, and what to do: a member that exists has lost it. */
enum status journal_expect(struct world *world, struct text *error) MUST_CHECK;
/* Opens the log in the directory "log", creating it if it is not there, and hands every record to
 * `replay` in order. A torn tail (records that were never acknowledged) is dropped; damage in front
 * of intact records is CORRUPT, and so is a log that was trimmed further than snapshot_slot: the
 * member must not vote, and `error` says which file, where, and what to do. */
enum status journal_open(const struct journal_config *config, journal_replay_fn replay,
                         struct text *error, struct journal **ret_journal) MUST_CHECK;
/* Stops without waiting: nothing is called any more. Jobs under way must have come back (the world
 * is drained first). NULL is allowed. */
void journal_close(struct journal *journal);

/* Queues a record; returns its lsn, one more than the last. Keeps a reference to the entry until it
 * is durable. The write starts with the next journal_flush, or when the one under way is done. */
uint64_t journal_append(struct journal *journal, const struct journal_record *record);
void journal_flush(struct journal *journal);
uint64_t journal_durable(const struct journal *journal);
uint64_t journal_last(const struct journal *journal);
/* Bytes appended and not yet durable: back-pressure for the host. */
uint64_t journal_pending_bytes(const struct journal *journal);

/* Everything that only concerns slots <= slot may go, if it was written before lsn_keep: removes
 * (or recycles) whole segments from the front, but keeps about `keep_bytes` of log for peers that
 * lag. */
void journal_trim(struct journal *journal, uint64_t slot, uint64_t lsn_keep, uint64_t keep_bytes);
/* The first slot from which on every located slot is still in the log; 0 when there is none. */
uint64_t journal_first_slot(const struct journal *journal);

/* One located record, read back. */
struct journal_entry {
    struct bytes head;
    struct blob *entry; /* NULL: empty */
};

/* A request to read the values of consecutive slots back; off the core thread. */
struct journal_read {
    uint64_t slot;      /* first */
    uint32_t count_max; /* at most so many, */
    uint64_t bytes_max; /* and not many more bytes than this (at least one entry) */
    void *owner;
    /* The entries, and what they point at, are borrowed for the call. status NOT_FOUND: trimmed or
     * not durable. */
    void (*done)(struct journal_read *read, enum status status, const struct journal_entry *entries,
                 uint32_t count);
};
/* The memory of `read` belongs to the caller until done; done may be called from inside for errors
 * that are known at once. */
void journal_read(struct journal *journal, struct journal_read *read);

struct journal_stats {
    uint64_t records;
    uint64_t bytes;
    uint64_t syncs;
    uint64_t sync_ns_last;
    uint64_t sync_ns_total;
    uint64_t sync_buckets[16]; /* syncs that took less than 0.1 ms * 2^i; the last: all others */
    uint64_t batch_records_max;
    uint64_t segments;
    uint64_t disk_bytes;
};
void journal_stats(const struct journal *journal, struct journal_stats *ret_stats);

#endif
