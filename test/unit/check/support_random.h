/* Random histories: a sequential run of the simple store, seen through clients whose calls and
 * returns lie around the moments at which things happened. Such a history is linearizable, and all
 * its revisions are right; a mutation may make it wrong. */
#ifndef SYNOD_TEST_CHECK_SUPPORT_RANDOM_H
#define SYNOD_TEST_CHECK_SUPPORT_RANDOM_H

#include "base/prng.h"
#include "check/history.h"

struct random_plan {
    uint32_t operations;
    uint32_t keys;
    uint64_t width; /* how far calls and returns lie from the moment, in operations */
    /* In percent. */
    uint32_t reads;
    uint32_t ranges;
    uint32_t deletes;
    uint32_t transactions;
    uint32_t leases;
    uint32_t past;
    uint32_t serializable;
    uint32_t unknown;
    uint32_t failed;
    uint32_t repeats; /* of puts: a value that was there before */
};

/* A plan with everything in it. */
struct random_plan random_plan_any(struct prng *prng, uint32_t operations);
struct history *random_history(struct mem *mem, struct prng *prng, const struct random_plan *plan);

/* Renames keys, values and clients, keeping the order of keys; widens every interval. */
struct history *random_renamed(struct mem *mem, const struct history *h);
struct history *random_widened(struct mem *mem, const struct history *h, struct prng *prng);
/* The same operations with one thing wrong, perhaps. */
struct history *random_mutated(struct mem *mem, const struct history *h, struct prng *prng);
/* What some of the clients saw of it. */
struct history *random_part(struct mem *mem, const struct history *h);
/* A copy whose operations may be changed by hand: sorts them by call at the end,
 * and leaves out those whose client is UINT32_MAX. */
struct history *history_again(struct mem *mem, const struct history *h,
                              void (*change)(struct history *copy, uint32_t number,
                                             struct history_operation *o, void *context),
                              void *context);

#endif
