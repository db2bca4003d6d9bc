/* One member: its process, from start to death, its clock, and when its code runs.
 *
 * The one invariant: when a process ends, whatever way, all of its memory is gone at once, and only
 * its disk remains. A start that fails must say why; and it may fail only where its disk did. */
#include "sim/internal.h"

#include "base/panic.h"
#include "replica/internal.h"

#include <stdio.h>
#include <string.h>

#define CHECK_EVERY 500 /* turns: the engine looks at its own invariants */

static struct prng *prng_of(const struct sim_member *m)
{
    return &m->sim->streams[STREAM_PROCESS];
}

bool member_works(const struct sim_member *m)
{
    return (m->state == MEMBER_UP || m->state == MEMBER_STOPPING) && !m->paused;
}

bool member_gone(const struct sim_member *m)
{
    return m->wiped || m->tainted || m->halted;
}

/* --- Clock ----------------------------------------------------------------------------------- */

uint64_t member_clock(const struct sim_member *m)
{
    int64_t passed = (int64_t)(m->sim->now - m->base_true);
    return m->base_local + (uint64_t)(passed + passed * m->drift / 1000000);
}

static void clock_rebase(struct sim_member *m)
{
    m->base_local = member_clock(m);
    m->base_true = m->sim->now;
}

void member_drift(struct sim_member *m, int64_t drift)
{
    clock_rebase(m);
    m->drift = drift;
    if (m->sim->timers[m->place].at != TIME_NEVER)
        member_set_timer(m);
}

void member_jump(struct sim_member *m, uint64_t forward)
{
    clock_rebase(m);
    m->base_local += forward;
    if (m->sim->timers[m->place].at != TIME_NEVER)
        member_set_timer(m);
}

/* A machine that starts counts from anew. */
static void clock_start(struct sim_member *m)
{
    struct prng *prng = &m->sim->streams[STREAM_CLOCK];
    m->base_true = m->sim->now;
    m->base_local = 1 + draw_logarithmic(prng, 1, 1000 * SECONDS);
}

static void no_dues(struct sim_member *m)
{
    m->sim->timers[m->place].at = m->sim->turns[m->place].at = TIME_NEVER;
}

/* --- What it shows --------------------------------------------------------------------------- */

static void on_recovered(void *owner, uint64_t lsn_last)
{
    struct sim_member *m = owner;
    const struct replica_observer *o = oracle_observer(m->sim->oracle, m->place);
    sim_trace(m->sim, m->place, "recovered", lsn_last, 0);
    if (o->on_recovered != NULL)
        o->on_recovered(o->owner, lsn_last);
}

static void on_input(void *owner, const struct input *input)
{
    struct sim_member *m = owner;
    const struct replica_observer *o = oracle_observer(m->sim->oracle, m->place);
    if (o->on_input != NULL)
        o->on_input(o->owner, input);
}

static void on_effect(void *owner, const struct effect *effect)
{
    struct sim_member *m = owner;
    const struct replica_observer *o = oracle_observer(m->sim->oracle, m->place);
    if (m->state != MEMBER_BOOTING)
        member_crash_point(m);
    if (effect->kind == EFFECT_ROLE)
        sim_trace(m->sim, m->place,
                  effect->role == ROLE_LEADER      ? "leads"
                  : effect->role == ROLE_CANDIDATE ? "campaigns"
                                                   : "follows",
                  effect->to, effect->ballot.round);
    if (o->on_effect != NULL)
        o->on_effect(o->owner, effect);
}

static void on_release(void *owner, uint16_t to, uint64_t lsn)
{
    struct sim_member *m = owner;
    const struct replica_observer *o = oracle_observer(m->sim->oracle, m->place);
    if (o->on_release != NULL)
        o->on_release(o->owner, to, lsn);
}

