/* Recovery: what journal_open does before the first record is written. Everything here is
 * synchronous.
 *
 * The one invariant: when it ends with OK, what was replayed is durable even if the power goes now,
 * and behind it the log holds nothing but zeros. A process that died may have left its last batch
 * in the page cache only, or after a failed sync in pages that the system believes to be clean; so
 * the last batch is written and synced once more, together with zeros over whatever a torn batch
 * left behind. */
#include "journal/journal_internal.h"

#include "base/planted.h"
#include "journal/scan.h"

#include <string.h>

/* The first segment of a new log is small, so that a new member answers at once; the next one has
 * the configured size and is made in the background. */
#define FIRST_SEGMENT_SIZE (1u << 20)

enum file_kind {
    FILE_SEGMENT,
    FILE_UNFINISHED, /* a segment that was being made */
    FILE_FLOOR,      /* its number is a slot; see trim.c */
};

struct file_number {
    uint64_t number;
    enum file_kind kind;
};

/* A segment on its way from the disk. */
struct reading {
    uint64_t number;
    struct disk_job job;
    uint8_t *image;
    uint64_t capacity;
};

struct recovery {
    struct journal *journal;
    journal_replay_fn replay;
    struct text *error;
    struct scan scan;
    struct segment current;     /* being scanned */
    struct buffer segments;     /* uint64_t each, in rising order */
    struct buffer others;       /* of struct file_number */
    struct reading readings[2]; /* one is read while the one before it is scanned */
};

static enum status explain(struct recovery *recovery, const char *doing, const struct disk_job *job)
{
    text_add(recovery->error, doing);
    text_add(recovery->error, ": ");
    disk_explain(recovery->error, job);
    return job->status;
}

static enum status run(struct recovery *recovery, const char *doing, struct disk_job *job)
{
    if (disk_run(recovery->journal->config.world, job) == STATUS_OK)
        return STATUS_OK;
    return explain(recovery, doing, job);
}

static const char *const suffixes[] = {LOG_SUFFIX, LOG_SUFFIX_NEW, LOG_SUFFIX_FLOOR};

static void on_listed(void *owner, const char *name)
{
    struct recovery *recovery = owner;
    struct journal *journal = recovery->journal;
    struct file_number file = {.kind = FILE_SEGMENT};
    while (!name_number(name, suffixes[file.kind], &file.number))
        if (file.kind++ == FILE_FLOOR)
            return;
    if (file.kind == FILE_FLOOR && file.number > journal->floor)
        journal->floor = file.number;
    if (file.kind == FILE_SEGMENT)
        buffer_append(&recovery->segments, bytes_of(&file.number, sizeof file.number));
    else
        buffer_append(&recovery->others, bytes_of(&file, sizeof file));
}

static void on_record(void *owner, const struct scan_record *found)
{
    struct recovery *recovery = owner;
    struct journal *journal = recovery->journal;
    const struct record_header *header = &found->header;
    struct journal_record record = {
        .lsn = header->lsn,
        .type = header->type,
        .located = (header->flags & RECORD_LOCATED) != 0,
        .era = header->era,
        .slot = header->slot,
        .head = found->head,
    };
    if (record.located)
        positions_put(&journal->positions, header->slot,
                      (struct position){found->segment, found->offset});
    if (header->slot > recovery->current.slot_max)
        recovery->current.slot_max = header->slot;
    recovery->current.lsn_last = header->lsn;
    if (found->entry.size > 0)
        record.entry = blob_copy(journal->config.mem, found->entry);
    recovery->replay(journal->config.owner, &record);
    blob_drop(record.entry);
}

static void reading_reserve(struct recovery *recovery, struct reading *reading, uint64_t size)
{
    struct mem *mem = recovery->journal->config.mem;
    if (size <= reading->capacity)
        return;
    disk_pages_free(mem, reading->image, reading->capacity);
    reading->image = disk_pages_alloc(mem, size);
    reading->capacity = size;
}

