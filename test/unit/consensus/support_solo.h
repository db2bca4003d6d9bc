/* One engine alone: the test is all the others, the disk and the clock. What a step wanted done is
 * looked at in its list of effects. For situations that take an exact order of events. */
#ifndef TEST_CONSENSUS_SUPPORT_SOLO_H
#define TEST_CONSENSUS_SUPPORT_SOLO_H

#include "consensus/raft.h"

#define SOLO_RECORDS 256

struct solo_record {
    uint8_t type;
    uint8_t head_size;
    uint8_t head[RAFT_HEAD_MAX];
    uint64_t slot;
    uint64_t lsn;
    struct blob *entry;
};

struct solo {
    struct mem mem;
    struct configuration configuration;
    struct engine_config config;
    struct raft *p; /* node 1 */
    struct effects *fx;
    uint64_t now;
    uint32_t records_count;
    struct solo_record records[SOLO_RECORDS]; /* all that it wrote */
};

/* A member that was started on an empty disk. */
struct solo *solo_new(uint32_t members);
void solo_free(struct solo *s);
void solo_step(struct solo *s, struct input input);
/* Everything that was written is durable. */
void solo_durable(struct solo *s);
/* So much time passes, with every wake in between. */
void solo_wait(struct solo *s, uint64_t duration);
/* A crash that leaves the first `count` records, then recovery from them (and from a snapshot,
 * unless its slot is 0), and the start. */
void solo_restart(struct solo *s, uint32_t count, uint64_t snapshot, uint64_t snapshot_term);
void solo_message(struct solo *s, uint16_t from, struct raft_message message);
/* An append from the leader `from` of `term`; its value is the entry's term and slot. */
void solo_append(struct solo *s, uint16_t from, uint64_t term, uint64_t slot, uint64_t log_term,
                 uint64_t prev_term);
/* What the last step sent to that node: the last message of that kind; false if none. */
bool solo_sent(const struct solo *s, uint16_t to, enum raft_kind kind,
               struct raft_message *ret_message);
/* The same, as a question. `gated`: it waits for the disk. */
bool solo_sends(const struct solo *s, uint16_t to, enum raft_kind kind, bool gated);
uint32_t solo_count(const struct solo *s, enum effect_kind kind);
/* How many messages of that kind the last step sent to that node. */
uint32_t solo_count_sent(const struct solo *s, uint16_t to, enum raft_kind kind);
/* Makes it the leader of the next term, by order of the leader it follows. */
void solo_lead(struct solo *s);
/* A live leader that it hears: node `from` in `term`. */
void solo_follow(struct solo *s, uint16_t from, uint64_t term);

#endif
