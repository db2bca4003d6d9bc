/* The unkind disk; see support_disk.h.
 *
 * The one invariant: `media` changes only by a sync, or by the write-back that a kernel may do at
 * any time. */
#include "support_disk.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define SECTOR 512u

static void ring_remove(struct fake_allocation *allocation)
{
    allocation->next->prev = allocation->prev;
    allocation->prev->next = allocation->next;
}

static void *resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    struct fake_disk *disk = (struct fake_disk *)((char *)mem - offsetof(struct fake_disk, mem));
    struct fake_allocation *old = at == NULL ? NULL : (struct fake_allocation *)at - 1;
    (void)size_old;
    if (old != NULL)
        ring_remove(old);
    if (size_new == 0) {
        free(old);
        return NULL;
    }
    struct fake_allocation *made = realloc(old, sizeof *made + size_new);
    made->next = &disk->allocations;
    made->prev = disk->allocations.prev;
    made->next->prev = made;
    made->prev->next = made;
    return made + 1;
}

static void memory_free(struct fake_disk *disk)
{
    while (disk->allocations.next != &disk->allocations) {
        struct fake_allocation *first = disk->allocations.next;
        ring_remove(first);
        free(first);
    }
    disk->mem.used = 0;
}

static struct fake_disk *disk_of(struct world *world)
{
    return (struct fake_disk *)world; /* its first member */
}

static struct fake_inode *inode_new(struct fake_disk *disk)
{
    struct fake_inode *inode = calloc(1, sizeof *inode);
    disk->inodes[disk->inodes_count++] = inode;
    return inode;
}

static void inode_reserve(struct fake_inode *inode, uint64_t size)
{
    if (size <= inode->capacity)
        return;
    /* A file that grows gets room to grow on. */
    uint64_t room = inode->capacity > 0 ? 2 * size : size;
    uint64_t capacity = (room + SECTOR - 1) / SECTOR * SECTOR;
    inode->live = realloc(inode->live, capacity);
    inode->media = realloc(inode->media, capacity);
    inode->dirty = realloc(inode->dirty, capacity / SECTOR);
    memset(inode->live + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->media + inode->capacity, 0, capacity - inode->capacity);
    memset(inode->dirty + inode->capacity / SECTOR, 0, (capacity - inode->capacity) / SECTOR);
    inode->capacity = capacity;
}

static void sector_write_back(struct fake_inode *inode, uint64_t sector)
{
    memcpy(inode->media + sector * SECTOR, inode->live + sector * SECTOR, SECTOR);
    inode->dirty[sector] = 0;
}

/* Sectors are written whole; the kernel may write any of them back at once. */
static void inode_write(struct fake_disk *disk, struct fake_inode *inode, uint64_t offset,
                        struct bytes bytes)
{
    if (bytes.size == 0)
        return;
    inode_reserve(inode, offset + bytes.size);
    memcpy(inode->live + offset, bytes.data, bytes.size);
    if (offset + bytes.size > inode->size)
        inode->size = offset + bytes.size;
    for (uint64_t s = offset / SECTOR; s <= (offset + bytes.size - 1) / SECTOR; s++) {
        inode->dirty[s] = 1;
        if (prng_below(&disk->prng, 8) == 0)
            sector_write_back(inode, s);
    }
}

static void inode_sync(struct fake_inode *inode, bool fails)
{
    for (uint64_t s = 0; s < inode->capacity / SECTOR; s++) {
        if (inode->dirty[s] && !fails)
            sector_write_back(inode, s);
        inode->dirty[s] = 0; /* a failed sync leaves the pages clean and the disk without them */
    }
    if (!fails)
        inode->media_size = inode->size;
}

static struct fake_name *name_find(struct fake_disk *disk, const char *name, bool make)
{
    struct fake_name *unused = NULL;
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++) {
        if (strcmp(disk->names[i].name, name) == 0)
            return &disk->names[i];
        if (unused == NULL && disk->names[i].live == NULL && disk->names[i].media == NULL)
            unused = &disk->names[i];
    }
    if (!make)
        return NULL;
    if (unused == NULL)
        abort();
    memset(unused, 0, sizeof *unused);
    strncpy(unused->name, name, sizeof unused->name - 1);
    return unused;
}

static bool in_directory(const char *name, const char *directory)
{
    size_t size = strlen(directory);
    return strncmp(name, directory, size) == 0 && name[size] == '/';
}

