/* A disk that remembers what a power cut could do to it.
 *
 * Beside what reads see it keeps what is durable, and in order everything that was done since and
 * is not: sectors written, sizes changed, names given and taken. Any subset of that may survive, so
 * each moment has many possible aftermaths; states.h lists them.
 *
 * The one invariant: what is durable changes only by a sync of the file or of the directory. */
#ifndef TEST_CRASH_DISK_H
#define TEST_CRASH_DISK_H

#include "base/prng.h"
#include "world/world.h"

#define SECTOR 512u
#define DISK_FILES_MAX 1024
#define DISK_NAMES_MAX 64
#define DISK_HANDLES_MAX 256
#define DISK_PENDING_MAX 4096
#define NO_FILE (-1)

struct disk_file {
    uint8_t *live; /* what reads see */
    uint8_t *durable;
    uint64_t capacity; /* of both: whole sectors, zeros behind what was written */
    uint64_t size;
    uint64_t size_durable;
};

struct disk_name {
    char text[DISK_NAME_MAX]; /* empty: unused */
    int live;                 /* a file, or NO_FILE */
    int durable;
};

enum pending_kind {
    PENDING_SECTOR, /* file, sector: bytes */
    PENDING_SIZE,   /* file: size */
    PENDING_NAME,   /* name: file */
};

struct pending {
    enum pending_kind kind;
    int file;
    int name;
    uint64_t sector;
    uint64_t size;
    uint64_t write; /* sectors of one write have one number */
    uint8_t bytes[SECTOR];
};

struct disk_jobs {
    struct disk_job *first;
    struct disk_job **end;
    struct disk_job *finished; /* done, not reported */
    struct disk_job **finished_end;
    bool half; /* the first one waits for its sync */
};

struct disk_allocation {
    struct disk_allocation *next;
    struct disk_allocation *prev;
};

struct disk {
    struct world world;
    struct mem mem;
    struct disk_allocation allocations; /* a ring: the memory of the process */
    struct prng prng;
    struct disk_file files[DISK_FILES_MAX];
    int files_count;
    struct disk_name names[DISK_NAMES_MAX];
    int handles[DISK_HANDLES_MAX]; /* files; NO_FILE: free */
    struct pending *pending[DISK_PENDING_MAX];
    uint32_t pending_count;
    uint64_t writes;
    struct disk_job written; /* the last write behind a segment's header */
    struct disk_jobs queues[2];
    uint64_t steps;
    /* Called whenever the set of possible aftermaths has grown, or anybody was told that something
     * is durable. NULL: not. */
    void (*on_point)(void *owner);
    void *owner;
};

void disk_init(struct disk *disk, uint64_t seed);
void disk_release(struct disk *disk);
/* One half of a job, or one report, of either queue. False: nothing is under way. */
bool disk_step(struct disk *disk);
void disk_drain(struct disk *disk);
/* The process dies: jobs, handles and memory are gone, the files are as reads see them. */
void disk_kill(struct disk *disk);
/* The file of that name as reads see it; NO_FILE. */
int disk_find(const struct disk *disk, const char *name);
/* A durable file, at once. */
int disk_put(struct disk *disk, const char *name, struct bytes bytes);
/* Makes room for `size` bytes in a file's images. */
void disk_reserve(struct disk_file *file, uint64_t size);

#endif
