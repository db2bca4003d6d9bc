/* One seed from beginning to end.
 *
 * The one invariant: whatever happens, even a panic of the product, the run ends here with a
 * result, and nothing of it stays. */
#include "sim/internal.h"

#include "base/panic.h"

#include <stdio.h>
#include <string.h>

static struct sim *current; /* for the hook, which is given nothing */

/* An invariant of the product is broken: the run is over, and all of its memory with it. */
static void on_panic(const char *file, int line, const char *what)
{
    struct sim *sim = current;
    const char *room = strstr(file, "src/");
    sim_violation(sim, "panic", "%s:%d: %s", room == NULL ? file : room, line, what);
    sim->panicked = true;
    longjmp(sim->exit, 1);
}

static void run(struct sim *sim)
{
    trace_begin(sim);
    sim->oracle = oracle_new(sim);
    sim->workload = workload_new(sim, sim->oracle);
    loop_init(sim);
    nemesis_start(sim);
    workload_start(sim->workload);
    loop_run(sim);
    if (!sim->judged && !sim->violated)
        workload_judge(sim->workload); /* nobody is left, but what clients heard must be true */
}

static void count(struct sim *sim)
{
    struct sim_result *result = sim->result;
    result->hash = sim->hash;
    result->simulated_ns = sim->now;
    result->events = sim->events_done;
    for (uint32_t i = 0; i < sim->options.members; i++)
        result->faults += sim->members[i].disk.faults_struck;
    if (sim->workload != NULL)
        workload_counts(sim->workload, &result->workload);
    if (sim->oracle != NULL)
        oracle_counts(sim->oracle, &result->oracle_counts);
}

void sim_run(const struct sim_options *options, struct sim_result *ret_result)
{
    static struct sim sim;
    memset(&sim, 0, sizeof sim);
    memset(ret_result, 0, sizeof *ret_result);
    sim.options = *options;
    sim.result = ret_result;
    pool_init(&sim.pool);
    current = &sim;
    panic_set_hook(on_panic);
    if (setjmp(sim.exit) == 0)
        run(&sim);
    panic_set_hook(NULL);
    count(&sim);
    for (uint32_t i = 0; i < sim.options.members; i++)
        pool_release(&sim.members[i].pool);
    pool_release(&sim.pool);
}
