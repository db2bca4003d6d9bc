/* The observer of every member, and the oracles that compare members with each other and with the
 * truth, slot by slot: agreement, prefix, digest, model.
 *
 * The one invariant: the first member that delivers a slot defines it; nobody changes it later. */
#include "sim/oracle_internal.h"

#include "base/hash.h"
#include "base/panic.h"

#include <string.h>

void *sim_grow(struct mem *mem, void *items, uint32_t *capacity, uint32_t needed, size_t size)
{
    if (needed <= *capacity)
        return items;
    uint32_t larger = *capacity < 64 ? 64 : 2 * *capacity;
    if (larger < needed)
        larger = 2 * needed;
    items = mem_resize(mem, items, *capacity * size, larger * size);
    memset((uint8_t *)items + *capacity * size, 0, (larger - *capacity) * size);
    *capacity = larger;
    return items;
}

uint64_t oracle_entry_hash(struct bytes entry)
{
    return hash_bytes(UINT64_C(0x73796e6f64), entry) | 1;
}

/* --- Deliveries ------------------------------------------------------------------------------ */

static void check_prefix(struct member_watch *watch, uint64_t slot)
{
    struct oracle *o = watch->oracle;
    if (slot != watch->delivered + 1 && sim_oracle_on(o->sim, "prefix"))
        sim_violation(o->sim, "prefix", "member %u delivers slot %llu behind slot %llu",
                      watch->place + 1, (unsigned long long)slot,
                      (unsigned long long)watch->delivered);
}

static void check_agreement(struct member_watch *watch, uint64_t slot, uint64_t entry)
{
    struct oracle *o = watch->oracle;
    if (truth_at_slot(o->truth, slot)->entry != entry && sim_oracle_on(o->sim, "agreement"))
        sim_violation(o->sim, "agreement", "member %u delivers another entry at slot %llu",
                      watch->place + 1, (unsigned long long)slot);
}

static void on_deliver(struct member_watch *watch, const struct effect *effect)
{
    struct oracle *o = watch->oracle;
    struct truth *t = o->truth;
    struct bytes entry = blob_bytes(effect->entry);
    check_prefix(watch, effect->slot);
    o->counts.deliveries++;
    if (effect->slot == t->slot + 1)
        truth_apply(t, effect->slot, entry, sim_now(o->sim));
    else if (effect->slot <= t->slot)
        check_agreement(watch, effect->slot, oracle_entry_hash(entry));
    watch->delivered = effect->slot;
    watch->log = hash_fold(watch->log, oracle_entry_hash(entry));
}

/* --- States ---------------------------------------------------------------------------------- */

static struct machine *unlocked(const struct machine *machine)
{
    return (struct machine *)(uintptr_t)machine; /* its store is only looked at */
}

static void check_digest(struct member_watch *watch, uint64_t slot, uint64_t digest)
{
    struct oracle *o = watch->oracle;
    o->digests =
        sim_grow(o->mem, o->digests, &o->digests_capacity, (uint32_t)slot + 1, sizeof *o->digests);
    struct digest_seen *seen = &o->digests[slot];
    o->counts.digests++;
    if (seen->log == 0)
        *seen = (struct digest_seen){watch->log, digest};
    else if (seen->log == watch->log && seen->digest != digest && sim_oracle_on(o->sim, "digest"))
        sim_violation(o->sim, "digest", "member %u is in another state behind slot %llu",
                      watch->place + 1, (unsigned long long)slot);
}

/* What can be seen at a glance; the whole state is compared now and then. */
static void check_model(struct member_watch *watch, uint64_t slot, struct store *store)
{
    struct oracle *o = watch->oracle;
    const struct truth_slot *truth = truth_at_slot(o->truth, slot);
    if (truth->revision == store_revision(store) && truth->compacted == store_compacted(store) &&
        truth->keys == store_keys(store) && truth->leases == store_leases(store))
        return;
    if (truth->log == watch->log && sim_oracle_on(o->sim, "model"))
        sim_violation(o->sim, "model",
                      "member %u has revision %lld, compacted %lld, %llu keys, %llu leases behind "
                      "slot %llu; should be %lld, %lld, %u, %u",
                      watch->place + 1, (long long)store_revision(store),
                      (long long)store_compacted(store), (unsigned long long)store_keys(store),
                      (unsigned long long)store_leases(store), (unsigned long long)slot,
                      (long long)truth->revision, (long long)truth->compacted, truth->keys,
                      truth->leases);
}

static void on_applied(void *owner, uint64_t slot, const struct machine *machine)
{
    struct member_watch *watch = owner;
    if (slot > watch->oracle->truth->slot)
        return; /* it was delivered behind a gap */
    check_digest(watch, slot, machine_digest(machine));
    check_model(watch, slot, machine_store(unlocked(machine)));
}

