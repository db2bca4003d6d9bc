/* Sort against the definition: in order, nothing lost, and equal items as they came. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "base/sort.h"

struct item {
    uint32_t key;
    uint32_t place;
};

static int compare_items(const void *a, const void *b, const void *context)
{
    const struct item *x = a;
    const struct item *y = b;
    assert_int_equal(*(const int *)context, 7);
    return (x->key > y->key) - (x->key < y->key);
}

static void items_come_out_in_order_and_equal_ones_as_they_came(void **state)
{
    (void)state;
    const int context = 7;
    struct prng prng = prng_seed(1);
    static struct item items[600];
    static struct item scratch[600];
    for (uint32_t count = 0; count <= 600; count += count < 20 ? 1 : 29) {
        uint64_t seen = 0;
        for (uint32_t i = 0; i < count; i++)
            items[i] = (struct item){(uint32_t)prng_below(&prng, 40), i};
        sort_stable(items, scratch, count, sizeof items[0], compare_items, &context);
        for (uint32_t i = 0; i < count; i++) {
            seen += items[i].place + 1u;
            if (i == 0)
                continue;
            assert_true(items[i - 1].key <= items[i].key);
            if (items[i - 1].key == items[i].key)
                assert_true(items[i - 1].place < items[i].place);
        }
        assert_int_equal(seen, (uint64_t)count * (count + 1) / 2);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_out_in_order_and_equal_ones_as_they_came),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
