/* The keeper of leases: the leader times them on its own clock; the log decides.
 *
 * Every member has a clock for every lease, so that whoever becomes keeper only has to wind them:
 * each lease gets its full time to live again, so nobody loses one to a change of leader. When a
 * clock runs out the keeper proposes the lease's end, tagged with its ballot; the machine ignores
 * that if it is the keeper no more. The one invariant: a renewal or an expiry counts only under a
 * leadership that a quorum confirmed after it was asked for, and a lease is gone when the log says
 * so: a keeper that slept may find clocks run out that others have wound since. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

#define EXPIRE_BATCH_MAX 1000
#define EXPIRE_LATER_NS (100 * MILLISECOND) /* when too much waits to be proposed */
#define ASK_AGAIN_NS SECOND
#define REMOTE_ASKS_MAX 100000u
#define EXPIRE_AGAIN_NS SECOND /* propose the end of a lease again when the log did not take it */

struct remote_ask {
    struct request request;
    struct list link; /* in keeper.remote */
    struct replica *replica;
    uint16_t from;
    uint64_t id;
};

void keeper_init(struct replica *r)
{
    struct keeper *k = &r->keeper;
    map_init(&k->clocks, r->mem);
    heap_init(&k->due, r->mem);
    list_init(&k->asks);
    list_init(&k->remote);
    /* Unlike any number of an earlier life, whose answers may still be on their way. */
    k->ask_next = r->world->ops->random(r->world) | 1;
}

static bool keeping(const struct replica *r)
{
    return r->role == ROLE_LEADER && r->keeper.node == r->config.identity->self &&
           r->keeper.round == r->ballot.round;
}

static void clock_wind(struct replica *r, struct lease_clock *clock)
{
    clock->expiring = false;
    heap_set(&r->keeper.due, &clock->due, replica_clock(r) + (uint64_t)clock->ttl * SECOND,
             (uint64_t)clock->id);
}

void keeper_on_grant(void *owner, const struct lease_info *lease)
{
    struct replica *r = owner;
    struct lease_clock *clock = mem_alloc(r->mem, sizeof *clock);
    *clock =
        (struct lease_clock){.id = lease->id, .ttl = lease->ttl, .generation = lease->generation};
    heap_item_init(&clock->due);
    map_put(&r->keeper.clocks, (uint64_t)lease->id, clock);
    clock_wind(r, clock);
}

void keeper_on_revoke(void *owner, int64_t id)
{
    struct replica *r = owner;
    struct lease_clock *clock = map_take(&r->keeper.clocks, (uint64_t)id);
    if (clock == NULL)
        return;
    heap_remove(&r->keeper.due, &clock->due);
    mem_free(r->mem, clock, sizeof *clock);
}

/* Forgets every lease: the machine is about to be replaced, or freed. */
void keeper_clear(struct replica *r)
{
    struct heap_item *top;
    while ((top = heap_top(&r->keeper.due)) != NULL)
        keeper_on_revoke(r, container_of(top, struct lease_clock, due)->id);
}

void keeper_adopt(struct replica *r, struct machine *machine)
{
    struct arena arena;
    arena_init(&arena, r->mem);
    uint32_t count;
    struct store *store = machine_store(machine);
    const struct lease_info *leases = store_lease_list(store, &arena, &count);
    keeper_clear(r);
    for (uint32_t i = 0; i < count; i++)
        keeper_on_grant(r, &leases[i]);
    arena_release(&arena);
    struct lease_events events = {
        .owner = r, .on_grant = keeper_on_grant, .on_revoke = keeper_on_revoke};
    store_lease_listen(store, &events);
}

void keeper_release(struct replica *r)
{
    keeper_clear(r);
    heap_release(&r->keeper.due);
    map_release(&r->keeper.clocks);
}

void keeper_on_keeper(struct replica *r, uint16_t node, uint64_t round)
{
    struct keeper *k = &r->keeper;
    k->node = node;
    k->round = round;
    if (node != r->config.identity->self || planted(REPLICA_LEASES_NOT_REWOUND))
        return;
    /* Every deadline changes: take all out of the heap, and wind each clock anew. */
    uint32_t count = k->due.count;
    k->due.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        struct heap_item *item = k->due.items[i];
        heap_item_init(item);
        clock_wind(r, container_of(item, struct lease_clock, due));
    }
}

