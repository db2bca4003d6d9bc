/* A member's world: world.h over virtual time, the simulated disk and the simulated network. Each
 * call is also a point at which the process may die.
 *
 * The one invariant: a disk job that is under way has not happened yet. It happens whole when it is
 * reported, or in part when the process dies first. */
#include "sim/internal.h"

#include "base/panic.h"

#include <stdio.h>

static struct sim_member *member_of(struct world *world)
{
    return container_of(world, struct sim_member, world);
}

void member_vanish(struct sim_member *m, enum death how)
{
    m->sim->crash_as = how;
    longjmp(m->sim->crash, 1);
}

void member_crash_point(struct sim_member *m)
{
    struct sim *sim = m->sim;
    if (sim->running != m || sim->nemesis.phase != PHASE_SAFETY)
        return;
    if (draw_chance(&sim->streams[STREAM_PROCESS], sim->options.crash_at_effect)) {
        sim->result->faults++;
        sim_trace(sim, m->place, "crash point", 0, 0);
        member_vanish(m,
                      draw_percent(&sim->streams[STREAM_PROCESS], 50) ? DEATH_POWER : DEATH_KILL);
    }
}

static uint64_t op_now(struct world *world)
{
    return member_clock(member_of(world));
}

static uint64_t op_wall(struct world *world)
{
    return UINT64_C(1700000000000) + member_clock(member_of(world)) / MS;
}

static uint64_t op_random(struct world *world)
{
    return prng_next(&member_of(world)->sim->streams[STREAM_MEMBERS]);
}

/* The first moment at which its clock shows this. */
static uint64_t true_time(const struct sim_member *m, uint64_t local)
{
    if (local == TIME_NEVER)
        return TIME_NEVER;
    if (local <= m->base_local)
        return m->sim->now;
    int64_t ahead = (int64_t)(local - m->base_local);
    int64_t scale = 1000000 + m->drift;
    uint64_t at =
        m->base_true + (uint64_t)(ahead / scale * 1000000 + ahead % scale * 1000000 / scale);
    return at + 2; /* roundings are below this */
}

void member_set_timer(struct sim_member *m)
{
    uint64_t at = true_time(m, m->timer_local);
    m->sim->timers[m->place] =
        (struct due){at < m->sim->now ? m->sim->now : at, m->sim->sequence++};
}

static void op_arm(struct world *world, uint64_t deadline)
{
    struct sim_member *m = member_of(world);
    m->timer_local = deadline;
    member_set_timer(m);
    member_crash_point(m);
}

static void op_send(struct world *world, uint16_t to, struct bytes head, struct blob *entry)
{
    struct sim_member *m = member_of(world);
    member_crash_point(m);
    if (to == 0 || to > m->sim->options.members)
        panic("a message to nobody");
    network_send(m->sim, m->place, (uint32_t)to - 1, head, entry);
}

/* While it boots, and when it closes what it has open. */
static enum status op_disk_run(struct world *world, struct disk_job *job)
{
    struct sim_member *m = member_of(world);
    struct sim *sim = m->sim;
    m->boot_jobs++;
    if (m->state == MEMBER_BOOTING && sim->nemesis.phase == PHASE_SAFETY && sim->running == m &&
        draw_chance(&sim->streams[STREAM_PROCESS], sim->options.crash_at_boot)) {
        sim->result->faults++;
        sim_trace(sim, m->place, "crash at boot", m->boot_jobs, job->op);
        disk_interrupt(&m->disk, job);
        member_vanish(m,
                      draw_percent(&sim->streams[STREAM_PROCESS], 50) ? DEATH_POWER : DEATH_KILL);
    }
    uint64_t struck = m->disk.faults_struck;
    enum status status = disk_perform(&m->disk, DISK_QUEUE_LOG, job);
    m->boot_struck |= m->disk.faults_struck != struck;
    trace_fold(sim, TRACE_DISK, m->place, (uint64_t)job->op << 8 | (uint64_t)status, job->moved);
    return status;
}

static uint64_t disk_time(struct sim_member *m, const struct disk_job *job)
{
    struct sim *sim = m->sim;
    uint64_t mean = sim->options.disk_ns;
    bool syncs = job->sync || (job->op != DISK_READ && job->op != DISK_WRITE &&
                               job->op != DISK_OPEN && job->op != DISK_CLOSE);
    if (!syncs)
        mean = mean / 8 + 1;
    uint64_t took = mean / 4 + draw_exponential(&sim->streams[STREAM_DISK], mean);
    return sim->now < m->disk_slow_until ? 100 * took : took;
}

static void queue_start(struct sim_member *m, uint64_t queue)
{
    struct disk_job *job = m->queues[queue].first;
    job->took_ns = disk_time(m, job);
    struct sim_event event = {
        .kind = EVENT_DISK, .place = m->place, .argument = m->life << 1 | queue};
    event_push(m->sim, m->sim->now + job->took_ns, &event);
}

static void op_disk_submit(struct world *world, enum disk_queue queue, struct disk_job *job)
{
    struct sim_member *m = member_of(world);
    struct member_queue *q = &m->queues[queue];
    member_crash_point(m);
    job->next = NULL;
    *q->end = job;
    q->end = &job->next;
    if (q->first == job)
        queue_start(m, queue);
}

/* Before a job, in the middle of it, or after it and before anybody hears of it. */
static void crash_around(struct sim_member *m)
{
    struct prng *prng = &m->sim->streams[STREAM_PROCESS];
    member_die(m, draw_percent(prng, 50) ? DEATH_POWER : DEATH_KILL);
    member_boot_later(m, draw_exponential(prng, m->sim->options.down_ns));
}

void member_disk_done(struct sim_member *m, uint64_t argument)
{
    struct sim *sim = m->sim;
    uint64_t queue = argument & 1;
    if (m->life != argument >> 1 || m->state == MEMBER_DOWN)
        return;
    struct member_queue *q = &m->queues[queue];
    struct disk_job *job = q->first;
    bool turns = job->op == DISK_CREATE || job->op == DISK_RENAME || job->op == DISK_REMOVE ||
                 job->op == DISK_SYNC_DIRECTORY;
    if (turns && sim->nemesis.phase == PHASE_SAFETY && m->state == MEMBER_UP &&
        draw_chance(&sim->streams[STREAM_PROCESS], sim->options.crash_at_name)) {
        sim->result->faults++;
        sim_trace(sim, m->place, "crash at name", job->op, 0);
        crash_around(m);
        return;
    }
    enum status status = disk_perform(&m->disk, (enum disk_queue)queue, job);
    trace_fold(sim, TRACE_DISK, m->place, (uint64_t)job->op << 8 | (uint64_t)status, job->offset);
    q->first = job->next;
    if (q->first == NULL)
        q->end = &q->first;
    sim->running = m;
    member_crash_point(m); /* durable, and nobody knows */
    if (q->first != NULL)
        queue_start(m, queue);
    job->done(job);
    sim->running = NULL;
    member_want_turn(m);
    member_settle(m);
}

static void op_log(struct world *world, enum log_level level, const char *message,
                   const char *fields)
{
    struct sim_member *m = member_of(world);
    if (level >= LOG_INFO)
        trace_note(m->sim, m->place, message, fields);
}

void world_init(struct sim_member *m)
{
    static const struct world_ops ops = {.now = op_now,
                                         .wall_ms = op_wall,
                                         .random = op_random,
                                         .arm = op_arm,
                                         .send = op_send,
                                         .disk_run = op_disk_run,
                                         .disk_submit = op_disk_submit,
                                         .log = op_log};
    m->world = (struct world){.ops = &ops, .mem = &m->pool.mem};
}
