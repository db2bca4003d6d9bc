/* Applying: entry to batch, batch to commands, command to changes of the store.
 *
 * Nothing here may depend on anything but the entries and the state: not on who is listening (that
 * only decides whether results are built), not on time, not on addresses in memory. */
#include "base/crc32c.h"
#include "base/hash.h"
#include "base/panic.h"
#include "base/planted.h"
#include "service/command_internal.h"
#include "service/machine_internal.h"
#include "service/txn.h"

#include <string.h>

#define BATCH_FORMAT 1u
/* A command is at least its length and its kind. */
#define COMMAND_SIZE_MIN 6u

void batch_header_store(uint8_t at[BATCH_HEADER_SIZE], const struct batch_header *header)
{
    struct writer w = writer_of(at, BATCH_HEADER_SIZE);
    write_u16(&w, BATCH_FORMAT);
    write_u16(&w, 0);
    write_u16(&w, header->origin);
    write_u64(&w, header->incarnation);
    write_u64(&w, header->sequence);
    write_u64(&w, header->wall_ms);
    write_u32(&w, header->count);
    ensure(!w.failed && writer_size(&w) == BATCH_HEADER_SIZE);
}

enum status batch_header_load(struct bytes entry, struct batch_header *ret_header)
{
    struct reader r = reader_of(entry);
    uint16_t format = read_u16(&r);
    uint16_t flags = read_u16(&r);
    ret_header->origin = read_u16(&r);
    ret_header->incarnation = read_u64(&r);
    ret_header->sequence = read_u64(&r);
    ret_header->wall_ms = read_u64(&r);
    ret_header->count = read_u32(&r);
    if (r.failed || format != BATCH_FORMAT || flags != 0 || ret_header->sequence == 0)
        return STATUS_INVALID;
    return ret_header->count <= reader_left(&r) / COMMAND_SIZE_MIN ? STATUS_OK : STATUS_INVALID;
}

struct machine *machine_new(const struct machine_config *config)
{
    struct machine *machine = mem_zero(config->mem, sizeof *machine);
    machine->mem = config->mem;
    machine->config = *config;
    machine->store = store_new(config->mem);
    arena_init(&machine->scratch, config->mem);
    cluster_init(&machine->cluster, config->mem);
    return machine;
}

void machine_free(struct machine *machine)
{
    if (machine == NULL)
        return;
    cluster_release(&machine->cluster);
    arena_release(&machine->scratch);
    store_free(machine->store);
    mem_free(machine->mem, machine->sessions, machine->sessions_count * sizeof *machine->sessions);
    mem_free(machine->mem, machine, sizeof *machine);
}

void machine_listen(struct machine *machine, const struct machine_events *events)
{
    machine->events = *events;
    machine->listening = true;
}

/* --- One command --------------------------------------------------------------------------------
 */

/* A put by itself misses its lease before it misses its key, one in a transaction the other way
 * round: of two reasons, clients of etcd see this one. */
static enum refusal put_check(const struct store *store, const struct put *put)
{
    struct lease_info lease;
    if (put->lease != 0 && !store_lease_get(store, put->lease, &lease))
        return REFUSAL_LEASE_NOT_FOUND;
    return store_put_check(store, put);
}

static void apply_put(struct machine *machine, const struct put *put, struct result *result)
{
    result->refusal = put_check(machine->store, put);
    if (result->refusal != REFUSAL_NONE)
        return;
    store_begin(machine->store);
    txn_put(machine->store, put, result);
    store_commit(machine->store);
}

