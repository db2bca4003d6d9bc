/* Finding, loading, pruning and sending published snapshots.
 *
 * The one invariant: nothing here changes a published snapshot; it is read whole and checked, or
 * removed. */
#include "base/panic.h"
#include "base/planted.h"
#include "journal/snapshot_internal.h"

#include <string.h>

struct found {
    const struct snapshot_config *config;
    struct buffer slots;     /* uint64_t each, in rising order */
    struct buffer leftovers; /* DISK_NAME_MAX bytes each */
};

static void on_listed(void *owner, const char *name)
{
    struct found *found = owner;
    uint64_t slot;
    char path[DISK_NAME_MAX] = {0};
    if (name_number(name, SNAPSHOT_SUFFIX, &slot)) {
        buffer_append(&found->slots, bytes_of(&slot, sizeof slot));
        return;
    }
    const char *suffix = NULL;
    if (name_number(name, SNAPSHOT_SUFFIX_WRITING, &slot))
        suffix = SNAPSHOT_SUFFIX_WRITING;
    else if (name_number(name, SNAPSHOT_SUFFIX_RECEIVING, &slot))
        suffix = SNAPSHOT_SUFFIX_RECEIVING;
    if (suffix == NULL)
        return;
    name_format(path, SNAPSHOT_DIRECTORY, slot, suffix);
    buffer_append(&found->leftovers, bytes_of(path, sizeof path));
}

static enum status find(struct found *found, const struct snapshot_config *config,
                        struct text *error)
{
    found->config = config;
    buffer_init(&found->slots, config->mem, 1u << 20);
    buffer_init(&found->leftovers, config->mem, 1u << 20);
    return disk_list(config->world, SNAPSHOT_DIRECTORY, found, on_listed, error);
}

static void found_release(struct found *found)
{
    buffer_release(&found->slots);
    buffer_release(&found->leftovers);
}

static uint64_t found_slot(const struct found *found, size_t i)
{
    return load_u64(found->slots.data + i * sizeof(uint64_t));
}

static size_t found_count(const struct found *found)
{
    return found->slots.size / sizeof(uint64_t);
}

/* Opens, reads through all checks, closes. */
static enum status read_whole(const struct snapshot_config *config, uint64_t slot,
                              const struct snapshot_reader *reader, struct text *error,
                              struct snapshot_info *ret_info)
{
    static const struct snapshot_reader nobody;
    if (reader == NULL)
        reader = &nobody;
    else
        reader->begin(reader->owner, slot);
    struct disk_job job = {.op = DISK_OPEN};
    name_format(job.name, SNAPSHOT_DIRECTORY, slot, SNAPSHOT_SUFFIX);
    enum status status = disk_run(config->world, &job);
    if (status == STATUS_OK) {
        struct snapshot_stream stream;
        snapshot_stream_init(&stream, config, slot);
        status =
            snapshot_stream_run(&stream, config->world, job.file, reader->owner, reader->consume);
        *ret_info = snapshot_stream_info(&stream);
        snapshot_stream_release(&stream);
        disk_close_now(config->world, job.file);
    }
    if (status != STATUS_OK) {
        text_add(error, job.name);
        text_add(error, ": ");
        text_add(error, status_text(status));
    }
    return status;
}

static enum status remove_leftovers(const struct found *found, struct text *error)
{
    for (size_t at = 0; at < found->leftovers.size; at += DISK_NAME_MAX) {
        struct disk_job job = {.op = DISK_REMOVE};
        name_copy(job.name, (const char *)found->leftovers.data + at);
        enum status status = disk_run(found->config->world, &job);
        if (status != STATUS_OK) {
            text_add(error, "cannot remove ");
            disk_explain(error, &job);
            return status;
        }
    }
    if (planted(JOURNAL_LEFTOVER_REFUSED) && found->leftovers.size > 0) {
        text_add(error, "a snapshot was not finished");
        return STATUS_CORRUPT;
    }
    return STATUS_OK;
}

