/* The intrusive ring. */
#include "base/list.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

struct item {
    int number;
    struct list link;
};

static void assert_order(struct list *list, const int *numbers)
{
    list_each (at, list)
        assert_int_equal(container_of(at, struct item, link)->number, *numbers++);
    assert_int_equal(*numbers, 0);
}

static void items_come_in_the_order_of_their_pushing(void **state)
{
    (void)state;
    struct list list;
    struct item items[3] = {{.number = 1}, {.number = 2}, {.number = 3}};
    list_init(&list);
    assert_true(list_empty(&list));
    for (int i = 0; i < 3; i++)
        list_push(&list, &items[i].link);
    assert_false(list_empty(&list));
    assert_order(&list, (int[]){1, 2, 3, 0});
    list_remove(&items[1].link);
    assert_order(&list, (int[]){1, 3, 0});
    list_push(&list, &items[1].link);
    assert_order(&list, (int[]){1, 3, 2, 0});
}

static void removing_what_is_in_no_list_is_harmless(void **state)
{
    (void)state;
    struct item item;
    list_init(&item.link);
    list_remove(&item.link);
    list_remove(&item.link);
    assert_true(list_empty(&item.link));
}

static void the_current_item_may_leave_during_a_walk(void **state)
{
    (void)state;
    struct list list;
    struct item items[5];
    list_init(&list);
    for (int i = 0; i < 5; i++) {
        items[i].number = i + 1;
        list_push(&list, &items[i].link);
    }
    int seen = 0;
    list_each (at, &list) {
        seen++;
        if (container_of(at, struct item, link)->number % 2 == 1)
            list_remove(at);
    }
    assert_int_equal(seen, 5);
    assert_order(&list, (int[]){2, 4, 0});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_come_in_the_order_of_their_pushing),
        cmocka_unit_test(removing_what_is_in_no_list_is_harmless),
        cmocka_unit_test(the_current_item_may_leave_during_a_walk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
