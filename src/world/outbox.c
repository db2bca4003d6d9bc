/* The outbox keeps two runs: copied bytes, and referenced entries with their place among them. The
 * vectors for the system are made from both when they are asked for, because the copied run moves
 * while it grows. */
#include "world/outbox.h"

#include "base/panic.h"
#include "world/frame.h"

/* Below this a copy costs less than one more vector. */
#define OUTBOX_COPY_MAX 512
#define OUTBOX_KEEP_MAX ((size_t)256 * 1024)

void outbox_init(struct outbox *outbox, struct mem *mem)
{
    *outbox = (struct outbox){.mem = mem};
    buffer_init(&outbox->copied, mem, SIZE_MAX / 2);
}

void outbox_release(struct outbox *outbox)
{
    outbox_clear(outbox);
    buffer_release(&outbox->copied);
    mem_free(outbox->mem, outbox->pieces, outbox->pieces_capacity * sizeof *outbox->pieces);
    mem_free(outbox->mem, outbox->vectors, outbox->vectors_capacity * sizeof *outbox->vectors);
    outbox_init(outbox, outbox->mem);
}

void outbox_clear(struct outbox *outbox)
{
    for (uint32_t i = 0; i < outbox->pieces_count; i++)
        blob_drop(outbox->pieces[i].entry);
    outbox->pieces_count = 0;
    outbox->size = 0;
    if (outbox->copied.capacity > OUTBOX_KEEP_MAX)
        buffer_release(&outbox->copied);
    else
        buffer_clear(&outbox->copied);
}

static void outbox_reference(struct outbox *outbox, struct blob *entry)
{
    if (outbox->pieces_count == outbox->pieces_capacity) {
        uint32_t capacity = outbox->pieces_capacity == 0 ? 16 : outbox->pieces_capacity * 2;
        outbox->pieces = mem_resize(outbox->mem, outbox->pieces,
                                    outbox->pieces_capacity * sizeof *outbox->pieces,
                                    capacity * sizeof *outbox->pieces);
        outbox->pieces_capacity = capacity;
    }
    outbox->pieces[outbox->pieces_count++] =
        (struct outbox_piece){outbox->copied.size, blob_keep(entry)};
}

void outbox_add(struct outbox *outbox, struct bytes head, struct blob *entry)
{
    struct bytes body = blob_bytes(entry);
    uint8_t header[FRAME_HEADER_SIZE];
    frame_encode_header(head, body, header);
    buffer_append(&outbox->copied, bytes_of(header, sizeof header));
    buffer_append(&outbox->copied, head);
    if (body.size <= OUTBOX_COPY_MAX)
        buffer_append(&outbox->copied, body);
    else
        outbox_reference(outbox, entry);
    ensure(!outbox->copied.failed);
    outbox->size += sizeof header + head.size + body.size;
}

/* Adds what is left of the bytes after skipping, and counts the skip down. */
static void outbox_vector(struct outbox *outbox, unsigned *count, struct bytes bytes,
                          size_t *skipped)
{
    size_t skip = *skipped < bytes.size ? *skipped : bytes.size;
    *skipped -= skip;
    if (bytes.size > skip) {
        uv_buf_t *vector = &outbox->vectors[(*count)++];
        vector->base = (char *)(uintptr_t)(bytes.data + skip);
        vector->len = bytes.size - skip;
    }
}

static struct bytes outbox_copied(const struct outbox *outbox, size_t begin, size_t end)
{
    return begin == end ? BYTES_EMPTY : bytes_of(outbox->copied.data + begin, end - begin);
}

uv_buf_t *outbox_vectors(struct outbox *outbox, size_t skipped, unsigned *ret_count)
{
    uint32_t needed = outbox->pieces_count * 2 + 1;
    if (needed > outbox->vectors_capacity) {
        outbox->vectors = mem_resize(outbox->mem, outbox->vectors,
                                     outbox->vectors_capacity * sizeof *outbox->vectors,
                                     needed * sizeof *outbox->vectors);
        outbox->vectors_capacity = needed;
    }
    unsigned count = 0;
    size_t at = 0;
    for (uint32_t i = 0; i < outbox->pieces_count; i++) {
        const struct outbox_piece *piece = &outbox->pieces[i];
        outbox_vector(outbox, &count, outbox_copied(outbox, at, piece->copied_end), &skipped);
        outbox_vector(outbox, &count, blob_bytes(piece->entry), &skipped);
        at = piece->copied_end;
    }
    outbox_vector(outbox, &count, outbox_copied(outbox, at, outbox->copied.size), &skipped);
    *ret_count = count;
    return outbox->vectors;
}
