/* Trimming: whole segments go from the front of the log, one after the other.
 *
 * The one invariant: the files that are there have consecutive numbers, whenever the power goes. So
 * a removal starts when the one before is durable, and the first that fails is the last. */
#include "journal/journal_internal.h"

#include <string.h>

static void removal_start(struct journal *journal);

static void on_removed(struct disk_job *job)
{
    struct removal *removal = job->owner;
    struct journal *journal = removal->journal;
    journal->removals = removal->next;
    if (journal->removals == NULL)
        journal->removals_end = &journal->removals;
    if (job->status != STATUS_OK && !journal->trim_stuck) {
        char line[256];
        struct text text = text_of(line, sizeof line);
        text_add(&text, "the log is not trimmed any more: cannot remove ");
        disk_explain(&text, job);
        journal->config.world->ops->log(journal->config.world, LOG_WARN, line, "");
        journal->trim_stuck = true;
    }
    mem_free(journal->config.mem, removal, sizeof *removal);
    removal_start(journal);
}

static void removal_start(struct journal *journal)
{
    struct removal *removal = journal->removals;
    if (removal == NULL || journal->trim_stuck)
        return;
    removal->job = (struct disk_job){.op = DISK_REMOVE, .done = on_removed, .owner = removal};
    name_format(removal->job.name, LOG_DIRECTORY, removal->number, LOG_SUFFIX);
    journal->config.world->ops->disk_submit(journal->config.world, DISK_QUEUE_BULK, &removal->job);
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

void journal_trim(struct journal *journal, uint64_t slot, uint64_t lsn_keep, uint64_t keep_bytes)
{
    if (journal->failed || journal->trim_stuck)
        return;
    while (journal->segments_count > 1) {
        const struct segment *segment = &journal->segments[0];
        uint64_t left = journal->stats.disk_bytes - segment->size;
        /* A durable record must stay behind it: recovery takes an empty log with a high number for
         * a loss. */
        if (segment->slot_max > slot || segment->lsn_last >= lsn_keep ||
            segment->lsn_last >= journal->lsn_durable || left < keep_bytes)
            return;
        remove_first(journal);
        spare_prepare(journal); /* there may be space for it now */
    }
}
