/* Snapshots over a disk that loses, tears and fails. */
#include "journal/snapshot.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/crc32c.h"
#include "journal/snapshot_format.h"
#include "support_disk.h"

#define CLUSTER 5

static struct fake_disk disk;
static struct snapshot_config config;
static char error_line[512];

/* Content that follows from a seed; made and compared in slices of any size. */
struct content {
    struct prng prng;
    uint64_t left;
    uint32_t slice;
    bool wrong;
};

static struct content content_of(uint64_t seed, uint64_t size)
{
    return (struct content){.prng = prng_seed(seed), .left = size, .slice = 200000};
}

static uint8_t content_next(struct content *content)
{
    content->left--;
    return (uint8_t)prng_next(&content->prng);
}

static bool produce(void *owner, struct buffer *slice)
{
    struct content *content = owner;
    uint64_t size = content->left < content->slice ? content->left : content->slice;
    uint8_t *at = size == 0 ? NULL : buffer_extend(slice, size);
    for (uint64_t i = 0; i < size; i++)
        at[i] = content_next(content);
    return content->left > 0;
}

static enum status consume(void *owner, struct bytes piece)
{
    struct content *content = owner;
    if (piece.size > content->left)
        return STATUS_TOO_LARGE;
    for (size_t i = 0; i < piece.size; i++)
        content->wrong |= piece.data[i] != content_next(content);
    return STATUS_OK;
}

struct outcome {
    bool called;
    enum status status;
    uint64_t size;
};

static void on_write(void *owner, enum status status, uint64_t size)
{
    *(struct outcome *)owner = (struct outcome){true, status, size};
}

/* Both callbacks of the writer get the same owner. */
struct writing {
    struct outcome outcome;
    struct content content;
};

static bool writing_produce(void *owner, struct buffer *slice)
{
    return produce(&((struct writing *)owner)->content, slice);
}

static void writing_done(void *owner, enum status status, uint64_t size)
{
    on_write(&((struct writing *)owner)->outcome, status, size);
}

static struct writing writing;

static struct snapshot_writer *write_start(uint64_t slot, uint64_t size)
{
    writing = (struct writing){.content = content_of(slot, size)};
    struct snapshot_header header = {.slot = slot, .era = 9, .mark = {3, {1, 2, (uint8_t)slot}}};
    return snapshot_write(&config, &header, &writing, writing_produce, writing_done);
}

static uint64_t write_whole(uint64_t slot, uint64_t size)
{
    write_start(slot, size);
    fake_drain(&disk);
    assert_true(writing.outcome.called);
    assert_int_equal(writing.outcome.status, STATUS_OK);
    return writing.outcome.size;
}

static enum status newest(struct snapshot_info *info)
{
    struct text error = text_of(error_line, sizeof error_line);
    return snapshot_newest(&config, NULL, &error, info);
}

struct reading {
    uint64_t size;
    struct content content;
};

static void reading_begin(void *owner, uint64_t slot)
{
    struct reading *reading = owner;
    reading->content = content_of(slot, reading->size);
}

static enum status reading_consume(void *owner, struct bytes piece)
{
    return consume(&((struct reading *)owner)->content, piece);
}

/* The newest is this one, and what is read of it is what was written. */
static void check_content(uint64_t slot, uint64_t size)
{
    struct text error = text_of(error_line, sizeof error_line);
    struct reading reading = {.size = size};
    struct snapshot_reader reader = {&reading, reading_begin, reading_consume};
    struct snapshot_info info;
    assert_int_equal(snapshot_newest(&config, &reader, &error, &info), STATUS_OK);
    assert_int_equal(info.slot, slot);
    assert_int_equal(reading.content.left, 0);
    assert_false(reading.content.wrong);
}

static void start(uint64_t seed)
{
    fake_init(&disk, seed);
    config = (struct snapshot_config){&disk.world, &disk.mem, CLUSTER};
}

static void finish(void)
{
    fake_drain(&disk);
    assert_int_equal(disk.handles_open, 0);
    assert_int_equal(disk.mem.used, 0);
    fake_release(&disk);
}

static void what_was_written_is_found_and_loaded(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 5000, 262144, 262145, 3000000};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        start(i);
        struct snapshot_info info;
        assert_int_equal(newest(&info), STATUS_OK);
        assert_int_equal(info.slot, 0);
        uint64_t size = write_whole(100 + i, sizes[i]);
        assert_int_equal(newest(&info), STATUS_OK);
        assert_int_equal(info.slot, 100 + i);
        assert_int_equal(info.era, 9);
        assert_int_equal(info.size, size);
        assert_memory_equal(&info.mark, (&(struct snapshot_mark){3, {1, 2, (uint8_t)info.slot}}),
                            sizeof info.mark);
        check_content(100 + i, sizes[i]);
        finish();
    }
}

