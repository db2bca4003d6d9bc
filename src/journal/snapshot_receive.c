/* Receiving a snapshot: bytes are written as they come; at the end the file is read back through
 * all of its checks and only then gets its name.
 *
 * The one invariant: one job at a time; what the peer sends is believed for nothing but its place
 * in the file. */
#include "base/panic.h"
#include "base/planted.h"
#include "journal/snapshot_internal.h"

#define SYNC_EVERY (8u << 20) /* bounds the flush at the end, which the log has to share */

struct snapshot_receiver {
    struct snapshot_config config;
    uint64_t slot;
    uint64_t size;
    uint64_t received;
    uint64_t written;
    struct buffer filling; /* came while a write is under way */
    struct buffer writing;
    struct bytes part;
    bool busy; /* a job is under way */
    bool opened;
    bool ending;
    bool cancelled;
    bool synced;
    int file;
    enum status status;
    struct snapshot_stream stream;
    void *owner;
    snapshot_consume_fn consume;
    void (*done)(void *owner, enum status status, const struct snapshot_info *info);
    struct disk_job job;
};

static void submit(struct snapshot_receiver *receiver, enum disk_op op, const char *suffix,
                   void (*done)(struct disk_job *job))
{
    struct disk_job *job = &receiver->job;
    receiver->busy = true;
    job->op = op;
    job->done = done;
    job->owner = receiver;
    if (suffix != NULL)
        name_format(job->name, SNAPSHOT_DIRECTORY, receiver->slot, suffix);
    struct world *world = receiver->config.world;
    world->ops->disk_submit(world, DISK_QUEUE_BULK, job);
}

/* The first failure is the one that counts. */
static void note(struct snapshot_receiver *receiver, enum status status)
{
    if (receiver->status == STATUS_OK)
        receiver->status = status;
}

static void finish(struct snapshot_receiver *receiver)
{
    struct snapshot_info info = snapshot_stream_info(&receiver->stream);
    if (!receiver->cancelled)
        receiver->done(receiver->owner, receiver->status, &info);
    snapshot_stream_release(&receiver->stream);
    buffer_release(&receiver->filling);
    buffer_release(&receiver->writing);
    mem_free(receiver->config.mem, receiver, sizeof *receiver);
}

static void on_end(struct disk_job *job)
{
    struct snapshot_receiver *receiver = job->owner;
    note(receiver, job->status);
    finish(receiver);
}

static void on_closed(struct disk_job *job)
{
    struct snapshot_receiver *receiver = job->owner;
    if (receiver->status != STATUS_OK || receiver->cancelled) {
        submit(receiver, DISK_REMOVE, SNAPSHOT_SUFFIX_RECEIVING, on_end);
        return;
    }
    name_format(job->to, SNAPSHOT_DIRECTORY, receiver->slot, SNAPSHOT_SUFFIX);
    submit(receiver, DISK_RENAME, SNAPSHOT_SUFFIX_RECEIVING, on_end);
}

static void close_file(struct snapshot_receiver *receiver)
{
    if (!receiver->opened) {
        finish(receiver);
        return;
    }
    receiver->job.file = receiver->file;
    submit(receiver, DISK_CLOSE, NULL, on_closed);
}

static void advance(struct snapshot_receiver *receiver);

static void on_checked(struct disk_job *job)
{
    struct snapshot_receiver *receiver = job->owner;
    bool end = false;
    note(receiver, job->status);
    snapshot_stream_arrived(&receiver->stream, job->moved);
    if (receiver->status == STATUS_OK)
        note(receiver, snapshot_stream_take(&receiver->stream, job->moved, receiver->owner,
                                            receiver->consume, &end));
    if (receiver->status != STATUS_OK || receiver->cancelled || end) {
        close_file(receiver);
        return;
    }
    snapshot_stream_next(&receiver->stream, receiver->file, job);
    submit(receiver, DISK_READ, NULL, on_checked);
}

static void on_synced(struct disk_job *job)
{
    struct snapshot_receiver *receiver = job->owner;
    receiver->busy = false;
    note(receiver, job->status);
    receiver->synced = true;
    advance(receiver);
}

static void on_written(struct disk_job *job)
{
    struct snapshot_receiver *receiver = job->owner;
    receiver->busy = false;
    note(receiver, job->status);
    receiver->written += receiver->writing.size;
    buffer_clear(&receiver->writing);
    advance(receiver);
}

