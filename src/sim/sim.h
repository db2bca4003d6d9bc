/* The simulator to its own parts: a whole cluster in one process and one thread, over virtual time,
 * with disks, networks, clocks and processes that fail as the seed says.
 *
 *     options.c    what a seed draws: cluster, faults, limits, workload
 *     draw.c       random numbers of several shapes
 *     pool.c       memory that goes all at once
 *     disk*.c      one member's disk: unsynced writes, crashes, rot, errors, a full disk
 *     network.c    links between members: delay, loss, duplication, reordering, cuts
 *     world.c      world.h over the three above
 *     member.c     one member's process: boot, crash, pause, restart, wiped disk; its clock
 *     cluster.c    the members, the event queue and virtual time
 *     nemesis.c    what goes wrong when; the liveness phase that follows
 *     trace.c      the trace: its hash, and its columns for people
 *     workload*.c  clients, through the same requests as production
 *     oracle*.c    what must hold at every moment
 *     run.c        one seed from beginning to end
 *     shrink.c     smaller options that fail alike
 *
 * The one invariant: a run is a function of its options. Nothing in this room reads a clock, an
 * address, an uninitialised byte or the order of a hash table, so one seed is one trace, on every
 * compiler. */
#ifndef SYNOD_SIM_SIM_H
#define SYNOD_SIM_SIM_H

#include "base/prng.h"
#include "replica/replica.h"
#include "sim/options.h"

struct sim;

/* Randomness is drawn from a stream of its own for each concern, so that one more draw in one does
 * not shift the others. */
enum sim_stream {
    STREAM_OPTIONS,
    STREAM_NETWORK,
    STREAM_DISK,
    STREAM_PROCESS,
    STREAM_CLOCK,
    STREAM_NEMESIS,
    STREAM_WORKLOAD,
    STREAM_MEMBERS, /* what replicas ask of world.random */
    STREAM_COUNT,
};

const struct sim_options *sim_options(const struct sim *sim);
struct prng *sim_stream(struct sim *sim, enum sim_stream stream);
/* Virtual time, nanoseconds: the true one, which no member's clock shows exactly. */
uint64_t sim_now(const struct sim *sim);
/* Calls `fn` at that time. For clients; a call can't be taken back. */
void sim_at(struct sim *sim, uint64_t time, void (*fn)(void *owner, uint64_t argument), void *owner,
            uint64_t argument);
struct mem *sim_mem(struct sim *sim);

/* Members are named by place, 0 .. members - 1; node number = place + 1. */
uint32_t sim_members(const struct sim *sim);
/* NULL while it is down. It may be paused: then it does nothing, and requests to it wait. */
struct replica *sim_replica(struct sim *sim, uint32_t place);
bool sim_paused(const struct sim *sim, uint32_t place);
/* Its disk was wiped or damaged: nothing is expected of it any more, but that it does not lie. */
bool sim_gone(const struct sim *sim, uint32_t place);
/* Grows with each start: a request of an earlier life died with it, its outcome is unknown. */
uint64_t sim_life(const struct sim *sim, uint32_t place);

/* The seed is lost: notes what is wrong (the first one counts), and the run ends soon. `oracle` is
 * a short name that stays the same, like "agreement". */
void sim_violation(struct sim *sim, const char *oracle, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool sim_violated(const struct sim *sim);
/* The names of all oracles, NULL behind the last. */
const char *sim_oracle(size_t i);
/* An oracle that was switched off (--without NAME) must not report. */
bool sim_oracle_on(const struct sim *sim, const char *oracle);

/* A line of the trace: folded into the trace's hash always, printed where it is asked for. `what`
 * is a short literal, a and b are numbers that matter. */
void sim_trace(struct sim *sim, uint32_t place, const char *what, uint64_t a, uint64_t b);

#endif
