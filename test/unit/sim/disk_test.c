/* The simulated disk: what survives what. Each case runs over many seeds, and what may happen one
 * way or the other must have been seen both ways. */
#include "sim/disk.h"
#include "sim/pool.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#define SEEDS 200

struct rig {
    struct pool pool;
    struct prng prng;
    struct sim_disk disk;
    bool may_damage;
};

static bool may_damage(void *owner)
{
    return ((struct rig *)owner)->may_damage;
}

static void rig_init(struct rig *rig, uint64_t seed)
{
    pool_init(&rig->pool);
    rig->prng = prng_seed(seed);
    disk_init(&rig->disk, &rig->pool.mem, &rig->prng);
    rig->disk.faults.keep = 500000;
    rig->disk.owner = rig;
    rig->disk.may_damage = may_damage;
    rig->may_damage = true;
}

static void rig_release(struct rig *rig)
{
    disk_wipe(&rig->disk);
    pool_release(&rig->pool);
}

static enum status perform(struct rig *rig, struct disk_job *job)
{
    return disk_perform(&rig->disk, DISK_QUEUE_LOG, job);
}

static void job_name(struct disk_job *job, const char *name)
{
    memcpy(job->name, name, strlen(name) + 1);
}

static int create(struct rig *rig, const char *name, uint64_t size)
{
    struct disk_job job = {.op = DISK_CREATE, .size = size};
    job_name(&job, name);
    assert_int_equal(perform(rig, &job), STATUS_OK);
    return job.file;
}

static enum status sync_directory(struct rig *rig, const char *name)
{
    struct disk_job job = {.op = DISK_SYNC_DIRECTORY};
    job_name(&job, name);
    return perform(rig, &job);
}

/* Fills `sectors` sectors from `first` on with one byte. */
static enum status fill(struct rig *rig, int file, uint64_t first, uint64_t sectors, uint8_t byte,
                        bool sync)
{
    uint8_t data[16 * DISK_SECTOR];
    assert_true(sectors * DISK_SECTOR <= sizeof data);
    memset(data, byte, sizeof data);
    struct bytes part = bytes_of(data, sectors * DISK_SECTOR);
    struct disk_job job = {.op = DISK_WRITE,
                           .file = file,
                           .offset = first * DISK_SECTOR,
                           .parts = &part,
                           .parts_count = 1,
                           .sync = sync};
    return perform(rig, &job);
}

/* The file, opened again; -1: there is none. */
static int open_again(struct rig *rig, const char *name)
{
    struct disk_job job = {.op = DISK_OPEN};
    job_name(&job, name);
    return perform(rig, &job) == STATUS_OK ? job.file : -1;
}

/* The byte that fills the sector. */
static uint8_t sector_of(struct rig *rig, int file, uint64_t sector)
{
    uint8_t data[DISK_SECTOR];
    struct disk_job job = {.op = DISK_READ,
                           .file = file,
                           .offset = sector * DISK_SECTOR,
                           .into = data,
                           .size = sizeof data};
    assert_int_equal(perform(rig, &job), STATUS_OK);
    for (uint32_t i = 1; i < DISK_SECTOR; i++)
        assert_int_equal(data[i], data[0]); /* sectors are never torn inside */
    return data[0];
}

static void unsynced_sectors_survive_a_power_cut_each_by_itself(void **state)
{
    (void)state;
    uint32_t kept[4] = {0};
    uint32_t mixed = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        int file = create(&rig, "log/a", 65536);
        assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
        assert_int_equal(fill(&rig, file, 0, 2, 1, true), STATUS_OK);
        assert_int_equal(fill(&rig, file, 1, 3, 2, false), STATUS_OK);
        disk_power_cut(&rig.disk);
        file = open_again(&rig, "log/a");
        assert_int_equal(sector_of(&rig, file, 0), 1); /* synced, not written again */
        uint32_t count = 0;
        for (uint64_t s = 1; s <= 3; s++) {
            uint8_t byte = sector_of(&rig, file, s);
            assert_true(byte == 2 || byte == (s == 1 ? 1 : 0));
            kept[s] += byte == 2;
            count += byte == 2;
        }
        mixed += count == 1 || count == 2;
        rig_release(&rig);
    }
    for (uint32_t s = 1; s <= 3; s++)
        assert_in_range(kept[s], SEEDS / 4, 3 * SEEDS / 4);
    assert_true(mixed > SEEDS / 3); /* the write is torn */
}

