/* Files of a simulated disk; see disk_file.h. */
#include "sim/disk_file.h"

#include "base/panic.h"
#include "sim/draw.h"

#include <string.h>

static const uint8_t zeros[DISK_SECTOR];

struct disk_file *file_new(struct sim_disk *disk)
{
    return mem_zero(disk->mem, sizeof(struct disk_file));
}

void file_keep(struct disk_file *file)
{
    if (file != NULL)
        file->references++;
}

static void sector_free(struct sim_disk *disk, struct disk_sector *sector)
{
    mem_free(disk->mem, sector, sizeof *sector + (sector->zero ? 0 : DISK_SECTOR));
}

static struct disk_sector *sector_new(struct sim_disk *disk, struct disk_file *file,
                                      uint64_t number, const uint8_t *data)
{
    struct disk_sector *sector =
        mem_alloc(disk->mem, sizeof *sector + (data == NULL ? 0 : DISK_SECTOR));
    *sector = (struct disk_sector){.file = file, .number = number, .zero = data == NULL};
    if (data != NULL)
        memcpy(sector->data, data, DISK_SECTOR);
    return sector;
}

static void forget_unsynced(struct sim_disk *disk, struct disk_file *file)
{
    while (file->unsynced != NULL) {
        struct disk_sector *sector = file->unsynced;
        file->unsynced = sector->next;
        struct disk_page *page = &file->pages[sector->number / PAGE_SECTORS];
        page->unsynced = 0;
        sector_free(disk, sector);
    }
}

void file_drop(struct sim_disk *disk, struct disk_file *file)
{
    if (file == NULL || --file->references > 0)
        return;
    for (struct disk_sector **at = &disk->lies; *at != NULL;) {
        struct disk_sector *lie = *at;
        if (lie->file == file) {
            *at = lie->next;
            sector_free(disk, lie);
        } else {
            at = &lie->next;
        }
    }
    forget_unsynced(disk, file);
    for (uint64_t i = 0; i < file->pages_count; i++)
        mem_free(disk->mem, file->pages[i].data, DISK_PAGE);
    mem_free(disk->mem, file->pages, file->pages_count * sizeof file->pages[0]);
    mem_free(disk->mem, file, sizeof *file);
}

static struct disk_page *page_at(struct sim_disk *disk, struct disk_file *file, uint64_t number,
                                 bool *ret_fresh)
{
    if (number >= file->pages_count) {
        uint64_t count = number + 1 > 2 * file->pages_count ? number + 1 : 2 * file->pages_count;
        file->pages = mem_resize(disk->mem, file->pages, file->pages_count * sizeof file->pages[0],
                                 count * sizeof file->pages[0]);
        memset(file->pages + file->pages_count, 0,
               (count - file->pages_count) * sizeof file->pages[0]);
        file->pages_count = count;
    }
    struct disk_page *page = &file->pages[number];
    *ret_fresh = page->data == NULL;
    if (*ret_fresh)
        page->data = mem_zero(disk->mem, DISK_PAGE);
    return page;
}

void file_read(const struct disk_file *file, uint64_t offset, void *into, uint64_t size)
{
    uint8_t *to = into;
    while (size > 0) {
        uint64_t number = offset / DISK_PAGE;
        uint64_t skip = offset % DISK_PAGE;
        uint64_t piece = size < DISK_PAGE - skip ? size : DISK_PAGE - skip;
        const uint8_t *data = number < file->pages_count ? file->pages[number].data : NULL;
        if (data == NULL)
            memset(to, 0, piece);
        else
            memcpy(to, data + skip, piece);
        to += piece;
        offset += piece;
        size -= piece;
    }
}

/* Takes the lie about a sector out of the list. */
static struct disk_sector *lie_take(struct sim_disk *disk, const struct disk_file *file,
                                    uint64_t number)
{
    struct disk_sector **at = &disk->lies;
    while ((*at)->file != file || (*at)->number != number)
        at = &(*at)->next;
    struct disk_sector *lie = *at;
    *at = lie->next;
    return lie;
}

/* Before a sector changes: what does the medium have, in case that the power goes? */
static void sector_before(struct sim_disk *disk, struct disk_file *file, struct disk_page *page,
                          bool fresh, uint64_t number)
{
    uint32_t place = (uint32_t)(number % PAGE_SECTORS);
    uint8_t bit = (uint8_t)(1u << place);
    struct disk_sector *old;
    if (page->unsynced & bit) {
        /* The system may have written the sector back between the two. */
        if (!draw_chance(disk->prng, 250000))
            return;
        for (old = file->unsynced; old->number != number; old = old->next)
            ;
        if (!old->zero)
            memcpy(old->data, page->data + (size_t)place * DISK_SECTOR, DISK_SECTOR);
        return;
    }
    if (page->lied & bit) {
        old = lie_take(disk, file, number);
        page->lied &= (uint8_t)~bit;
    } else {
        const uint8_t *data = page->data + (size_t)place * DISK_SECTOR;
        old = sector_new(disk, file, number, fresh ? NULL : data);
    }
    page->unsynced |= bit;
    old->next = file->unsynced;
    file->unsynced = old;
}

