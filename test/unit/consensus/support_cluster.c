/* The simulated cluster: see support_cluster.h. Hosts are as simple as the contract of the engine
 * allows: effects in order, a SEND held until what stands before it is durable, a crash that loses
 * any part of the log that was not. */
#include "consensus/support_cluster_internal.h"

#include "base/hash.h"
#include "base/panic.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct cluster *cluster_running;

noreturn void cluster_fail(const struct cluster *c, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    fprintf(stderr, "seed %llu, %.3f ms: ", (unsigned long long)c->options.seed,
            (double)c->now / 1e6);
    vfprintf(stderr, format, list);
    fprintf(stderr, "\n");
    va_end(list);
    abort();
}

static void cluster_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    if (cluster_running != NULL)
        cluster_fail(cluster_running, "an engine panicked");
    abort();
}

static void *cluster_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

uint64_t cluster_random(struct cluster *c, uint64_t from, uint64_t to)
{
    return from + prng_below(&c->prng, to - from + 1);
}

bool cluster_chance(struct cluster *c, uint32_t percent)
{
    return percent > 0 && prng_below(&c->prng, 100) < percent;
}

const void *cluster_engine(const struct cluster *c, uint32_t place)
{
    return c->members[place].engine;
}

struct engine_status cluster_status(const struct cluster *c, uint32_t place)
{
    struct engine_status status;
    c->options.ops->status(c->members[place].engine, &status);
    return status;
}

/* The host. */

static void host_step(struct cluster *c, uint32_t place, struct input input);

static void host_append(struct cluster *c, uint32_t place, const struct effect *effect)
{
    struct cluster_member *m = &c->members[place];
    if (m->log_count == m->log_capacity) {
        m->log_capacity = m->log_capacity * 2 + 64;
        m->log = realloc(m->log, m->log_capacity * sizeof *m->log);
    }
    struct cluster_record *record = &m->log[m->log_count++];
    memset(record, 0, sizeof *record);
    record->type = effect->type;
    record->lsn = effect->lsn.value;
    record->slot = effect->slot;
    record->head_size = (uint8_t)effect->head.size;
    memcpy(record->head, effect->head.data, effect->head.size);
    record->entry = blob_keep(effect->entry);
    uint64_t time = c->now + cluster_random(c, c->options.disk_min_ns, c->options.disk_max_ns);
    if (time < m->durable_time)
        time = m->durable_time;
    m->durable_time = time;
    struct cluster_event *event = cluster_event_new(c, EVENT_DURABLE, place, time);
    event->lsn = record->lsn;
    cluster_event_push(c, event);
    bool hard = record->type == RECORD_HARD;
    if (cluster_chance(c, hard ? c->options.crash_on_hard : c->options.crash_on_value))
        cluster_event_push(
            c, cluster_event_new(c, EVENT_CRASH, place, c->now + 1 + cluster_network_delay(c)));
}

static void host_hold(struct cluster *c, uint32_t place, const struct effect *effect, uint64_t lsn)
{
    struct cluster_member *m = &c->members[place];
    if (m->held_first == m->held_count && lsn <= m->durable) {
        cluster_network_send(c, place, effect->to, effect->head.data, (uint8_t)effect->head.size,
                             effect->entry);
        return;
    }
    if (m->held_count == m->held_capacity) {
        m->held_capacity = m->held_capacity * 2 + 64;
        m->held = realloc(m->held, m->held_capacity * sizeof *m->held);
    }
    struct cluster_held *held = &m->held[m->held_count++];
    held->lsn = lsn;
    held->to = effect->to;
    held->head_size = (uint8_t)effect->head.size;
    memcpy(held->head, effect->head.data, effect->head.size);
    held->entry = blob_keep(effect->entry);
}

static void host_release_held(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    while (m->held_first < m->held_count && m->held[m->held_first].lsn <= m->durable) {
        struct cluster_held *held = &m->held[m->held_first++];
        cluster_network_send(c, place, held->to, held->head, held->head_size, held->entry);
        blob_drop(held->entry);
    }
    if (m->held_first == m->held_count)
        m->held_first = m->held_count = 0;
}

static struct cluster_mark cluster_mark_of(struct bytes bytes)
{
    struct cluster_mark mark = {.size = (uint8_t)bytes.size};
    assert_true(bytes.size <= sizeof mark.bytes);
    if (bytes.size > 0)
        memcpy(mark.bytes, bytes.data, bytes.size);
    return mark;
}

