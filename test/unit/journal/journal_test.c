/* The journal over a disk that loses, tears and fails. */
#include "journal/journal.h"
#include "journal/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support_host.h"

#define FIRST_LOG "log/0000000000000001.log"
#define SECOND_LOG "log/0000000000000002.log"

static struct host host;

static void check(const char *what, uint64_t seed)
{
    if (host.foreign)
        fail_msg("%s: seed %llu: %s", what, (unsigned long long)seed, host.error);
}

static void append_durably(uint32_t count)
{
    host_append(&host, count);
    journal_flush(host.journal);
    fake_drain(&host.disk);
}

static void reopen(void)
{
    host_close(&host);
    assert_int_equal(host.disk.handles_open, 0);
    assert_int_equal(host.disk.mem.used, 0);
    assert_int_equal(host_open(&host), STATUS_OK);
}

static void an_empty_directory_becomes_an_empty_log(void **state)
{
    (void)state;
    host_init(&host, 1);
    assert_int_equal(host_open(&host), STATUS_OK);
    assert_int_equal(journal_last(host.journal), 0);
    assert_int_equal(journal_first_slot(host.journal), 0);
    reopen();
    assert_int_equal(journal_durable(host.journal), 0);
    host_close(&host);
    host_release(&host);
}

static void records_come_back_in_order_and_unchanged(void **state)
{
    (void)state;
    host_init(&host, 2);
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 1; i <= 60; i++)
        append_durably(i % 7);
    uint64_t last = host.appended;
    assert_int_equal(journal_durable(host.journal), last);
    assert_int_equal(journal_pending_bytes(host.journal), 0);
    reopen();
    assert_int_equal(host.replayed, last);
    assert_int_equal(host.replayed_first, 1);
    check("order", 2);
    host_close(&host);
    host_release(&host);
}

static void what_is_appended_during_a_sync_goes_into_the_next(void **state)
{
    (void)state;
    host_init(&host, 3);
    host.config.segment_size = 16 << 20;
    assert_int_equal(host_open(&host), STATUS_OK);
    host_append(&host, 1);
    journal_flush(host.journal);
    host_append(&host, 400); /* more large entries than one write has parts */
    assert_true(journal_pending_bytes(host.journal) > 0);
    fake_drain(&host.disk);
    struct journal_stats stats;
    journal_stats(host.journal, &stats);
    assert_int_equal(stats.records, 401);
    assert_true(stats.syncs >= 2 && stats.syncs <= 4);
    assert_true(stats.batch_records_max >= 100);
    uint64_t counted = 0;
    for (size_t i = 0; i < sizeof stats.sync_buckets / sizeof stats.sync_buckets[0]; i++)
        counted += stats.sync_buckets[i];
    assert_int_equal(counted, stats.syncs);
    assert_int_equal(journal_durable(host.journal), 401);
    host_close(&host);
    host_release(&host);
}

static void nothing_is_durable_before_its_sync(void **state)
{
    (void)state;
    host_init(&host, 4);
    assert_int_equal(host_open(&host), STATUS_OK);
    fake_drain(&host.disk);
    host_append(&host, 1);
    assert_false(fake_step(&host.disk)); /* not flushed */
    journal_flush(host.journal);
    while (host.durable == 0) {
        struct fake_queue *log = &host.disk.queues[DISK_QUEUE_LOG];
        assert_int_equal(journal_durable(host.journal), 0);
        assert_true(log->first != NULL || log->finished != NULL);
        assert_true(fake_step(&host.disk));
    }
    host_close(&host);
    host_release(&host);
}

/* Anything a host may do, and the disk a step now and then. */
static void live_randomly(struct prng *prng, uint64_t steps)
{
    for (uint64_t i = 0; i < steps && host.failures == 0; i++) {
        switch (prng_below(prng, 6)) {
        case 0:
            host_append(&host, 1 + (uint32_t)prng_below(prng, 5));
            break;
        case 1:
            journal_flush(host.journal);
            break;
        case 2:
            if (prng_below(prng, 10) == 0)
                journal_trim(host.journal, host.durable, host.durable, prng_below(prng, 60000));
            break;
        default:
            (void)fake_step(&host.disk);
        }
    }
}

