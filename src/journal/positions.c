/* The array from slot to place in the log; see positions.h.
 *
 * The one invariant: count spans from the first slot kept to the last one put, and stays within
 * POSITIONS_JUMP_MAX words of what was put. */
#include "journal/positions.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

/* A slot that far away from all others starts the array anew: a member that installed a snapshot
 * has no use for the slots before it, and the hole between must not cost memory. */
#define POSITIONS_JUMP_MAX (1u << 20)
#define POSITIONS_SLOT_MAX (UINT64_MAX / 2) /* no log gets there; sums of slots do not overflow */
#define OFFSET_UNIT 8u

void positions_init(struct positions *positions, struct mem *mem)
{
    *positions = (struct positions){.mem = mem};
}

void positions_release(struct positions *positions)
{
    mem_free(positions->mem, positions->words, positions->capacity * sizeof positions->words[0]);
    positions_init(positions, positions->mem);
}

static void reserve(struct positions *positions, uint64_t count)
{
    if (count <= positions->capacity)
        return;
    uint64_t capacity = positions->capacity < 64 ? 64 : positions->capacity * 2;
    if (capacity < count)
        capacity = count;
    positions->words =
        mem_resize(positions->mem, positions->words, positions->capacity * sizeof(uint64_t),
                   capacity * sizeof(uint64_t));
    positions->capacity = capacity;
}

static void forget_slot(struct positions *positions, uint64_t slot)
{
    if (slot > positions->forgotten)
        positions->forgotten = slot;
}

static void extend_back(struct positions *positions, uint64_t slot)
{
    uint64_t count = slot - positions->base + 1;
    reserve(positions, count);
    memset(positions->words + positions->count, 0, (count - positions->count) * sizeof(uint64_t));
    positions->count = count;
}

/* Slots may be written out of order, so the first one seen need not be the lowest. */
static void extend_front(struct positions *positions, uint64_t slot)
{
    uint64_t more = positions->base - slot;
    reserve(positions, positions->count + more);
    memmove(positions->words + more, positions->words, positions->count * sizeof(uint64_t));
    memset(positions->words, 0, more * sizeof(uint64_t));
    positions->base = slot;
    positions->count += more;
}

void positions_put(struct positions *positions, uint64_t slot, struct position position)
{
    ensure(position.segment > 0 && position.segment <= UINT32_MAX);
    if (slot == 0 || slot > POSITIONS_SLOT_MAX)
        return;
    uint64_t end = positions->base + positions->count;
    if (positions->count > 0 && slot >= end && slot - end > POSITIONS_JUMP_MAX) {
        forget_slot(positions, slot - 1);
        positions->count = 0;
    }
    if (positions->count > 0 && slot < positions->base &&
        positions->base - slot > POSITIONS_JUMP_MAX) {
        forget_slot(positions, slot);
        return;
    }
    if (positions->count == 0)
        positions->base = slot;
    if (slot < positions->base)
        extend_front(positions, slot);
    if (slot >= positions->base + positions->count)
        extend_back(positions, slot);
    if (planted(JOURNAL_POSITION_KEPT) && positions->words[slot - positions->base] != 0)
        return;
    positions->words[slot - positions->base] =
        position.segment << 32 | position.offset / OFFSET_UNIT;
}

struct position positions_get(const struct positions *positions, uint64_t slot)
{
    uint64_t word = 0;
    if (slot >= positions->base && slot - positions->base < positions->count)
        word = positions->words[slot - positions->base];
    return (struct position){word >> 32, (word & UINT32_MAX) * OFFSET_UNIT};
}

void positions_forget(struct positions *positions, uint64_t segment)
{
    for (uint64_t i = 0; i < positions->count; i++) {
        if (positions->words[i] != 0 && positions->words[i] >> 32 <= segment) {
            positions->words[i] = 0;
            forget_slot(positions, positions->base + i);
        }
    }
    uint64_t gone = 0;
    while (gone < positions->count &&
           (positions->words[gone] == 0 || positions->base + gone <= positions->forgotten))
        gone++;
    positions->count -= gone;
    positions->base += gone;
    if (gone > 0 && positions->count > 0)
        memmove(positions->words, positions->words + gone, positions->count * sizeof(uint64_t));
}

uint64_t positions_first(const struct positions *positions)
{
    for (uint64_t i = 0; i < positions->count; i++)
        if (positions->words[i] != 0 && positions->base + i > positions->forgotten)
            return positions->base + i;
    return 0;
}
