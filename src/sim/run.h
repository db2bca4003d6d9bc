/* One seed, from the first boot to the verdict. */
#ifndef SYNOD_SIM_RUN_H
#define SYNOD_SIM_RUN_H

#include "sim/options.h"
#include "sim/oracle.h"
#include "sim/workload.h"

struct sim_result {
    bool failed;
    char oracle[32];     /* that objected; "liveness", "panic", ... */
    char violation[512]; /* what is wrong */
    uint64_t hash;       /* of the whole trace */
    uint64_t simulated_ns;
    uint64_t events;
    uint64_t crashes;
    uint64_t restarts;
    uint64_t faults; /* injected, of every kind */
    uint64_t halted; /* members that found their disk damaged, and said so */
    struct workload_counts workload;
    struct oracle_counts oracle_counts;
};

/* Runs a seed. Frees all that it used: a process runs as many as it likes, one after the other.
 *
 * The oracles of this room, besides those of oracle.h and workload.h:
 *
 *     panic     no invariant of the product's own is broken
 *     livelock  no moment goes on for ever
 *     boot      a member whose disk is sound starts; one that does not says why
 *     liveness  a quorum that is healed makes progress through each of its members, and converges;
 *               then so do all
 *     leak      a member that was stopped politely has freed and closed everything */
void sim_run(const struct sim_options *options, struct sim_result *ret_result);

/* Makes the options of a failed run smaller, as long as the same oracle objects. `tried` is called
 * after each attempt; NULL: nobody wants to know. */
void sim_shrink(struct sim_options *options, struct sim_result *result, void *owner,
                void (*tried)(void *owner, const struct sim_options *options, bool kept));

#endif
