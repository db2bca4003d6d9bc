/* Check: is a history linearizable? Two checkers that share nothing but the history:
 *
 *     check_revisions   tier A: believes the revisions of the replies, which give the order of all
 *                       writes, and verifies everything against it; linear time
 *     check_general     tier B: believes no revision; searches for an order (Wing and Gong, with
 *                       Lowe's memoisation and a partition by keys)
 *
 * The one invariant: VIOLATION is said only if no order of the operations explains the history, and
 * OK only if one does. */
#ifndef SYNOD_CHECK_CHECK_H
#define SYNOD_CHECK_CHECK_H

#include "base/text.h"
#include "check/history.h"

enum check_outcome {
    CHECK_OK,
    CHECK_VIOLATION,
    CHECK_UNDECIDED, /* not within the budget */
    CHECK_VACUOUS,   /* no violation, but no successful read or no successful write either */
};

struct check_options {
    bool partial;   /* others wrote too, and are not in the history; check_revisions only */
    uint64_t steps; /* of search; 0: a default that takes seconds at most */
};

#define CHECK_WHAT_MAX 512
#define CHECK_NOBODY UINT32_MAX

struct check_verdict {
    enum check_outcome outcome;
    const char *rule; /* a short name of what is broken: "value", "real time", ...; NULL if OK */
    char what[CHECK_WHAT_MAX]; /* a sentence about it; "" if OK */
    uint32_t culprit;          /* the operation that cannot be placed, or CHECK_NOBODY */
    uint32_t other;            /* one that contradicts it, or CHECK_NOBODY */
    uint32_t checked;          /* operations that count: OK, or unknown and taken into account */
    uint64_t steps;            /* of search that were needed */
    /* An order that explains the longest part of the history that can be explained (of a partition
     * of its keys, for check_general): all of it if OK (empty then for check_general). */
    uint32_t *prefix;
    uint32_t prefix_count;
    struct mem *mem;
};

/* The verdict's prefix lives in `mem`, and so does all scratch meanwhile. */
void check_revisions(const struct history *history, struct mem *mem,
                     const struct check_options *options, struct check_verdict *ret_verdict);
void check_general(const struct history *history, struct mem *mem,
                   const struct check_options *options, struct check_verdict *ret_verdict);
void check_verdict_release(struct check_verdict *verdict);

/* One operation in a line, as people write it: `#12 client 3 put a=7 -> revision 5`. */
void check_describe(const struct history *history, uint32_t number, struct text *text);

#endif