void file_write(struct sim_disk *disk, struct disk_file *file, uint64_t offset, struct bytes bytes)
{
    const uint8_t *from = bytes.data;
    uint64_t size = bytes.size;
    if (offset + size > file->size && size > 0)
        file->size = offset + size;
    while (size > 0) {
        uint64_t number = offset / DISK_PAGE;
        uint64_t skip = offset % DISK_PAGE;
        uint64_t piece = size < DISK_PAGE - skip ? size : DISK_PAGE - skip;
        bool fresh;
        struct disk_page *page = page_at(disk, file, number, &fresh);
        uint64_t first = offset / DISK_SECTOR;
        uint64_t last = (offset + piece - 1) / DISK_SECTOR;
        for (uint64_t s = first; s <= last; s++)
            sector_before(disk, file, page, fresh, s);
        memcpy(page->data + skip, from, piece);
        from += piece;
        offset += piece;
        size -= piece;
    }
}

void file_sync(struct sim_disk *disk, struct disk_file *file)
{
    forget_unsynced(disk, file);
    file->media_size = file->size;
}

void file_sync_fails(struct sim_disk *disk, struct disk_file *file, uint32_t queue)
{
    while (file->unsynced != NULL) {
        struct disk_sector *sector = file->unsynced;
        file->unsynced = sector->next;
        struct disk_page *page = &file->pages[sector->number / PAGE_SECTORS];
        uint8_t bit = (uint8_t)(1u << sector->number % PAGE_SECTORS);
        page->unsynced &= (uint8_t)~bit;
        if (draw_percent(disk->prng, 50)) {
            sector_free(disk, sector);
            continue;
        }
        page->lied |= bit;
        sector->queue = queue;
        sector->armed = true;
        sector->next = disk->lies;
        disk->lies = sector;
    }
    if (draw_percent(disk->prng, 50))
        file->media_size = file->size;
}

/* Reads see this from now on. */
static void sector_show(struct disk_page *page, const struct disk_sector *sector)
{
    memcpy(page->data + (size_t)(sector->number % PAGE_SECTORS) * DISK_SECTOR,
           sector->zero ? zeros : sector->data, DISK_SECTOR);
}

void file_sync_without(struct sim_disk *disk, struct disk_file *file, uint32_t queue,
                       uint64_t first, uint64_t last)
{
    struct disk_sector *kept = NULL;
    while (file->unsynced != NULL) {
        struct disk_sector *sector = file->unsynced;
        file->unsynced = sector->next;
        struct disk_page *page = &file->pages[sector->number / PAGE_SECTORS];
        uint8_t bit = (uint8_t)(1u << sector->number % PAGE_SECTORS);
        page->unsynced &= (uint8_t)~bit;
        if (sector->number < first || sector->number > last) {
            sector_free(disk, sector);
            continue;
        }
        page->lied |= bit;
        sector->queue = queue;
        sector->next = kept;
        kept = sector;
    }
    while (kept != NULL) {
        struct disk_sector *lie = kept;
        kept = lie->next;
        lie->next = disk->lies;
        disk->lies = lie;
    }
    file->media_size = file->size;
}

void file_power_cut(struct sim_disk *disk, struct disk_file *file)
{
    for (struct disk_sector *s = file->unsynced; s != NULL; s = s->next) {
        if (!draw_chance(disk->prng, disk->faults.keep))
            sector_show(&file->pages[s->number / PAGE_SECTORS], s);
    }
    forget_unsynced(disk, file);
    if (file->size != file->media_size && draw_percent(disk->prng, 50))
        file->size = file->media_size;
    file->media_size = file->size;
    /* What lies behind the end is no part of the file, and must not come back when it grows. */
    for (uint64_t i = (file->size + DISK_PAGE - 1) / DISK_PAGE; i < file->pages_count; i++) {
        if (file->pages[i].data == NULL || file->pages[i].lied != 0)
            continue;
        mem_free(disk->mem, file->pages[i].data, DISK_PAGE);
        file->pages[i].data = NULL;
    }
    uint64_t rest = file->size % DISK_PAGE;
    uint64_t last = file->size / DISK_PAGE;
    if (rest != 0 && last < file->pages_count && file->pages[last].data != NULL)
        memset(file->pages[last].data + rest, 0, DISK_PAGE - rest);
}

bool file_may_lie(const struct disk_file *file, uint64_t sector)
{
    uint64_t number = sector / PAGE_SECTORS;
    if (number >= file->pages_count)
        return true;
    uint8_t bit = (uint8_t)(1u << sector % PAGE_SECTORS);
    return ((file->pages[number].unsynced | file->pages[number].lied) & bit) == 0;
}

void file_lie(struct sim_disk *disk, struct disk_file *file, uint64_t sector, uint32_t queue,
              const uint8_t *data)
{
    bool fresh;
    struct disk_page *page = page_at(disk, file, sector / PAGE_SECTORS, &fresh);
    struct disk_sector *lie = sector_new(disk, file, sector, data);
    lie->queue = queue;
    page->lied |= (uint8_t)(1u << sector % PAGE_SECTORS);
    lie->next = disk->lies;
    disk->lies = lie;
}

void lies_come_true(struct sim_disk *disk, bool all_end)
{
    for (struct disk_sector **at = &disk->lies; *at != NULL;) {
        struct disk_sector *lie = *at;
        if (!lie->armed && !all_end) {
            at = &lie->next;
            continue;
        }
        struct disk_page *page = &lie->file->pages[lie->number / PAGE_SECTORS];
        page->lied &= (uint8_t) ~(1u << lie->number % PAGE_SECTORS);
        if (lie->armed)
            sector_show(page, lie);
        *at = lie->next;
        sector_free(disk, lie);
    }
}
