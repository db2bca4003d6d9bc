/* The stable sort: order, stability and nothing lost, over sizes around its powers of two. */
#include "base/prng.h"
#include "base/sort.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

enum {
    COUNT_MAX = 300
};

struct item {
    uint32_t key;
    uint32_t place; /* before the sort */
    uint8_t rest[5];
};

static int by_key(const void *a, const void *b, const void *context)
{
    const int direction = *(const int *)context;
    uint32_t left = ((const struct item *)a)->key;
    uint32_t right = ((const struct item *)b)->key;
    return ((left > right) - (left < right)) * direction;
}

static void items_come_in_order_and_equal_ones_keep_theirs(void **state)
{
    (void)state;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    static struct item items[COUNT_MAX];
    static struct item scratch[COUNT_MAX];
    for (uint32_t round = 0; round < 1200; round++) {
        uint32_t count = round < COUNT_MAX ? round : (uint32_t)prng_below(&prng, COUNT_MAX);
        uint64_t keys = 1 + prng_below(&prng, 100);
        int direction = round % 2 == 0 ? 1 : -1;
        bool seen[COUNT_MAX] = {false};
        for (uint32_t i = 0; i < count; i++)
            items[i] = (struct item){.key = (uint32_t)prng_below(&prng, keys), .place = i};
        sort_stable(items, scratch, count, sizeof items[0], by_key, &direction);
        for (uint32_t i = 0; i < count; i++) {
            assert_false(seen[items[i].place]);
            seen[items[i].place] = true;
            if (i == 0)
                continue;
            int order = by_key(&items[i - 1], &items[i], &direction);
            assert_true(order < 0 || (order == 0 && items[i - 1].place < items[i].place));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_order_and_equal_ones_keep_theirs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
