/* The machine: exactly once and in order, the same on every member, the same after a snapshot; and
 * what its commands do. */
#include "service/support_machine.h"

#include <stdlib.h>
#include <string.h>

static enum batch_outcome apply_batch(struct feed *feed, uint64_t incarnation, uint64_t sequence)
{
    struct command put = {.kind = COMMAND_PUT, .put = {.key = bytes_text("n")}};
    struct batch_header header = {
        .origin = 1, .incarnation = incarnation, .sequence = sequence, .count = 1};
    encode_batch(&feed->buffer, &header, &put);
    feed->sequence = sequence;
    machine_apply(feed->machine, ++feed->slot, buffer_bytes(&feed->buffer));
    return feed->outcome;
}

static int64_t revision_of(const struct feed *feed)
{
    return store_revision(machine_store(feed->machine));
}

static void a_batch_takes_effect_once_and_only_in_its_turn(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    assert_int_equal(apply_batch(&feed, 1, 2), BATCH_GAP);
    assert_int_equal(revision_of(&feed), 1);
    assert_int_equal(apply_batch(&feed, 1, 1), BATCH_APPLIED);
    assert_int_equal(apply_batch(&feed, 1, 1), BATCH_DUPLICATE);
    assert_int_equal(apply_batch(&feed, 1, 3), BATCH_GAP);
    assert_int_equal(apply_batch(&feed, 1, 2), BATCH_APPLIED);
    assert_int_equal(apply_batch(&feed, 1, 3), BATCH_APPLIED);
    assert_int_equal(revision_of(&feed), 4);
    assert_int_equal(feed.outcomes, 6);
    assert_int_equal(feed.results, 3);
    assert_int_equal(machine_session(feed.machine, 1, 1), 3);
    feed_release(&feed);
}

static void a_new_incarnation_starts_at_one_and_ends_the_old_one(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    assert_int_equal(apply_batch(&feed, 1, 1), BATCH_APPLIED);
    /* A later batch of the new incarnation has no effect, not even on the session. */
    apply_batch(&feed, 2, 2);
    assert_int_equal(machine_session(feed.machine, 1, 1), 1);
    apply_batch(&feed, 2, 1);
    assert_int_equal(machine_session(feed.machine, 1, 2), 1);
    assert_int_equal(machine_session(feed.machine, 1, 1), 0);
    assert_int_equal(revision_of(&feed), 3);
    assert_int_equal(apply_batch(&feed, 1, 2), BATCH_DUPLICATE);
    assert_int_equal(revision_of(&feed), 3);
    feed_release(&feed);
}

static void a_batch_that_nobody_writes_is_skipped_and_counted(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    machine_apply(feed.machine, 1, BYTES_EMPTY);
    assert_int_equal(machine_invalid_batches(feed.machine), 0);
    machine_apply(feed.machine, 2, bytes_text("garbage"));
    feed.slot = 2;
    assert_int_equal(machine_invalid_batches(feed.machine), 1);
    struct command put = {.kind = COMMAND_PUT, .put = {.key = bytes_text("n")}};
    struct batch_header header = {.origin = 1, .incarnation = 1, .sequence = 1, .count = 1};
    encode_batch(&feed.buffer, &header, &put);
    struct bytes entry = buffer_bytes(&feed.buffer);
    for (size_t size = 1; size < entry.size; size++)
        machine_apply(feed.machine, ++feed.slot, bytes_of(entry.data, size));
    assert_int_equal(machine_invalid_batches(feed.machine), entry.size);
    assert_int_equal(revision_of(&feed), 1);
    feed.sequence = 1;
    machine_apply(feed.machine, ++feed.slot, entry);
    assert_int_equal(revision_of(&feed), 2);
    feed_release(&feed);
}

