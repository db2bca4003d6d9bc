/* Demo probe: asks the members what they think, and whether they agree.
 *
 * All are asked at once and all answers are awaited, so that a comparison is of one moment, as far
 * as there is one. */
#include "cli/demo.h"

#include <stdlib.h>
#include <string.h>

#define PROBE_TIMEOUT_MS 500
#define PAGE_KEYS 5000

/* Starts a call; a member that cannot be asked counts as done without an answer. */
static void call_start(struct demo_member *member, const struct rpc_method *method,
                       const ProtobufCMessage *request, uint64_t timeout_ms)
{
    grpc_connection_hurry(&member->connection);
    if (!rpc_start(&member->rpc, &member->connection, method, request, timeout_ms)) {
        member->rpc.done = true;
        member->rpc.status = (struct grpc_status){.code = GRPC_UNAVAILABLE};
    }
}

bool probe_call(struct demo *demo, struct demo_member *member, const struct rpc_method *method,
                const ProtobufCMessage *request, uint64_t timeout_ms)
{
    uv_update_time(&demo->client.loop);
    call_start(member, method, request, timeout_ms);
    while (!member->rpc.done)
        uv_run(&demo->client.loop, UV_RUN_ONCE);
    return member->rpc.status.code == GRPC_OK;
}

static void wait_for_all(struct demo *demo)
{
    bool waiting = true;
    while (waiting) {
        waiting = false;
        for (size_t i = 0; i < demo->members_count; i++)
            waiting = waiting || !demo->members[i].rpc.done;
        if (waiting)
            uv_run(&demo->client.loop, UV_RUN_ONCE);
    }
}

void probe_members(struct demo *demo)
{
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    uv_update_time(&demo->client.loop);
    for (size_t i = 0; i < demo->members_count; i++)
        call_start(&demo->members[i], &rpc_status, &request.base, PROBE_TIMEOUT_MS);
    wait_for_all(demo);
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[i];
        const Etcdserverpb__StatusResponse *response = (const void *)member->rpc.response;
        member->answers = response != NULL && response->header != NULL;
        if (!member->answers)
            continue;
        member->id = response->header->member_id;
        member->revision = response->header->revision;
        member->leader = response->leader;
        member->term = response->raftterm;
        member->memory = member_memory(member);
    }
}

struct demo_member *probe_leader(struct demo *demo, size_t answering)
{
    struct demo_member *leader = NULL;
    uint64_t id = 0;
    size_t answers = 0;
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[i];
        if (!member->answers)
            continue;
        answers++;
        if (member->leader == 0 || (id != 0 && member->leader != id))
            return NULL;
        id = member->leader;
        if (member->id == member->leader)
            leader = member;
    }
    return answers >= answering ? leader : NULL;
}

bool probe_converged(struct demo *demo)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    probe_members(demo);
    request.revision = demo->members[0].revision;
    for (size_t i = 0; i < demo->members_count; i++)
        if (!demo->members[i].answers || demo->members[i].revision != request.revision)
            return false;
    for (size_t i = 0; i < demo->members_count; i++)
        call_start(&demo->members[i], &rpc_hash_kv, &request.base, PROBE_TIMEOUT_MS);
    wait_for_all(demo);
    for (size_t i = 0; i < demo->members_count; i++) {
        const Etcdserverpb__HashKVResponse *response = (const void *)demo->members[i].rpc.response;
        if (response == NULL)
            return false;
        demo->members[i].hash = response->hash;
        if (response->hash != demo->members[0].hash)
            return false;
    }
    return true;
}

/* The number behind the prefix, if the value says the same. */
static bool check_write(const Mvccpb__KeyValue *pair, uint64_t *ret_number)
{
    const size_t prefix = strlen(DEMO_WRITE_PREFIX);
    char key[32];
    char value[32];
    if (pair->key.len <= prefix || pair->key.len - prefix >= sizeof key ||
        pair->value.len >= sizeof value)
        return false;
    memcpy(key, pair->key.data + prefix, pair->key.len - prefix);
    key[pair->key.len - prefix] = '\0';
    memcpy(value, pair->value.data, pair->value.len);
    value[pair->value.len] = '\0';
    *ret_number = strtoull(key, NULL, 10);
    return *ret_number == strtoull(value, NULL, 10);
}

uint64_t probe_count_writes(struct demo *demo, struct demo_member *member, uint64_t count)
{
    char from[64] = DEMO_WRITE_PREFIX;
    uint64_t right = 0;
    for (;;) {
        static const char end[] = "demo/write0"; /* '0' follows '/' */
        Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
        request.key = (ProtobufCBinaryData){strlen(from), (uint8_t *)from};
        request.range_end = (ProtobufCBinaryData){strlen(end), (uint8_t *)(uintptr_t)end};
        request.limit = PAGE_KEYS;
        request.serializable = true;
        if (!probe_call(demo, member, &rpc_range, &request.base, 5000))
            return right;
        const Etcdserverpb__RangeResponse *response = (const void *)member->rpc.response;
        uint64_t number = 0;
        for (size_t i = 0; i < response->n_kvs; i++)
            if (check_write(response->kvs[i], &number) && number < count)
                right++;
        if (!response->more || response->n_kvs == 0)
            return right;
        const ProtobufCBinaryData last = response->kvs[response->n_kvs - 1]->key;
        snprintf(from, sizeof from, "%.*s0", (int)last.len, (const char *)last.data);
    }
}
