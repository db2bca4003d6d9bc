/* One member's disk, as unkind as a disk may be. What was written and not synced is a set of
 * sectors: when the power goes, any subset of them survives. Names are apart from files: a new one
 * needs the sync of its directory. A process that dies leaves what it had written in the page
 * cache, up to where it had come.
 *
 * It also fails: errors, a full device, slowness. And it lies: bits rot, a write is confirmed and
 * lost, or lands elsewhere. The one invariant of the lies: they can be found out. A write that was
 * lost comes to light (the page cache forgets it) only when a later one of the same queue is
 * durable: a disk that loses the very last write and nothing else cannot be told from one that was
 * never asked, and no protocol withstands it. */
#ifndef SYNOD_SIM_DISK_H
#define SYNOD_SIM_DISK_H

#include "base/prng.h"
#include "world/world.h"

#define DISK_SECTOR 512u
#define DISK_QUEUES 2

struct disk_file;

/* Part of a sector's story: what the medium holds, where that is not what reads see. */
struct disk_sector {
    struct disk_sector *next;
    struct disk_file *file;
    uint64_t number;
    uint32_t queue; /* a lie: told to this queue, */
    bool armed;     /* and something later is durable */
    bool zero;      /* nothing but zeros: `data` is not there */
    uint8_t data[];
};

struct disk_name {
    char name[DISK_NAME_MAX];
    struct disk_file *live; /* NULL: removed */
    struct disk_file *media;
};

/* What it does wrong, in parts per million of the jobs it may happen to. */
struct disk_faults {
    uint32_t error;
    uint32_t read_error;
    uint32_t misdirect;
    uint32_t lost_write;
    uint32_t keep; /* of a sector that was not synced, when the power goes */
    bool full;
};

struct sim_disk {
    struct mem *mem;
    struct prng *prng;
    struct disk_faults faults;
    /* May something be damaged for good? Asked before each lie. */
    void *owner;
    bool (*may_damage)(void *owner);
    struct disk_name *names;
    uint32_t names_count;
    uint32_t names_capacity;
    struct disk_file **handles;
    uint32_t handles_capacity;
    uint32_t handles_open;
    struct disk_sector *lies; /* over all files */
    uint64_t faults_struck;   /* errors and lies so far */
};

void disk_init(struct sim_disk *disk, struct mem *mem, struct prng *prng);
/* As new: every file and every name is gone. No process has it open. */
void disk_wipe(struct sim_disk *disk);
/* Does the whole job now. */
enum status disk_perform(struct sim_disk *disk, enum disk_queue queue, struct disk_job *job);
/* The process dies while this job is under way: some first part of it happens, perhaps all. */
void disk_interrupt(struct sim_disk *disk, struct disk_job *job);
/* The process is gone, and with it what it had open; the page cache stays. */
void disk_close_all(struct sim_disk *disk);
/* The power goes: besides, what was not synced is kept or lost, sector by sector, name by name. */
void disk_power_cut(struct sim_disk *disk);
/* Damages something that is at rest. False: there is nothing. */
bool disk_rot(struct sim_disk *disk);
/* The page cache forgets: reads see the medium, with all its lies that are armed. */
void disk_evict(struct sim_disk *disk);

#endif
