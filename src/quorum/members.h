/* Members: who belongs to the cluster, as data. A configuration names its members and the quorum
 * system over them; a member's place in the array is its bit in every member set. */
#ifndef SYNOD_QUORUM_MEMBERS_H
#define SYNOD_QUORUM_MEMBERS_H

#include <stdint.h>

#include "quorum/quorum.h"

#define MEMBERS_MAX 32

/* A set of members of one configuration: bit i is the member at place i. */
typedef uint64_t member_set;

struct member {
    uint64_t id;   /* the cluster-wide id that clients see */
    uint16_t node; /* short stable number, from 1, never used twice; names the member in ballots */
};

struct configuration {
    uint64_t slot; /* where it was decided; 0: at bootstrap */
    uint32_t count;
    struct member members[MEMBERS_MAX];
    struct quorum_system quorums;
};

/* The place of a node, or -1. */
int configuration_place(const struct configuration *configuration, uint16_t node);
/* The set that holds just that node; empty for a stranger. */
member_set configuration_bit(const struct configuration *configuration, uint16_t node);
/* Everybody. */
member_set configuration_all(const struct configuration *configuration);

#endif
