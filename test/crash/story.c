/* A member's life; see story.h. Booting, appending, and what must be found.
 *
 * The one invariant: claims grow only by what the journal or the snapshots reported, or by what a
 * boot has found: that was made durable again. */
#include "story.h"

#include "base/hash.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void story_wrong(struct story *story, const char *format, ...)
{
    if (story->wrong[0] != '\0')
        return;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(story->wrong, sizeof story->wrong, format, arguments);
    va_end(arguments);
}

void story_init(struct story *story, struct disk *disk, uint64_t seed)
{
    memset(story, 0, sizeof *story);
    story->disk = disk;
    story->prng = prng_seed(seed);
    story->segment_size = 4096 * (2 + prng_below(&story->prng, 3));
}

struct snapshot_config story_snapshots(struct story *story)
{
    return (struct snapshot_config){
        .world = &story->disk->world, .mem = &story->disk->mem, .cluster = STORY_CLUSTER};
}

uint64_t story_snapshot_size(uint64_t slot)
{
    return hash_u64(slot) % 5000;
}

uint8_t story_snapshot_byte(uint64_t slot, uint64_t at)
{
    return (uint8_t)(slot * 37 + at * 11 + (at >> 8));
}

static uint64_t record_digest(const struct journal_record *record)
{
    uint64_t digest = hash_fold(record->era, record->slot);
    digest = hash_fold(digest, (uint64_t)record->type << 8 | (record->located ? 1 : 0));
    digest = hash_bytes(digest, record->head);
    return hash_bytes(digest, blob_bytes(record->entry));
}

static void on_durable(void *owner, uint64_t lsn)
{
    struct story *story = owner;
    if (lsn <= story->claims.durable || lsn > story->claims.appended)
        story_wrong(story, "record %llu is reported durable after %llu", (unsigned long long)lsn,
                    (unsigned long long)story->claims.durable);
    story->claims.durable = lsn;
}

static void on_failure(void *owner, enum status status, const char *what)
{
    story_wrong(owner, "the journal failed (%d): %s", (int)status, what);
}

static void on_replay(void *owner, const struct journal_record *record)
{
    struct story *story = owner;
    uint64_t lsn = record->lsn;
    if (story->found_first == 0)
        story->found_first = lsn;
    else if (lsn != story->found_last + 1)
        story_wrong(story, "record %llu follows %llu", (unsigned long long)lsn,
                    (unsigned long long)story->found_last);
    story->found_last = lsn;
    if (lsn > story->claims.appended)
        story_wrong(story, "record %llu was never written", (unsigned long long)lsn);
    else if (record_digest(record) != story->claims.digest[lsn])
        story_wrong(story, "record %llu is not what was written", (unsigned long long)lsn);
}

struct content {
    uint64_t slot;
    uint64_t at;
    bool wrong;
};

static void on_content_begin(void *owner, uint64_t slot)
{
    *(struct content *)owner = (struct content){.slot = slot};
}

static enum status on_content(void *owner, struct bytes piece)
{
    struct content *content = owner;
    for (size_t i = 0; i < piece.size; i++)
        content->wrong |= piece.data[i] != story_snapshot_byte(content->slot, content->at++);
    return STATUS_OK;
}

static void boot_snapshots(struct story *story, struct text *error)
{
    struct snapshot_config config = story_snapshots(story);
    struct snapshot_info info;
    const struct claims *claims = &story->claims;
    struct content content = {0};
    struct snapshot_reader reader = {&content, on_content_begin, on_content};
    enum status status = snapshot_newest(&config, &reader, error, &info);
    if (status != STATUS_OK) {
        story->refused = status == STATUS_CORRUPT;
        story_wrong(story, "no snapshot can be read (%d): %s", (int)status, error->data);
        return;
    }
    story->found_snapshot = info.slot;
    if (info.slot < claims->snapshot || info.slot > claims->snapshot_begun)
        story_wrong(story, "the newest snapshot is %llu, not %llu", (unsigned long long)info.slot,
                    (unsigned long long)claims->snapshot);
    if (info.slot == 0)
        return;
    if (content.slot != info.slot || content.wrong || content.at != story_snapshot_size(info.slot))
        story_wrong(story, "snapshot %llu is not what was written", (unsigned long long)info.slot);
}