static void sync_directory(struct fake_disk *disk, const char *name)
{
    size_t size = 0;
    for (size_t i = 0; name[i] != '\0'; i++)
        if (name[i] == '/')
            size = i;
    char directory[DISK_NAME_MAX] = {0};
    memcpy(directory, name, size == 0 ? strlen(name) : size);
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++)
        if (in_directory(disk->names[i].name, directory))
            disk->names[i].media = disk->names[i].live;
}

static bool strikes(const struct fake_disk *disk, uint32_t *countdown)
{
    if (*countdown == 0)
        return false;
    if (*countdown > 1) {
        --*countdown;
        return false;
    }
    if (!disk->sticky)
        *countdown = 0;
    return true;
}

static enum status fail(const struct fake_disk *disk, struct disk_job *job)
{
    job->error = disk->fail_status == STATUS_NO_SPACE ? 28 : 5;
    return disk->fail_status;
}

static int handle_new(struct fake_disk *disk, struct fake_inode *inode)
{
    disk->handles_open++;
    for (uint32_t i = 0; i < disk->handles_count; i++) {
        if (disk->handles[i] == NULL) {
            disk->handles[i] = inode;
            return (int)i;
        }
    }
    if (disk->handles_count == FAKE_HANDLES_MAX)
        abort();
    disk->handles[disk->handles_count] = inode;
    return (int)disk->handles_count++;
}

static enum status do_create(struct fake_disk *disk, struct disk_job *job)
{
    struct fake_name *name = name_find(disk, job->name, true);
    if (name->live != NULL)
        return STATUS_EXISTS;
    bool fails = strikes(disk, &disk->fail_create);
    struct fake_inode *inode = inode_new(disk);
    name->live = inode;
    inode_reserve(inode, job->size);
    inode->size = fails ? job->size / 2 : job->size;
    if (fails)
        return fail(disk, job);
    inode->media_size = job->size;
    job->file = handle_new(disk, inode);
    return STATUS_OK;
}

static enum status do_open(struct fake_disk *disk, struct disk_job *job)
{
    struct fake_name *name = name_find(disk, job->name, false);
    if (name == NULL || name->live == NULL)
        return STATUS_NOT_FOUND;
    job->file = handle_new(disk, name->live);
    job->size = name->live->size;
    return STATUS_OK;
}

static enum status do_read(struct fake_disk *disk, struct disk_job *job)
{
    const struct fake_inode *inode = disk->handles[job->file];
    uint64_t left = job->offset < inode->size ? inode->size - job->offset : 0;
    job->moved = left < job->size ? left : job->size;
    if (job->moved > 0)
        memcpy(job->into, inode->live + job->offset, job->moved);
    return STATUS_OK;
}

static enum status do_write(struct fake_disk *disk, struct disk_job *job)
{
    uint64_t size = 0;
    for (uint32_t i = 0; i < job->parts_count; i++)
        size += job->parts[i].size;
    uint8_t *whole = malloc(size + 1);
    uint64_t at = 0;
    for (uint32_t i = 0; i < job->parts_count; i++) {
        if (job->parts[i].size > 0)
            memcpy(whole + at, job->parts[i].data, job->parts[i].size);
        at += job->parts[i].size;
    }
    bool fails = strikes(disk, &disk->fail_write);
    if (fails) /* somewhere between two sectors */
        size = prng_below(&disk->prng, size / SECTOR + 1) * SECTOR;
    inode_write(disk, disk->handles[job->file], job->offset, bytes_of(whole, size));
    free(whole);
    job->moved = size;
    return fails ? fail(disk, job) : STATUS_OK;
}

static enum status do_sync(struct fake_disk *disk, struct disk_job *job)
{
    bool fails = strikes(disk, &disk->fail_sync);
    inode_sync(disk->handles[job->file], fails);
    return fails ? fail(disk, job) : STATUS_OK;
}

static enum status do_rename(struct fake_disk *disk, struct disk_job *job)
{
    struct fake_name *from = name_find(disk, job->name, false);
    if (from == NULL || from->live == NULL)
        return STATUS_NOT_FOUND;
    struct fake_name *to = name_find(disk, job->to, true);
    to->live = from->live;
    from->live = NULL;
    return STATUS_OK;
}

