/* Slabs: blocks that do not overlap, and pages that go from one size to another. */
#include "base/prng.h"
#include "world/slab.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum {
    HELD = 5000
};

struct held {
    uint8_t *at;
    size_t size;
};

static void fill(const struct held *held)
{
    memset(held->at, (int)(held->size % 251), held->size);
}

static bool intact(const struct held *held)
{
    for (size_t i = 0; i < held->size; i++) {
        if (held->at[i] != held->size % 251)
            return false;
    }
    return true;
}

static void blocks_of_all_sizes_keep_to_themselves(void **state)
{
    (void)state;
    struct slabs slabs;
    struct prng prng = prng_seed(1);
    static struct held all[HELD];
    slabs_init(&slabs);
    for (size_t i = 0; i < (size_t)20 * HELD; i++) {
        struct held *held = &all[prng_below(&prng, HELD)];
        if (held->at != NULL) {
            assert_true(intact(held));
            slabs_free(&slabs, held->at, held->size);
            held->at = NULL;
            continue;
        }
        held->size = 1 + (size_t)prng_below(&prng, SLAB_MAX);
        held->at = slabs_alloc(&slabs, held->size);
        assert_non_null(held->at);
        assert_int_equal((uintptr_t)held->at % 16, 0);
        fill(held);
    }
    for (size_t i = 0; i < HELD; i++) {
        if (all[i].at == NULL)
            continue;
        assert_true(intact(&all[i]));
        slabs_free(&slabs, all[i].at, all[i].size);
    }
}

static void pages_without_blocks_serve_every_size(void **state)
{
    (void)state;
    struct slabs slabs;
    enum {
        COUNT = 100000
    };
    void **all = calloc(COUNT, sizeof *all);
    assert_non_null(all);
    slabs_init(&slabs);
    size_t regions = 0;
    for (size_t size = SLAB_MAX; size >= 64; size /= 2) {
        size_t count = COUNT * 64 / size;
        for (size_t i = 0; i < count; i++) {
            all[i] = slabs_alloc(&slabs, size);
            assert_non_null(all[i]);
            memset(all[i], 1, size);
        }
        if (regions == 0)
            regions = slabs.regions;
        for (size_t i = 0; i < count; i++)
            slabs_free(&slabs, all[i], size);
    }
    assert_true(slabs.regions <= regions + 1);
    free(all);
}

static void what_is_too_large_or_nothing_is_not_taken(void **state)
{
    (void)state;
    assert_false(slabs_take(0));
    assert_true(slabs_take(1));
    assert_true(slabs_take(SLAB_MAX));
    assert_false(slabs_take(SLAB_MAX + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(blocks_of_all_sizes_keep_to_themselves),
        cmocka_unit_test(pages_without_blocks_serve_every_size),
        cmocka_unit_test(what_is_too_large_or_nothing_is_not_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