static void a_crash_at_any_step_leaves_the_old_or_the_new(void **state)
{
    (void)state;
    uint32_t found_new = 0;
    for (uint64_t seed = 1; seed <= 600; seed++) {
        start(seed);
        write_whole(10, 3000);
        write_start(20, 700000);
        bool done = false;
        for (uint64_t steps = seed % 40; steps > 0 && fake_step(&disk); steps--)
            done = writing.outcome.called;
        if (seed % 3 == 0)
            fake_kill(&disk);
        else
            fake_crash(&disk);
        struct snapshot_info info;
        assert_int_equal(newest(&info), STATUS_OK);
        assert_true(info.slot == 20 || (info.slot == 10 && !done));
        check_content(info.slot, info.slot == 10 ? 3000 : 700000);
        found_new += info.slot == 20;
        uint64_t size;
        assert_null(fake_file(&disk, "snap/0000000000000014.tmp", &size));
        /* The log is trimmed by what was found: a power cut must not take it back, even if the
         * process that named it died before the name was synced. */
        uint64_t found = info.slot;
        fake_crash(&disk);
        assert_int_equal(newest(&info), STATUS_OK);
        assert_int_equal(info.slot, found);
        finish();
    }
    assert_true(found_new > 0 && found_new < 600);
}

static void a_failure_while_writing_is_reported_and_leaves_nothing(void **state)
{
    (void)state;
    for (uint32_t nth = 1; nth < 12; nth++) {
        start(nth);
        uint32_t *which = nth % 3 == 0   ? &disk.fail_create
                          : nth % 3 == 1 ? &disk.fail_write
                                         : &disk.fail_sync;
        *which = nth % 3 == 1 ? nth : 1;
        disk.fail_status = STATUS_NO_SPACE;
        write_start(30, 3000000);
        fake_drain(&disk);
        assert_true(writing.outcome.called);
        assert_int_equal(writing.outcome.status, STATUS_NO_SPACE);
        struct snapshot_info info;
        assert_int_equal(newest(&info), STATUS_OK);
        assert_int_equal(info.slot, 0);
        finish();
    }
}

static void a_held_snapshot_waits_and_is_whole_in_the_end(void **state)
{
    (void)state;
    for (int cancel = 0; cancel < 2; cancel++) {
        start(29);
        struct snapshot_writer *writer = write_start(5, 3000000);
        snapshot_write_hold(writer, true);
        fake_drain(&disk);
        assert_int_equal(writing.content.left, 3000000); /* not one slice was asked for */
        uint64_t left = writing.content.left;
        for (int i = 0; i < 3; i++) { /* let go and held again: it gets no further than a slice */
            snapshot_write_hold(writer, false);
            snapshot_write_hold(writer, true);
            fake_drain(&disk);
            assert_true(writing.content.left < left);
            assert_true(writing.content.left > 0);
            left = writing.content.left;
        }
        assert_false(writing.outcome.called);
        if (cancel)
            snapshot_write_cancel(writer);
        else
            snapshot_write_hold(writer, false);
        fake_drain(&disk);
        assert_true(writing.outcome.called);
        assert_int_equal(writing.outcome.status, cancel ? STATUS_STOPPED : STATUS_OK);
        if (!cancel)
            check_content(5, 3000000);
        finish();
    }
}

static void a_cancelled_snapshot_ends_at_any_step_and_leaves_nothing_half_done(void **state)
{
    (void)state;
    uint32_t stopped = 0;
    for (uint32_t steps = 0; steps < 40; steps++) {
        start(steps + 1);
        struct snapshot_writer *writer = write_start(31, 3000000);
        for (uint32_t i = 0; i < steps && !writing.outcome.called; i++)
            fake_step(&disk);
        if (!writing.outcome.called)
            snapshot_write_cancel(writer);
        fake_drain(&disk);
        assert_true(writing.outcome.called);
        struct snapshot_info info;
        assert_int_equal(newest(&info), STATUS_OK);
        assert_int_equal(info.slot, writing.outcome.status == STATUS_OK ? 31 : 0);
        stopped += writing.outcome.status == STATUS_STOPPED;
        finish();
    }
    assert_true(stopped > 5);
}

static const char name_40[] = "snap/0000000000000028.snap";
static const char name_50[] = "snap/0000000000000032.snap";