/* The leader is another one now: what was asked of the old one is asked again. */
void keeper_ask_again(struct replica *r)
{
    list_each (at, &r->keeper.asks)
        container_of(at, struct request, link)->sequence = 0;
}

/* --- Asking ---------------------------------------------------------------------------------- */

static void lease_request(struct replica *r, struct request *request, int64_t id,
                          enum request_kind kind)
{
    enum status status = replica_serving(r);
    if (status != STATUS_OK) {
        request_finish(request, status, NULL);
        return;
    }
    request->lease = id;
    request->kind = (uint8_t)kind;
    request->deadline = replica_clock(r) + r->request_timeout_ns;
    request->sequence = 0; /* not asked yet */
    list_push(&r->keeper.asks, &request->link);
    r->keeper.ask_retry_ns = 0;
}

void replica_lease_renew(struct replica *r, struct request *request, int64_t id)
{
    lease_request(r, request, id, REQUEST_RENEW);
}

void replica_lease_query(struct replica *r, struct request *request, int64_t id)
{
    lease_request(r, request, id, REQUEST_QUERY);
}

/* Numbers are never zero: that means "not asked". */
static uint64_t ask_number(struct keeper *k)
{
    k->ask_next += 2;
    return k->ask_next;
}

/* Sends each waiting ask where it can be answered: into a read round here, or to the leader. */
static void asks_dispatch(struct replica *r)
{
    list_each (at, &r->keeper.asks) {
        struct request *request = container_of(at, struct request, link);
        if (request->sequence != 0)
            continue;
        if (planted(REPLICA_RENEW_UNCONFIRMED) && keeping(r)) {
            keeper_answer(r, request);
        } else if (r->role == ROLE_LEADER) {
            list_remove(&request->link);
            list_push(&r->reads.waiting, &request->link);
        } else if (r->leader != NODE_NONE && r->leader != r->config.identity->self) {
            request->sequence = ask_number(&r->keeper);
            struct message ask = {.kind = MESSAGE_LEASE_ASK,
                                  .id = request->sequence,
                                  .lease = request->lease,
                                  .renew = request->kind == REQUEST_RENEW};
            replica_send(r, r->leader, &ask, NULL);
        }
    }
}

static void answer_value(struct replica *r, struct request *request, struct lease_clock *clock)
{
    bool renew = request->kind == REQUEST_RENEW;
    if (clock == NULL) {
        request->value.ttl_granted = 0;
        request->value.ttl = renew ? 0 : -1;
        return;
    }
    if (planted(REPLICA_GONE_BY_CLOCK) && clock->due.key <= replica_clock(r)) {
        request->value.ttl = 0;
        return;
    }
    if (renew)
        clock_wind(r, clock);
    uint64_t now = replica_clock(r);
    uint64_t left = clock->due.key > now ? clock->due.key - now : 0;
    request->value.ttl_granted = clock->ttl;
    request->value.ttl = renew ? clock->ttl : (int64_t)(left / SECOND);
}

static bool ending(const struct replica *r, const struct lease_clock *clock)
{
    if (planted(REPLICA_RENEW_EXPIRED) || planted(REPLICA_GONE_BY_CLOCK))
        return false;
    return clock->expiring || clock->due.key <= replica_clock(r);
}

/* In front of the others, for it has waited longest. */
static void answer_later(struct replica *r, struct request *request)
{
    list_remove(&request->link);
    request->sequence = 0;
    list_push(r->keeper.asks.next, &request->link);
    r->keeper.ask_retry_ns = replica_clock(r) + 5 * MILLISECOND;
}

/* Asked too early if the leader is confirmed, but the log has not made it keeper yet; and if the
 * lease's clock has run out: its end is on its way to the log, unless another keeper wound it. */
void keeper_answer(struct replica *r, struct request *request)
{
    struct lease_clock *clock = map_get(&r->keeper.clocks, (uint64_t)request->lease);
    if (!keeping(r) || (clock != NULL && ending(r, clock))) {
        answer_later(r, request);
        return;
    }
    answer_value(r, request, clock);
    if (!replica_read_holds(r, request)) {
        list_remove(&request->link);
        list_push(&r->reads.waiting, &request->link);
        return;
    }
    request_finish(request, STATUS_OK, NULL);
}