static void on_applied(void *owner, uint64_t slot, const struct machine *machine)
{
    struct sim_member *m = owner;
    const struct replica_observer *o = oracle_observer(m->sim->oracle, m->place);
    trace_fold(m->sim, TRACE_APPLIED, m->place, slot, machine_digest(machine));
    if (o->on_applied != NULL)
        o->on_applied(o->owner, slot, machine);
}

static void on_installed(void *owner, uint64_t slot, const struct machine *machine)
{
    struct sim_member *m = owner;
    const struct replica_observer *o = oracle_observer(m->sim->oracle, m->place);
    sim_trace(m->sim, m->place, "installed", slot, machine_digest(machine));
    if (o->on_installed != NULL)
        o->on_installed(o->owner, slot, machine);
}

/* --- When its code runs ---------------------------------------------------------------------- */

void member_want_turn(struct sim_member *m)
{
    struct due *turn = &m->sim->turns[m->place];
    if (turn->at != TIME_NEVER || m->in_turn ||
        (m->state != MEMBER_UP && m->state != MEMBER_STOPPING))
        return;
    *turn = (struct due){m->sim->now + m->sim->options.turn_ns, m->sim->sequence++};
}

/* Its fronts' part of a turn. */
static void front_turn(struct sim_member *m)
{
    m->in_turn = true; /* what they look at is no new input */
    workload_turn(m->sim->workload, m->place);
    m->in_turn = false;
}

static void after_turn(struct sim_member *m)
{
    if (++m->turns % CHECK_EVERY == 0 && m->replica->ops->check != NULL)
        m->replica->ops->check(m->replica->engine);
    front_turn(m);
    member_settle(m);
}

void member_turn(struct sim_member *m)
{
    m->sim->turns[m->place].at = TIME_NEVER;
    if (m->resumed) {
        m->resumed = false;
        front_turn(m);
    }
    m->sim->running = m;
    m->world_events.on_turn(m->world_events.owner);
    m->sim->running = NULL;
    after_turn(m);
}

void member_timer(struct sim_member *m)
{
    m->sim->timers[m->place].at = TIME_NEVER;
    trace_fold(m->sim, TRACE_TIMER, m->place, 0, 0);
    m->sim->running = m;
    m->world_events.on_timer(m->world_events.owner);
    m->sim->running = NULL;
    after_turn(m);
}

void member_pause(struct sim_member *m)
{
    sim_trace(m->sim, m->place, "paused", 0, 0);
    m->paused = true;
    m->sim->paused |= 1u << m->place;
}

void member_resume(struct sim_member *m)
{
    struct sim *sim = m->sim;
    if (!m->paused)
        return;
    sim_trace(sim, m->place, "resumed", 0, 0);
    m->paused = false;
    sim->paused &= ~(1u << m->place);
    m->resumed = true;
    /* A process that goes on finds its sockets full and its timer overdue: how much of the one it
     * reads before it looks at the other is open. */
    bool timer_due = sim->timers[m->place].at <= sim->now;
    uint64_t before = prng_below(prng_of(m), m->waiting_count + 1);
    for (uint32_t i = 0; i <= m->waiting_count; i++) {
        if (i == before && timer_due)
            sim->timers[m->place] = (struct due){sim->now, sim->sequence++};
        if (i == before)
            sim->turns[m->place] = (struct due){sim->now, sim->sequence++};
        if (i < m->waiting_count)
            event_push(sim, sim->now, &m->waiting[i]);
    }
    m->waiting_count = 0;
}

/* --- Start ----------------------------------------------------------------------------------- */

static void on_fatal(void *owner, const char *what)
{
    struct sim_member *m = owner;
    trace_note(m->sim, m->place, "cannot go on", what);
    sim_trace(m->sim, m->place, "fatal", 0, 0);
    if (m->sim->running != m)
        panic("a replica fails while nothing of it runs");
    m->sim->fatals++;
    member_vanish(m, DEATH_KILL);
}

static void on_ready(void *owner)
{
    struct sim_member *m = owner;
    sim_trace(m->sim, m->place, "ready", 0, 0);
}

