/* Jobs of the simulator: worker processes that run seeds side by side, each from beginning to end.
 * A run is a function of its options, so it does not matter which worker does it.
 *
 * The one invariant: every task is reported once, also when its worker crashes or hangs: then with
 * the oracle "crash" or "hang". */
#ifndef SYNOD_CLI_SIM_JOBS_H
#define SYNOD_CLI_SIM_JOBS_H

#include "sim/run.h"

struct sim_jobs {
    uint32_t workers;
    uint64_t tasks;       /* 0 .. tasks - 1; UINT64_MAX: until `deadline_ns` */
    uint64_t deadline_ns; /* of the monotonic clock; nothing is begun behind it; 0: none */
    uint64_t hang_ns;     /* a task that takes longer is a failure */
    void *owner;
    /* What task i is; called in the worker. */
    void (*task)(void *owner, uint64_t i, struct sim_options *ret_options);
    /* Called here, in the order in which they end. */
    void (*done)(void *owner, uint64_t i, const struct sim_result *result);
    /* Now and then, a few times a second. */
    void (*tick)(void *owner);
};

/* False: the workers cannot be started; a message was printed. */
bool sim_jobs_run(const struct sim_jobs *jobs);
uint64_t sim_jobs_clock_ns(void);

#endif
