/* Reads by a lease: the clock is read again after the state was, and decides. */
#include "replica/internal.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t clock_ns;

static uint64_t now(struct world *world)
{
    (void)world;
    return clock_ns;
}

static const struct world_ops ops = {.now = now};

static void what_was_read_by_a_lease_counts_while_the_lease_holds(void **state)
{
    (void)state;
    struct world world = {.ops = &ops};
    struct replica replica = {.world = &world};
    struct request request;
    request_init(&request, NULL);
    clock_ns = 1000;
    assert_true(replica_read_holds(&replica, &request)); /* a quorum was asked */
    request.until = 1001;
    assert_true(replica_read_holds(&replica, &request));
    clock_ns = 1001; /* the member was paused while it read */
    assert_false(replica_read_holds(&replica, &request));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_read_by_a_lease_counts_while_the_lease_holds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