/* Up to which slot the log says that it was trimmed. */
static uint64_t find_floor(const struct disk *disk)
{
    uint64_t highest = 0;
    for (int i = 0; i < DISK_NAMES_MAX; i++) {
        unsigned long long slot;
        char end[8] = "";
        if (disk->names[i].live != NO_FILE &&
            sscanf(disk->names[i].text, "log/%16llx.%7s", &slot, end) == 2 &&
            strcmp(end, "floor") == 0 && slot > highest)
            highest = slot;
    }
    return highest;
}

/* What is not found must be in the newest snapshot, and allowed to go; and the log must say so, for
 * the snapshot may be lost another day. */
static void check_front(struct story *story)
{
    const struct claims *claims = &story->claims;
    uint64_t floor = find_floor(story->disk);
    uint64_t first = story->found_first == 0 ? claims->durable + 1 : story->found_first;
    for (uint64_t lsn = 1; lsn < first; lsn++)
        if (lsn >= claims->trim_lsn || claims->slot[lsn] > claims->trim_slot ||
            claims->slot[lsn] > story->found_snapshot)
            story_wrong(story, "record %llu is gone", (unsigned long long)lsn);
        else if (claims->slot[lsn] > floor)
            story_wrong(story, "record %llu is gone without a word", (unsigned long long)lsn);
}

bool story_boot(struct story *story)
{
    struct claims *claims = &story->claims;
    story->found_first = 0;
    story->found_last = 0;
    story->refused = false;
    struct text error = text_of(story->error, sizeof story->error);
    boot_snapshots(story, &error);
    if (story->wrong[0] != '\0')
        return false;
    struct journal_config config = {
        .world = &story->disk->world,
        .mem = &story->disk->mem,
        .cluster = STORY_CLUSTER,
        .member = STORY_MEMBER,
        .segment_size = story->segment_size,
        .record_size_max = STORY_RECORD_MAX,
        .snapshot_slot = story->found_snapshot,
        .owner = story,
        .on_durable = on_durable,
        .on_failure = on_failure,
    };
    enum status status = journal_open(&config, on_replay, &error, &story->journal);
    if (status != STATUS_OK) {
        story->refused = status == STATUS_CORRUPT;
        story_wrong(story, "the log does not open (%d): %s", (int)status, story->error);
        return false;
    }
    if (story->found_last < claims->durable)
        story_wrong(story, "the log ends at %llu, and %llu was durable",
                    (unsigned long long)story->found_last, (unsigned long long)claims->durable);
    check_front(story);
    claims->appended = claims->durable = journal_last(story->journal);
    if (claims->appended != story->found_last)
        story_wrong(story, "it goes on at %llu", (unsigned long long)claims->appended + 1);
    claims->snapshot = claims->snapshot_begun = story->found_snapshot;
    return story->wrong[0] == '\0';
}

void story_append(struct story *story, uint64_t slot, uint32_t size)
{
    struct prng *prng = &story->prng;
    uint8_t head[40];
    struct journal_record record = {
        .type = (uint8_t)prng_below(prng, 250),
        .era = 1,
        .slot = slot,
        .located = slot != 0 && prng_below(prng, 4) != 0,
        .head = bytes_of(head, prng_below(prng, sizeof head)),
    };
    for (size_t i = 0; i < sizeof head; i++)
        head[i] = (uint8_t)prng_next(prng);
    if (size > 0)
        record.entry = blob_new(&story->disk->mem, size);
    bool empty = prng_below(prng, 8) == 0; /* zeros, as if nothing had been written */
    for (uint32_t i = 0; i < size; i += 8) {
        uint64_t word = empty ? 0 : prng_next(prng);
        memcpy(record.entry->data + i, &word, size - i < 8 ? size - i : 8);
    }
    uint64_t lsn = story->claims.appended + 1;
    story->claims.digest[lsn] = record_digest(&record);
    story->claims.slot[lsn] = slot;
    story->claims.appended = lsn;
    if (journal_append(story->journal, &record) != lsn)
        story_wrong(story, "the next record is not %llu", (unsigned long long)lsn);
    blob_drop(record.entry);
}

void story_finish(struct story *story)
{
    journal_flush(story->journal);
    disk_drain(story->disk);
    if (story->claims.durable != story->claims.appended)
        story_wrong(story, "record %llu does not get durable",
                    (unsigned long long)story->claims.appended);
}

void story_stop(struct story *story)
{
    disk_kill(story->disk);
    story->journal = NULL;
    story->receiver = NULL;
    story->receiving = 0;
    story->writing = false;
    story->restate_lsn = 0;
}
