/* The harness of support_cluster.h. Events stand in one heap by virtual time; each member's world
 * is a thin layer over the harness and its own fake disk. */
#include "replica/internal.h"
#include "replica/support_cluster_internal.h"

#include "base/heap.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_libc(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

void violate(struct cluster *c, const char *what, uint64_t a, uint64_t b)
{
    if (c->violation[0] == '\0')
        snprintf(c->violation, sizeof c->violation, "%s (%llu, %llu) at %llu ms", what,
                 (unsigned long long)a, (unsigned long long)b, (unsigned long long)(c->now / MS));
}

/* --- A member's world ------------------------------------------------------------------------ */

static struct node *member_of(struct world *world)
{
    return container_of(world, struct node, world);
}

static uint64_t op_now(struct world *world)
{
    return member_of(world)->cluster->now;
}

static uint64_t op_wall(struct world *world)
{
    return op_now(world) / MS;
}

static uint64_t op_random(struct world *world)
{
    return prng_next(&member_of(world)->cluster->prng);
}

static void op_arm(struct world *world, uint64_t deadline)
{
    member_of(world)->timer = deadline;
}

static void op_send(struct world *world, uint16_t to, struct bytes head, struct blob *entry)
{
    struct node *m = member_of(world);
    struct message message;
    if (message_decode(head, &message) == STATUS_OK && message.kind == MESSAGE_LOG)
        check_entry(m, message.slot, entry, "handed out what was not chosen");
    struct cluster *c = m->cluster;
    uint32_t place = (uint32_t)to - 1;
    if (place >= c->count || !m->up[place] || c->cut[m->place][place] ||
        prng_below(&c->prng, 100) < c->loss)
        return;
    struct packet *packet = malloc(sizeof *packet + head.size);
    *packet = (struct packet){.from = m->place,
                              .to = place,
                              .life_from = m->life,
                              .life_to = c->members[place].life,
                              .head_size = head.size};
    memcpy(packet->head, head.data, head.size);
    packet->entry = entry == NULL ? NULL : blob_copy(&c->mem, blob_bytes(entry));
    packet->at = c->now + MS / 10 + prng_below(&c->prng, MS);
    if (prng_below(&c->prng, 50) == 0)
        packet->at += prng_below(&c->prng, 20 * MS);
    /* A link keeps its order; losses stand for connections that broke. */
    if (packet->at < m->arrival[place])
        packet->at = m->arrival[place];
    m->arrival[place] = packet->at;
    struct packet **link = &c->packets;
    while (*link != NULL && (*link)->at <= packet->at)
        link = &(*link)->next;
    packet->next = *link;
    *link = packet;
}

static enum status op_disk_run(struct world *world, struct disk_job *job)
{
    struct fake_disk *disk = member_of(world)->disk;
    return disk->world.ops->disk_run(&disk->world, job);
}

static void op_disk_submit(struct world *world, enum disk_queue queue, struct disk_job *job)
{
    struct fake_disk *disk = member_of(world)->disk;
    disk->world.ops->disk_submit(&disk->world, queue, job);
}

static void op_log(struct world *world, enum log_level level, const char *message,
                   const char *fields)
{
    if (getenv("SYNOD_TEST_LOG") != NULL)
        fprintf(stderr, "%8.3f m%u %d %s%s\n", (double)op_now(world) / 1e9,
                member_of(world)->place + 1, (int)level, message, fields);
}

static const struct world_ops member_ops = {.now = op_now,
                                            .wall_ms = op_wall,
                                            .random = op_random,
                                            .arm = op_arm,
                                            .send = op_send,
                                            .disk_run = op_disk_run,
                                            .disk_submit = op_disk_submit,
                                            .log = op_log};

/* --- Life of a member ------------------------------------------------------------------------ */

static void on_fatal(void *owner, const char *what)
{
    struct node *m = owner;
    (void)what;
    m->failed = true;
}

