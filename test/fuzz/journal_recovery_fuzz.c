/* Damaged logs and snapshots: whatever is on the disk, opening ends with a status and a bounded use
 * of memory; and a log that opens can be written to and opens again with all of it.
 *
 * The input is a list of edits (where, what) of a log and of a snapshot that were written properly,
 * or, by its first byte, the whole content of a file. */
#include "base/crc32c.h"
#include "journal/journal.h"
#include "journal/record.h"
#include "journal/snapshot.h"

#include <stdlib.h>
#include <string.h>

#include "../unit/journal/support_disk.c"

#define MEMORY_MAX (64u << 20)

static const char *const file_names[] = {
    "log/0000000000000001.log",
    "log/0000000000000002.log",
    "snap/0000000000000007.snap",
};

static struct fake_disk base;
static struct fake_disk disk;
static uint64_t replayed_bytes;

static void must(bool condition)
{
    if (!condition)
        abort();
}

static void on_durable(void *owner, uint64_t lsn)
{
    (void)owner;
    (void)lsn;
}

static void on_failure(void *owner, enum status status, const char *what)
{
    (void)owner;
    (void)status;
    (void)what;
    abort();
}

static void replay(void *owner, const struct journal_record *record)
{
    (void)owner;
    replayed_bytes += record->head.size + blob_bytes(record->entry).size;
}

static struct journal_config config_of(struct fake_disk *on)
{
    return (struct journal_config){
        .world = &on->world,
        .mem = &on->mem,
        .cluster = 1,
        .member = 2,
        .segment_size = 16384,
        .record_size_max = 4096,
        .snapshot_slot = UINT64_MAX,
        .on_durable = on_durable,
        .on_failure = on_failure,
    };
}

static uint64_t append_some(struct journal *journal, struct fake_disk *on, uint32_t count)
{
    uint8_t bytes[3000];
    memset(bytes, 0x5a, sizeof bytes);
    for (uint32_t i = 0; i < count; i++) {
        struct blob *entry = blob_copy(&on->mem, bytes_of(bytes, i * 317 % sizeof bytes));
        struct journal_record record = {
            .type = 1, .located = true, .era = 1, .slot = i + 1, .entry = entry};
        record.head = bytes_of(bytes, i % 20);
        (void)journal_append(journal, &record);
        blob_drop(entry);
        if (i % 3 == 0) {
            journal_flush(journal);
            fake_drain(on);
        }
    }
    journal_flush(journal);
    fake_drain(on);
    return journal_last(journal);
}

static bool produce(void *owner, struct buffer *slice)
{
    (void)owner;
    memset(buffer_extend(slice, 2000), 7, 2000);
    return false;
}

static void on_snapshot(void *owner, enum status status, uint64_t size)
{
    (void)owner;
    (void)size;
    must(status == STATUS_OK);
}

static void build_base(void)
{
    fake_init(&base, 1);
    struct journal_config config = config_of(&base);
    char line[512];
    struct text error = text_of(line, sizeof line);
    struct journal *journal;
    must(journal_open(&config, replay, &error, &journal) == STATUS_OK);
    (void)append_some(journal, &base, 14);
    journal_close(journal);
    struct snapshot_config snapshots = {&base.world, &base.mem, 1};
    struct snapshot_header header = {.slot = 7, .era = 1};
    snapshot_write(&snapshots, &header, NULL, produce, on_snapshot);
    fake_drain(&base);
}

/* Checksums keep a fuzzer at the door; this lets it in: the headers' checks are made right. */
static void repair_checks(uint8_t *file, uint64_t size)
{
    if (size < SEGMENT_RECORDS_AT)
        return;
    store_u32(file + 60, crc32c(0, bytes_of(file, 60)));
    uint32_t seed = crc32c(0, bytes_of(file, SEGMENT_HEADER_SIZE));
    for (uint64_t at = SEGMENT_RECORDS_AT; at + RECORD_HEADER_SIZE <= size; at += SECTOR_SIZE) {
        uint32_t length = load_u32(file + at + 12);
        if (length == 0)
            continue;
        if (length >= RECORD_HEADER_SIZE && length <= size - at)
            store_u32(file + at + 4, crc32c(0, bytes_of(file + at + RECORD_HEADER_SIZE,
                                                        length - RECORD_HEADER_SIZE)));
        store_u32(file + at, crc32c(seed, bytes_of(file + at + 4, RECORD_HEADER_SIZE - 4)));
    }
}

static void apply_edits(struct reader *input)
{
    while (reader_left(input) >= 4) {
        uint8_t which = read_u8(input);
        uint64_t size;
        uint8_t *file = fake_file(&disk, file_names[which % 3], &size);
        uint64_t at = read_u16(input);
        uint8_t value = read_u8(input);
        if (file == NULL || size == 0)
            continue;
        file[at % size] ^= value;
        if (which & 64)
            repair_checks(file, which % 3 == 2 ? 0 : size);
    }
}

static void begin(void *owner, uint64_t slot)
{
    (void)slot;
    *(uint64_t *)owner = 0;
}

static enum status consume(void *owner, struct bytes piece)
{
    *(uint64_t *)owner += piece.size;
    return STATUS_OK;
}

static void load_snapshot(void)
{
    struct snapshot_config config = {&disk.world, &disk.mem, 1};
    char line[512];
    struct text error = text_of(line, sizeof line);
    struct snapshot_info info;
    uint64_t bytes = 0;
    struct snapshot_reader reader = {&bytes, begin, consume};
    if (snapshot_newest(&config, &reader, &error, &info) == STATUS_OK && info.slot != 0)
        must(bytes <= info.size);
}

static void open_log(void)
{
    struct journal_config config = config_of(&disk);
    char line[512];
    struct text error = text_of(line, sizeof line);
    struct journal *journal;
    if (journal_open(&config, replay, &error, &journal) != STATUS_OK) {
        must(error.size > 0);
        return;
    }
    must(disk.mem.used < MEMORY_MAX);
    uint64_t last = append_some(journal, &disk, 5);
    fake_drain(&disk);
    journal_close(journal);
    must(journal_open(&config, replay, &error, &journal) == STATUS_OK);
    must(journal_last(journal) == last);
    fake_drain(&disk);
    journal_close(journal);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (base.inodes_count == 0)
        build_base();
    fake_copy(&disk, &base, 2);
    struct reader input = reader_of(bytes_of(data, size));
    uint8_t mode = read_u8(&input);
    if (mode & 1)
        fake_put(&disk, file_names[mode / 2 % 3], input.at, reader_left(&input));
    else
        apply_edits(&input);
    open_log();
    load_snapshot();
    must(disk.mem.used == 0);
    must(disk.handles_open == 0);
    fake_release(&disk);
    return 0;
}
