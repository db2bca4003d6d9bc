/* The search's own state: what it goes through, and what it remembers. */
#ifndef SYNOD_CHECK_GENERAL_SEARCH_H
#define SYNOD_CHECK_GENERAL_SEARCH_H

#include "check/general_internal.h"

#define GEN_NONE UINT32_MAX

/* An operation in the list of those to be placed: by number in `order` of the partition. */
struct gen_link {
    uint32_t next;
    uint32_t prev;
};

enum gen_trail_kind {
    GEN_TRAIL_PLACED,
    GEN_TRAIL_MATCHED, /* a loose one */
    GEN_TRAIL_FRONT,
};

struct gen_trail {
    enum gen_trail_kind kind;
    uint32_t what; /* an operation, by place; the old front */
    size_t log;    /* of the model, before it */
};

struct gen_frame {
    size_t trail;
    uint32_t candidate; /* tried last; NONE: none yet */
    bool optional;      /* it is among the optional ones now */
    uint32_t pending_from;
    bool other_branch; /* both branches may be right, and one is still to be tried */
};

/* Loose operations, by what they found: one list for each slot, and for each missing key. */
struct gen_listing {
    uint32_t next; /* 1 + a listing; 0: the end */
    uint32_t op;   /* by place */
};

struct gen_memory {
    struct mem *mem;
    struct gen_hash *cells; /* both 0: free */
    size_t capacity;
    size_t count;
};

struct gen_search {
    struct general *g;
    struct gen_model *model;
    const uint32_t *order; /* the partition's operations, by call */
    uint32_t count;
    bool clever;
    struct gen_link
        *links;       /* two rings: [count] heads the required ones, [count + 1] the optional */
    uint32_t *by_end; /* required and loose ones, by their ends */
    uint32_t by_end_count;
    uint32_t front; /* of by_end: all before it are placed */
    bool *placed;
    bool *
        certain; /* by place: where this one is the first to be placed, the state can only be one */
    uint32_t *rank; /* by place: required ones before it */
    uint32_t placed_required;

    struct gen_count *counts; /* by slot */
    struct gen_lists *lists;  /* by key */
    struct gen_listing *listings;
    uint32_t listings_count;

    struct gen_hash hash; /* of the set of those placed */
    struct buffer trail;
    struct buffer frames;
    struct gen_memory memory;
    uint32_t *sequence; /* as placed */
    uint32_t sequence_count;
    uint32_t pending_from; /* operations at the end of it that nobody has noticed yet */
    uint64_t looks;        /* at candidates */

    uint32_t best_front;
    uint32_t best_state;
    bool best_noted;
    bool best_new;  /* the best so far is not copied yet */
    uint32_t *best; /* a copy of the sequence */
    uint32_t best_count;
    uint32_t best_base; /* so much of both is the same, and never taken back */
};

static inline const struct gen_op *gen_op_at(const struct gen_search *s, uint32_t place)
{
    return &s->g->ops[s->order[place]];
}

/* False: it is in already. */
bool gen_memory_add(struct gen_memory *memory, struct gen_hash hash);
/* Forgets all, where that is worth its while. */
void gen_memory_forget(struct gen_memory *memory);
void gen_memory_release(struct gen_memory *memory);

/* Everything ready for a first step from the empty state; nothing is placed. */
void gen_search_init(struct gen_search *s, struct general *g, uint32_t partition, bool clever);
void gen_search_release(struct gen_search *s);
/* The branches that an operation may have taken, as [from, to) of 0 and 1. */
struct gen_span gen_branches(const struct gen_op *op);
/* Adds `by` to the counts of those who still have to find what this one finds, and of those who may
 * still write what it writes. */
void gen_search_count(struct gen_search *s, const struct gen_op *op, uint32_t by);

#endif
