/* Quorum systems: predicates over sets of members.
 *
 * Every rule of every engine is one line over two of them: Q1 (phase 1: election, takeover) and Q2
 * (phase 2: a value is chosen). The one invariant: for every set S, not both Q1(S) and Q2(all but
 * S); quorum_system_valid() checks it before a configuration is used (Flexible Paxos, Howard et al.
 * 2016). Specifications are trees, so that majority, weighted, hierarchical, grid and joint systems
 * are the same data type. */
#ifndef SYNOD_QUORUM_QUORUM_H
#define SYNOD_QUORUM_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#define QUORUM_NODES_MAX 32
#define QUORUM_CHECKED_MEMBERS_MAX 20 /* validity is checked over all 2^n subsets up to here */

enum quorum_kind {
    QUORUM_COUNT,    /* at least `threshold` members of `set` */
    QUORUM_WEIGHT,   /* members of `set` whose weights add up to at least `threshold` */
    QUORUM_CHILDREN, /* at least `threshold` of the child predicates hold (AND: all, OR: one) */
};

struct quorum_node {
    enum quorum_kind kind;
    uint32_t threshold;
    uint64_t set;         /* COUNT, WEIGHT */
    uint8_t weights[32];  /* WEIGHT: by place */
    uint16_t child_first; /* CHILDREN: consecutive nodes of the same system, all after this one */
    uint16_t child_count;
};

struct quorum_system {
    uint16_t count;
    uint16_t phase1; /* index of the root of Q1 */
    uint16_t phase2; /* index of the root of Q2 */
    struct quorum_node nodes[QUORUM_NODES_MAX];
};

/* Q1 = Q2 = more than half of the first `members` places. */
struct quorum_system quorum_majority(uint32_t members);
/* Q1 = any `phase1` members, Q2 = any `phase2` members. */
struct quorum_system quorum_flexible(uint32_t members, uint32_t phase1, uint32_t phase2);
/* Q1 = Q2 = more than half of the weight. */
struct quorum_system quorum_weighted(uint32_t members, const uint8_t *weights);
/* Q1 = Q2 = a majority in a majority of the groups; group i is the set groups[i]. */
struct quorum_system quorum_hierarchical(const uint64_t *groups, uint32_t groups_count);
/* Q1 = some full row, Q2 = one member of each row; row i is the set rows[i]. */
struct quorum_system quorum_grid(const uint64_t *rows, uint32_t rows_count);
/* Both systems must agree: joint configurations. Returns false if it does not fit. */
bool quorum_joint(const struct quorum_system *a, const struct quorum_system *b,
                  struct quorum_system *ret_joint);

bool quorum_phase1(const struct quorum_system *system, uint64_t set);
bool quorum_phase2(const struct quorum_system *system, uint64_t set);
/* Does every Q1 meet every Q2, is the tree well formed, and can all members together decide? */
bool quorum_system_valid(const struct quorum_system *system, uint32_t members);

#endif