/* M1, M5: one value a slot for ever, in order, without a gap. */
static void host_deliver(struct cluster *c, uint32_t place, uint64_t slot, struct bytes mark,
                         const struct blob *entry)
{
    struct cluster_member *m = &c->members[place];
    if (slot != m->applied + 1)
        cluster_fail(c, "member %u delivered slot %llu after %llu", place + 1,
                     (unsigned long long)slot, (unsigned long long)m->applied);
    if (slot >= CLUSTER_SLOTS)
        cluster_fail(c, "the table of slots is full");
    uint64_t value = cluster_value_of(entry);
    if (c->chosen[slot] == 0)
        c->chosen[slot] = value + 1;
    if (c->chosen[slot] != value + 1)
        cluster_fail(c, "member %u delivered %llu at slot %llu, where %llu was chosen", place + 1,
                     (unsigned long long)value, (unsigned long long)slot,
                     (unsigned long long)c->chosen[slot] - 1);
    m->applied = slot;
    m->mark = cluster_mark_of(mark);
    if (slot > c->delivered_max)
        c->delivered_max = slot;
}

static void host_read_ok(struct cluster *c, uint32_t place, const struct effect *effect)
{
    struct cluster_member *m = &c->members[place];
    m->reads_ok++;
    m->read_slot_last = effect->slot;
    if (effect->slot < c->read_floor[effect->token % CLUSTER_READS])
        cluster_fail(c, "a read at member %u is stale: slot %llu, but %llu was delivered before",
                     place + 1, (unsigned long long)effect->slot,
                     (unsigned long long)c->read_floor[effect->token % CLUSTER_READS]);
}

static void host_fetch(struct cluster *c, uint32_t place, const struct effect *effect)
{
    struct cluster_member *m = &c->members[place];
    uint32_t from = cluster_place(c, effect->to);
    if (m->fetching_until > c->now || c->cut[place][from])
        return;
    m->fetching_until = c->now + 2 * c->options.delay_max_ns + 2 * MS;
    struct cluster_event *event =
        cluster_event_new(c, EVENT_FETCH, from, c->now + cluster_network_delay(c));
    event->from = m->node;
    event->slot = effect->slot;
    cluster_event_push(c, event);
}

/* Ballots grow with every change of leader, and the leader of a ballot is its owner. */
static void host_role(struct cluster *c, uint32_t place, const struct effect *effect)
{
    struct cluster_member *m = &c->members[place];
    if (effect->role == ROLE_LEADER) {
        if (effect->ballot.node != m->node)
            cluster_fail(c, "member %u leads in another's ballot", place + 1);
        if (m->role != ROLE_LEADER && ballot_compare(effect->ballot, m->ballot) < 0)
            cluster_fail(c, "member %u leads in an old ballot", place + 1);
    }
    if (c->trace)
        printf("%10.3f  %u role %u leader %u ballot %llu.%u\n", (double)c->now / 1e6, place + 1,
               effect->role, effect->to, (unsigned long long)effect->ballot.round,
               effect->ballot.node);
    m->role = effect->role;
    m->leader = effect->to;
    m->ballot = effect->ballot;
}

static void host_execute(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    uint64_t lsn = m->log_count > m->log_first ? m->log[m->log_count - 1].lsn : m->durable;
    for (uint32_t i = 0; i < m->fx->count; i++) {
        struct effect *effect = &m->fx->items[i];
        switch (effect->kind) {
        case EFFECT_PERSIST:
            host_append(c, place, effect);
            lsn = effect->lsn.value;
            break;
        case EFFECT_SEND:
            host_hold(c, place, effect, lsn);
            break;
        case EFFECT_SEND_EARLY:
            cluster_network_send(c, place, effect->to, effect->head.data,
                                 (uint8_t)effect->head.size, effect->entry);
            break;
        case EFFECT_DELIVER:
            host_deliver(c, place, effect->slot, effect->head, effect->entry);
            break;
        case EFFECT_READ_OK:
            host_read_ok(c, place, effect);
            break;
        case EFFECT_READ_FAIL:
            m->reads_failed++;
            break;
        case EFFECT_REJECT:
            m->rejected++;
            break;
        case EFFECT_FETCH:
            host_fetch(c, place, effect);
            break;
        case EFFECT_ROLE:
            host_role(c, place, effect);
            break;
        }
    }
}

