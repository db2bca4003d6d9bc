/* Reading entries back, for peers that lag: consecutive slots, a stretch of a segment at a time, on
 * the bulk queue.
 *
 * The one invariant: what is handed out was at its slot's position when it was verified: durable,
 * and whole by its own checksums. A segment may be trimmed while it is being read; then its slots
 * have no position any more, and the read ends before them. */
#include "base/crc32c.h"
#include "base/planted.h"
#include "journal/journal_internal.h"

#include <string.h>

#define STRETCH_MIN (64u << 10)
#define STRETCH_MAX (1u << 20)

struct reading {
    struct journal *journal;
    struct journal_read *read;
    struct disk_job job;
    uint64_t segment; /* the stretch in memory */
    uint64_t offset;
    uint64_t size;
    uint8_t *stretch;
    uint64_t capacity;
    struct journal_entry *entries; /* until the end only the sizes of their heads are known */
    struct buffer heads;           /* one after the other */
    uint32_t count;
    uint64_t bytes;
};

static void reading_end(struct reading *reading, enum status status)
{
    struct journal_read *read = reading->read;
    struct mem *mem = reading->journal->config.mem;
    if (reading->count > 0 && status == STATUS_NOT_FOUND)
        status = STATUS_OK;
    uint32_t count = status == STATUS_OK ? reading->count : 0;
    const uint8_t *head = reading->heads.data;
    for (uint32_t i = 0; i < count; i++) {
        reading->entries[i].head.data = head;
        head += reading->entries[i].head.size;
    }
    read->done(read, status, reading->entries, count);
    for (uint32_t i = 0; i < reading->count; i++)
        blob_drop(reading->entries[i].entry);
    buffer_release(&reading->heads);
    mem_free(mem, reading->entries, read->count_max * sizeof reading->entries[0]);
    mem_free(mem, reading->stretch, reading->capacity);
    mem_free(mem, reading, sizeof *reading);
}

static void reading_step(struct reading *reading);

static void on_stretch(struct disk_job *job)
{
    struct reading *reading = job->owner;
    reading->size = job->moved;
    if (job->status != STATUS_OK)
        reading_end(reading, job->status);
    else if (job->moved < job->size)
        reading_end(reading, STATUS_CORRUPT); /* the file has become shorter */
    else
        reading_step(reading);
}

static void stretch_fetch(struct reading *reading, const struct segment *segment, uint64_t offset,
                          uint64_t size)
{
    struct journal *journal = reading->journal;
    if (size > segment->size - offset)
        size = segment->size - offset;
    if (size > reading->capacity) {
        mem_free(journal->config.mem, reading->stretch, reading->capacity);
        reading->stretch = mem_alloc(journal->config.mem, size);
        reading->capacity = size;
    }
    reading->segment = segment->number;
    reading->offset = offset;
    reading->size = 0;
    reading->job = (struct disk_job){
        .op = DISK_READ,
        .file = segment->file,
        .offset = offset,
        .into = reading->stretch,
        .size = size,
        .done = on_stretch,
        .owner = reading,
    };
    journal->config.world->ops->disk_submit(journal->config.world, DISK_QUEUE_BULK, &reading->job);
}

/* So much in one go as the request may need: many small reads cost more than one larger. */
static uint64_t stretch_size(const struct reading *reading)
{
    uint64_t wanted = reading->read->bytes_max - reading->bytes;
    if (wanted < STRETCH_MIN)
        return STRETCH_MIN;
    return wanted > STRETCH_MAX ? STRETCH_MAX : wanted;
}

/* Verifies the record at `at`, of which `left` bytes are in memory. TRUNCATED: ret_size bytes are
 * needed. */
static enum status take_entry(struct reading *reading, const struct segment *segment,
                              const uint8_t *at, uint64_t left, uint64_t slot, uint64_t *ret_size)
{
    struct record_header header;
    *ret_size = RECORD_HEADER_SIZE;
    if (left < RECORD_HEADER_SIZE)
        return STATUS_TRUNCATED;
    if (!record_header_decode(at, segment->seed, &header) || header.slot != slot)
        return STATUS_CORRUPT;
    *ret_size = header.length;
    if (left < header.length)
        return STATUS_TRUNCATED;
    struct bytes body = bytes_of(at + RECORD_HEADER_SIZE, header.length - RECORD_HEADER_SIZE);
    if (crc32c(0, body) != header.body_check && !planted(JOURNAL_READ_UNCHECKED))
        return STATUS_CORRUPT;
    struct bytes entry = bytes_of(body.data + header.head_size, body.size - header.head_size);
    buffer_append(&reading->heads, bytes_of(body.data, header.head_size));
    struct journal_entry *taken = &reading->entries[reading->count++];
    taken->head.size = header.head_size;
    taken->entry = entry.size > 0 ? blob_copy(reading->journal->config.mem, entry) : NULL;
    reading->bytes += entry.size;
    return STATUS_OK;
}

static void reading_step(struct reading *reading)
{
    const struct journal_read *read = reading->read;
    enum status status = STATUS_OK;
    while (reading->count < read->count_max &&
           (reading->count == 0 || reading->bytes < read->bytes_max)) {
        uint64_t slot = read->slot + reading->count;
        struct position position = positions_get(&reading->journal->positions, slot);
        const struct segment *segment = journal_segment(reading->journal, position.segment);
        if (position.segment == 0 || segment == NULL) {
            status = STATUS_NOT_FOUND;
            break;
        }
        uint64_t size = stretch_size(reading);
        uint64_t skip = position.offset - reading->offset;
        bool inside = segment->number == reading->segment && position.offset >= reading->offset &&
                      skip < reading->size;
        uint64_t needed = 0;
        status = STATUS_TRUNCATED;
        if (inside)
            status = take_entry(reading, segment, reading->stretch + skip, reading->size - skip,
                                slot, &needed);
        /* A stretch fetched for an earlier slot may be older than this record. */
        bool stale = status == STATUS_CORRUPT && skip > 0;
        if (stale || (status == STATUS_TRUNCATED && needed <= segment->size - position.offset)) {
            stretch_fetch(reading, segment, position.offset, needed > size ? needed : size);
            return;
        }
        if (status != STATUS_OK) {
            status = STATUS_CORRUPT;
            break;
        }
    }
    reading_end(reading, status);
}

void journal_read(struct journal *journal, struct journal_read *read)
{
    if (read->count_max == 0 || positions_get(&journal->positions, read->slot).segment == 0) {
        read->done(read, STATUS_NOT_FOUND, NULL, 0);
        return;
    }
    struct reading *reading = mem_zero(journal->config.mem, sizeof *reading);
    reading->journal = journal;
    reading->read = read;
    reading->entries = mem_zero(journal->config.mem, read->count_max * sizeof reading->entries[0]);
    buffer_init(&reading->heads, journal->config.mem, SIZE_MAX);
    reading_step(reading);
}