static void a_process_that_dies_loses_nothing_that_it_had_written(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    int file = create(&rig, "log/a", 4096);
    assert_int_equal(fill(&rig, file, 0, 3, 7, false), STATUS_OK);
    disk_close_all(&rig.disk);
    file = open_again(&rig, "log/a");
    for (uint64_t s = 0; s < 3; s++)
        assert_int_equal(sector_of(&rig, file, s), 7);
    rig_release(&rig);
}

static void a_name_needs_the_sync_of_its_directory(void **state)
{
    (void)state;
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        create(&rig, "log/old", 0);
        assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
        create(&rig, "log/new", 0);
        create(&rig, "snap/other", 0);
        assert_int_equal(sync_directory(&rig, "snap"), STATUS_OK);
        disk_power_cut(&rig.disk);
        assert_true(open_again(&rig, "log/old") >= 0);
        assert_true(open_again(&rig, "snap/other") >= 0);
        lost += open_again(&rig, "log/new") < 0;
        rig_release(&rig);
    }
    assert_in_range(lost, SEEDS / 4, 3 * SEEDS / 4);
}

static void a_failed_sync_leaves_pages_that_lie(void **state)
{
    (void)state;
    uint32_t lost = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        int file = create(&rig, "log/a", 4096);
        assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
        assert_int_equal(fill(&rig, file, 0, 1, 5, false), STATUS_OK);
        struct disk_job job = {.op = DISK_SYNC, .file = file};
        rig.disk.faults.error = 1000000;
        assert_int_equal(perform(&rig, &job), STATUS_IO);
        rig.disk.faults.error = 0;
        /* The page cache shows it, and a second sync succeeds. */
        assert_int_equal(sector_of(&rig, file, 0), 5);
        assert_int_equal(perform(&rig, &job), STATUS_OK);
        disk_power_cut(&rig.disk);
        lost += sector_of(&rig, open_again(&rig, "log/a"), 0) == 0;
        rig_release(&rig);
    }
    assert_in_range(lost, SEEDS / 4, 3 * SEEDS / 4);
}

/* One synced write of two is lost: that shows only when the later one is durable. */
static void a_lost_write_shows_when_a_later_one_is_durable(void **state)
{
    (void)state;
    for (uint32_t later = 0; later < 2; later++) {
        struct rig rig;
        rig_init(&rig, 1);
        int file = create(&rig, "log/a", 8192);
        assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
        rig.disk.faults.lost_write = 1000000;
        assert_int_equal(fill(&rig, file, 0, 1, 3, true), STATUS_OK);
        rig.disk.faults.lost_write = 0;
        if (later)
            assert_int_equal(fill(&rig, file, 1, 1, 4, true), STATUS_OK);
        assert_int_equal(sector_of(&rig, file, 0), 3);
        disk_power_cut(&rig.disk);
        file = open_again(&rig, "log/a");
        assert_int_equal(sector_of(&rig, file, 0), later ? 0 : 3);
        assert_int_equal(sector_of(&rig, file, 1), later ? 4 : 0);
        rig_release(&rig);
    }
}

static void a_misdirected_write_lands_elsewhere(void **state)
{
    (void)state;
    uint32_t elsewhere = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        int file = create(&rig, "log/a", 16 * DISK_SECTOR);
        assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
        assert_int_equal(fill(&rig, file, 0, 16, 1, true), STATUS_OK);
        rig.disk.faults.misdirect = 1000000;
        assert_int_equal(fill(&rig, file, 8, 1, 2, true), STATUS_OK);
        rig.disk.faults.misdirect = 0;
        assert_int_equal(fill(&rig, file, 15, 1, 1, true), STATUS_OK);
        disk_evict(&rig.disk); /* the page cache forgets what it knew better */
        assert_int_equal(sector_of(&rig, file, 8), 1);
        for (uint64_t s = 0; s < 16; s++)
            elsewhere += sector_of(&rig, file, s) == 2;
        rig_release(&rig);
    }
    assert_in_range(elsewhere, SEEDS / 2, SEEDS);
}

