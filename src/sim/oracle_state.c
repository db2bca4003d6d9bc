/* A member's whole state, key by key and lease by lease, against the truth at its slot. Digests
 * are folded from changes; only this sees what a snapshot lost, or what compaction took too much.
 */
#include "sim/oracle_internal.h"

static void object(struct oracle *o, uint32_t place, const char *what, int64_t revision,
                   struct bytes key)
{
    const char *text = key.size == 0 ? "" : (const char *)key.data;
    if (sim_oracle_on(o->sim, "model"))
        sim_violation(o->sim, "model", "member %u: %s at revision %lld, key '%.*s'", place + 1,
                      what, (long long)revision, (int)key.size, text);
}

bool oracle_kv_equal(const struct kv *kv, const struct truth_version *v)
{
    return kv->mod_revision == v->mod && kv->create_revision == v->create &&
           kv->version == v->number && kv->lease == v->lease && bytes_equal(kv->value, v->value) &&
           bytes_equal(kv->key, v->key->key);
}

/* All keys at one revision. */
static void compare_keys(struct oracle *o, uint32_t place, struct store *store, int64_t revision)
{
    static const uint8_t zero[1] = {0};
    struct range_query query = {.range = {bytes_of(zero, 1), bytes_of(zero, 1)},
                                .revision = revision};
    struct range_result found;
    if (store_range(store, &query, &o->scratch, &found) != REFUSAL_NONE) {
        object(o, place, "no reading", revision, BYTES_EMPTY);
        return;
    }
    uint32_t at = 0;
    for (uint32_t i = 0; i < o->truth->keys_count; i++) {
        const struct truth_version *v = truth_version_at(o->truth->keys[i], revision);
        if (v == NULL)
            continue;
        if (at == found.kvs_count || !oracle_kv_equal(&found.kvs[at], v)) {
            object(o, place, "a key is missing or wrong", revision, v->key->key);
            return;
        }
        at++;
    }
    if (at < found.kvs_count)
        object(o, place, "a key too much", revision, found.kvs[at].key);
}

static uint32_t lease_keys(const struct oracle *o, int64_t id, int64_t revision)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < o->truth->keys_count; i++) {
        const struct truth_version *v = truth_version_at(o->truth->keys[i], revision);
        count += v != NULL && v->lease == id;
    }
    return count;
}

static void compare_leases(struct oracle *o, uint32_t place, struct store *store, uint64_t slot,
                           int64_t revision)
{
    uint32_t lived = 0;
    for (uint32_t i = 0; i < o->truth->leases_count; i++) {
        const struct truth_lease *lease = o->truth->leases[i];
        if (lease->slot_granted > slot || (lease->slot_ended != 0 && lease->slot_ended <= slot))
            continue;
        /* Inside one slot a lease may come and go; those that lived in between don't matter. */
        struct lease_info info;
        uint32_t keys;
        lived++;
        bool found = store_lease_get(store, lease->id, &info) && info.ttl == lease->ttl &&
                     info.generation == lease->generation;
        (void)store_lease_keys(store, lease->id, &o->scratch, &keys);
        if (!found || keys != lease_keys(o, lease->id, revision)) {
            object(o, place, "a lease is missing or wrong", lease->id, BYTES_EMPTY);
            return;
        }
    }
    if (lived != store_leases(store))
        object(o, place, "a lease too much", revision, BYTES_EMPTY);
}

void state_compare(struct oracle *o, uint32_t place, struct machine *machine)
{
    uint64_t slot = machine_slot(machine);
    if (slot > o->truth->slot)
        return;
    const struct truth_slot *truth = truth_at_slot(o->truth, slot);
    struct store *store = machine_store(machine);
    if (truth->log != o->watches[place].log || truth->revision != store_revision(store) ||
        truth->compacted != store_compacted(store))
        return; /* said elsewhere */
    compare_keys(o, place, store, truth->revision);
    /* An older revision that must still be there: the oldest, or one in between. */
    if (truth->compacted > 0)
        compare_keys(o, place, store, truth->compacted);
    if (truth->revision > truth->compacted + 2)
        compare_keys(o, place, store, (truth->revision + truth->compacted) / 2);
    compare_leases(o, place, store, slot, truth->revision);
    arena_reset(&o->scratch);
}
