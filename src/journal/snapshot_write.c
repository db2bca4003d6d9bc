/* Writing a snapshot: slices come from the owner one at a time, go out as checked blocks, and the
 * file gets its name when all of it is on the disk.
 *
 * The one invariant: one job at a time, in the order remove, create, write..., sync, close, rename.
 */
#include "journal/snapshot_internal.h"

#include "base/planted.h"

#include <string.h>

#define SLICE_MAX (64u << 20)
/* The disk is asked to finish what it has now and then: one flush of everything at the end would
 * hold up the log's syncs for as long as it takes. */
#define SYNC_EVERY (8u << 20)
#define BLOCKS_MAX (DISK_PARTS_MAX / 2 - 2)

struct snapshot_writer {
    struct snapshot_config config;
    struct snapshot_header header;
    void *owner;
    bool (*produce)(void *owner, struct buffer *slice);
    void (*done)(void *owner, enum status status, uint64_t size);

    struct snapshot_sums sums;
    struct buffer slice;
    size_t taken; /* of the slice */
    bool more;
    bool ended; /* the footer is written or being written */
    bool cancelled;
    bool held;
    bool waiting; /* to be let go: no job is under way */
    uint64_t offset;
    enum status status;
    struct disk_job job;
    struct bytes parts[DISK_PARTS_MAX];
    uint8_t edge[SNAPSHOT_HEADER_SIZE]; /* header or footer */
    uint8_t heads[BLOCKS_MAX][SNAPSHOT_BLOCK_HEADER_SIZE];
};

static void submit(struct snapshot_writer *writer, enum disk_op op, const char *suffix,
                   void (*done)(struct disk_job *job))
{
    struct disk_job *job = &writer->job;
    job->op = op;
    job->done = done;
    job->owner = writer;
    if (suffix != NULL)
        name_format(job->name, SNAPSHOT_DIRECTORY, writer->header.slot, suffix);
    struct world *world = writer->config.world;
    world->ops->disk_submit(world, DISK_QUEUE_BULK, job);
}

static void finish(struct snapshot_writer *writer)
{
    writer->done(writer->owner, writer->status, writer->offset);
    buffer_release(&writer->slice);
    mem_free(writer->config.mem, writer, sizeof *writer);
}

static void on_removed(struct disk_job *job)
{
    finish(job->owner);
}

static void on_named(struct disk_job *job)
{
    struct snapshot_writer *writer = job->owner;
    writer->status = job->status;
    if (job->status == STATUS_OK)
        finish(writer);
    else
        submit(writer, DISK_REMOVE, SNAPSHOT_SUFFIX_WRITING, on_removed);
}

static void on_closed(struct disk_job *job)
{
    struct snapshot_writer *writer = job->owner;
    if (writer->status != STATUS_OK) {
        submit(writer, DISK_REMOVE, SNAPSHOT_SUFFIX_WRITING, on_removed);
        return;
    }
    name_format(job->to, SNAPSHOT_DIRECTORY, writer->header.slot, SNAPSHOT_SUFFIX);
    submit(writer, DISK_RENAME, SNAPSHOT_SUFFIX_WRITING, on_named);
}

static void give_up(struct snapshot_writer *writer, enum status status)
{
    writer->status = status;
    submit(writer, DISK_CLOSE, NULL, on_closed);
}

/* Cuts the slice into blocks, as many as one write takes. */
static uint32_t add_blocks(struct snapshot_writer *writer)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < BLOCKS_MAX && writer->taken < writer->slice.size; i++) {
        size_t size = writer->slice.size - writer->taken;
        size = size < SNAPSHOT_BLOCK_MAX ? size : SNAPSHOT_BLOCK_MAX;
        struct bytes content = bytes_of(writer->slice.data + writer->taken, size);
        snapshot_block_encode(content, writer->heads[i], &writer->sums);
        writer->parts[count++] = bytes_of(writer->heads[i], SNAPSHOT_BLOCK_HEADER_SIZE);
        writer->parts[count++] = content;
        writer->taken += size;
    }
    return count;
}

static void write_next(struct snapshot_writer *writer);