/* A name that is found may be in memory only: whoever gave it may have died before its sync. The
 * log will be trimmed by what is found, so the names have to be on the disk first. */
static enum status sync_names(const struct found *found, struct text *error)
{
    if (found_count(found) == 0 || planted(JOURNAL_NAMES_NOT_SYNCED))
        return STATUS_OK;
    struct disk_job job = {.op = DISK_SYNC_DIRECTORY};
    name_copy(job.name, SNAPSHOT_DIRECTORY);
    enum status status = disk_run(found->config->world, &job);
    if (status != STATUS_OK) {
        text_add(error, "cannot sync the directory of the snapshots: ");
        disk_explain(error, &job);
    }
    return status;
}

enum status snapshot_newest(const struct snapshot_config *config,
                            const struct snapshot_reader *reader, struct text *error,
                            struct snapshot_info *ret_info)
{
    *ret_info = (struct snapshot_info){0};
    struct found found;
    enum status status = find(&found, config, error);
    if (status == STATUS_OK)
        status = remove_leftovers(&found, error);
    if (status == STATUS_OK)
        status = sync_names(&found, error);
    for (size_t i = found_count(&found); i-- > 0 && status == STATUS_OK;) {
        char line[256];
        struct text text = text_of(line, sizeof line);
        struct snapshot_info info;
        enum status whole = read_whole(config, found_slot(&found, i), reader, &text, &info);
        if (whole == STATUS_OK) {
            *ret_info = info;
            break;
        }
        config->world->ops->log(config->world, LOG_WARN, line, "");
        /* Of another cluster or program: an older file would be no better. */
        if (whole != STATUS_CORRUPT || i == 0) {
            text_add(error, line);
            status = whole;
        }
    }
    found_release(&found);
    return status;
}

void snapshot_prune(const struct snapshot_config *config, uint32_t keep)
{
    char line[256];
    struct text text = text_of(line, sizeof line);
    struct found found;
    if (find(&found, config, &text) != STATUS_OK)
        config->world->ops->log(config->world, LOG_WARN, line, "");
    for (size_t i = 0; i + keep < found_count(&found); i++) {
        char name[DISK_NAME_MAX];
        name_format(name, SNAPSHOT_DIRECTORY, found_slot(&found, i), SNAPSHOT_SUFFIX);
        disk_remove_later(config->world, config->mem, name);
    }
    found_release(&found);
}

static void on_chunk(struct disk_job *job)
{
    struct snapshot_read *read = job->owner;
    void *chunk = job->into;
    uint64_t size = job->size;
    disk_close_later(read->world, read->mem, DISK_QUEUE_BULK, job->file);
    struct mem *mem = read->mem;
    struct bytes bytes = bytes_of(chunk, job->status == STATUS_OK ? job->moved : 0);
    read->done(read, job->status, bytes);
    mem_free(mem, chunk, size);
}

static void on_opened(struct disk_job *job)
{
    struct snapshot_read *read = job->owner;
    if (job->status != STATUS_OK) {
        read->done(read, job->status, BYTES_EMPTY);
        return;
    }
    job->op = DISK_READ;
    job->offset = read->offset;
    job->size = read->size;
    job->into = mem_alloc(read->mem, read->size);
    job->done = on_chunk;
    read->world->ops->disk_submit(read->world, DISK_QUEUE_BULK, job);
}

void snapshot_read(const struct snapshot_config *config, struct snapshot_read *read)
{
    ensure(read->size > 0);
    read->world = config->world;
    read->mem = config->mem;
    read->job = (struct disk_job){.op = DISK_OPEN, .done = on_opened, .owner = read};
    name_format(read->job.name, SNAPSHOT_DIRECTORY, read->slot, SNAPSHOT_SUFFIX);
    config->world->ops->disk_submit(config->world, DISK_QUEUE_BULK, &read->job);
}
