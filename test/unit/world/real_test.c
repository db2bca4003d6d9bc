/* The world apart from links: disk queues, timer, turns, clock, opening and closing. */
#include "world/support_world.h"

#include "world/disk_remains.h"
#include "world/mem_system.h"

#include <dirent.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct bench {
    struct net net;
    char base[64];
    char root[80];
    struct real_world *real;
    struct world *world;
    struct world_events events;
    uint32_t timers;
    uint32_t timers_wanted;
    uv_timer_t tick;
    uint32_t ticks;
    uint64_t deadline;
    bool early;
    bool arm_past; /* the timer arms a deadline that has passed */
    uint32_t turns;
    struct disk_job jobs[200];
    uint32_t done[200]; /* jobs in the order in which they came back */
    uint32_t done_count;
    bool submitting;
    bool resubmit;
    bool closed;
};

static void on_timer(void *owner)
{
    struct bench *bench = owner;
    bench->timers++;
    uint64_t now = bench->world->ops->now(bench->world);
    if (now < bench->deadline)
        bench->early = true;
    if (bench->arm_past)
        bench->world->ops->arm(bench->world, now);
}

static void on_turn(void *owner)
{
    ((struct bench *)owner)->turns++;
}

static void on_closed(void *owner)
{
    ((struct bench *)owner)->closed = true;
}

static bool is_closed(void *owner)
{
    return ((struct bench *)owner)->closed;
}

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof *bench);
    net_init(&bench->net);
    test_directory_make(bench->base);
    snprintf(bench->root, sizeof bench->root, "%s/data", bench->base);
    bench->events = (struct world_events){.owner = bench, .on_timer = on_timer, .on_turn = on_turn};
    struct real_world_config config = {.loop = &bench->net.loop,
                                       .root = bench->root,
                                       .log_level = LOG_ERROR,
                                       .events = &bench->events};
    char room[256];
    struct text error = text_of(room, sizeof room);
    assert_int_equal(real_world_open(&config, &error, &bench->real), STATUS_OK);
    bench->world = real_world_world(bench->real);
    *state = bench;
    return 0;
}

static void close_bench(struct bench *bench)
{
    real_world_close(bench->real, NULL, on_closed, bench);
    assert_false(bench->closed); /* never from inside the call */
    net_run_until(&bench->net, is_closed, bench);
    bench->real = NULL;
}

static int teardown(void **state)
{
    struct bench *bench = *state;
    if (bench->real != NULL)
        close_bench(bench);
    net_release(&bench->net);
    test_directory_remove(bench->base);
    free(bench);
    return mem_system()->used == 0 ? 0 : -1;
}

static bool timer_came(void *context)
{
    struct bench *bench = context;
    return bench->timers >= bench->timers_wanted;
}

static void the_timer_comes_once_and_not_early(void **state)
{
    struct bench *bench = *state;
    const struct world_ops *ops = bench->world->ops;
    for (uint32_t i = 0; i < 20; i++) {
        bench->timers_wanted = i + 1;
        bench->deadline = ops->now(bench->world) + 100000 + i * 317000;
        ops->arm(bench->world, bench->deadline);
        net_run_until(&bench->net, timer_came, bench);
    }
    net_run_for(&bench->net, 30);
    assert_int_equal(bench->timers, 20);
    assert_false(bench->early);
}

static void the_last_deadline_counts(void **state)
{
    struct bench *bench = *state;
    const struct world_ops *ops = bench->world->ops;
    uint64_t now = ops->now(bench->world);
    ops->arm(bench->world, now + UINT64_C(3600000000000));
    ops->arm(bench->world, now + 1000000);
    bench->timers_wanted = 1;
    net_run_until(&bench->net, timer_came, bench);
    ops->arm(bench->world, ops->now(bench->world));
    ops->arm(bench->world, UINT64_MAX); /* never */
    net_run_for(&bench->net, 30);
    assert_int_equal(bench->timers, 1);
}

static void on_test_tick(uv_timer_t *timer)
{
    ((struct bench *)timer->data)->ticks++;
}

static bool ticked(void *context)
{
    return ((struct bench *)context)->ticks >= 5;
}

