/* Quorum systems against brute force: the predicates are recomputed from their definition, member
 * by member, over every subset. */
#include "quorum/members.h"

#include "base/prng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static uint32_t count_of(uint64_t set)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < 64; i++)
        count += set >> i & 1 ? 1 : 0;
    return count;
}

static void majority_is_more_than_half(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 9; n++) {
        struct quorum_system system = quorum_majority(n);
        for (uint64_t set = 0; set < 1ull << n; set++) {
            assert_int_equal(quorum_phase1(&system, set), 2 * count_of(set) > n);
            assert_int_equal(quorum_phase2(&system, set), 2 * count_of(set) > n);
        }
        assert_true(quorum_system_valid(&system, n));
    }
}

static void flexible_systems_are_valid_exactly_when_counts_overlap(void **state)
{
    (void)state;
    for (uint32_t n = 1; n <= 7; n++)
        for (uint32_t a = 1; a <= n + 1; a++)
            for (uint32_t b = 1; b <= n + 1; b++) {
                struct quorum_system system = quorum_flexible(n, a, b);
                for (uint64_t set = 0; set < 1ull << n; set++) {
                    assert_int_equal(quorum_phase1(&system, set), count_of(set) >= a);
                    assert_int_equal(quorum_phase2(&system, set), count_of(set) >= b);
                }
                bool valid = a + b > n && a <= n && b <= n;
                assert_int_equal(quorum_system_valid(&system, n), valid);
            }
}

static void weighted_is_more_than_half_of_the_weight(void **state)
{
    (void)state;
    struct prng prng = prng_seed(1);
    for (uint32_t round = 0; round < 200; round++) {
        uint32_t n = 1 + (uint32_t)prng_below(&prng, 8);
        uint8_t weights[8];
        uint32_t total = 0;
        for (uint32_t i = 0; i < n; i++) {
            weights[i] = (uint8_t)prng_below(&prng, 256);
            total += weights[i];
        }
        struct quorum_system system = quorum_weighted(n, weights);
        for (uint64_t set = 0; set < 1ull << n; set++) {
            uint32_t sum = 0;
            for (uint32_t i = 0; i < n; i++)
                sum += set >> i & 1 ? weights[i] : 0;
            assert_int_equal(quorum_phase2(&system, set), 2 * sum > total);
        }
        assert_int_equal(quorum_system_valid(&system, n), total > 0);
    }
}

static void hierarchical_is_a_majority_of_majorities(void **state)
{
    (void)state;
    const uint64_t groups[3] = {0x007, 0x038, 0x1c0};
    struct quorum_system system = quorum_hierarchical(groups, 3);
    for (uint64_t set = 0; set < 512; set++) {
        uint32_t reached = 0;
        for (uint32_t i = 0; i < 3; i++)
            reached += count_of(set & groups[i]) >= 2 ? 1 : 0;
        assert_int_equal(quorum_phase1(&system, set), reached >= 2);
        assert_int_equal(quorum_phase2(&system, set), reached >= 2);
    }
    assert_true(quorum_system_valid(&system, 9));
}

static void grid_is_a_row_against_one_of_each_row(void **state)
{
    (void)state;
    const uint64_t rows[3] = {0x003, 0x00c, 0x0f0};
    struct quorum_system system = quorum_grid(rows, 3);
    for (uint64_t set = 0; set < 256; set++) {
        bool full = false;
        bool each = true;
        for (uint32_t i = 0; i < 3; i++) {
            full = full || (set & rows[i]) == rows[i];
            each = each && (set & rows[i]) != 0;
        }
        assert_int_equal(quorum_phase1(&system, set), full);
        assert_int_equal(quorum_phase2(&system, set), each);
    }
    assert_true(quorum_system_valid(&system, 8));
}

static void joint_systems_need_both(void **state)
{
    (void)state;
    const uint64_t rows[2] = {0x03, 0x0c};
    const uint8_t weights[5] = {3, 1, 1, 1, 1};
    struct quorum_system parts[4] = {quorum_majority(3), quorum_flexible(5, 4, 2),
                                     quorum_grid(rows, 2), quorum_weighted(5, weights)};
    for (uint32_t a = 0; a < 4; a++)
        for (uint32_t b = 0; b < 4; b++) {
            struct quorum_system joint;
            assert_true(quorum_joint(&parts[a], &parts[b], &joint));
            for (uint64_t set = 0; set < 32; set++) {
                assert_int_equal(quorum_phase1(&joint, set),
                                 quorum_phase1(&parts[a], set) && quorum_phase1(&parts[b], set));
                assert_int_equal(quorum_phase2(&joint, set),
                                 quorum_phase2(&parts[a], set) && quorum_phase2(&parts[b], set));
            }
            assert_true(quorum_system_valid(&joint, 5));
        }
}

