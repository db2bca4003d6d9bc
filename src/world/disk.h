/* Disk: the data directory of one member, and the jobs that are done in it.
 *
 * The one invariant: one process at a time owns the directory, and only its owner may look into it.
 * A job touches nothing outside the directory and nothing but its own struct, so that any thread
 * may do one. */
#ifndef SYNOD_WORLD_DISK_H
#define SYNOD_WORLD_DISK_H

#include "base/text.h"
#include "world/disk_direct.h"
#include "world/disk_remains.h"
#include "world/world.h"

struct disk {
    int root; /* -1: not open */
    int lock;
};

#define DISK_CLOSED ((struct disk){-1, -1})

/* What a thread of the disk keeps between its jobs. Zero is its first state. */
struct disk_thread {
    struct disk_direct direct;
    struct disk_remains remains;
};

/* Opens the directory, making it (0700) if only its last part is missing, checks that it is ours
 * alone, and locks it. On failure `error` says what is wrong with which path and what to do. */
enum status disk_open(const char *path, struct text *error, struct disk *ret_disk) MUST_CHECK;
/* Gives up the lock. */
void disk_close(struct disk *disk);
/* Does the job on this thread and fills in its result; does not call job->done. `thread` is this
 * thread's own; NULL: every write goes through the page cache, every file in one piece. */
void disk_do(const struct disk *disk, struct disk_thread *thread, struct disk_job *job);
void disk_thread_release(struct disk_thread *thread);
/* Monotonic time. */
uint64_t disk_clock_ns(void);
/* The status for a system's errno. */
enum status disk_status(int error);

#endif
