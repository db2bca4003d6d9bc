/* Reading a snapshot through its checks; see snapshot_internal.h.
 *
 * The one invariant: content is handed on only after the check of its block, and the end is
 * reported only when the footer agrees and nothing follows it. */
#include "journal/snapshot_internal.h"

#include "base/panic.h"

#include <string.h>

#define STREAM_PLACE (SNAPSHOT_STREAM_LEAD + SNAPSHOT_STREAM_PIECE)
#define STREAM_SIZE (2 * STREAM_PLACE)

/* Where the piece of this number is in memory. */
static uint8_t *stream_piece(const struct snapshot_stream *stream, uint32_t number)
{
    return stream->data + number % 2 * STREAM_PLACE + SNAPSHOT_STREAM_LEAD;
}

void snapshot_stream_init(struct snapshot_stream *stream, const struct snapshot_config *config,
                          uint64_t slot)
{
    *stream =
        (struct snapshot_stream){.mem = config->mem, .cluster = config->cluster, .slot = slot};
    stream->data = disk_pages_alloc(config->mem, STREAM_SIZE);
}

void snapshot_stream_release(struct snapshot_stream *stream)
{
    disk_pages_free(stream->mem, stream->data, STREAM_SIZE);
    stream->data = NULL;
}

void snapshot_stream_next(const struct snapshot_stream *stream, int file, struct disk_job *job)
{
    job->op = DISK_READ;
    job->file = file;
    job->offset = stream->offset;
    job->into = stream_piece(stream, stream->arrived);
    job->size = SNAPSHOT_STREAM_PIECE;
    job->direct = true;
}

void snapshot_stream_arrived(struct snapshot_stream *stream, uint64_t moved)
{
    stream->offset += moved;
    stream->arrived++;
}

static enum status check_identity(const struct snapshot_stream *stream)
{
    if (stream->check.expected == SNAPSHOT_PART_HEADER)
        return STATUS_OK;
    if (stream->check.header.cluster != stream->cluster)
        return STATUS_MISMATCH;
    return stream->check.header.slot == stream->slot ? STATUS_OK : STATUS_CORRUPT;
}

enum status snapshot_stream_take(struct snapshot_stream *stream, uint64_t moved, void *owner,
                                 snapshot_consume_fn consume, bool *ret_end)
{
    *ret_end = false;
    const uint8_t *piece = stream_piece(stream, stream->arrived - 1);
    struct bytes left = bytes_of(piece - stream->held, stream->held + moved);
    size_t used = 1;
    while (used > 0) {
        struct bytes content;
        enum status status = snapshot_check_take(&stream->check, left, &used, &content);
        if (status == STATUS_OK)
            status = check_identity(stream);
        if (status == STATUS_OK && content.size > 0 && consume != NULL)
            status = consume(owner, content);
        if (status != STATUS_OK)
            return status;
        left = bytes_of(left.data + used, left.size - used);
    }
    ensure(left.size <= SNAPSHOT_STREAM_LEAD);
    stream->held = left.size;
    memcpy(stream_piece(stream, stream->arrived) - left.size, left.data, left.size);
    *ret_end = moved == 0 && stream->check.expected == SNAPSHOT_PART_END;
    /* The file ends, its content does not. */
    return moved == 0 && !*ret_end ? STATUS_CORRUPT : STATUS_OK;
}

struct snapshot_info snapshot_stream_info(const struct snapshot_stream *stream)
{
    const struct snapshot_header *header = &stream->check.header;
    return (struct snapshot_info){
        .slot = stream->slot, .era = header->era, .size = stream->offset, .mark = header->mark};
}

enum status snapshot_stream_run(struct snapshot_stream *stream, struct world *world, int file,
                                void *owner, snapshot_consume_fn consume)
{
    bool end = false;
    struct disk_job jobs[2] = {{0}};
    struct disk_job *job = &jobs[0];
    snapshot_stream_next(stream, file, job);
    enum status status = disk_run(world, job);
    while (status == STATUS_OK && !end) {
        uint64_t moved = job->moved;
        snapshot_stream_arrived(stream, moved);
        /* One piece is read while the one before it is looked at. */
        job = &jobs[stream->arrived % 2];
        snapshot_stream_next(stream, file, job);
        if (moved > 0)
            disk_ahead(world, job);
        status = snapshot_stream_take(stream, moved, owner, consume, &end);
        enum status next = moved > 0 ? disk_run(world, job) : STATUS_OK;
        if (status == STATUS_OK)
            status = next;
    }
    return status;
}
