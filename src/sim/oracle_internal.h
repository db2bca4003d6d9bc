/* The oracles to themselves.
 *
 *     oracle.c            the observer; agreement, prefix, digest, model
 *     oracle_engine.c     ballot, proposal, durability, monotone, index
 *     oracle_state.c      a member's whole state against the truth
 *     oracle_truth.c      the truth: keys, leases, compaction
 *     oracle_truth_txn.c  the truth: transactions
 */
#ifndef SYNOD_SIM_ORACLE_INTERNAL_H
#define SYNOD_SIM_ORACLE_INTERNAL_H

#include "sim/oracle.h"
#include "sim/oracle_truth.h"

/* Makes room for `needed` items, cleared; the array may move. */
void *sim_grow(struct mem *mem, void *items, uint32_t *capacity, uint32_t needed, size_t size);
/* Never 0. */
uint64_t oracle_entry_hash(struct bytes entry);

/* --- oracle_truth.c, oracle_truth_txn.c ------------------------------------------------------ */

struct truth_key *truth_key(const struct truth *truth, struct bytes key);
/* Its current version; NULL if it does not live. `key` may be NULL. */
const struct truth_version *truth_living(const struct truth_key *key);
bool truth_lease_lives(const struct truth *truth, int64_t id);
enum refusal truth_put_refused(const struct truth *truth, const struct put *put);
void truth_put(struct truth *truth, const struct put *put);
void truth_delete(struct truth *truth, const struct key_range *range);
void truth_txn(struct truth *truth, const struct txn *txn);

/* --- oracle.c -------------------------------------------------------------------------------- */

#define READS_REMEMBERED 64u /* questions under way at one member */

struct member_watch {
    struct oracle *oracle;
    uint32_t place;
    struct replica_observer observer;

    /* Of this life. */
    uint64_t delivered; /* 0: nothing yet */
    uint64_t log;       /* hash of what it has delivered so far */
    bool started;
    struct ballot ballot;
    bool ballot_known;
    struct {
        uint64_t token;
        uint64_t floor; /* the answer may not be below this slot */
    } reads[READS_REMEMBERED];

    /* Over all lives, until its disk is wiped. */
    uint64_t released;           /* the highest record that a message which left claims */
    uint64_t written;            /* the last record of this life */
    uint64_t durable;            /* as the disk said, in this life */
    struct ballot promised;      /* the highest that was durable */
    struct ballot promised_next; /* known when record `promised_lsn` is */
    uint64_t promised_lsn;
};

/* Which member leads a ballot. */
struct ballot_owner {
    struct ballot ballot;
    uint16_t leader; /* as followers were told; 0: not told yet */
    uint32_t place;  /* that said it leads; UINT32_MAX: nobody yet */
    uint64_t life;
};

/* By slot: what was recorded there under which head. */
struct proposal {
    struct proposal *next;
    uint64_t head;
    uint64_t entry;
};

struct digest_seen {
    uint64_t log;
    uint64_t digest;
};

struct oracle {
    struct sim *sim;
    struct mem *mem;
    struct arena arena;   /* what stays */
    struct arena scratch; /* of one comparison */
    struct truth *truth;
    uint32_t members;
    struct member_watch watches[MEMBERS_MAX];
    uint64_t complete;           /* this slot was the answer of a client */
    struct digest_seen *digests; /* by slot */
    uint32_t digests_capacity;
    struct proposal **proposals; /* by slot */
    uint32_t proposals_capacity;
    struct ballot_owner *ballots; /* in order */
    uint32_t ballots_count;
    uint32_t ballots_capacity;
    struct oracle_counts counts;
};

/* --- oracle_engine.c ------------------------------------------------------------------------- */

void engine_on_recovered(struct member_watch *watch, uint64_t lsn_last);
void engine_on_input(struct member_watch *watch, const struct input *input);
void engine_on_effect(struct member_watch *watch, const struct effect *effect);
void engine_on_release(struct member_watch *watch, uint64_t lsn);

/* --- oracle_state.c -------------------------------------------------------------------------- */

/* Every key, version number and lease of a member against the truth at its slot. */
void state_compare(struct oracle *oracle, uint32_t place, struct machine *machine);
bool oracle_kv_equal(const struct kv *kv, const struct truth_version *version);

#endif
