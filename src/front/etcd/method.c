/* The table of methods, the busiest first, and the words for everything that is not in it. */
#include "front/etcd/method.h"

#include "front/etcd/handlers.h"

#include <string.h>

#define KV "etcdserverpb.KV"
#define WATCH "etcdserverpb.Watch"
#define LEASE "etcdserverpb.Lease"
#define CLUSTER "etcdserverpb.Cluster"
#define MAINTENANCE "etcdserverpb.Maintenance"
#define HEALTH "grpc.health.v1.Health"

const struct method methods[METHODS_COUNT] = {
    {KV, "Range", .message = call_range, .woken = call_range_woken, .over = call_range_over},
    {KV, "Put", .message = call_put},
    {KV, "Txn", .message = call_txn},
    {KV, "DeleteRange", .message = call_delete_range},
    {KV, "Compact", .message = call_compact},
    {KV, "RangeStream", .stream = true, .message = call_range_stream,
     .half_closed = call_range_half_closed, .woken = call_range_woken, .over = call_range_over},
    {WATCH, "Watch", .stream = true, .message = call_watch, .half_closed = call_watch_half_closed,
     .woken = call_watch_woken, .over = call_watch_over},
    {LEASE, "LeaseKeepAlive", .stream = true, .message = call_lease_keep_alive},
    {LEASE, "LeaseGrant", .message = call_lease_grant},
    {LEASE, "LeaseRevoke", .message = call_lease_revoke},
    {LEASE, "LeaseTimeToLive", .message = call_lease_time_to_live},
    {LEASE, "LeaseLeases", .message = call_lease_leases},
    {CLUSTER, "MemberList", .message = call_member_list},
    {MAINTENANCE, "Status", .message = call_status},
    {MAINTENANCE, "Alarm", .message = call_alarm},
    {MAINTENANCE, "Hash", .message = call_hash},
    {MAINTENANCE, "HashKV", .message = call_hash_kv},
    {MAINTENANCE, "Defragment", .message = call_defragment},
    {MAINTENANCE, "MoveLeader", .message = call_move_leader},
    {MAINTENANCE, "Snapshot", .stream = true, .message = call_snapshot,
     .half_closed = call_snapshot_half_closed, .woken = call_snapshot_woken,
     .over = call_snapshot_over},
    {HEALTH, "Check", .message = call_health_check},
    {HEALTH, "Watch", .stream = true, .message = call_health_watch,
     .half_closed = call_health_watch_half_closed, .over = call_health_watch_over},
};

static bool is_text(struct bytes bytes, const char *text)
{
    size_t size = strlen(text);
    return bytes.size == size && memcmp(bytes.data, text, size) == 0;
}

/* Splits "/service/method" at its last slash. */
static bool path_split(struct bytes path, struct bytes *ret_service, struct bytes *ret_name)
{
    if (path.size == 0 || path.data[0] != '/')
        return false;
    size_t slash = path.size - 1;
    while (path.data[slash] != '/')
        slash--;
    if (slash == 0)
        return false;
    *ret_service = bytes_of(path.data + 1, slash - 1);
    *ret_name = bytes_of(path.data + slash + 1, path.size - slash - 1);
    return true;
}

const struct method *method_find(struct bytes path, struct text *refusal)
{
    struct bytes service;
    struct bytes name;
    bool service_known = false;
    if (!path_split(path, &service, &name)) {
        text_add(refusal, "malformed method name: \"");
        text_bytes(refusal, path);
        text_add(refusal, "\"");
        return NULL;
    }
    for (size_t i = 0; i < METHODS_COUNT; i++) {
        if (!is_text(service, methods[i].service))
            continue;
        if (is_text(name, methods[i].name))
            return &methods[i];
        service_known = true;
    }
    if (service_known) {
        text_add(refusal, "unknown method ");
        text_bytes(refusal, name);
        text_add(refusal, " for service ");
    } else {
        text_add(refusal, "unknown service ");
    }
    text_bytes(refusal, service);
    return NULL;
}