static void host_step(struct cluster *c, uint32_t place, struct input input)
{
    struct cluster_member *m = &c->members[place];
    input.now = c->now;
    effects_clear(m->fx);
    c->options.ops->step(m->engine, &input, m->fx);
    c->options.ops->check(m->engine);
    c->steps++;
    host_execute(c, place);
}

/* Catch-up: from the durable log what is in it, otherwise the snapshot. */

/* The last record of the slot, durable or not: one before it may hold a value that lost. */
static const struct cluster_record *host_find_entry(const struct cluster_member *m, uint64_t slot)
{
    for (uint32_t i = m->log_count; i > m->log_first; i--) {
        const struct cluster_record *record = &m->log[i - 1];
        if (record->type == RECORD_ENTRY && record->slot == slot)
            return record->lsn <= m->durable ? record : NULL;
    }
    return NULL;
}

static void event_mark(struct cluster_event *event, uint64_t slot, struct cluster_mark mark)
{
    event->slot = slot;
    event->head_size = mark.size;
    memcpy(event->head, mark.bytes, mark.size);
}

static void host_serve_fetch(struct cluster *c, const struct cluster_event *request)
{
    struct cluster_member *m = &c->members[request->place];
    uint32_t to = cluster_place(c, request->from);
    if (!c->members[to].alive || c->cut[request->place][to])
        return;
    uint64_t time = c->now + cluster_network_delay(c);
    for (uint64_t slot = request->slot; slot < request->slot + 8 && slot <= m->applied; slot++) {
        const struct cluster_record *record = slot >= m->log_from ? host_find_entry(m, slot) : NULL;
        struct cluster_event *event = NULL;
        if (record != NULL) {
            event = cluster_event_new(c, EVENT_CHOSEN, to, time++);
            event->head_size = record->head_size;
            memcpy(event->head, record->head, record->head_size);
            event->entry = blob_keep(record->entry);
            event->slot = slot;
            event->up = slot + 1 == request->slot + 8 || slot == m->applied;
        } else if (m->snapshot >= slot) {
            event = cluster_event_new(c, EVENT_INSTALL, to, time + c->options.disk_max_ns);
            event_mark(event, m->snapshot, m->snapshot_mark);
            slot = m->applied; /* and nothing else */
        } else {
            return; /* not durable yet */
        }
        event->from = m->node;
        cluster_event_push(c, event);
    }
}

static void host_trim(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    if (m->trim_lsn == 0 || m->trim_lsn > m->durable)
        return;
    uint32_t spared = (uint32_t)cluster_random(c, 0, 4);
    while (m->log_first < m->log_count && m->log[m->log_first].lsn + spared < m->trim_lsn &&
           m->log[m->log_first].slot <= m->snapshot) {
        blob_drop(m->log[m->log_first].entry);
        m->log_first++;
    }
    m->trim_lsn = 0;
}

static void host_snapshot_durable(struct cluster *c, uint32_t place,
                                  const struct cluster_event *event)
{
    struct cluster_member *m = &c->members[place];
    struct bytes mark = bytes_of(event->head, event->head_size);
    if (event->slot <= m->snapshot)
        return;
    m->snapshot = event->slot;
    m->snapshot_mark = cluster_mark_of(mark);
    if (m->applied < event->slot) {
        m->applied = event->slot;
        m->mark = m->snapshot_mark;
        m->log_from = event->slot + 1;
        m->snapshots_installed++;
    }
    host_step(c, place, (struct input){.kind = INPUT_SNAPSHOT, .slot = event->slot, .head = mark});
    m->trim_lsn = m->fx->lsn_last.value;
}

static void host_durable(struct cluster *c, uint32_t place, uint64_t lsn)
{
    struct cluster_member *m = &c->members[place];
    if (lsn <= m->durable)
        return;
    m->durable = lsn;
    host_release_held(c, place);
    host_step(c, place, (struct input){.kind = INPUT_DURABLE, .lsn = {lsn}});
    host_trim(c, place);
}

