/* The heap of deadlines against a search through all items. */
#include "base/heap.h"
#include "base/prng.h"
#include "base/support_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    ITEMS = 200
};

static struct heap_item *least_of(struct heap_item *items)
{
    struct heap_item *least = NULL;
    for (int i = 0; i < ITEMS; i++) {
        struct heap_item *item = &items[i];
        if (heap_contains(item) && (least == NULL || item->key < least->key ||
                                    (item->key == least->key && item->key2 < least->key2)))
            least = item;
    }
    return least;
}

static void the_top_is_always_the_least(void **state)
{
    (void)state;
    struct test_mem mem;
    struct heap heap;
    static struct heap_item items[ITEMS];
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    test_mem_init(&mem);
    heap_init(&heap, &mem.mem);
    assert_null(heap_top(&heap));
    for (int i = 0; i < ITEMS; i++)
        heap_item_init(&items[i]);
    for (uint64_t step = 0; step < 50000; step++) {
        struct heap_item *item = &items[prng_below(&prng, ITEMS)];
        uint64_t what = prng_below(&prng, 10);
        uint32_t count = heap.count;
        if (what < 5 + (step / 5000) % 2 * 2) { /* it grows and shrinks in turns */
            bool was_in = heap_contains(item);
            heap_set(&heap, item, prng_below(&prng, 50), step); /* many equal deadlines */
            assert_true(heap_contains(item));
            assert_int_equal(heap.count, count + !was_in);
        } else if (what < 8) {
            bool was_in = heap_contains(item);
            heap_remove(&heap, item);
            assert_false(heap_contains(item));
            assert_int_equal(heap.count, count - was_in);
        } else if (heap_top(&heap) != NULL) {
            heap_remove(&heap, heap_top(&heap));
        }
        assert_ptr_equal(heap_top(&heap), least_of(items));
    }
    heap_release(&heap);
    test_mem_check(&mem);
}

static void equal_deadlines_leave_in_the_order_of_the_second_key(void **state)
{
    (void)state;
    struct test_mem mem;
    struct heap heap;
    struct heap_item items[50];
    test_mem_init(&mem);
    heap_init(&heap, &mem.mem);
    for (uint64_t i = 0; i < 50; i++) {
        heap_item_init(&items[i]);
        heap_set(&heap, &items[i], 7, (i * 37) % 50);
    }
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(heap_top(&heap)->key2, i);
        heap_remove(&heap, heap_top(&heap));
    }
    assert_null(heap_top(&heap));
    heap_release(&heap);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_top_is_always_the_least),
        cmocka_unit_test(equal_deadlines_leave_in_the_order_of_the_second_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
