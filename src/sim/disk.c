/* Jobs of a simulated disk; see disk.h. */
#include "sim/disk.h"

#include "base/panic.h"
#include "sim/disk_file.h"
#include "sim/draw.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void disk_init(struct sim_disk *disk, struct mem *mem, struct prng *prng)
{
    *disk = (struct sim_disk){.mem = mem, .prng = prng};
}

/* --- Names ----------------------------------------------------------------------------------- */

static struct disk_name *name_find(struct sim_disk *disk, const char *name)
{
    for (uint32_t i = 0; i < disk->names_count; i++) {
        if (strcmp(disk->names[i].name, name) == 0)
            return &disk->names[i];
    }
    return NULL;
}

static struct disk_name *name_make(struct sim_disk *disk, const char *name)
{
    struct disk_name *found = name_find(disk, name);
    if (found != NULL)
        return found;
    if (disk->names_count == disk->names_capacity) {
        uint32_t capacity = disk->names_capacity == 0 ? 16 : 2 * disk->names_capacity;
        disk->names =
            mem_resize(disk->mem, disk->names, disk->names_capacity * sizeof disk->names[0],
                       capacity * sizeof disk->names[0]);
        disk->names_capacity = capacity;
    }
    struct disk_name *made = &disk->names[disk->names_count++];
    memset(made, 0, sizeof *made);
    memcpy(made->name, name, strnlen(name, sizeof made->name - 1));
    return made;
}

static void name_point(struct sim_disk *disk, struct disk_file **at, struct disk_file *file)
{
    file_keep(file);
    file_drop(disk, *at);
    *at = file;
}

/* Names that point nowhere are forgotten. */
static void names_sweep(struct sim_disk *disk)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->names_count; i++) {
        if (disk->names[i].live != NULL || disk->names[i].media != NULL)
            disk->names[kept++] = disk->names[i];
    }
    disk->names_count = kept;
}

static bool in_directory(const char *name, const char *directory, size_t size)
{
    return strncmp(name, directory, size) == 0 && name[size] == '/' &&
           strchr(name + size + 1, '/') == NULL;
}

static bool shares_directory(const char *name, const char *directory, size_t size)
{
    return size == 0 ? strchr(name, '/') == NULL : in_directory(name, directory, size);
}

static void sync_directory(struct sim_disk *disk, const char *directory, size_t size)
{
    for (uint32_t i = 0; i < disk->names_count; i++) {
        struct disk_name *name = &disk->names[i];
        if (shares_directory(name->name, directory, size))
            name_point(disk, &name->media, name->live);
    }
    names_sweep(disk);
}

static void sync_parent(struct sim_disk *disk, const char *name)
{
    const char *slash = strrchr(name, '/');
    sync_directory(disk, name, slash == NULL ? 0 : (size_t)(slash - name));
}

/* --- Handles --------------------------------------------------------------------------------- */

static int handle_new(struct sim_disk *disk, struct disk_file *file)
{
    uint32_t i = 0;
    while (i < disk->handles_capacity && disk->handles[i] != NULL)
        i++;
    if (i == disk->handles_capacity) {
        uint32_t capacity = disk->handles_capacity == 0 ? 16 : 2 * disk->handles_capacity;
        disk->handles = mem_resize(disk->mem, disk->handles, i * sizeof disk->handles[0],
                                   capacity * sizeof disk->handles[0]);
        memset(disk->handles + i, 0, (capacity - i) * sizeof disk->handles[0]);
        disk->handles_capacity = capacity;
    }
    disk->handles_open++;
    disk->handles[i] = file;
    file_keep(file);
    return (int)i;
}

static struct disk_file *handle_file(struct sim_disk *disk, int handle)
{
    ensure(handle >= 0 && (uint32_t)handle < disk->handles_capacity);
    ensure(disk->handles[handle] != NULL);
    return disk->handles[handle];
}

static void handle_close(struct sim_disk *disk, int handle)
{
    struct disk_file *file = handle_file(disk, handle);
    disk->handles[handle] = NULL;
    disk->handles_open--;
    file_drop(disk, file);
}

/* --- Jobs ------------------------------------------------------------------------------------ */

static enum status fails(struct disk_job *job, enum status status, int error)
{
    job->error = error;
    return status;
}

static bool strikes(struct sim_disk *disk, uint32_t chance)
{
    if (!draw_chance(disk->prng, chance))
        return false;
    disk->faults_struck++;
    return true;
}

