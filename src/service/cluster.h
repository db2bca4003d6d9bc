/* Cluster: what the machine knows of its members: who they are, which alarms are raised, who keeps
 * the leases, and what digest each has stated. Plain sorted arrays: there are few of everything. */
#ifndef SYNOD_SERVICE_CLUSTER_H
#define SYNOD_SERVICE_CLUSTER_H

#include "service/machine.h"

struct statement {
    uint64_t member;
    uint64_t slot;
    uint64_t digest;
};

/* Statements of a member that are kept; more than one, for members do not state in step. */
#define STATEMENTS_PER_MEMBER 4u
#define STATEMENTS_MAX 256u

struct cluster {
    struct mem *mem;
    struct command_member *members; /* by id; their bytes are copies */
    uint32_t members_count;
    struct alarm *alarms; /* by member, then kind */
    uint32_t alarms_count;
    uint16_t keeper;
    uint64_t keeper_round;
    struct statement statements[STATEMENTS_MAX]; /* oldest first */
    uint32_t statements_count;
};

/* What a majority says about a slot. */
struct verdict {
    bool reached;
    uint64_t slot;
    uint64_t digest;
};

void cluster_init(struct cluster *cluster, struct mem *mem);
void cluster_release(struct cluster *cluster);
/* Publishes a member, or replaces what it published before. Copies. */
void cluster_publish(struct cluster *cluster, const struct command_member *member);
void cluster_alarm(struct cluster *cluster, bool activate, const struct alarm *alarm);
bool cluster_alarmed(const struct cluster *cluster, enum alarm_kind kind);
/* Takes a new keeper if its round is newer; false if it is not. */
bool cluster_keep(struct cluster *cluster, uint16_t node, uint64_t round);
/* Notes a statement; raises ALARM_CORRUPT for those whom a majority of `voters` contradicts. */
struct verdict cluster_state_digest(struct cluster *cluster, const struct statement *statement,
                                    uint32_t voters);

#endif