static void a_command_of_the_future_is_refused_alone(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    struct command unknown = {.kind = (enum command_kind)0x0777};
    assert_int_equal(feed_apply(&feed, &unknown)->refusal, REFUSAL_UNKNOWN_COMMAND);
    struct command range = {.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("a")}}};
    assert_int_equal(feed_apply(&feed, &range)->refusal, REFUSAL_UNKNOWN_COMMAND);
    assert_int_equal(feed_put(&feed, "a", "1"), REFUSAL_NONE);
    assert_int_equal(revision_of(&feed), 2);
    feed_release(&feed);
}

/* --- Determinism --------------------------------------------------------------------------------
 */

static void assert_machines_equal(struct machine *a, struct machine *b)
{
    assert_int_equal(machine_slot(a), machine_slot(b));
    assert_int_equal(machine_digest(a), machine_digest(b));
    uint32_t hash_a;
    uint32_t hash_b;
    store_hash(machine_store(a), 0, &hash_a);
    store_hash(machine_store(b), 0, &hash_b);
    assert_int_equal(hash_a, hash_b);
    uint32_t count_a;
    uint32_t count_b;
    const struct alarm *alarms_a = machine_alarms(a, &count_a);
    const struct alarm *alarms_b = machine_alarms(b, &count_b);
    assert_int_equal(count_a, count_b);
    for (uint32_t i = 0; i < count_a; i++)
        assert_true(alarms_a[i].member == alarms_b[i].member &&
                    alarms_a[i].kind == alarms_b[i].kind);
    const struct command_member *members_a = machine_members(a, &count_a);
    const struct command_member *members_b = machine_members(b, &count_b);
    assert_int_equal(count_a, count_b);
    for (uint32_t i = 0; i < count_a; i++) {
        assert_int_equal(members_a[i].id, members_b[i].id);
        assert_true(bytes_equal(members_a[i].name, members_b[i].name));
    }
}

static void random_entry(struct feed *feed, struct prng *prng)
{
    struct command commands[4];
    struct batch_header header = {
        .origin = (uint16_t)(1 + prng_below(prng, 3)),
        .incarnation = 1,
        .sequence = 1,
        .count = 1 + (uint32_t)prng_below(prng, 4),
    };
    header.sequence += machine_session(feed->machine, header.origin, 1);
    if (prng_below(prng, 10) == 0)
        header.sequence = 1 + prng_below(prng, header.sequence + 1);
    for (uint32_t i = 0; i < header.count; i++)
        commands[i] = random_command(prng, &feed->arena);
    encode_batch(&feed->buffer, &header, commands);
    arena_reset(&feed->arena);
}

/* Three machines: one listens, one does not, one is replaced by its own snapshot again and again
 * and squeezes at other times. All stay equal. */
static void members_that_apply_the_same_entries_stay_equal(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 15; seed++) {
        print_message("seed %llu\n", (unsigned long long)seed);
        struct prng prng = prng_seed(seed);
        struct feed feed;
        feed_init(&feed);
        /* The commands come from several origins: the listener hears only of its own. */
        struct machine_events none = {.node = 1, .incarnation = 1};
        machine_listen(feed.machine, &none);
        struct machine_config config = {.mem = &feed.mem, .members = 3, .self = 2};
        struct machine *silent = machine_new(&config);
        struct machine *restarted = machine_new(&config);
        for (uint64_t slot = 1; slot <= 700; slot++) {
            random_entry(&feed, &prng);
            struct bytes entry = buffer_bytes(&feed.buffer);
            if (prng_below(&prng, 20) == 0)
                entry = BYTES_EMPTY;
            machine_apply(feed.machine, slot, entry);
            machine_apply(silent, slot, entry);
            machine_apply(restarted, slot, entry);
            if (prng_below(&prng, 3) == 0)
                store_work(machine_store(silent), 5);
            if (slot % 50 == 0) {
                struct machine *copy = machine_copy(restarted, &config, &prng);
                machine_free(restarted);
                restarted = copy;
                assert_machines_equal(feed.machine, silent);
                assert_machines_equal(feed.machine, restarted);
            }
        }
        machine_free(silent);
        machine_free(restarted);
        feed_release(&feed);
    }
}