static void on_ready(void *owner)
{
    (void)owner;
}

static void on_effect(void *owner, const struct effect *effect)
{
    if (effect->kind == EFFECT_DELIVER)
        check_entry(owner, effect->slot, effect->entry, "another entry was delivered");
}

static void on_state(void *owner, uint64_t slot, const struct machine *machine)
{
    check_state(owner, slot, machine);
}

static void tell_peers(struct cluster *c)
{
    for (uint32_t a = 0; a < c->count; a++) {
        for (uint32_t b = 0; b < c->count; b++) {
            struct node *m = &c->members[a];
            bool up = m->replica != NULL && c->members[b].replica != NULL && !c->cut[a][b];
            if (a == b || m->replica == NULL || m->paused || m->up[b] == up)
                continue;
            m->up[b] = up;
            m->events.on_peer(m->events.owner, (uint16_t)(b + 1), up);
        }
    }
}

static void member_start(struct node *m)
{
    struct cluster *c = m->cluster;
    char message[512];
    struct text error = text_of(message, sizeof message);
    struct identity found;
    m->disk->fail_write = 0;
    if (identity_load(&m->world, &error, &found) == STATUS_NOT_FOUND &&
        identity_create(&m->world, &c->mem, &m->identity, &error) != STATUS_OK)
        violate(c, "no identity", m->place, 0);
    struct replica_config config = {.world = &m->world,
                                    .mem = &c->mem,
                                    .identity = &m->identity,
                                    .heartbeat_ns = 100 * MS,
                                    .election_ns = 1000 * MS,
                                    .quota_bytes = UINT64_MAX,
                                    .snapshot_slots = c->snapshot_slots,
                                    .segment_bytes = 256 * 1024,
                                    .record_bytes = 64 * 1024,
                                    .pending_bytes = CLUSTER_PENDING_BYTES,
                                    .log_keep_bytes = 1,
                                    .observer = &m->observer,
                                    .owner = m,
                                    .on_fatal = on_fatal,
                                    .on_ready = on_ready};
    m->observer = (struct replica_observer){
        .owner = m, .on_effect = on_effect, .on_applied = on_state, .on_installed = on_state};
    m->dead = false;
    m->life++;
    m->timer = TIME_NEVER;
    m->paused = false;
    memset(m->up, 0, sizeof m->up);
    error.size = 0;
    if (replica_open(&config, &error, &m->replica) != STATUS_OK) {
        violate(c, message, m->place, 0);
        replica_close(m->replica);
        m->replica = NULL;
        return;
    }
    m->events = replica_events(m->replica);
    replica_start(m->replica);
    tell_peers(c);
}

static struct fake_disk *disk_new(struct cluster *c)
{
    struct fake_disk *disk = calloc(1, sizeof *disk);
    fake_init(disk, prng_next(&c->prng));
    return disk;
}

static void disk_free(struct fake_disk *disk)
{
    fake_release(disk);
    free(disk);
}

static const struct engine_ops *engine = &engine_multipaxos;

void cluster_use_engine(const struct engine_ops *ops)
{
    engine = ops;
}

struct cluster *cluster_new(uint64_t seed, uint32_t members)
{
    struct cluster *c = calloc(1, sizeof *c);
    c->prng = prng_seed(seed);
    c->mem.resize = mem_libc;
    c->count = members;
    for (uint32_t i = 0; i < members; i++) {
        struct node *m = &c->members[i];
        m->world = (struct world){.ops = &member_ops, .mem = &c->mem};
        m->cluster = c;
        m->place = i;
        m->identity = (struct identity){.cluster = 77,
                                        .disk = 1000 + i,
                                        .era = 1,
                                        .engine = engine->id,
                                        .self = (uint16_t)(i + 1),
                                        .members_count = members};
        for (uint32_t k = 0; k < members; k++) {
            m->identity.members[k].id = 100 + k;
            m->identity.members[k].node = (uint16_t)(k + 1);
            snprintf(m->identity.members[k].name, IDENTITY_NAME_MAX, "m%u", k + 1);
        }
        m->disk = disk_new(c);
        member_start(m);
    }
    return c;
}

