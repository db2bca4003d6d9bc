/* Trimming: whole segments go from the front of the log, one after the other. Before a segment
 * goes, an empty file "log/<slot>.floor" says up to which slot the log has gone with it: without a
 * snapshot that holds these slots, what is left must not pass for all that was promised.
 *
 * The one invariant: the files that are there have consecutive numbers, whenever the power goes,
 * and the highest floor is not below any slot that went. So a removal starts when the one before
 * and its floor are durable, and the first that fails is the last. */
#include "journal/journal_internal.h"

#include <string.h>

static void removal_start(struct journal *journal);

static void removal_end(struct removal *removal)
{
    struct journal *journal = removal->journal;
    journal->removals = removal->next;
    if (journal->removals == NULL)
        journal->removals_end = &journal->removals;
    mem_free(journal->config.mem, removal, sizeof *removal);
    removal_start(journal);
}

static void removal_fail(struct removal *removal, const char *doing)
{
    struct journal *journal = removal->journal;
    char line[256];
    struct text text = text_of(line, sizeof line);
    text_add(&text, "the log is not trimmed any more: ");
    text_add(&text, doing);
    disk_explain(&text, &removal->job);
    journal->config.world->ops->log(journal->config.world, LOG_WARN, line, "");
    journal->trim_stuck = true;
    removal_end(removal);
}

static void submit(struct removal *removal, enum disk_op op, void (*done)(struct disk_job *job))
{
    struct world *world = removal->journal->config.world;
    removal->job.op = op;
    removal->job.done = done;
    removal->job.owner = removal;
    world->ops->disk_submit(world, DISK_QUEUE_BULK, &removal->job);
}

static void on_removed(struct disk_job *job)
{
    struct removal *removal = job->owner;
    if (job->status != STATUS_OK)
        removal_fail(removal, "cannot remove ");
    else
        removal_end(removal);
}

static void remove_segment(struct removal *removal)
{
    name_format(removal->job.name, LOG_DIRECTORY, removal->number, LOG_SUFFIX);
    submit(removal, DISK_REMOVE, on_removed);
}

static void on_floor_synced(struct disk_job *job)
{
    struct removal *removal = job->owner;
    struct journal *journal = removal->journal;
    if (job->status != STATUS_OK) {
        removal_fail(removal, "cannot sync ");
        return;
    }
    char name[DISK_NAME_MAX];
    name_format(name, LOG_DIRECTORY, journal->floor, LOG_SUFFIX_FLOOR);
    if (journal->floor > 0)
        disk_remove_later(journal->config.world, journal->config.mem, name);
    journal->floor = removal->slot_max;
    remove_segment(removal);
}

static void on_floor_made(struct disk_job *job)
{
    struct removal *removal = job->owner;
    if (job->status != STATUS_OK) {
        removal_fail(removal, "cannot make ");
        return;
    }
    disk_close_later(removal->journal->config.world, removal->journal->config.mem, DISK_QUEUE_BULK,
                     job->file);
    name_copy(job->name, LOG_DIRECTORY);
    submit(removal, DISK_SYNC_DIRECTORY, on_floor_synced);
}

static void removal_start(struct journal *journal)
{
    struct removal *removal = journal->removals;
    if (removal == NULL || journal->trim_stuck)
        return;
    if (removal->slot_max <= journal->floor) {
        remove_segment(removal);
        return;
    }
    name_format(removal->job.name, LOG_DIRECTORY, removal->slot_max, LOG_SUFFIX_FLOOR);
    submit(removal, DISK_CREATE, on_floor_made);
}

static void remove_first(struct journal *journal)
{
    struct segment *segment = &journal->segments[0];
    positions_forget(&journal->positions, segment->number);
    /* Behind any read of it that is under way on the same queue. */
    disk_close_later(journal->config.world, journal->config.mem, DISK_QUEUE_BULK, segment->file);
    struct removal *removal = mem_zero(journal->config.mem, sizeof *removal);
    removal->journal = journal;
    removal->number = segment->number;
    removal->slot_max = segment->slot_max;
    bool idle = journal->removals == NULL;
    *journal->removals_end = removal;
    journal->removals_end = &removal->next;
    journal->stats.segments--;
    journal->stats.disk_bytes -= segment->size;
    journal->segments_count--;
    memmove(segment, segment + 1, journal->segments_count * sizeof *segment);
    if (idle)
        removal_start(journal);
}

/* A durable record must stay behind it: recovery takes an empty log with a high number for a loss.
 */
static bool first_may_go(const struct journal *journal, uint64_t slot, uint64_t lsn_keep,
                         uint64_t keep_bytes)
{
    if (journal->failed || journal->trim_stuck || journal->segments_count < 2)
        return false;
    const struct segment *segment = &journal->segments[0];
    uint64_t left = journal->stats.disk_bytes - segment->size;
    return segment->slot_max <= slot && segment->lsn_last < lsn_keep &&
           segment->lsn_last < journal->lsn_durable && left >= keep_bytes;
}

void journal_trim(struct journal *journal, uint64_t slot, uint64_t lsn_keep, uint64_t keep_bytes)
{
    while (first_may_go(journal, slot, lsn_keep, keep_bytes)) {
        remove_first(journal);
        spare_prepare(journal); /* there may be space for it now */
    }
}
