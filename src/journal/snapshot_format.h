/* The bytes of a snapshot file: a header, blocks of content, a footer; encoded and checked piece by
 * piece, without I/O. The specification is doc/formats/snapshot.md.
 *
 * The one invariant: the checks form a chain from the header over every block to the footer, so a
 * file that ends well holds exactly the content that was written, whole and in order. */
#ifndef SYNOD_JOURNAL_SNAPSHOT_FORMAT_H
#define SYNOD_JOURNAL_SNAPSHOT_FORMAT_H

#include "base/bytes.h"
#include "base/status.h"

#define SNAPSHOT_VERSION 2u /* 1 had no mark */
#define SNAPSHOT_MARK_MAX 16u
#define SNAPSHOT_HEADER_SIZE 64u
#define SNAPSHOT_BLOCK_HEADER_SIZE 8u
#define SNAPSHOT_BLOCK_MAX (256u << 10)
#define SNAPSHOT_FOOTER_SIZE 32u

/* A few bytes that are kept with a snapshot; opaque here, often none. */
struct snapshot_mark {
    uint8_t size;
    uint8_t data[SNAPSHOT_MARK_MAX];
};

/* What a check of the file has seen so far; the writer keeps the same sums. */
struct snapshot_sums {
    uint32_t chain;
    uint64_t blocks;
    uint64_t bytes; /* of content */
};

struct snapshot_header {
    uint64_t cluster;
    uint64_t slot;
    uint32_t era;
    struct snapshot_mark mark;
};

/* Each writes the stated number of bytes and moves the sums on. */
void snapshot_header_encode(const struct snapshot_header *header, uint8_t *at,
                            struct snapshot_sums *sums);
void snapshot_block_encode(struct bytes content, uint8_t *at, struct snapshot_sums *sums);
void snapshot_footer_encode(uint8_t *at, const struct snapshot_sums *sums);

enum snapshot_part {
    SNAPSHOT_PART_HEADER,
    SNAPSHOT_PART_BLOCK,
    SNAPSHOT_PART_END, /* the footer was seen; nothing may follow */
};

struct snapshot_check {
    enum snapshot_part expected;
    struct snapshot_header header;
    struct snapshot_sums sums;
};

/* Takes the next item at the front of `bytes`. ret_used 0: more bytes are needed than are there.
 * ret_content is the content of a block, borrowed from `bytes`, or empty. */
enum status snapshot_check_take(struct snapshot_check *check, struct bytes bytes, size_t *ret_used,
                                struct bytes *ret_content) MUST_CHECK;

#endif