static void packet_free(struct packet *packet)
{
    blob_drop(packet->entry);
    free(packet);
}

/* Nobody answers the clients of a process that has died. */
static void forget_clients(struct cluster *c, uint32_t member)
{
    for (struct client *client = c->clients; client != NULL; client = client->next) {
        if (client->member == member && !client->done && client->life == c->members[member].life) {
            replica_cancel(&client->request);
            client->done = true;
            c->waiting--;
        }
    }
}

void cluster_crash(struct cluster *c, uint32_t member, bool power)
{
    struct node *m = &c->members[member];
    if (m->replica == NULL)
        return;
    forget_clients(c, member);
    /* What the disk holds is settled at this moment, on a copy. The process that is taken apart
     * below goes on with the original, and nothing that it still does is seen by anybody. */
    struct fake_disk *left = calloc(1, sizeof *left);
    fake_copy(left, m->disk, prng_next(&c->prng));
    if (power)
        fake_crash(left);
    memset(m->up, 0, sizeof m->up);
    m->dead = true;
    replica_halt(m->replica);
    fake_drain(m->disk);
    replica_close(m->replica);
    disk_free(m->disk);
    m->disk = left;
    m->replica = NULL;
    m->failed = false;
    tell_peers(c);
}

void cluster_restart(struct cluster *c, uint32_t member)
{
    if (c->members[member].replica == NULL)
        member_start(&c->members[member]);
}

void cluster_wipe(struct cluster *c, uint32_t member)
{
    struct node *m = &c->members[member];
    cluster_crash(c, member, false);
    disk_free(m->disk);
    m->disk = disk_new(c);
    m->identity.disk = prng_next(&c->prng);
    member_start(m);
}

void cluster_free(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        cluster_crash(c, i, false);
        disk_free(c->members[i].disk);
    }
    while (c->packets != NULL) {
        struct packet *packet = c->packets;
        c->packets = packet->next;
        packet_free(packet);
    }
    while (c->clients != NULL) {
        struct client *client = c->clients;
        c->clients = client->next;
        free(client);
    }
    free(c->decided);
    free(c);
}

/* --- Time ------------------------------------------------------------------------------------ */

static void deliver(struct cluster *c, struct packet *packet)
{
    struct node *m = &c->members[packet->to];
    bool alive = m->replica != NULL && m->life == packet->life_to &&
                 c->members[packet->from].life == packet->life_from;
    if (alive && !c->cut[packet->from][packet->to] && !m->paused) {
        m->events.on_message(m->events.owner, (uint16_t)(packet->from + 1),
                             bytes_of(packet->head, packet->head_size), packet->entry);
        m->events.on_turn(m->events.owner);
    }
    packet_free(packet);
}

static void member_tick(struct cluster *c, struct node *m)
{
    if (m->replica == NULL || m->paused)
        return;
    if (c->now >= m->disk_next && fake_step(m->disk))
        m->disk_next = c->now + 20000 + prng_below(&c->prng, MS / 5 + m->disk_pause);
    if (c->now >= m->timer) {
        m->timer = TIME_NEVER;
        m->timers++;
        m->events.on_timer(m->events.owner);
    }
    m->events.on_turn(m->events.owner);
}

void cluster_run(struct cluster *c, uint64_t ns)
{
    uint64_t end = c->now + ns;
    while (c->now < end && c->violation[0] == '\0') {
        c->now += 100000;
        while (c->packets != NULL && c->packets->at <= c->now) {
            struct packet *packet = c->packets;
            c->packets = packet->next;
            deliver(c, packet);
        }
        for (uint32_t i = 0; i < c->count; i++)
            member_tick(c, &c->members[i]);
        for (uint32_t i = 0; i < c->count; i++) {
            if (c->members[i].failed)
                cluster_crash(c, i, false); /* a member whose disk failed ends */
        }
        if (c->now % (10 * MS) == 0)
            check_leases(c);
    }
}