static void a_deadline_in_the_past_comes_next_turn_and_starves_nobody(void **state)
{
    struct bench *bench = *state;
    uv_timer_init(&bench->net.loop, &bench->tick);
    bench->tick.data = bench;
    uv_timer_start(&bench->tick, on_test_tick, 1, 1);
    bench->arm_past = true;
    bench->world->ops->arm(bench->world, 1);
    assert_int_equal(bench->timers, 0); /* not from inside arm */
    net_run_until(&bench->net, ticked, bench);
    assert_true(bench->timers >= 5);
    assert_true(bench->turns >= bench->timers); /* a turn lies between two of them */
    bench->arm_past = false;
    uv_close((uv_handle_t *)&bench->tick, NULL);
}

static void the_clock_never_goes_back_and_randomness_differs(void **state)
{
    struct bench *bench = *state;
    const struct world_ops *ops = bench->world->ops;
    uint64_t last = 0;
    for (int i = 0; i < 1000; i++) {
        uint64_t now = ops->now(bench->world);
        assert_true(now >= last);
        last = now;
    }
    assert_true(ops->wall_ms(bench->world) > UINT64_C(1600000000000));
    assert_true(ops->random(bench->world) != ops->random(bench->world));
}

static void on_done(struct disk_job *job)
{
    struct bench *bench = job->owner;
    assert_false(bench->submitting);
    bench->done[bench->done_count++] = (uint32_t)(job - bench->jobs);
    if (bench->resubmit) {
        bench->resubmit = false;
        struct disk_job *next = &bench->jobs[bench->done_count];
        *next = (struct disk_job){.op = DISK_OPEN, .done = on_done, .owner = bench};
        strcpy(next->name, "lock");
        bench->world->ops->disk_submit(bench->world, DISK_QUEUE_LOG, next);
    }
}

static void submit(struct bench *bench, enum disk_queue queue, uint32_t index, enum disk_op op,
                   const char *name)
{
    struct disk_job *job = &bench->jobs[index];
    *job = (struct disk_job){.op = op, .done = on_done, .owner = bench, .size = 4096};
    strcpy(job->name, name);
    bench->submitting = true;
    bench->world->ops->disk_submit(bench->world, queue, job);
    bench->submitting = false;
}

static bool hundred_done(void *context)
{
    return ((struct bench *)context)->done_count >= 100;
}

static void jobs_of_one_queue_come_back_in_order(void **state)
{
    struct bench *bench = *state;
    /* Create and remove the same file: only the order makes every job succeed. */
    for (uint32_t i = 0; i < 100; i += 2) {
        submit(bench, i % 4 == 0 ? DISK_QUEUE_LOG : DISK_QUEUE_BULK, i, DISK_CREATE,
               i % 4 == 0 ? "log" : "bulk");
        submit(bench, i % 4 == 0 ? DISK_QUEUE_LOG : DISK_QUEUE_BULK, i + 1, DISK_REMOVE,
               i % 4 == 0 ? "log" : "bulk");
    }
    net_run_until(&bench->net, hundred_done, bench);
    uint32_t last[2] = {0, 0};
    for (uint32_t i = 0; i < 100; i++) {
        uint32_t job = bench->done[i];
        uint32_t queue = job % 4 >= 2;
        assert_true(last[queue] <= job);
        last[queue] = job;
        assert_int_equal(bench->jobs[job].status, STATUS_OK);
        assert_true(bench->jobs[job].took_ns > 0);
        if (bench->jobs[job].op == DISK_CREATE)
            close(bench->jobs[job].file);
    }
}

static bool some_done(void *context)
{
    struct bench *bench = context;
    return bench->done_count > 0;
}

static bool both_done(void *context)
{
    struct bench *bench = context;
    return bench->done_count == 2;
}

static sem_t released;

static void hold_queue(void *owner, const char *name)
{
    (void)owner;
    (void)name;
    while (sem_wait(&released) != 0)
        ;
}

static void one_queue_does_not_wait_for_the_other(void **state)
{
    struct bench *bench = *state;
    /* A listing is not meant for a queue; here its callback keeps the bulk thread busy for as long
     * as we like. */
    assert_int_equal(sem_init(&released, 0, 0), 0);
    struct disk_job *slow = &bench->jobs[0];
    *slow = (struct disk_job){
        .op = DISK_LIST, .name = ".", .listed = hold_queue, .done = on_done, .owner = bench};
    bench->world->ops->disk_submit(bench->world, DISK_QUEUE_BULK, slow);
    submit(bench, DISK_QUEUE_LOG, 1, DISK_OPEN, "lock");
    net_run_until(&bench->net, some_done, bench);
    assert_int_equal(bench->done_count, 1);
    assert_int_equal(bench->done[0], 1);
    sem_post(&released);
    close_bench(bench); /* waits for the slow one */
    assert_int_equal(bench->done_count, 2);
    close(bench->jobs[1].file);
    sem_destroy(&released);
}

