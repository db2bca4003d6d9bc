/* A disk on a real file system; see support_disk.h. */
#include "world/support_disk.h"

#include "world/support_world.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

char disk_base[64];
char disk_root[80];
struct disk disk;
struct disk_thread thread;
bool on_thread;

int disk_setup(void **state)
{
    (void)state;
    test_directory_make(disk_base);
    snprintf(disk_root, sizeof disk_root, "%s/data", disk_base);
    char room[512];
    struct text error = text_of(room, sizeof room);
    return disk_open(disk_root, &error, &disk) == STATUS_OK ? 0 : -1;
}

int disk_teardown(void **state)
{
    (void)state;
    disk_thread_release(&thread);
    memset(&thread, 0, sizeof thread);
    on_thread = false;
    disk_close(&disk);
    test_directory_remove(disk_base);
    return 0;
}

struct disk_job job_of(enum disk_op op, const char *name)
{
    struct disk_job job = {.op = op, .file = -1};
    if (name != NULL)
        strncpy(job.name, name, sizeof job.name - 1);
    return job;
}

enum status run(struct disk_job *job)
{
    disk_do(&disk, on_thread ? &thread : NULL, job);
    assert_int_equal(job->status == STATUS_OK, job->error == 0);
    return job->status;
}

int create(const char *name, uint64_t size)
{
    struct disk_job job = job_of(DISK_CREATE, name);
    job.size = size;
    assert_int_equal(run(&job), STATUS_OK);
    return job.file;
}

void shut(int file)
{
    struct disk_job job = job_of(DISK_CLOSE, NULL);
    job.file = file;
    assert_int_equal(run(&job), STATUS_OK);
    assert_int_equal(job.file, -1);
}
