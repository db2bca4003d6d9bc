/* The truth: the one history of the cluster, as the log tells it. It takes each slot's entry when
 * the first member delivers it, and carries it out with rules of its own, written from what etcd
 * promises and not from the product's store: every answer, every watch and every member's state is
 * compared with it.
 *
 * The one invariant: it forgets nothing. What compaction takes from the members stays here. */
#ifndef SYNOD_SIM_ORACLE_TRUTH_H
#define SYNOD_SIM_ORACLE_TRUTH_H

#include "base/arena.h"
#include "base/map.h"
#include "service/machine.h"

/* One change of a key. Also the event that watchers of it see. */
struct truth_version {
    struct truth_key *key;
    struct truth_version *before; /* of the same key; NULL: the first one ever */
    int64_t mod;
    int64_t create; /* of the life that it belongs to; 0 for a deletion */
    int64_t number;
    int64_t lease;
    uint64_t slot;
    struct bytes value;
    bool deleted;
};

struct truth_key {
    struct bytes key;
    struct truth_version *newest;
};

struct truth_lease {
    int64_t id;
    int64_t ttl;
    uint64_t generation; /* the how-manieth of all, from 1 */
    uint64_t slot_granted;
    uint64_t slot_ended; /* 0: it lives */
    uint64_t granted_ns;
    uint64_t ended_ns;
    uint32_t keys_ended; /* that went with it, */
    int64_t revision;    /* at this one; 0: none went */
    bool expired;        /* by its keeper; else it was revoked */
};

/* How things stand behind a slot. */
struct truth_slot {
    uint64_t log;   /* hash of all entries so far */
    uint64_t entry; /* of this one */
    int64_t revision;
    int64_t compacted;
    uint32_t keys; /* that live */
    uint32_t leases;
};

struct truth_session {
    uint64_t incarnation;
    uint64_t sequence;
};

#define TRUTH_ORIGINS_MAX 64

struct truth {
    struct mem *mem;
    struct arena arena;   /* what stays */
    struct arena scratch; /* of one entry */

    struct truth_key **keys; /* in key order */
    uint32_t keys_count;
    uint32_t keys_capacity;
    struct truth_version **events; /* in order */
    uint32_t events_count;
    uint32_t events_capacity;
    uint32_t *revisions; /* by revision: its first event */
    uint32_t revisions_capacity;
    struct truth_slot *slots; /* by slot; 0: the beginning */
    uint32_t slots_capacity;
    struct truth_lease **leases; /* in order of their grants */
    uint32_t leases_count;
    uint32_t leases_capacity;
    struct map leases_by_id; /* the newest of each id */

    uint64_t slot;
    int64_t revision;
    int64_t compacted;
    uint32_t keys_live;
    uint32_t leases_live;
    uint32_t open; /* events of the open revision */
    struct truth_session sessions[TRUTH_ORIGINS_MAX];
    uint16_t keeper;
    uint64_t keeper_round;
    uint64_t keeper_ns;                   /* since when */
    uint64_t no_space[TRUTH_ORIGINS_MAX]; /* ids of members whose alarm is on */
    uint32_t no_space_count;
    uint64_t now; /* of the entry that is being carried out */

    void *owner;
    void (*on_lease_ended)(void *owner, const struct truth_lease *lease); /* NULL: nobody asks */
};

struct truth *truth_new(struct mem *mem);
void truth_free(struct truth *truth);
/* The entry of the next slot. */
void truth_apply(struct truth *truth, uint64_t slot, struct bytes entry, uint64_t now);

/* How it was behind a slot that is known. */
const struct truth_slot *truth_at_slot(const struct truth *truth, uint64_t slot);
/* The first event of a revision or behind it; events_count if there is none. */
uint32_t truth_seek(const struct truth *truth, int64_t revision);
/* The slot that made a revision; 0 for the first one, which nothing made. */
uint64_t truth_slot_of(const struct truth *truth, int64_t revision);
/* Index of the first key that is not before this one. */
uint32_t truth_find(const struct truth *truth, struct bytes key);
/* The version of a key at a revision; NULL if it did not live. */
const struct truth_version *truth_version_at(const struct truth_key *key, int64_t revision);
/* The newest lease of that id; NULL if there never was one. */
struct truth_lease *truth_lease(const struct truth *truth, int64_t id);

#endif