static void apply_expire(struct machine *machine, const struct command *command)
{
    const struct cluster *cluster = &machine->cluster;
    /* A member that lost the office between proposing and now may have timed the lease wrongly. */
    if ((command->expire.node != cluster->keeper ||
         command->expire.round != cluster->keeper_round) &&
        !planted(SERVICE_EXPIRE_ANY_KEEPER))
        return;
    for (uint32_t i = 0; i < command->expire.count; i++) {
        int64_t id = command->expire.ids[i];
        /* It may have been revoked and granted anew meanwhile. */
        if (!store_lease_is(machine->store, id, command->expire.generations[i]) &&
            !planted(SERVICE_EXPIRE_ANY_GENERATION))
            continue;
        store_begin(machine->store);
        store_lease_revoke(machine->store, id);
        store_commit(machine->store);
    }
}

static void apply_lease(struct machine *machine, const struct command *command,
                        struct result *result)
{
    if (command->kind == COMMAND_LEASE_EXPIRE) {
        apply_expire(machine, command);
        return;
    }
    store_begin(machine->store);
    if (command->kind == COMMAND_LEASE_GRANT)
        result->refusal = store_lease_grant(machine->store, command->lease.id, command->lease.ttl);
    else
        result->refusal = store_lease_revoke(machine->store, command->lease.id);
    store_commit(machine->store);
    result->lease.id = command->lease.id;
    result->lease.ttl = command->kind == COMMAND_LEASE_GRANT ? command->lease.ttl : 0;
    if (planted(SERVICE_GRANT_TOLD_LONGER))
        result->lease.ttl++;
}

/* This member's own digest at a slot, if it is remembered. */
static const struct digest_point *machine_point(const struct machine *machine, uint64_t slot)
{
    for (uint32_t i = 0; i < DIGEST_POINTS; i++) {
        if (machine->points[i].slot == slot && slot != 0)
            return &machine->points[i];
    }
    return NULL;
}

static void apply_digest(struct machine *machine, const struct command *command)
{
    struct statement statement = {command->digest.member, command->digest.slot,
                                  command->digest.digest};
    struct verdict verdict =
        cluster_state_digest(&machine->cluster, &statement, machine->config.members);
    const struct digest_point *own = machine_point(machine, verdict.slot);
    if (verdict.reached && own != NULL && own->digest != verdict.digest &&
        machine->events.on_divergence != NULL)
        machine->events.on_divergence(machine->events.owner, verdict.slot, own->digest,
                                      verdict.digest);
}

static void apply_cluster(struct machine *machine, const struct command *command)
{
    struct cluster *cluster = &machine->cluster;
    if (command->kind == COMMAND_KEEPER) {
        bool taken = cluster_keep(cluster, command->keeper.node, command->keeper.round);
        if (taken && machine->events.on_keeper != NULL)
            machine->events.on_keeper(machine->events.owner, command->keeper.node,
                                      command->keeper.round);
    } else if (command->kind == COMMAND_MEMBER) {
        cluster_publish(cluster, &command->member);
    } else if (command->kind == COMMAND_ALARM) {
        struct alarm alarm = {command->alarm.member, command->alarm.alarm};
        cluster_alarm(cluster, command->alarm.activate, &alarm);
    } else {
        apply_digest(machine, command);
    }
}

static void apply_command(struct machine *machine, const struct command *command, bool results,
                          struct result *result)
{
    struct store *store = machine->store;
    switch (command->kind) {
    case COMMAND_PUT:
        apply_put(machine, &command->put, result);
        break;
    case COMMAND_DELETE:
        store_begin(store);
        txn_delete(store, command, &machine->scratch, results, result);
        store_commit(store);
        break;
    case COMMAND_TXN:
        store_begin(store);
        txn_run(store, &command->txn, &machine->scratch, results, result);
        store_commit(store);
        break;
    case COMMAND_COMPACT:
        if (!planted(SERVICE_APPLY_BY_MEMBER) || machine->config.self % 2 == 0)
            result->refusal = store_compact(store, command->compact.revision);
        break;
    case COMMAND_LEASE_GRANT:
    case COMMAND_LEASE_REVOKE:
    case COMMAND_LEASE_EXPIRE:
        apply_lease(machine, command, result);
        break;
    case COMMAND_KEEPER:
    case COMMAND_MEMBER:
    case COMMAND_ALARM:
    case COMMAND_DIGEST:
        apply_cluster(machine, command);
        break;
    case COMMAND_RANGE:
        result->refusal = REFUSAL_UNKNOWN_COMMAND;
        break;
    }
}

