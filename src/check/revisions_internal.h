/* Tier A to its own parts:
 *
 *     revisions.c          the verdict: which passes run, in which order
 *     revisions_order.c    keys, and the order of all operations by revision; real time
 *     revisions_resolve.c  unknown operations whose values were seen
 *     revisions_replay.c   the model: every reply against the state at its revision
 *     revisions_gaps.c     which unknown operation wrote a revision that nobody claims
 *     revisions_partial.c  the same replies where others wrote as well
 *
 * An *item* is an operation at its place in the order: a write at its revision, then what was read
 * at that revision. A *gap* is a revision that no item writes. */
#ifndef SYNOD_CHECK_REVISIONS_INTERNAL_H
#define SYNOD_CHECK_REVISIONS_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/map.h"
#include "check/check.h"

enum rev_kind {
    REV_WRITE,
    REV_READ, /* also a revocation: whether it wrote is seen when the replay gets there */
    REV_PAST, /* what an operation read at an older revision than its own (op.at) */
};

struct rev_item {
    int64_t revision;
    uint64_t call;
    uint32_t op;
    enum rev_kind kind;
    bool succeeded; /* the branch; of unknown ones it was found out */
};

struct rev_key {
    uint32_t value;  /* 0: the key does not exist */
    uint32_t writer; /* 1 + the operation that made it so; 0: nobody */
    int64_t create;
    int64_t mod;
    int64_t version;
    int64_t lease;
};

/* Every key that ever hung on a lease: sorted by lease, then by key. */
struct rev_attachment {
    int64_t lease;
    uint32_t key;
};

struct revisions {
    const struct history *h;
    struct arena arena; /* all that lives as long as the check */
    struct check_verdict *verdict;
    uint64_t steps_max;

    uint32_t *key_of;  /* by string: 1 + its key; 0: it is none */
    uint32_t *strings; /* by key; in their order if `ordered` */
    uint32_t keys_count;
    bool ordered;
    struct rev_attachment *attachments;
    uint32_t attachments_count;

    struct rev_item *items;
    uint32_t items_count;
    uint32_t items_capacity;
    struct map writes; /* revision -> 1 + number of the OK or resolved operation that wrote it */
    bool *resolved;    /* by operation: an unknown one that has its item */

    /* The best attempt so far: how far it came, and what stopped it. */
    uint32_t best;
    bool refuted;
    struct text said;
    char nothing[1];
};

/* True if the operation surely changed something at its revision: its answer says so. */
bool rev_wrote(const struct history_operation *operation);
/* True if a request may change something. */
bool rev_may_write(const struct history_operation *operation);
static inline uint32_t rev_key_of(const struct revisions *a, uint32_t string)
{
    return a->key_of[string] - 1;
}
/* The keys of [key, end) as [*ret_from, *ret_to); end 0: the one key. */
void rev_range(const struct revisions *a, uint32_t key, uint32_t end, uint32_t *ret_from,
               uint32_t *ret_to);
/* The attachments of a lease, as [from, to). */
void rev_lease(const struct revisions *a, int64_t lease, uint32_t *ret_from, uint32_t *ret_to);

/* These return false after noting a refutation. */
bool rev_order(struct revisions *a);
bool rev_resolve(struct revisions *a, bool partial);
bool rev_sort(struct revisions *a);
bool rev_real_time(struct revisions *a);
void rev_add_item(struct revisions *a, int64_t revision, uint32_t op, enum rev_kind kind,
                  bool succeeded);
bool rev_partial(struct revisions *a);

/* The operation cannot be placed at this item. Returns where to write why; what did not come as far
 * as an earlier attempt is written for nobody. */
struct text *rev_refute(struct revisions *a, uint32_t place, const char *rule, uint32_t op,
                        uint32_t other);
void rev_say_string(const struct revisions *a, struct text *text, uint32_t string);
void rev_say_pair(const struct revisions *a, struct text *text, uint32_t key, uint32_t value,
                  int64_t create, int64_t mod, int64_t version);
void rev_say_number(struct text *text, const char *before, int64_t number);

/* --- the model of complete histories ------------------------------------------------------- */

struct rev_undo {
    uint32_t key;
    struct rev_key before;
};

struct rev_replay {
    struct revisions *a;
    struct rev_key *keys;
    uint64_t *present; /* bits by key */
    int64_t revision;  /* everything up to it happened */
    bool logging;
    struct buffer undo; /* of struct rev_undo */
};

void rev_replay_init(struct rev_replay *r, struct revisions *a);
void rev_replay_release(struct rev_replay *r);
/* Plays one item; false after a refutation. `place` is its place, for the refutation. */
bool rev_replay_item(struct rev_replay *r, const struct rev_item *item, uint32_t place);
/* Do the operation's compares hold now? */
bool rev_replay_holds(const struct rev_replay *r, const struct history_operation *operation);
/* Plays the writes of a branch at a revision, checking nothing. True if anything changed. */
bool rev_replay_branch(struct rev_replay *r, uint32_t op, bool succeeded, int64_t revision);
/* Takes back what was logged beyond this size of the log. */
void rev_replay_undo(struct rev_replay *r, size_t size);
bool rev_replay_lease_in_use(const struct rev_replay *r, int64_t lease);

/* Plays all items and fills the gaps. False: refuted, or `*ret_undecided`. On success `chosen`
 * holds who wrote the gaps. */
struct rev_chosen {
    int64_t revision;
    uint32_t op;
};
bool rev_search(struct revisions *a, struct buffer *chosen, bool *ret_undecided);

#endif
