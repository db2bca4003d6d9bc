/* The disk that remembers; see disk.h.
 *
 * The one invariant: `pending` is in the order in which things were done, so that each prefix of it
 * is a state that some moment really had. */
#include "disk.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    struct disk *disk = (struct disk *)((char *)mem - offsetof(struct disk, mem));
    struct disk_allocation *old = at == NULL ? NULL : (struct disk_allocation *)at - 1;
    (void)size_old;
    if (old != NULL) {
        old->next->prev = old->prev;
        old->prev->next = old->next;
    }
    if (size_new == 0) {
        free(old);
        return NULL;
    }
    struct disk_allocation *made = realloc(old, sizeof *made + size_new);
    made->next = &disk->allocations;
    made->prev = disk->allocations.prev;
    made->next->prev = made;
    made->prev->next = made;
    return made + 1;
}

static struct disk *disk_of(struct world *world)
{
    return (struct disk *)world; /* its first member */
}

static void point(struct disk *disk)
{
    if (disk->on_point != NULL)
        disk->on_point(disk->owner);
}

void disk_reserve(struct disk_file *file, uint64_t size)
{
    if (size <= file->capacity)
        return;
    uint64_t capacity = (size + SECTOR - 1) / SECTOR * SECTOR;
    file->live = realloc(file->live, capacity);
    file->durable = realloc(file->durable, capacity);
    memset(file->live + file->capacity, 0, capacity - file->capacity);
    memset(file->durable + file->capacity, 0, capacity - file->capacity);
    file->capacity = capacity;
}

static int file_new(struct disk *disk)
{
    if (disk->files_count == DISK_FILES_MAX)
        abort();
    disk->files[disk->files_count] = (struct disk_file){0};
    return disk->files_count++;
}

static int name_find(const struct disk *disk, const char *text)
{
    for (int i = 0; i < DISK_NAMES_MAX; i++)
        if (disk->names[i].text[0] == text[0] && strcmp(disk->names[i].text, text) == 0)
            return i;
    return -1;
}

static bool name_pending(const struct disk *disk, int name)
{
    for (uint32_t i = 0; i < disk->pending_count; i++)
        if (disk->pending[i]->kind == PENDING_NAME && disk->pending[i]->name == name)
            return true;
    return false;
}

static int name_make(struct disk *disk, const char *text)
{
    int found = name_find(disk, text);
    for (int i = 0; i < DISK_NAMES_MAX && found < 0; i++) {
        struct disk_name *name = &disk->names[i];
        if (name->text[0] != '\0' &&
            (name->live != NO_FILE || name->durable != NO_FILE || name_pending(disk, i)))
            continue;
        *name = (struct disk_name){.live = NO_FILE, .durable = NO_FILE};
        snprintf(name->text, sizeof name->text, "%s", text);
        found = i;
    }
    if (found < 0)
        abort();
    return found;
}

int disk_find(const struct disk *disk, const char *name)
{
    int found = name_find(disk, name);
    return found < 0 ? NO_FILE : disk->names[found].live;
}

static struct pending *pending_add(struct disk *disk, enum pending_kind kind)
{
    if (disk->pending_count == DISK_PENDING_MAX)
        abort();
    struct pending *pending = malloc(sizeof *pending);
    pending->kind = kind;
    pending->write = disk->writes;
    disk->pending[disk->pending_count++] = pending;
    return pending;
}

static void set_name(struct disk *disk, int name, int file)
{
    struct pending *pending = pending_add(disk, PENDING_NAME);
    pending->name = name;
    pending->file = file;
    disk->names[name].live = file;
}

static void set_size(struct disk *disk, int file, uint64_t size)
{
    if (disk->files[file].size == size)
        return;
    disk_reserve(&disk->files[file], size);
    struct pending *pending = pending_add(disk, PENDING_SIZE);
    pending->file = file;
    pending->size = size;
    disk->files[file].size = size;
}

