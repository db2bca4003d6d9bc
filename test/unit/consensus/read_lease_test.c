/* Leases by themselves: two clocks that drift as far as they may, and what a member does and does
 * not grant. */
#include "consensus/read_lease.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define MILLION INT64_C(1000000)
#define DRIFT 10000U

static struct read_lease lease_of(uint64_t length_ns, bool reads)
{
    struct engine_config config = {
        .lease_ns = length_ns, .lease_drift = DRIFT, .lease_reads = reads};
    struct read_lease lease;
    read_lease_init(&lease, &config);
    return lease;
}

/* A clock that shows `base` at true time 0 and runs `drift` millionths faster than true time. */
struct clock {
    uint64_t base;
    int64_t drift;
};

static uint64_t shows(const struct clock *clock, uint64_t true_ns)
{
    return clock->base + true_ns + (uint64_t)((int64_t)(true_ns / MILLION) * clock->drift);
}

static struct clock random_clock(struct prng *prng)
{
    int64_t drift = (int64_t)prng_below(prng, 2 * DRIFT + 1) - DRIFT;
    if (prng_below(prng, 2) == 0)
        drift = prng_below(prng, 2) == 0 ? DRIFT : -(int64_t)DRIFT;
    return (struct clock){prng_below(prng, 1000000 * MS), drift};
}

/* Whenever the leader still believes in its lease, its grantors still keep theirs. */
static void a_leader_stops_before_its_grantors(void **state)
{
    (void)state;
    struct prng prng = prng_seed(11);
    for (int i = 0; i < 20000; i++) {
        uint64_t length = MS + prng_below(&prng, 10000 * MS);
        struct clock ours = random_clock(&prng);
        struct clock theirs = random_clock(&prng);
        struct read_lease leader = lease_of(length, true);
        struct read_lease grantor = lease_of(length, false);
        uint64_t sent = prng_below(&prng, 1000 * MS);
        uint64_t arrived = sent + prng_below(&prng, 50 * MS);
        uint64_t answered = arrived + prng_below(&prng, 50 * MS);
        assert_int_equal(read_lease_ask(&leader, shows(&ours, sent), 1), length);
        assert_int_equal(read_lease_grant(&grantor, shows(&theirs, arrived), 1, length), length);
        read_lease_hold(&leader, shows(&ours, answered), shows(&ours, sent));
        for (int k = 0; k < 40; k++) {
            uint64_t now = answered + prng_below(&prng, 2 * length);
            if (read_lease_use(&leader, shows(&ours, now)) != 0)
                assert_false(read_lease_lets(&grantor, shows(&theirs, now), 2));
        }
        uint64_t over = arrived + length + length / 10;
        assert_true(read_lease_lets(&grantor, shows(&theirs, over), 2));
    }
}

static void a_grantor_helps_nobody_else(void **state)
{
    (void)state;
    struct read_lease lease = lease_of(100 * MS, false);
    assert_true(read_lease_lets(&lease, 5 * MS, 2));
    assert_int_equal(read_lease_grant(&lease, 5 * MS, 1, 100 * MS), 100 * MS);
    assert_true(read_lease_lets(&lease, 50 * MS, 1));
    assert_false(read_lease_lets(&lease, 50 * MS, 2));
    assert_false(read_lease_lets(&lease, 105 * MS, 2));
    assert_true(read_lease_lets(&lease, 107 * MS, 2));
    assert_true(read_lease_free_at(&lease, 2) > 105 * MS);
    assert_int_equal(read_lease_free_at(&lease, 1), 0);
}

static void a_member_that_was_started_helps_nobody_for_a_while(void **state)
{
    (void)state;
    struct read_lease lease = lease_of(100 * MS, false);
    read_lease_start(&lease, 1000 * MS);
    assert_false(read_lease_lets(&lease, 1000 * MS, 1));
    assert_false(read_lease_lets(&lease, 1100 * MS, 1));
    assert_true(read_lease_lets(&lease, 1102 * MS, 1));
}

static void a_lease_that_is_too_long_or_none_is_not_granted(void **state)
{
    (void)state;
    struct read_lease lease = lease_of(100 * MS, true);
    assert_int_equal(read_lease_grant(&lease, 0, 1, 100 * MS + 1), 0);
    assert_int_equal(read_lease_grant(&lease, 0, 1, 0), 0);
    assert_true(read_lease_lets(&lease, 0, 2));
    struct read_lease none = lease_of(0, true);
    assert_int_equal(read_lease_ask(&none, 0, 1), 0);
    assert_int_equal(read_lease_grant(&none, 0, 1, MS), 0);
    read_lease_start(&none, 0);
    assert_true(read_lease_lets(&none, 0, 2));
}

static void a_new_round_is_due_when_half_is_over_and_somebody_reads(void **state)
{
    (void)state;
    struct read_lease lease = lease_of(100 * MS, true);
    assert_false(read_lease_ends(&lease, 0));
    assert_int_equal(read_lease_use(&lease, 0), 0); /* a use, but none is held */
    assert_true(read_lease_ends(&lease, 0));
    (void)read_lease_ask(&lease, 0, 1);
    read_lease_hold(&lease, MS, 0);
    assert_false(read_lease_ends(&lease, 10 * MS));
    uint64_t until = read_lease_use(&lease, 10 * MS);
    assert_true(until > 98 * MS && until < 100 * MS);
    assert_false(read_lease_ends(&lease, 40 * MS));
    assert_true(read_lease_ends(&lease, 60 * MS));
    assert_int_equal(read_lease_use(&lease, until), 0);
    read_lease_drop(&lease);
    assert_int_equal(read_lease_use(&lease, 20 * MS), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_stops_before_its_grantors),
        cmocka_unit_test(a_grantor_helps_nobody_else),
        cmocka_unit_test(a_member_that_was_started_helps_nobody_for_a_while),
        cmocka_unit_test(a_lease_that_is_too_long_or_none_is_not_granted),
        cmocka_unit_test(a_new_round_is_due_when_half_is_over_and_somebody_reads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
