/* The nemesis: what goes wrong when, and the judgement after it. First the safety phase, in which
 * everything may fail that the seed has drawn. Then a random quorum is healed, the others stay in
 * whatever state they are in, and the quorum must make progress through each of its members. Then
 * all are healed that can be, and must end alike.
 *
 * The one invariant: nothing new is done to anybody after the safety phase. */
#include "replica/internal.h"
#include "sim/internal.h"

#include <stdio.h>
#include <string.h>

#define TICK_NS (50 * MS)
#define QUIET_NS (1 * SECONDS)

static void tick(void *owner, uint64_t argument);

static struct prng *prng_of(struct sim *sim)
{
    return &sim->streams[STREAM_NEMESIS];
}

static bool strikes(struct sim *sim, uint32_t chance)
{
    if (!draw_chance(prng_of(sim), chance))
        return false;
    sim->result->faults++;
    return true;
}

static struct sim_member *anybody(struct sim *sim)
{
    return &sim->members[prng_below(prng_of(sim), sim->options.members)];
}

static void in_a_while(struct sim *sim, uint64_t mean, void (*fn)(void *owner, uint64_t argument),
                       uint64_t argument)
{
    sim_at(sim, sim->now + draw_exponential(prng_of(sim), mean), fn, sim, argument);
}

/* --- Network --------------------------------------------------------------------------------- */

static void mend_all(struct sim *sim)
{
    for (uint32_t a = 0; a < sim->options.members; a++) {
        for (uint32_t b = 0; b < sim->options.members; b++)
            network_cut(sim, a, b, false);
    }
}

static void on_partition_over(void *owner, uint64_t argument)
{
    struct sim *sim = owner;
    if (sim->nemesis.phase != PHASE_SAFETY || sim->nemesis.partition != argument)
        return;
    mend_all(sim);
    sim->nemesis.partitioned = false;
}

/* Two sides; the links between them are cut, in one direction if the seed says so. */
static void cut_between(struct sim *sim, uint32_t side)
{
    bool one_way = sim->options.partition_one_way && draw_percent(prng_of(sim), 60);
    bool outward = draw_percent(prng_of(sim), 50);
    for (uint32_t a = 0; a < sim->options.members; a++) {
        for (uint32_t b = 0; b < sim->options.members; b++) {
            bool in_a = side >> a & 1;
            bool in_b = side >> b & 1;
            if (in_a != in_b && (!one_way || in_a == outward))
                network_cut(sim, a, b, true);
        }
    }
}

/* Some links, each by itself; every member still hears somebody, often. */
static void cut_at_random(struct sim *sim)
{
    uint32_t percent = (uint32_t)draw_between(prng_of(sim), 10, 60);
    for (uint32_t a = 0; a < sim->options.members; a++) {
        for (uint32_t b = a + 1; b < sim->options.members; b++) {
            if (!draw_percent(prng_of(sim), percent))
                continue;
            network_cut(sim, a, b, true);
            if (!sim->options.partition_one_way || draw_percent(prng_of(sim), 50))
                network_cut(sim, b, a, true);
        }
    }
}

/* Two sides that only one member in the middle hears both of. */
static void cut_but_bridge(struct sim *sim)
{
    uint32_t n = sim->options.members;
    uint32_t bridge = (uint32_t)prng_below(prng_of(sim), n);
    uint32_t side = (uint32_t)prng_below(prng_of(sim), UINT64_C(1) << n);
    for (uint32_t a = 0; a < n; a++) {
        for (uint32_t b = 0; b < n; b++) {
            if (a != bridge && b != bridge && (side >> a & 1) != (side >> b & 1))
                network_cut(sim, a, b, true);
        }
    }
}

static void on_deafer(void *owner, uint64_t argument)
{
    struct sim *sim = owner;
    if (sim->nemesis.phase != PHASE_SAFETY || !sim->nemesis.partitioned)
        return;
    for (uint32_t peer = 0; peer < sim->options.members; peer++) {
        if (peer != argument)
            network_clog(sim, peer, (uint32_t)argument, sim->now + 2 * sim->options.election_ns);
    }
}

/* The leader is not heard any more, and hears old news for a while: as long as it can be it
 * believes that it leads, while the others have elected another. */
