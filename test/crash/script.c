/* The script: everything that a member does with its disk, again and again, in an order and with
 * sizes that follow from the seed.
 *
 * The one invariant: it asks for nothing that a replica would not ask for: a log is trimmed only by
 * a published snapshot, and behind records that were written after it. */
#include "story.h"

#include "journal/snapshot_format.h"

#include <stdlib.h>
#include <string.h>

static uint64_t below(struct story *story, uint64_t bound)
{
    return prng_below(&story->prng, bound);
}

static uint32_t draw_size(struct story *story)
{
    switch (below(story, 8)) {
    case 0:
        return 0;
    case 1:
    case 2:
        return (uint32_t)below(story, 2900);
    case 3:
        return 2040 + (uint32_t)below(story, 20); /* copied, or written from where it is */
    default:
        return (uint32_t)below(story, 300);
    }
}

static void some_steps(struct story *story, uint64_t most)
{
    for (uint64_t steps = below(story, most); steps > 0 && disk_step(story->disk); steps--)
        ;
}

static void append_some(struct story *story)
{
    for (uint64_t count = 1 + below(story, 4); count > 0; count--) {
        bool plain = below(story, 4) == 0; /* a promise: no slot */
        if (!plain)
            story->slot += below(story, 2);
        story_append(story, plain ? 0 : story->slot, draw_size(story));
        if (below(story, 3) == 0)
            journal_flush(story->journal);
    }
    journal_flush(story->journal);
}

/* The state up to a slot is safe: what must outlive the log is written again, then it may go. */
static void published(struct story *story, uint64_t slot)
{
    if (slot > story->claims.snapshot)
        story->claims.snapshot = slot;
    story_append(story, 0, 20);
    story->restate_lsn = story->claims.appended;
    journal_flush(story->journal);
}

struct writing {
    struct story *story;
    uint64_t slot;
    uint64_t at;
};

static bool produce(void *owner, struct buffer *slice)
{
    struct writing *writing = owner;
    uint64_t size = story_snapshot_size(writing->slot) - writing->at;
    if (size > 1300)
        size = 1300;
    uint8_t *into = size == 0 ? NULL : buffer_extend(slice, size);
    for (uint64_t i = 0; i < size; i++)
        into[i] = story_snapshot_byte(writing->slot, writing->at + i);
    writing->at += size;
    return writing->at < story_snapshot_size(writing->slot);
}

static struct writing writing;

static void on_written(void *owner, enum status status, uint64_t size)
{
    struct writing *done = owner;
    struct story *story = done->story;
    (void)size;
    story->writing = false;
    if (status != STATUS_OK) {
        story_wrong(story, "a snapshot cannot be written (%d)", (int)status);
        return;
    }
    story->snapshots_written++;
    published(story, done->slot);
}

static void write_snapshot(struct story *story)
{
    uint64_t slot = story->slot;
    if (story->writing || story->receiving != 0 || slot <= story->claims.snapshot_begun)
        return;
    writing = (struct writing){.story = story, .slot = slot};
    story->writing = true;
    story->claims.snapshot_begun = slot;
    struct snapshot_config config = story_snapshots(story);
    struct snapshot_header header = {.slot = slot, .era = 1};
    snapshot_write(&config, &header, &writing, produce, on_written);
}

/* The file that a peer would send. */
static uint64_t peer_file(uint64_t slot, uint8_t *into)
{
    struct snapshot_sums sums = {0};
    struct snapshot_header header = {.cluster = STORY_CLUSTER, .slot = slot, .era = 1};
    snapshot_header_encode(&header, into, &sums);
    uint64_t at = SNAPSHOT_HEADER_SIZE;
    uint64_t size = story_snapshot_size(slot);
    uint8_t content[1300];
    for (uint64_t done = 0; done < size;) {
        uint64_t part = size - done < sizeof content ? size - done : sizeof content;
        for (uint64_t i = 0; i < part; i++)
            content[i] = story_snapshot_byte(slot, done + i);
        snapshot_block_encode(bytes_of(content, part), into + at, &sums);
        memcpy(into + at + SNAPSHOT_BLOCK_HEADER_SIZE, content, part);
        at += SNAPSHOT_BLOCK_HEADER_SIZE + part;
        done += part;
    }
    snapshot_footer_encode(into + at, &sums);
    return at + SNAPSHOT_FOOTER_SIZE;
}