static void closing_waits_for_jobs_that_follow_from_jobs(void **state)
{
    struct bench *bench = *state;
    bench->resubmit = true;
    submit(bench, DISK_QUEUE_BULK, 0, DISK_OPEN, "lock");
    close_bench(bench);
    assert_int_equal(bench->done_count, 2);
    assert_int_equal(bench->jobs[1].status, STATUS_OK);
    close(bench->jobs[0].file);
    close(bench->jobs[1].file);
}

static void a_disk_job_can_be_run_before_the_loop_turns(void **state)
{
    struct bench *bench = *state;
    struct disk_job job = {.op = DISK_CREATE, .size = 10};
    strcpy(job.name, "a");
    assert_int_equal(bench->world->ops->disk_run(bench->world, &job), STATUS_OK);
    close(job.file);
    assert_int_equal(bench->world->ops->disk_run(bench->world, &job), STATUS_EXISTS);
}

/* Others may come between, on this thread and on the one that has it; they keep their callbacks. */
static void a_job_that_was_begun_ahead_is_done_when_it_has_been_run(void **state)
{
    struct bench *bench = *state;
    const struct world_ops *ops = bench->world->ops;
    struct disk_job job = {.op = DISK_CREATE, .size = 1 << 20};
    strcpy(job.name, "a");
    assert_int_equal(ops->disk_run(bench->world, &job), STATUS_OK);
    static _Alignas(DISK_PAGE) uint8_t into[1 << 20];
    for (int i = 0; i < 50; i++) {
        memset(into, 0xff, sizeof into);
        submit(bench, DISK_QUEUE_BULK, 0, DISK_OPEN, "lock");
        struct disk_job read = {.op = DISK_READ, .size = sizeof into, .direct = true};
        read.file = job.file;
        read.into = into;
        ops->disk_ahead(bench->world, &read);
        submit(bench, DISK_QUEUE_BULK, 1, DISK_OPEN, "lock");
        struct disk_job missing = {.op = DISK_OPEN, .name = "missing"};
        assert_int_equal(ops->disk_run(bench->world, &missing), STATUS_NOT_FOUND);
        assert_int_equal(ops->disk_run(bench->world, &read), STATUS_OK);
        assert_int_equal(read.moved, sizeof into);
        assert_int_equal(into[0] | into[sizeof into - 1], 0);
        bench->done_count = 0;
        net_run_until(&bench->net, both_done, bench);
        assert_int_equal(bench->done[0], 0);
        assert_int_equal(bench->done[1], 1);
        close(bench->jobs[0].file);
        close(bench->jobs[1].file);
    }
    /* A failure is told as well. */
    struct disk_job bad = {.op = DISK_READ, .file = -1, .size = 1, .into = into};
    ops->disk_ahead(bench->world, &bad);
    assert_int_equal(ops->disk_run(bench->world, &bad), STATUS_IO);
    assert_int_equal(bad.error, EBADF);
    close(job.file);
}

/* Whether the process still has a file open that has no name any more. */
static bool holds_nothing_removed(void *context)
{
    (void)context;
    bool found = false;
    DIR *directory = opendir("/proc/self/fd");
    assert_non_null(directory);
    for (struct dirent *entry; (entry = readdir(directory)) != NULL;) {
        char path[512];
        ssize_t size = readlinkat(dirfd(directory), entry->d_name, path, sizeof path - 1);
        path[size > 0 ? size : 0] = '\0';
        found = found || strstr(path, "/removed (deleted)") != NULL;
    }
    closedir(directory);
    return !found;
}

static void what_was_removed_is_given_back_between_jobs(void **state)
{
    struct bench *bench = *state;
    struct disk_job job = {.op = DISK_CREATE, .size = 2 * DISK_REMAINS_PIECE + 1};
    strcpy(job.name, "removed");
    assert_int_equal(bench->world->ops->disk_run(bench->world, &job), STATUS_OK);
    close(job.file);
    submit(bench, DISK_QUEUE_BULK, 0, DISK_REMOVE, "removed");
    net_run_until(&bench->net, some_done, bench);
    assert_int_equal(bench->jobs[0].status, STATUS_OK);
    net_run_until(&bench->net, holds_nothing_removed, NULL);
}