/* Opens a segment and begins to read it. What fails is told when it is its turn. */
static void reading_begin(struct recovery *recovery, struct reading *reading, uint64_t number)
{
    struct world *world = recovery->journal->config.world;
    struct disk_job *job = &reading->job;
    reading->number = number;
    *job = (struct disk_job){.op = DISK_OPEN};
    name_format(job->name, LOG_DIRECTORY, number, LOG_SUFFIX);
    if (disk_run(world, job) != STATUS_OK)
        return;
    if (job->size > SEGMENT_SIZE_MAX)
        job->size = SEGMENT_HEADER_SIZE;
    reading_reserve(recovery, reading, job->size);
    job->op = DISK_READ;
    job->into = reading->image;
    job->direct = true;
    disk_ahead(world, job);
}

static enum status reading_end(struct recovery *recovery, struct reading *reading)
{
    struct disk_job *job = &reading->job;
    if (job->op == DISK_OPEN)
        return explain(recovery, "cannot open the log", job);
    enum status status = run(recovery, "cannot read the log", job);
    if (status != STATUS_OK)
        disk_close_now(recovery->journal->config.world, job->file);
    return status;
}

/* The segment behind one that was refused. */
static void reading_drop(struct recovery *recovery, struct reading *reading)
{
    struct world *world = recovery->journal->config.world;
    if (reading->job.op == DISK_OPEN)
        return;
    (void)!disk_run(world, &reading->job);
    disk_close_now(world, reading->job.file);
}

static enum status recover_segment(struct recovery *recovery, const struct reading *reading)
{
    struct journal *journal = recovery->journal;
    const struct disk_job *job = &reading->job;
    recovery->current =
        (struct segment){.number = reading->number, .file = job->file, .size = job->size};
    struct segment_header header = {0};
    enum status status = scan_segment(&recovery->scan, reading->number,
                                      bytes_of(reading->image, job->moved), &header);
    if (status != STATUS_OK) {
        disk_close_now(journal->config.world, job->file);
        return status;
    }
    recovery->current.seed = header.seed;
    recovery->current.used = SEGMENT_RECORDS_AT;
    journal_segment_add(journal, &recovery->current);
    return STATUS_OK;
}

static enum status recover_segments(struct recovery *recovery)
{
    uint64_t count = recovery->segments.size / sizeof(uint64_t);
    const uint8_t *numbers = recovery->segments.data;
    if (count > 0)
        reading_begin(recovery, &recovery->readings[0], load_u64(numbers));
    enum status status = STATUS_OK;
    for (uint64_t i = 0; i < count && status == STATUS_OK; i++) {
        struct reading *next = &recovery->readings[(i + 1) % 2];
        bool more = i + 1 < count;
        status = reading_end(recovery, &recovery->readings[i % 2]);
        if (status != STATUS_OK)
            break;
        if (more)
            reading_begin(recovery, next, load_u64(numbers + (i + 1) * sizeof(uint64_t)));
        status = recover_segment(recovery, &recovery->readings[i % 2]);
        if (status != STATUS_OK && more)
            reading_drop(recovery, next);
    }
    return status;
}

static enum status remove_now(struct recovery *recovery, uint64_t number, const char *suffix)
{
    struct disk_job job = {.op = DISK_REMOVE};
    name_format(job.name, LOG_DIRECTORY, number, suffix);
    return run(recovery, "cannot remove an unused file of the log", &job);
}

/* What is no use any more. */
static enum status remove_others(struct recovery *recovery)
{
    enum status status = STATUS_OK;
    for (uint64_t at = 0; at < recovery->others.size && status == STATUS_OK;) {
        struct file_number file;
        memcpy(&file, recovery->others.data + at, sizeof file);
        at += sizeof file;
        if (file.kind == FILE_UNFINISHED || file.number != recovery->journal->floor)
            status = remove_now(recovery, file.number, suffixes[file.kind]);
    }
    return status;
}

