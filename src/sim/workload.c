/* The workload's life: clients wake, choose a member, ask, and wait until they are answered or have
 * waited long enough.
 *
 * The one invariant: a client has at most one request under way, and a request that was cancelled
 * is never answered: its outcome stays unknown. */
#include "base/panic.h"
#include "sim/draw.h"
#include "sim/workload_internal.h"

#include <string.h>

#define CLIENT_BITS 16
#define CALM_THINK_NS (30 * WORKLOAD_MS)
#define CALM_TIMEOUT_NS (1 * WORKLOAD_S)

static void client_wake(void *owner, uint64_t argument);

struct workload *workload_new(struct sim *sim, struct oracle *oracle)
{
    struct mem *mem = sim_mem(sim);
    struct workload *w = mem_zero(mem, sizeof *w);
    w->sim = sim;
    w->oracle = oracle;
    w->truth = oracle_truth(oracle);
    w->mem = mem;
    w->options = sim_options(sim);
    w->prng = sim_stream(sim, STREAM_WORKLOAD);
    w->history = history_new(mem);
    w->clients = mem_zero(mem, w->options->clients * sizeof *w->clients);
    w->ready = mem_zero(mem, sim_members(sim) * sizeof *w->ready);
    w->progress = mem_zero(mem, sim_members(sim) * sizeof *w->progress);
    arena_init(&w->arena, mem);
    arena_init(&w->scratch, mem);
    list_init(&w->asks);
    watches_init(w);
    w->truth->owner = w;
    w->truth->on_lease_ended = lease_on_ended;
    return w;
}

static void ask_free(struct ask *ask)
{
    list_remove(&ask->link);
    ask->workload->asks_count--;
    mem_free(ask->workload->mem, ask, sizeof *ask);
}

void workload_free(struct workload *w)
{
    list_each (at, &w->asks)
        ask_free(container_of(at, struct ask, link));
    watches_release(w);
    history_free(w->history);
    arena_release(&w->arena);
    arena_release(&w->scratch);
    mem_free(w->mem, w->leases, w->leases_capacity * sizeof *w->leases);
    mem_free(w->mem, w->lost, w->lost_capacity * sizeof *w->lost);
    mem_free(w->mem, w->clients, w->options->clients * sizeof *w->clients);
    mem_free(w->mem, w->ready, sim_members(w->sim) * sizeof *w->ready);
    mem_free(w->mem, w->progress, sim_members(w->sim) * sizeof *w->progress);
    mem_free(w->mem, w, sizeof *w);
}

void workload_object(struct workload *w, const char *oracle, const char *what,
                     const struct ask *ask, int64_t a, int64_t b)
{
    if (!sim_oracle_on(w->sim, oracle))
        return;
    if (ask == NULL)
        sim_violation(w->sim, oracle, "%s (%lld, %lld)", what, (long long)a, (long long)b);
    else
        sim_violation(w->sim, oracle, "%s (%lld, %lld), client %u at member %u", what, (long long)a,
                      (long long)b, ask->client, ask->place + 1);
}

bool workload_up(struct workload *w, uint32_t place)
{
    return sim_replica(w->sim, place) != NULL;
}

struct store *workload_store(struct workload *w, uint32_t place)
{
    return machine_store(replica_machine(sim_replica(w->sim, place)));
}

/* --- Clients --------------------------------------------------------------------------------- */

static void client_later(struct workload *w, uint32_t client, uint64_t pause)
{
    if (w->clients[client].planned)
        return; /* it was refused at once, and has planned that already */
    w->clients[client].planned = true;
    sim_at(w->sim, sim_now(w->sim) + pause, client_wake, w, client);
}

static uint64_t client_pause(struct workload *w, uint32_t client)
{
    struct client *c = &w->clients[client];
    uint64_t wake_at = c->wake_at;
    c->wake_at = 0;
    if (wake_at > sim_now(w->sim))
        return wake_at - sim_now(w->sim);
    uint64_t think = w->options->think_ns;
    if (w->calm && think < CALM_THINK_NS)
        think = CALM_THINK_NS;
    if (w->calm && think > 10 * CALM_THINK_NS)
        think = 10 * CALM_THINK_NS;
    return draw_exponential(w->prng, think + 1);
}