static void what_was_removed_does_not_keep_a_world_open(void **state)
{
    struct bench *bench = *state;
    struct disk_job job = {.op = DISK_CREATE};
    strcpy(job.name, "removed");
    assert_int_equal(bench->world->ops->disk_run(bench->world, &job), STATUS_OK);
    assert_int_equal(ftruncate(job.file, (off_t)1 << 40), 0); /* days, a piece at a time */
    close(job.file);
    submit(bench, DISK_QUEUE_BULK, 0, DISK_REMOVE, "removed");
    close_bench(bench);
    assert_int_equal(bench->jobs[0].status, STATUS_OK);
    assert_true(holds_nothing_removed(NULL));
}

static volatile sig_atomic_t signalled_thread;

static void on_signal(int number)
{
    (void)number;
    signalled_thread = gettid() == getpid() ? 1 : 2;
}

static bool was_signalled(void *context)
{
    (void)context;
    return signalled_thread != 0;
}

static void signals_do_not_meet_the_disk_threads(void **state)
{
    struct bench *bench = *state;
    submit(bench, DISK_QUEUE_LOG, 0, DISK_OPEN, "lock");
    net_run_until(&bench->net, some_done, bench);
    close(bench->jobs[0].file);
    signal(SIGUSR1, on_signal);
    sigset_t block;
    sigemptyset(&block);
    sigaddset(&block, SIGUSR1);
    sigprocmask(SIG_BLOCK, &block, NULL);
    kill(getpid(), SIGUSR1); /* goes to any thread that does not block it */
    net_run_for(&bench->net, 50);
    assert_int_equal(signalled_thread, 0);
    sigprocmask(SIG_UNBLOCK, &block, NULL);
    net_run_until(&bench->net, was_signalled, NULL);
    assert_int_equal(signalled_thread, 1);
}

static void a_second_world_in_the_same_directory_is_refused(void **state)
{
    struct bench *bench = *state;
    struct real_world_config config = {
        .loop = &bench->net.loop, .root = bench->root, .events = &bench->events};
    char room[256];
    struct text error = text_of(room, sizeof room);
    struct real_world *second;
    assert_int_equal(real_world_open(&config, &error, &second), STATUS_BUSY);
    assert_non_null(strstr(room, "in use"));
}

static void without_a_directory_disk_jobs_fail_cleanly(void **state)
{
    struct bench *bench = *state;
    close_bench(bench);
    bench->closed = false;
    struct real_world_config config = {.loop = &bench->net.loop, .events = &bench->events};
    char room[256];
    struct text error = text_of(room, sizeof room);
    assert_int_equal(real_world_open(&config, &error, &bench->real), STATUS_OK);
    bench->world = real_world_world(bench->real);
    struct disk_job job = {.op = DISK_CREATE};
    strcpy(job.name, "a");
    assert_int_not_equal(bench->world->ops->disk_run(bench->world, &job), STATUS_OK);
}

static void nothing_is_called_after_the_stop(void **state)
{
    struct bench *bench = *state;
    const struct world_ops *ops = bench->world->ops;
    ops->arm(bench->world, 1);
    real_world_stop(bench->real);
    real_world_stop(bench->real);
    ops->arm(bench->world, 2);
    uint32_t turns = bench->turns;
    net_run_for(&bench->net, 30);
    assert_int_equal(bench->timers, 0);
    assert_int_equal(bench->turns, turns);
}

#define REAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        REAL_TEST(the_timer_comes_once_and_not_early),
        REAL_TEST(the_last_deadline_counts),
        REAL_TEST(a_deadline_in_the_past_comes_next_turn_and_starves_nobody),
        REAL_TEST(the_clock_never_goes_back_and_randomness_differs),
        REAL_TEST(jobs_of_one_queue_come_back_in_order),
        REAL_TEST(one_queue_does_not_wait_for_the_other),
        REAL_TEST(closing_waits_for_jobs_that_follow_from_jobs),
        REAL_TEST(a_disk_job_can_be_run_before_the_loop_turns),
        REAL_TEST(a_job_that_was_begun_ahead_is_done_when_it_has_been_run),
        REAL_TEST(what_was_removed_is_given_back_between_jobs),
        REAL_TEST(what_was_removed_does_not_keep_a_world_open),
        REAL_TEST(signals_do_not_meet_the_disk_threads),
        REAL_TEST(a_second_world_in_the_same_directory_is_refused),
        REAL_TEST(without_a_directory_disk_jobs_fail_cleanly),
        REAL_TEST(nothing_is_called_after_the_stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