/* Decodes, checks and carries out one command. */
static void apply_encoded(struct machine *machine, struct bytes encoded, bool results,
                          struct result *result)
{
    struct command command;
    *result = (struct result){0};
    if (command_decode(encoded, &machine->scratch, &command) != STATUS_OK) {
        result->refusal = REFUSAL_UNKNOWN_COMMAND;
    } else {
        result->kind = command.kind;
        result->refusal = command_check_fields(&command, UINT32_MAX);
        if (result->refusal == REFUSAL_NONE && cluster_alarmed(&machine->cluster, ALARM_NO_SPACE) &&
            command_cost(&command) > 0)
            result->refusal = REFUSAL_NO_SPACE;
        if (result->refusal == REFUSAL_NONE)
            apply_command(machine, &command, results, result);
    }
    result->revision = store_revision(machine->store);
}

/* --- One batch ----------------------------------------------------------------------------------
 */

static uint32_t session_place(const struct machine *machine, uint16_t origin)
{
    uint32_t low = 0;
    uint32_t high = machine->sessions_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (machine->sessions[middle].origin < origin)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct session *machine_session_open(struct machine *machine, uint16_t origin)
{
    uint32_t at = session_place(machine, origin);
    uint32_t count = machine->sessions_count;
    if (at < count && machine->sessions[at].origin == origin)
        return &machine->sessions[at];
    machine->sessions =
        mem_resize(machine->mem, machine->sessions, count * sizeof *machine->sessions,
                   (count + 1) * sizeof *machine->sessions);
    memmove(machine->sessions + at + 1, machine->sessions + at,
            (count - at) * sizeof *machine->sessions);
    machine->sessions[at] = (struct session){.origin = origin};
    machine->sessions_count++;
    return &machine->sessions[at];
}

uint64_t machine_session(const struct machine *machine, uint16_t origin, uint64_t incarnation)
{
    uint32_t at = session_place(machine, origin);
    if (at == machine->sessions_count || machine->sessions[at].origin != origin ||
        machine->sessions[at].incarnation != incarnation)
        return 0;
    return machine->sessions[at].sequence;
}

/* Do the commands fill the entry exactly? */
static bool batch_framed(struct bytes entry, uint32_t count)
{
    struct reader r = reader_of(entry);
    read_bytes(&r, BATCH_HEADER_SIZE);
    for (uint32_t i = 0; i < count && !r.failed; i++)
        read_bytes(&r, read_u32(&r));
    return reader_done(&r);
}

/* Takes the batch's turn in its session, if it is its turn. */
static enum batch_outcome batch_admit(struct machine *machine, const struct batch_header *header)
{
    struct session *session = machine_session_open(machine, header->origin);
    if (header->incarnation < session->incarnation)
        return BATCH_DUPLICATE;
    uint64_t last = header->incarnation == session->incarnation ? session->sequence : 0;
    if (header->sequence <= last && !planted(SERVICE_DUPLICATE_APPLIED))
        return BATCH_DUPLICATE;
    if (header->sequence > last + 1 && !planted(SERVICE_GAP_APPLIED))
        return BATCH_GAP;
    session->incarnation = header->incarnation;
    session->sequence = header->sequence;
    return BATCH_APPLIED;
}

static void batch_apply(struct machine *machine, const struct batch_header *header,
                        struct bytes entry, bool own)
{
    const struct machine_events *events = &machine->events;
    struct reader r = reader_of(entry);
    read_bytes(&r, BATCH_HEADER_SIZE);
    for (uint32_t i = 0; i < header->count; i++) {
        struct result result;
        apply_encoded(machine, read_bytes(&r, read_u32(&r)), own, &result);
        machine->digest = hash_fold(machine->digest, (uint64_t)result.refusal);
        if (own && events->on_result != NULL)
            events->on_result(events->owner, header->sequence, i, &result);
    }
}

/* Is this the listener's own batch, whose results it waits for? */
static bool batch_own(const struct machine *machine, const struct batch_header *header)
{
    return machine->listening && header->origin == machine->events.node &&
           header->incarnation == machine->events.incarnation;
}

static enum batch_outcome machine_apply_batch(struct machine *machine, struct bytes entry)
{
    struct batch_header header;
    if (batch_header_load(entry, &header) != STATUS_OK) {
        machine->invalid_batches++;
        return BATCH_INVALID;
    }
    bool own = batch_own(machine, &header);
    enum batch_outcome outcome = BATCH_INVALID;
    if (batch_framed(entry, header.count))
        outcome = batch_admit(machine, &header);
    else
        machine->invalid_batches++;
    if (outcome == BATCH_APPLIED)
        batch_apply(machine, &header, entry, own);
    if (own && machine->events.on_batch != NULL)
        machine->events.on_batch(machine->events.owner, header.sequence, outcome);
    return outcome;
}

void machine_apply(struct machine *machine, uint64_t slot, struct bytes entry)
{
    ensure(slot == machine->slot + 1);
    machine->digest = hash_fold(machine->digest, slot);
    if (entry.size > 0) {
        enum batch_outcome outcome = machine_apply_batch(machine, entry);
        if (outcome == BATCH_APPLIED || !planted(MULTIPAXOS_BARRIER_REPEATS))
            machine->digest =
                hash_fold(machine->digest, (uint64_t)outcome << 32 | crc32c(0, entry));
        arena_reset(&machine->scratch);
    }
    machine->slot = slot;
    if (slot % MACHINE_DIGEST_INTERVAL == 0) {
        struct digest_point point = {slot, machine_digest(machine)};
        machine->points[machine->points_count++ % DIGEST_POINTS] = point;
    }
}

uint64_t machine_slot(const struct machine *machine)
{
    return machine->slot;
}

struct store *machine_store(struct machine *machine)
{
    return machine->store;
}

void machine_txn_read(struct machine *machine, const struct txn *txn, struct arena *arena,
                      struct result *ret_result)
{
    struct command command = {.kind = COMMAND_TXN, .txn = *txn};
    ensure(command_txn_read_only(txn));
    enum refusal refusal = command_check_fields(&command, UINT32_MAX);
    if (refusal == REFUSAL_NONE) {
        txn_run(machine->store, txn, arena, true, ret_result);
        return;
    }
    *ret_result = (struct result){
        .kind = COMMAND_TXN, .refusal = refusal, .revision = store_revision(machine->store)};
}

uint64_t machine_digest(const struct machine *machine)
{
    uint64_t self = planted(SERVICE_DIGEST_OF_SELF) ? machine->config.self : 0;
    return hash_fold(machine->digest, store_digest(machine->store)) ^ self;
}

void machine_digest_point(const struct machine *machine, uint64_t *ret_slot, uint64_t *ret_digest)
{
    struct digest_point none = {0};
    const struct digest_point *point = &none;
    if (machine->points_count > 0)
        point = &machine->points[(machine->points_count - 1) % DIGEST_POINTS];
    *ret_slot = point->slot;
    *ret_digest = point->digest;
}

const struct alarm *machine_alarms(const struct machine *machine, uint32_t *ret_count)
{
    *ret_count = machine->cluster.alarms_count;
    return machine->cluster.alarms;
}

const struct command_member *machine_members(const struct machine *machine, uint32_t *ret_count)
{
    *ret_count = machine->cluster.members_count;
    return machine->cluster.members;
}

uint64_t machine_invalid_batches(const struct machine *machine)
{
    return machine->invalid_batches;
}
