/* Positions: where in the log the last value of each slot was written. One word for each slot from
 * the first to the last that the log holds.
 *
 * The one invariant: a slot whose position was forgotten (trimmed, or left behind by a jump) is
 * below positions_first. */
#ifndef SYNOD_JOURNAL_POSITIONS_H
#define SYNOD_JOURNAL_POSITIONS_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

struct position {
    uint64_t segment; /* 0: none */
    uint64_t offset;
};

struct positions {
    struct mem *mem;
    uint64_t *words; /* segment << 32 | offset / 8; 0: none */
    uint64_t base;   /* the slot of words[0] */
    uint64_t count;
    uint64_t capacity;
    uint64_t forgotten; /* the last slot whose position was dropped; 0: none */
};

void positions_init(struct positions *positions, struct mem *mem);
void positions_release(struct positions *positions);
/* Replaces an earlier position of the slot. */
void positions_put(struct positions *positions, uint64_t slot, struct position position);
struct position positions_get(const struct positions *positions, uint64_t slot);
/* Forgets every slot whose position is in this segment or before it. */
void positions_forget(struct positions *positions, uint64_t segment);
/* The first slot from which on nothing was forgotten; 0: no slot is known. */
uint64_t positions_first(const struct positions *positions);

#endif