static void on_written(struct disk_job *job)
{
    struct snapshot_writer *writer = job->owner;
    if (job->status != STATUS_OK) {
        give_up(writer, job->status);
        return;
    }
    if (writer->ended)
        submit(writer, DISK_CLOSE, NULL, on_closed);
    else
        write_next(writer);
}

/* Asks for the next slice when the last one is used up; false when it grew out of bounds. */
static bool next_slice(struct snapshot_writer *writer)
{
    while (writer->taken == writer->slice.size && writer->more && !writer->slice.failed) {
        buffer_clear(&writer->slice);
        writer->taken = 0;
        writer->more = writer->produce(writer->owner, &writer->slice);
    }
    return !writer->slice.failed;
}

static uint32_t next_parts(struct snapshot_writer *writer)
{
    if (writer->offset == 0) {
        snapshot_header_encode(&writer->header, writer->edge, &writer->sums);
        writer->parts[0] = bytes_of(writer->edge, SNAPSHOT_HEADER_SIZE);
        return 1;
    }
    uint32_t count = add_blocks(writer);
    if (writer->taken == writer->slice.size && !writer->more) {
        snapshot_footer_encode(writer->edge, &writer->sums);
        writer->parts[count++] = bytes_of(writer->edge, SNAPSHOT_FOOTER_SIZE);
        writer->ended = true;
    }
    return count;
}

static void write_next(struct snapshot_writer *writer)
{
    if (writer->cancelled) {
        give_up(writer, STATUS_STOPPED);
        return;
    }
    bool wants = writer->offset > 0 && writer->taken == writer->slice.size && writer->more;
    if (writer->held && wants) {
        writer->waiting = true;
        return;
    }
    if (writer->offset > 0 && !next_slice(writer)) {
        give_up(writer, STATUS_TOO_LARGE);
        return;
    }
    struct disk_job *job = &writer->job;
    job->offset = writer->offset;
    job->parts = writer->parts;
    job->parts_count = next_parts(writer);
    for (uint32_t i = 0; i < job->parts_count; i++)
        writer->offset += writer->parts[i].size;
    job->sync = writer->ended || writer->offset / SYNC_EVERY != job->offset / SYNC_EVERY;
    if (planted(JOURNAL_SNAPSHOT_NOT_SYNCED))
        job->sync = false;
    submit(writer, DISK_WRITE, NULL, on_written);
}

static void on_created(struct disk_job *job)
{
    struct snapshot_writer *writer = job->owner;
    if (job->status != STATUS_OK) {
        writer->status = job->status;
        submit(writer, DISK_REMOVE, SNAPSHOT_SUFFIX_WRITING, on_removed);
        return;
    }
    write_next(writer);
}

static void on_cleared(struct disk_job *job)
{
    struct snapshot_writer *writer = job->owner;
    job->size = 0;
    submit(writer, DISK_CREATE, SNAPSHOT_SUFFIX_WRITING, on_created);
}

static void on_directory(struct disk_job *job)
{
    submit(job->owner, DISK_REMOVE, SNAPSHOT_SUFFIX_WRITING, on_cleared);
}

struct snapshot_writer *snapshot_write(const struct snapshot_config *config,
                                       const struct snapshot_header *header, void *owner,
                                       bool (*produce)(void *owner, struct buffer *slice),
                                       void (*done)(void *owner, enum status status, uint64_t size))
{
    struct snapshot_writer *writer = mem_zero(config->mem, sizeof *writer);
    writer->config = *config;
    writer->header = *header;
    writer->header.cluster = config->cluster;
    writer->owner = owner;
    writer->produce = produce;
    writer->done = done;
    writer->more = true;
    buffer_init(&writer->slice, config->mem, SLICE_MAX);
    name_copy(writer->job.name, SNAPSHOT_DIRECTORY);
    submit(writer, DISK_MAKE_DIRECTORY, NULL, on_directory);
    return writer;
}

static void writer_go_on(struct snapshot_writer *writer)
{
    if (!writer->waiting)
        return;
    writer->waiting = false;
    write_next(writer);
}

void snapshot_write_hold(struct snapshot_writer *writer, bool hold)
{
    writer->held = hold;
    if (!hold)
        writer_go_on(writer);
}

void snapshot_write_cancel(struct snapshot_writer *writer)
{
    writer->cancelled = true;
    writer_go_on(writer);
}