static void host_event(struct cluster *c, const struct cluster_event *event)
{
    uint32_t place = event->place;
    struct cluster_member *m = &c->members[place];
    if (!m->alive || (event->boot != 0 && event->boot != m->boot))
        return;
    switch (event->kind) {
    case EVENT_MESSAGE:
        host_step(c, place,
                  (struct input){.kind = INPUT_MESSAGE,
                                 .from = event->from,
                                 .head = bytes_of(event->head, event->head_size),
                                 .entry = event->entry});
        break;
    case EVENT_DURABLE:
        host_durable(c, place, event->lsn);
        break;
    case EVENT_FETCH:
        host_serve_fetch(c, event);
        break;
    case EVENT_CHOSEN:
        if (event->up) /* the last part of an answer */
            m->fetching_until = 0;
        host_step(c, place,
                  (struct input){.kind = INPUT_CHOSEN,
                                 .slot = event->slot,
                                 .head = bytes_of(event->head, event->head_size),
                                 .entry = event->entry});
        break;
    case EVENT_SNAPSHOT:
    case EVENT_INSTALL:
        host_snapshot_durable(c, place, event);
        break;
    case EVENT_CRASH:
        cluster_crash(c, place);
        cluster_restart(c, place);
        break;
    case EVENT_PEER:
        host_step(c, place,
                  (struct input){.kind = INPUT_PEER, .from = event->from, .up = event->up});
        break;
    }
}

/* The world. */

struct cluster_options cluster_options_default(const struct engine_ops *ops, uint64_t seed)
{
    return (struct cluster_options){
        .ops = ops,
        .members = 3,
        .seed = seed,
        .heartbeat_ns = 100 * MS,
        .election_ns = 1000 * MS,
        .delay_min_ns = MS / 10,
        .delay_max_ns = MS / 2,
        .disk_min_ns = MS / 5,
        .disk_max_ns = MS,
        .window_slots = 16,
        .tail_slots = 8,
        .fifo = true,
        .hints = true,
    };
}

static struct engine_config cluster_engine_config(struct cluster *c, uint32_t place)
{
    return (struct engine_config){
        .era = 1,
        .self = c->members[place].node,
        .configuration = &c->configuration,
        .heartbeat_ns = c->options.heartbeat_ns,
        .election_ns = c->options.election_ns,
        .window_slots = c->options.window_slots,
        .window_bytes = 4096,
        .tail_slots = c->options.tail_slots,
        .tail_bytes = 256,
        .seed = prng_next(&c->prng),
    };
}

static void cluster_boot(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    struct engine_config config = cluster_engine_config(c, place);
    m->boot++;
    m->alive = true;
    m->paused = false;
    m->role = ROLE_FOLLOWER;
    m->leader = NODE_NONE;
    m->fetching_until = 0;
    m->trim_lsn = 0;
    m->durable_time = c->now;
    m->applied = m->snapshot;
    m->mark = m->snapshot_mark;
    m->log_from = m->snapshot + 1;
    m->engine = malloc(c->options.ops->size(&config));
    c->options.ops->init(m->engine, &config);
    effects_init(m->fx, (struct lsn){m->durable});
    if (m->snapshot > 0)
        host_step(c, place,
                  (struct input){.kind = INPUT_SNAPSHOT,
                                 .slot = m->snapshot,
                                 .head = bytes_of(m->snapshot_mark.bytes, m->snapshot_mark.size)});
    for (uint32_t i = m->log_first; i < m->log_count; i++) {
        const struct cluster_record *record = &m->log[i];
        host_step(c, place,
                  (struct input){.kind = INPUT_RECORD,
                                 .type = record->type,
                                 .lsn = {record->lsn},
                                 .slot = record->slot,
                                 .head = bytes_of(record->head, record->head_size),
                                 .entry = record->entry});
    }
    cluster_protocol_of(c)->remembered(c, place);
    host_step(c, place, (struct input){.kind = INPUT_START});
}

static void cluster_hint(struct cluster *c, uint32_t place, uint32_t about, bool up)
{
    if (!c->options.hints || !c->members[place].alive)
        return;
    uint64_t time = c->now + cluster_random(c, MS / 10, MS);
    if (time <= c->arrived[about][place])
        time = c->arrived[about][place] + 1; /* a connection ends after what was sent on it */
    struct cluster_event *event = cluster_event_new(c, EVENT_PEER, place, time);
    event->from = c->members[about].node;
    event->up = up;
    cluster_event_push(c, event);
}

void cluster_crash(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    if (!m->alive)
        return;
    m->alive = false;
    effects_clear(m->fx);
    c->options.ops->release(m->engine);
    free(m->engine);
    m->engine = NULL;
    /* What was being written may be there or not. */
    uint64_t last = m->log_count > m->log_first ? m->log[m->log_count - 1].lsn : m->durable;
    uint64_t kept = cluster_random(c, m->durable, last < m->durable ? m->durable : last);
    while (m->log_count > m->log_first && m->log[m->log_count - 1].lsn > kept)
        blob_drop(m->log[--m->log_count].entry);
    m->durable = kept;
    for (uint32_t i = m->held_first; i < m->held_count; i++)
        blob_drop(m->held[i].entry);
    m->held_first = m->held_count = 0;
    for (uint32_t i = 0; i < c->options.members; i++)
        if (i != place && !c->cut[place][i])
            cluster_hint(c, i, place, false);
}

