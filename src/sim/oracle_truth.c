/* The truth's state, its log of events, and the commands but for transactions. */
#include "sim/oracle_truth.h"

#include "base/hash.h"
#include "base/panic.h"
#include "service/command_internal.h"
#include "sim/oracle_internal.h"

#include <string.h>

struct truth *truth_new(struct mem *mem)
{
    struct truth *t = mem_zero(mem, sizeof *t);
    t->mem = mem;
    t->revision = 1;
    arena_init(&t->arena, mem);
    arena_init(&t->scratch, mem);
    map_init(&t->leases_by_id, mem);
    t->slots = sim_grow(mem, t->slots, &t->slots_capacity, 1, sizeof *t->slots);
    t->slots[0] = (struct truth_slot){.revision = 1};
    t->revisions = sim_grow(mem, t->revisions, &t->revisions_capacity, 2, sizeof *t->revisions);
    return t;
}

void truth_free(struct truth *t)
{
    map_release(&t->leases_by_id);
    arena_release(&t->scratch);
    arena_release(&t->arena);
    mem_free(t->mem, t->keys, t->keys_capacity * sizeof *t->keys);
    mem_free(t->mem, t->events, t->events_capacity * sizeof *t->events);
    mem_free(t->mem, t->revisions, t->revisions_capacity * sizeof *t->revisions);
    mem_free(t->mem, t->slots, t->slots_capacity * sizeof *t->slots);
    mem_free(t->mem, t->leases, t->leases_capacity * sizeof *t->leases);
    mem_free(t->mem, t, sizeof *t);
}

/* --- Looking -------------------------------------------------------------------------------- */

