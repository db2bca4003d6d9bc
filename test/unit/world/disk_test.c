/* Disk jobs and the data directory, on a real file system. */
#include "world/support_disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char error_room[512];

static struct text fresh_error(void)
{
    return text_of(error_room, sizeof error_room);
}

static void write_text(int file, uint64_t offset, const char *text)
{
    struct bytes part = bytes_text(text);
    struct disk_job job = job_of(DISK_WRITE, NULL);
    job.file = file;
    job.offset = offset;
    job.parts = &part;
    job.parts_count = 1;
    job.sync = true;
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.moved, part.size);
}

static bool exists(const char *name)
{
    struct disk_job job = job_of(DISK_OPEN, name);
    if (run(&job) != STATUS_OK)
        return false;
    shut(job.file);
    return true;
}

static void a_created_file_is_zeros_of_the_wanted_size_and_private(void **state)
{
    (void)state;
    enum {
        SIZE = 3 * 1024 * 1024 + 17
    };
    int file = create("a", SIZE);
    static uint8_t read[SIZE + 100];
    memset(read, 0xff, sizeof read);
    struct disk_job job = job_of(DISK_READ, NULL);
    job.file = file;
    job.into = read;
    job.size = sizeof read;
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.moved, SIZE); /* less, only at the end */
    for (size_t i = 0; i < SIZE; i++)
        assert_int_equal(read[i], 0);
    assert_int_equal(read[SIZE], 0xff);
    struct stat stat;
    assert_int_equal(fstat(file, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0600);
    assert_true(fcntl(file, F_GETFD) & FD_CLOEXEC);
    shut(file);
}

static void creating_what_exists_fails(void **state)
{
    (void)state;
    shut(create("a", 10));
    struct disk_job job = job_of(DISK_CREATE, "a");
    assert_int_equal(run(&job), STATUS_EXISTS);
    assert_int_equal(job.error, EEXIST);
}

static void opening_what_is_missing_fails(void **state)
{
    (void)state;
    struct disk_job job = job_of(DISK_OPEN, "missing");
    assert_int_equal(run(&job), STATUS_NOT_FOUND);
    assert_int_equal(job.error, ENOENT);
}

static void parts_are_written_one_after_the_other(void **state)
{
    (void)state;
    int file = create("a", 0);
    static uint8_t bytes[DISK_PARTS_MAX * 3];
    struct bytes parts[DISK_PARTS_MAX];
    size_t at = 0;
    for (size_t i = 0; i < DISK_PARTS_MAX; i++) {
        parts[i] = bytes_of(bytes + at, i % 4); /* some are empty */
        for (size_t j = 0; j < i % 4; j++)
            bytes[at + j] = (uint8_t)(i * 7 + j);
        at += i % 4;
    }
    struct disk_job job = job_of(DISK_WRITE, NULL);
    job.file = file;
    job.offset = 5;
    job.parts = parts;
    job.parts_count = DISK_PARTS_MAX;
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.moved, at);
    uint8_t read[sizeof bytes];
    job = job_of(DISK_READ, NULL);
    job.file = file;
    job.offset = 5;
    job.into = read;
    job.size = sizeof read;
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.moved, at);
    assert_memory_equal(read, bytes, at);
    shut(file);

    job.op = DISK_WRITE;
    job.parts = parts;
    job.parts_count = DISK_PARTS_MAX + 1;
    assert_int_equal(run(&job), STATUS_INVALID);
}

static void an_opened_file_tells_its_size(void **state)
{
    (void)state;
    shut(create("a", 4096));
    struct disk_job job = job_of(DISK_OPEN, "a");
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.size, 4096);
    write_text(job.file, 0, "hello");
    job.op = DISK_SYNC;
    assert_int_equal(run(&job), STATUS_OK);
    shut(job.file);
}

static void a_rename_replaces(void **state)
{
    (void)state;
    int file = create("new", 0);
    write_text(file, 0, "new");
    shut(file);
    shut(create("old", 100));
    struct disk_job job = job_of(DISK_MAKE_DIRECTORY, "dir");
    assert_int_equal(run(&job), STATUS_OK);
    job = job_of(DISK_RENAME, "new");
    strcpy(job.to, "old");
    assert_int_equal(run(&job), STATUS_OK);
    assert_false(exists("new"));
    job = job_of(DISK_RENAME, "old");
    strcpy(job.to, "dir/moved");
    assert_int_equal(run(&job), STATUS_OK);
    job = job_of(DISK_OPEN, "dir/moved");
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.size, 3);
    shut(job.file);
    job = job_of(DISK_RENAME, "missing");
    strcpy(job.to, "x");
    assert_int_equal(run(&job), STATUS_NOT_FOUND);
}

