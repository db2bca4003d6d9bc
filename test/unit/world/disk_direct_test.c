/* Direct writes and reads: whatever way bytes go, the file holds what a plain array would.
 */
#include "base/prng.h"
#include "world/support_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cmocka.h>

#define MODEL_SIZE ((size_t)4 * 1024 * 1024)

static uint8_t model[MODEL_SIZE];
static _Alignas(DISK_PAGE) uint8_t found[MODEL_SIZE];

static void write_parts(const char *name, int file, uint64_t offset, struct bytes *parts,
                        uint32_t count, bool sync)
{
    struct disk_job job = job_of(DISK_WRITE, name);
    job.file = file;
    job.offset = offset;
    job.parts = parts;
    job.parts_count = count;
    job.sync = sync;
    assert_int_equal(run(&job), STATUS_OK);
    uint64_t size = 0;
    for (uint32_t i = 0; i < count; i++) {
        memcpy(model + offset + size, parts[i].data, parts[i].size);
        size += parts[i].size;
    }
    assert_int_equal(job.moved, size);
}

/* Reads round the cache, and finds what the model has from there to `end`. */
static void expect_read(int file, uint64_t offset, size_t shift, size_t size, uint64_t end)
{
    struct disk_job job = job_of(DISK_READ, NULL);
    job.file = file;
    job.offset = offset;
    job.into = found + shift;
    job.direct = true;
    job.size = size;
    assert_int_equal(run(&job), STATUS_OK);
    uint64_t left = end - offset;
    assert_int_equal(job.moved, size < left ? size : left);
    assert_memory_equal(found + shift, model + offset, job.moved);
}

static void expect_model(int file, size_t size)
{
    assert_int_equal(pread(file, found, size, 0), size);
    assert_memory_equal(found, model, size);
    memset(found, 0, size);
    expect_read(file, 0, 0, size, size);
}

static void direct_and_cached_writes_agree(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)getpid();
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    static uint8_t source[(size_t)2 * 1024 * 1024];
    for (size_t i = 0; i < sizeof source; i++)
        source[i] = (uint8_t)prng_next(&prng);
    memset(model, 0, sizeof model);
    on_thread = true;
    int file = create("log", MODEL_SIZE);
    for (int i = 0; i < 400; i++) {
        uint64_t step = (uint64_t[]){4096, 512, 1}[prng_below(&prng, 3)];
        uint64_t most = prng_below(&prng, 4) == 0 ? sizeof source : 100000;
        uint64_t size = (1 + prng_below(&prng, most / step)) * step;
        uint64_t offset = prng_below(&prng, (MODEL_SIZE - size) / step + 1) * step;
        struct bytes parts[3];
        size_t first = (size_t)prng_below(&prng, size + 1);
        size_t second = (size_t)prng_below(&prng, size - first + 1);
        parts[0] = bytes_of(source, first);
        parts[1] = bytes_of(source + prng_below(&prng, sizeof source - second + 1), second);
        parts[2] = bytes_of(source + first + second, size - first - second);
        write_parts("log", file, offset, parts, 3, prng_below(&prng, 2) == 0);
        if (i % 40 == 0)
            expect_model(file, MODEL_SIZE);
    }
    expect_model(file, MODEL_SIZE);
    shut(file);
}

static void direct_reads_bring_what_is_in_the_file(void **state)
{
    (void)state;
    enum {
        SIZE = 3 * 1024 * 1024 + 700
    };
    int file = create("snap", 0);
    for (size_t i = 0; i < SIZE; i++)
        model[i] = (uint8_t)(i * 31 >> 3);
    struct bytes part = bytes_of(model, SIZE);
    write_parts("snap", file, 0, &part, 1, true);
    expect_read(file, 0, 0, SIZE, SIZE);
    expect_read(file, 0, 0, MODEL_SIZE, SIZE);
    expect_read(file, DISK_PAGE, 0, 1024 * 1024, SIZE);
    expect_read(file, DISK_PAGE, 0, 1024 * 1024 + 17, SIZE);
    expect_read(file, (SIZE - 1) / DISK_PAGE * DISK_PAGE, 0, 1024 * 1024, SIZE);
    expect_read(file, 0, 16, SIZE, SIZE);
    expect_read(file, 512, 0, SIZE, SIZE);
    assert_int_equal(fcntl(file, F_GETFL) & O_DIRECT, 0);
    shut(file);
}

