/* The checkers' judge: a keyspace so simple that one sees that it is right, and a search that tries
 * every order of a history's operations. For histories of a few keys and operations. */
#ifndef SYNOD_TEST_CHECK_SUPPORT_NAIVE_H
#define SYNOD_TEST_CHECK_SUPPORT_NAIVE_H

#include "check/history.h"

#define NAIVE_KEYS 8
#define NAIVE_OPS 8
#define NAIVE_REVISIONS 256

struct naive_key {
    uint32_t key;   /* string */
    uint32_t value; /* 0: does not exist */
    int64_t create, mod, version, lease;
};

struct naive_state {
    struct naive_key keys[NAIVE_KEYS]; /* sorted by their strings */
    int64_t revision;
};

struct naive {
    const struct history *h;
    struct naive_state now;
    struct naive_state past[NAIVE_REVISIONS]; /* by revision */
    uint32_t keys_count;
};

struct naive_answer {
    struct history_pair found[NAIVE_KEYS];
    uint32_t found_count;
    int64_t count;
    bool more;
};

/* An empty store; it knows the keys of the history's operations. */
void naive_init(struct naive *n, const struct history *h);
/* Adds a key that operations to come will use. */
void naive_know(struct naive *n, uint32_t key);
bool naive_holds(const struct naive *n, const struct history_operation *o);
/* Plays a branch; answers for each of its operations. */
void naive_play(struct naive *n, const struct history_op *ops, uint32_t count,
                struct naive_answer *ret_answers);

/* Tries every order. With `revisions`, all that an answer says of revisions must be right; without,
 * only values, counts and branches. */
bool naive_linearizable(const struct history *h, bool revisions);

#endif
