/* Leases, as their clients see them: who was told that a lease lives for so long must find it alive
 * for so long, whatever happens to leaders and clocks within their bounds; who was told that it is
 * gone never finds it again; and nobody's lease lives on for ever.
 *
 * The one invariant: a lease's time is counted from when its client asked, by true time, less what
 * a member's clock may run too fast. */
#include "sim/draw.h"
#include "sim/workload_internal.h"

#include <stdio.h>

#define RECENT 6u
#define MILLION 1000000

/* By id: they are given out in order. */
static struct known_lease *known(struct workload *w, int64_t id)
{
    return id >= 1 && id <= w->leases_count ? &w->leases[id - 1] : NULL;
}

int64_t lease_pick(struct workload *w)
{
    if (w->leases_count == 0)
        return 0;
    uint32_t recent = w->leases_count < RECENT ? w->leases_count : RECENT;
    return w->leases_count - (int64_t)prng_below(w->prng, recent);
}

static uint64_t alive_until(const struct ask *ask, int64_t ttl)
{
    uint64_t ns = (uint64_t)ttl * WORKLOAD_S;
    uint64_t drift = ask->workload->options->drift;
    return ask->call_ns + ns - ns / MILLION * drift - WORKLOAD_MS;
}

/* --- Ends ------------------------------------------------------------------------------------ */

static void check_ended(struct workload *w, const struct known_lease *lease)
{
    const struct truth_lease *truth = truth_lease(w->truth, lease->id);
    if (truth == NULL || truth->slot_ended == 0 || !truth->expired || lease->revoking ||
        !lease->granted)
        return;
    if (truth->ended_ns < lease->alive_until)
        workload_object(w, "lease", "a lease ended before its time (id, ms too early)", NULL,
                        lease->id, (int64_t)((lease->alive_until - truth->ended_ns) / WORKLOAD_MS));
}

void lease_on_ended(void *owner, const struct truth_lease *truth)
{
    struct workload *w = owner;
    struct known_lease *lease = known(w, truth->id);
    if (lease == NULL)
        return;
    check_ended(w, lease);
    if (!truth->expired || truth->keys_ended == 0)
        return;
    /* Nobody asked for it, but from now on its keys may be gone. */
    struct history_op op = {.kind = HISTORY_REVOKE, .lease = truth->id};
    struct history_request request = {.then = &op, .then_count = 1};
    w->lost = sim_grow(w->mem, w->lost, &w->lost_capacity, w->lost_count + 1, sizeof *w->lost);
    struct lost_write *lost = &w->lost[w->lost_count++];
    lost->expired = truth;
    lost->history = history_call(w->history, w->options->clients, ++w->clock, &request);
}

/* Is this about the lease that has the id now? */
static bool current(const struct ask *ask, const struct known_lease *lease)
{
    return ask->epoch == lease->epoch;
}

/* Was it gone for everybody when this was asked? */
static bool gone_before(const struct ask *ask, const struct known_lease *lease)
{
    const struct truth_lease *truth = truth_lease(ask->workload->truth, lease->id);
    return current(ask, lease) && truth != NULL && truth->slot_ended != 0 &&
           truth->slot_ended <= ask->complete;
}

/* Must it have been alive all the time since this was asked? */
static bool alive_since(const struct ask *ask, const struct known_lease *lease)
{
    return current(ask, lease) && lease->granted && !lease->revoking &&
           lease->slot <= ask->complete && sim_now(ask->workload->sim) < lease->alive_until;
}

/* When the holder of this lease comes back. */
static void plan_next(struct ask *ask, const struct known_lease *lease)
{
    struct workload *w = ask->workload;
    struct client *c = &w->clients[ask->client];
    if (!c->holder || c->held != lease->id || c->held_epoch != lease->epoch)
        return;
    uint64_t now = sim_now(w->sim);
    uint64_t third = (uint64_t)lease->ttl * WORKLOAD_S / 3;
    c->wake_at = now + third / 2 + prng_below(w->prng, third);
    if (draw_percent(w->prng, 25) && lease->alive_until > now + 50 * WORKLOAD_MS)
        c->wake_at = lease->alive_until - 50 * WORKLOAD_MS + prng_below(w->prng, 200 * WORKLOAD_MS);
}