uint32_t truth_find(const struct truth *t, struct bytes key)
{
    uint32_t low = 0;
    uint32_t high = t->keys_count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (bytes_compare(t->keys[middle]->key, key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct truth_key *truth_key(const struct truth *t, struct bytes key)
{
    uint32_t at = truth_find(t, key);
    bool found = at < t->keys_count && bytes_equal(t->keys[at]->key, key);
    return found ? t->keys[at] : NULL;
}

const struct truth_version *truth_living(const struct truth_key *key)
{
    bool lives = key != NULL && key->newest != NULL && !key->newest->deleted;
    return lives ? key->newest : NULL;
}

const struct truth_version *truth_version_at(const struct truth_key *key, int64_t revision)
{
    const struct truth_version *v = key->newest;
    while (v != NULL && v->mod > revision)
        v = v->before;
    return v == NULL || v->deleted ? NULL : v;
}

const struct truth_slot *truth_at_slot(const struct truth *t, uint64_t slot)
{
    ensure(slot <= t->slot);
    return &t->slots[slot];
}

uint32_t truth_seek(const struct truth *t, int64_t revision)
{
    if (revision <= 1)
        return 0;
    return revision > t->revision ? t->events_count : t->revisions[revision];
}

uint64_t truth_slot_of(const struct truth *t, int64_t revision)
{
    return revision <= 1 || revision > t->revision ? 0 : t->events[t->revisions[revision]]->slot;
}

struct truth_lease *truth_lease(const struct truth *t, int64_t id)
{
    return map_get(&t->leases_by_id, (uint64_t)id);
}

bool truth_lease_lives(const struct truth *t, int64_t id)
{
    const struct truth_lease *lease = truth_lease(t, id);
    return lease != NULL && lease->slot_ended == 0;
}

/* --- Changing ------------------------------------------------------------------------------- */

static struct truth_key *key_make(struct truth *t, struct bytes bytes)
{
    uint32_t at = truth_find(t, bytes);
    if (at < t->keys_count && bytes_equal(t->keys[at]->key, bytes))
        return t->keys[at];
    t->keys =
        sim_grow(t->mem, t->keys, &t->keys_capacity, t->keys_count + 1, sizeof(struct truth_key *));
    memmove(t->keys + at + 1, t->keys + at, (t->keys_count - at) * sizeof(struct truth_key *));
    struct truth_key *key = arena_zero(&t->arena, sizeof *key);
    key->key = arena_copy(&t->arena, bytes);
    t->keys[at] = key;
    t->keys_count++;
    return key;
}

static struct truth_version *change(struct truth *t, struct truth_key *key)
{
    struct truth_version *v = arena_zero(&t->arena, sizeof *v);
    v->key = key;
    v->before = key->newest;
    v->mod = t->revision + 1;
    v->slot = t->slot + 1;
    key->newest = v;
    t->events = sim_grow(t->mem, t->events, &t->events_capacity, t->events_count + 1,
                         sizeof(struct truth_version *));
    t->events[t->events_count++] = v;
    t->open++;
    return v;
}

void truth_put(struct truth *t, const struct put *put)
{
    struct truth_key *key = key_make(t, put->key);
    const struct truth_version *before = truth_living(key);
    struct truth_version *v = change(t, key);
    v->create = before == NULL ? v->mod : before->create;
    v->number = before == NULL ? 1 : before->number + 1;
    v->lease = put->ignore_lease && before != NULL ? before->lease : put->lease;
    if (put->ignore_value && before != NULL)
        v->value = before->value;
    else
        v->value = arena_copy(&t->arena, put->value);
    t->keys_live += before == NULL;
}

static void key_delete(struct truth *t, struct truth_key *key)
{
    change(t, key)->deleted = true;
    t->keys_live--;
}

void truth_delete(struct truth *t, const struct key_range *range)
{
    for (uint32_t i = truth_find(t, range->key); i < t->keys_count; i++) {
        if (!key_range_contains(range, t->keys[i]->key))
            break;
        if (truth_living(t->keys[i]) != NULL)
            key_delete(t, t->keys[i]);
    }
}

/* What changed since the last call is one revision. */
static void close_revision(struct truth *t)
{
    if (t->open == 0)
        return;
    t->revision++;
    t->revisions = sim_grow(t->mem, t->revisions, &t->revisions_capacity, (uint32_t)t->revision + 1,
                            sizeof *t->revisions);
    t->revisions[t->revision] = t->events_count - t->open;
    t->open = 0;
}

static enum refusal lease_grant(struct truth *t, int64_t id, int64_t ttl)
{
    if (truth_lease_lives(t, id))
        return REFUSAL_LEASE_EXISTS;
    struct truth_lease *lease = arena_zero(&t->arena, sizeof *lease);
    *lease = (struct truth_lease){
        .id = id, .ttl = ttl, .slot_granted = t->slot + 1, .granted_ns = t->now};
    map_put(&t->leases_by_id, (uint64_t)id, lease);
    t->leases = sim_grow(t->mem, t->leases, &t->leases_capacity, t->leases_count + 1,
                         sizeof(struct truth_lease *));
    t->leases[t->leases_count++] = lease;
    lease->generation = t->leases_count;
    t->leases_live++;
    return REFUSAL_NONE;
}

static void lease_end(struct truth *t, int64_t id, bool expired)
{
    struct truth_lease *lease = truth_lease(t, id);
    if (lease == NULL || lease->slot_ended != 0)
        return;
    for (uint32_t i = 0; i < t->keys_count; i++) {
        const struct truth_version *v = truth_living(t->keys[i]);
        if (v == NULL || v->lease != id)
            continue;
        key_delete(t, t->keys[i]);
        lease->keys_ended++;
    }
    close_revision(t);
    lease->revision = lease->keys_ended > 0 ? t->revision : 0;
    lease->slot_ended = t->slot + 1;
    lease->ended_ns = t->now;
    lease->expired = expired;
    t->leases_live--;
    if (t->on_lease_ended != NULL)
        t->on_lease_ended(t->owner, lease);
}

static void apply_expire(struct truth *t, const struct command *command)
{
    if (command->expire.node != t->keeper || command->expire.round != t->keeper_round)
        return;
    for (uint32_t i = 0; i < command->expire.count; i++) {
        const struct truth_lease *lease = truth_lease(t, command->expire.ids[i]);
        if (lease != NULL && lease->generation == command->expire.generations[i])
            lease_end(t, lease->id, true);
    }
}

static void apply_compact(struct truth *t, int64_t revision)
{
    if (revision > t->compacted && revision <= t->revision)
        t->compacted = revision;
}

static void apply_keeper(struct truth *t, uint16_t node, uint64_t round)
{
    if (round < t->keeper_round || (round == t->keeper_round && node <= t->keeper))
        return;
    t->keeper = node;
    t->keeper_round = round;
    t->keeper_ns = t->now;
}

/* Who has run out of space. */
static void alarm_note(struct truth *t, const struct command *command)
{
    uint64_t member = command->alarm.member;
    uint32_t kept = 0;
    bool activate = command->alarm.activate;
    if (command->alarm.alarm != ALARM_NO_SPACE && (activate || command->alarm.alarm != ALARM_NONE))
        return;
    for (uint32_t i = 0; i < t->no_space_count; i++) {
        if (t->no_space[i] != member && (activate || member != 0))
            t->no_space[kept++] = t->no_space[i];
    }
    if (activate && kept < TRUTH_ORIGINS_MAX)
        t->no_space[kept++] = member;
    t->no_space_count = kept;
}

static void apply_command(struct truth *t, const struct command *command)
{
    if (command_check_fields(command, UINT32_MAX) != REFUSAL_NONE ||
        (t->no_space_count > 0 && command_cost(command) > 0))
        return;
    switch (command->kind) {
    case COMMAND_PUT:
        if (truth_put_refused(t, &command->put) == REFUSAL_NONE)
            truth_put(t, &command->put);
        break;
    case COMMAND_DELETE:
        truth_delete(t, &command->delete.range);
        break;
    case COMMAND_TXN:
        truth_txn(t, &command->txn);
        break;
    case COMMAND_COMPACT:
        apply_compact(t, command->compact.revision);
        break;
    case COMMAND_LEASE_GRANT:
        (void)lease_grant(t, command->lease.id, command->lease.ttl);
        break;
    case COMMAND_LEASE_REVOKE:
        lease_end(t, command->lease.id, false);
        break;
    case COMMAND_LEASE_EXPIRE:
        apply_expire(t, command);
        break;
    case COMMAND_KEEPER:
        apply_keeper(t, command->keeper.node, command->keeper.round);
        break;
    case COMMAND_ALARM:
        alarm_note(t, command);
        break;
    case COMMAND_RANGE:
    case COMMAND_MEMBER:
    case COMMAND_DIGEST:
        break;
    }
    close_revision(t);
}

/* Is it this batch's turn in its session? Each takes effect once, in order. */
static bool admit(struct truth *t, const struct batch_header *header)
{
    if (header->origin >= TRUTH_ORIGINS_MAX)
        return false;
    struct truth_session *session = &t->sessions[header->origin];
    uint64_t last = header->incarnation == session->incarnation ? session->sequence : 0;
    if (header->incarnation < session->incarnation || header->sequence != last + 1)
        return false;
    session->incarnation = header->incarnation;
    session->sequence = header->sequence;
    return true;
}

static bool framed(struct bytes entry, uint32_t count)
{
    struct reader r = reader_of(entry);
    read_bytes(&r, BATCH_HEADER_SIZE);
    for (uint32_t i = 0; i < count && !r.failed; i++)
        read_bytes(&r, read_u32(&r));
    return reader_done(&r);
}

static void apply_batch(struct truth *t, struct bytes entry)
{
    struct batch_header header;
    if (batch_header_load(entry, &header) != STATUS_OK || !framed(entry, header.count) ||
        !admit(t, &header))
        return;
    struct reader r = reader_of(entry);
    read_bytes(&r, BATCH_HEADER_SIZE);
    for (uint32_t i = 0; i < header.count; i++) {
        struct command command;
        struct bytes encoded = read_bytes(&r, read_u32(&r));
        if (command_decode(encoded, &t->scratch, &command) == STATUS_OK)
            apply_command(t, &command);
    }
    arena_reset(&t->scratch);
}

void truth_apply(struct truth *t, uint64_t slot, struct bytes entry, uint64_t now)
{
    ensure(slot == t->slot + 1);
    t->now = now;
    if (entry.size > 0)
        apply_batch(t, entry);
    t->slots = sim_grow(t->mem, t->slots, &t->slots_capacity, (uint32_t)slot + 1, sizeof *t->slots);
    uint64_t hash = oracle_entry_hash(entry);
    t->slots[slot] = (struct truth_slot){.log = hash_fold(t->slots[slot - 1].log, hash),
                                         .entry = hash,
                                         .revision = t->revision,
                                         .compacted = t->compacted,
                                         .keys = t->keys_live,
                                         .leases = t->leases_live};
    t->slot = slot;
}