void cluster_restart(struct cluster *c, uint32_t place)
{
    if (c->members[place].alive)
        return;
    cluster_boot(c, place);
    for (uint32_t i = 0; i < c->options.members; i++) {
        if (i == place || !c->members[i].alive || c->cut[place][i] || c->cut[i][place])
            continue;
        cluster_hint(c, i, place, true);
        cluster_hint(c, place, i, true);
    }
}

void cluster_pause(struct cluster *c, uint32_t place, bool paused)
{
    c->members[place].paused = paused;
}

void cluster_cut(struct cluster *c, uint32_t from, uint32_t to, bool cut)
{
    c->cut[from][to] = cut;
}

void cluster_cut_both(struct cluster *c, uint32_t a, uint32_t b, bool cut)
{
    c->cut[a][b] = cut;
    c->cut[b][a] = cut;
}

void cluster_isolate(struct cluster *c, uint32_t place, bool cut)
{
    for (uint32_t i = 0; i < c->options.members; i++)
        if (i != place)
            cluster_cut_both(c, place, i, cut);
}

void cluster_heal(struct cluster *c)
{
    memset(c->cut, 0, sizeof c->cut);
    for (uint32_t i = 0; i < c->options.members; i++) {
        cluster_pause(c, i, false);
        cluster_restart(c, i);
    }
}

struct cluster *cluster_new(struct cluster_options options)
{
    struct cluster *c = calloc(1, sizeof *c);
    panic_set_hook(cluster_panic);
    cluster_running = c;
    c->options = options;
    c->oracle = calloc(1, cluster_protocol_of(c)->oracle_size);
    c->prng = prng_seed(options.seed);
    c->mem.resize = cluster_resize;
    c->now = 1;
    c->configuration.count = options.members;
    c->configuration.quorums =
        options.quorums.count > 0 ? options.quorums : quorum_majority(options.members);
    assert_true(quorum_system_valid(&c->configuration.quorums, options.members));
    for (uint32_t i = 0; i < options.members; i++) {
        c->members[i].node = (uint16_t)(i + 1);
        c->members[i].fx = malloc(sizeof *c->members[i].fx);
        c->members[i].fx->count = 0;
        c->configuration.members[i] = (struct member){.id = 100 + i, .node = (uint16_t)(i + 1)};
    }
    for (uint32_t i = 0; i < options.members; i++)
        cluster_boot(c, i);
    for (uint32_t i = 0; i < options.members; i++)
        for (uint32_t k = 0; k < options.members; k++)
            if (i != k)
                cluster_hint(c, i, k, true);
    return c;
}

void cluster_free(struct cluster *c)
{
    for (uint32_t i = 0; i < c->options.members; i++) {
        struct cluster_member *m = &c->members[i];
        cluster_crash(c, i);
        for (uint32_t k = m->log_first; k < m->log_count; k++)
            blob_drop(m->log[k].entry);
        free(m->log);
        free(m->held);
        free(m->fx);
    }
    while (c->events_count > 0)
        cluster_event_free(cluster_event_pop(c));
    free(c->events);
    free(c->oracle);
    if (c->mem.used != 0)
        cluster_fail(c, "%zu bytes of entries leaked", c->mem.used);
    cluster_running = NULL;
    free(c);
}

/* The member whose engine wants to be woken first, and when. */
static uint64_t cluster_next_wake(const struct cluster *c, uint32_t *ret_place)
{
    uint64_t next = TIME_NEVER;
    for (uint32_t i = 0; i < c->options.members; i++) {
        const struct cluster_member *m = &c->members[i];
        if (!m->alive || m->paused)
            continue;
        uint64_t wake = c->options.ops->wake(m->engine);
        if (wake < next) {
            next = wake;
            *ret_place = i;
        }
    }
    return next;
}

