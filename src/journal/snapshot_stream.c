/* Reading a snapshot through its checks; see snapshot_internal.h.
 *
 * The one invariant: content is handed on only after the check of its block, and the end is
 * reported only when the footer agrees and nothing follows it. */
#include "journal/snapshot_internal.h"

#include "base/panic.h"

#include <string.h>

void snapshot_stream_init(struct snapshot_stream *stream, const struct snapshot_config *config,
                          uint64_t slot)
{
    *stream =
        (struct snapshot_stream){.mem = config->mem, .cluster = config->cluster, .slot = slot};
    stream->data = disk_pages_alloc(config->mem, SNAPSHOT_STREAM_SIZE);
}

void snapshot_stream_release(struct snapshot_stream *stream)
{
    disk_pages_free(stream->mem, stream->data, SNAPSHOT_STREAM_SIZE);
    stream->data = NULL;
}

void snapshot_stream_next(const struct snapshot_stream *stream, int file, struct disk_job *job)
{
    job->op = DISK_READ;
    job->file = file;
    job->offset = stream->offset;
    job->into = stream->data + SNAPSHOT_STREAM_LEAD;
    job->size = SNAPSHOT_STREAM_PIECE;
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
    stream->offset += moved;
    uint8_t *piece = stream->data + SNAPSHOT_STREAM_LEAD;
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
    memmove(piece - left.size, left.data, left.size);
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
    while (!end) {
        struct disk_job job = {0};
        snapshot_stream_next(stream, file, &job);
        enum status status = disk_run(world, &job);
        if (status == STATUS_OK)
            status = snapshot_stream_take(stream, job.moved, owner, consume, &end);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}