/* A snapshot says what was applied before: at boot, or when another member gave it. */
static void on_installed(void *owner, uint64_t slot, const struct machine *machine)
{
    struct member_watch *watch = owner;
    struct oracle *o = watch->oracle;
    if ((slot <= watch->delivered || slot > o->truth->slot) && sim_oracle_on(o->sim, "prefix"))
        sim_violation(o->sim, "prefix", "member %u installs slot %llu behind slot %llu",
                      watch->place + 1, (unsigned long long)slot,
                      (unsigned long long)watch->delivered);
    watch->delivered = slot;
    if (slot > o->truth->slot)
        return;
    watch->log = truth_at_slot(o->truth, slot)->log;
    check_digest(watch, slot, machine_digest(machine));
    check_model(watch, slot, machine_store(unlocked(machine)));
    state_compare(o, watch->place, unlocked(machine));
}

/* --- Observer -------------------------------------------------------------------------------- */

static void on_recovered(void *owner, uint64_t lsn_last)
{
    engine_on_recovered(owner, lsn_last);
}

static void on_input(void *owner, const struct input *input)
{
    engine_on_input(owner, input);
}

static void on_effect(void *owner, const struct effect *effect)
{
    struct member_watch *watch = owner;
    if (effect->kind == EFFECT_DELIVER)
        on_deliver(watch, effect);
    else
        engine_on_effect(watch, effect);
}

static void on_release(void *owner, uint16_t to, uint64_t lsn)
{
    (void)to;
    engine_on_release(owner, lsn);
}

const struct replica_observer *oracle_observer(struct oracle *o, uint32_t place)
{
    return &o->watches[place].observer;
}

/* --- Life ------------------------------------------------------------------------------------ */

struct oracle *oracle_new(struct sim *sim)
{
    struct mem *mem = sim_mem(sim);
    struct oracle *o = mem_zero(mem, sizeof *o);
    o->sim = sim;
    o->mem = mem;
    o->members = sim_members(sim);
    o->truth = truth_new(mem);
    arena_init(&o->arena, mem);
    arena_init(&o->scratch, mem);
    for (uint32_t i = 0; i < o->members; i++) {
        struct member_watch *watch = &o->watches[i];
        watch->oracle = o;
        watch->place = i;
        watch->observer = (struct replica_observer){.owner = watch,
                                                    .on_recovered = on_recovered,
                                                    .on_input = on_input,
                                                    .on_effect = on_effect,
                                                    .on_release = on_release,
                                                    .on_applied = on_applied,
                                                    .on_installed = on_installed};
    }
    return o;
}

void oracle_free(struct oracle *o)
{
    struct mem *mem = o->mem;
    truth_free(o->truth);
    arena_release(&o->arena);
    arena_release(&o->scratch);
    mem_free(mem, o->digests, o->digests_capacity * sizeof *o->digests);
    mem_free(mem, o->proposals, o->proposals_capacity * sizeof *o->proposals);
    mem_free(mem, o->ballots, o->ballots_capacity * sizeof *o->ballots);
    mem_free(mem, o, sizeof *o);
}

void oracle_member_up(struct oracle *o, uint32_t place)
{
    struct replica *replica = sim_replica(o->sim, place);
    if (replica != NULL)
        state_compare(o, place, replica_machine(replica));
}

void oracle_member_down(struct oracle *o, uint32_t place, bool wiped)
{
    struct member_watch *watch = &o->watches[place];
    struct replica_observer observer = watch->observer;
    struct member_watch kept = {.released = watch->released, .promised = watch->promised};
    if (wiped)
        kept = (struct member_watch){0};
    kept.oracle = o;
    kept.place = place;
    kept.observer = observer;
    *watch = kept;
}

void oracle_judge(struct oracle *o)
{
    for (uint32_t i = 0; i < o->members; i++) {
        struct replica *replica = sim_replica(o->sim, i);
        if (replica == NULL)
            continue;
        struct machine *machine = replica_machine(replica);
        if (machine_slot(machine) < o->truth->slot && sim_oracle_on(o->sim, "agreement"))
            sim_violation(o->sim, "agreement",
                          "member %u ends behind slot %llu, but %llu was delivered", i + 1,
                          (unsigned long long)machine_slot(machine),
                          (unsigned long long)o->truth->slot);
        state_compare(o, i, machine);
    }
}

struct truth *oracle_truth(struct oracle *o)
{
    return o->truth;
}

void oracle_complete(struct oracle *o, int64_t revision)
{
    uint64_t slot = truth_slot_of(o->truth, revision);
    if (slot > o->complete)
        o->complete = slot;
}

void oracle_counts(const struct oracle *o, struct oracle_counts *ret_counts)
{
    *ret_counts = o->counts;
    ret_counts->slots = o->truth->slot;
}
