/* Disk queue: a thread that does disk jobs one after the other, in order of submission.
 *
 * The one invariant: done is called on the core thread, in order of submission, never from inside
 * a call of this module other than disk_queue_collect. The thread starts with the first job. */
#ifndef SYNOD_WORLD_DISK_QUEUE_H
#define SYNOD_WORLD_DISK_QUEUE_H

#include "world/disk.h"

#include <pthread.h>
#include <uv.h>

struct disk_jobs {
    struct disk_job *first;
    struct disk_job *last;
};

struct disk_worker {
    const struct disk *disk;
    uv_async_t *wake_core; /* sent when jobs are finished */
    uint32_t jobs_open;    /* submitted and not yet collected; the core's */
    bool started;          /* the core's */
    pthread_t thread;
    pthread_mutex_t mutex; /* of everything below */
    pthread_cond_t submitted;
    pthread_cond_t done;
    struct disk_jobs waiting;
    struct disk_jobs finished;
    bool stopping;
};

void disk_queue_init(struct disk_worker *worker, const struct disk *disk, uv_async_t *wake_core);
void disk_queue_submit(struct disk_worker *worker, struct disk_job *job);
/* Waits for a job that was submitted and takes it: done is not called. */
void disk_queue_await(struct disk_worker *worker, const struct disk_job *job);
/* Calls done for every finished job. */
void disk_queue_collect(struct disk_worker *worker);
/* Ends the thread; every job must have been collected. */
void disk_queue_release(struct disk_worker *worker);

#endif