static bool is_full(struct sim_disk *disk, bool certain)
{
    if (!disk->faults.full || (!certain && draw_percent(disk->prng, 50)))
        return false;
    disk->faults_struck++;
    return true;
}

static enum status do_create(struct sim_disk *disk, struct disk_job *job)
{
    struct disk_name *name = name_find(disk, job->name);
    if (name != NULL && name->live != NULL)
        return fails(job, STATUS_EXISTS, EEXIST);
    if (is_full(disk, job->size > 0))
        return fails(job, STATUS_NO_SPACE, ENOSPC);
    if (strikes(disk, disk->faults.error))
        return fails(job, STATUS_IO, EIO);
    struct disk_file *file = file_new(disk);
    name_point(disk, &name_make(disk, job->name)->live, file);
    file->size = file->media_size = job->size;
    job->file = handle_new(disk, file);
    return STATUS_OK;
}

static enum status do_open(struct sim_disk *disk, struct disk_job *job)
{
    struct disk_name *name = name_find(disk, job->name);
    if (name == NULL || name->live == NULL)
        return fails(job, STATUS_NOT_FOUND, ENOENT);
    if (strikes(disk, disk->faults.read_error))
        return fails(job, STATUS_IO, EIO);
    job->file = handle_new(disk, name->live);
    job->size = name->live->size;
    return STATUS_OK;
}

static enum status do_read(struct sim_disk *disk, struct disk_job *job)
{
    const struct disk_file *file = handle_file(disk, job->file);
    if (strikes(disk, disk->faults.read_error))
        return fails(job, STATUS_IO, EIO);
    uint64_t left = job->offset < file->size ? file->size - job->offset : 0;
    job->moved = left < job->size ? left : job->size;
    file_read(file, job->offset, job->into, job->moved);
    return STATUS_OK;
}

static uint64_t parts_size(const struct disk_job *job)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < job->parts_count; i++)
        size += job->parts[i].size;
    return size;
}

/* The first `size` bytes of the job's parts. */
static void write_parts(struct sim_disk *disk, struct disk_job *job, uint64_t size)
{
    struct disk_file *file = handle_file(disk, job->file);
    uint64_t offset = job->offset;
    for (uint32_t i = 0; i < job->parts_count && size > 0; i++) {
        struct bytes part = job->parts[i];
        if (part.size > size)
            part.size = size;
        file_write(disk, file, offset, part);
        offset += part.size;
        size -= part.size;
    }
}

/* Somewhere between nothing and all, in whole sectors. */
static uint64_t some_of(struct sim_disk *disk, uint64_t size)
{
    return prng_below(disk->prng, size / DISK_SECTOR + 1) * DISK_SECTOR;
}

static void arm_lies(struct sim_disk *disk, enum disk_queue queue)
{
    for (struct disk_sector *lie = disk->lies; lie != NULL; lie = lie->next)
        lie->armed |= lie->queue == queue;
}

/* What was written lands on another place of the file, too. */
static void misdirect(struct sim_disk *disk, enum disk_queue queue, struct disk_file *file,
                      uint64_t first, uint64_t last)
{
    uint64_t sectors = file->size / DISK_SECTOR;
    uint64_t count = last - first + 1;
    if (count > sectors)
        return;
    uint64_t target = prng_below(disk->prng, sectors - count + 1);
    for (uint64_t i = 0; i < count; i++) {
        uint8_t data[DISK_SECTOR];
        if (!file_may_lie(file, target + i))
            continue;
        file_read(file, (first + i) * DISK_SECTOR, data, sizeof data);
        file_lie(disk, file, target + i, queue, data);
    }
}

/* The sync behind a write, which may lie. */
static void sync_or_lie(struct sim_disk *disk, enum disk_queue queue, struct disk_job *job)
{
    struct disk_file *file = handle_file(disk, job->file);
    uint64_t size = parts_size(job);
    bool lost = draw_chance(disk->prng, disk->faults.lost_write);
    bool moved = draw_chance(disk->prng, disk->faults.misdirect);
    arm_lies(disk, queue);
    if ((!lost && !moved) || size == 0 || !disk->may_damage(disk->owner)) {
        file_sync(disk, file);
        return;
    }
    disk->faults_struck++;
    uint64_t first = job->offset / DISK_SECTOR;
    uint64_t last = (job->offset + size - 1) / DISK_SECTOR;
    file_sync_without(disk, file, queue, first, last);
    if (moved)
        misdirect(disk, queue, file, first, last);
}

