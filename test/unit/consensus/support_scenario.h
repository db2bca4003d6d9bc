/* What the named situations have in common: a cluster with a leader, values written, somebody
 * else. */
#ifndef TEST_CONSENSUS_SUPPORT_SCENARIO_H
#define TEST_CONSENSUS_SUPPORT_SCENARIO_H

#include "consensus/support_cluster.h"

struct cluster *cluster_of(const struct engine_ops *ops, uint32_t members, uint64_t seed);
/* Waits for a leader that everybody follows; returns its place. */
uint32_t elect(struct cluster *c);
/* Proposes that many values at whoever leads, as room allows, and gives them time. */
void write_values(struct cluster *c, uint32_t count);
/* The first member that is neither of the two. */
uint32_t other_than(const struct cluster *c, uint32_t a, uint32_t b);

#endif