/* --- Answers --------------------------------------------------------------------------------- */

static void lease_granted(struct ask *ask, struct known_lease *lease, const struct result *result)
{
    struct workload *w = ask->workload;
    const struct truth_lease *truth = truth_lease(w->truth, lease->id);
    if (!current(ask, lease))
        return;
    if (truth == NULL || truth->ttl != lease->ttl || result->lease.ttl != lease->ttl) {
        workload_object(w, "answer", "an acknowledged lease is not in the log", ask, lease->id,
                        result->lease.ttl);
        return;
    }
    lease->granted = true;
    lease->slot = truth->slot_granted;
    lease->alive_until = alive_until(ask, lease->ttl);
    w->counts.leases++;
    if (w->oracle->complete < truth->slot_granted)
        w->oracle->complete = truth->slot_granted;
    check_ended(w, lease);
}

static void lease_revoked(struct ask *ask, struct known_lease *lease)
{
    struct workload *w = ask->workload;
    if (!current(ask, lease))
        return;
    const struct truth_lease *truth = truth_lease(w->truth, lease->id);
    if (truth == NULL || truth->slot_ended == 0) {
        workload_object(w, "answer", "an acknowledged revocation is not in the log", ask, lease->id,
                        0);
    } else if (w->oracle->complete < truth->slot_ended) {
        w->oracle->complete = truth->slot_ended;
    }
}

/* Somebody spoke of it: from now on it may live its whole time again. */
static bool lease_answered(struct ask *ask, enum status status, enum refusal refusal)
{
    known(ask->workload, ask->lease)->asked_ns = sim_now(ask->workload->sim);
    return ask_answered(ask, status, refusal);
}

static void on_lease_written(struct request *request, enum status status,
                             const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct workload *w = ask->workload;
    struct known_lease *lease = known(w, ask->lease);
    if (ask->kind == ASK_REVOKE && status == STATUS_OK && current(ask, lease))
        lease->revocations--;
    /* Each id is asked for once, and again only when it is free for sure. */
    if (ask->kind == ASK_GRANT && status == STATUS_OK && result->refusal == REFUSAL_LEASE_EXISTS)
        workload_object(w, "lease", "a lease that nobody has exists", ask, lease->id, 0);
    if (lease_answered(ask, status, status == STATUS_OK ? result->refusal : REFUSAL_NONE)) {
        if (ask->kind == ASK_GRANT) {
            lease_granted(ask, lease, result);
            plan_next(ask, lease);
        } else {
            (void)history_ok(w->history, ask->history, ++w->clock, result->revision, true);
            lease_revoked(ask, lease);
            oracle_complete(w->oracle, result->revision);
            if (draw_percent(w->prng, 60))
                w->clients[ask->client].probe = ask->lease;
        }
    }
    ask_end(ask);
}

static void on_renewed(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct workload *w = ask->workload;
    struct known_lease *lease = known(w, ask->lease);
    (void)result;
    if (lease_answered(ask, status, REFUSAL_NONE)) {
        int64_t ttl = request->value.ttl;
        if (ttl <= 0 && w->clients[ask->client].held == lease->id)
            w->clients[ask->client].held = 0;
        if (ttl <= 0 && alive_since(ask, lease)) {
            workload_object(w, "lease", "a lease that lives was not renewed", ask, lease->id, ttl);
        } else if (ttl > 0 && gone_before(ask, lease)) {
            workload_object(w, "lease", "a lease was renewed after its end", ask, lease->id, ttl);
        } else if (ttl > 0 && current(ask, lease) && ttl != lease->ttl) {
            workload_object(w, "lease", "a renewal tells another time to live", ask, lease->id,
                            ttl);
        } else if (ttl > 0 && current(ask, lease) && lease->granted) {
            uint64_t until = alive_until(ask, ttl);
            if (until > lease->alive_until)
                lease->alive_until = until;
            check_ended(w, lease);
            plan_next(ask, lease);
        }
    }
    ask_end(ask);
}

