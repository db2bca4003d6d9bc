/* Implements replica/request.h over a machine alone, without engine, journal or world. A held
 * request keeps its encoded command beside it. */
#include "front_etcd/support_replica.h"

#include <stdlib.h>
#include <string.h>

#define FAKE_CLUSTER UINT64_C(0xc1)
#define FAKE_MEMBER UINT64_C(0xa1)
#define FAKE_OTHER UINT64_C(0xb2)

enum fake_kind {
    FAKE_WRITE,
    FAKE_READ,
    FAKE_RENEW,
    FAKE_QUERY,
    FAKE_TRANSFER,
};

struct fake_held {
    struct list link;
    struct request *request;
    struct buffer command;
    uint64_t member;
};

static void *fake_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

struct mem *fake_mem(void)
{
    static _Thread_local struct mem mem = {.resize = fake_resize};
    return &mem;
}

static void on_result(void *owner, uint64_t sequence, uint32_t index, const struct result *result)
{
    struct replica *replica = owner;
    (void)sequence;
    (void)index;
    struct request *request = replica->current;
    replica->current = NULL;
    if (request != NULL)
        request->done(request, STATUS_OK, result);
}

static void on_batch(void *owner, uint64_t sequence, enum batch_outcome outcome)
{
    (void)owner;
    (void)sequence;
    (void)outcome;
}

static void on_divergence(void *owner, uint64_t slot, uint64_t own, uint64_t others)
{
    (void)owner;
    (void)slot;
    (void)own;
    (void)others;
}

static void on_keeper(void *owner, uint16_t node, uint64_t round)
{
    (void)owner;
    (void)node;
    (void)round;
}

struct replica *fake_replica_new(struct mem *mem)
{
    struct replica *replica = mem_zero(mem, sizeof *replica);
    replica->mem = mem;
    replica->random = 1;
    list_init(&replica->held);
    replica->machine =
        machine_new(&(struct machine_config){.mem = mem, .members = 1, .self = FAKE_MEMBER});
    machine_listen(replica->machine, &(struct machine_events){.owner = replica,
                                                              .node = 1,
                                                              .incarnation = 1,
                                                              .on_result = on_result,
                                                              .on_batch = on_batch,
                                                              .on_divergence = on_divergence,
                                                              .on_keeper = on_keeper});
    return replica;
}

static void held_free(struct replica *replica, struct fake_held *held)
{
    list_remove(&held->link);
    buffer_release(&held->command);
    mem_free(replica->mem, held, sizeof *held);
}

void fake_replica_free(struct replica *replica)
{
    list_each (at, &replica->held) {
        held_free(replica, container_of(at, struct fake_held, link));
    }
    machine_free(replica->machine);
    mem_free(replica->mem, replica, sizeof *replica);
}

static void apply_encoded(struct replica *replica, struct request *request, struct bytes command)
{
    struct buffer entry;
    struct batch_header header = {
        .origin = 1, .incarnation = 1, .sequence = ++replica->sequence, .wall_ms = 0, .count = 1};
    buffer_init(&entry, replica->mem, SIZE_MAX / 2);
    batch_header_store(buffer_extend(&entry, BATCH_HEADER_SIZE), &header);
    buffer_append(&entry, command);
    replica->current = request;
    machine_apply(replica->machine, ++replica->slot, buffer_bytes(&entry));
    buffer_release(&entry);
    while (store_work(machine_store(replica->machine), 1000)) {
    }
}

void fake_replica_apply(struct replica *replica, const struct command *command)
{
    struct buffer encoded;
    buffer_init(&encoded, replica->mem, SIZE_MAX / 2);
    command_encode(&encoded, command);
    apply_encoded(replica, NULL, buffer_bytes(&encoded));
    buffer_release(&encoded);
}

void fake_replica_put(struct replica *replica, const char *key, const char *value)
{
    struct command command = {.kind = COMMAND_PUT,
                              .put = {.key = bytes_text(key), .value = bytes_text(value)}};
    fake_replica_apply(replica, &command);
}

static void lease_value(struct replica *replica, struct request *request, int64_t missing)
{
    struct lease_info info;
    bool exists = store_lease_get(machine_store(replica->machine), request->lease, &info);
    request->value.ttl_granted = exists ? info.ttl : 0;
    request->value.ttl = !exists ? missing : replica->ttl_left != 0 ? replica->ttl_left : info.ttl;
}

static enum status transfer(const struct replica *replica, uint64_t member)
{
    (void)replica;
    return member == FAKE_OTHER ? STATUS_OK : STATUS_NOT_FOUND;
}

