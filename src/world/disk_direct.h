/* Direct writes and reads: the log, fresh zeros and snapshots go round the page cache.
 *
 * What is synced at once, or never read again, gains nothing from the cache: pages are filled,
 * found again for the sync and kept for a reader that does not come. Round it, one write and one
 * sync cost a fifth less processor time and a tenth less time (decision 0010). It is an economy and
 * never a promise: where a file system or an alignment refuses, the same bytes go through the
 * cache, and the sync behind them is the same fdatasync.
 *
 * The one invariant: the direct descriptor is of the very inode that the job's file is of; it is
 * compared before every write, and an open descriptor keeps its inode from being given to another
 * file. */
#ifndef SYNOD_WORLD_DISK_DIRECT_H
#define SYNOD_WORLD_DISK_DIRECT_H

#include "world/world.h"

/* Pieces of this size: large enough for a disk, and one never holds up a sync for long. */
#define DISK_PIECE_SIZE ((size_t)1024 * 1024)

struct disk_inode {
    uint32_t major; /* of its device */
    uint32_t minor;
    uint64_t number;
};

/* What one thread keeps for its direct writes. Zero is its first state. */
struct disk_direct {
    bool open;
    bool refused; /* the file system takes none: not asked again */
    int file;
    struct disk_inode inode;
    uint8_t *bounce; /* DISK_PIECE_SIZE; aligned as the device wants its memory */
};

/* Which bytes of the job should go directly: from `begin` on until before `end`, counted from the
 * job's first. All of them, or all but the broken pages at both ends of a large piece, or none. */
void disk_direct_span(const struct disk_job *job, uint64_t size, uint64_t *ret_begin,
                      uint64_t *ret_end);
/* Writes from job->moved on until `end`, and moves job->moved on; where it stops early without an
 * error, the caller writes the rest through the cache. The job's name must be that of its file.
 * Returns an errno, 0 for success. */
int disk_direct_write(struct disk_direct *direct, int root, struct disk_job *job, uint64_t end);
/* Zeros from `offset` on until `size`; returns an errno. `ret_offset` is how far it came: less than
 * `size` without an error means that the rest has to go through the cache. */
int disk_direct_zeros(int file, uint64_t size, uint64_t *ret_offset);
/* Reads whole pages from the job's first byte on and moves job->moved on, if there are many of them
 * and they lie well in the file and in memory; the caller reads the rest through the cache, and
 * meets there whatever went wrong here. Returns an errno only if the descriptor, which was made a
 * direct one meanwhile, could not be made what it was. */
int disk_direct_read(struct disk_job *job);
/* Gives up the descriptor: a file that was removed must not keep its place on the disk. */
void disk_direct_close(struct disk_direct *direct);
void disk_direct_release(struct disk_direct *direct);

/* The bytes of a write job from `from` on until before `to`; returns how many elements they take,
 * at most as many as the job has parts. */
struct iovec;
int disk_vector(const struct disk_job *job, uint64_t from, uint64_t to, struct iovec *iov);

#endif