static void write_sectors(struct disk *disk, int file, uint64_t offset, struct bytes bytes)
{
    if (bytes.size == 0)
        return;
    struct disk_file *f = &disk->files[file];
    disk_reserve(f, offset + bytes.size);
    memcpy(f->live + offset, bytes.data, bytes.size);
    for (uint64_t s = offset / SECTOR; s <= (offset + bytes.size - 1) / SECTOR; s++) {
        struct pending *pending = pending_add(disk, PENDING_SECTOR);
        pending->file = file;
        pending->sector = s;
        memcpy(pending->bytes, f->live + s * SECTOR, SECTOR);
    }
    if (offset + bytes.size > f->size)
        set_size(disk, file, offset + bytes.size);
}

/* Everything that waits and is `which` becomes durable. */
static void settle(struct disk *disk,
                   bool (*which)(const struct disk *, const struct pending *, const void *),
                   const void *argument)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < disk->pending_count; i++) {
        struct pending *pending = disk->pending[i];
        if (!which(disk, pending, argument)) {
            disk->pending[kept++] = pending;
            continue;
        }
        if (pending->kind == PENDING_SECTOR)
            memcpy(disk->files[pending->file].durable + pending->sector * SECTOR, pending->bytes,
                   SECTOR);
        else if (pending->kind == PENDING_SIZE)
            disk->files[pending->file].size_durable = pending->size;
        else
            disk->names[pending->name].durable = pending->file;
        free(pending);
    }
    disk->pending_count = kept;
}

static bool of_file(const struct disk *disk, const struct pending *pending, const void *argument)
{
    (void)disk;
    return pending->kind != PENDING_NAME && pending->file == *(const int *)argument;
}

static bool in_directory(const char *name, const char *directory)
{
    size_t size = strlen(directory);
    return strncmp(name, directory, size) == 0 && name[size] == '/';
}

static bool of_directory(const struct disk *disk, const struct pending *pending,
                         const void *argument)
{
    return pending->kind == PENDING_NAME && in_directory(disk->names[pending->name].text, argument);
}

static void sync_file(struct disk *disk, int file)
{
    settle(disk, of_file, &file);
}

static void sync_directory_of(struct disk *disk, const char *name)
{
    char directory[DISK_NAME_MAX];
    snprintf(directory, sizeof directory, "%s", name);
    char *slash = strrchr(directory, '/');
    if (slash != NULL)
        *slash = '\0';
    settle(disk, of_directory, directory);
}

static int handle_new(struct disk *disk, int file)
{
    for (int i = 0; i < DISK_HANDLES_MAX; i++) {
        if (disk->handles[i] != NO_FILE)
            continue;
        disk->handles[i] = file;
        return i;
    }
    abort();
}

static enum status do_create(struct disk *disk, struct disk_job *job)
{
    int name = name_make(disk, job->name);
    if (disk->names[name].live != NO_FILE)
        return STATUS_EXISTS;
    int file = file_new(disk);
    set_name(disk, name, file);
    /* Zeros grow from the front until all are there. */
    set_size(disk, file, job->size / 2);
    set_size(disk, file, job->size);
    job->file = handle_new(disk, file);
    return STATUS_OK;
}

static enum status do_open(struct disk *disk, struct disk_job *job)
{
    int file = disk_find(disk, job->name);
    if (file == NO_FILE)
        return STATUS_NOT_FOUND;
    job->file = handle_new(disk, file);
    job->size = disk->files[file].size;
    return STATUS_OK;
}

static enum status do_read(struct disk *disk, struct disk_job *job)
{
    const struct disk_file *file = &disk->files[disk->handles[job->file]];
    uint64_t left = job->offset < file->size ? file->size - job->offset : 0;
    job->moved = left < job->size ? left : job->size;
    if (job->moved > 0)
        memcpy(job->into, file->live + job->offset, job->moved);
    return STATUS_OK;
}

