/* What the files of the snapshots share: a stream that checks a file as it is read, and the names.
 *
 * The one invariant: pieces begin at multiples of DISK_PAGE, in the file and in memory, and right
 * in front of a piece in memory is what the one before left of a block that its end has cut. */
#ifndef SYNOD_JOURNAL_SNAPSHOT_INTERNAL_H
#define SYNOD_JOURNAL_SNAPSHOT_INTERNAL_H

#include "journal/names.h"
#include "journal/snapshot.h"
#include "journal/snapshot_format.h"

#define SNAPSHOT_DIRECTORY "snap"
#define SNAPSHOT_SUFFIX ".snap"
#define SNAPSHOT_SUFFIX_WRITING ".tmp"
#define SNAPSHOT_SUFFIX_RECEIVING ".part"
#define SNAPSHOT_STREAM_PIECE (1u << 20) /* a read */
#define SNAPSHOT_STREAM_LEAD (SNAPSHOT_BLOCK_MAX + DISK_PAGE)

typedef enum status (*snapshot_consume_fn)(void *owner, struct bytes piece);

struct snapshot_stream {
    struct mem *mem;
    struct snapshot_check check;
    uint64_t cluster; /* the header has to agree with these two */
    uint64_t slot;
    uint64_t offset;  /* of the next piece */
    uint8_t *data;    /* two pieces, each with its lead before it: one is read, one looked at */
    uint32_t arrived; /* pieces: the even ones go to the first place */
    size_t held;      /* bytes of the lead before the piece that comes next */
};

void snapshot_stream_init(struct snapshot_stream *stream, const struct snapshot_config *config,
                          uint64_t slot);
void snapshot_stream_release(struct snapshot_stream *stream);
/* Fills in a job that reads the next piece. */
void snapshot_stream_next(const struct snapshot_stream *stream, int file, struct disk_job *job);
/* It has been read, and the one behind it may be asked for; before that is said to have arrived,
 * this one is taken. */
void snapshot_stream_arrived(struct snapshot_stream *stream, uint64_t moved);
/* Checks the piece and hands on its content. ret_end: the file is whole. `consume` may be NULL. */
enum status snapshot_stream_take(struct snapshot_stream *stream, uint64_t moved, void *owner,
                                 snapshot_consume_fn consume, bool *ret_end) MUST_CHECK;
/* Of a file that was read to its end. */
struct snapshot_info snapshot_stream_info(const struct snapshot_stream *stream);
/* Reads an open file to its end, now. */
enum status snapshot_stream_run(struct snapshot_stream *stream, struct world *world, int file,
                                void *owner, snapshot_consume_fn consume) MUST_CHECK;

#endif