static void cut_off_leader(struct sim *sim)
{
    uint32_t leader = 0;
    while (leader < sim->options.members && !(member_works(&sim->members[leader]) &&
                                              sim->members[leader].replica->role == ROLE_LEADER))
        leader++;
    if (leader == sim->options.members)
        return;
    uint64_t held = sim->options.election_ns * draw_between(prng_of(sim), 50, 98) / 100;
    for (uint32_t peer = 0; peer < sim->options.members; peer++) {
        if (peer == leader)
            continue;
        network_cut(sim, leader, peer, true);
        network_clog(sim, peer, leader, sim->now + held);
    }
    sim_at(sim, sim->now + held + MS, on_deafer, sim, leader);
}

static void partition(struct sim *sim)
{
    uint32_t n = sim->options.members;
    if (n < 2 || sim->nemesis.partitioned || !strikes(sim, sim->options.partition))
        return;
    sim->nemesis.partitioned = true;
    sim->nemesis.partition++;
    switch (prng_below(prng_of(sim), sim->options.partition_one_way ? 5 : 4)) {
    case 0:
        cut_between(sim, 1u << prng_below(prng_of(sim), n));
        break;
    case 1:
        cut_between(sim, (uint32_t)prng_below(prng_of(sim), UINT64_C(1) << n));
        break;
    case 2:
        cut_at_random(sim);
        break;
    case 4:
        cut_off_leader(sim);
        break;
    default:
        cut_but_bridge(sim);
        break;
    }
    uint64_t mean = draw_percent(prng_of(sim), 30) ? 6 * SECONDS : SECONDS;
    in_a_while(sim, mean, on_partition_over, sim->nemesis.partition);
}

static void clog_link(struct sim *sim)
{
    if (sim->options.members < 2 || !strikes(sim, sim->options.clog))
        return;
    uint32_t from = anybody(sim)->place;
    uint32_t to = anybody(sim)->place;
    uint64_t until = sim->now + draw_exponential(prng_of(sim), SECONDS);
    if (from != to)
        network_clog(sim, from, to, until);
}

static void on_swizzle(void *owner, uint64_t argument)
{
    struct sim *sim = owner;
    uint32_t place = (uint32_t)(argument & 7);
    uint64_t until = argument >> 3;
    if (sim->nemesis.phase != PHASE_SAFETY)
        return;
    for (uint32_t peer = 0; peer < sim->options.members; peer++) {
        if (peer == place)
            continue;
        network_clog(sim, place, peer, until);
        network_clog(sim, peer, place, until);
    }
}

/* Links of some members stop one member after the other, and return in another order. */
static void swizzle(struct sim *sim)
{
    if (sim->options.members < 2 || !strikes(sim, sim->options.swizzle))
        return;
    for (uint32_t place = 0; place < sim->options.members; place++) {
        if (draw_percent(prng_of(sim), 40))
            continue;
        uint64_t stop = sim->now + prng_below(prng_of(sim), SECONDS);
        uint64_t until = sim->now + SECONDS + prng_below(prng_of(sim), 2 * SECONDS);
        sim_at(sim, stop, on_swizzle, sim, until << 3 | place);
    }
}

/* --- Disks ----------------------------------------------------------------------------------- */

static void on_disk_better(void *owner, uint64_t argument)
{
    struct sim *sim = owner;
    member_faults_changed(&sim->members[argument]);
}

static void disks(struct sim *sim)
{
    const struct sim_options *o = &sim->options;
    struct sim_member *m = anybody(sim);
    if (strikes(sim, o->disk_slow))
        m->disk_slow_until = sim->now + draw_exponential(prng_of(sim), SECONDS);
    if (strikes(sim, o->disk_full)) {
        m->disk_full_until = sim->now + draw_exponential(prng_of(sim), 2 * SECONDS);
        sim_trace(sim, m->place, "disk full", m->disk_full_until, 0);
        sim_at(sim, m->disk_full_until, on_disk_better, sim, m->place);
        member_faults_changed(m);
    }
    if (draw_chance(prng_of(sim), o->rot) && m->born && member_may_damage(m) &&
        disk_rot(&m->disk)) {
        sim->result->faults++;
        sim_trace(sim, m->place, "rot", 0, 0);
    }
    if (m->disk.lies != NULL && draw_percent(prng_of(sim), 10))
        disk_evict(&m->disk);
}