static enum status do_write(struct sim_disk *disk, enum disk_queue queue, struct disk_job *job)
{
    struct disk_file *file = handle_file(disk, job->file);
    uint64_t size = parts_size(job);
    if (job->offset + size > file->size && is_full(disk, true)) {
        write_parts(disk, job, some_of(disk, size));
        return fails(job, STATUS_NO_SPACE, ENOSPC);
    }
    bool write_fails = strikes(disk, disk->faults.error);
    write_parts(disk, job, write_fails ? some_of(disk, size) : size);
    if (write_fails)
        return fails(job, STATUS_IO, EIO);
    job->moved = size;
    if (!job->sync)
        return STATUS_OK;
    if (strikes(disk, disk->faults.error)) {
        file_sync_fails(disk, file, queue);
        return fails(job, STATUS_IO, EIO);
    }
    sync_or_lie(disk, queue, job);
    return STATUS_OK;
}

static enum status do_sync(struct sim_disk *disk, enum disk_queue queue, struct disk_job *job)
{
    struct disk_file *file = handle_file(disk, job->file);
    if (strikes(disk, disk->faults.error)) {
        file_sync_fails(disk, file, queue);
        return fails(job, STATUS_IO, EIO);
    }
    file_sync(disk, file);
    arm_lies(disk, queue);
    return STATUS_OK;
}

static enum status do_rename(struct sim_disk *disk, struct disk_job *job)
{
    struct disk_name *from = name_find(disk, job->name);
    if (from == NULL || from->live == NULL)
        return fails(job, STATUS_NOT_FOUND, ENOENT);
    if (strikes(disk, disk->faults.error / 2))
        return fails(job, STATUS_IO, EIO);
    struct disk_file *file = from->live;
    file_keep(file);
    name_point(disk, &from->live, NULL);
    name_point(disk, &name_make(disk, job->to)->live, file);
    file_drop(disk, file);
    return STATUS_OK;
}

