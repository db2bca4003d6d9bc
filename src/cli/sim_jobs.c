/* Worker processes; see sim_jobs.h. Worker w of n does the tasks w, w + n, w + 2n...; it says in
 * shared memory which one it is at, and sends what came of it through a pipe. */
#include "cli/sim_jobs.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define TICK_MS 200
#define NOTHING UINT64_MAX

/* What a worker is at; written by it, read by us. */
struct post {
    volatile uint64_t task; /* NOTHING: none */
    volatile uint64_t since_ns;
};

struct report {
    uint64_t task;
    struct sim_result result;
};

struct worker {
    pid_t pid; /* 0: it has ended */
    int pipe;
    uint64_t next; /* the task that it would be given if it had to be started again */
    bool killed;
    size_t received;
    struct report report;
};

struct crew {
    const struct sim_jobs *jobs;
    struct post *posts;
    struct worker *workers;
    uint32_t alive;
};

uint64_t sim_jobs_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static bool write_all(int file, const void *data, size_t size)
{
    const char *at = data;
    while (size > 0) {
        ssize_t written = write(file, at, size);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static void work(const struct sim_jobs *jobs, struct post *post, uint64_t first, int pipe)
{
    static struct report report;
    for (uint64_t i = first; i < jobs->tasks; i += jobs->workers) {
        struct sim_options options;
        uint64_t now = sim_jobs_clock_ns();
        if (jobs->deadline_ns != 0 && now >= jobs->deadline_ns)
            break;
        post->since_ns = now;
        post->task = i;
        jobs->task(jobs->owner, i, &options);
        sim_run(&options, &report.result);
        report.task = i;
        if (!write_all(pipe, &report, sizeof report))
            break;
        post->task = NOTHING;
        if (jobs->tasks - i <= jobs->workers)
            break;
    }
    /* Nothing of the parent's is flushed or run twice. */
    _exit(0);
}

static bool worker_start(struct crew *crew, uint32_t w)
{
    int ends[2];
    struct worker *worker = &crew->workers[w];
    if (pipe(ends) != 0)
        return false;
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid < 0) {
        close(ends[0]);
        close(ends[1]);
        return false;
    }
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1);
        close(ends[0]);
        work(crew->jobs, &crew->posts[w], worker->next, ends[1]);
    }
    close(ends[1]);
    worker->pid = pid;
    worker->pipe = ends[0];
    worker->received = 0;
    worker->killed = false;
    crew->alive++;
    return true;
}

static void report_death(struct crew *crew, uint32_t w, int status)
{
    struct worker *worker = &crew->workers[w];
    uint64_t task = crew->posts[w].task;
    struct sim_result result = {.failed = true};
    snprintf(result.oracle, sizeof result.oracle, "%s", worker->killed ? "hang" : "crash");
    if (worker->killed)
        snprintf(result.violation, sizeof result.violation, "no end after %llu s",
                 (unsigned long long)(crew->jobs->hang_ns / 1000000000));
    else if (WIFSIGNALED(status))
        snprintf(result.violation, sizeof result.violation, "the process ended by signal %d (%s)",
                 WTERMSIG(status), strsignal(WTERMSIG(status)));
    else
        snprintf(result.violation, sizeof result.violation, "the process ended with status %d",
                 WEXITSTATUS(status));
    crew->posts[w].task = NOTHING;
    crew->jobs->done(crew->jobs->owner, task, &result);
    worker->next = task + crew->jobs->workers;
    if (worker->next < crew->jobs->tasks && task < UINT64_MAX - crew->jobs->workers)
        worker_start(crew, w);
}

/* The pipe has ended, and so has the worker. */
static void worker_ended(struct crew *crew, uint32_t w)
{
    struct worker *worker = &crew->workers[w];
    int status = 0;
    close(worker->pipe);
    waitpid(worker->pid, &status, 0);
    worker->pid = 0;
    crew->alive--;
    if (crew->posts[w].task != NOTHING)
        report_death(crew, w, status);
}

static void worker_read(struct crew *crew, uint32_t w)
{
    struct worker *worker = &crew->workers[w];
    char *at = (char *)&worker->report + worker->received;
    ssize_t size = read(worker->pipe, at, sizeof worker->report - worker->received);
    if (size < 0 && errno == EINTR)
        return;
    if (size <= 0) {
        worker_ended(crew, w);
        return;
    }
    worker->received += (size_t)size;
    if (worker->received < sizeof worker->report)
        return;
    worker->received = 0;
    crew->jobs->done(crew->jobs->owner, worker->report.task, &worker->report.result);
}

static void look_for_hangs(struct crew *crew)
{
    uint64_t now = sim_jobs_clock_ns();
    for (uint32_t w = 0; w < crew->jobs->workers; w++) {
        struct worker *worker = &crew->workers[w];
        const struct post *post = &crew->posts[w];
        if (worker->pid == 0 || worker->killed || post->task == NOTHING ||
            now < post->since_ns + crew->jobs->hang_ns)
            continue;
        worker->killed = true;
        kill(worker->pid, SIGKILL);
    }
}

static void supervise(struct crew *crew)
{
    uint32_t count = crew->jobs->workers;
    struct pollfd *polls = calloc(count, sizeof *polls);
    uint64_t ticked = 0;
    while (crew->alive > 0 && polls != NULL) {
        for (uint32_t w = 0; w < count; w++) {
            bool runs = crew->workers[w].pid != 0;
            polls[w] = (struct pollfd){.fd = runs ? crew->workers[w].pipe : -1, .events = POLLIN};
        }
        poll(polls, count, TICK_MS);
        for (uint32_t w = 0; w < count; w++) {
            if (crew->workers[w].pid != 0 && polls[w].revents != 0)
                worker_read(crew, w);
        }
        look_for_hangs(crew);
        uint64_t now = sim_jobs_clock_ns();
        if (crew->jobs->tick != NULL && now - ticked > TICK_MS * UINT64_C(1000000)) {
            ticked = now;
            crew->jobs->tick(crew->jobs->owner);
        }
    }
    free(polls);
}

bool sim_jobs_run(const struct sim_jobs *jobs)
{
    struct crew crew = {.jobs = jobs};
    size_t posts_size = jobs->workers * sizeof *crew.posts;
    crew.posts = mmap(NULL, posts_size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    crew.workers = calloc(jobs->workers, sizeof *crew.workers);
    bool good = crew.posts != MAP_FAILED && crew.workers != NULL;
    for (uint32_t w = 0; good && w < jobs->workers; w++) {
        crew.posts[w].task = NOTHING;
        crew.workers[w].next = w;
        if (w < jobs->tasks)
            good = worker_start(&crew, w);
    }
    if (!good)
        fprintf(stderr, "synod sim: cannot start workers: %s\n", strerror(errno));
    supervise(&crew);
    free(crew.workers);
    if (crew.posts != MAP_FAILED)
        munmap(crew.posts, posts_size);
    return good;
}