static void every_flipped_byte_is_found_and_an_older_snapshot_serves(void **state)
{
    (void)state;
    start(40);
    write_whole(40, 600);
    uint64_t size = write_whole(50, 700);
    uint64_t whole;
    struct snapshot_info info;
    for (uint64_t at = 0; at < size; at++) {
        fake_file(&disk, name_50, &whole)[at] ^= 4;
        enum status status = newest(&info);
        /* A version that might be a newer one is not a reason to go back. */
        assert_true(status == STATUS_OK ? info.slot == 40 : status != STATUS_CORRUPT);
        fake_file(&disk, name_50, &whole)[at] ^= 4;
    }
    assert_int_equal(newest(&info), STATUS_OK);
    assert_int_equal(info.slot, 50);
    fake_file(&disk, name_40, &whole)[100] ^= 4;
    fake_file(&disk, name_50, &whole)[100] ^= 4;
    assert_int_equal(newest(&info), STATUS_CORRUPT);
    assert_non_null(strstr(error_line, name_40));
    finish();
}

static void a_snapshot_that_is_cut_or_too_long_is_damaged(void **state)
{
    (void)state;
    start(41);
    uint64_t size = write_whole(50, 900);
    uint8_t copy[2048] = {0};
    uint64_t whole;
    memcpy(copy, fake_file(&disk, name_50, &whole), size);
    struct snapshot_info info;
    for (uint64_t cut = 0; cut < size + 2; cut++) {
        fake_put(&disk, name_50, copy, cut);
        assert_int_equal(newest(&info), cut == size ? STATUS_OK : STATUS_CORRUPT);
    }
    finish();
}

static void the_snapshot_of_another_cluster_is_refused(void **state)
{
    (void)state;
    start(42);
    write_whole(50, 900);
    config.cluster++;
    struct snapshot_info info;
    assert_int_equal(newest(&info), STATUS_MISMATCH);
    finish();
}

/* Snapshots of version 1 had zeros where the mark is now. */
static void a_snapshot_without_a_mark_is_still_read(void **state)
{
    (void)state;
    start(48);
    uint8_t file[SNAPSHOT_HEADER_SIZE + SNAPSHOT_FOOTER_SIZE];
    struct snapshot_sums sums;
    struct snapshot_header header = {.cluster = CLUSTER, .slot = 80, .era = 9};
    snapshot_header_encode(&header, file, &sums);
    store_u32(file + 8, 1);
    sums.chain = crc32c(0, bytes_of(file, SNAPSHOT_HEADER_SIZE - 4));
    store_u32(file + SNAPSHOT_HEADER_SIZE - 4, sums.chain);
    snapshot_footer_encode(file + SNAPSHOT_HEADER_SIZE, &sums);
    struct disk_job job = {.op = DISK_MAKE_DIRECTORY, .name = "snap"};
    assert_int_equal(disk.world.ops->disk_run(&disk.world, &job), STATUS_OK);
    fake_put(&disk, "snap/0000000000000050.snap", file, sizeof file);
    struct snapshot_info info;
    assert_int_equal(newest(&info), STATUS_OK);
    assert_int_equal(info.slot, 80);
    assert_int_equal(info.mark.size, 0);
    check_content(80, 0);
    finish();
}

static void pruning_keeps_the_newest(void **state)
{
    (void)state;
    start(43);
    for (uint64_t slot = 1; slot <= 5; slot++)
        write_whole(slot, 100);
    snapshot_prune(&config, 2);
    fake_drain(&disk);
    uint64_t size;
    assert_null(fake_file(&disk, "snap/0000000000000003.snap", &size));
    assert_non_null(fake_file(&disk, "snap/0000000000000004.snap", &size));
    assert_non_null(fake_file(&disk, "snap/0000000000000005.snap", &size));
    finish();
}

struct transfer {
    struct snapshot_receiver *receiver;
    struct snapshot_read read;
    uint64_t flip; /* the byte to damage on the way; UINT64_MAX: none */
    bool missing;
};

static void on_chunk(struct snapshot_read *read, enum status status, struct bytes bytes)
{
    struct transfer *transfer = read->owner;
    if (status != STATUS_OK) {
        transfer->missing = true;
        return;
    }
    uint8_t copy[4096];
    assert_true(bytes.size <= sizeof copy);
    memcpy(copy, bytes.data, bytes.size);
    if (transfer->flip >= read->offset && transfer->flip < read->offset + bytes.size)
        copy[transfer->flip - read->offset] ^= 1;
    assert_int_equal(snapshot_receive_offset(transfer->receiver), read->offset);
    snapshot_receive_chunk(transfer->receiver, bytes_of(copy, bytes.size));
}

/* What is read back of a file that came, and how that ended. */
struct arriving {
    struct outcome outcome;
    struct content content;
};

static enum status arriving_consume(void *owner, struct bytes piece)
{
    return consume(&((struct arriving *)owner)->content, piece);
}

static void on_received(void *owner, enum status status, const struct snapshot_info *info)
{
    ((struct arriving *)owner)->outcome = (struct outcome){true, status, info->size};
    if (status == STATUS_OK)
        assert_memory_equal(&info->mark, (&(struct snapshot_mark){3, {1, 2, (uint8_t)info->slot}}),
                            sizeof info->mark);
}