static int leader_of(struct cluster *c)
{
    for (uint32_t i = 0; i < c->count; i++) {
        struct replica_status status;
        if (c->members[i].replica == NULL || c->members[i].paused)
            continue;
        replica_status(c->members[i].replica, &status);
        if (status.leading)
            return (int)i;
    }
    return -1;
}

int cluster_run_until_leader(struct cluster *c, uint64_t ns)
{
    uint64_t end = c->now + ns;
    int leader = leader_of(c);
    while (leader < 0 && c->now < end && c->violation[0] == '\0') {
        cluster_run(c, MS);
        leader = leader_of(c);
    }
    return leader;
}

bool cluster_run_until_quiet(struct cluster *c, uint64_t ns)
{
    uint64_t end = c->now + ns;
    while (c->waiting > 0 && c->now < end && c->violation[0] == '\0')
        cluster_run(c, MS);
    return c->waiting == 0;
}

/* --- Faults ---------------------------------------------------------------------------------- */

void cluster_pause(struct cluster *c, uint32_t member, bool paused)
{
    c->members[member].paused = paused;
}

void cluster_cut(struct cluster *c, uint32_t from, uint32_t to, bool cut)
{
    c->cut[from][to] = cut;
    tell_peers(c);
}

void cluster_heal(struct cluster *c)
{
    memset(c->cut, 0, sizeof c->cut);
    c->loss = 0;
    for (uint32_t i = 0; i < c->count; i++)
        c->members[i].paused = false;
    for (uint32_t i = 0; i < c->count; i++) {
        c->members[i].disk_pause = 0;
        c->members[i].disk_next = c->now;
        c->members[i].disk->fail_write = 0;
    }
    tell_peers(c);
}

void cluster_set_loss(struct cluster *c, uint32_t percent)
{
    c->loss = percent;
}

void cluster_slow_disk(struct cluster *c, uint32_t member, uint64_t pause)
{
    c->members[member].disk_pause = pause;
}

void cluster_hold_log(struct cluster *c, uint32_t member, bool hold)
{
    c->members[member].disk->hold_log = hold;
}

void cluster_break_disk(struct cluster *c, uint32_t member)
{
    struct fake_disk *disk = c->members[member].disk;
    disk->fail_write = 1 + (uint32_t)prng_below(&c->prng, 4);
}

bool cluster_damage_snapshot(struct cluster *c, uint32_t member)
{
    struct fake_disk *disk = c->members[member].disk;
    const char *newest = "";
    uint32_t count = 0;
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++) {
        const char *name = disk->names[i].name;
        if (disk->names[i].live == NULL || strstr(name, ".snap") == NULL)
            continue;
        count++;
        if (strcmp(name, newest) > 0)
            newest = name;
    }
    if (count < 2)
        return false;
    uint64_t size;
    uint8_t *file = fake_file(disk, newest, &size);
    file[size / 2] ^= 1;
    return true;
}

void cluster_damage_log(struct cluster *c, uint32_t member)
{
    struct fake_disk *disk = c->members[member].disk;
    for (uint32_t i = 0; i < FAKE_FILES_MAX; i++) {
        if (disk->names[i].live == NULL || strstr(disk->names[i].name, ".log") == NULL)
            continue;
        uint64_t size;
        uint8_t *file = fake_file(disk, disk->names[i].name, &size);
        for (uint64_t at = 4096; at < size; at++) /* behind the segment's header */
            file[at] ^= file[at] != 0;
    }
}

uint64_t cluster_timers(const struct cluster *c, uint32_t member)
{
    return c->members[member].timers;
}

void cluster_set_value_size(struct cluster *c, uint32_t size_max)
{
    c->value_size_max = size_max;
}