static void a_joint_system_that_does_not_fit_is_refused(void **state)
{
    (void)state;
    uint64_t rows[13];
    for (uint32_t i = 0; i < 13; i++)
        rows[i] = 1ull << i;
    struct quorum_system grid = quorum_grid(rows, 13);
    struct quorum_system joint;
    assert_false(quorum_joint(&grid, &grid, &joint));
}

/* Random trees: what the check says is what trying every pair of disjoint sets says. */
static void validity_is_what_brute_force_says(void **state)
{
    (void)state;
    struct prng prng = prng_seed(2);
    uint32_t valid_count = 0;
    for (uint32_t round = 0; round < 3000; round++) {
        uint32_t n = 1 + (uint32_t)prng_below(&prng, 5);
        uint64_t all = (1ull << n) - 1;
        struct quorum_system system = {.count = 6, .phase1 = 0, .phase2 = 1};
        for (uint32_t i = 0; i < 6; i++) {
            struct quorum_node *node = &system.nodes[i];
            node->kind = i < 2 ? (prng_below(&prng, 2) ? QUORUM_CHILDREN : QUORUM_COUNT)
                               : (prng_below(&prng, 2) ? QUORUM_WEIGHT : QUORUM_COUNT);
            node->set = prng_next(&prng) & all;
            node->threshold = 1 + (uint32_t)prng_below(&prng, 3);
            node->child_first = (uint16_t)(2 + prng_below(&prng, 3));
            node->child_count = 2;
            for (uint32_t k = 0; k < n; k++)
                node->weights[k] = (uint8_t)prng_below(&prng, 3);
        }
        bool valid = quorum_phase1(&system, all) && quorum_phase2(&system, all);
        for (uint64_t a = 0; a <= all; a++)
            for (uint64_t b = 0; b <= all; b++)
                if ((a & b) == 0 && quorum_phase1(&system, a) && quorum_phase2(&system, b))
                    valid = false;
        assert_int_equal(quorum_system_valid(&system, n), valid);
        valid_count += valid ? 1 : 0;
    }
    assert_true(valid_count > 100);
    assert_true(valid_count < 2900);
}

static void malformed_trees_are_refused(void **state)
{
    (void)state;
    struct quorum_system good = quorum_majority(3);
    struct quorum_system bad = good;
    bad.phase2 = 1;
    assert_false(quorum_system_valid(&bad, 3)); /* a root that is not there */
    bad = good;
    bad.nodes[0].set = 0xf;
    assert_false(quorum_system_valid(&bad, 3)); /* a stranger */
    bad = good;
    bad.count = QUORUM_NODES_MAX + 1;
    assert_false(quorum_system_valid(&bad, 3));
    bad = good;
    bad.nodes[0] = (struct quorum_node){
        .kind = QUORUM_CHILDREN, .threshold = 1, .child_first = 0, .child_count = 1};
    assert_false(quorum_system_valid(&bad, 3)); /* its own child */
    bad.nodes[0].child_first = 1;
    assert_false(quorum_system_valid(&bad, 3)); /* a child past the end */
    bad = good;
    bad.nodes[0].kind = (enum quorum_kind)7;
    assert_false(quorum_system_valid(&bad, 3));
    assert_false(quorum_system_valid(&good, 0));
    assert_false(quorum_system_valid(&good, 33));
}

static void large_flat_systems_are_proved_by_counting(void **state)
{
    (void)state;
    for (uint32_t n = 21; n <= 32; n++) {
        struct quorum_system system = quorum_majority(n);
        assert_true(quorum_system_valid(&system, n));
        system = quorum_flexible(n, n - 3, 4);
        assert_true(quorum_system_valid(&system, n));
        system = quorum_flexible(n, n - 4, 4);
        assert_false(quorum_system_valid(&system, n));
    }
}

static void members_are_found_by_node(void **state)
{
    (void)state;
    struct configuration configuration = {.count = 3};
    for (uint32_t i = 0; i < 3; i++)
        configuration.members[i].node = (uint16_t)(10 * (i + 1));
    assert_int_equal(configuration_place(&configuration, 20), 1);
    assert_int_equal(configuration_place(&configuration, 21), -1);
    assert_int_equal(configuration_bit(&configuration, 30), 4);
    assert_int_equal(configuration_bit(&configuration, 31), 0);
    assert_int_equal(configuration_all(&configuration), 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(majority_is_more_than_half),
        cmocka_unit_test(flexible_systems_are_valid_exactly_when_counts_overlap),
        cmocka_unit_test(weighted_is_more_than_half_of_the_weight),
        cmocka_unit_test(hierarchical_is_a_majority_of_majorities),
        cmocka_unit_test(grid_is_a_row_against_one_of_each_row),
        cmocka_unit_test(joint_systems_need_both),
        cmocka_unit_test(a_joint_system_that_does_not_fit_is_refused),
        cmocka_unit_test(validity_is_what_brute_force_says),
        cmocka_unit_test(malformed_trees_are_refused),
        cmocka_unit_test(large_flat_systems_are_proved_by_counting),
        cmocka_unit_test(members_are_found_by_node),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