/* From this disk to another; returns how it ended there. */
static enum status send(uint64_t slot, uint64_t size, uint64_t flip, struct fake_disk *to,
                        const struct snapshot_config *there)
{
    const uint64_t content = 400000;
    struct transfer transfer = {.receiver = snapshot_receive(there, slot, size), .flip = flip};
    for (uint64_t offset = 0; offset < size; offset += 4096) {
        transfer.read = (struct snapshot_read){
            .slot = slot, .offset = offset, .size = 4096, .owner = &transfer, .done = on_chunk};
        snapshot_read(&config, &transfer.read);
        fake_drain(&disk);
        (void)fake_step(to);
    }
    struct arriving arriving = {.content = content_of(slot, content)};
    snapshot_receive_end(transfer.receiver, &arriving, arriving_consume, on_received);
    fake_drain(to);
    assert_true(arriving.outcome.called);
    if (arriving.outcome.status == STATUS_OK)
        assert_true(arriving.content.left == 0 && !arriving.content.wrong);
    return arriving.outcome.status;
}

static void a_snapshot_travels_and_damage_on_the_way_is_refused(void **state)
{
    (void)state;
    static struct fake_disk other;
    start(44);
    uint64_t size = write_whole(60, 400000);
    fake_init(&other, 45);
    struct snapshot_config there = {&other.world, &other.mem, CLUSTER};
    for (uint64_t flip = 0; flip < size; flip += 9973)
        assert_int_not_equal(send(60, size, flip, &other, &there), STATUS_OK);
    assert_int_not_equal(send(60, size - 1, UINT64_MAX, &other, &there), STATUS_OK);
    uint64_t found;
    assert_null(fake_file(&other, "snap/000000000000003c.snap", &found));
    assert_null(fake_file(&other, "snap/000000000000003c.part", &found));
    assert_int_equal(send(60, size, UINT64_MAX, &other, &there), STATUS_OK);
    finish();
    assert_int_equal(other.handles_open, 0);
    fake_crash(&other);
    disk = other;
    disk.allocations.next = disk.allocations.prev = &disk.allocations;
    for (uint32_t i = 0; i < 2; i++) {
        disk.queues[i].end = &disk.queues[i].first;
        disk.queues[i].finished_end = &disk.queues[i].finished;
    }
    config = (struct snapshot_config){&disk.world, &disk.mem, CLUSTER};
    check_content(60, 400000);
    finish();
}

static void a_transfer_can_be_cancelled_at_any_step(void **state)
{
    (void)state;
    start(46);
    for (uint32_t steps = 0; steps < 30; steps++) {
        struct snapshot_receiver *receiver = snapshot_receive(&config, 70, 100000);
        uint8_t bytes[1000] = {0};
        for (uint32_t i = 0; i < steps; i++) {
            if (i < 20)
                snapshot_receive_chunk(receiver, bytes_of(bytes, sizeof bytes));
            (void)fake_step(&disk);
        }
        snapshot_receive_cancel(receiver);
        fake_drain(&disk);
        assert_int_equal(disk.mem.used, 0);
        uint64_t size;
        assert_null(fake_file(&disk, "snap/0000000000000046.part", &size));
    }
    finish();
}

static void reading_a_snapshot_that_is_gone_says_so(void **state)
{
    (void)state;
    start(47);
    struct transfer transfer = {0};
    transfer.read =
        (struct snapshot_read){.slot = 1, .size = 10, .owner = &transfer, .done = on_chunk};
    snapshot_read(&config, &transfer.read);
    fake_drain(&disk);
    assert_true(transfer.missing);
    finish();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_found_and_loaded),
        cmocka_unit_test(a_crash_at_any_step_leaves_the_old_or_the_new),
        cmocka_unit_test(a_failure_while_writing_is_reported_and_leaves_nothing),
        cmocka_unit_test(a_held_snapshot_waits_and_is_whole_in_the_end),
        cmocka_unit_test(a_cancelled_snapshot_ends_at_any_step_and_leaves_nothing_half_done),
        cmocka_unit_test(every_flipped_byte_is_found_and_an_older_snapshot_serves),
        cmocka_unit_test(a_snapshot_that_is_cut_or_too_long_is_damaged),
        cmocka_unit_test(the_snapshot_of_another_cluster_is_refused),
        cmocka_unit_test(a_snapshot_without_a_mark_is_still_read),
        cmocka_unit_test(pruning_keeps_the_newest),
        cmocka_unit_test(a_snapshot_travels_and_damage_on_the_way_is_refused),
        cmocka_unit_test(a_transfer_can_be_cancelled_at_any_step),
        cmocka_unit_test(reading_a_snapshot_that_is_gone_says_so),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
