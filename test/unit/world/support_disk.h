/* What tests of disk jobs share: a data directory on a real file system, made anew for each test.
 */
#ifndef SYNOD_TEST_WORLD_SUPPORT_DISK_H
#define SYNOD_TEST_WORLD_SUPPORT_DISK_H

#include "world/disk.h"

extern char disk_base[64]; /* a directory for this test alone */
extern char disk_root[80]; /* the data directory, in it */
extern struct disk disk;
extern struct disk_thread thread; /* of the jobs that are done as on a thread of the disk */
extern bool on_thread;            /* false: as at boot */

int disk_setup(void **state);
int disk_teardown(void **state);
#define DISK_TEST(name) cmocka_unit_test_setup_teardown(name, disk_setup, disk_teardown)

/* `name` may be NULL. */
struct disk_job job_of(enum disk_op op, const char *name);
/* Does the job; status and errno have to agree. */
enum status run(struct disk_job *job);
/* These have to succeed. */
int create(const char *name, uint64_t size);
void shut(int file);

#endif
