/* The thread behind a disk queue.
 *
 * The one invariant: a job is in exactly one of three hands: in `waiting`, with the thread, or in
 * `finished`; the mutex is held only to pass it on, never while a disk works. */
#include "world/disk_queue.h"

#include "base/panic.h"

#include <errno.h>
#include <signal.h>
#include <time.h>

/* A job's deepest frame holds DISK_PARTS_MAX vectors, some kilobytes. */
#define DISK_STACK_SIZE ((size_t)256 * 1024)

static void disk_jobs_push(struct disk_jobs *jobs, struct disk_job *job)
{
    job->next = NULL;
    if (jobs->first == NULL)
        jobs->first = job;
    else
        jobs->last->next = job;
    jobs->last = job;
}

static struct disk_job *disk_jobs_pop(struct disk_jobs *jobs)
{
    struct disk_job *job = jobs->first;
    if (job != NULL)
        jobs->first = job->next;
    return job;
}

void disk_queue_init(struct disk_worker *worker, const struct disk *disk, uv_async_t *wake_core)
{
    *worker = (struct disk_worker){.disk = disk, .wake_core = wake_core};
    ensure(pthread_mutex_init(&worker->mutex, NULL) == 0);
    pthread_condattr_t attributes;
    ensure(pthread_condattr_init(&attributes) == 0);
    ensure(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    ensure(pthread_cond_init(&worker->submitted, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    ensure(pthread_cond_init(&worker->done, NULL) == 0);
}

/* Until there is a job, or the time has come. */
static void disk_queue_wait(struct disk_worker *worker, uint64_t due_ns)
{
    if (due_ns == UINT64_MAX) {
        pthread_cond_wait(&worker->submitted, &worker->mutex);
        return;
    }
    struct timespec due = {(time_t)(due_ns / 1000000000), (long)(due_ns % 1000000000)};
    pthread_cond_timedwait(&worker->submitted, &worker->mutex, &due);
}

/* What was removed has its turn also between jobs that never end. */
static bool disk_queue_give_back(struct disk_worker *worker, struct disk_remains *remains)
{
    uint64_t due_ns = disk_remains_due(remains);
    uint64_t now_ns = due_ns != UINT64_MAX ? disk_clock_ns() : 0;
    if (due_ns > now_ns)
        return false;
    pthread_mutex_unlock(&worker->mutex);
    disk_remains_step(remains, now_ns);
    pthread_mutex_lock(&worker->mutex);
    return true;
}

static void *disk_queue_run(void *argument)
{
    struct disk_worker *worker = argument;
    struct disk_thread own = {0};
    pthread_mutex_lock(&worker->mutex);
    for (;;) {
        if (disk_queue_give_back(worker, &own.remains))
            continue;
        struct disk_job *job = disk_jobs_pop(&worker->waiting);
        if (job == NULL && worker->stopping)
            break;
        if (job == NULL) {
            disk_queue_wait(worker, disk_remains_due(&own.remains));
            continue;
        }
        pthread_mutex_unlock(&worker->mutex);
        disk_do(worker->disk, &own, job);
        pthread_mutex_lock(&worker->mutex);
        disk_jobs_push(&worker->finished, job);
        pthread_cond_signal(&worker->done);
        uv_async_send(worker->wake_core);
    }
    pthread_mutex_unlock(&worker->mutex);
    disk_thread_release(&own);
    return NULL;
}

/* Signals belong to the core thread: the disk's inherit a mask that blocks them all. */
static int disk_queue_start(struct disk_worker *worker)
{
    sigset_t all;
    sigset_t before;
    sigfillset(&all);
    pthread_attr_t attributes;
    int error = pthread_attr_init(&attributes);
    if (error != 0)
        return error;
    pthread_attr_setstacksize(&attributes, DISK_STACK_SIZE);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    error = pthread_create(&worker->thread, &attributes, disk_queue_run, worker);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    worker->started = error == 0;
    return error;
}

void disk_queue_submit(struct disk_worker *worker, struct disk_job *job)
{
    int error = worker->started ? 0 : disk_queue_start(worker);
    worker->jobs_open++;
    pthread_mutex_lock(&worker->mutex);
    if (error == 0) {
        disk_jobs_push(&worker->waiting, job);
        pthread_cond_signal(&worker->submitted);
    } else {
        job->error = error;
        job->status = STATUS_NO_MEMORY;
        disk_jobs_push(&worker->finished, job);
        uv_async_send(worker->wake_core);
    }
    pthread_mutex_unlock(&worker->mutex);
}

/* Takes the job off the list, if it is there. */
static bool disk_jobs_remove(struct disk_jobs *jobs, const struct disk_job *wanted)
{
    struct disk_jobs others = {NULL, NULL};
    bool found = false;
    struct disk_job *job;
    while ((job = disk_jobs_pop(jobs)) != NULL) {
        if (job == wanted)
            found = true;
        else
            disk_jobs_push(&others, job);
    }
    *jobs = others;
    return found;
}

void disk_queue_await(struct disk_worker *worker, const struct disk_job *job)
{
    pthread_mutex_lock(&worker->mutex);
    while (!disk_jobs_remove(&worker->finished, job))
        pthread_cond_wait(&worker->done, &worker->mutex);
    pthread_mutex_unlock(&worker->mutex);
    worker->jobs_open--;
}

void disk_queue_collect(struct disk_worker *worker)
{
    pthread_mutex_lock(&worker->mutex);
    struct disk_jobs finished = worker->finished;
    worker->finished = (struct disk_jobs){NULL, NULL};
    pthread_mutex_unlock(&worker->mutex);
    struct disk_job *job;
    while ((job = disk_jobs_pop(&finished)) != NULL) {
        worker->jobs_open--;
        job->done(job);
    }
}

void disk_queue_release(struct disk_worker *worker)
{
    ensure(worker->jobs_open == 0);
    pthread_mutex_lock(&worker->mutex);
    worker->stopping = true;
    pthread_cond_signal(&worker->submitted);
    pthread_mutex_unlock(&worker->mutex);
    if (worker->started)
        pthread_join(worker->thread, NULL);
    pthread_cond_destroy(&worker->submitted);
    pthread_cond_destroy(&worker->done);
    pthread_mutex_destroy(&worker->mutex);
}
