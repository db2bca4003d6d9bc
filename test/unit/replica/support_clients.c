/* The harness's clients: they write, read, compact, and hold leases through some member, and judge
 * every answer that they get. Also what is compared between members while the cluster runs.
 *
 * The one invariant: a client only holds the cluster to what it was told. */
#include "replica/support_cluster_internal.h"

#include "base/crc32c.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SEC (1000 * MS)

struct bytes key_of(uint32_t key, char raw[8])
{
    snprintf(raw, 8, "k%02u", key % 100);
    return bytes_of(raw, 3);
}

static struct client *client_new(struct cluster *c, uint32_t member, request_done_fn done)
{
    struct client *client = calloc(1, sizeof *client);
    client->cluster = c;
    client->member = member;
    client->life = c->members[member].life;
    client->begun = c->now;
    client->key = (uint32_t)prng_below(&c->prng, CLUSTER_KEYS);
    client->next = c->clients;
    c->clients = client;
    c->waiting++;
    request_init(&client->request, done);
    return client;
}

static void put_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    struct cluster *c = client->cluster;
    client->done = true;
    c->waiting--;
    if (status != STATUS_OK)
        return;
    if (result->refusal != REFUSAL_NONE) {
        violate(c, "a put was refused", (uint64_t)result->refusal, 0);
        return;
    }
    c->acknowledged++;
    if (result->revision > c->acked_revision[client->key]) {
        c->acked_revision[client->key] = result->revision;
        c->acked_value[client->key] = client->value;
    }
    if (result->revision > c->revision_max)
        c->revision_max = result->revision;
}

void cluster_put(struct cluster *c, uint32_t member)
{
    struct node *m = &c->members[member];
    if (m->replica == NULL || m->paused)
        return;
    struct client *client = client_new(c, member, put_done);
    char raw[8];
    client->value = ++c->value_next;
    struct command command = {.kind = COMMAND_PUT};
    command.put.key = key_of(client->key, raw);
    uint8_t value[CLUSTER_VALUE_MAX] = {0};
    memcpy(value, &client->value, sizeof client->value);
    uint64_t more = c->value_size_max == 0 ? 0 : prng_below(&c->prng, c->value_size_max);
    command.put.value = bytes_of(value, sizeof client->value + more);
    replica_submit(m->replica, &client->request, &command);
}

static void read_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    struct cluster *c = client->cluster;
    (void)result;
    struct replica *replica = c->members[client->member].replica;
    if (status == STATUS_OK && !replica_read_holds(replica, request)) {
        replica_read(replica, request);
        return;
    }
    client->done = true;
    c->waiting--;
    if (status != STATUS_OK)
        return;
    struct store *store = machine_store(replica_machine(c->members[client->member].replica));
    if (store_revision(store) < client->floor)
        violate(c, "a stale read", (uint64_t)store_revision(store), (uint64_t)client->floor);
    if (store_revision(store) > c->revision_max)
        c->revision_max = store_revision(store);
    c->reads_checked++;
}

void cluster_read(struct cluster *c, uint32_t member)
{
    struct node *m = &c->members[member];
    if (m->replica == NULL || m->paused)
        return;
    struct client *client = client_new(c, member, read_done);
    client->floor = c->revision_max;
    replica_read(m->replica, &client->request);
}

static void ignore_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    (void)status;
    (void)result;
    client->done = true;
    client->cluster->waiting--;
}

void cluster_compact(struct cluster *c, uint32_t member)
{
    struct node *m = &c->members[member];
    if (m->replica == NULL || m->paused)
        return;
    struct command command = {.kind = COMMAND_COMPACT};
    command.compact.revision = store_revision(machine_store(replica_machine(m->replica))) - 5;
    if (command.compact.revision > 0)
        replica_submit(m->replica, &client_new(c, member, ignore_done)->request, &command);
}

void cluster_transfer(struct cluster *c, uint32_t member, uint32_t to)
{
    struct node *m = &c->members[member];
    if (m->replica != NULL && !m->paused)
        replica_transfer(m->replica, &client_new(c, member, ignore_done)->request, 100 + to);
}

/* --- Leases ---------------------------------------------------------------------------------- */

static struct bytes lease_key(int64_t id, char raw[16])
{
    return bytes_of(raw, (size_t)snprintf(raw, 16, "lease%d", (int)id));
}

static struct client_lease *lease_of(struct cluster *c, int64_t id)
{
    for (uint32_t i = 0; i < c->leases_count; i++) {
        if (c->leases[i].id == id)
            return &c->leases[i];
    }
    return NULL;
}

static void grant_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    struct cluster *c = client->cluster;
    client->done = true;
    c->waiting--;
    if (status != STATUS_OK || result->refusal != REFUSAL_NONE || c->leases_count == LEASES_MAX)
        return;
    struct replica *replica = c->members[client->member].replica;
    c->leases[c->leases_count++] =
        (struct client_lease){.id = client->lease,
                              .ttl = client->ttl,
                              .slot = machine_slot(replica_machine(replica)) + 1,
                              .alive_until = client->begun + (uint64_t)client->ttl * SEC};
    char raw[16];
    struct command command = {.kind = COMMAND_PUT};
    command.put.key = lease_key(client->lease, raw);
    command.put.lease = client->lease;
    /* From inside the callback, as fronts do. */
    replica_submit(replica, &client_new(c, client->member, ignore_done)->request, &command);
}