static void every_acknowledged_record_survives_any_crash(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 300; seed++) {
        struct prng prng = prng_seed(seed);
        host_init(&host, seed);
        for (uint32_t life = 0; life < 6; life++) {
            enum status status = host_open(&host);
            if (status != STATUS_OK)
                fail_msg("seed %llu life %u: %s: %s", (unsigned long long)seed, life,
                         status_text(status), host.error);
            check("crash", seed);
            /* At times the power goes right after a boot: what was replayed counts as durable. */
            if (prng_below(&prng, 4) != 0)
                live_randomly(&prng, prng_below(&prng, 150));
            check("crash", seed);
            if (prng_below(&prng, 3) == 0)
                fake_kill(&host.disk);
            else
                fake_crash(&host.disk);
        }
        host_release(&host);
    }
}

static void a_crash_during_recovery_is_recovered_from(void **state)
{
    (void)state;
    uint32_t deaths = 0;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng prng = prng_seed(seed);
        host_init(&host, seed);
        for (uint32_t life = 0; life < 5; life++) {
            for (uint32_t attempt = 0; attempt < 4; attempt++) {
                host.disk.die = 1 + (uint32_t)prng_below(&prng, 16);
                if (host_open(&host) == STATUS_OK)
                    break;
                deaths++;
                assert_true(host.disk.dead);
                fake_crash(&host.disk);
            }
            if (host.journal == NULL && host_open(&host) != STATUS_OK)
                fail_msg("seed %llu: %s", (unsigned long long)seed, host.error);
            host.disk.die = 0;
            live_randomly(&prng, prng_below(&prng, 100));
            check("crash in recovery", seed);
            host.journal = NULL;
            fake_crash(&host.disk);
        }
        host_release(&host);
    }
    assert_true(deaths > 100);
}

static void the_log_runs_over_many_segments(void **state)
{
    (void)state;
    host_init(&host, 5);
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 0; i < 200; i++) {
        host_append(&host, 3);
        journal_flush(host.journal);
        if (i % 3 == 0)
            fake_drain(&host.disk);
    }
    fake_drain(&host.disk);
    struct journal_stats stats;
    journal_stats(host.journal, &stats);
    assert_true(stats.segments > 10);
    assert_int_equal(host.durable, 600);
    reopen();
    assert_int_equal(host.replayed, 600);
    check("segments", 5);
    host_close(&host);
    host_release(&host);
}

static void a_record_larger_than_the_first_segment_waits_for_the_next(void **state)
{
    (void)state;
    host_init(&host, 13);
    host.config.segment_size = 4 << 20;
    host.config.record_size_max = 3 << 20;
    assert_int_equal(host_open(&host), STATUS_OK);
    struct blob *entry = blob_new(&host.disk.mem, 3 << 20);
    memset(entry->data, 1, entry->size);
    struct journal_record record = {.type = 1, .located = true, .slot = 1, .entry = entry};
    host.appended = journal_append(host.journal, &record);
    blob_drop(entry);
    journal_flush(host.journal);
    fake_drain(&host.disk);
    assert_int_equal(host.durable, 1);
    struct journal_stats stats;
    journal_stats(host.journal, &stats);
    assert_int_equal(stats.segments, 2);
    host_close(&host);
    host_release(&host);
}

static void a_missing_segment_is_named(void **state)
{
    (void)state;
    host_init(&host, 6);
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 0; i < 100; i++)
        append_durably(2);
    host_close(&host);
    fake_unlink(&host.disk, SECOND_LOG);
    assert_int_equal(host_open(&host), STATUS_CORRUPT);
    assert_non_null(strstr(host.error, SECOND_LOG));
    assert_non_null(strstr(host.error, "missing"));
    host_release(&host);
}

static void damage_in_front_of_a_later_segment_is_found(void **state)
{
    (void)state;
    host_init(&host, 6);
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 0; i < 100; i++)
        append_durably(2);
    host_close(&host);
    uint64_t size;
    uint8_t *file = fake_file(&host.disk, SECOND_LOG, &size);
    file[4200] ^= 1;
    assert_int_equal(host_open(&host), STATUS_CORRUPT);
    assert_non_null(strstr(host.error, SECOND_LOG ", byte 4096: "));
    assert_non_null(strstr(host.error, "is damaged"));
    memset(file + 4096, 0, size - 4096);
    assert_int_equal(host_open(&host), STATUS_CORRUPT);
    assert_non_null(strstr(host.error, "is missing"));
    host_release(&host);
}