/* What was promised about slots that were trimmed is kept by the snapshot alone. */
static enum status check_floor(struct recovery *recovery)
{
    const struct journal *journal = recovery->journal;
    if (journal->floor <= journal->config.snapshot_slot || planted(JOURNAL_FLOOR_IGNORED))
        return STATUS_OK;
    text_add(recovery->error, "the log was trimmed up to slot ");
    text_u64(recovery->error, journal->floor);
    text_add(recovery->error, ", but the newest snapshot that can be read ");
    if (journal->config.snapshot_slot == 0) {
        text_add(recovery->error, "is gone.");
    } else {
        text_add(recovery->error, "ends at slot ");
        text_u64(recovery->error, journal->config.snapshot_slot);
        text_add(recovery->error, ".");
    }
    text_add(recovery->error, scan_remedy);
    return STATUS_CORRUPT;
}

static enum status recover_records(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    scan_init(&recovery->scan, recovery, on_record, recovery->error);
    recovery->scan.cluster = journal->config.cluster;
    recovery->scan.member = journal->config.member;
    enum status status = recover_segments(recovery);
    if (status == STATUS_OK)
        status = remove_others(recovery);
    return status == STATUS_OK ? scan_finish(&recovery->scan) : status;
}

/* Segments behind the end hold nothing, or a torn batch: they go, the last one first, so that the
 * numbers stay consecutive. */
static enum status remove_unused(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    while (journal->segments_count > 0) {
        const struct segment *segment = journal_active(journal);
        if (segment->number == recovery->scan.tail_segment)
            break;
        enum status status = remove_now(recovery, segment->number, LOG_SUFFIX);
        if (status != STATUS_OK)
            return status;
        disk_close_now(journal->config.world, segment->file);
        journal->stats.segments--;
        journal->stats.disk_bytes -= segment->size;
        journal->segments_count--;
    }
    return STATUS_OK;
}

static enum status write_tail(struct recovery *recovery)
{
    const struct scan *scan = &recovery->scan;
    struct segment *segment = journal_active(recovery->journal);
    segment->used = scan->tail_offset;
    uint64_t size = scan->tail_nonzero - scan->tail_batch;
    if (size == 0 || planted(JOURNAL_TAIL_LEFT))
        return STATUS_OK;
    struct reading *reading = &recovery->readings[0];
    reading_reserve(recovery, reading, size);
    struct disk_job job = {.op = DISK_READ,
                           .file = segment->file,
                           .offset = scan->tail_batch,
                           .into = reading->image,
                           .size = size};
    name_format(job.name, LOG_DIRECTORY, segment->number, LOG_SUFFIX);
    enum status status = run(recovery, "cannot read the log", &job);
    if (status != STATUS_OK)
        return status;
    uint64_t whole = scan->tail_offset - scan->tail_batch;
    memset(reading->image + whole, 0, size - whole);
    struct bytes part = bytes_of(reading->image, size);
    job.op = DISK_WRITE;
    job.parts = &part;
    job.parts_count = 1;
    job.sync = true;
    return run(recovery, "cannot write the end of the log", &job);
}

static enum status create_first(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    uint64_t size = journal->config.segment_size;
    if (size > FIRST_SEGMENT_SIZE)
        size = FIRST_SEGMENT_SIZE;
    uint8_t bytes[SEGMENT_HEADER_SIZE];
    struct segment segment;
    spare_header_fill(journal, 1, size, &segment, bytes);
    struct disk_job job = {.op = DISK_CREATE, .size = size};
    name_format(job.name, LOG_DIRECTORY, 1, LOG_SUFFIX_NEW);
    name_format(job.to, LOG_DIRECTORY, 1, LOG_SUFFIX);
    enum status status = run(recovery, "cannot create the log", &job);
    if (status != STATUS_OK)
        return status;
    segment.file = job.file;
    journal_segment_add(journal, &segment);
    struct bytes part = bytes_of(bytes, sizeof bytes);
    job.op = DISK_WRITE;
    job.parts = &part;
    job.parts_count = 1;
    job.sync = true;
    status = run(recovery, "cannot create the log", &job);
    if (status != STATUS_OK)
        return status;
    job.op = DISK_RENAME;
    return run(recovery, "cannot create the log", &job);
}