static void a_removed_file_is_gone(void **state)
{
    (void)state;
    shut(create("a", 1));
    struct disk_job job = job_of(DISK_REMOVE, "a");
    assert_int_equal(run(&job), STATUS_OK);
    assert_false(exists("a"));
    assert_int_equal(run(&job), STATUS_NOT_FOUND);
}

static void a_large_removed_file_goes_a_piece_at_a_time(void **state)
{
    (void)state;
    on_thread = true;
    shut(create("large", 2 * DISK_REMAINS_PIECE + 1));
    shut(create("small", DISK_REMAINS_PIECE));
    struct disk_job job = job_of(DISK_REMOVE, "large");
    assert_int_equal(run(&job), STATUS_OK);
    assert_false(exists("large"));
    job = job_of(DISK_REMOVE, "small");
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(thread.remains.count, 1);
    int file = thread.remains.list[0].file;
    for (uint64_t left = 2; left > 0; left--) {
        disk_remains_step(&thread.remains, left);
        assert_int_equal(disk_remains_due(&thread.remains), left + DISK_REMAINS_PAUSE_NS);
        struct stat stat;
        assert_int_equal(fstat(file, &stat), 0);
        assert_int_equal(stat.st_size, (left - 1) * DISK_REMAINS_PIECE + 1);
    }
    disk_remains_step(&thread.remains, 3);
    assert_int_equal(disk_remains_due(&thread.remains), UINT64_MAX);
    assert_int_equal(fcntl(file, F_GETFD), -1);
}

/* Whole, and readable to its end. */
static void check_size(int file, uint64_t size)
{
    uint8_t last;
    assert_int_equal(pread(file, &last, 1, (off_t)size - 1), 1);
    shut(file);
}

static void a_removed_file_that_somebody_has_stays_whole(void **state)
{
    (void)state;
    on_thread = true;
    uint64_t size = 2 * DISK_REMAINS_PIECE;
    int opened = create("opened", size);
    struct disk_job job = job_of(DISK_REMOVE, "opened");
    assert_int_equal(run(&job), STATUS_OK);
    shut(create("copied", size));
    assert_int_equal(linkat(disk.root, "copied", disk.root, "copy", 0), 0);
    job = job_of(DISK_REMOVE, "copied");
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(thread.remains.count, 0);
    check_size(opened, size);
    job = job_of(DISK_OPEN, "copy");
    assert_int_equal(run(&job), STATUS_OK);
    check_size(job.file, size);
}

/* On a file system of its own, which its owner's name space takes along. Not everybody may mount
 * one: then it is no verdict. */
#define MAY_NOT_MOUNT 77

static enum status attempt(struct disk_job *job)
{
    disk_do(&disk, &thread, job);
    return job->status;
}