static void one_different_byte_makes_a_different_digest(void **state)
{
    (void)state;
    struct feed a;
    struct feed b;
    feed_init(&a);
    feed_init(&b);
    feed_put(&a, "a", "1");
    feed_put(&b, "a", "1");
    assert_int_equal(machine_digest(a.machine), machine_digest(b.machine));
    feed_put(&a, "a", "2");
    feed_put(&b, "a", "3");
    assert_true(machine_digest(a.machine) != machine_digest(b.machine));
    feed_put(&a, "a", "4");
    feed_put(&b, "a", "4");
    assert_true(machine_digest(a.machine) != machine_digest(b.machine));
    feed_release(&a);
    feed_release(&b);
}

/* --- Digests, alarms, keeper --------------------------------------------------------------------
 */

static void state_digest(struct feed *feed, uint64_t member, uint64_t slot, uint64_t digest)
{
    struct command command = {.kind = COMMAND_DIGEST};
    command.digest.member = member;
    command.digest.slot = slot;
    command.digest.digest = digest;
    feed_apply(feed, &command);
}

static void the_member_that_differs_from_a_majority_is_named(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    uint64_t slot;
    uint64_t digest;
    machine_digest_point(feed.machine, &slot, &digest);
    assert_int_equal(slot, 0);
    while (feed.slot < MACHINE_DIGEST_INTERVAL)
        feed_put(&feed, "a", "1");
    machine_digest_point(feed.machine, &slot, &digest);
    assert_int_equal(slot, MACHINE_DIGEST_INTERVAL);
    state_digest(&feed, 1, slot, digest);
    state_digest(&feed, 3, slot, digest ^ 1);
    uint32_t count;
    machine_alarms(feed.machine, &count);
    assert_int_equal(count, 0);
    state_digest(&feed, 2, slot, digest);
    const struct alarm *alarms = machine_alarms(feed.machine, &count);
    assert_int_equal(count, 1);
    assert_int_equal(alarms[0].member, 3);
    assert_int_equal(alarms[0].kind, ALARM_CORRUPT);
    assert_int_equal(feed.diverged_slot, 0);
    feed_release(&feed);
}

static void a_member_that_is_alone_with_its_digest_learns_it(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    while (feed.slot < MACHINE_DIGEST_INTERVAL)
        feed_put(&feed, "a", "1");
    uint64_t slot;
    uint64_t digest;
    machine_digest_point(feed.machine, &slot, &digest);
    state_digest(&feed, 2, slot, digest ^ 1);
    assert_int_equal(feed.diverged_slot, 0);
    state_digest(&feed, 3, slot, digest ^ 1);
    assert_int_equal(feed.diverged_slot, slot);
    /* The alarm follows when its own word is in the log. */
    state_digest(&feed, 1, slot, digest);
    uint32_t count;
    const struct alarm *alarms = machine_alarms(feed.machine, &count);
    assert_int_equal(count, 1);
    assert_int_equal(alarms[0].member, 1);
    feed_release(&feed);
}

static void a_full_store_takes_deletions_but_no_puts(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    feed_put(&feed, "a", "1");
    struct command alarm = {.kind = COMMAND_ALARM};
    alarm.alarm.activate = true;
    alarm.alarm.member = 2;
    alarm.alarm.alarm = ALARM_NO_SPACE;
    assert_int_equal(feed_apply(&feed, &alarm)->refusal, REFUSAL_NONE);
    assert_int_equal(feed_put(&feed, "b", "1"), REFUSAL_NO_SPACE);
    struct command del = {.kind = COMMAND_DELETE};
    del.delete.range.key = bytes_text("a");
    assert_int_equal(feed_apply(&feed, &del)->refusal, REFUSAL_NONE);
    assert_int_equal(feed.result.delete.deleted, 1);
    alarm.alarm.activate = false;
    alarm.alarm.member = 0;
    alarm.alarm.alarm = ALARM_NONE;
    feed_apply(&feed, &alarm);
    assert_int_equal(feed_put(&feed, "b", "1"), REFUSAL_NONE);
    feed_release(&feed);
}