void cluster_set_snapshot_slots(struct cluster *c, uint64_t slots)
{
    c->snapshot_slots = slots;
}

/* --- What the tests look at ------------------------------------------------------------------ */

static void check_member(struct cluster *c, struct node *m, const struct machine *first)
{
    struct machine *machine = replica_machine(m->replica);
    if (machine_slot(machine) != machine_slot(first) ||
        machine_digest(machine) != machine_digest(first))
        violate(c, "members differ at the end", machine_slot(machine), machine_slot(first));
    for (uint32_t key = 0; key < CLUSTER_KEYS; key++) {
        struct kv kv;
        char raw[8];
        if (c->acked_revision[key] == 0)
            continue;
        if (!store_get(machine_store(machine), key_of(key, raw), &kv))
            violate(c, "an acknowledged key is gone", m->place, key);
        else if (kv.mod_revision < c->acked_revision[key])
            violate(c, "an acknowledged write is lost", (uint64_t)kv.mod_revision,
                    (uint64_t)c->acked_revision[key]);
        else if (kv.mod_revision == c->acked_revision[key] &&
                 memcmp(kv.value.data, &c->acked_value[key], 8) != 0)
            violate(c, "a revision has another value", m->place, key);
    }
}

void cluster_check_end(struct cluster *c)
{
    const struct machine *first = NULL;
    for (uint32_t i = 0; i < c->count; i++) {
        struct node *m = &c->members[i];
        if (m->replica == NULL)
            continue;
        uint64_t leases = store_leases(machine_store(replica_machine(m->replica)));
        if (leases != 0)
            violate(c, "leases outlived their time", m->place, leases);
        if (first == NULL)
            first = replica_machine(m->replica);
        check_member(c, m, first);
    }
}

struct prng *cluster_prng(struct cluster *c)
{
    return &c->prng;
}

uint64_t cluster_now(const struct cluster *c)
{
    return c->now;
}

bool cluster_alive(const struct cluster *c, uint32_t member)
{
    return c->members[member].replica != NULL;
}

struct replica *cluster_replica(struct cluster *c, uint32_t member)
{
    return c->members[member].replica;
}

uint64_t cluster_slot(struct cluster *c, uint32_t member)
{
    return machine_slot(replica_machine(c->members[member].replica));
}

uint64_t cluster_journal_pending(struct cluster *c, uint32_t member)
{
    return journal_pending_bytes(c->members[member].replica->journal);
}

void cluster_ask_log(struct cluster *c, uint32_t from, uint32_t member, uint64_t slot)
{
    struct node *m = &c->members[member];
    uint8_t raw[MESSAGE_HEAD_MAX];
    struct writer w = writer_of(raw, sizeof raw);
    struct message ask = {.kind = MESSAGE_FETCH,
                          .disk = c->members[from].identity.disk,
                          .id = prng_next(&c->prng),
                          .slot = slot};
    message_encode(&w, &ask);
    m->events.on_message(m->events.owner, (uint16_t)(from + 1), writer_bytes(&w), NULL);
}

bool cluster_snapshot_under_way(struct cluster *c, uint32_t member)
{
    return c->members[member].replica->snapshots.slot_begun != 0;
}

uint64_t cluster_snapshot_size(struct cluster *c, uint32_t member)
{
    return c->members[member].replica->snapshots.size;
}

uint64_t cluster_unwritten(struct cluster *c, uint32_t member)
{
    const struct snapshot_receiver *receiver = c->members[member].replica->catchup.fetch.receiver;
    return receiver == NULL ? 0 : snapshot_receive_unwritten(receiver);
}

uint64_t cluster_acknowledged(const struct cluster *c)
{
    return c->acknowledged;
}

uint64_t cluster_reads_checked(const struct cluster *c)
{
    return c->reads_checked;
}

const char *cluster_violation(const struct cluster *c)
{
    return c->violation[0] == '\0' ? NULL : c->violation;
}
