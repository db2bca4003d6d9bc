/* The tree against a sorted array: the same keys in the same order, the same ranks, whatever comes
 * and goes, and all of its invariants after every few steps. */
#include "store/support_store.h"

#include "store/tree.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define POOL 3000

struct fixture {
    struct mem mem;
    struct tree tree;
    struct key *keys[POOL]; /* in order */
    bool in[POOL];
    bool live[POOL];
};

static int compare_pool(const void *a, const void *b)
{
    const struct key *const *x = a;
    const struct key *const *y = b;
    return bytes_compare(key_bytes(*x), key_bytes(*y));
}

static struct fixture *fixture_new(uint64_t seed)
{
    struct fixture *f = calloc(1, sizeof *f);
    struct prng prng = prng_seed(seed);
    test_mem_init(&f->mem);
    tree_init(&f->tree, &f->mem);
    for (uint32_t i = 0; i < POOL; i++) {
        char text[64];
        uint64_t kind = prng_below(&prng, 3);
        int size = snprintf(text, sizeof text,
                            kind == 0   ? "/a/long/common/prefix/%06u"
                            : kind == 1 ? "%u"
                                        : "/a/long/%06u/with/a/tail",
                            i);
        f->keys[i] = key_new(&f->mem, bytes_of(text, (size_t)size + (kind == 1 ? 1 : 0)));
    }
    qsort(f->keys, POOL, sizeof f->keys[0], compare_pool);
    return f;
}

static void fixture_free(struct fixture *f)
{
    tree_release(&f->tree);
    for (uint32_t i = 0; i < POOL; i++)
        key_free(&f->mem, f->keys[i]);
    assert_int_equal(f->mem.used, 0);
    free(f);
}

static void insert(struct fixture *f, uint32_t i, bool live)
{
    struct tree_path path;
    assert_null(tree_find(&f->tree, key_bytes(f->keys[i]), &path));
    tree_insert(&f->tree, &path, f->keys[i], live);
    f->in[i] = true;
    f->live[i] = live;
}

static void assert_tree_is_array(const struct fixture *f)
{
    uint64_t rank = 0;
    struct tree_cursor at = tree_first(&f->tree);
    for (uint32_t i = 0; i < POOL; i++) {
        if (i % 7 == 0)
            assert_int_equal(tree_rank(&f->tree, key_bytes(f->keys[i])), rank);
        if (!f->in[i])
            continue;
        assert_non_null(at.node);
        assert_ptr_equal(tree_key(&at), f->keys[i]);
        assert_int_equal(tree_live(&at), f->live[i]);
        rank += f->live[i];
        tree_next(&at);
    }
    assert_null(at.node);
    at = tree_last(&f->tree);
    for (uint32_t i = POOL; i-- > 0;) {
        if (!f->in[i])
            continue;
        assert_ptr_equal(tree_key(&at), f->keys[i]);
        tree_prev(&at);
    }
    assert_null(at.node);
}

static void tree_agrees_with_a_sorted_array_under_random_changes(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        struct fixture *f = fixture_new(seed);
        struct prng prng = prng_seed(seed);
        print_message("seed %llu\n", (unsigned long long)seed);
        for (uint32_t step = 0; step < 12000; step++) {
            /* Waves: mostly growing, then mostly shrinking. */
            bool grow = prng_below(&prng, 10) < (step / 3000 % 2 == 0 ? 7u : 2u);
            uint32_t i = (uint32_t)prng_below(&prng, POOL);
            struct tree_path path;
            if (!f->in[i] && grow) {
                insert(f, i, prng_below(&prng, 2) == 0);
            } else if (f->in[i] && !grow) {
                tree_remove(&f->tree, f->keys[i]);
                f->in[i] = false;
            } else if (f->in[i]) {
                assert_ptr_equal(tree_find(&f->tree, key_bytes(f->keys[i]), &path), f->keys[i]);
                f->live[i] = !f->live[i];
                tree_set_live(&f->tree, &path, f->live[i]);
            }
            if (step % 600 == 0) {
                tree_check(&f->tree);
                assert_tree_is_array(f);
            }
        }
        assert_tree_is_array(f);
        fixture_free(f);
    }
}

static void keys_in_order_fill_the_leaves(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(9);
    for (uint32_t i = 0; i < POOL; i++)
        insert(f, i, true);
    tree_check(&f->tree);
    assert_tree_is_array(f);
    /* 16 bytes a slot, and a little for the nodes: half-full leaves would take twice that. */
    size_t keys = 0;
    for (uint32_t i = 0; i < POOL; i++)
        keys += key_size(f->keys[i]);
    assert_true(f->mem.used - keys < POOL * 20);
    fixture_free(f);
}

static void keys_in_reverse_order_and_emptied_again(void **state)
{
    (void)state;
    struct fixture *f = fixture_new(10);
    for (uint32_t i = POOL; i-- > 0;)
        insert(f, i, i % 2 == 0);
    tree_check(&f->tree);
    assert_tree_is_array(f);
    for (uint32_t i = 0; i < POOL; i++) {
        tree_remove(&f->tree, f->keys[i]);
        f->in[i] = false;
        if (i % 500 == 0)
            tree_check(&f->tree);
    }
    assert_null(f->tree.root);
    fixture_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tree_agrees_with_a_sorted_array_under_random_changes),
        cmocka_unit_test(keys_in_order_fill_the_leaves),
        cmocka_unit_test(keys_in_reverse_order_and_emptied_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