static void disk_faults_set(struct sim_member *m)
{
    const struct sim_options *o = &m->sim->options;
    struct disk_faults faults = {.keep = o->disk_keep};
    bool faulty = m->sim->nemesis.phase <= PHASE_LIVENESS && !m->healed;
    bool lying = m->sim->nemesis.phase == PHASE_SAFETY && m->state != MEMBER_BOOTING;
    if (faulty) {
        faults.error = o->disk_error;
        faults.read_error = o->disk_read_error;
        faults.full = m->sim->now < m->disk_full_until;
    }
    if (lying) {
        faults.misdirect = o->misdirect;
        faults.lost_write = o->lost_write;
    }
    m->disk.faults = faults;
}

void member_faults_changed(struct sim_member *m)
{
    disk_faults_set(m);
}

/* As `synod serve` does it: the log comes first, so that an identity without a log is a loss. */
static enum status bootstrap(struct sim_member *m, struct text *error)
{
    static struct identity found; /* large; nothing of it is kept */
    struct mem *mem = &m->pool.mem;
    enum status status = identity_load(&m->world, error, &found);
    if (status == STATUS_OK && found.disk != m->identity.disk)
        return STATUS_MISMATCH;
    if (status == STATUS_OK)
        return m->born ? journal_expect(&m->world, error) : STATUS_OK;
    if (status != STATUS_NOT_FOUND)
        return status;
    if (m->born) {
        text_add(error, "its identity is gone");
        return STATUS_CORRUPT;
    }
    uint64_t self = identity_member(&m->identity, m->identity.self)->id;
    if (m->sim->options.production_log) {
        status = journal_create(&m->world, mem, m->identity.cluster, self, error);
        if (status != STATUS_OK)
            return status;
    }
    status = identity_create(&m->world, mem, &m->identity, error);
    m->born = status == STATUS_OK && m->sim->options.production_log;
    return status;
}

static enum status open_replica(struct sim_member *m, struct text *error)
{
    const struct sim_options *o = &m->sim->options;
    struct replica_config config = {.world = &m->world,
                                    .mem = &m->pool.mem,
                                    .identity = &m->identity,
                                    .heartbeat_ns = o->heartbeat_ns,
                                    .election_ns = o->election_ns,
                                    .lease_ns = o->lease_ns,
                                    .lease_reads = o->lease_reads,
                                    .quota_bytes = o->quota_bytes,
                                    .snapshot_bytes = o->snapshot_bytes,
                                    .snapshot_slots = o->snapshot_slots,
                                    .segment_bytes = o->segment_bytes,
                                    .record_bytes = o->record_bytes,
                                    .pending_bytes = o->pending_bytes,
                                    .log_keep_bytes = o->log_keep_bytes,
                                    .observer = &m->observer,
                                    .owner = m,
                                    .on_fatal = on_fatal,
                                    .on_ready = on_ready};
    return replica_open(&config, error, &m->replica);
}

/* A start that failed: because a disk job of it failed, or because its disk is damaged. Anything
 * else is wrong. */
static void boot_failed(struct sim_member *m, enum status status, const char *why)
{
    struct sim *sim = m->sim;
    bool damaged = m->tainted;
    bool struck = m->boot_struck;
    sim_trace(sim, m->place, "does not start", (uint64_t)status, 0);
    trace_note(sim, m->place, "does not start:", why);
    if (why[0] == '\0')
        sim_violation(sim, "boot", "member %u does not start, and does not say why (%s)",
                      m->place + 1, status_text(status));
    else if (!damaged && !struck)
        sim_violation(sim, "boot", "member %u does not start: %s", m->place + 1, why);
    member_die(m, DEATH_KILL);
    if (damaged && !struck) {
        m->halted = true;
        sim->result->halted++;
    } else {
        member_boot_later(m, draw_exponential(prng_of(m), sim->options.down_ns));
    }
}

