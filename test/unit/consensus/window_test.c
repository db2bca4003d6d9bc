/* The ring of slots against a model: an array indexed by slot that never forgets. */
#include "consensus/multipaxos.h"
#include "consensus/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

static void *test_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new > 0)
        return realloc(at, size_new);
    free(at);
    return NULL;
}

static struct configuration configuration_of_three(void)
{
    struct configuration configuration = {.count = 3, .quorums = quorum_majority(3)};
    for (uint32_t i = 0; i < 3; i++)
        configuration.members[i].node = (uint16_t)(i + 1);
    return configuration;
}

static struct multipaxos *window_new(const struct configuration *configuration,
                                     uint32_t window_slots, uint32_t tail_slots)
{
    struct engine_config config = {
        .era = 1,
        .self = 1,
        .configuration = configuration,
        .heartbeat_ns = 100 * MS,
        .election_ns = 1000 * MS,
        .window_slots = window_slots,
        .window_bytes = 1000,
        .tail_slots = tail_slots,
        .tail_bytes = 200,
    };
    struct multipaxos *p = malloc(engine_multipaxos.size(&config));
    engine_multipaxos.init(p, &config);
    return p;
}

static void window_free(struct multipaxos *p)
{
    engine_multipaxos.release(p);
    free(p);
}

static void the_window_is_what_a_plain_array_says(void **state)
{
    (void)state;
    enum {
        SLOTS = 3000
    };
    struct configuration configuration = configuration_of_three();
    struct mem mem = {test_resize, 0};
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct prng prng = prng_seed(seed);
        uint32_t window_slots = 1u << prng_below(&prng, 6);
        struct multipaxos *p =
            window_new(&configuration, window_slots, (uint32_t)prng_below(&prng, 20));
        static uint8_t model[SLOTS]; /* size + 1 of what is stored */
        for (uint32_t i = 0; i < SLOTS; i++)
            model[i] = 0;
        while (p->chosen_upto < SLOTS - 200) {
            uint64_t slot = p->chosen_upto + 1 + prng_below(&prng, window_slots);
            assert_true(multipaxos_window_fits(p, slot));
            assert_true(multipaxos_window_reach(p, slot));
            struct multipaxos_cell *cell = multipaxos_window_claim(p, slot);
            struct blob *entry = blob_new(&mem, prng_below(&prng, 50));
            multipaxos_window_store(p, cell, entry);
            model[slot] = (uint8_t)(entry->size + 1);
            blob_drop(entry);
            if (prng_below(&prng, 100) == 0) {
                multipaxos_window_jump(p, p->chosen_upto + 1 + prng_below(&prng, 40));
                assert_int_equal(p->base, p->chosen_upto);
            }
            while (model[p->chosen_upto + 1] != 0 && prng_below(&prng, 3) > 0) {
                multipaxos_window_find(p, p->chosen_upto + 1)->chosen = true;
                multipaxos_window_deliver(p);
            }
            uint64_t bytes = 0;
            for (uint64_t s = p->base + 1; s <= p->chosen_upto + window_slots; s++) {
                cell = multipaxos_window_find(p, s);
                assert_int_equal(cell != NULL, model[s] != 0);
                if (cell != NULL)
                    assert_int_equal(blob_bytes(cell->entry).size + 1, model[s]);
                bytes += s > p->chosen_upto && cell != NULL ? blob_bytes(cell->entry).size : 0;
            }
            assert_int_equal(p->undelivered_bytes, bytes);
            assert_true(p->chosen_upto - p->base <= p->config.tail_slots);
            assert_true(p->tail_bytes <= p->config.tail_bytes);
            assert_null(multipaxos_window_find(p, p->base));
        }
        window_free(p);
        assert_int_equal(mem.used, 0);
    }
}

static void the_highest_report_of_a_slot_wins(void **state)
{
    (void)state;
    struct configuration configuration = configuration_of_three();
    struct mem mem = {test_resize, 0};
    struct multipaxos *p = window_new(&configuration, 8, 4);
    struct blob *low = blob_copy(&mem, bytes_text("low"));
    struct blob *high = blob_copy(&mem, bytes_text("high"));
    struct multipaxos_cell *cell = multipaxos_window_claim(p, 3);
    multipaxos_window_report(p, cell, (struct ballot){2, 1, 1}, low);
    multipaxos_window_report(p, cell, (struct ballot){4, 1, 1}, high);
    multipaxos_window_report(p, cell, (struct ballot){3, 1, 1}, low);
    assert_ptr_equal(cell->reported_entry, high);
    multipaxos_window_clear_reports(p);
    assert_null(multipaxos_window_find(p, 3)); /* nothing was accepted there */
    blob_drop(low);
    blob_drop(high);
    window_free(p);
    assert_int_equal(mem.used, 0);
}

static void a_slot_too_far_ahead_has_no_place(void **state)
{
    (void)state;
    struct configuration configuration = configuration_of_three();
    struct multipaxos *p = window_new(&configuration, 8, 4);
    assert_int_equal(p->capacity, 16);
    assert_false(multipaxos_window_fits(p, 0));
    assert_true(multipaxos_window_fits(p, 8));
    assert_false(multipaxos_window_fits(p, 9));
    assert_true(multipaxos_window_reach(p, 16));
    assert_false(multipaxos_window_reach(p, 17));
    assert_false(multipaxos_window_reach(p, UINT64_MAX / 4));
    window_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_window_is_what_a_plain_array_says),
        cmocka_unit_test(the_highest_report_of_a_slot_wins),
        cmocka_unit_test(a_slot_too_far_ahead_has_no_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