static int live_on_a_small_disk(void)
{
    char place[128];
    snprintf(place, sizeof place, "%s/small", disk_base);
    char option[64];
    snprintf(option, sizeof option, "mode=0700,size=%" PRIu64, 3 * DISK_REMAINS_PIECE);
    if ((unshare(CLONE_NEWNS) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0) ||
        mkdir(place, 0700) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", place, "tmpfs", 0, option) != 0)
        return MAY_NOT_MOUNT;
    disk.root = open(place, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    struct disk_job job = job_of(DISK_CREATE, "old");
    job.size = 2 * DISK_REMAINS_PIECE;
    if (attempt(&job) != STATUS_OK)
        return 1;
    close(job.file);
    job = job_of(DISK_REMOVE, "old");
    if (attempt(&job) != STATUS_OK || thread.remains.count != 1)
        return 2;
    job = job_of(DISK_CREATE, "new");
    job.size = 2 * DISK_REMAINS_PIECE;
    if (attempt(&job) != STATUS_OK || thread.remains.count != 0)
        return 3;
    job = job_of(DISK_CREATE, "more");
    job.size = 2 * DISK_REMAINS_PIECE;
    return attempt(&job) == STATUS_NO_SPACE ? 0 : 4;
}

static void a_full_disk_gets_back_at_once_what_was_removed(void **state)
{
    (void)state;
    pid_t child = fork();
    if (child == 0)
        _exit(live_on_a_small_disk());
    int outcome;
    assert_int_equal(waitpid(child, &outcome, 0), child);
    assert_true(WIFEXITED(outcome));
    if (WEXITSTATUS(outcome) == MAY_NOT_MOUNT)
        skip();
    assert_int_equal(WEXITSTATUS(outcome), 0);
}

static void more_removed_files_than_are_kept_go_at_once(void **state)
{
    (void)state;
    on_thread = true;
    char name[] = "a";
    for (int i = 0; i < DISK_REMAINS_MAX + 2; i++) {
        name[0] = (char)('A' + i);
        int file = openat(disk.root, name, O_CREAT | O_RDWR, 0600);
        assert_int_equal(ftruncate(file, 2 * (off_t)DISK_REMAINS_PIECE), 0);
        shut(file);
        struct disk_job job = job_of(DISK_REMOVE, name);
        assert_int_equal(run(&job), STATUS_OK);
    }
    assert_int_equal(thread.remains.count, DISK_REMAINS_MAX);
}

static void making_a_directory_twice_is_fine(void **state)
{
    (void)state;
    struct disk_job job = job_of(DISK_MAKE_DIRECTORY, "dir");
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(run(&job), STATUS_OK);
    struct stat stat;
    assert_int_equal(fstatat(disk.root, "dir", &stat, 0), 0);
    assert_int_equal(stat.st_mode & 0777, 0700);
    job = job_of(DISK_SYNC_DIRECTORY, "dir");
    assert_int_equal(run(&job), STATUS_OK);
    job = job_of(DISK_SYNC_DIRECTORY, "missing");
    assert_int_equal(run(&job), STATUS_NOT_FOUND);
    shut(create("file", 0));
    job = job_of(DISK_MAKE_DIRECTORY, "file");
    assert_int_not_equal(run(&job), STATUS_OK);
}

static void collect_name(void *owner, const char *name)
{
    strcat(owner, name);
    strcat(owner, " ");
}

static void a_listing_is_sorted_and_has_files_only(void **state)
{
    (void)state;
    struct disk_job job = job_of(DISK_MAKE_DIRECTORY, "dir");
    assert_int_equal(run(&job), STATUS_OK);
    job = job_of(DISK_MAKE_DIRECTORY, "dir/sub");
    assert_int_equal(run(&job), STATUS_OK);
    shut(create("dir/b", 0));
    shut(create("dir/a10", 0));
    shut(create("dir/a1", 0));
    char names[200] = "";
    job = job_of(DISK_LIST, "dir");
    job.listed = collect_name;
    job.owner = names;
    assert_int_equal(run(&job), STATUS_OK);
    assert_string_equal(names, "a1 a10 b ");
    job = job_of(DISK_LIST, "missing");
    assert_int_equal(run(&job), STATUS_NOT_FOUND);
}

static void no_name_leads_out_of_the_directory(void **state)
{
    (void)state;
    static const char *const bad[] = {"", "/etc/passwd", "..", "../x", "a/../../x", "a/..", "/"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct disk_job job = job_of(DISK_OPEN, bad[i]);
        assert_int_equal(run(&job), STATUS_INVALID);
        job = job_of(DISK_RENAME, "lock");
        strcpy(job.to, bad[i]);
        assert_int_equal(run(&job), STATUS_INVALID);
    }
    struct disk_job job = job_of(DISK_OPEN, NULL);
    memset(job.name, 'a', sizeof job.name); /* not even terminated */
    assert_int_equal(run(&job), STATUS_INVALID);
    shut(create("..a", 0));
    shut(create("a..", 0));
}

static void links_pipes_and_files_open_to_others_are_not_opened(void **state)
{
    (void)state;
    assert_int_equal(symlinkat("/etc/passwd", disk.root, "link"), 0);
    struct disk_job job = job_of(DISK_OPEN, "link");
    assert_int_equal(run(&job), STATUS_PERMISSION);
    assert_int_equal(mkfifoat(disk.root, "pipe", 0600), 0);
    job = job_of(DISK_OPEN, "pipe");
    assert_int_equal(run(&job), STATUS_PERMISSION);
    shut(create("a", 0));
    assert_int_equal(fchmodat(disk.root, "a", 0666, 0), 0);
    job = job_of(DISK_OPEN, "a");
    assert_int_equal(run(&job), STATUS_PERMISSION);
}

static void a_full_disk_is_told_and_leaves_no_half_file(void **state)
{
    (void)state;
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit small = {2 * 1024 * 1024, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    struct disk_job job = job_of(DISK_CREATE, "big");
    job.size = 4 * 1024 * 1024;
    enum status status = run(&job);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_NO_SPACE);
    assert_false(exists("big"));

    struct bytes part = bytes_text("x");
    job = job_of(DISK_WRITE, NULL);
    job.file = open("/dev/full", O_RDWR | O_CLOEXEC);
    job.parts = &part;
    job.parts_count = 1;
    assert_int_equal(run(&job), STATUS_NO_SPACE);
    assert_int_equal(job.error, ENOSPC);
    close(job.file);
}

static void a_bad_descriptor_is_an_error_not_a_crash(void **state)
{
    (void)state;
    uint8_t byte;
    static const enum disk_op ops[] = {DISK_CLOSE, DISK_READ, DISK_WRITE, DISK_SYNC};
    struct bytes part = bytes_text("x");
    for (size_t i = 0; i < 4; i++) {
        struct disk_job job = job_of(ops[i], NULL);
        job.into = &byte;
        job.size = 1;
        job.parts = &part;
        job.parts_count = 1;
        assert_int_equal(run(&job), STATUS_IO);
        assert_int_equal(job.error, EBADF);
    }
}

static void the_directory_is_made_private_and_can_be_opened_again(void **state)
{
    (void)state;
    struct stat stat;
    assert_int_equal(fstat(disk.root, &stat), 0);
    assert_int_equal(stat.st_mode & 0777, 0700);
    disk_close(&disk);
    struct text error = fresh_error();
    assert_int_equal(disk_open(disk_root, &error, &disk), STATUS_OK);
}

static void a_full_disk_does_not_keep_its_owner_out(void **state)
{
    (void)state;
    disk_close(&disk);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    struct rlimit none = {0, before.rlim_max};
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    struct text error = fresh_error();
    enum status status = disk_open(disk_root, &error, &disk);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_int_equal(status, STATUS_OK);
    struct disk second;
    error = fresh_error();
    assert_int_equal(disk_open(disk_root, &error, &second), STATUS_BUSY);
}

static void a_second_process_is_kept_out_and_told_who_holds_it(void **state)
{
    (void)state;
    struct disk second;
    struct text error = fresh_error();
    assert_int_equal(disk_open(disk_root, &error, &second), STATUS_BUSY);
    char wanted[64];
    snprintf(wanted, sizeof wanted, "in use by another process (process %d)", getpid());
    assert_non_null(strstr(error_room, wanted));
    assert_non_null(strstr(error_room, disk_root));
}

static void a_directory_open_to_others_is_refused_with_the_remedy(void **state)
{
    (void)state;
    disk_close(&disk);
    static const mode_t modes[] = {0701, 0750, 0777, 0720};
    for (size_t i = 0; i < 4; i++) {
        assert_int_equal(chmod(disk_root, modes[i]), 0);
        struct text error = fresh_error();
        assert_int_equal(disk_open(disk_root, &error, &disk), STATUS_PERMISSION);
        assert_non_null(strstr(error_room, "chmod 700"));
        assert_non_null(strstr(error_room, disk_root));
        assert_int_equal(disk.root, -1);
    }
}

static void what_cannot_be_a_directory_is_refused(void **state)
{
    (void)state;
    char path[160];
    struct disk other;
    struct text error = fresh_error();
    snprintf(path, sizeof path, "%s/no/parent", disk_base);
    assert_int_equal(disk_open(path, &error, &other), STATUS_NOT_FOUND);
    assert_non_null(strstr(error_room, path));
    shut(create("file", 0));
    snprintf(path, sizeof path, "%s/file", disk_root);
    error = fresh_error();
    assert_int_equal(disk_open(path, &error, &other), STATUS_NOT_FOUND);
    assert_non_null(strstr(error_room, "Not a directory"));
    /* The superuser owns everything it makes, and may be the one who runs this. */
    if (geteuid() == 0) {
        disk_close(&disk);
        assert_int_equal(chown(disk_root, 12345, 12345), 0);
        error = fresh_error();
        assert_int_equal(disk_open(disk_root, &error, &disk), STATUS_PERMISSION);
        assert_non_null(strstr(error_room, "belongs to user 12345"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        DISK_TEST(a_created_file_is_zeros_of_the_wanted_size_and_private),
        DISK_TEST(creating_what_exists_fails),
        DISK_TEST(opening_what_is_missing_fails),
        DISK_TEST(parts_are_written_one_after_the_other),
        DISK_TEST(an_opened_file_tells_its_size),
        DISK_TEST(a_rename_replaces),
        DISK_TEST(a_removed_file_is_gone),
        DISK_TEST(a_large_removed_file_goes_a_piece_at_a_time),
        DISK_TEST(a_removed_file_that_somebody_has_stays_whole),
        DISK_TEST(a_full_disk_gets_back_at_once_what_was_removed),
        DISK_TEST(more_removed_files_than_are_kept_go_at_once),
        DISK_TEST(making_a_directory_twice_is_fine),
        DISK_TEST(a_listing_is_sorted_and_has_files_only),
        DISK_TEST(no_name_leads_out_of_the_directory),
        DISK_TEST(links_pipes_and_files_open_to_others_are_not_opened),
        DISK_TEST(a_full_disk_is_told_and_leaves_no_half_file),
        DISK_TEST(a_bad_descriptor_is_an_error_not_a_crash),
        DISK_TEST(the_directory_is_made_private_and_can_be_opened_again),
        DISK_TEST(a_full_disk_does_not_keep_its_owner_out),
        DISK_TEST(a_second_process_is_kept_out_and_told_who_holds_it),
        DISK_TEST(a_directory_open_to_others_is_refused_with_the_remedy),
        DISK_TEST(what_cannot_be_a_directory_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