static void nothing_is_damaged_where_the_atlas_forbids_it(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    rig.may_damage = false;
    rig.disk.faults.lost_write = rig.disk.faults.misdirect = 1000000;
    int file = create(&rig, "log/a", 8192);
    assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
    for (uint64_t s = 0; s < 8; s++)
        assert_int_equal(fill(&rig, file, s, 1, (uint8_t)(s + 1), true), STATUS_OK);
    disk_power_cut(&rig.disk);
    file = open_again(&rig, "log/a");
    for (uint64_t s = 0; s < 8; s++)
        assert_int_equal(sector_of(&rig, file, s), s + 1);
    rig_release(&rig);
}

static void a_full_disk_takes_what_was_allocated_before(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    int file = create(&rig, "log/a", 4096);
    rig.disk.faults.full = true;
    assert_int_equal(fill(&rig, file, 0, 8, 1, true), STATUS_OK);
    assert_int_equal(fill(&rig, file, 7, 2, 1, true), STATUS_NO_SPACE);
    struct disk_job job = {.op = DISK_CREATE, .size = 4096};
    job_name(&job, "log/b");
    assert_int_equal(perform(&rig, &job), STATUS_NO_SPACE);
    rig.disk.faults.full = false;
    assert_int_equal(perform(&rig, &job), STATUS_OK);
    rig_release(&rig);
}

static void a_job_that_is_cut_off_happens_in_part(void **state)
{
    (void)state;
    uint32_t counts[5] = {0};
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct rig rig;
        rig_init(&rig, seed);
        int file = create(&rig, "log/a", 4096);
        assert_int_equal(sync_directory(&rig, "log"), STATUS_OK);
        uint8_t data[4 * DISK_SECTOR];
        memset(data, 9, sizeof data);
        struct bytes part = bytes_of(data, sizeof data);
        struct disk_job job = {
            .op = DISK_WRITE, .file = file, .parts = &part, .parts_count = 1, .sync = true};
        disk_interrupt(&rig.disk, &job);
        disk_close_all(&rig.disk);
        file = open_again(&rig, "log/a");
        uint32_t count = 0;
        while (count < 4 && sector_of(&rig, file, count) == 9)
            count++;
        for (uint32_t s = count; s < 4; s++)
            assert_int_equal(sector_of(&rig, file, s), 0);
        counts[count]++;
        rig_release(&rig);
    }
    for (uint32_t i = 0; i < 5; i++)
        assert_true(counts[i] > 5);
}

static void a_wiped_disk_is_empty_and_leaks_nothing(void **state)
{
    (void)state;
    struct rig rig;
    rig_init(&rig, 1);
    int file = create(&rig, "log/a", 65536);
    assert_int_equal(fill(&rig, file, 0, 16, 1, false), STATUS_OK);
    size_t used = rig.pool.mem.used;
    disk_wipe(&rig.disk);
    assert_true(open_again(&rig, "log/a") < 0);
    assert_true(rig.pool.mem.used < used / 2);
    rig_release(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unsynced_sectors_survive_a_power_cut_each_by_itself),
        cmocka_unit_test(a_process_that_dies_loses_nothing_that_it_had_written),
        cmocka_unit_test(a_name_needs_the_sync_of_its_directory),
        cmocka_unit_test(a_failed_sync_leaves_pages_that_lie),
        cmocka_unit_test(a_lost_write_shows_when_a_later_one_is_durable),
        cmocka_unit_test(a_misdirected_write_lands_elsewhere),
        cmocka_unit_test(nothing_is_damaged_where_the_atlas_forbids_it),
        cmocka_unit_test(a_full_disk_takes_what_was_allocated_before),
        cmocka_unit_test(a_job_that_is_cut_off_happens_in_part),
        cmocka_unit_test(a_wiped_disk_is_empty_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
