/* The workload: clients of a simulated cluster, through the very requests that fronts make. What
 * they ask and what they hear is recorded as a history (check/history.h) and checked at the end;
 * what can be judged at once is judged at once (watches, leases, acknowledged writes).
 *
 *     answer       what is acknowledged stands in the log's one history, and what is read at a
 *                  revision is what that history says of it
 *     compaction   reads below what was compacted are refused, others are not
 *     watch        ordered, unique, atomic, resumable, reliable; progress never ahead; prev, create
 *                  and filters right
 *     lease        none ends before its time, none is renewed after its end, none outlives it
 *     linearizable the history of all clients explains itself, to the checker that uses revisions
 *                  and to the one that ignores them (which has a budget)
 *     vacuous      clients did get something done, of each kind that they tried
 *
 * The one invariant: it demands nothing that a correct cluster cannot give. A request whose member
 * died, or that timed out, has an unknown outcome. */
#ifndef SYNOD_SIM_WORKLOAD_H
#define SYNOD_SIM_WORKLOAD_H

#include "sim/oracle.h"
#include "sim/sim.h"

struct workload;

struct workload_counts {
    uint64_t operations; /* completed, with a known outcome */
    uint64_t unknown;
    uint64_t refused;
    uint64_t events;          /* of watches, checked */
    uint64_t leases;          /* granted, and followed to their end */
    uint64_t history;         /* operations given to the checkers */
    uint64_t general;         /* histories that the general checker judged, */
    uint64_t general_unknown; /* and that one of the checkers gave up on */
};

/* `oracle` keeps the truth that answers are compared with; it outlives the workload. */
struct workload *workload_new(struct sim *sim, struct oracle *oracle);
void workload_free(struct workload *workload);
/* The clients begin: from here on they wake themselves by sim_at. */
void workload_start(struct workload *workload);
/* A member is up (it was opened and started) or is about to go down (crash, stop, wipe): requests
 * and watchers of it are over. */
void workload_member_up(struct workload *workload, uint32_t place);
void workload_member_down(struct workload *workload, uint32_t place);
/* After every turn of a member, as a front: pull what its watchers have. */
void workload_turn(struct workload *workload, uint32_t place);
/* No new chaos of its own: for the liveness phase, clients go on at a moderate pace. */
void workload_calm(struct workload *workload);
/* Clients ask nothing new. */
void workload_stop(struct workload *workload);
/* Nobody waits any more, and every lease that must end has ended. */
bool workload_quiet(const struct workload *workload);
/* Has some write through this member, asked for after `since`, succeeded? For liveness. */
bool workload_progressed(const struct workload *workload, uint32_t place, uint64_t since);
/* The end: every live member is converged; histories go to the checkers, final state is compared,
 * vacuous runs are counted. Violations are reported to the sim. */
void workload_judge(struct workload *workload);
void workload_counts(const struct workload *workload, struct workload_counts *ret_counts);

#endif
