/* See support_scenario.h. */
#include "consensus/support_scenario.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

struct cluster *cluster_of(const struct engine_ops *ops, uint32_t members, uint64_t seed)
{
    struct cluster_options options = cluster_options_default(ops, seed);
    options.members = members;
    return cluster_new(options);
}

uint32_t elect(struct cluster *c)
{
    cluster_run_until(c, cluster_converged, 2000 * MS);
    return (uint32_t)cluster_leader(c);
}

/* Proposes that many values at whoever leads, as room allows. */
void write_values(struct cluster *c, uint32_t count)
{
    for (uint64_t end = c->now + 20000 * MS; count > 0 && c->now < end;) {
        int leader = cluster_leader(c);
        if (leader >= 0 && cluster_propose(c, (uint32_t)leader))
            count--;
        else
            cluster_run_for(c, MS);
    }
    assert_int_equal(count, 0);
    cluster_run_for(c, 20 * MS);
}

uint32_t other_than(const struct cluster *c, uint32_t a, uint32_t b)
{
    uint32_t place = 0;
    while (place == a || place == b)
        place++;
    assert_true(place < c->options.members);
    return place;
}
