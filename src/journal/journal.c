/* The journal's write path: records queue in batches, one batch is written and synced at a time,
 * and what it held is then durable. Also trimming, and the plain questions.
 *
 * The one invariant: lsn_durable moves only in on_written, and only after a synced write; once
 * `failed` is set it never moves again. */
#include "journal/journal.h"

#include "base/panic.h"
#include "base/planted.h"
#include "journal/journal_internal.h"

#include <string.h>

/* A batch stays small enough that its sync does not hold up the next one for long. */
#define BATCH_SIZE_MAX (2u << 20)
#define SYNC_BUCKET_NS 100000u /* the first bucket: 0.1 ms */

struct segment *journal_active(const struct journal *journal)
{
    ensure(journal->segments_count > 0);
    return &journal->segments[journal->segments_count - 1];
}

struct segment *journal_segment(const struct journal *journal, uint64_t number)
{
    uint64_t first = journal->segments_count > 0 ? journal->segments[0].number : 0;
    if (number < first || number - first >= journal->segments_count)
        return NULL;
    return &journal->segments[number - first];
}

void journal_segment_add(struct journal *journal, const struct segment *segment)
{
    ensure(journal->segments_count == 0 || journal_active(journal)->number + 1 == segment->number);
    if (journal->segments_count == journal->segments_capacity) {
        uint32_t capacity = journal->segments_capacity == 0 ? 8 : journal->segments_capacity * 2;
        journal->segments =
            mem_resize(journal->config.mem, journal->segments,
                       journal->segments_capacity * sizeof *segment, capacity * sizeof *segment);
        journal->segments_capacity = capacity;
    }
    journal->segments[journal->segments_count++] = *segment;
    journal->stats.segments++;
    journal->stats.disk_bytes += segment->size;
}

static void journal_release(struct journal *journal)
{
    struct mem *mem = journal->config.mem;
    for (uint32_t i = 0; i < journal->segments_count; i++)
        disk_close_now(journal->config.world, journal->segments[i].file);
    enum spare_state spare = journal->spare.state;
    if (spare == SPARE_WRITING || spare == SPARE_NAMING || spare == SPARE_READY)
        disk_close_now(journal->config.world, journal->spare.segment.file);
    while (journal->batch_first != NULL) {
        struct batch *batch = journal->batch_first;
        journal->batch_first = batch->next;
        batch_free(batch);
    }
    batch_free(journal->batch_idle);
    batch_free(journal->flying);
    while (journal->removals != NULL) {
        struct removal *removal = journal->removals;
        journal->removals = removal->next;
        mem_free(mem, removal, sizeof *removal);
    }
    positions_release(&journal->positions);
    mem_free(mem, journal->segments, journal->segments_capacity * sizeof journal->segments[0]);
    mem_free(mem, journal, sizeof *journal);
}

enum status journal_open(const struct journal_config *config, journal_replay_fn replay,
                         struct text *error, struct journal **ret_journal)
{
    *ret_journal = NULL;
    /* A segment holds its header and at least the largest record, alone in a batch. */
    uint64_t room = config->segment_size < SEGMENT_RECORDS_AT + SECTOR_SIZE + RECORD_HEADER_SIZE
                        ? 0
                        : config->segment_size - SEGMENT_RECORDS_AT - SECTOR_SIZE;
    if (config->segment_size % SEGMENT_RECORDS_AT != 0 || config->segment_size > SEGMENT_SIZE_MAX ||
        room < RECORD_HEADER_SIZE || room - RECORD_HEADER_SIZE < config->record_size_max) {
        text_add(error, "the size of log segments must be a multiple of 4096, at most 1 GiB, and "
                        "leave room for the largest record");
        return STATUS_INVALID;
    }
    struct journal *journal = mem_zero(config->mem, sizeof *journal);
    journal->config = *config;
    journal->removals_end = &journal->removals;
    positions_init(&journal->positions, config->mem);
    enum status status = journal_recover(journal, replay, error);
    if (status != STATUS_OK) {
        journal_release(journal);
        return status;
    }
    journal->batch_first = journal->batch_last = batch_new(config->mem);
    spare_prepare(journal);
    *ret_journal = journal;
    return STATUS_OK;
}

void journal_close(struct journal *journal)
{
    if (journal != NULL)
        journal_release(journal);
}

void journal_fail(struct journal *journal, const char *doing, const struct disk_job *job)
{
    if (journal->failed)
        return;
    journal->failed = true;
    struct text text = text_of(journal->failure, sizeof journal->failure);
    text_add(&text, doing);
    text_add(&text, ": ");
    disk_explain(&text, job);
    journal->config.on_failure(journal->config.owner, job->status, journal->failure);
}

static uint64_t batch_size_max(const struct journal *journal)
{
    uint64_t room = journal->config.segment_size - SEGMENT_RECORDS_AT;
    return room < BATCH_SIZE_MAX ? room : BATCH_SIZE_MAX;
}

static struct batch *batch_get(struct journal *journal)
{
    struct batch *batch = journal->batch_idle;
    journal->batch_idle = NULL;
    return batch != NULL ? batch : batch_new(journal->config.mem);
}

static void batch_put(struct journal *journal, struct batch *batch)
{
    batch_clear(batch);
    if (journal->batch_idle == NULL)
        journal->batch_idle = batch;
    else
        batch_free(batch);
}