/* Can it be asked? In the end, nobody waits for one that stands still. */
static bool place_open(struct workload *w, uint32_t place)
{
    return workload_up(w, place) && !(w->calm && sim_paused(w->sim, place));
}

/* Mostly the member of last time; another one when that is down. In the end, each in turn, so that
 * all show that they work. */
static uint32_t client_place(struct workload *w, uint32_t client)
{
    uint32_t members = sim_members(w->sim);
    uint32_t place = w->clients[client].place;
    uint32_t moves = w->clients[client].holder ? 3 : 10; /* times out of a hundred */
    if (w->calm) {
        place = w->rotate++ % members;
    } else if (!workload_up(w, place) || draw_percent(w->prng, moves)) {
        place = (uint32_t)prng_below(w->prng, members);
    }
    for (uint32_t i = 0; i < members && !place_open(w, place); i++)
        place = (place + 1) % members;
    w->clients[client].place = place;
    return place_open(w, place) ? place : NOWHERE;
}

static void client_wake(void *owner, uint64_t argument)
{
    struct workload *w = owner;
    uint32_t client = (uint32_t)argument;
    struct client *c = &w->clients[client];
    c->planned = false;
    if (w->stopped || c->ask != NULL || sim_violated(w->sim))
        return;
    if (!w->calm && w->issued >= w->options->operations) {
        c->sleeping = true;
        return;
    }
    uint32_t place = client_place(w, client);
    if (place != NOWHERE) {
        w->issued++;
        ask_something(w, client, place);
    }
    if (c->ask == NULL)
        client_later(w, client, client_pause(w, client));
}

/* --- Requests -------------------------------------------------------------------------------- */

struct ask *ask_new(struct workload *w, enum ask_kind kind, uint32_t client, uint32_t place)
{
    struct ask *ask = mem_zero(w->mem, sizeof *ask);
    ask->workload = w;
    ask->kind = kind;
    ask->client = client;
    ask->place = place;
    ask->number = ++w->ask_next;
    ask->call_ns = sim_now(w->sim);
    ask->complete = w->oracle->complete;
    list_push(&w->asks, &ask->link);
    w->asks_count++;
    w->clients[client].ask = ask;
    return ask;
}

void ask_end(struct ask *ask)
{
    struct workload *w = ask->workload;
    uint32_t client = ask->client;
    w->clients[client].ask = NULL;
    ask_free(ask);
    if (!w->stopped)
        client_later(w, client, client_pause(w, client));
}

/* Nobody will say how it ended. */
static void ask_give_up(struct ask *ask)
{
    struct workload *w = ask->workload;
    if (!ask->waiting)
        replica_cancel(&ask->request);
    else if (ask->recorded)
        history_failed(w->history, ask->history, ++w->clock);
    if (!ask->waiting)
        answer_lost(ask);
    w->counts.unknown++;
    sim_trace(w->sim, ask->place, "unanswered", ask->client, ask->number);
    ask_end(ask);
}

static void on_timeout(void *owner, uint64_t argument)
{
    struct workload *w = owner;
    struct ask *ask = w->clients[argument & ((1u << CLIENT_BITS) - 1)].ask;
    if (ask != NULL && ask->number == argument >> CLIENT_BITS)
        ask_give_up(ask);
}

static void ask_transfer(struct ask *ask)
{
    struct workload *w = ask->workload;
    struct replica *replica = sim_replica(w->sim, ask->place);
    struct replica_status status;
    replica_status(replica, &status);
    uint64_t to = status.member;
    if (status.peers_count > 0)
        to = status.peers[prng_below(w->prng, status.peers_count)].id;
    request_init(&ask->request, on_other);
    replica_transfer(replica, &ask->request, to);
}