static void on_received(void *owner, enum status status, const struct snapshot_info *info)
{
    struct story *story = owner;
    story->receiving = 0;
    if (status != STATUS_OK) {
        story_wrong(story, "a snapshot cannot be received (%d)", (int)status);
        return;
    }
    story->snapshots_received++;
    if (info->slot > story->slot)
        story->slot = info->slot;
    published(story, info->slot);
}

static void receive_snapshot(struct story *story)
{
    static uint8_t file[16384];
    if (story->receiving == 0) {
        if (story->writing || below(story, 2) == 0)
            return;
        story->receiving = story->claims.snapshot_begun + 3 + below(story, 20);
        story->claims.snapshot_begun = story->receiving;
        story->sent = 0;
        struct snapshot_config config = story_snapshots(story);
        uint64_t size = peer_file(story->receiving, file);
        story->receiver = snapshot_receive(&config, story->receiving, size);
        return;
    }
    uint64_t size = peer_file(story->receiving, file);
    uint64_t part = size - story->sent < 900 ? size - story->sent : 900;
    snapshot_receive_chunk(story->receiver, bytes_of(file + story->sent, part));
    story->sent += part;
    if (story->sent < size)
        return;
    struct snapshot_receiver *receiver = story->receiver;
    story->receiver = NULL;
    snapshot_receive_end(receiver, story, NULL, on_received);
}

static void trim(struct story *story)
{
    struct claims *claims = &story->claims;
    struct journal_stats stats;
    story->trimming = false;
    if (story->restate_lsn == 0 || claims->durable < story->restate_lsn)
        return;
    claims->trim_slot = claims->snapshot;
    claims->trim_lsn = story->restate_lsn;
    journal_stats(story->journal, &stats);
    uint64_t segments = stats.segments;
    journal_trim(story->journal, claims->trim_slot, claims->trim_lsn, below(story, 2) * 20000);
    story->trimming = true;
    journal_stats(story->journal, &stats);
    story->segments_trimmed += (uint32_t)(segments - stats.segments);
    struct snapshot_config config = story_snapshots(story);
    if (below(story, 2) == 0)
        snapshot_prune(&config, 1 + (uint32_t)below(story, 2));
    story->restate_lsn = 0;
}

static void restart(struct story *story)
{
    story->restarts++;
    story_stop(story);
    if (story_boot(story) && story->slot < story->found_snapshot)
        story->slot = story->found_snapshot;
}

/* With the last jobs done, or in the middle of them: best of all between a name and its sync. */
static void restart_somewhere(struct story *story)
{
    if (below(story, 3) == 0)
        disk_drain(story->disk);
    else
        for (uint32_t i = 0; i < 40 && !story->disk->queues[DISK_QUEUE_BULK].half; i++)
            disk_step(story->disk);
    restart(story);
}

static bool floor_is_new(const struct disk *disk)
{
    for (uint32_t i = 0; i < disk->pending_count; i++) {
        const struct pending *pending = disk->pending[i];
        if (pending->kind == PENDING_NAME && pending->file != NO_FILE &&
            strstr(disk->names[pending->name].text, ".floor") != NULL)
            return true;
    }
    return false;
}

/* The process dies while the name of a floor is in the page cache alone. */
static bool die_by_a_floor(struct story *story)
{
    for (uint32_t i = 0; i < 40 && !floor_is_new(story->disk); i++)
        disk_step(story->disk);
    if (floor_is_new(story->disk))
        restart(story);
    return story->journal != NULL;
}

void story_tell(struct story *story, uint32_t rounds)
{
    story->slot = 1;
    if (!story_boot(story))
        return;
    for (uint32_t i = 0; i < rounds && story->wrong[0] == '\0'; i++) {
        append_some(story);
        some_steps(story, 12);
        switch (below(story, 8)) {
        case 0:
        case 1:
            write_snapshot(story);
            break;
        case 2:
            if (story->receiving == 0)
                receive_snapshot(story);
            break;
        case 3:
            restart_somewhere(story);
            break;
        default:
            break;
        }
        if (story->receiver != NULL)
            receive_snapshot(story);
        if (story->journal == NULL)
            return;
        trim(story);
        if (story->trimming && below(story, 3) == 0 && !die_by_a_floor(story))
            return;
        some_steps(story, 12);
        if (story->claims.appended + 32 > STORY_LSN_MAX)
            break;
    }
    if (story->wrong[0] == '\0')
        story_finish(story);
}
