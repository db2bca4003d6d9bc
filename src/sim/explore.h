/* Explore: every state that a small cluster can get into, by the engines themselves.
 *
 * Breadth first over what may happen next: any message in flight arrives (so in every order), is
 * lost or arrives again; a clock runs on; a disk gets one record further; a member crashes with
 * each prefix of what its disk was still writing and starts again; somebody proposes, reads,
 * snapshots and trims, hands over. There is no model: what runs is the engine, through engine_ops,
 * under a host that does what the contract says and nothing else.
 *
 * The one invariant: a state is only ever reached by steps that real members could take, so every
 * violation is real, and the path to the first one is the shortest. doc/explore.md says what is
 * left out. */
#ifndef SYNOD_SIM_EXPLORE_H
#define SYNOD_SIM_EXPLORE_H

#include "consensus/engine.h"

#include <stdio.h>

#define EXPLORE_MEMBERS_MAX 4

/* What may happen only so many times on one path. */
enum explore_limit {
    LIMIT_PROPOSALS,
    LIMIT_TIMEOUTS,
    LIMIT_CRASHES,
    LIMIT_DROPS,
    LIMIT_DUPLICATES,
    LIMIT_READS,
    LIMIT_SNAPSHOTS,
    LIMIT_TRANSFERS,
    LIMIT_BREAKS, /* all peers of a member hear that its connection is gone */
    LIMIT_PAUSES, /* a member's clock jumps by two election timeouts */
    LIMITS,
};

extern const char *const explore_limit_names[LIMITS];

struct explore_options {
    const struct engine_ops *engine;
    uint32_t members; /* 1 .. EXPLORE_MEMBERS_MAX */
    uint32_t window_slots;
    uint32_t tail_slots;
    uint8_t limits[LIMITS];
    bool elected;    /* begin when the first member leads; otherwise when all have met */
    bool heartbeats; /* they travel like other messages; otherwise they arrive as they are sent */
    bool ordered;    /* between two members nothing overtakes; what is overtaken is lost */
    bool slow_disks; /* also when no crash is left; otherwise disks keep up from then on */
    uint32_t depth;  /* 0: no bound */
    uint64_t states; /* 0: no bound */
};

struct explore_progress {
    uint64_t states;      /* distinct ones */
    uint64_t transitions; /* steps that led to them or to known ones */
    uint64_t frontier;    /* states of the deepest layer so far */
    uint64_t cut;         /* steps not taken because a table of the explorer was full */
    uint64_t components;  /* distinct states of single members */
    uint64_t engine_steps;
    uint64_t bytes; /* of memory */
    uint32_t depth;
};

enum explore_verdict {
    EXPLORE_COMPLETE, /* nothing is left within the limits */
    EXPLORE_BOUNDED,  /* stopped by depth, by states or by the caller */
    EXPLORE_VIOLATED,
};

struct explore;

struct explore *explore_new(const struct explore_options *options);
void explore_free(struct explore *x);
/* Runs to the end, or until `more` (may be NULL), which is called now and then, returns false. */
enum explore_verdict explore_run(struct explore *x, void *owner,
                                 bool (*more)(void *owner,
                                              const struct explore_progress *progress));
void explore_progress(const struct explore *x, struct explore_progress *ret_progress);
/* Makes each step that was made again, from the first state of a member with the same fingerprint,
 * and counts those that bring about something else: 0, unless a fingerprint leaves out something
 * that matters. Steps of clocks are not compared: what they do may depend on how late it is. */
uint64_t explore_compare(struct explore *x, uint64_t *ret_compared);
/* What is wrong; "" unless violated. */
const char *explore_violation(const struct explore *x);
/* The path to the violation, for explore_replay: words between commas. Terminated. */
void explore_path(const struct explore *x, char *ret_path, size_t capacity);
/* Walks a path and prints every step with all that it brings about. False if `path` is no path.
 * Afterwards explore_violation() tells whether it ended in one. */
bool explore_replay(struct explore *x, const char *path, FILE *out);

#endif