static void ask_hand_over(struct ask *ask)
{
    struct replica *replica = sim_replica(ask->workload->sim, ask->place);
    ask->waiting = false;
    switch (ask->kind) {
    case ASK_WRITE:
    case ASK_COMPACT:
    case ASK_ALARM:
        request_init(&ask->request, on_written);
        replica_submit(replica, &ask->request, &ask->command);
        break;
    case ASK_READ:
    case ASK_TXN_READ:
        request_init(&ask->request, ask->kind == ASK_READ ? on_read : on_txn_read);
        replica_read(replica, &ask->request);
        break;
    case ASK_GRANT:
    case ASK_REVOKE:
    case ASK_RENEW:
    case ASK_QUERY:
        lease_submit(ask);
        break;
    case ASK_TRANSFER:
    case ASK_KINDS:
        ask_transfer(ask);
        break;
    }
}

void ask_submit(struct ask *ask)
{
    struct workload *w = ask->workload;
    struct client *client = &w->clients[ask->client];
    uint64_t number = ask->number;
    uint64_t timeout = w->options->timeout_ns;
    if (w->calm && timeout > w->options->election_ns + CALM_TIMEOUT_NS)
        timeout = w->options->election_ns + CALM_TIMEOUT_NS;
    sim_trace(w->sim, ask->place, "ask", ask->client, ask->number);
    w->asked[ask->kind] += w->calm && w->progress[ask->place] > w->calm_ns;
    sim_at(w->sim, ask->call_ns + timeout, on_timeout, w, number << CLIENT_BITS | ask->client);
    ask->waiting = sim_paused(w->sim, ask->place);
    if (ask->waiting)
        return;
    ask->submitting = true;
    ask_hand_over(ask);
    /* Not if it has failed at once, and is no more. */
    if (client->ask != NULL && client->ask->number == number)
        client->ask->submitting = false;
}

/* --- Life ------------------------------------------------------------------------------------ */

void workload_start(struct workload *w)
{
    ensure(!w->started && w->options->clients < 1u << CLIENT_BITS);
    w->started = true;
    for (uint32_t i = 0; i < w->options->clients; i++) {
        w->clients[i].place = (uint32_t)prng_below(w->prng, sim_members(w->sim));
        w->clients[i].holder = w->options->weight_lease > 0 && i % 4 == 2;
        client_later(w, i, client_pause(w, i));
    }
    watches_start(w);
}

void workload_member_up(struct workload *w, uint32_t place)
{
    oracle_member_up(w->oracle, place);
}

void workload_member_down(struct workload *w, uint32_t place)
{
    watches_member_down(w, place);
    list_each (at, &w->asks) {
        struct ask *ask = container_of(at, struct ask, link);
        if (ask->place == place)
            ask_give_up(ask);
    }
}

void workload_turn(struct workload *w, uint32_t place)
{
    for (uint32_t i = 0; w->asks_count > 0 && i < w->options->clients; i++) {
        struct ask *ask = w->clients[i].ask;
        if (ask != NULL && ask->waiting && ask->place == place)
            ask_hand_over(ask);
    }
    watches_turn(w, place);
}

void workload_calm(struct workload *w)
{
    w->calm = true;
    w->calm_ns = sim_now(w->sim);
    for (uint32_t i = 0; i < w->options->clients; i++) {
        if (w->clients[i].sleeping)
            client_later(w, i, client_pause(w, i));
        w->clients[i].sleeping = false;
    }
}

void workload_stop(struct workload *w)
{
    w->stopped = true;
}

/* Leases that should end are waited for; those that should have ended are judged later. */
bool workload_quiet(const struct workload *w)
{
    if (w->asks_count > 0)
        return false;
    for (uint32_t i = 0; w->truth->leases_live > 0 && i < w->truth->leases_count; i++) {
        const struct truth_lease *lease = w->truth->leases[i];
        if (lease->slot_ended == 0 && w->calm && !lease_overdue(w, lease))
            return false;
    }
    return true;
}

bool workload_progressed(const struct workload *w, uint32_t place, uint64_t since)
{
    return w->progress[place] > since;
}

void workload_counts(const struct workload *w, struct workload_counts *ret_counts)
{
    *ret_counts = w->counts;
}