/* --- Processes and clocks -------------------------------------------------------------------- */

static void die(struct sim *sim, struct sim_member *m, enum death how)
{
    if (m->state == MEMBER_DOWN)
        return;
    member_die(m, how);
    member_boot_later(m, draw_exponential(prng_of(sim), sim->options.down_ns));
}

static void on_pause_over(void *owner, uint64_t argument)
{
    struct sim *sim = owner;
    struct sim_member *m = &sim->members[argument & 7];
    if (sim->nemesis.phase == PHASE_SAFETY && m->life == argument >> 3)
        member_resume(m);
}

/* Who has met whose disk, durably? */
static void note_meetings(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.members; i++) {
        const struct sim_member *m = &sim->members[i];
        if (m->state != MEMBER_UP ||
            journal_durable(m->replica->journal) < m->replica->memory.met_lsn)
            continue;
        for (uint32_t k = 0; k < sim->options.members; k++) {
            if (m->replica->memory.disks[k] == sim->members[k].identity.disk)
                sim->members[k].met |= 1u << i;
        }
    }
}

/* Empties the disk of a member that is down. The others must have met the old one: to a member that
 * is new itself, one that forgot everything is as new as any. */
static void wipe(struct sim *sim)
{
    struct sim_member *m = anybody(sim);
    uint32_t others = ((1u << sim->options.members) - 1) & ~(1u << m->place);
    note_meetings(sim);
    if (m->state == MEMBER_DOWN && m->born && !member_gone(m) && (others & ~m->met) == 0 &&
        members_may_lose(sim, m->place) && strikes(sim, sim->options.wipe))
        member_wipe(m);
}

static void processes(struct sim *sim)
{
    const struct sim_options *o = &sim->options;
    if (strikes(sim, o->crash))
        die(sim, anybody(sim), DEATH_POWER);
    if (strikes(sim, o->kill))
        die(sim, anybody(sim), DEATH_KILL);
    if (strikes(sim, o->blackout)) {
        for (uint32_t i = 0; i < o->members; i++)
            die(sim, &sim->members[i], DEATH_POWER);
    }
    if (strikes(sim, o->stop))
        member_stop(anybody(sim));
    if (strikes(sim, o->pause)) {
        struct sim_member *m = anybody(sim);
        if (member_works(m)) {
            member_pause(m);
            uint64_t mean =
                draw_percent(prng_of(sim), 50) ? o->election_ns / 2 : 3 * o->election_ns;
            in_a_while(sim, mean, on_pause_over, m->life << 3 | m->place);
        }
    }
    if (o->wipe > 0)
        if (o->wipe > 0)
            wipe(sim);
}

static void clocks(struct sim *sim)
{
    const struct sim_options *o = &sim->options;
    if (o->drift > 0 && draw_percent(prng_of(sim), 2)) {
        struct sim_member *m = anybody(sim); /* no two draws in one expression: what comes first? */
        member_drift(m, (int64_t)prng_below(prng_of(sim), 2 * o->drift + 1) - (int64_t)o->drift);
    }
    if (strikes(sim, o->jump)) {
        struct sim_member *m = anybody(sim);
        member_jump(m, draw_exponential(prng_of(sim), 5 * SECONDS));
    }
}

/* --- Phases ---------------------------------------------------------------------------------- */

static void phase_set(struct sim *sim, enum phase phase)
{
    sim->nemesis.phase = phase;
    sim->nemesis.since = sim->now;
    sim->nemesis.deadline = sim->now + sim->options.liveness_ns;
    sim->nemesis.target = 0;
    sim_trace(sim, 0, "phase", phase, 0);
}

static void heal(struct sim *sim, struct sim_member *m)
{
    m->healed = true;
    m->disk_slow_until = m->disk_full_until = 0;
    member_resume(m);
    if (m->state == MEMBER_DOWN)
        member_boot_later(m, draw_between(prng_of(sim), 0, 100 * MS));
    member_faults_changed(m);
}

/* All links between members that are healed. */
static void heal_links(struct sim *sim)
{
    for (uint32_t a = 0; a < sim->options.members; a++) {
        for (uint32_t b = 0; b < sim->options.members; b++) {
            if (a == b || !sim->members[a].healed || !sim->members[b].healed)
                continue;
            network_cut(sim, a, b, false);
            sim->links[a][b].clog_until = 0;
        }
    }
}