void member_boot(struct sim_member *m)
{
    struct sim *sim = m->sim;
    char why[512];
    struct text error = text_of(why, sizeof why);
    if (m->state != MEMBER_DOWN || m->halted)
        return;
    m->life++;
    m->state = MEMBER_BOOTING;
    m->boot_at = TIME_NEVER;
    m->boot_jobs = 0;
    m->boot_struck = false;
    m->stopped = m->resumed = false;
    sim_trace(sim, m->place, "boot", m->life, 0);
    world_init(m);
    disk_faults_set(m);
    sim->running = m;
    enum status status = bootstrap(m, &error);
    if (status == STATUS_OK)
        status = open_replica(m, &error);
    sim->running = NULL;
    if (status != STATUS_OK) {
        m->replica = NULL;
        boot_failed(m, status, why);
        return;
    }
    m->born = true;
    m->state = MEMBER_UP;
    sim->result->restarts += m->life > 1;
    disk_faults_set(m);
    m->world_events = replica_events(m->replica);
    network_member_up(sim, m->place);
    sim->running = m;
    replica_start(m->replica);
    sim->running = NULL;
    workload_member_up(sim->workload, m->place);
    member_want_turn(m);
}

void member_boot_later(struct sim_member *m, uint64_t delay)
{
    struct sim *sim = m->sim;
    bool frozen = sim->nemesis.phase == PHASE_LIVENESS && !m->healed;
    if (frozen || m->halted || sim->nemesis.phase == PHASE_OVER || m->state != MEMBER_DOWN)
        return;
    m->boot_at = sim->now + delay;
    struct sim_event event = {.kind = EVENT_BOOT, .place = m->place, .argument = m->life};
    event_push(sim, m->boot_at, &event);
}

/* --- End ------------------------------------------------------------------------------------- */

static void forget_waiting(struct sim_member *m)
{
    for (uint32_t i = 0; i < m->waiting_count; i++) {
        if (m->waiting[i].kind == EVENT_PACKET)
            network_drop(m->sim, m->waiting[i].at);
    }
    m->waiting_count = 0;
}

static void process_over(struct sim_member *m, enum death how)
{
    oracle_member_down(m->sim->oracle, m->place, member_gone(m));
    pool_release(&m->pool);
    m->replica = NULL;
    m->state = MEMBER_DOWN;
    m->paused = false;
    m->sim->paused &= ~(1u << m->place);
    no_dues(m);
    for (uint32_t i = 0; i < DISK_QUEUES; i++) {
        m->queues[i].first = NULL;
        m->queues[i].end = &m->queues[i].first;
    }
    forget_waiting(m);
    network_member_died(m->sim, m->place, how);
}

void member_die(struct sim_member *m, enum death how)
{
    struct sim *sim = m->sim;
    if (m->state == MEMBER_DOWN)
        return;
    sim_trace(sim, m->place, how == DEATH_POWER ? "loses power" : "is killed", m->life, 0);
    sim->result->crashes++;
    if (m->state == MEMBER_UP || m->state == MEMBER_STOPPING)
        workload_member_down(sim->workload, m->place);
    for (uint32_t i = 0; i < DISK_QUEUES; i++) {
        if (m->queues[i].first != NULL)
            disk_interrupt(&m->disk, m->queues[i].first);
    }
    if (how == DEATH_POWER) {
        disk_power_cut(&m->disk);
        clock_start(m);
    } else {
        disk_close_all(&m->disk);
    }
    process_over(m, how);
}

static void on_stopped(void *owner)
{
    struct sim_member *m = owner;
    m->stopped = true;
}

void member_stop(struct sim_member *m)
{
    if (m->state != MEMBER_UP || m->paused)
        return;
    sim_trace(m->sim, m->place, "is asked to stop", 0, 0);
    m->state = MEMBER_STOPPING;
    m->sim->running = m;
    replica_stop(m->replica, m, on_stopped);
    m->sim->running = NULL;
    member_settle(m);
}