/* One event or one deadline; false if there is none until then. */
static bool cluster_advance(struct cluster *c, uint64_t until)
{
    uint32_t place = 0;
    uint64_t wake = cluster_next_wake(c, &place);
    uint64_t event_time = c->events_count > 0 ? c->events[0]->time : TIME_NEVER;
    if (wake > until && event_time > until)
        return false;
    if (wake <= event_time) {
        if (wake > c->now)
            c->now = wake;
        host_step(c, place, (struct input){.kind = INPUT_TIME});
        return true;
    }
    if (event_time > c->now)
        c->now = event_time;
    struct cluster_event *event = cluster_event_pop(c);
    if (c->members[event->place].paused && c->members[event->place].alive) {
        event->time = c->now + MS;
        cluster_event_push(c, event);
        return true;
    }
    host_event(c, event);
    cluster_event_free(event);
    return true;
}

void cluster_run(struct cluster *c, uint64_t until)
{
    uint64_t steps_at_once = 0;
    uint64_t time = c->now;
    while (cluster_advance(c, until)) {
        steps_at_once = c->now == time ? steps_at_once + 1 : 0;
        time = c->now;
        if (steps_at_once > 100000)
            cluster_fail(c, "the cluster is busy without time passing");
    }
    if (c->now < until)
        c->now = until;
}

void cluster_run_for(struct cluster *c, uint64_t duration)
{
    cluster_run(c, c->now + duration);
}

uint64_t cluster_run_until(struct cluster *c, bool (*done)(struct cluster *c), uint64_t within)
{
    uint64_t begin = c->now;
    while (!done(c)) {
        if (!cluster_advance(c, begin + within))
            cluster_fail(c, "not within %.1f ms", (double)within / 1e6);
    }
    return c->now - begin;
}

bool cluster_propose(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    if (!m->alive || m->paused || c->options.ops->room(m->engine) == 0)
        return false;
    uint8_t bytes[64] = {0};
    store_u64(bytes, ++c->values);
    struct blob *entry = blob_copy(&c->mem, bytes_of(bytes, cluster_random(c, 8, 64)));
    uint64_t rejected = m->rejected;
    host_step(c, place, (struct input){.kind = INPUT_PROPOSE, .entry = entry, .token = c->values});
    blob_drop(entry);
    if (m->rejected != rejected)
        cluster_fail(c, "member %u rejected a proposal that it had room for", place + 1);
    return true;
}

void cluster_read(struct cluster *c, uint32_t place)
{
    if (!c->members[place].alive || c->members[place].paused)
        return;
    c->read_floor[c->reads % CLUSTER_READS] = c->delivered_max;
    host_step(c, place, (struct input){.kind = INPUT_READ, .token = c->reads++});
}

void cluster_transfer(struct cluster *c, uint32_t place, uint16_t node)
{
    if (c->members[place].alive && !c->members[place].paused)
        host_step(c, place, (struct input){.kind = INPUT_TRANSFER, .node = node});
}

void cluster_snapshot(struct cluster *c, uint32_t place)
{
    struct cluster_member *m = &c->members[place];
    if (!m->alive || m->applied <= m->snapshot)
        return;
    struct cluster_event *event = cluster_event_new(
        c, EVENT_SNAPSHOT, place,
        c->now + cluster_random(c, c->options.disk_min_ns, 4 * c->options.disk_max_ns));
    event_mark(event, m->applied, m->mark);
    cluster_event_push(c, event);
}

void cluster_give(struct cluster *c, uint32_t place, struct input input)
{
    host_step(c, place, input);
}

void cluster_inject(struct cluster *c, uint32_t to, uint16_t from, struct bytes head,
                    struct blob *entry)
{
    host_step(c, to,
              (struct input){.kind = INPUT_MESSAGE, .from = from, .head = head, .entry = entry});
}

int cluster_leader(const struct cluster *c)
{
    int leader = -1;
    for (uint32_t i = 0; i < c->options.members; i++) {
        const struct cluster_member *m = &c->members[i];
        if (!m->alive || m->paused || m->role != ROLE_LEADER)
            continue;
        if (leader < 0 || ballot_compare(m->ballot, c->members[leader].ballot) > 0)
            leader = (int)i;
    }
    return leader;
}

bool cluster_has_leader(struct cluster *c)
{
    return cluster_leader(c) >= 0;
}

bool cluster_converged(struct cluster *c)
{
    int leader = cluster_leader(c);
    if (leader < 0)
        return false;
    for (uint32_t i = 0; i < c->options.members; i++) {
        const struct cluster_member *m = &c->members[i];
        if (!m->alive || m->applied != c->delivered_max || m->leader != c->members[leader].node)
            return false;
    }
    return true;
}