/* A random quorum of those that can still be healed; false: there is none left. */
static bool heal_quorum(struct sim *sim)
{
    uint32_t places[SIM_MEMBERS_MAX];
    uint32_t count = 0;
    for (uint32_t i = 0; i < sim->options.members; i++) {
        if (!member_gone(&sim->members[i]))
            places[count++] = i;
    }
    uint32_t needed = sim->options.members / 2 + 1;
    if (count < needed)
        return false;
    uint64_t chosen =
        draw_percent(prng_of(sim), 60) ? needed : draw_between(prng_of(sim), needed, count);
    for (uint32_t i = 0; i < chosen; i++) {
        uint64_t other = i + prng_below(prng_of(sim), count - i);
        uint32_t place = places[other];
        places[other] = places[i];
        heal(sim, &sim->members[place]);
    }
    heal_links(sim);
    return true;
}

static void heal_all(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.members; i++) {
        if (!sim->members[i].halted)
            heal(sim, &sim->members[i]);
    }
    heal_links(sim);
}

/* The member says so itself, without a turn of its own. */
static uint64_t slot_of(const struct sim_member *m)
{
    return m->state == MEMBER_UP ? machine_slot(replica_machine(m->replica)) : 0;
}

static bool counts(const struct sim_member *m)
{
    return m->healed && !member_gone(m);
}

/* What holds the phase up, for people. */
static void explain(struct sim *sim, const char *what)
{
    char line[400] = "";
    size_t size = 0;
    for (uint32_t i = 0; i < sim->options.members && size < sizeof line - 80; i++) {
        const struct sim_member *m = &sim->members[i];
        bool progress = workload_progressed(sim->workload, i, sim->nemesis.since);
        const char *role = m->state != MEMBER_UP                ? "down"
                           : m->replica->role == ROLE_LEADER    ? "leads"
                           : m->replica->role == ROLE_CANDIDATE ? "campaigns"
                                                                : "follows";
        size += (size_t)snprintf(line + size, sizeof line - size, "; m%u %s%s%s of m%u at %llu%s",
                                 i + 1, m->healed ? "" : "(frozen) ", m->paused ? "(paused) " : "",
                                 role, m->replica == NULL ? 0u : m->replica->leader,
                                 (unsigned long long)slot_of(m), progress ? "" : ", no progress");
    }
    sim_violation(sim, "liveness", "%s%s", what, line);
    sim->over = true; /* also where nobody may object */
}

/* A healed member without a way to the leader or back: one that was not healed, that others of the
 * quorum reach, and that serves them. Its clients have to go to those others; it must keep up all
 * the same. */
static bool excused(struct sim *sim, const struct sim_member *m)
{
    if (m->state != MEMBER_UP)
        return false;
    uint16_t followed = m->replica->leader;
    for (uint32_t i = 0; i < sim->options.members; i++) {
        const struct sim_member *leader = &sim->members[i];
        if ((followed != NODE_NONE && followed != i + 1) || leader->healed ||
            !member_works(leader) || leader->replica->role != ROLE_LEADER ||
            (!sim->links[i][m->place].cut && !sim->links[m->place][i].cut))
            continue;
        for (uint32_t k = 0; k < sim->options.members; k++) {
            const struct sim_member *other = &sim->members[k];
            if (counts(other) && other->state == MEMBER_UP && other->replica->leader == i + 1 &&
                workload_progressed(sim->workload, k, sim->nemesis.since))
                return true;
        }
    }
    return false;
}

/* Every member that counts is up and has done something for a client. */
static bool all_progress(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.members; i++) {
        const struct sim_member *m = &sim->members[i];
        bool progress =
            sim->options.clients == 0 || workload_progressed(sim->workload, i, sim->nemesis.since);
        if (counts(m) && (m->state != MEMBER_UP || (!progress && !excused(sim, m))))
            return false;
    }
    return true;
}

static uint64_t slot_max(struct sim *sim)
{
    uint64_t slot = 0;
    for (uint32_t i = 0; i < sim->options.members; i++) {
        if (counts(&sim->members[i]) && slot_of(&sim->members[i]) > slot)
            slot = slot_of(&sim->members[i]);
    }
    return slot;
}