static enum status do_write(struct disk *disk, struct disk_job *job)
{
    static uint8_t whole[1 << 20];
    uint64_t size = 0;
    for (uint32_t i = 0; i < job->parts_count; i++) {
        if (job->parts[i].size > sizeof whole - size)
            abort();
        if (job->parts[i].size > 0)
            memcpy(whole + size, job->parts[i].data, job->parts[i].size);
        size += job->parts[i].size;
    }
    disk->writes++;
    write_sectors(disk, disk->handles[job->file], job->offset, bytes_of(whole, size));
    job->moved = size;
    if (strncmp(job->name, "log/", 4) == 0 && job->offset >= 4096)
        disk->written = *job;
    return STATUS_OK;
}

static enum status do_rename(struct disk *disk, struct disk_job *job)
{
    int from = name_find(disk, job->name);
    if (from < 0 || disk->names[from].live == NO_FILE)
        return STATUS_NOT_FOUND;
    int file = disk->names[from].live;
    set_name(disk, name_make(disk, job->to), file);
    set_name(disk, from, NO_FILE);
    return STATUS_OK;
}

static enum status do_remove(struct disk *disk, struct disk_job *job)
{
    int name = name_find(disk, job->name);
    if (name < 0 || disk->names[name].live == NO_FILE)
        return STATUS_NOT_FOUND;
    set_name(disk, name, NO_FILE);
    return STATUS_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void do_list(struct disk *disk, struct disk_job *job)
{
    const char *sorted[DISK_NAMES_MAX];
    size_t count = 0;
    for (int i = 0; i < DISK_NAMES_MAX; i++) {
        const struct disk_name *name = &disk->names[i];
        if (name->text[0] != '\0' && name->live != NO_FILE && in_directory(name->text, job->name))
            sorted[count++] = name->text + strlen(job->name) + 1;
    }
    qsort(sorted, count, sizeof sorted[0], compare_names);
    for (size_t i = 0; i < count; i++)
        job->listed(job->owner, sorted[i]);
}

/* The part of a job before its sync. */
static enum status first_half(struct disk *disk, struct disk_job *job)
{
    job->error = 0;
    job->moved = 0;
    job->took_ns = 1;
    switch (job->op) {
    case DISK_CREATE:
        return do_create(disk, job);
    case DISK_OPEN:
        return do_open(disk, job);
    case DISK_CLOSE:
        disk->handles[job->file] = NO_FILE;
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
    case DISK_MAKE_DIRECTORY: /* directories are there */
        return STATUS_OK;
    }
    abort();
}

static bool changes(const struct disk_job *job)
{
    return job->op == DISK_CREATE || job->op == DISK_WRITE || job->op == DISK_RENAME ||
           job->op == DISK_REMOVE;
}

static void second_half(struct disk *disk, struct disk_job *job)
{
    if (job->op == DISK_CREATE || job->op == DISK_SYNC || (job->op == DISK_WRITE && job->sync))
        sync_file(disk, disk->handles[job->file]);
    else if (job->op == DISK_RENAME)
        sync_directory_of(disk, job->to);
    else if (job->op == DISK_REMOVE)
        sync_directory_of(disk, job->name);
    else if (job->op == DISK_SYNC_DIRECTORY)
        settle(disk, of_directory, job->name);
}

static enum status run(struct world *world, struct disk_job *job)
{
    struct disk *disk = disk_of(world);
    job->status = first_half(disk, job);
    if (job->status != STATUS_OK)
        return job->status;
    if (changes(job))
        point(disk);
    second_half(disk, job);
    return STATUS_OK;
}

static void submit(struct world *world, enum disk_queue queue, struct disk_job *job)
{
    struct disk_jobs *q = &disk_of(world)->queues[queue];
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
}

static void advance(struct disk *disk, struct disk_jobs *q)
{
    struct disk_job *job = q->first;
    if (!q->half) {
        job->status = first_half(disk, job);
        q->half = job->status == STATUS_OK;
        if (q->half) {
            if (changes(job))
                point(disk);
            return;
        }
    } else {
        q->half = false;
        second_half(disk, job);
    }
    q->first = job->next;
    if (q->first == NULL)
        q->end = &q->first;
    job->next = NULL;
    *q->finished_end = job;
    q->finished_end = &job->next;
}

static void report(struct disk *disk, struct disk_jobs *q)
{
    struct disk_job *job = q->finished;
    q->finished = job->next;
    if (q->finished == NULL)
        q->finished_end = &q->finished;
    job->done(job);
    point(disk);
}

bool disk_step(struct disk *disk)
{
    uint64_t start = prng_below(&disk->prng, 4);
    disk->steps++;
    for (uint64_t i = 0; i < 4; i++) {
        uint64_t choice = (start + i) % 4;
        struct disk_jobs *q = &disk->queues[choice / 2];
        if (choice % 2 == 0 && q->first != NULL) {
            advance(disk, q);
            return true;
        }
        if (choice % 2 == 1 && q->finished != NULL) {
            report(disk, q);
            return true;
        }
    }
    return false;
}

void disk_drain(struct disk *disk)
{
    while (disk_step(disk))
        ;
}

static void queues_init(struct disk *disk)
{
    for (uint32_t i = 0; i < 2; i++) {
        disk->queues[i] = (struct disk_jobs){0};
        disk->queues[i].end = &disk->queues[i].first;
        disk->queues[i].finished_end = &disk->queues[i].finished;
    }
    for (int i = 0; i < DISK_HANDLES_MAX; i++)
        disk->handles[i] = NO_FILE;
}

void disk_kill(struct disk *disk)
{
    queues_init(disk);
    while (disk->allocations.next != &disk->allocations) {
        struct disk_allocation *first = disk->allocations.next;
        disk->allocations.next = first->next;
        first->next->prev = &disk->allocations;
        free(first);
    }
    disk->mem.used = 0;
}

int disk_put(struct disk *disk, const char *name, struct bytes bytes)
{
    int file = file_new(disk);
    struct disk_file *f = &disk->files[file];
    disk_reserve(f, bytes.size);
    if (bytes.size > 0) {
        memcpy(f->live, bytes.data, bytes.size);
        memcpy(f->durable, bytes.data, bytes.size);
    }
    f->size = f->size_durable = bytes.size;
    int at = name_make(disk, name);
    disk->names[at].live = disk->names[at].durable = file;
    return file;
}

static uint64_t now(struct world *world)
{
    return disk_of(world)->steps;
}

static uint64_t draw(struct world *world)
{
    return prng_next(&disk_of(world)->prng);
}

static void ignore(struct world *world, enum log_level level, const char *message,
                   const char *fields)
{
    (void)world;
    (void)level;
    (void)message;
    (void)fields;
}

void disk_init(struct disk *disk, uint64_t seed)
{
    static const struct world_ops ops = {
        .now = now,
        .wall_ms = now,
        .random = draw,
        .disk_run = run,
        .disk_submit = submit,
        .log = ignore,
    };
    disk->world = (struct world){.ops = &ops, .mem = &disk->mem};
    disk->mem = (struct mem){.resize = resize};
    disk->allocations.next = disk->allocations.prev = &disk->allocations;
    disk->prng = prng_seed(seed);
    disk->files_count = 0;
    disk->pending_count = 0;
    disk->writes = 0;
    disk->steps = 0;
    disk->on_point = NULL;
    memset(disk->names, 0, sizeof disk->names);
    for (int i = 0; i < DISK_NAMES_MAX; i++)
        disk->names[i].live = disk->names[i].durable = NO_FILE;
    queues_init(disk);
}

void disk_release(struct disk *disk)
{
    disk_kill(disk);
    for (int i = 0; i < disk->files_count; i++) {
        free(disk->files[i].live);
        free(disk->files[i].durable);
    }
    for (uint32_t i = 0; i < disk->pending_count; i++)
        free(disk->pending[i]);
    disk->files_count = 0;
    disk->pending_count = 0;
}
