/* What the files of the journal share: the segments, the batches on their way to the disk, and the
 * spare segment.
 *
 * The one invariant: at most one batch is being written at any time. Recovery builds on it: a
 * record that was written at all proves that every earlier batch was durable. */
#ifndef SYNOD_JOURNAL_JOURNAL_INTERNAL_H
#define SYNOD_JOURNAL_JOURNAL_INTERNAL_H

#include "base/buffer.h"
#include "journal/journal.h"
#include "journal/names.h"
#include "journal/positions.h"
#include "journal/record.h"

#define LOG_DIRECTORY "log"
#define LOG_SUFFIX ".log"
#define LOG_SUFFIX_NEW ".new"
#define LOG_SUFFIX_FLOOR ".floor"

struct segment {
    uint64_t number;
    int file;
    uint64_t size;
    uint32_t seed;
    uint64_t used;     /* where the next batch goes */
    uint64_t lsn_last; /* of its durable records; 0: none yet */
    uint64_t slot_max; /* the highest slot that any of its records is about */
};

/* A record that waits. Its header is completed when its batch is sealed; the head, small entries
 * and padding lie behind it in the batch's buffer. */
struct batch_item {
    struct record_header header;
    size_t at;          /* of the header in the buffer */
    size_t tail;        /* of what comes behind the entry in the buffer */
    uint64_t offset;    /* in the batch as written */
    struct blob *entry; /* written from where it is, kept until durable; NULL: in the buffer */
};

struct batch {
    struct batch *next;
    struct buffer buffer;
    struct batch_item *items;
    uint32_t count;
    uint32_t capacity;
    uint32_t entries; /* items with an entry outside of the buffer */
    uint64_t size;    /* as written; padded to a sector when sealed */
};

/* The next segment, made while it is not needed yet: zeros, then the header, then its name. */
enum spare_state {
    SPARE_NONE,
    SPARE_CREATING,
    SPARE_WRITING,
    SPARE_NAMING,
    SPARE_READY,
    SPARE_REMOVING, /* cleaning up after a failure */
};

struct spare {
    enum spare_state state;
    struct segment segment;
    struct disk_job job;
    struct bytes part;
    uint8_t header[SEGMENT_HEADER_SIZE];
};

/* A segment that is on its way out. */
struct removal {
    struct removal *next;
    struct journal *journal;
    uint64_t number;
    uint64_t slot_max;
    struct disk_job job;
};

struct journal {
    struct journal_config config;
    struct segment *segments; /* in order, consecutive numbers; the last one is written to */
    uint32_t segments_count;
    uint32_t segments_capacity;
    struct positions positions;
    uint64_t lsn_last;
    uint64_t lsn_durable;
    uint32_t chain; /* the check of the last record that was sealed */

    struct batch *batch_first; /* the next to be written */
    struct batch *batch_last;  /* the one that fills */
    struct batch *batch_idle;  /* memory to use again */
    struct batch *flying;      /* being written; NULL: none */
    bool waiting;              /* for the spare: the next batch does not fit any more */
    uint64_t pending_bytes;
    struct disk_job write_job;
    struct bytes write_parts[DISK_PARTS_MAX];

    struct spare spare;
    struct removal *removals; /* the first is under way */
    struct removal **removals_end;
    bool trim_stuck;
    uint64_t floor; /* slots up to it may be in removed segments; durable */

    bool failed;
    char failure[256];
    struct journal_stats stats;
};

/* Of the last segment. */
struct segment *journal_active(const struct journal *journal);
/* NULL: not (any more) in the log. */
struct segment *journal_segment(const struct journal *journal, uint64_t number);
void journal_segment_add(struct journal *journal, const struct segment *segment);
/* The end: reported once. `job` failed while `doing`. */
void journal_fail(struct journal *journal, const char *doing, const struct disk_job *job);
/* Starts the next write, if there is something to write and nothing in the way. */
void journal_write_next(struct journal *journal);

/* spare.c */
void spare_header_fill(const struct journal *journal, uint64_t number, uint64_t size,
                       struct segment *segment, uint8_t *at);
void spare_prepare(struct journal *journal);
/* Takes a spare that is ready. */
struct segment spare_take(struct journal *journal);

/* recovery.c */
enum status journal_recover(struct journal *journal, journal_replay_fn replay,
                            struct text *error) MUST_CHECK;

/* batch.c */
struct batch *batch_new(struct mem *mem);
void batch_free(struct batch *batch);
/* Whether one more record of this size belongs into another batch. */
bool batch_full(const struct batch *batch, uint64_t size, uint64_t size_max);
/* Returns the bytes that the record takes. */
uint64_t batch_add(struct batch *batch, const struct journal_record *record);
/* Completes the headers, continuing `chain`; returns the check of the last one. */
uint32_t batch_seal(struct batch *batch, uint32_t seed, uint32_t chain);
/* The bytes of a sealed batch; at most DISK_PARTS_MAX spans. */
uint32_t batch_parts(const struct batch *batch, struct bytes *parts);
/* Empties it for the next use; drops the entries. */
void batch_clear(struct batch *batch);

#endif
