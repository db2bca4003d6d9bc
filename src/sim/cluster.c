/* The cluster as a whole: the queue of events, virtual time, and what the other parts of this room
 * ask about members.
 *
 * The one invariant: the loop is the only caller of product code (through members), so a crash in
 * the middle of it comes back here by one jump, with nothing else on the stack. */
#include "sim/internal.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* More than any honest run needs: a member that wakes itself for ever at one moment is stuck. */
#define EVENTS_A_MOMENT_MAX 200000u
#define EVENTS_MAX UINT64_C(20000000)

/* --- The queue ------------------------------------------------------------------------------- */

static bool earlier(const struct event_key *a, const struct event_key *b)
{
    return a->time < b->time || (a->time == b->time && a->sequence < b->sequence);
}

static void events_grow(struct sim *sim)
{
    struct events *q = &sim->events;
    struct mem *mem = &sim->pool.mem;
    uint32_t capacity = q->capacity == 0 ? 512 : 2 * q->capacity;
    q->heap =
        mem_resize(mem, q->heap, q->capacity * sizeof q->heap[0], capacity * sizeof q->heap[0]);
    q->items =
        mem_resize(mem, q->items, q->capacity * sizeof q->items[0], capacity * sizeof q->items[0]);
    q->unused = mem_resize(mem, q->unused, q->capacity * sizeof q->unused[0],
                           capacity * sizeof q->unused[0]);
    for (uint32_t i = capacity; i > q->capacity; i--)
        q->unused[q->unused_count++] = i - 1;
    q->capacity = capacity;
}

void event_push(struct sim *sim, uint64_t time, const struct sim_event *event)
{
    struct events *q = &sim->events;
    if (q->count == q->capacity)
        events_grow(sim);
    struct event_key key = {time, sim->sequence++, q->unused[--q->unused_count]};
    q->items[key.slot] = *event;
    uint32_t at = q->count++;
    while (at > 0 && earlier(&key, &q->heap[(at - 1) / 2])) {
        q->heap[at] = q->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    q->heap[at] = key;
}

static struct sim_event event_pop(struct sim *sim)
{
    struct events *q = &sim->events;
    uint32_t slot = q->heap[0].slot;
    struct sim_event event = q->items[slot];
    q->unused[q->unused_count++] = slot;
    struct event_key last = q->heap[--q->count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= q->count)
            break;
        if (child + 1 < q->count && earlier(&q->heap[child + 1], &q->heap[child]))
            child++;
        if (!earlier(&q->heap[child], &last))
            break;
        q->heap[at] = q->heap[child];
        at = child;
    }
    q->heap[at] = last;
    return event;
}

/* --- The loop -------------------------------------------------------------------------------- */

/* Events of a process that stands still wait for it. */
static bool wait_for_it(struct sim *sim, const struct sim_event *event)
{
    if (event->kind != EVENT_PACKET && event->kind != EVENT_DISK)
        return false;
    struct sim_member *m = &sim->members[event->place];
    if (!m->paused)
        return false;
    if (m->waiting_count == m->waiting_capacity) {
        uint32_t capacity = m->waiting_capacity == 0 ? 64 : 2 * m->waiting_capacity;
        m->waiting =
            mem_resize(&sim->pool.mem, m->waiting, m->waiting_capacity * sizeof m->waiting[0],
                       capacity * sizeof m->waiting[0]);
        m->waiting_capacity = capacity;
    }
    m->waiting[m->waiting_count++] = *event;
    return true;
}

static void dispatch(struct sim *sim, const struct sim_event *event)
{
    struct sim_member *m = &sim->members[event->place];
    if (wait_for_it(sim, event))
        return;
    switch (event->kind) {
    case EVENT_CALL:
        event->fn(event->at, event->argument);
        break;
    case EVENT_PACKET:
        network_deliver(sim, event->at);
        break;
    case EVENT_DISK:
        member_disk_done(m, event->argument);
        break;
    case EVENT_BOOT:
        if (m->boot_at == sim->now && m->life == event->argument)
            member_boot(m);
        break;
    case EVENT_LINK:
        network_link_due(sim, event->place, (uint32_t)event->argument);
        break;
    }
}

static bool due_earlier(const struct due *due, const struct event_key *key)
{
    return due->at < key->time || (due->at == key->time && due->sequence < key->sequence);
}

/* Timers and turns stand beside the queue: they change too often for it. */
static struct sim_member *next_of_members(struct sim *sim, struct event_key *key, bool *ret_turn)
{
    struct sim_member *next = NULL;
    for (uint32_t i = 0; i < sim->options.members; i++) {
        if (sim->paused >> i & 1)
            continue;
        if (due_earlier(&sim->timers[i], key)) {
            *key = (struct event_key){sim->timers[i].at, sim->timers[i].sequence, 0};
            *ret_turn = false;
            next = &sim->members[i];
        }
        if (due_earlier(&sim->turns[i], key)) {
            *key = (struct event_key){sim->turns[i].at, sim->turns[i].sequence, 0};
            *ret_turn = true;
            next = &sim->members[i];
        }
    }
    return next;
}

