/* A world of one disk in memory, as unkind as a disk may be: writes that were not synced are lost
 * or kept sector by sector when the power goes, names that were not synced may vanish, a failed
 * sync forgets what it did not write, and jobs are done and reported in any order across queues.
 *
 * The one invariant: what was synced stays, and nothing else is promised. */
#ifndef TEST_SUPPORT_DISK_H
#define TEST_SUPPORT_DISK_H

#include "base/prng.h"
#include "world/world.h"

#define FAKE_FILES_MAX 256
#define FAKE_HANDLES_MAX 1024

struct fake_inode {
    uint8_t *live; /* what reads see: the page cache */
    uint8_t *media;
    uint8_t *dirty; /* one flag a sector */
    uint64_t size;
    uint64_t media_size;
    uint64_t capacity;
};

struct fake_name {
    char name[DISK_NAME_MAX]; /* empty: free */
    struct fake_inode *live;  /* NULL: removed, not yet synced */
    struct fake_inode *media;
};

struct fake_queue {
    struct disk_job *first;
    struct disk_job **end;
    struct disk_job *finished; /* done, not reported */
    struct disk_job **finished_end;
    bool half; /* the first one has written and not yet synced */
};

struct fake_allocation {
    struct fake_allocation *next;
    struct fake_allocation *prev;
};

struct fake_disk {
    struct world world;
    struct mem mem;
    struct fake_allocation allocations; /* a ring: the memory of the process */
    struct prng prng;
    struct fake_name names[FAKE_FILES_MAX];
    struct fake_inode *inodes[4 * FAKE_HANDLES_MAX];
    uint32_t inodes_count;
    struct fake_inode *handles[FAKE_HANDLES_MAX];
    uint32_t handles_count;
    uint32_t handles_open;
    struct fake_queue queues[2];
    uint64_t steps;
    /* The n-th write, sync or creation from now on fails, and with `sticky` all later ones; 0:
     * none. */
    uint32_t fail_write;
    uint32_t fail_sync;
    uint32_t fail_create;
    bool sticky;
    /* The process dies in the middle of the n-th synchronous job from now on: it and all later ones
     * fail; 0: it lives. */
    uint32_t die;
    bool dead;
    enum status fail_status;
    bool hold_log; /* jobs of the log's queue wait until this is taken back */
};

void fake_init(struct fake_disk *disk, uint64_t seed);
void fake_release(struct fake_disk *disk);
/* One step of one job, or one report. False: nothing is under way. */
bool fake_step(struct fake_disk *disk);
void fake_drain(struct fake_disk *disk);
/* The process dies: jobs, handles and all of its memory are gone, the page cache stays. */
void fake_kill(struct fake_disk *disk);
/* The power goes: besides, what was not synced is kept or lost, each sector and name by itself. */
void fake_crash(struct fake_disk *disk);
/* The bytes of a file as reads see them, to look at or to damage; NULL: no such file. */
uint8_t *fake_file(struct fake_disk *disk, const char *name, uint64_t *ret_size);
/* Makes or replaces a file, durable at once. */
void fake_put(struct fake_disk *disk, const char *name, const void *data, uint64_t size);
void fake_unlink(struct fake_disk *disk, const char *name);
/* A copy of the files (not of jobs), for trying many endings of one story. */
void fake_copy(struct fake_disk *to, const struct fake_disk *from, uint64_t seed);

#endif
