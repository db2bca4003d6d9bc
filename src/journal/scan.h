/* Scan: reads the segments of a log in order, and decides where it ends and why. Pure: it is handed
 * the bytes; recovery and the offline reader share it.
 *
 * The one invariant: a log is cut short only where a power cut can have done it. The writer has one
 * batch under way at a time, in sectors that held zeros before. So a batch that is not whole is a
 * torn tail if (1) no later record says that it was durable, and (2) a sector of it still holds
 * zeros. Everything else is damage to acknowledged records: CORRUPT, the member must not vote. */
#ifndef SYNOD_JOURNAL_SCAN_H
#define SYNOD_JOURNAL_SCAN_H

#include "base/text.h"
#include "journal/record.h"

struct scan_record {
    struct record_header header;
    uint64_t segment;
    uint64_t offset;
    struct bytes head;
    struct bytes entry;
};

enum scan_end {
    SCAN_END_CLEAN,   /* only zeros behind it */
    SCAN_END_TORN,    /* a batch that a power cut left in part */
    SCAN_END_DAMAGED, /* bytes that no power cut leaves */
};

struct scan {
    /* Set by scan_init. */
    void *owner;
    void (*on_record)(void *owner, const struct scan_record *record);
    struct text *error;
    bool any_identity; /* take cluster and member from the first segment */
    uint64_t cluster;
    uint64_t member;

    /* Where the next batch is expected, and what it continues. */
    uint64_t first;  /* number of the first segment seen; above 1: the log was trimmed */
    uint64_t number; /* of the last segment seen; 0: none */
    uint64_t lsn_next;
    uint32_t chain;
    bool started; /* a record was seen */

    /* The end of the log as known so far. */
    bool ended;
    enum scan_end end;
    uint64_t tail_segment;
    uint64_t tail_offset;  /* where the next batch may go */
    uint64_t tail_batch;   /* where the last whole batch of this segment starts, or tail_offset */
    uint64_t tail_nonzero; /* behind the last byte in use, whatever it is; a multiple of a sector */
    uint64_t bad_segment;  /* of the first record that is not whole */
    uint64_t bad_offset;
    uint64_t later_segment; /* a record that proves the end wrong; 0: none */
    uint64_t later_offset;
    uint64_t later_lsn;

    uint64_t records;
    uint64_t batches;
    uint64_t bytes; /* occupied by whole batches */
};

/* What to do about a log that cannot be trusted: sentences with a space before them. */
extern const char scan_remedy[];

void scan_init(struct scan *scan, void *owner,
               void (*on_record)(void *owner, const struct scan_record *record),
               struct text *error);
/* Takes the next segment, whose name says `number`. ret_header is filled in when OK. */
enum status scan_segment(struct scan *scan, uint64_t number, struct bytes image,
                         struct segment_header *ret_header) MUST_CHECK;
/* After the last segment: CORRUPT if something that was acknowledged is damaged or missing. */
enum status scan_finish(struct scan *scan) MUST_CHECK;

#endif
