/* The Lease service. Granting and revoking are writes; how long a lease has to live only its keeper
 * knows, so renewals and questions go there through the replica. */
#include "front/etcd/call.h"
#include "front/etcd/handlers.h"
#include "front/etcd/message.h"

/* --- Grant and revoke -------------------------------------------------------------------------*/

/* The call of a write that was carried out; NULL if it failed or was refused. */
static struct call *write_done(struct request *request, enum status status,
                               const struct result *result)
{
    struct call *call = call_done(request, status);
    if (call == NULL || result->refusal == REFUSAL_NONE)
        return call;
    call_refuse(call, result->refusal);
    return NULL;
}

static void on_granted(struct request *request, enum status status, const struct result *result)
{
    struct call *call = write_done(request, status, result);
    if (call == NULL)
        return;
    Etcdserverpb__LeaseGrantResponse reply = ETCDSERVERPB__LEASE_GRANT_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(call));
    reply.header = &header;
    reply.id = result->lease.id;
    reply.ttl = result->lease.ttl;
    call_reply(call, &reply.base);
}

/* A positive id that is not in use here; if it is in use by the time, the grant is refused. */
static int64_t lease_new_id(struct etcd_front *front)
{
    struct lease_info info;
    int64_t id;
    do {
        id = (int64_t)(replica_random(front->replica) & INT64_MAX);
    } while (id == 0 || store_lease_get(front_store(front), id, &info));
    return id;
}

void call_lease_grant(struct call *call, struct bytes message)
{
    struct etcd_front *front = call_front(call);
    const Etcdserverpb__LeaseGrantRequest *request =
        call_decode(call, &etcdserverpb__lease_grant_request__descriptor, message);
    if (request == NULL)
        return;
    if (request->ttl > LEASE_TTL_MAX) {
        call_refuse(call, REFUSAL_LEASE_TTL_TOO_LARGE);
        return;
    }
    int64_t least = replica_lease_ttl_min(front->replica);
    struct command command = {.kind = COMMAND_LEASE_GRANT,
                              .lease = {.id = request->id == 0 ? lease_new_id(front) : request->id,
                                        .ttl = request->ttl < least ? least : request->ttl}};
    call_submit(call, &command, on_granted);
}

static void on_revoked(struct request *request, enum status status, const struct result *result)
{
    struct call *call = write_done(request, status, result);
    if (call == NULL)
        return;
    Etcdserverpb__LeaseRevokeResponse reply = ETCDSERVERPB__LEASE_REVOKE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(call));
    reply.header = &header;
    call_reply(call, &reply.base);
}

void call_lease_revoke(struct call *call, struct bytes message)
{
    const Etcdserverpb__LeaseRevokeRequest *request =
        call_decode(call, &etcdserverpb__lease_revoke_request__descriptor, message);
    if (request == NULL)
        return;
    struct command command = {.kind = COMMAND_LEASE_REVOKE, .lease = {.id = request->id}};
    call_submit(call, &command, on_revoked);
}

/* --- Keep alive -------------------------------------------------------------------------------*/

struct keep_alive {
    int64_t id;
    int64_t revision; /* when the renewal was asked for */
};

static void on_renewed(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call == NULL)
        return;
    const struct keep_alive *renewal = call->state;
    Etcdserverpb__LeaseKeepAliveResponse reply = ETCDSERVERPB__LEASE_KEEP_ALIVE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header(call_front(call), renewal->revision);
    reply.header = &header;
    reply.id = renewal->id;
    reply.ttl = request->value.ttl;
    call_send(call, &reply.base);
    call_resume(call);
}

/* One renewal at a time, answered in order; a lease that is gone has 0 seconds, which is no error.
 */
void call_lease_keep_alive(struct call *call, struct bytes message)
{
    struct etcd_front *front = call_front(call);
    const Etcdserverpb__LeaseKeepAliveRequest *request =
        call_decode(call, &etcdserverpb__lease_keep_alive_request__descriptor, message);
    if (request == NULL)
        return;
    if (call->state == NULL)
        (void)call_state(call, sizeof(struct keep_alive));
    struct keep_alive *renewal = call->state;
    renewal->id = request->id;
    renewal->revision = store_revision(front_store(front));
    call->busy = true;
    request_init(&call->request, on_renewed);
    replica_lease_renew(front->replica, &call->request, request->id);
}

/* --- Questions --------------------------------------------------------------------------------*/

struct time_to_live {
    int64_t id;
    bool keys;
};

static void on_queried(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call == NULL)
        return;
    struct etcd_front *front = call_front(call);
    const struct time_to_live *query = call->state;
    Etcdserverpb__LeaseTimeToLiveResponse reply = ETCDSERVERPB__LEASE_TIME_TO_LIVE_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    reply.header = &header;
    reply.id = query->id;
    reply.ttl = request->value.ttl;
    reply.grantedttl = request->value.ttl < 0 ? 0 : request->value.ttl_granted;
    arena_reset(&front->reply);
    if (query->keys && request->value.ttl >= 0) {
        uint32_t count;
        struct bytes *keys = store_lease_keys(front_store(front), query->id, &front->reply, &count);
        reply.n_keys = count;
        reply.keys = arena_alloc(&front->reply, count * sizeof *reply.keys);
        for (uint32_t i = 0; i < count; i++)
            reply.keys[i] = message_data(keys[i]);
    }
    call_reply(call, &reply.base);
    arena_reset(&front->reply);
}

static void lease_query(struct call *call)
{
    const struct time_to_live *query = call->state;
    request_init(&call->request, on_queried);
    replica_lease_query(call_front(call)->replica, &call->request, query->id);
}

static void on_keys_fresh(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call != NULL && call_read_holds(call))
        lease_query(call);
}

void call_lease_time_to_live(struct call *call, struct bytes message)
{
    const Etcdserverpb__LeaseTimeToLiveRequest *request =
        call_decode(call, &etcdserverpb__lease_time_to_live_request__descriptor, message);
    if (request == NULL)
        return;
    struct time_to_live *query = call_state(call, sizeof *query);
    query->id = request->id;
    query->keys = request->keys;
    if (query->keys)
        call_read(call, on_keys_fresh);
    else
        lease_query(call);
}

void call_lease_leases(struct call *call, struct bytes message)
{
    (void)message;
    struct etcd_front *front = call_front(call);
    uint32_t count;
    arena_reset(&front->reply);
    struct lease_info *leases = store_lease_list(front_store(front), &front->reply, &count);
    Etcdserverpb__LeaseStatus *messages = arena_alloc(&front->reply, count * sizeof *messages);
    Etcdserverpb__LeaseLeasesResponse reply = ETCDSERVERPB__LEASE_LEASES_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    reply.header = &header;
    reply.n_leases = count;
    reply.leases = arena_alloc(&front->reply, count * sizeof(void *));
    for (uint32_t i = 0; i < count; i++) {
        etcdserverpb__lease_status__init(&messages[i]);
        messages[i].id = leases[i].id;
        reply.leases[i] = &messages[i];
    }
    call_reply(call, &reply.base);
    arena_reset(&front->reply);
}