static void the_log_of_another_member_or_cluster_is_refused(void **state)
{
    (void)state;
    host_small_log(&host, 7);
    host.config.member++;
    assert_int_equal(host_open(&host), STATUS_MISMATCH);
    assert_non_null(strstr(host.error, "another member"));
    host.config.member--;
    host.config.cluster++;
    assert_int_equal(host_open(&host), STATUS_MISMATCH);
    assert_non_null(strstr(host.error, "another cluster"));
    host_release(&host);
}

struct reading_result {
    enum status status;
    uint32_t count;
    bool called;
    uint64_t slot;
};

/* The last durable record that holds the value of a slot; 0: none. */
static uint64_t model_find(uint64_t slot)
{
    for (uint64_t lsn = host.durable; lsn > 0; lsn--) {
        uint8_t head[HOST_HEAD_MAX];
        struct journal_record record = host_record(&host, lsn, head);
        blob_drop(record.entry);
        if (record.located && record.slot == slot)
            return lsn;
    }
    return 0;
}

static void on_read(struct journal_read *read, enum status status,
                    const struct journal_entry *entries, uint32_t count)
{
    struct reading_result *result = read->owner;
    *result = (struct reading_result){status, count, true, read->slot};
    for (uint32_t i = 0; i < count; i++) {
        uint8_t head[HOST_HEAD_MAX];
        struct journal_record record = host_record(&host, model_find(read->slot + i), head);
        assert_true(bytes_equal(entries[i].head, record.head));
        assert_true(bytes_equal(blob_bytes(entries[i].entry), blob_bytes(record.entry)));
        blob_drop(record.entry);
    }
}

static struct reading_result read_slots(uint64_t slot, uint32_t count_max, uint64_t bytes_max)
{
    struct reading_result result = {0};
    struct journal_read read = {.slot = slot,
                                .count_max = count_max,
                                .bytes_max = bytes_max,
                                .owner = &result,
                                .done = on_read};
    journal_read(host.journal, &read);
    fake_drain(&host.disk);
    assert_true(result.called);
    return result;
}

static void check_reads(void)
{
    uint64_t first = journal_first_slot(host.journal);
    for (uint64_t slot = 1; slot < host.durable + 12; slot++) {
        struct reading_result result = read_slots(slot, 1, 1);
        bool known = model_find(slot) != 0;
        if (slot >= first)
            assert_int_equal(result.status, known ? STATUS_OK : STATUS_NOT_FOUND);
        assert_int_equal(result.count, result.status == STATUS_OK ? 1 : 0);
    }
    assert_true(read_slots(first, 1000, 1 << 20).count >= 1);
    assert_true(read_slots(first, 3, 1 << 20).count <= 3);
}

static void slots_are_read_back_before_and_after_recovery_and_trim(void **state)
{
    (void)state;
    host_init(&host, 8);
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 0; i < 50; i++)
        append_durably(4);
    host_append(&host, 3); /* neither durable nor visible */
    check_reads();
    uint64_t first = journal_first_slot(host.journal);
    uint64_t before = host.disk.steps;
    journal_trim(host.journal, 100, 90, 0);
    fake_drain(&host.disk);
    assert_true(host.disk.steps > before);
    assert_true(journal_first_slot(host.journal) > first);
    assert_true(journal_first_slot(host.journal) <= 101);
    check_reads();
    reopen();
    assert_true(host.replayed_first > 1 && host.replayed_first <= 90);
    assert_int_equal(host.replayed, 200); /* a close does not flush */
    check_reads();
    check("read", 8);
    host_close(&host);
    host_release(&host);
}

/* on_read compares whatever is handed out. */
static void no_damaged_record_is_handed_out(void **state)
{
    (void)state;
    host_init(&host, 10);
    assert_int_equal(host_open(&host), STATUS_OK);
    append_durably(12);
    uint64_t size;
    uint8_t *file = fake_file(&host.disk, FIRST_LOG, &size);
    uint64_t end = SEGMENT_RECORDS_AT;
    for (uint64_t at = end; at < size; at++)
        end = file[at] != 0 ? at + 1 : end;
    uint32_t found = 0;
    for (uint64_t at = SEGMENT_RECORDS_AT; at < end; at += 7) {
        file[at] ^= 4;
        for (uint64_t slot = journal_first_slot(host.journal); slot < 30; slot++)
            found += read_slots(slot, 1, 1).status == STATUS_CORRUPT;
        file[at] ^= 4;
    }
    assert_true(found > 100);
    host_close(&host);
    host_release(&host);
}

