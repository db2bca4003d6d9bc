/* What is left of removed files: their room on the disk, given back a piece at a time.
 *
 * A file system takes back a file of 300 MB in one go of some 50 ms, and whoever syncs meanwhile
 * waits. So a large file loses its name at once, and stays open here until it is short.
 * What a process leaves behind when it ends, the system takes back.
 *
 * The one invariant: only a file is shortened that has no name any more, for good, and that nobody
 * else has open, so that nobody can miss what goes. */
#ifndef SYNOD_WORLD_DISK_REMAINS_H
#define SYNOD_WORLD_DISK_REMAINS_H

#include <stdbool.h>
#include <stdint.h>

/* 128 MiB a second: more than a log ever grows by. */
#define DISK_REMAINS_PIECE (UINT64_C(4) * 1024 * 1024)
#define DISK_REMAINS_PAUSE_NS (UINT64_C(1000000000) / 32)
#define DISK_REMAINS_MAX 32

/* What one thread keeps of what it removed, oldest first. Zero is its first state. */
struct disk_remains {
    struct disk_remnant {
        int file;
        uint64_t size;
    } list[DISK_REMAINS_MAX];
    uint32_t count;
    uint64_t due_ns;
};

/* Before a name is removed: opens its file, if it is too large to go in one piece; otherwise -1. */
int disk_remains_open(int root, const char *name);
/* Behind the removal: takes the descriptor, which may be -1, over. */
void disk_remains_take(struct disk_remains *remains, int file);
/* When the next piece is to go, on the clock of disk_clock_ns; UINT64_MAX: nothing is left. */
uint64_t disk_remains_due(const struct disk_remains *remains);
/* Gives a piece back, at the time `now_ns`. */
void disk_remains_step(struct disk_remains *remains, uint64_t now_ns);
/* Gives everything back at once. */
void disk_remains_release(struct disk_remains *remains);

#endif