static void write_next(struct snapshot_receiver *receiver)
{
    struct buffer next = receiver->filling;
    receiver->filling = receiver->writing;
    receiver->writing = next;
    receiver->part = buffer_bytes(&receiver->writing);
    struct disk_job *job = &receiver->job;
    job->file = receiver->file;
    job->offset = receiver->written;
    job->parts = &receiver->part;
    job->parts_count = 1;
    job->sync = (job->offset + receiver->part.size) / SYNC_EVERY != job->offset / SYNC_EVERY;
    submit(receiver, DISK_WRITE, NULL, on_written);
}

/* The next thing to do, when no job is under way. */
static void advance(struct snapshot_receiver *receiver)
{
    if (receiver->busy)
        return;
    bool over = receiver->cancelled || receiver->ending;
    if (receiver->cancelled || receiver->status != STATUS_OK) {
        if (over)
            close_file(receiver);
        return;
    }
    if (receiver->filling.size > 0) {
        write_next(receiver);
        return;
    }
    if (!over)
        return;
    if (receiver->received != receiver->size) {
        note(receiver, STATUS_TRUNCATED);
        close_file(receiver);
    } else if (!receiver->synced && !planted(JOURNAL_RECEIVED_NOT_SYNCED)) {
        receiver->job.file = receiver->file;
        submit(receiver, DISK_SYNC, NULL, on_synced);
    } else {
        snapshot_stream_init(&receiver->stream, &receiver->config, receiver->slot);
        snapshot_stream_next(&receiver->stream, receiver->file, &receiver->job);
        submit(receiver, DISK_READ, NULL, on_checked);
    }
}

static void on_created(struct disk_job *job)
{
    struct snapshot_receiver *receiver = job->owner;
    receiver->busy = false;
    note(receiver, job->status);
    receiver->opened = job->status == STATUS_OK;
    receiver->file = job->file;
    advance(receiver);
}

static void on_cleared(struct disk_job *job)
{
    job->size = 0;
    submit(job->owner, DISK_CREATE, SNAPSHOT_SUFFIX_RECEIVING, on_created);
}

static void on_directory(struct disk_job *job)
{
    submit(job->owner, DISK_REMOVE, SNAPSHOT_SUFFIX_RECEIVING, on_cleared);
}

struct snapshot_receiver *snapshot_receive(const struct snapshot_config *config, uint64_t slot,
                                           uint64_t size)
{
    struct snapshot_receiver *receiver = mem_zero(config->mem, sizeof *receiver);
    receiver->config = *config;
    receiver->slot = slot;
    receiver->size = size;
    buffer_init(&receiver->filling, config->mem, size);
    buffer_init(&receiver->writing, config->mem, size);
    name_copy(receiver->job.name, SNAPSHOT_DIRECTORY);
    submit(receiver, DISK_MAKE_DIRECTORY, NULL, on_directory);
    return receiver;
}

uint64_t snapshot_receive_offset(const struct snapshot_receiver *receiver)
{
    return receiver->received;
}

uint64_t snapshot_receive_unwritten(const struct snapshot_receiver *receiver)
{
    return receiver->status == STATUS_OK ? receiver->received - receiver->written : 0;
}

bool snapshot_receive_failed(const struct snapshot_receiver *receiver)
{
    return receiver->status != STATUS_OK;
}

void snapshot_receive_chunk(struct snapshot_receiver *receiver, struct bytes bytes)
{
    ensure(!receiver->ending && !receiver->cancelled);
    if (bytes.size > receiver->size - receiver->received) {
        note(receiver, STATUS_INVALID);
        return;
    }
    receiver->received += bytes.size;
    if (receiver->status == STATUS_OK)
        buffer_append(&receiver->filling, bytes);
    advance(receiver);
}

void snapshot_receive_end(struct snapshot_receiver *receiver, void *owner,
                          enum status (*consume)(void *owner, struct bytes piece),
                          void (*done)(void *owner, enum status status,
                                       const struct snapshot_info *info))
{
    receiver->owner = owner;
    receiver->consume = consume;
    receiver->done = done;
    receiver->ending = true;
    advance(receiver);
}

void snapshot_receive_cancel(struct snapshot_receiver *receiver)
{
    receiver->cancelled = true;
    advance(receiver);
}