static void a_trim_keeps_what_it_was_told_to_keep(void **state)
{
    (void)state;
    host_init(&host, 9);
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 0; i < 100; i++)
        append_durably(4);
    struct journal_stats before, after;
    journal_stats(host.journal, &before);
    journal_trim(host.journal, 400, 1, 0);
    journal_trim(host.journal, 0, 400, 0);
    journal_trim(host.journal, 400, 400, before.disk_bytes);
    journal_stats(host.journal, &after);
    assert_int_equal(after.segments, before.segments);
    journal_trim(host.journal, 400, 401, before.disk_bytes / 2);
    journal_stats(host.journal, &after);
    assert_true(after.segments < before.segments);
    assert_true(after.disk_bytes >= before.disk_bytes / 2);
    journal_trim(host.journal, UINT64_MAX, UINT64_MAX, 0);
    fake_drain(&host.disk);
    reopen();
    assert_int_equal(host.replayed, 400);
    host_close(&host);
    host_release(&host);
}

static void slots_are_read_while_records_are_written(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng prng = prng_seed(seed);
        host_init(&host, seed);
        assert_int_equal(host_open(&host), STATUS_OK);
        append_durably(8);
        for (uint32_t round = 0; round < 20; round++) {
            struct reading_result result = {0};
            struct journal_read read = {.slot = journal_first_slot(host.journal),
                                        .count_max = 1000,
                                        .bytes_max = 1 << 20,
                                        .owner = &result,
                                        .done = on_read};
            read.slot += prng_below(&prng, host.durable);
            journal_read(host.journal, &read);
            while (!result.called) {
                host_append(&host, (uint32_t)prng_below(&prng, 3));
                journal_flush(host.journal);
                if (prng_below(&prng, 30) == 0)
                    journal_trim(host.journal, host.durable, host.durable, 0);
                (void)fake_step(&host.disk);
            }
            if (result.status != STATUS_OK && result.status != STATUS_NOT_FOUND)
                fail_msg("seed %llu: %s", (unsigned long long)seed, status_text(result.status));
        }
        check("read while writing", seed);
        host_close(&host);
        host_release(&host);
    }
}

/* The segment of the last durable record stays until the next one holds a durable record too. */
static void a_trim_leaves_a_log_that_knows_where_it_was(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        host_init(&host, seed);
        assert_int_equal(host_open(&host), STATUS_OK);
        struct journal_stats stats = {0};
        do {
            fake_drain(&host.disk);
            host_append(&host, 1);
            journal_flush(host.journal);
            journal_stats(host.journal, &stats);
        } while (stats.segments < 2);
        journal_trim(host.journal, UINT64_MAX, UINT64_MAX, 0);
        for (uint64_t i = 0; i < seed % 12; i++)
            (void)fake_step(&host.disk);
        fake_crash(&host.disk);
        if (host_open(&host) != STATUS_OK)
            fail_msg("seed %llu: %s", (unsigned long long)seed, host.error);
        check("trim", seed);
        host_close(&host);
        host_release(&host);
    }
}

/* What was promised about trimmed slots is in the snapshot. Without it the rest of the log must not
 * pass for the whole, whenever the power went during the trim. */
