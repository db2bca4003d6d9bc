/* Files of a simulated disk: pages of what reads see, and beside them what the medium holds where
 * that differs. Only disk*.c include this.
 *
 * The one invariant: a sector whose bit `unsynced` is set has one entry in its file's list of that
 * name; one whose bit `lied` is set has one in the disk's list of lies; never both. */
#ifndef SYNOD_SIM_DISK_FILE_H
#define SYNOD_SIM_DISK_FILE_H

#include "sim/disk.h"

#define PAGE_SECTORS (DISK_PAGE / DISK_SECTOR)

struct disk_page {
    uint8_t *data;    /* NULL: zeros */
    uint8_t unsynced; /* a bit for each sector */
    uint8_t lied;
};

struct disk_file {
    uint32_t references; /* names, names on the medium, handles */
    uint64_t size;
    uint64_t media_size;
    struct disk_page *pages;
    uint64_t pages_count;
    struct disk_sector *unsynced;
};

struct disk_file *file_new(struct sim_disk *disk);
void file_keep(struct disk_file *file);
/* The last reference frees. NULL is allowed. */
void file_drop(struct sim_disk *disk, struct disk_file *file);
void file_read(const struct disk_file *file, uint64_t offset, void *into, uint64_t size);
/* Into the page cache only. */
void file_write(struct sim_disk *disk, struct disk_file *file, uint64_t offset, struct bytes bytes);
void file_sync(struct sim_disk *disk, struct disk_file *file);
/* The sync failed: the system takes the sectors for clean, and the medium has only some. */
void file_sync_fails(struct sim_disk *disk, struct disk_file *file, uint32_t queue);
/* The sync says that it did all, but what was written to these sectors is lost. */
void file_sync_without(struct sim_disk *disk, struct disk_file *file, uint32_t queue,
                       uint64_t first, uint64_t last);
void file_power_cut(struct sim_disk *disk, struct disk_file *file);
/* From now on the medium holds this, whatever reads see. Not for a sector that is unsynced or lied
 * about already. */
void file_lie(struct sim_disk *disk, struct disk_file *file, uint64_t sector, uint32_t queue,
              const uint8_t *data);
bool file_may_lie(const struct disk_file *file, uint64_t sector);
/* Reads see what the medium holds, for each lie that is armed; the others never happened. */
void lies_come_true(struct sim_disk *disk, bool all_end);

#endif