static enum status do_remove(struct fake_disk *disk, struct disk_job *job)
{
    struct fake_name *name = name_find(disk, job->name, false);
    if (name == NULL || name->live == NULL)
        return STATUS_NOT_FOUND;
    name->live = NULL;
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void do_list(struct fake_disk *disk, struct disk_job *job)
{
    const char *sorted[FAKE_FILES_MAX];
    size_t count = 0;
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++)
        if (disk->names[i].live != NULL && in_directory(disk->names[i].name, job->name))
            sorted[count++] = disk->names[i].name + strlen(job->name) + 1;
    qsort(sorted, count, sizeof sorted[0], compare_names);
    for (size_t i = 0; i < count; i++)
        job->listed(job->owner, sorted[i]);
}

/* The part of a job before its sync. */
static enum status do_first_half(struct fake_disk *disk, struct disk_job *job)
{
    job->error = 0;
    job->moved = 0;
    job->took_ns = 50000 + prng_below(&disk->prng, 1000000);
    switch (job->op) {
    case DISK_CREATE:
        return do_create(disk, job);
    case DISK_OPEN:
        return do_open(disk, job);
    case DISK_CLOSE:
        if (disk->handles[job->file] == NULL)
            abort();
        disk->handles[job->file] = NULL;
        disk->handles_open--;
        return STATUS_OK;
    case DISK_READ:
        return do_read(disk, job);
    case DISK_WRITE:
        return do_write(disk, job);
    case DISK_RENAME:
        return do_rename(disk, job);
    case DISK_REMOVE:
        return do_remove(disk, job);
    case DISK_LIST:
        do_list(disk, job);
        return STATUS_OK;
    case DISK_SYNC:
    case DISK_SYNC_DIRECTORY:
    case DISK_MAKE_DIRECTORY:
        return STATUS_OK;
    }
    abort();
}

static enum status do_second_half(struct fake_disk *disk, struct disk_job *job)
{
    if (job->op == DISK_SYNC || (job->op == DISK_WRITE && job->sync))
        return do_sync(disk, job);
    if (job->op == DISK_RENAME || job->op == DISK_REMOVE || job->op == DISK_SYNC_DIRECTORY)
        sync_directory(disk, job->op == DISK_RENAME ? job->to : job->name);
    return STATUS_OK;
}

static enum status fake_run(struct world *world, struct disk_job *job)
{
    struct fake_disk *disk = disk_of(world);
    disk->steps++;
    job->status = STATUS_IO;
    if (disk->dead)
        return job->status;
    bool half = disk->die > 0 && --disk->die == 0;
    job->status = do_first_half(disk, job);
    if (job->status == STATUS_OK && !half)
        job->status = do_second_half(disk, job);
    if (half) {
        disk->dead = true;
        job->status = STATUS_IO;
    }
    return job->status;
}

static void fake_submit(struct world *world, enum disk_queue queue, struct disk_job *job)
{
    struct fake_queue *q = &disk_of(world)->queues[queue];
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
}

static void queue_advance(struct fake_disk *disk, struct fake_queue *q)
{
    struct disk_job *job = q->first;
    if (!q->half) {
        job->status = do_first_half(disk, job);
        q->half = job->status == STATUS_OK;
        if (q->half)
            return;
    } else {
        q->half = false;
        job->status = do_second_half(disk, job);
    }
    q->first = job->next;
    if (q->first == NULL)
        q->end = &q->first;
    job->next = NULL;
    *q->finished_end = job;
    q->finished_end = &job->next;
}

static void queue_report(struct fake_queue *q)
{
    struct disk_job *job = q->finished;
    q->finished = job->next;
    if (q->finished == NULL)
        q->finished_end = &q->finished;
    job->done(job);
}

bool fake_step(struct fake_disk *disk)
{
    uint64_t start = prng_below(&disk->prng, 4);
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t choice = (start + i) % 4;
        struct fake_queue *q = &disk->queues[choice / 2];
        bool held = disk->hold_log && choice / 2 == DISK_QUEUE_LOG;
        if (choice % 2 == 0 && q->first != NULL && !held) {
            disk->steps++;
            queue_advance(disk, q);
            return true;
        }
        if (choice % 2 == 1 && q->finished != NULL) {
            queue_report(q);
            return true;
        }
    }
    return false;
}

void fake_drain(struct fake_disk *disk)
{
    while (fake_step(disk))
        ;
}

static void queues_init(struct fake_disk *disk)
{
    for (uint32_t i = 0; i < 2; i++) {
        disk->queues[i] = (struct fake_queue){0};
        disk->queues[i].end = &disk->queues[i].first;
        disk->queues[i].finished_end = &disk->queues[i].finished;
    }
}

