/* Batch: the records that one write and one sync make durable together.
 *
 * The one invariant: the parts of a sealed batch, one after the other, are exactly the bytes that
 * scan.c takes for one batch; its size is a multiple of a sector, so that no later write touches a
 * sector that holds an acknowledged record. */
#include "base/crc32c.h"
#include "base/panic.h"
#include "journal/journal_internal.h"

#include <string.h>

/* Entries up to this size are copied: that costs less than one more part of the write, and a batch
 * of many small entries stays one batch. */
#define BATCH_COPY_MAX 2048u
#define BATCH_BUFFER_MAX (64u << 20)
#define BATCH_BUFFER_KEPT (256u << 10)

struct batch *batch_new(struct mem *mem)
{
    struct batch *batch = mem_zero(mem, sizeof *batch);
    buffer_init(&batch->buffer, mem, BATCH_BUFFER_MAX);
    return batch;
}

void batch_clear(struct batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++)
        blob_drop(batch->items[i].entry);
    if (batch->buffer.capacity > BATCH_BUFFER_KEPT)
        buffer_release(&batch->buffer);
    buffer_clear(&batch->buffer);
    batch->next = NULL;
    batch->count = 0;
    batch->entries = 0;
    batch->size = 0;
}

void batch_free(struct batch *batch)
{
    if (batch == NULL)
        return;
    struct mem *mem = batch->buffer.mem;
    batch_clear(batch);
    buffer_release(&batch->buffer);
    mem_free(mem, batch->items, batch->capacity * sizeof batch->items[0]);
    mem_free(mem, batch, sizeof *batch);
}

bool batch_full(const struct batch *batch, uint64_t size, uint64_t size_max)
{
    /* An entry needs a part for itself and one for the buffer behind it. */
    return batch->count > 0 &&
           (batch->size + size > size_max || 2 * batch->entries + 3 > DISK_PARTS_MAX);
}

static struct batch_item *batch_item_add(struct batch *batch)
{
    if (batch->count == batch->capacity) {
        uint32_t capacity = batch->capacity == 0 ? 16 : batch->capacity * 2;
        batch->items =
            mem_resize(batch->buffer.mem, batch->items, batch->capacity * sizeof batch->items[0],
                       capacity * sizeof batch->items[0]);
        batch->capacity = capacity;
    }
    return &batch->items[batch->count++];
}

static void batch_pad(struct batch *batch, uint64_t alignment)
{
    uint64_t size = record_align(batch->size, alignment);
    uint8_t *at = buffer_extend(&batch->buffer, size - batch->size);
    ensure(at != NULL);
    memset(at, 0, size - batch->size);
    batch->size = size;
}

uint64_t batch_add(struct batch *batch, const struct journal_record *record)
{
    struct bytes entry = blob_bytes(record->entry);
    bool copied = entry.size <= BATCH_COPY_MAX;
    struct batch_item *item = batch_item_add(batch);
    uint64_t before = batch->size;
    *item = (struct batch_item){
        .at = batch->buffer.size,
        .offset = before,
        .header = {.body_check = crc32c(crc32c(0, record->head), entry),
                   .length = (uint32_t)(RECORD_HEADER_SIZE + record->head.size + entry.size),
                   .head_size = (uint32_t)record->head.size,
                   .era = record->era,
                   .lsn = record->lsn,
                   .slot = record->slot,
                   .batch = batch->count - 1,
                   .type = record->type,
                   .flags = record->located ? RECORD_LOCATED : 0},
    };
    buffer_extend(&batch->buffer, RECORD_HEADER_SIZE);
    buffer_append(&batch->buffer, record->head);
    if (copied) {
        buffer_append(&batch->buffer, entry);
    } else {
        item->entry = blob_keep(record->entry);
        batch->entries++;
    }
    ensure(!batch->buffer.failed);
    item->tail = batch->buffer.size;
    batch->size += item->header.length;
    batch_pad(batch, RECORD_ALIGNMENT);
    return batch->size - before;
}

uint32_t batch_seal(struct batch *batch, uint32_t seed, uint32_t chain)
{
    ensure(batch->count > 0);
    batch->items[batch->count - 1].header.flags |= RECORD_LAST;
    batch_pad(batch, SECTOR_SIZE);
    for (uint32_t i = 0; i < batch->count; i++) {
        struct batch_item *item = &batch->items[i];
        item->header.previous = chain;
        record_header_encode(&item->header, seed, batch->buffer.data + item->at);
        chain = item->header.check;
    }
    return chain;
}

uint32_t batch_parts(const struct batch *batch, struct bytes *parts)
{
    const uint8_t *data = batch->buffer.data;
    uint32_t count = 0;
    size_t from = 0;
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct batch_item *item = &batch->items[i];
        if (item->entry == NULL)
            continue;
        parts[count++] = bytes_of(data + from, item->tail - from);
        parts[count++] = blob_bytes(item->entry);
        from = item->tail;
    }
    if (from < batch->buffer.size)
        parts[count++] = bytes_of(data + from, batch->buffer.size - from);
    ensure(count <= DISK_PARTS_MAX);
    return count;
}
