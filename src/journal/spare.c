/* The spare segment: the next one is made in the background while the current one fills, so that
 * moving on costs no more than any other write.
 *
 * The one invariant: a file named *.log is whole: zeros of its full size, its header, and its entry
 * in the directory are durable before the first record is written to it. */
#include "journal/journal_internal.h"

#include "base/planted.h"

#include <string.h>

void spare_header_fill(const struct journal *journal, uint64_t number, uint64_t size,
                       struct segment *segment, uint8_t *at)
{
    struct world *world = journal->config.world;
    struct segment_header header = {
        .version = SEGMENT_VERSION,
        .cluster = journal->config.cluster,
        .member = journal->config.member,
        .number = number,
        .size = size,
        .nonce = world->ops->random(world),
    };
    segment_header_encode(&header, at);
    *segment = (struct segment){
        .number = number, .size = size, .seed = header.seed, .used = SEGMENT_RECORDS_AT};
}

static void submit(struct journal *journal)
{
    struct world *world = journal->config.world;
    world->ops->disk_submit(world, DISK_QUEUE_BULK, &journal->spare.job);
}

static void on_cleaned(struct disk_job *job)
{
    struct journal *journal = job->owner;
    journal->spare.state = SPARE_NONE;
    if (journal->waiting)
        spare_prepare(journal);
}

/* The log goes on while the current segment has room: trimming may free what was missing. When a
 * batch waits for the spare there is nothing left to go on with. */
static void spare_failed(struct journal *journal, bool opened)
{
    struct spare *spare = &journal->spare;
    struct disk_job failed = spare->job;
    if (opened)
        disk_close_later(journal->config.world, journal->config.mem, DISK_QUEUE_BULK,
                         spare->segment.file);
    spare->state = SPARE_REMOVING;
    spare->job = (struct disk_job){.op = DISK_REMOVE, .done = on_cleaned, .owner = journal};
    name_format(spare->job.name, LOG_DIRECTORY, spare->segment.number, LOG_SUFFIX_NEW);
    submit(journal);
    if (journal->waiting) {
        journal_fail(journal, "cannot make the next log segment", &failed);
        return;
    }
    char line[256];
    struct text text = text_of(line, sizeof line);
    text_add(&text, "cannot make the next log segment yet: ");
    disk_explain(&text, &failed);
    journal->config.world->ops->log(journal->config.world, LOG_WARN, line, "");
}

static void on_named(struct disk_job *job)
{
    struct journal *journal = job->owner;
    if (job->status != STATUS_OK) {
        /* Under which name it is found after a crash is unknown, so there can be no other with its
         * number: the log cannot go on. */
        journal->waiting = true;
        spare_failed(journal, true);
        return;
    }
    journal->spare.state = SPARE_READY;
    if (journal->waiting) {
        journal->waiting = false;
        journal_write_next(journal);
    }
}

static void on_headed(struct disk_job *job)
{
    struct journal *journal = job->owner;
    if (job->status != STATUS_OK) {
        spare_failed(journal, true);
        return;
    }
    uint64_t number = journal->spare.segment.number;
    journal->spare.state = SPARE_NAMING;
    *job = (struct disk_job){.op = DISK_RENAME, .done = on_named, .owner = journal};
    name_format(job->name, LOG_DIRECTORY, number, LOG_SUFFIX_NEW);
    name_format(job->to, LOG_DIRECTORY, number, LOG_SUFFIX);
    submit(journal);
}

static void on_created(struct disk_job *job)
{
    struct journal *journal = job->owner;
    struct spare *spare = &journal->spare;
    if (job->status != STATUS_OK) {
        spare_failed(journal, false);
        return;
    }
    spare->segment.file = job->file;
    spare->state = SPARE_WRITING;
    spare->part = bytes_of(spare->header, sizeof spare->header);
    job->op = DISK_WRITE;
    job->offset = 0;
    job->parts = &spare->part;
    job->parts_count = 1;
    job->sync = !planted(JOURNAL_SEGMENT_NOT_SYNCED);
    job->done = on_headed;
    submit(journal);
}

void spare_prepare(struct journal *journal)
{
    struct spare *spare = &journal->spare;
    if (spare->state != SPARE_NONE || journal->failed)
        return;
    uint64_t number = journal_active(journal)->number + 1;
    uint64_t size = journal->config.segment_size;
    spare_header_fill(journal, number, size, &spare->segment, spare->header);
    spare->state = SPARE_CREATING;
    spare->job =
        (struct disk_job){.op = DISK_CREATE, .size = size, .done = on_created, .owner = journal};
    name_format(spare->job.name, LOG_DIRECTORY, number, LOG_SUFFIX_NEW);
    submit(journal);
}

struct segment spare_take(struct journal *journal)
{
    journal->spare.state = SPARE_NONE;
    return journal->spare.segment;
}