void fake_kill(struct fake_disk *disk)
{
    queues_init(disk);
    memory_free(disk);
    disk->die = 0;
    disk->dead = false;
    memset(disk->handles, 0, sizeof disk->handles);
    disk->handles_open = 0;
}

void fake_crash(struct fake_disk *disk)
{
    fake_kill(disk);
    for (uint32_t i = 0; i < disk->inodes_count; i++) {
        struct fake_inode *inode = disk->inodes[i];
        for (uint64_t s = 0; s < inode->capacity / SECTOR; s++)
            if (inode->dirty[s] && prng_below(&disk->prng, 2) == 0)
                sector_write_back(inode, s);
        if (prng_below(&disk->prng, 2) == 0)
            inode->size = inode->media_size;
        inode->media_size = inode->size;
        if (inode->capacity > 0) {
            memset(inode->dirty, 0, inode->capacity / SECTOR);
            memcpy(inode->live, inode->media, inode->capacity);
        }
    }
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++) {
        struct fake_name *name = &disk->names[i];
        if (prng_below(&disk->prng, 2) == 0)
            name->live = name->media;
        name->media = name->live;
        if (name->live == NULL)
            memset(name, 0, sizeof *name);
    }
}

uint8_t *fake_file(struct fake_disk *disk, const char *name, uint64_t *ret_size)
{
    struct fake_name *found = name_find(disk, name, false);
    if (found == NULL || found->live == NULL)
        return NULL;
    *ret_size = found->live->size;
    return found->live->live;
}

void fake_put(struct fake_disk *disk, const char *name, const void *data, uint64_t size)
{
    struct fake_name *found = name_find(disk, name, true);
    found->live = found->media = inode_new(disk);
    inode_write(disk, found->live, 0, bytes_of(data, size));
    found->live->size = size;
    inode_sync(found->live, false);
}

void fake_unlink(struct fake_disk *disk, const char *name)
{
    struct fake_name *found = name_find(disk, name, false);
    if (found != NULL)
        memset(found, 0, sizeof *found);
}

static uint64_t fake_now(struct world *world)
{
    return disk_of(world)->steps;
}

static uint64_t fake_random(struct world *world)
{
    return prng_next(&disk_of(world)->prng);
}

static void fake_log(struct world *world, enum log_level level, const char *message,
                     const char *fields)
{
    (void)world;
    (void)level;
    (void)message;
    (void)fields;
}

void fake_init(struct fake_disk *disk, uint64_t seed)
{
    static const struct world_ops ops = {
        .now = fake_now,
        .wall_ms = fake_now,
        .random = fake_random,
        .disk_run = fake_run,
        .disk_submit = fake_submit,
        .log = fake_log,
    };
    memset(disk, 0, sizeof *disk);
    disk->world.ops = &ops;
    disk->world.mem = &disk->mem;
    disk->mem.resize = resize;
    disk->allocations.next = disk->allocations.prev = &disk->allocations;
    disk->prng = prng_seed(seed);
    disk->fail_status = STATUS_IO;
    queues_init(disk);
}

void fake_release(struct fake_disk *disk)
{
    memory_free(disk);
    for (uint32_t i = 0; i < disk->inodes_count; i++) {
        free(disk->inodes[i]->live);
        free(disk->inodes[i]->media);
        free(disk->inodes[i]->dirty);
        free(disk->inodes[i]);
    }
    disk->inodes_count = 0;
}

void fake_copy(struct fake_disk *to, const struct fake_disk *from, uint64_t seed)
{
    fake_init(to, seed);
    for (uint32_t i = 0; i < from->inodes_count; i++) {
        const struct fake_inode *inode = from->inodes[i];
        struct fake_inode *copy = inode_new(to);
        *copy = (struct fake_inode){.size = inode->size, .media_size = inode->media_size};
        inode_reserve(copy, inode->capacity);
        if (inode->capacity > 0) {
            memcpy(copy->live, inode->live, inode->capacity);
            memcpy(copy->media, inode->media, inode->capacity);
            memcpy(copy->dirty, inode->dirty, inode->capacity / SECTOR);
        }
    }
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++) {
        to->names[i] = from->names[i];
        for (uint32_t j = 0; j < from->inodes_count; j++) {
            if (from->names[i].live == from->inodes[j])
                to->names[i].live = to->inodes[j];
            if (from->names[i].media == from->inodes[j])
                to->names[i].media = to->inodes[j];
        }
    }
}