uint64_t journal_append(struct journal *journal, const struct journal_record *record)
{
    uint64_t size = record->head.size + blob_bytes(record->entry).size;
    ensure(size <= journal->config.record_size_max);
    ensure(!record->located || record->slot > 0);
    struct journal_record numbered = *record;
    numbered.lsn = ++journal->lsn_last;
    if (journal->failed)
        return numbered.lsn;
    uint64_t padded = record_align(RECORD_HEADER_SIZE + size, SECTOR_SIZE);
    if (batch_full(journal->batch_last, padded, batch_size_max(journal))) {
        struct batch *batch = batch_get(journal);
        journal->batch_last->next = batch;
        journal->batch_last = batch;
    }
    journal->pending_bytes += batch_add(journal->batch_last, &numbered);
    return numbered.lsn;
}

void journal_flush(struct journal *journal)
{
    journal_write_next(journal);
}

static void note_sync(struct journal_stats *stats, uint64_t took_ns)
{
    uint32_t bucket = 0;
    uint32_t last = sizeof stats->sync_buckets / sizeof stats->sync_buckets[0] - 1;
    while (bucket < last && took_ns >= (uint64_t)SYNC_BUCKET_NS << bucket)
        bucket++;
    stats->syncs++;
    stats->sync_ns_last = took_ns;
    stats->sync_ns_total += took_ns;
    stats->sync_buckets[bucket]++;
}

/* Everything in the batch is durable now. */
static void note_batch(struct journal *journal, const struct batch *batch)
{
    struct segment *segment = journal_active(journal);
    for (uint32_t i = 0; i < batch->count; i++) {
        const struct batch_item *item = &batch->items[i];
        const struct record_header *header = &item->header;
        struct position position = {segment->number, segment->used + item->offset};
        if (header->flags & RECORD_LOCATED)
            positions_put(&journal->positions, header->slot, position);
        if (header->slot > segment->slot_max)
            segment->slot_max = header->slot;
        segment->lsn_last = header->lsn;
    }
    segment->used += batch->size;
    journal->lsn_durable = planted(JOURNAL_DURABLE_AHEAD) ? journal->lsn_last : segment->lsn_last;
    journal->stats.records += batch->count;
    journal->stats.bytes += batch->size;
    if (batch->count > journal->stats.batch_records_max)
        journal->stats.batch_records_max = batch->count;
}

static void on_written(struct disk_job *job)
{
    struct journal *journal = job->owner;
    struct batch *batch = journal->flying;
    if (planted(JOURNAL_SYNC_RETRIED) && job->status != STATUS_OK && !journal->failed) {
        job->op = DISK_SYNC;
        journal->config.world->ops->disk_submit(journal->config.world, DISK_QUEUE_LOG, job);
        return;
    }
    journal->flying = NULL;
    if (job->status != STATUS_OK || journal->failed) {
        batch_free(batch);
        /* After a failed sync the system forgets which pages were not written, and a second sync
         * would succeed without them: what it says now cannot be believed. */
        if (job->status != STATUS_OK)
            journal_fail(journal, "cannot write the log", job);
        return;
    }
    note_sync(&journal->stats, job->took_ns);
    note_batch(journal, batch);
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < batch->count; i++)
        bytes += record_align(batch->items[i].header.length, RECORD_ALIGNMENT);
    journal->pending_bytes -= bytes;
    batch_put(journal, batch);
    uint64_t durable = journal->lsn_durable;
    journal_write_next(journal);
    journal->config.on_durable(journal->config.owner, durable);
}

/* Makes room for a batch of this size; false: it has to wait for the spare. */
static bool room_for(struct journal *journal, uint64_t size)
{
    struct segment *active = journal_active(journal);
    if (active->used + size <= active->size)
        return true;
    journal->waiting = journal->spare.state != SPARE_READY;
    if (journal->waiting) {
        spare_prepare(journal);
        return false;
    }
    struct segment segment = spare_take(journal);
    journal_segment_add(journal, &segment);
    spare_prepare(journal);
    return true;
}

void journal_write_next(struct journal *journal)
{
    struct batch *batch = journal->batch_first;
    if (journal->failed || journal->flying != NULL || batch->count == 0)
        return;
    if (!room_for(journal, record_align(batch->size, SECTOR_SIZE)))
        return;
    journal->batch_first = batch->next;
    if (journal->batch_first == NULL)
        journal->batch_first = journal->batch_last = batch_get(journal);
    batch->next = NULL;
    struct segment *segment = journal_active(journal);
    journal->chain = batch_seal(batch, segment->seed, journal->chain);
    journal->flying = batch;
    journal->write_job = (struct disk_job){
        .op = DISK_WRITE,
        .file = segment->file,
        .offset = segment->used,
        .parts = journal->write_parts,
        .parts_count = batch_parts(batch, journal->write_parts),
        .sync = !planted(JOURNAL_WRITE_NOT_SYNCED),
        .done = on_written,
        .owner = journal,
    };
    name_format(journal->write_job.name, LOG_DIRECTORY, segment->number, LOG_SUFFIX);
    journal->config.world->ops->disk_submit(journal->config.world, DISK_QUEUE_LOG,
                                            &journal->write_job);
}

uint64_t journal_durable(const struct journal *journal)
{
    return journal->lsn_durable;
}

uint64_t journal_last(const struct journal *journal)
{
    return journal->lsn_last;
}

uint64_t journal_pending_bytes(const struct journal *journal)
{
    return journal->pending_bytes;
}

uint64_t journal_first_slot(const struct journal *journal)
{
    return positions_first(&journal->positions);
}

void journal_stats(const struct journal *journal, struct journal_stats *ret_stats)
{
    *ret_stats = journal->stats;
}
