/* The world: disk, network, clock and randomness, as one const table of functions. Everything above
 * runs bit for bit the same over the real world (this room) and over the simulated one.
 *
 * All calls and all callbacks happen on the core thread; the real world may do a disk job on
 * another thread, but it comes back on this one. */
#ifndef SYNOD_WORLD_WORLD_H
#define SYNOD_WORLD_WORLD_H

#include <stdbool.h>

#include "base/blob.h"
#include "base/bytes.h"
#include "base/status.h"

struct world;

enum disk_op {
    DISK_CREATE, /* name, size: a new file of `size` written zeros, synced; -> file. The directory
                  * is not synced. Fails with EXISTS */
    DISK_OPEN,   /* name: an existing file for reading and writing; -> file, size */
    DISK_CLOSE,  /* file */
    DISK_READ, /* file, offset, into, size; -> moved (less than size only at the end of the file) */
    DISK_WRITE,          /* file, offset, parts; all or an error; then fdatasync if `sync` */
    DISK_SYNC,           /* file */
    DISK_RENAME,         /* name, to: replaces; then syncs the directory */
    DISK_REMOVE,         /* name; then syncs the directory */
    DISK_SYNC_DIRECTORY, /* name */
    DISK_MAKE_DIRECTORY, /* name, mode 0700; fine if it exists; syncs the parent */
    DISK_LIST, /* name: calls `listed` for each file of a directory, in name order (run only) */
};

#define DISK_PARTS_MAX 256
#define DISK_NAME_MAX 96
/* What disks count in. */
#define DISK_PAGE 4096u

/* One job for a disk. The memory belongs to the caller and stays untouched until `done`. Names are
 * relative to the data directory. */
struct disk_job {
    enum disk_op op;
    char name[DISK_NAME_MAX];
    char to[DISK_NAME_MAX];
    int file;
    uint64_t offset;
    uint64_t size;
    void *into;
    struct bytes *parts;
    uint32_t parts_count;
    bool sync;
    bool direct; /* of a read: nobody else uses the file meanwhile, so it may go round the page
                  * cache; it does if offset and memory are multiples of DISK_PAGE */
    void (*listed)(void *owner, const char *name);

    enum status status; /* result */
    int error;          /* the system's errno behind a failure, for the message; 0 if none */
    uint64_t moved;     /* bytes read or written */
    uint64_t took_ns;   /* time that the job itself took */
    void (*done)(struct disk_job *job);
    void *owner;
    struct disk_job *next; /* the world's */
};

/* Jobs of one queue run one after the other in order of submission; the two queues are independent,
 * so that a snapshot or a prepared segment never delays a sync of the log. */
enum disk_queue {
    DISK_QUEUE_LOG,
    DISK_QUEUE_BULK,
};

enum log_level {
    LOG_DEBUG,
    LOG_INFO,
    LOG_WARN,
    LOG_ERROR,
};

struct world_ops {
    /* Nanoseconds since some fixed point, counting suspends (CLOCK_BOOTTIME); never goes back. */
    uint64_t (*now)(struct world *world);
    /* Milliseconds since 1970. Shown to people; nothing decides by it. */
    uint64_t (*wall_ms)(struct world *world);
    uint64_t (*random)(struct world *world);
    /* on_timer will be called at or after `deadline` (once); replaces the earlier deadline. */
    void (*arm)(struct world *world, uint64_t deadline);
    /* Best effort: dropped if the peer is not connected or its queue is full. In order while a
     * connection lasts. Keeps a reference to the entry until it is written; copies the head. */
    void (*send)(struct world *world, uint16_t to, struct bytes head, struct blob *entry);
    /* Does the job now, on this thread. For boot and for tools. Returns job->status. */
    enum status (*disk_run)(struct world *world, struct disk_job *job);
    /* The job will be given to disk_run next but for others, and may be begun meanwhile: one at a
     * time. NULL in a world where nothing is gained. */
    void (*disk_ahead)(struct world *world, struct disk_job *job);
    /* Calls job->done on the core thread when it is done, never from inside this call. */
    void (*disk_submit)(struct world *world, enum disk_queue queue, struct disk_job *job);
    /* One line of the log: a message and key=value fields that are already formatted as JSON
     * members
     * (",\"key\":value"...) or empty. */
    void (*log)(struct world *world, enum log_level level, const char *message, const char *fields);
};

struct world {
    const struct world_ops *ops;
    struct mem *mem; /* blobs that the world makes (received entries) come from here */
};

/* What the world tells its one inhabitant. */
struct world_events {
    void *owner;
    void (*on_timer)(void *owner);
    /* Head and entry are borrowed for the call. */
    void (*on_message)(void *owner, uint16_t from, struct bytes head, struct blob *entry);
    void (*on_peer)(void *owner, uint16_t node, bool up);
    /* Once a turn of the loop, after all its input was handed over: flush what was collected. */
    void (*on_turn)(void *owner);
};

#endif