static void on_queried(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = container_of(request, struct ask, request);
    struct workload *w = ask->workload;
    struct known_lease *lease = known(w, ask->lease);
    (void)result;
    if (lease_answered(ask, status, REFUSAL_NONE)) {
        int64_t ttl = request->value.ttl;
        if (ttl < 0 && alive_since(ask, lease))
            workload_object(w, "lease", "a lease that lives is not known", ask, lease->id, ttl);
        else if (ttl >= 0 && gone_before(ask, lease))
            workload_object(w, "lease", "a lease is known after its end", ask, lease->id, ttl);
        else if (ttl > lease->ttl && current(ask, lease))
            workload_object(w, "lease", "a lease has more left than it was given", ask, lease->id,
                            ttl);
    }
    ask_end(ask);
}

/* --- Questions ------------------------------------------------------------------------------- */

/* One that is over for good, and of which nothing is under way that could end it again. */
static struct known_lease *lease_gone(struct workload *w)
{
    struct known_lease *lease = known(w, lease_pick(w));
    const struct truth_lease *truth = lease == NULL ? NULL : truth_lease(w->truth, lease->id);
    bool gone = truth != NULL && truth->slot_ended != 0 &&
                truth->slot_ended <= w->oracle->complete && lease->granted &&
                lease->revocations == 0;
    return gone ? lease : NULL;
}

static struct known_lease *lease_new(struct workload *w)
{
    struct known_lease *lease = lease_gone(w);
    if (lease != NULL && draw_percent(w->prng, 50)) {
        *lease = (struct known_lease){.id = lease->id, .epoch = lease->epoch + 1};
        return lease;
    }
    w->leases =
        sim_grow(w->mem, w->leases, &w->leases_capacity, w->leases_count + 1, sizeof *w->leases);
    lease = &w->leases[w->leases_count++];
    lease->id = w->leases_count;
    return lease;
}

static struct known_lease *lease_grant(struct workload *w, uint32_t client, uint32_t place)
{
    int64_t least = replica_lease_ttl_min(sim_replica(w->sim, place));
    struct known_lease *lease = lease_new(w);
    lease->ttl = least + (int64_t)prng_below(w->prng, 4);
    struct ask *ask = ask_new(w, ASK_GRANT, client, place);
    ask->lease = lease->id;
    ask->epoch = lease->epoch;
    ask->command = (struct command){.kind = COMMAND_LEASE_GRANT,
                                    .lease = {.id = lease->id, .ttl = lease->ttl}};
    ask_submit(ask);
    return lease;
}

static void lease_put(struct workload *w, uint32_t client, uint32_t place, int64_t id)
{
    struct command command = {.kind = COMMAND_PUT};
    char raw[24];
    int size = snprintf(raw, sizeof raw, "l%lld", (long long)id);
    command.put.key = arena_copy(&w->arena, bytes_of(raw, (size_t)size));
    command.put.value = workload_value(w);
    command.put.lease = id;
    if (!workload_admit(w, client, place, &command))
        return;
    struct ask *ask = ask_new(w, ASK_WRITE, client, place);
    ask->command = command;
    history_note(ask);
    ask_submit(ask);
}

static struct ask *lease_speak_new(struct workload *w, enum ask_kind kind, uint32_t client,
                                   uint32_t place, struct known_lease *lease)
{
    struct ask *ask = ask_new(w, kind, client, place);
    lease->asked_ns = sim_now(w->sim);
    ask->lease = lease->id;
    ask->epoch = lease->epoch;
    return ask;
}

static void lease_speak(struct workload *w, enum ask_kind kind, uint32_t client, uint32_t place,
                        struct known_lease *lease)
{
    ask_submit(lease_speak_new(w, kind, client, place, lease));
}

static void lease_take_back(struct workload *w, uint32_t client, uint32_t place,
                            struct known_lease *lease)
{
    struct ask *ask = lease_speak_new(w, ASK_REVOKE, client, place, lease);
    lease->revoking = true;
    lease->revocations++;
    ask->command = (struct command){.kind = COMMAND_LEASE_REVOKE, .lease = {.id = lease->id}};
    history_note(ask);
    ask_submit(ask);
}

