/* Linearizable reads. They never enter the log: those that arrived together share one READ of the
 * engine, which says at which slot they are safe; they are served when this member has applied that
 * slot. A keeper's answer about a lease takes the same way, for only a confirmed leader may give
 * it.
 *
 * The one invariant: a request joins a round before the round is asked for, never after. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

void reads_init(struct replica *r)
{
    list_init(&r->reads.waiting);
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++)
        list_init(&r->reads.rounds[i].requests);
    r->reads.token_next = 1;
}

void reads_add(struct replica *r, struct request *request, enum request_kind kind)
{
    request->kind = (uint8_t)kind;
    request->deadline = replica_clock(r) + r->request_timeout_ns;
    struct list *waiting = &r->reads.waiting;
    for (uint32_t i = 0; i < READ_ROUNDS_MAX && planted(REPLICA_READ_JOINS_ROUND); i++) {
        if (r->reads.rounds[i].token != 0)
            waiting = &r->reads.rounds[i].requests;
    }
    list_push(waiting, &request->link);
}

void replica_read(struct replica *r, struct request *request)
{
    enum status status = replica_serving(r);
    if (status != STATUS_OK)
        request_finish(request, status, NULL);
    else
        reads_add(r, request, REQUEST_READ);
}

static struct read_round *round_find(struct replica *r, uint64_t token)
{
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        if (r->reads.rounds[i].token == token)
            return &r->reads.rounds[i];
    }
    return NULL;
}

void reads_dispatch(struct replica *r)
{
    struct reads *reads = &r->reads;
    if (list_empty(&reads->waiting) || replica_clock(r) < reads->retry_ns)
        return;
    if (r->role != ROLE_LEADER && (r->leader == NODE_NONE || r->leader == r->config.identity->self))
        return;
    struct read_round *round = round_find(r, 0);
    if (round == NULL)
        return;
    round->token = reads->token_next++;
    round->confirmed = false;
    list_splice(&round->requests, &reads->waiting);
    r->read_rounds++;
    replica_step(r, (struct input){.kind = INPUT_READ, .token = round->token});
}

static void round_serve(struct replica *r, struct read_round *round)
{
    struct list requests;
    list_init(&requests);
    list_splice(&requests, &round->requests);
    round->token = 0;
    while (!list_empty(&requests)) {
        struct request *request = container_of(requests.next, struct request, link);
        request->until = round->until;
        if (request->kind == REQUEST_READ) {
            r->reads_served++;
            request_finish(request, replica_serving(r), NULL);
        } else {
            keeper_answer(r, request);
        }
    }
}

/* The clock is read after the state was: if the lease held then, nobody had taken over before. */
bool still_holds(const struct replica *r, uint64_t until)
{
    return until == TIME_NEVER || planted(REPLICA_LEASE_NOT_CHECKED) ||
           r->world->ops->now(r->world) < until;
}

bool replica_read_holds(struct replica *r, const struct request *request)
{
    return still_holds(r, request->until);
}

void reads_on_ok(struct replica *r, uint64_t token, uint64_t slot, uint64_t until)
{
    struct read_round *round = round_find(r, token);
    if (round == NULL || planted(REPLICA_READ_NEVER))
        return;
    round->slot = slot;
    round->until = until;
    round->confirmed = true;
    if (machine_slot(r->machine) >= slot || planted(REPLICA_READ_NOT_APPLIED))
        round_serve(r, round);
}

/* Back to the front of the queue: they are the oldest. */
void reads_on_fail(struct replica *r, uint64_t token)
{
    struct read_round *round = round_find(r, token);
    if (round == NULL)
        return;
    list_splice(&round->requests, &r->reads.waiting);
    list_splice(&r->reads.waiting, &round->requests);
    round->token = 0;
    r->reads.retry_ns = replica_clock(r) + 5 * MILLISECOND;
}

void reads_on_applied(struct replica *r)
{
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++) {
        struct read_round *round = &r->reads.rounds[i];
        if (round->token != 0 && round->confirmed && machine_slot(r->machine) >= round->slot)
            round_serve(r, round);
    }
}

void reads_expire(struct replica *r, uint64_t now)
{
    requests_fail(r, &r->reads.waiting, now, STATUS_TIMEOUT);
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++)
        requests_fail(r, &r->reads.rounds[i].requests, now, STATUS_TIMEOUT);
}

void reads_fail_all(struct replica *r, enum status status)
{
    requests_fail(r, &r->reads.waiting, TIME_NEVER, status);
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++)
        requests_fail(r, &r->reads.rounds[i].requests, TIME_NEVER, status);
}

uint64_t reads_wake(const struct replica *r)
{
    const struct reads *reads = &r->reads;
    uint64_t wake = requests_wake(&reads->waiting, TIME_NEVER);
    for (uint32_t i = 0; i < READ_ROUNDS_MAX; i++)
        wake = requests_wake(&reads->rounds[i].requests, wake);
    bool retry = !list_empty(&reads->waiting) && reads->retry_ns > replica_clock(r);
    return retry && reads->retry_ns < wake ? reads->retry_ns : wake;
}