void cluster_grant(struct cluster *c, uint32_t member)
{
    struct node *m = &c->members[member];
    if (m->replica == NULL || m->paused || c->leases_count == LEASES_MAX)
        return;
    struct client *client = client_new(c, member, grant_done);
    client->lease = ++c->lease_next;
    client->ttl = 2 + (int64_t)prng_below(&c->prng, 4);
    struct command command = {.kind = COMMAND_LEASE_GRANT};
    command.lease.id = client->lease;
    command.lease.ttl = client->ttl;
    replica_submit(m->replica, &client->request, &command);
}

static void renew_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    struct cluster *c = client->cluster;
    (void)result;
    client->done = true;
    c->waiting--;
    struct client_lease *lease = lease_of(c, client->lease);
    if (status != STATUS_OK || lease == NULL || lease->revoking)
        return;
    if (request->value.ttl <= 0) {
        if (c->now < lease->alive_until)
            violate(c, "a lease that lives was not renewed", (uint64_t)lease->id, 0);
        return;
    }
    if (request->value.ttl != lease->ttl || request->value.ttl_granted != lease->ttl)
        violate(c, "a renewal told another time to live", (uint64_t)request->value.ttl,
                (uint64_t)lease->ttl);
    if (client->begun + (uint64_t)lease->ttl * SEC > lease->alive_until)
        lease->alive_until = client->begun + (uint64_t)lease->ttl * SEC;
    c->leases_lived++;
}

static void query_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    struct cluster *c = client->cluster;
    (void)result;
    client->done = true;
    c->waiting--;
    struct client_lease *lease = lease_of(c, client->lease);
    if (status == STATUS_OK && lease != NULL && !lease->revoking && request->value.ttl < 0 &&
        c->now < lease->alive_until)
        violate(c, "a lease that lives is not known", (uint64_t)lease->id, 0);
}

static void revoke_done(struct request *request, enum status status, const struct result *result)
{
    struct client *client = container_of(request, struct client, request);
    struct cluster *c = client->cluster;
    (void)result;
    client->done = true;
    c->waiting--;
    struct store *store = machine_store(replica_machine(c->members[client->member].replica));
    struct lease_info info;
    struct kv kv;
    char raw[16];
    if (status == STATUS_OK && (store_lease_get(store, client->lease, &info) ||
                                store_get(store, lease_key(client->lease, raw), &kv)))
        violate(c, "a revoked lease left something behind", (uint64_t)client->lease, 0);
}

void cluster_touch_lease(struct cluster *c, uint32_t member)
{
    struct node *m = &c->members[member];
    if (m->replica == NULL || m->paused || c->leases_count == 0)
        return;
    uint32_t recent = c->leases_count < 4 ? c->leases_count : 4;
    struct client_lease *lease =
        &c->leases[c->leases_count - 1 - (uint32_t)prng_below(&c->prng, recent)];
    uint64_t what = prng_below(&c->prng, 8);
    request_done_fn done = what == 0 ? revoke_done : what < 3 ? query_done : renew_done;
    struct client *client = client_new(c, member, done);
    client->lease = lease->id;
    if (what == 0) {
        lease->revoking = true;
        struct command command = {.kind = COMMAND_LEASE_REVOKE};
        command.lease.id = lease->id;
        replica_submit(m->replica, &client->request, &command);
    } else if (what < 3) {
        replica_lease_query(m->replica, &client->request, lease->id);
    } else {
        replica_lease_renew(m->replica, &client->request, lease->id);
    }
}

/* --- Comparing members ------------------------------------------------------------------------ */

void check_leases(struct cluster *c)
{
    for (uint32_t i = 0; i < c->leases_count; i++) {
        const struct client_lease *lease = &c->leases[i];
        struct lease_info info;
        if (lease->revoking || c->now >= lease->alive_until)
            continue;
        for (uint32_t k = 0; k < c->count; k++) {
            struct replica *replica = c->members[k].replica;
            if (replica == NULL || machine_slot(replica_machine(replica)) < lease->slot)
                continue;
            if (!store_lease_get(machine_store(replica_machine(replica)), lease->id, &info))
                violate(c, "a lease ended early", (uint64_t)lease->id, k);
        }
    }
}

static struct decided *decided_at(struct cluster *c, uint64_t slot)
{
    if (slot >= c->decided_capacity) {
        uint64_t capacity = 2 * slot + 1024;
        c->decided = realloc(c->decided, capacity * sizeof *c->decided);
        memset(c->decided + c->decided_capacity, 0,
               (capacity - c->decided_capacity) * sizeof *c->decided);
        c->decided_capacity = capacity;
    }
    return &c->decided[slot];
}

void check_entry(struct node *m, uint64_t slot, struct blob *entry, const char *what)
{
    if (m->dead)
        return;
    struct decided *decided = decided_at(m->cluster, slot);
    uint64_t hash = 1 + (uint64_t)crc32c(0, blob_bytes(entry)) + ((uint64_t)(entry != NULL) << 32);
    if (decided->entry == 0)
        decided->entry = hash;
    else if (decided->entry != hash)
        violate(m->cluster, what, m->place, slot);
}

void check_state(struct node *m, uint64_t slot, const struct machine *machine)
{
    if (m->dead)
        return;
    struct decided *decided = decided_at(m->cluster, slot);
    uint64_t digest = machine_digest(machine) | 1;
    if (decided->digest == 0)
        decided->digest = digest;
    else if (decided->digest != digest)
        violate(m->cluster, "members differ", m->place, slot);
}