static void remote_done(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct remote_ask *ask = container_of(request, struct remote_ask, request);
    struct replica *r = ask->replica;
    struct message tell = {.kind = MESSAGE_LEASE_TELL,
                           .id = ask->id,
                           .lease = request->lease,
                           .found = status == STATUS_OK,
                           .ttl = request->value.ttl,
                           .ttl_granted = request->value.ttl_granted};
    replica_send(r, ask->from, &tell, NULL);
    list_remove(&ask->link);
    r->keeper.remote_count--;
    mem_free(r->mem, ask, sizeof *ask);
}

void keeper_on_ask(struct replica *r, uint16_t from, const struct message *message)
{
    if (r->keeper.remote_count == REMOTE_ASKS_MAX)
        return; /* it asks again */
    struct remote_ask *ask = mem_zero(r->mem, sizeof *ask);
    r->keeper.remote_count++;
    request_init(&ask->request, remote_done);
    ask->replica = r;
    ask->from = from;
    ask->id = message->id;
    list_push(&r->keeper.remote, &ask->link);
    ask->request.lease = message->lease;
    if (r->role == ROLE_LEADER)
        lease_request(r, &ask->request, message->lease,
                      message->renew ? REQUEST_RENEW : REQUEST_QUERY);
    else
        request_finish(&ask->request, STATUS_NOT_LEADER, NULL);
}

void keeper_on_tell(struct replica *r, const struct message *message)
{
    list_each (at, &r->keeper.asks) {
        struct request *request = container_of(at, struct request, link);
        if (request->sequence != message->id || request->lease != message->lease)
            continue;
        if (message->found) {
            request->value.ttl = message->ttl;
            request->value.ttl_granted = message->ttl_granted;
            request_finish(request, STATUS_OK, NULL);
        } else {
            request->sequence = 0;
            r->keeper.ask_retry_ns = replica_clock(r) + 10 * MILLISECOND;
        }
        return;
    }
}

/* --- Time ------------------------------------------------------------------------------------ */

static void expire_due(struct replica *r, uint64_t now)
{
    int64_t ids[EXPIRE_BATCH_MAX];
    uint64_t generations[EXPIRE_BATCH_MAX];
    uint32_t count = 0;
    struct heap_item *top;
    while (count < EXPIRE_BATCH_MAX && (top = heap_top(&r->keeper.due)) != NULL &&
           top->key <= now) {
        struct lease_clock *clock = container_of(top, struct lease_clock, due);
        clock->expiring = true;
        heap_set(&r->keeper.due, top, now + EXPIRE_AGAIN_NS, top->key2);
        ids[count] = clock->id;
        generations[count++] = clock->generation;
    }
    if (count == 0)
        return;
    struct command command = {.kind = COMMAND_LEASE_EXPIRE};
    command.expire.ids = ids;
    command.expire.generations = generations;
    command.expire.count = count;
    command.expire.node = r->config.identity->self;
    command.expire.round = r->ballot.round;
    propose_internal(r, &command);
}

void keeper_tick(struct replica *r, uint64_t now)
{
    struct keeper *k = &r->keeper;
    requests_fail(r, &r->keeper.asks, now, STATUS_TIMEOUT);
    if (now >= k->ask_again_ns) {
        k->ask_again_ns = now + ASK_AGAIN_NS;
        keeper_ask_again(r);
    }
    if (now >= k->ask_retry_ns)
        asks_dispatch(r);
    if (!keeping(r) || now < k->expire_ns)
        return;
    if (propose_crowded(r))
        k->expire_ns = now + EXPIRE_LATER_NS;
    else
        expire_due(r, now);
}

void keeper_fail_all(struct replica *r, enum status status)
{
    requests_fail(r, &r->keeper.asks, TIME_NEVER, status);
}

uint64_t keeper_wake(const struct replica *r)
{
    const struct keeper *k = &r->keeper;
    uint64_t wake = TIME_NEVER;
    struct heap_item *top = keeping(r) ? heap_top(&k->due) : NULL;
    if (top != NULL)
        wake = top->key > k->expire_ns ? top->key : k->expire_ns;
    wake = requests_wake(&k->asks, wake);
    if (!list_empty(&k->asks)) {
        wake = k->ask_again_ns < wake ? k->ask_again_ns : wake;
        if (k->ask_retry_ns > replica_clock(r) && k->ask_retry_ns < wake)
            wake = k->ask_retry_ns;
    }
    return wake;
}
