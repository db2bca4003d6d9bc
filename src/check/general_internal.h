/* Tier B to its own parts:
 *
 *     general.c            the verdict: each partition of the keys by itself
 *     general_compile.c    the history as small numbers: keys, slots, operations
 *     general_unknown.c    unknown operations: which must have happened, which nobody can notice
 *     general_partition.c  keys that operations link; the order of each partition's operations
 *     general_model.c      a keyspace that can go back
 *     general_search.c     Wing and Gong's search with Lowe's memory
 *
 * A *slot* is a key with one value it ever had; slot 0 is a key that does not exist. The state of a
 * key is its slot (and its lease, where leases are revoked). */
#ifndef SYNOD_CHECK_GENERAL_INTERNAL_H
#define SYNOD_CHECK_GENERAL_INTERNAL_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/map.h"
#include "check/check.h"

struct gen_hash {
    uint64_t high;
    uint64_t low;
};

struct gen_slot {
    uint32_t key;
    uint32_t value;    /* string */
    uint32_t writers;  /* operations that may write it */
    uint32_t writer;   /* 1 + the last of them */
    uint32_t readers;  /* operations that found it */
    uint32_t compared; /* compares that name it */
    uint64_t read_end; /* when the first of its readers was done; UINT64_MAX without any */
    struct gen_hash hash;
};

enum gen_truth {
    GEN_NO,
    GEN_YES,
    GEN_MAYBE, /* depends on revisions that the history does not tell */
};

struct gen_test {
    enum history_compare_kind kind;
    uint32_t key;
    uint32_t slot; /* of a value, or of the value that carried the mod */
    bool exists;
    bool nameless; /* no value, or several, are known to have carried it */
};

struct gen_step {
    enum history_op_kind kind;
    bool answered;
    bool more;
    uint32_t from; /* keys; of a revocation: attachments */
    uint32_t to;
    uint32_t slot;  /* get, put */
    uint32_t lease; /* put */
    uint32_t found_from;
    uint32_t found_count;
    int64_t limit;
    int64_t count;
};

/* A branch, or the compares before it: [from, to) of the steps or of the tests. */
struct gen_span {
    uint32_t from;
    uint32_t to;
};

enum gen_role {
    GEN_REQUIRED, /* answered, or unknown but noticed: it happened */
    GEN_OPTIONAL,
    GEN_LOOSE, /* serializable: its answer was true some time before its end */
    GEN_LEFT_OUT,
};

struct gen_op {
    uint32_t number;
    uint32_t partition;
    enum gen_role role;
    bool pure;   /* changes nothing: it can be placed as soon as it fits */
    bool forced; /* the branch is known, from the answer or from who saw its values */
    bool succeeded;
    uint64_t call;
    uint64_t end;
    struct gen_span tests;
    struct gen_span branches[2]; /* [succeeded] */
    uint32_t twin;               /* 1 + an earlier optional one that does the same; 0: none */
    uint32_t place;              /* in its partition */
    struct gen_hash hash;
};

struct gen_key {
    uint32_t slot;
    uint32_t lease;
};

struct gen_change {
    uint32_t key;
    struct gen_key before;
};

struct general;

struct gen_model {
    const struct general *g;
    struct gen_key *keys;
    struct gen_hash hash; /* of all keys */
    struct buffer log;    /* of struct gen_change */
};

/* What of a slot is still to come, and the loose operations that found it. */
struct gen_count {
    uint32_t readers;
    uint32_t writers;
    uint32_t list; /* 1 + the first listing; 0: none */
};

/* The loose operations that a change of a key may make true, whatever it becomes, and if it then
 * does not exist. */
struct gen_lists {
    uint32_t any;
    uint32_t missing;
};

struct general {
    const struct history *h;
    struct arena arena;
    struct check_verdict *verdict;
    uint64_t steps_max;

    uint32_t *key_of;  /* by string: 1 + its key; 0: it is none */
    uint32_t *strings; /* by key */
    uint32_t keys_count;
    uint32_t slots_count;
    uint32_t slots_capacity;
    uint32_t leases_count;
    uint32_t ops_count;
    uint32_t tests_count;
    uint32_t steps_count;
    uint32_t found_count;
    uint32_t partitions_count;
    bool ordered; /* the keys are numbered in their order: there are ranges */
    bool revokes; /* leases matter */

    struct map slot_of; /* key and value -> slot */
    struct gen_slot *slots;
    struct map names;    /* key and mod revision -> slot, or UINT32_MAX for several */
    struct map lease_of; /* lease -> number, from 1 on */
    uint32_t *attached;  /* keys by lease: [attached_from[l], attached_from[l + 1]) */
    uint32_t *attached_from;

    struct gen_op *ops;
    struct gen_test *tests;
    struct gen_step *steps;
    uint32_t *found; /* slots */

    uint32_t *order;          /* operations by partition, then by call */
    uint32_t *partition_from; /* into `order`, and one more for the end */

    /* For the search of one partition at a time; no two share a key, or a slot. */
    struct gen_model model;
    struct gen_count *counts; /* by slot */
    struct gen_lists *lists;  /* by key */
};

void gen_compile(struct general *g);
void gen_unknown(struct general *g);
void gen_partition(struct general *g);
void gen_say_slot(const struct general *g, struct text *text, uint32_t key, uint32_t slot);
/* An answer that nobody's write explains. False after noting it. */
bool gen_explained(struct general *g);

/* --- the model ----------------------------------------------------------------------------- */

void gen_model_init(struct gen_model *m, struct general *g);
void gen_model_release(struct gen_model *m);
enum gen_truth gen_model_test(const struct gen_model *m, struct gen_span tests);
/* Plays a branch. False: its answers do not fit, and what it did must be taken back. */
bool gen_model_play(struct gen_model *m, struct gen_span branch);
void gen_model_undo(struct gen_model *m, size_t log_size);

/* --- the search ---------------------------------------------------------------------------- */

struct gen_result {
    enum check_outcome outcome;
    uint32_t culprit; /* operation of `ops` */
    uint32_t state;   /* the slot in which its first key was then */
    uint32_t *prefix; /* operations of `ops`, in an order that fits; in the arena */
    uint32_t prefix_count;
};

/* `clever`: leaves out orders that cannot end well. Without it the culprit is the first operation,
 * by its end, that cannot be placed. */
void gen_search(struct general *g, uint32_t partition, bool clever, struct gen_result *ret_result);

#endif