static void carry_out(struct replica *replica, struct request *request, struct bytes command,
                      uint64_t member)
{
    enum status status = replica->fail;
    if (status == STATUS_OK && request->kind == FAKE_WRITE) {
        apply_encoded(replica, request, command);
        return;
    }
    if (request->kind == FAKE_RENEW)
        lease_value(replica, request, 0);
    if (request->kind == FAKE_QUERY)
        lease_value(replica, request, -1);
    if (status == STATUS_OK && request->kind == FAKE_TRANSFER)
        status = transfer(replica, member);
    request->done(request, status, NULL);
}

static void submit(struct replica *replica, struct request *request, enum fake_kind kind,
                   const struct command *command, uint64_t member)
{
    struct fake_held *held = mem_zero(replica->mem, sizeof *held);
    held->request = request;
    held->member = member;
    request->kind = (uint8_t)kind;
    list_push(&replica->held, &held->link);
    buffer_init(&held->command, replica->mem, SIZE_MAX / 2);
    if (command != NULL)
        command_encode(&held->command, command);
    request->sequence = (uint64_t)(uintptr_t)held; /* how a cancellation finds it */
    replica->submitted++;
    if (!replica->hold)
        fake_replica_release(replica);
}

void fake_replica_release(struct replica *replica)
{
    while (!list_empty(&replica->held)) {
        struct fake_held *held = container_of(replica->held.next, struct fake_held, link);
        struct request *request = held->request;
        list_remove(&held->link);
        if (request != NULL)
            request->sequence = 0;
        if (request != NULL)
            carry_out(replica, request, buffer_bytes(&held->command), held->member);
        held_free(replica, held);
    }
}

/* --- replica/request.h ------------------------------------------------------------------------*/

void request_init(struct request *request, request_done_fn done)
{
    *request = (struct request){.done = done};
    list_init(&request->link);
}

void replica_cancel(struct request *request)
{
    if (request->sequence != 0)
        ((struct fake_held *)(uintptr_t)request->sequence)->request = NULL;
    request->sequence = 0;
}

void replica_submit(struct replica *replica, struct request *request, const struct command *command)
{
    submit(replica, request, FAKE_WRITE, command, 0);
}

void replica_read(struct replica *replica, struct request *request)
{
    submit(replica, request, FAKE_READ, NULL, 0);
}

bool replica_read_holds(struct replica *replica, const struct request *request)
{
    (void)request;
    replica->reads_checked++;
    return replica->leases_lapsed == 0 || replica->leases_lapsed-- == 0;
}

void replica_lease_renew(struct replica *replica, struct request *request, int64_t id)
{
    request->lease = id;
    submit(replica, request, FAKE_RENEW, NULL, 0);
}

void replica_lease_query(struct replica *replica, struct request *request, int64_t id)
{
    request->lease = id;
    submit(replica, request, FAKE_QUERY, NULL, 0);
}

void replica_transfer(struct replica *replica, struct request *request, uint64_t member)
{
    submit(replica, request, FAKE_TRANSFER, NULL, member);
}

struct machine *replica_machine(struct replica *replica)
{
    return replica->machine;
}

void replica_status(struct replica *replica, struct replica_status *ret_status)
{
    *ret_status = (struct replica_status){.cluster = FAKE_CLUSTER,
                                          .member = FAKE_MEMBER,
                                          .leader = replica->leaderless ? 0 : FAKE_MEMBER,
                                          .term = 7,
                                          .leading = !replica->leaderless,
                                          .serving = true,
                                          .diverged = replica->diverged,
                                          .engine = "fake",
                                          .slot_proposed = replica->slot,
                                          .slot_chosen = replica->slot,
                                          .slot_applied = replica->slot,
                                          .quota_bytes = replica->quota,
                                          .peers_count = 1,
                                          .peers = {{.id = FAKE_OTHER, .node = 2, .up = true}}};
    if (replica->leaderless)
        ret_status->leaderless_ns = UINT64_C(60000000000);
}

int64_t replica_lease_ttl_min(const struct replica *replica)
{
    (void)replica;
    return 2;
}

uint64_t replica_now(const struct replica *replica)
{
    (void)replica;
    return 1;
}

uint64_t replica_random(struct replica *replica)
{
    replica->random = replica->random * UINT64_C(6364136223846793005) + 1442695040888963407U;
    return replica->random >> 3;
}

struct command_member *replica_members(struct replica *replica, struct arena *arena,
                                       uint32_t *ret_count)
{
    (void)replica;
    struct command_member *members = arena_zero(arena, 2 * sizeof *members);
    members[0].id = FAKE_MEMBER;
    members[0].name = bytes_text("one");
    members[0].peer_urls[0] = bytes_text("http://127.0.0.1:2380");
    members[0].peer_urls_count = 1;
    members[0].client_urls[0] = bytes_text("http://127.0.0.1:2379");
    members[0].client_urls_count = 1;
    members[1].id = FAKE_OTHER;
    members[1].peer_urls[0] = bytes_text("http://127.0.0.1:2382");
    members[1].peer_urls_count = 1;
    *ret_count = 2;
    return members;
}