static void only_the_keeper_of_now_expires_leases(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    struct command grant = {.kind = COMMAND_LEASE_GRANT, .lease = {7, 60}};
    assert_int_equal(feed_apply(&feed, &grant)->refusal, REFUSAL_NONE);
    assert_int_equal(feed.result.lease.ttl, 60);
    assert_int_equal(feed.result.revision, 1);
    struct command put = {.kind = COMMAND_PUT, .put = {.key = bytes_text("a"), .lease = 7}};
    feed_apply(&feed, &put);
    struct command keeper = {.kind = COMMAND_KEEPER, .keeper = {2, 5}};
    feed_apply(&feed, &keeper);
    keeper.keeper.node = 1;
    keeper.keeper.round = 6;
    feed_apply(&feed, &keeper);
    assert_int_equal(feed.keeper_round, 6);
    int64_t ids[1] = {7};
    uint64_t generations[1] = {1};
    struct command expire = {.kind = COMMAND_LEASE_EXPIRE};
    expire.expire.ids = ids;
    expire.expire.generations = generations;
    expire.expire.count = 1;
    expire.expire.node = 2;
    expire.expire.round = 5;
    feed_apply(&feed, &expire);
    struct kv kv;
    assert_true(feed_get(&feed, "a", &kv));
    /* A deposed one does not come back. */
    keeper.keeper.node = 2;
    keeper.keeper.round = 5;
    feed_apply(&feed, &keeper);
    assert_int_equal(feed.keeper_round, 6);
    expire.expire.node = 1;
    expire.expire.round = 6;
    feed_apply(&feed, &expire);
    assert_false(feed_get(&feed, "a", &kv));
    assert_int_equal(revision_of(&feed), 3);
    feed_release(&feed);
}

static void an_expiry_does_not_end_a_lease_that_was_granted_anew(void **state)
{
    (void)state;
    struct feed feed;
    feed_init(&feed);
    struct command keeper = {.kind = COMMAND_KEEPER, .keeper = {1, 6}};
    struct command grant = {.kind = COMMAND_LEASE_GRANT, .lease = {7, 60}};
    struct command revoke = {.kind = COMMAND_LEASE_REVOKE, .lease = {7, 0}};
    feed_apply(&feed, &keeper);
    feed_apply(&feed, &grant);
    struct lease_info info;
    assert_true(store_lease_get(machine_store(feed.machine), 7, &info));
    int64_t ids[1] = {7};
    uint64_t generations[1] = {info.generation};
    struct command expire = {.kind = COMMAND_LEASE_EXPIRE};
    expire.expire.ids = ids;
    expire.expire.generations = generations;
    expire.expire.count = 1;
    expire.expire.node = 1;
    expire.expire.round = 6;
    feed_apply(&feed, &revoke); /* while the keeper's word is on its way */
    feed_apply(&feed, &grant);
    feed_apply(&feed, &expire);
    assert_true(store_lease_get(machine_store(feed.machine), 7, &info));
    generations[0] = info.generation;
    feed_apply(&feed, &expire);
    assert_false(store_lease_get(machine_store(feed.machine), 7, &info));
    feed_release(&feed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_batch_takes_effect_once_and_only_in_its_turn),
        cmocka_unit_test(a_new_incarnation_starts_at_one_and_ends_the_old_one),
        cmocka_unit_test(a_batch_that_nobody_writes_is_skipped_and_counted),
        cmocka_unit_test(a_command_of_the_future_is_refused_alone),
        cmocka_unit_test(members_that_apply_the_same_entries_stay_equal),
        cmocka_unit_test(one_different_byte_makes_a_different_digest),
        cmocka_unit_test(the_member_that_differs_from_a_majority_is_named),
        cmocka_unit_test(a_member_that_is_alone_with_its_digest_learns_it),
        cmocka_unit_test(a_full_store_takes_deletions_but_no_puts),
        cmocka_unit_test(only_the_keeper_of_now_expires_leases),
        cmocka_unit_test(an_expiry_does_not_end_a_lease_that_was_granted_anew),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