static bool all_reached(struct sim *sim, uint64_t slot)
{
    for (uint32_t i = 0; i < sim->options.members; i++) {
        if (counts(&sim->members[i]) && slot_of(&sim->members[i]) < slot)
            return false;
    }
    return true;
}

/* Progress, and then everybody has what the furthest had at that moment. */
static bool progressed_and_converged(struct sim *sim)
{
    struct nemesis *n = &sim->nemesis;
    if (n->target == 0 && all_progress(sim))
        n->target = slot_max(sim) + 1;
    return n->target != 0 && all_reached(sim, n->target - 1);
}

/* Nobody waits, and all have had the same state for a while. */
static bool settled(struct sim *sim)
{
    struct nemesis *n = &sim->nemesis;
    uint64_t slot = slot_max(sim);
    if (!workload_quiet(sim->workload) || !all_reached(sim, slot) || slot != n->quiet_slot) {
        n->quiet_slot = slot;
        n->quiet_since = sim->now;
    }
    return sim->now - n->quiet_since >= QUIET_NS;
}

static void liveness_begin(struct sim *sim)
{
    phase_set(sim, PHASE_LIVENESS);
    workload_calm(sim->workload);
    for (uint32_t i = 0; i < sim->options.members; i++)
        sim->members[i].boot_at = TIME_NEVER;
    if (heal_quorum(sim))
        return;
    /* Too much is damaged: nothing can be asked for but the truth. */
    for (uint32_t i = 0; i < sim->options.members; i++)
        member_die(&sim->members[i], DEATH_KILL);
    workload_stop(sim->workload);
    sim->over = true;
}

/* The last words; then everybody is asked to stop. */
static void judge(struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.members; i++) {
        struct sim_member *m = &sim->members[i];
        if (member_gone(m) && !m->halted) {
            m->halted = true;
            member_die(m, DEATH_KILL);
        }
    }
    oracle_judge(sim->oracle);
    workload_judge(sim->workload);
    sim->judged = true;
    phase_set(sim, PHASE_OVER);
    for (uint32_t i = 0; i < sim->options.members; i++)
        member_stop(&sim->members[i]);
}

static bool all_down(const struct sim *sim)
{
    for (uint32_t i = 0; i < sim->options.members; i++) {
        if (sim->members[i].state != MEMBER_DOWN)
            return false;
    }
    return true;
}

static void watch_phase(struct sim *sim)
{
    struct nemesis *n = &sim->nemesis;
    bool late = sim->now >= n->deadline;
    switch (n->phase) {
    case PHASE_SAFETY:
        break;
    case PHASE_LIVENESS:
        if (progressed_and_converged(sim)) {
            phase_set(sim, PHASE_RECOVERY);
            heal_all(sim);
        } else if (late) {
            explain(sim, "a healed quorum makes no progress");
        }
        break;
    case PHASE_RECOVERY:
        if (progressed_and_converged(sim)) {
            phase_set(sim, PHASE_QUIET);
            workload_stop(sim->workload);
        } else if (late) {
            explain(sim, "not all recover");
        }
        break;
    case PHASE_QUIET:
        if (settled(sim))
            judge(sim);
        else if (late)
            explain(sim, "there is no end of changes, or no convergence");
        break;
    case PHASE_OVER:
        sim->over = all_down(sim);
        if (!sim->over && late)
            explain(sim, "not all stop");
        break;
    }
}

static void tick(void *owner, uint64_t argument)
{
    struct sim *sim = owner;
    (void)argument;
    /* First of all: whatever is done to a process may end in its death, which jumps out of here. */
    sim_at(sim, sim->now + TICK_NS, tick, sim, 0);
    if (sim->nemesis.phase == PHASE_SAFETY && sim->now >= sim->options.safety_ns) {
        liveness_begin(sim);
    } else if (sim->nemesis.phase == PHASE_SAFETY) {
        partition(sim);
        clog_link(sim);
        swizzle(sim);
        disks(sim);
        processes(sim);
        clocks(sim);
    }
    watch_phase(sim);
}

void nemesis_start(struct sim *sim)
{
    phase_set(sim, PHASE_SAFETY);
    sim_at(sim, TICK_NS, tick, sim, 0);
}