static void a_trimmed_log_without_its_snapshot_is_refused(void **state)
{
    (void)state;
    uint32_t refused = 0;
    for (uint64_t seed = 1; seed <= 400; seed++) {
        host_init(&host, seed);
        assert_int_equal(host_open(&host), STATUS_OK);
        struct journal_stats stats = {0};
        while (stats.segments < 5) {
            append_durably(1);
            journal_stats(host.journal, &stats);
        }
        journal_trim(host.journal, host.durable / 2, host.durable, 0);
        for (uint64_t i = 0; i < seed % 30; i++)
            (void)fake_step(&host.disk);
        journal_trim(host.journal, host.durable, host.durable, 0);
        for (uint64_t i = 0; i < seed / 30 % 30; i++)
            (void)fake_step(&host.disk);
        if (seed % 4 == 0)
            fake_kill(&host.disk);
        else
            fake_crash(&host.disk);
        host.config.snapshot_slot = 0;
        enum status status = host_open(&host);
        if (status == STATUS_OK) {
            assert_int_equal(host.replayed_first, 1);
        } else {
            assert_int_equal(status, STATUS_CORRUPT);
            assert_non_null(strstr(host.error, "is gone"));
            refused++;
            host.config.snapshot_slot = host.durable / 4;
            if (host_open(&host) != STATUS_OK) {
                assert_non_null(strstr(host.error, "ends at slot"));
                host.config.snapshot_slot = host.durable;
                assert_int_equal(host_open(&host), STATUS_OK);
            }
        }
        check("snapshot gone", seed);
        host_close(&host);
        host_release(&host);
    }
    assert_true(refused > 100 && refused < 400);
}

/* A member that is made gets its log first, so that a log which is gone is known to be a loss. */
static void a_log_that_is_made_is_expected_from_then_on(void **state)
{
    (void)state;
    for (uint32_t die = 0; die < 12; die++) {
        host_init(&host, die + 1);
        struct world *world = &host.disk.world;
        struct mem *mem = &host.disk.mem;
        struct text error = text_of(host.error, sizeof host.error);
        assert_int_equal(journal_expect(world, &error), STATUS_CORRUPT);
        assert_non_null(strstr(host.error, "is gone"));
        host.disk.die = die;
        error = text_of(host.error, sizeof host.error);
        bool made = journal_create(world, mem, HOST_CLUSTER, HOST_MEMBER, &error) == STATUS_OK;
        assert_true(made || die > 0);
        fake_crash(&host.disk);
        error = text_of(host.error, sizeof host.error);
        if (!made)
            assert_int_equal(journal_create(world, mem, HOST_CLUSTER, HOST_MEMBER, &error),
                             STATUS_OK);
        assert_int_equal(journal_expect(world, &error), STATUS_OK);
        assert_int_equal(host_open(&host), STATUS_OK);
        append_durably(5);
        host_close(&host);
        error = text_of(host.error, sizeof host.error);
        assert_int_equal(journal_create(world, mem, HOST_CLUSTER, HOST_MEMBER, &error),
                         STATUS_CORRUPT);
        assert_non_null(strstr(host.error, "identity of this member is gone"));
        assert_int_equal(host_open(&host), STATUS_OK);
        assert_int_equal(host.replayed, 5);
        check("made", die);
        host_close(&host);
        assert_int_equal(host.disk.handles_open, 0);
        assert_int_equal(mem->used, 0);
        host_release(&host);
    }
}

static void damage_is_found_when_a_slot_is_read_back(void **state)
{
    (void)state;
    host_small_log(&host, 20);
    assert_int_equal(host_open(&host), STATUS_OK);
    uint64_t size;
    uint8_t *file = fake_file(&host.disk, FIRST_LOG, &size);
    for (uint64_t at = 4096; at < 8192; at++)
        file[at] ^= 1;
    assert_int_equal(read_slots(journal_first_slot(host.journal), 5, 1 << 20).status,
                     STATUS_CORRUPT);
    host_close(&host);
    host_release(&host);
}

static void a_failed_write_or_sync_is_reported_once_and_ends_all_promises(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        struct prng prng = prng_seed(seed);
        host_init(&host, seed);
        assert_int_equal(host_open(&host), STATUS_OK);
        host.disk.sticky = prng_below(&prng, 2) == 0;
        uint32_t *which = prng_below(&prng, 2) == 0 ? &host.disk.fail_write : &host.disk.fail_sync;
        *which = 1 + (uint32_t)prng_below(&prng, 40);
        for (uint32_t i = 0; i < 60; i++) {
            host_append(&host, 2);
            journal_flush(host.journal);
            for (uint32_t j = 0; j < 4; j++)
                (void)fake_step(&host.disk);
        }
        fake_drain(&host.disk);
        assert_true(host.failures <= 1);
        if (host.disk.sticky)
            assert_int_equal(host.failures, 1);
        uint64_t durable = host.durable;
        host_append(&host, 5);
        journal_flush(host.journal);
        fake_drain(&host.disk);
        if (host.failures == 1)
            assert_int_equal(host.durable, durable);
        *which = 0;
        /* The process ends; a new one believes the page cache; then the power goes. */
        fake_kill(&host.disk);
        assert_int_equal(host_open(&host), STATUS_OK);
        fake_crash(&host.disk);
        assert_int_equal(host_open(&host), STATUS_OK);
        check("failure", seed);
        host_close(&host);
        host_release(&host);
    }
}

