/* The bytes of a log: the header of a segment and the header of a record, encoded and checked.
 * Pure functions; the full specification with offsets is doc/formats/journal.md.
 *
 * The one invariant: a record's check is seeded by its segment's header, which holds a random
 * number. So no bytes that a client stored, and no record of another segment, pass for a record of
 * this one; and every record can be verified alone. */
#ifndef SYNOD_JOURNAL_RECORD_H
#define SYNOD_JOURNAL_RECORD_H

#include "base/bytes.h"
#include "base/status.h"

#define SECTOR_SIZE 512u         /* what a disk writes as a whole or not at all */
#define SEGMENT_RECORDS_AT 4096u /* the header has the first page for itself */
#define SEGMENT_HEADER_SIZE 64u  /* of which so many bytes are used */
#define SEGMENT_SIZE_MAX (1u << 30)
#define SEGMENT_VERSION 1u
#define RECORD_HEADER_SIZE 48u
#define RECORD_ALIGNMENT 8u

struct segment_header {
    uint32_t version;
    uint64_t cluster;
    uint64_t member;
    uint64_t number;
    uint64_t size;  /* of the whole file */
    uint64_t nonce; /* random */
    uint32_t seed;  /* of the checks of this segment's records; result of encode and decode */
};

/* Writes SEGMENT_HEADER_SIZE bytes and sets the seed. */
void segment_header_encode(struct segment_header *header, uint8_t *at);
/* CORRUPT: not a segment or damaged; UNSUPPORTED: of a newer version (ret_header->version). */
enum status segment_header_decode(struct bytes bytes, struct segment_header *ret_header) MUST_CHECK;

enum record_flags {
    RECORD_LOCATED = 1, /* holds the value of its slot */
    RECORD_LAST = 2,    /* ends its batch: the next record starts at the next sector */
    RECORD_FLAGS_ALL = 3,
};

struct record_header {
    uint32_t check;      /* of this header, seeded by the segment */
    uint32_t body_check; /* of head and entry */
    uint32_t previous;   /* the check of the record before: the chain */
    uint32_t length;     /* header, head and entry, without padding */
    uint32_t head_size;
    uint32_t era;
    uint64_t lsn;
    uint64_t slot;
    uint32_t batch; /* place in the batch, from 0: everything before lsn - batch was durable when
                     * this was written */
    uint8_t type;
    uint8_t flags;
};

/* Writes RECORD_HEADER_SIZE bytes and sets header->check. */
void record_header_encode(struct record_header *header, uint32_t seed, uint8_t *at);
/* False unless the check holds and the fields fit together; needs RECORD_HEADER_SIZE bytes. */
bool record_header_decode(const uint8_t *at, uint32_t seed, struct record_header *ret_header);

uint64_t record_align(uint64_t offset, uint64_t alignment);
/* Where the next record starts after one at `offset`. */
uint64_t record_end(const struct record_header *header, uint64_t offset);

#endif