/* After a failed sync the cache holds what the disk does not: it is not asked, nor left there. */
static void a_direct_read_clears_the_cache(void **state)
{
    (void)state;
    struct statfs system;
    assert_int_equal(fstatfs(disk.root, &system), 0);
    if (system.f_type != EXT4_SUPER_MAGIC && system.f_type != XFS_SUPER_MAGIC)
        skip();
    int file = create("snap", 0);
    struct bytes part = bytes_of(model, MODEL_SIZE);
    write_parts("snap", file, 0, &part, 1, true);
    struct iovec iov = {found, DISK_PAGE};
    assert_int_equal(preadv2(file, &iov, 1, 0, RWF_NOWAIT), DISK_PAGE);
    expect_read(file, 0, 0, MODEL_SIZE, MODEL_SIZE);
    assert_int_equal(preadv2(file, &iov, 1, 0, RWF_NOWAIT), -1);
    assert_int_equal(errno, EAGAIN);
    shut(file);
}

static void a_file_grows_by_direct_writes(void **state)
{
    (void)state;
    on_thread = true;
    int file = create("snap", 0);
    static uint8_t piece[262144 + 72];
    size_t size = 0;
    for (int i = 0; i < 12; i++) {
        memset(piece, i + 1, sizeof piece);
        struct bytes part = bytes_of(piece, sizeof piece);
        write_parts("snap", file, size, &part, 1, i == 11);
        size += sizeof piece;
    }
    struct stat stat;
    assert_int_equal(fstat(file, &stat), 0);
    assert_int_equal(stat.st_size, size);
    expect_model(file, size);
    shut(file);
}

static void the_direct_way_is_taken_where_the_file_system_has_it(void **state)
{
    (void)state;
    on_thread = true;
    int file = create("log", 65536);
    struct bytes part = bytes_of(model, 4096);
    write_parts("log", file, 8192, &part, 1, true);
    int probe = openat(disk.root, "log", O_WRONLY | O_DIRECT);
    assert_int_equal(thread.direct.open, probe >= 0);
    if (probe >= 0)
        close(probe);
    shut(file); /* any other job lets go of the file */
    assert_false(thread.direct.open);
}

/* The name is only a hint: the bytes go to the file that the job has open. */
static void a_file_under_another_name_gets_its_bytes(void **state)
{
    (void)state;
    on_thread = true;
    static uint8_t zeros[8192];
    int old = create("log", sizeof zeros);
    struct disk_job job = job_of(DISK_RENAME, "log");
    strcpy(job.to, "elsewhere");
    assert_int_equal(run(&job), STATUS_OK);
    int new = create("log", sizeof zeros);
    memset(model, 7, 4096);
    struct bytes part = bytes_of(model, 4096);
    memset(model + 4096, 0, 4096);
    write_parts("log", old, 0, &part, 1, true);
    expect_model(old, sizeof zeros);
    assert_int_equal(pread(new, found, sizeof zeros, 0), sizeof zeros);
    assert_memory_equal(found, zeros, sizeof zeros);
    shut(old);
    shut(new);
}

static void what_refuses_direct_writes_is_written_all_the_same(void **state)
{
    (void)state;
    on_thread = true;
    int file = create("log", 65536);
    thread.direct.refused = true;
    memset(model, 9, 65536);
    struct bytes part = bytes_of(model, 65536);
    write_parts("log", file, 0, &part, 1, true);
    assert_false(thread.direct.open);
    expect_model(file, 65536);
    shut(file);
}

static void a_direct_write_to_a_file_that_cannot_grow_is_an_error(void **state)
{
    (void)state;
    on_thread = true;
    int file = create("log", 8192);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {8192, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct bytes part = bytes_of(model, 4096);
    struct disk_job job = job_of(DISK_WRITE, "log");
    job.file = file;
    job.offset = 8192;
    job.parts = &part;
    job.parts_count = 1;
    enum status status = run(&job);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_NO_SPACE);
    shut(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(direct_and_cached_writes_agree),
        DISK_TEST(a_file_grows_by_direct_writes),
        DISK_TEST(the_direct_way_is_taken_where_the_file_system_has_it),
        DISK_TEST(a_file_under_another_name_gets_its_bytes),
        DISK_TEST(what_refuses_direct_writes_is_written_all_the_same),
        DISK_TEST(a_direct_write_to_a_file_that_cannot_grow_is_an_error),
        DISK_TEST(direct_reads_bring_what_is_in_the_file),
        DISK_TEST(a_direct_read_clears_the_cache),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