/* A timer of a process that was paused is late. */
static void move_on(struct sim *sim, uint64_t time)
{
    if (time > sim->now) {
        sim->now = time;
        sim->moment_events = 0;
    }
    sim->events_done++;
    if (++sim->moment_events > EVENTS_A_MOMENT_MAX || sim->events_done > EVENTS_MAX) {
        sim_violation(sim, "livelock", "there is no end of work at %llu ns",
                      (unsigned long long)sim->now);
        sim->over = true;
    }
}

static void run_one(struct sim *sim)
{
    struct event_key key = {TIME_NEVER, UINT64_MAX, 0};
    if (sim->events.count > 0)
        key = sim->events.heap[0];
    bool turn = false;
    struct sim_member *m = next_of_members(sim, &key, &turn);
    if (m == NULL && sim->events.count == 0) {
        sim_violation(sim, "livelock", "nothing will ever happen any more");
        sim->over = true;
        return;
    }
    move_on(sim, key.time);
    if (m == NULL) {
        struct sim_event event = event_pop(sim);
        dispatch(sim, &event);
    } else if (turn) {
        member_turn(m);
    } else {
        member_timer(m);
    }
}

void loop_run(struct sim *sim)
{
    if (setjmp(sim->crash) != 0) {
        struct sim_member *m = sim->running;
        sim->running = NULL;
        member_die(m, sim->crash_as);
        member_boot_later(m, draw_exponential(&sim->streams[STREAM_PROCESS], sim->options.down_ns));
    }
    while (!sim->over && !sim->violated)
        run_one(sim);
}

void loop_init(struct sim *sim)
{
    for (uint32_t i = 0; i < STREAM_COUNT; i++)
        sim->streams[i] = draw_stream(sim->options.seed, i);
    for (uint32_t i = 0; i < sim->options.members; i++)
        member_init(sim, i);
}

bool members_may_lose(const struct sim *sim, uint32_t place)
{
    if (member_gone(&sim->members[place]))
        return true;
    uint32_t lost = 0;
    for (uint32_t i = 0; i < sim->options.members; i++)
        lost += member_gone(&sim->members[i]);
    return lost < (sim->options.members - 1) / 2;
}

/* --- What others ask ------------------------------------------------------------------------- */

const struct sim_options *sim_options(const struct sim *sim)
{
    return &sim->options;
}

struct prng *sim_stream(struct sim *sim, enum sim_stream stream)
{
    return &sim->streams[stream];
}

uint64_t sim_now(const struct sim *sim)
{
    return sim->now;
}

void sim_at(struct sim *sim, uint64_t time, void (*fn)(void *owner, uint64_t argument), void *owner,
            uint64_t argument)
{
    struct sim_event event = {.kind = EVENT_CALL, .at = owner, .fn = fn, .argument = argument};
    event_push(sim, time < sim->now ? sim->now : time, &event);
}

struct mem *sim_mem(struct sim *sim)
{
    return &sim->pool.mem;
}

uint32_t sim_members(const struct sim *sim)
{
    return sim->options.members;
}

struct replica *sim_replica(struct sim *sim, uint32_t place)
{
    struct sim_member *m = &sim->members[place];
    if (m->state != MEMBER_UP && m->state != MEMBER_STOPPING)
        return NULL;
    if (sim->running == NULL)
        member_want_turn(m);
    return m->replica;
}

bool sim_paused(const struct sim *sim, uint32_t place)
{
    return sim->members[place].paused;
}

bool sim_gone(const struct sim *sim, uint32_t place)
{
    return member_gone(&sim->members[place]);
}

uint64_t sim_life(const struct sim *sim, uint32_t place)
{
    return sim->members[place].life;
}

/* --- Violations ------------------------------------------------------------------------------ */

static const char *const oracles[] = {
    "agreement", "answer", "ballot", "boot",     "compaction",   "digest",   "durability",
    "index",     "leak",   "lease",  "livelock", "linearizable", "liveness", "model",
    "monotone",  "panic",  "prefix", "proposal", "vacuous",      "watch",    NULL,
};

const char *sim_oracle(size_t i)
{
    return i < sizeof oracles / sizeof *oracles ? oracles[i] : NULL;
}

/* Whoever objects under a name that is not in the list could not be switched off, nor be shown to
 * be needed. */
static bool oracle_known(const char *oracle)
{
    for (size_t i = 0; oracles[i] != NULL; i++) {
        if (strcmp(oracles[i], oracle) == 0)
            return true;
    }
    return false;
}

bool sim_oracle_on(const struct sim *sim, const char *oracle)
{
    ensure(oracle_known(oracle));
    return sim->options.without == NULL || strcmp(sim->options.without, oracle) != 0;
}

void sim_violation(struct sim *sim, const char *oracle, const char *format, ...)
{
    struct sim_result *result = sim->result;
    if (sim->violated || !sim_oracle_on(sim, oracle))
        return;
    sim->violated = true;
    result->failed = true;
    snprintf(result->oracle, sizeof result->oracle, "%s", oracle);
    int size = snprintf(result->violation, sizeof result->violation,
                        "at %llu.%03llu ms: ", (unsigned long long)(sim->now / MS),
                        (unsigned long long)(sim->now % MS / US));
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(result->violation + size, sizeof result->violation - (size_t)size, format, arguments);
    va_end(arguments);
    trace_note(sim, 0, "VIOLATION", result->violation);
}

bool sim_violated(const struct sim *sim)
{
    return sim->violated;
}