static enum status do_remove(struct sim_disk *disk, struct disk_job *job)
{
    struct disk_name *name = name_find(disk, job->name);
    if (name == NULL || name->live == NULL)
        return fails(job, STATUS_NOT_FOUND, ENOENT);
    if (strikes(disk, disk->faults.error / 2))
        return fails(job, STATUS_IO, EIO);
    name_point(disk, &name->live, NULL);
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static enum status do_list(struct sim_disk *disk, struct disk_job *job)
{
    if (strikes(disk, disk->faults.read_error))
        return fails(job, STATUS_IO, EIO);
    size_t directory = strlen(job->name);
    size_t room = (disk->names_count + 1) * sizeof(const char *);
    const char **sorted = mem_alloc(disk->mem, room);
    size_t count = 0;
    for (uint32_t i = 0; i < disk->names_count; i++) {
        const struct disk_name *name = &disk->names[i];
        if (name->live != NULL && in_directory(name->name, job->name, directory))
            sorted[count++] = name->name + directory + 1;
    }
    qsort(sorted, count, sizeof sorted[0], compare_names);
    for (size_t i = 0; i < count; i++)
        job->listed(job->owner, sorted[i]);
    mem_free(disk->mem, sorted, room);
    return STATUS_OK;
}

static bool changes_names(enum disk_op op)
{
    return op == DISK_RENAME || op == DISK_REMOVE || op == DISK_SYNC_DIRECTORY ||
           op == DISK_MAKE_DIRECTORY;
}

/* All of a job but the sync of a directory. */
static enum status dispatch(struct sim_disk *disk, enum disk_queue queue, struct disk_job *job)
{
    switch (job->op) {
    case DISK_CREATE:
        return do_create(disk, job);
    case DISK_OPEN:
        return do_open(disk, job);
    case DISK_CLOSE:
        handle_close(disk, job->file);
        return STATUS_OK;
    case DISK_READ:
        return do_read(disk, job);
    case DISK_WRITE:
        return do_write(disk, queue, job);
    case DISK_SYNC:
        return do_sync(disk, queue, job);
    case DISK_RENAME:
        return do_rename(disk, job);
    case DISK_REMOVE:
        return do_remove(disk, job);
    case DISK_SYNC_DIRECTORY:
    case DISK_MAKE_DIRECTORY:
        return STATUS_OK;
    case DISK_LIST:
        return do_list(disk, job);
    }
    panic("a disk job of no known kind");
}

enum status disk_perform(struct sim_disk *disk, enum disk_queue queue, struct disk_job *job)
{
    job->error = 0;
    job->moved = 0;
    job->status = dispatch(disk, queue, job);
    if (job->status != STATUS_OK || !changes_names(job->op))
        return job->status;
    if (strikes(disk, disk->faults.error / 2)) {
        job->status = fails(job, STATUS_IO, EIO);
        return job->status;
    }
    if (job->op == DISK_SYNC_DIRECTORY)
        sync_directory(disk, job->name, strlen(job->name));
    else
        sync_parent(disk, job->op == DISK_RENAME ? job->to : job->name);
    arm_lies(disk, queue);
    return job->status;
}

void disk_interrupt(struct sim_disk *disk, struct disk_job *job)
{
    struct disk_faults faults = disk->faults;
    disk->faults = (struct disk_faults){.keep = faults.keep};
    bool whole = draw_percent(disk->prng, 25);
    bool nothing = !whole && draw_percent(disk->prng, 33);
    if (whole && job->op != DISK_LIST && job->op != DISK_READ) {
        disk_perform(disk, DISK_QUEUE_LOG, job);
    } else if (!nothing && job->op == DISK_WRITE) {
        write_parts(disk, job, some_of(disk, parts_size(job)));
    } else if (!nothing && (job->op == DISK_RENAME || job->op == DISK_REMOVE)) {
        dispatch(disk, DISK_QUEUE_LOG, job);
    } else if (!nothing && job->op == DISK_CREATE) {
        uint64_t size = job->size;
        job->size = some_of(disk, size);
        dispatch(disk, DISK_QUEUE_LOG, job);
        job->size = size;
    }
    disk->faults = faults;
}

void disk_close_all(struct sim_disk *disk)
{
    for (uint32_t i = 0; i < disk->handles_capacity; i++) {
        if (disk->handles[i] != NULL)
            handle_close(disk, (int)i);
    }
}

void disk_power_cut(struct sim_disk *disk)
{
    disk_close_all(disk);
    lies_come_true(disk, true);
    for (uint32_t i = 0; i < disk->names_count; i++) {
        struct disk_name *name = &disk->names[i];
        if (name->live != name->media && draw_percent(disk->prng, 50))
            name_point(disk, &name->live, name->media);
        else
            name_point(disk, &name->media, name->live);
    }
    names_sweep(disk);
    for (uint32_t i = 0; i < disk->names_count; i++)
        file_power_cut(disk, disk->names[i].live);
}

void disk_evict(struct sim_disk *disk)
{
    lies_come_true(disk, false);
}

/* A page of the file that holds anything; pages_count: none does. */
static uint64_t pick_page(struct sim_disk *disk, const struct disk_file *file)
{
    uint64_t pages = 0;
    for (uint64_t p = 0; p < file->pages_count; p++)
        pages += file->pages[p].data != NULL;
    if (pages == 0)
        return file->pages_count;
    uint64_t left = prng_below(disk->prng, pages);
    uint64_t page = 0;
    while (file->pages[page].data == NULL || left-- > 0)
        page++;
    return page;
}

/* Each file is as likely as the next, large or small, but for those beside the directories: who a
 * member is takes less room than what it knows. */
bool disk_rot(struct sim_disk *disk)
{
    if (disk->names_count == 0)
        return false;
    const struct disk_name *name = &disk->names[prng_below(disk->prng, disk->names_count)];
    struct disk_file *file = name->live;
    if (file == NULL || (strchr(name->name, '/') == NULL && !draw_percent(disk->prng, 10)))
        return false;
    uint64_t page = pick_page(disk, file);
    uint64_t sector = page * PAGE_SECTORS + prng_below(disk->prng, PAGE_SECTORS);
    if (page == file->pages_count || !file_may_lie(file, sector) ||
        sector * DISK_SECTOR >= file->size)
        return false;
    uint8_t *data = file->pages[page].data + sector % PAGE_SECTORS * DISK_SECTOR;
    for (uint64_t flips = prng_below(disk->prng, 4) + 1; flips > 0; flips--) {
        uint64_t at = prng_below(disk->prng, DISK_SECTOR);
        data[at] ^= (uint8_t)(1u << prng_below(disk->prng, 8));
    }
    disk->faults_struck++;
    return true;
}

void disk_wipe(struct sim_disk *disk)
{
    disk_close_all(disk);
    for (uint32_t i = 0; i < disk->names_count; i++) {
        name_point(disk, &disk->names[i].live, NULL);
        name_point(disk, &disk->names[i].media, NULL);
    }
    disk->names_count = 0;
}
