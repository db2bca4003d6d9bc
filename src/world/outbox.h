/* Outbox: frames on their way into one socket, gathered for few and large writes.
 *
 * Headers, heads and small entries are copied side by side; a large entry is referenced until the
 * system has taken it. The one invariant: bytes leave in the order in which frames were added. */
#ifndef SYNOD_WORLD_OUTBOX_H
#define SYNOD_WORLD_OUTBOX_H

#include "base/blob.h"
#include "base/buffer.h"

#include <uv.h>

/* A referenced entry, which comes after the first `copied_end` copied bytes. */
struct outbox_piece {
    size_t copied_end;
    struct blob *entry;
};

struct outbox {
    struct mem *mem;
    struct buffer copied;
    struct outbox_piece *pieces;
    uint32_t pieces_count;
    uint32_t pieces_capacity;
    size_t size; /* bytes in all */
    uv_buf_t *vectors;
    uint32_t vectors_capacity;
};

void outbox_init(struct outbox *outbox, struct mem *mem);
void outbox_release(struct outbox *outbox);
/* Drops the frames; keeps modest memory for the next ones. */
void outbox_clear(struct outbox *outbox);
/* Copies the head, keeps the entry. */
void outbox_add(struct outbox *outbox, struct bytes head, struct blob *entry);
/* The bytes after the first `skipped`, as vectors that are valid until the next change. */
uv_buf_t *outbox_vectors(struct outbox *outbox, size_t skipped, unsigned *ret_count);

#endif