/* All that was asked for has come back: what is left open or allocated now leaks. */
static void finish_stop(struct sim_member *m)
{
    struct sim *sim = m->sim;
    replica_close(m->replica);
    m->replica = NULL;
    if (m->pool.mem.used != 0)
        sim_violation(sim, "leak", "member %u stopped and left %zu bytes behind", m->place + 1,
                      m->pool.mem.used);
    if (m->disk.handles_open != 0)
        sim_violation(sim, "leak", "member %u stopped and left %u files open", m->place + 1,
                      m->disk.handles_open);
    sim_trace(sim, m->place, "stopped", 0, 0);
    disk_close_all(&m->disk);
    process_over(m, DEATH_KILL);
    member_boot_later(m, draw_exponential(prng_of(m), sim->options.down_ns));
}

void member_settle(struct sim_member *m)
{
    if (m->state == MEMBER_STOPPING && m->stopped) {
        workload_member_down(m->sim->workload, m->place);
        replica_halt(m->replica);
        m->state = MEMBER_DRAINING;
        no_dues(m);
    }
    if (m->state == MEMBER_DRAINING && m->queues[0].first == NULL && m->queues[1].first == NULL)
        finish_stop(m);
}

void member_wipe(struct sim_member *m)
{
    sim_trace(m->sim, m->place, "wiped", 0, 0);
    m->wiped = true;
    m->born = false;
    disk_wipe(&m->disk);
    m->identity.disk = prng_next(prng_of(m)) | 1;
    oracle_member_down(m->sim->oracle, m->place, true);
}

static bool may_damage(void *owner)
{
    struct sim_member *m = owner;
    struct sim *sim = m->sim;
    if (sim->nemesis.phase != PHASE_SAFETY || m->wiped ||
        (!sim->options.damage_all_copies && !members_may_lose(sim, m->place)))
        return false;
    if (!m->tainted)
        sim_trace(sim, m->place, "tainted", 0, 0);
    m->tainted = true;
    return true;
}

bool member_may_damage(struct sim_member *m)
{
    return may_damage(m);
}

static void identity_init(struct sim_member *m)
{
    struct sim *sim = m->sim;
    m->identity = (struct identity){.cluster = 77,
                                    .disk = 1000 + m->place,
                                    .era = 1,
                                    .engine = sim->options.engine,
                                    .self = (uint16_t)(m->place + 1),
                                    .members_count = sim->options.members};
    for (uint32_t i = 0; i < sim->options.members; i++) {
        struct identity_member *member = &m->identity.members[i];
        member->id = 100 + i;
        member->node = (uint16_t)(i + 1);
        snprintf(member->name, sizeof member->name, "m%u", i + 1);
    }
}

void member_init(struct sim *sim, uint32_t place)
{
    struct sim_member *m = &sim->members[place];
    m->sim = sim;
    m->place = place;
    pool_init(&m->pool);
    disk_init(&m->disk, &sim->pool.mem, &sim->streams[STREAM_DISK]);
    m->disk.owner = m;
    m->disk.may_damage = may_damage;
    for (uint32_t i = 0; i < DISK_QUEUES; i++)
        m->queues[i].end = &m->queues[i].first;
    no_dues(m);
    m->boot_at = TIME_NEVER;
    m->observer = (struct replica_observer){.owner = m,
                                            .on_recovered = on_recovered,
                                            .on_input = on_input,
                                            .on_effect = on_effect,
                                            .on_release = on_release,
                                            .on_applied = on_applied,
                                            .on_installed = on_installed};
    identity_init(m);
    clock_start(m);
    int64_t bound = sim->options.drift;
    if (bound > 0)
        m->drift =
            (int64_t)prng_below(&sim->streams[STREAM_CLOCK], (uint64_t)(2 * bound + 1)) - bound;
    member_boot_later(m, draw_between(prng_of(m), 0, 20 * MS));
}