void lease_ask(struct workload *w, uint32_t client, uint32_t place)
{
    uint64_t what = prng_below(w->prng, 10);
    if (w->leases_count == 0 || what < 2) {
        (void)lease_grant(w, client, place);
        return;
    }
    int64_t id = lease_pick(w);
    if (what < 5) {
        lease_put(w, client, place, id);
        return;
    }
    struct known_lease *lease = known(w, id);
    if (what == 5)
        lease_take_back(w, client, place, lease);
    else
        lease_speak(w, what == 6 ? ASK_QUERY : ASK_RENEW, client, place, lease);
}

/* Best of all one that stands still: when it goes on, it may believe that it still keeps leases. */
void lease_probe(struct workload *w, uint32_t client)
{
    struct known_lease *lease = known(w, w->clients[client].probe);
    uint32_t members = sim_members(w->sim);
    uint32_t place = (uint32_t)prng_below(w->prng, members);
    w->clients[client].probe = 0;
    for (uint32_t i = 0; i < members && !sim_paused(w->sim, place); i++)
        place = (place + 1) % members;
    if (workload_up(w, place))
        lease_speak(w, draw_percent(w->prng, 70) ? ASK_RENEW : ASK_QUERY, client, place, lease);
}

/* Renews in time, mostly; now and then about when the lease ends; and gives it up in the end. */
void lease_hold(struct workload *w, uint32_t client, uint32_t place)
{
    struct client *c = &w->clients[client];
    struct known_lease *lease = known(w, c->held);
    if (lease == NULL || lease->epoch != c->held_epoch || lease->revoking) {
        lease = lease_grant(w, client, place);
        c->held = lease->id;
        c->held_epoch = lease->epoch;
        return;
    }
    uint64_t what = prng_below(w->prng, 20);
    if (what == 0)
        c->held = 0; /* it may run out now */
    else if (what == 1)
        lease_take_back(w, client, place, lease);
    else if (what < 5)
        lease_put(w, client, place, lease->id);
    else
        lease_speak(w, what == 5 ? ASK_QUERY : ASK_RENEW, client, place, lease);
}

void lease_submit(struct ask *ask)
{
    struct replica *replica = sim_replica(ask->workload->sim, ask->place);
    if (ask->kind == ASK_RENEW) {
        request_init(&ask->request, on_renewed);
        replica_lease_renew(replica, &ask->request, ask->lease);
    } else if (ask->kind == ASK_QUERY) {
        request_init(&ask->request, on_queried);
        replica_lease_query(replica, &ask->request, ask->lease);
    } else {
        request_init(&ask->request, on_lease_written);
        replica_submit(replica, &ask->request, &ask->command);
    }
}

/* --- The end --------------------------------------------------------------------------------- */

/* A lease of which nobody speaks any more ends, at the latest: its whole time after the keeper last
 * changed, or it was spoken of, or all was well again; and a little for the way through the log. */
bool lease_overdue(const struct workload *w, const struct truth_lease *truth)
{
    uint64_t slack = 4 * w->options->election_ns + 10 * WORKLOAD_S;
    uint64_t ttl = (uint64_t)truth->ttl * WORKLOAD_S;
    uint64_t from = w->truth->keeper_ns > w->calm_ns ? w->truth->keeper_ns : w->calm_ns;
    if (truth->id >= 1 && truth->id <= w->leases_count && w->leases[truth->id - 1].asked_ns > from)
        from = w->leases[truth->id - 1].asked_ns;
    from = truth->granted_ns > from ? truth->granted_ns : from;
    return w->calm && truth->slot_ended == 0 && sim_now(w->sim) > from + ttl + ttl / 8 + slack;
}

void lease_judge(struct workload *w)
{
    const struct truth *t = w->truth;
    for (uint32_t i = 0; i < t->leases_count; i++) {
        if (lease_overdue(w, t->leases[i]))
            workload_object(w, "lease", "a lease outlived its time", NULL, t->leases[i]->id,
                            t->leases[i]->ttl);
    }
}
