/* Ballots and log sequence numbers: two kinds of number that must never be mixed up, so each is a
 * struct of its own. */
#ifndef SYNOD_CONSENSUS_BALLOT_H
#define SYNOD_CONSENSUS_BALLOT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"

/* This member's own durable record number, from 1. Names durability; means nothing elsewhere. */
struct lsn {
    uint64_t value;
};

enum ballot_kind {
    BALLOT_FAST = 0,
    BALLOT_CLASSIC = 1,
};

/* Ordered by (round, node, kind): a classic ballot is the immediate successor of the fast ballot of
 * the same round and node, and has the same owner. The zero ballot is below every other. */
struct ballot {
    uint64_t round;
    uint16_t node;
    uint8_t kind;
};

/* Negative, zero or positive. */
int ballot_compare(struct ballot a, struct ballot b);
bool ballot_is_zero(struct ballot ballot);

#define BALLOT_SIZE 11
void write_ballot(struct writer *w, struct ballot ballot);
struct ballot read_ballot(struct reader *r);

#endif