static void a_full_disk_stops_the_log_only_when_the_segment_is_full(void **state)
{
    (void)state;
    host_init(&host, 10);
    assert_int_equal(host_open(&host), STATUS_OK);
    fake_drain(&host.disk); /* a spare is ready */
    host.disk.fail_status = STATUS_NO_SPACE;
    host.disk.fail_create = 1;
    host.disk.sticky = true;
    uint32_t rounds = 0;
    while (host.failures == 0 && ++rounds < 1000)
        append_durably(1);
    struct journal_stats stats;
    journal_stats(host.journal, &stats);
    assert_int_equal(host.failures, 1);
    assert_int_equal(stats.segments, 2);
    uint64_t durable = host.durable;
    host.disk.fail_create = 0;
    fake_drain(&host.disk);
    fake_kill(&host.disk);
    assert_int_equal(host_open(&host), STATUS_OK);
    assert_int_equal(host.replayed, durable);
    for (uint32_t i = 0; i < 100; i++)
        append_durably(2);
    assert_int_equal(host.durable, durable + 200);
    host_close(&host);
    host_release(&host);
}

static void a_creation_that_failed_once_is_tried_again(void **state)
{
    (void)state;
    host_init(&host, 11);
    host.disk.fail_create = 2; /* the first segment is the first */
    assert_int_equal(host_open(&host), STATUS_OK);
    for (uint32_t i = 0; i < 100; i++)
        append_durably(2);
    assert_int_equal(host.failures, 0);
    assert_int_equal(host.durable, 200);
    host_close(&host);
    host_release(&host);
}

static void a_segment_too_small_for_a_record_is_refused(void **state)
{
    (void)state;
    host_init(&host, 12);
    host.config.segment_size = 8192;
    assert_int_equal(host_open(&host), STATUS_INVALID);
    host.config.segment_size = 32768 + 512;
    assert_int_equal(host_open(&host), STATUS_INVALID);
    host_release(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_empty_directory_becomes_an_empty_log),
        cmocka_unit_test(records_come_back_in_order_and_unchanged),
        cmocka_unit_test(what_is_appended_during_a_sync_goes_into_the_next),
        cmocka_unit_test(nothing_is_durable_before_its_sync),
        cmocka_unit_test(every_acknowledged_record_survives_any_crash),
        cmocka_unit_test(a_crash_during_recovery_is_recovered_from),
        cmocka_unit_test(the_log_runs_over_many_segments),
        cmocka_unit_test(a_record_larger_than_the_first_segment_waits_for_the_next),
        cmocka_unit_test(a_missing_segment_is_named),
        cmocka_unit_test(damage_in_front_of_a_later_segment_is_found),
        cmocka_unit_test(the_log_of_another_member_or_cluster_is_refused),
        cmocka_unit_test(slots_are_read_back_before_and_after_recovery_and_trim),
        cmocka_unit_test(no_damaged_record_is_handed_out),
        cmocka_unit_test(a_trim_keeps_what_it_was_told_to_keep),
        cmocka_unit_test(slots_are_read_while_records_are_written),
        cmocka_unit_test(a_trim_leaves_a_log_that_knows_where_it_was),
        cmocka_unit_test(a_trimmed_log_without_its_snapshot_is_refused),
        cmocka_unit_test(a_log_that_is_made_is_expected_from_then_on),
        cmocka_unit_test(damage_is_found_when_a_slot_is_read_back),
        cmocka_unit_test(a_failed_write_or_sync_is_reported_once_and_ends_all_promises),
        cmocka_unit_test(a_full_disk_stops_the_log_only_when_the_segment_is_full),
        cmocka_unit_test(a_creation_that_failed_once_is_tried_again),
        cmocka_unit_test(a_segment_too_small_for_a_record_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
