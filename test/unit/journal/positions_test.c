/* The array from slot to place, against a plain table. */
#include "journal/positions.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/prng.h"

#define SLOTS 600

static void *resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

static void it_answers_like_a_plain_table(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        struct mem mem = {.resize = resize};
        struct prng prng = prng_seed(seed);
        struct positions positions;
        positions_init(&positions, &mem);
        struct position table[SLOTS] = {0};
        uint64_t segment = 1;
        uint64_t forgotten = 0;
        for (uint64_t i = 0; i < 800; i++) {
            segment += prng_below(&prng, 20) == 0;
            uint64_t slot = 50 + i / 2 + prng_below(&prng, 20) - prng_below(&prng, 20);
            struct position position = {segment, 8 * prng_below(&prng, 1000000)};
            positions_put(&positions, slot, position);
            table[slot] = position;
            if (prng_below(&prng, 50) == 0 && segment > 3) {
                positions_forget(&positions, segment - 3);
                for (uint64_t s = 0; s < SLOTS; s++) {
                    if (table[s].segment == 0 || table[s].segment > segment - 3)
                        continue;
                    table[s] = (struct position){0};
                    forgotten = s > forgotten ? s : forgotten;
                }
            }
            uint64_t first = positions_first(&positions);
            if (first <= forgotten && first != 0)
                fail_msg("seed %llu: first %llu", (unsigned long long)seed,
                         (unsigned long long)first);
            for (uint64_t s = forgotten + 1; s < SLOTS; s++) {
                struct position found = positions_get(&positions, s);
                assert_int_equal(found.segment, table[s].segment);
                assert_int_equal(found.offset, table[s].offset);
                if (first == 0 || s < first)
                    assert_int_equal(table[s].segment, 0);
            }
        }
        positions_release(&positions);
        assert_int_equal(mem.used, 0);
    }
}

static void a_jump_forgets_what_lies_before_it_and_stays_small(void **state)
{
    (void)state;
    struct mem mem = {.resize = resize};
    struct positions positions;
    positions_init(&positions, &mem);
    positions_put(&positions, 5, (struct position){1, 4096});
    positions_put(&positions, 1ull << 40, (struct position){1, 8192});
    assert_int_equal(positions_get(&positions, 5).segment, 0);
    assert_int_equal(positions_first(&positions), 1ull << 40);
    positions_put(&positions, 6, (struct position){1, 4096});
    positions_put(&positions, UINT64_MAX, (struct position){1, 4096});
    positions_put(&positions, 0, (struct position){1, 4096});
    assert_int_equal(positions_first(&positions), 1ull << 40);
    assert_true(mem.used < 4096);
    positions_release(&positions);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_answers_like_a_plain_table),
        cmocka_unit_test(a_jump_forgets_what_lies_before_it_and_stays_small),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