static enum status recover(struct recovery *recovery)
{
    struct journal *journal = recovery->journal;
    struct disk_job job = {.op = DISK_MAKE_DIRECTORY};
    name_copy(job.name, LOG_DIRECTORY);
    enum status status = run(recovery, "cannot make the directory of the log", &job);
    if (status == STATUS_OK)
        status =
            disk_list(journal->config.world, LOG_DIRECTORY, recovery, on_listed, recovery->error);
    if (status == STATUS_OK)
        status = check_floor(recovery);
    /* A segment or a floor that was named by a process that died: is its name on the disk? Before
     * anything is removed because of it. */
    job.op = DISK_SYNC_DIRECTORY;
    if (status == STATUS_OK && !planted(JOURNAL_FOUND_NOT_SYNCED))
        status = run(recovery, "cannot sync the directory of the log", &job);
    if (status == STATUS_OK)
        status = recover_records(recovery);
    if (status == STATUS_OK)
        status = remove_unused(recovery);
    if (status == STATUS_OK)
        status = journal->segments_count > 0 ? write_tail(recovery) : create_first(recovery);
    return status;
}

enum status journal_recover(struct journal *journal, journal_replay_fn replay, struct text *error)
{
    struct recovery recovery = {.journal = journal, .replay = replay, .error = error};
    buffer_init(&recovery.segments, journal->config.mem, UINT32_MAX);
    buffer_init(&recovery.others, journal->config.mem, UINT32_MAX);
    enum status status = recover(&recovery);
    journal->lsn_last = recovery.scan.lsn_next - 1;
    journal->lsn_durable = journal->lsn_last;
    journal->chain = recovery.scan.chain;
    buffer_release(&recovery.segments);
    buffer_release(&recovery.others);
    for (size_t i = 0; i < 2; i++)
        disk_pages_free(journal->config.mem, recovery.readings[i].image,
                        recovery.readings[i].capacity);
    return status;
}

static void on_used(void *owner, const struct journal_record *record)
{
    (void)record;
    *(bool *)owner = true;
}

enum status journal_create(struct world *world, struct mem *mem, uint64_t cluster, uint64_t member,
                           struct text *error)
{
    bool used = false;
    struct journal *journal = mem_zero(mem, sizeof *journal);
    journal->config = (struct journal_config){.world = world,
                                              .mem = mem,
                                              .cluster = cluster,
                                              .member = member,
                                              .segment_size = FIRST_SEGMENT_SIZE,
                                              .snapshot_slot = UINT64_MAX,
                                              .owner = &used};
    positions_init(&journal->positions, mem);
    enum status status = journal_recover(journal, on_used, error);
    journal_close(journal);
    if (status != STATUS_OK || !used)
        return status;
    text_add(error,
             "the identity of this member is gone: there are records in its log, but there is "
             "no file \"identity\" in its data directory; put it back, if there is a copy.");
    text_add(error, scan_remedy);
    return STATUS_CORRUPT;
}

static void on_expected(void *owner, const char *name)
{
    uint64_t number;
    if (name_number(name, LOG_SUFFIX, &number))
        *(bool *)owner = true;
}

enum status journal_expect(struct world *world, struct text *error)
{
    bool found = false;
    enum status status = disk_list(world, LOG_DIRECTORY, &found, on_expected, error);
    if (status != STATUS_OK || found)
        return status;
    text_add(error, "the log of this member is gone: there is no \"" LOG_DIRECTORY
                    "\" in its data directory, or nothing in it.");
    text_add(error, scan_remedy);
    return STATUS_CORRUPT;
}
