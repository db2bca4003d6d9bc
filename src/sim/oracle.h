/* The oracles: what must hold at every moment of a run, whatever fails. They watch every member
 * through its observer, and keep the truth that no member has: the whole.
 *
 *     agreement    one value a slot, in every life of every member, for ever; and what one member
 *                  delivered, all have delivered in the end
 *     prefix       deliveries without gaps, from 1 or from behind an installed snapshot
 *     ballot       one leader a ballot
 *     proposal     what one ballot records at a slot is one value, on all disks
 *     durability   a message that left is covered by what its sender finds after a crash
 *     monotone     a member's promised ballot never falls, not even over a restart
 *     index        a read is told a slot that holds all that was complete before it was asked for
 *     digest       the same log gives the same state, on all members
 *     model        and that state is the one which the rules give (oracle_truth.h)
 *
 * The one invariant: an oracle never looks inside an engine: what it demands, it demands of all. */
#ifndef SYNOD_SIM_ORACLE_H
#define SYNOD_SIM_ORACLE_H

#include "sim/sim.h"

struct oracle;
struct truth;

struct oracle *oracle_new(struct sim *sim);
void oracle_free(struct oracle *oracle);
/* For replica_config.observer of this member; stays the same over its lives. */
const struct replica_observer *oracle_observer(struct oracle *oracle, uint32_t place);
/* It was opened: its whole state is compared with the truth. */
void oracle_member_up(struct oracle *oracle, uint32_t place);
/* It died. With `wiped` it also lost its disk, or a part of it that no crash can take: what it
 * promised is gone with it. */
void oracle_member_down(struct oracle *oracle, uint32_t place, bool wiped);
/* All have converged: the last words. */
void oracle_judge(struct oracle *oracle);

/* What happened, for the workload to compare answers with. */
struct truth *oracle_truth(struct oracle *oracle);
/* A client was answered on the state of this revision: whatever begins now must see it. */
void oracle_complete(struct oracle *oracle, int64_t revision);

struct oracle_counts {
    uint64_t deliveries;
    uint64_t slots;
    uint64_t leader_changes;
    uint64_t digests;
    uint64_t releases; /* held messages whose claim was checked */
};
void oracle_counts(const struct oracle *oracle, struct oracle_counts *ret_counts);

#endif
