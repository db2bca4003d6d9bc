/* The truth against the machine: two authors, one meaning. Random commands in random batches, some
 * of them twice, too early, or damaged: after every entry both must be in the same state; now and
 * then the whole state is compared, at old revisions too. */
#include "service/support_machine.h"

#include "sim/oracle_truth.h"

struct pair {
    struct feed feed;
    struct truth *truth;
    uint64_t slot;
    uint64_t sequences[4];
    uint64_t incarnations[4];
};

static void pair_init(struct pair *pair)
{
    *pair = (struct pair){0};
    feed_init(&pair->feed);
    pair->truth = truth_new(&pair->feed.mem);
    struct machine_events none = {0};
    machine_listen(pair->feed.machine, &none);
}

static void pair_release(struct pair *pair)
{
    truth_free(pair->truth);
    feed_release(&pair->feed);
}

static void apply(struct pair *pair, struct bytes entry)
{
    pair->slot++;
    truth_apply(pair->truth, pair->slot, entry, pair->slot);
    machine_apply(pair->feed.machine, pair->slot, entry);
    const struct store *store = machine_store(pair->feed.machine);
    const struct truth_slot *at = truth_at_slot(pair->truth, pair->slot);
    assert_int_equal(at->revision, store_revision(store));
    assert_int_equal(at->compacted, store_compacted(store));
    assert_int_equal(at->keys, store_keys(store));
    assert_int_equal(at->leases, store_leases(store));
}

static void random_batch(struct pair *pair, struct prng *prng)
{
    struct feed *feed = &pair->feed;
    struct command commands[4];
    uint16_t origin = (uint16_t)prng_below(prng, 4);
    if (prng_below(prng, 20) == 0) {
        pair->incarnations[origin]++;
        pair->sequences[origin] = 0;
    }
    struct batch_header header = {.origin = origin,
                                  .incarnation = pair->incarnations[origin],
                                  .sequence = ++pair->sequences[origin],
                                  .count = (uint32_t)prng_below(prng, 4)};
    for (uint32_t i = 0; i < header.count; i++)
        commands[i] = random_command(prng, &feed->arena);
    encode_batch(&feed->buffer, &header, commands);
    struct bytes entry = buffer_bytes(&feed->buffer);
    switch (prng_below(prng, 12)) {
    case 0:
        apply(pair, entry); /* and once more below */
        break;
    case 1:
        header.sequence++; /* too early */
        encode_batch(&feed->buffer, &header, commands);
        entry = buffer_bytes(&feed->buffer);
        pair->sequences[origin]--;
        break;
    case 2:
        if (header.count > 0) {
            entry.size--; /* cut */
            pair->sequences[origin]--;
        }
        break;
    case 3:
        entry.size = 0;
        pair->sequences[origin]--;
        break;
    default:
        break;
    }
    apply(pair, entry);
    arena_reset(&feed->arena);
}

static void compare_all(struct pair *pair, int64_t revision)
{
    static const uint8_t zero[1] = {0};
    struct arena *arena = &pair->feed.arena;
    struct range_query query = {.range = {bytes_of(zero, 1), bytes_of(zero, 1)},
                                .revision = revision};
    struct range_result found;
    struct store *store = machine_store(pair->feed.machine);
    assert_int_equal(store_range(store, &query, arena, &found), REFUSAL_NONE);
    uint32_t at = 0;
    for (uint32_t i = 0; i < pair->truth->keys_count; i++) {
        const struct truth_version *v = truth_version_at(pair->truth->keys[i], revision);
        if (v == NULL)
            continue;
        assert_true(at < found.kvs_count);
        const struct kv *kv = &found.kvs[at++];
        assert_true(bytes_equal(kv->key, v->key->key));
        assert_true(bytes_equal(kv->value, v->value));
        assert_int_equal(kv->create_revision, v->create);
        assert_int_equal(kv->mod_revision, v->mod);
        assert_int_equal(kv->version, v->number);
        assert_int_equal(kv->lease, v->lease);
    }
    assert_int_equal(at, found.kvs_count);
    arena_reset(arena);
}

static void compare_leases(struct pair *pair)
{
    struct store *store = machine_store(pair->feed.machine);
    for (uint32_t i = 0; i < pair->truth->leases_count; i++) {
        const struct truth_lease *lease = pair->truth->leases[i];
        assert_true(store_lease_is(store, lease->id, lease->generation) ==
                    (lease->slot_ended == 0));
    }
}

static void truth_is_the_machine(void **state)
{
    (void)state;
    int64_t revisions = 0;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct prng prng = prng_seed(seed);
        struct pair pair;
        pair_init(&pair);
        for (int i = 0; i < 400; i++) {
            random_batch(&pair, &prng);
            if (i % 10 != 0)
                continue;
            compare_all(&pair, pair.truth->revision);
            if (pair.truth->compacted > 0)
                compare_all(&pair, pair.truth->compacted);
            compare_leases(&pair);
        }
        revisions += pair.truth->revision;
        pair_release(&pair);
    }
    assert_true(revisions > 40 * 50); /* something did happen */
}

static void put(struct pair *pair, const char *key, const char *value, int64_t lease)
{
    struct command command = {.kind = COMMAND_PUT};
    command.put.key = bytes_text(key);
    command.put.value = bytes_text(value);
    command.put.lease = lease;
    struct batch_header header = {
        .origin = 1, .incarnation = 1, .sequence = ++pair->sequences[1], .count = 1};
    encode_batch(&pair->feed.buffer, &header, &command);
    apply(pair, buffer_bytes(&pair->feed.buffer));
}

static void truth_finds_events_by_revision(void **state)
{
    (void)state;
    struct pair pair;
    pair_init(&pair);
    put(&pair, "a", "1", 0);
    put(&pair, "b", "2", 0);
    put(&pair, "c", "3", 7); /* there is no such lease: nothing happens */
    put(&pair, "a", "4", 0);
    const struct truth *t = pair.truth;
    assert_int_equal(t->revision, 4);
    assert_int_equal(t->events_count, 3);
    assert_int_equal(truth_seek(t, 0), 0);
    assert_int_equal(truth_seek(t, 2), 0);
    assert_int_equal(truth_seek(t, 3), 1);
    assert_int_equal(truth_seek(t, 4), 2);
    assert_int_equal(truth_seek(t, 5), 3);
    assert_int_equal(truth_slot_of(t, 1), 0);
    assert_int_equal(truth_slot_of(t, 3), 2);
    assert_int_equal(truth_slot_of(t, 4), 4);
    const struct truth_version *v = t->events[2];
    assert_int_equal(v->number, 2);
    assert_int_equal(v->create, 2);
    assert_int_equal(v->before->mod, 2);
    pair_release(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(truth_is_the_machine),
        cmocka_unit_test(truth_finds_events_by_revision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
