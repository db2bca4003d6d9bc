/* Check: every invariant that one member can see by itself, walked from end to end. Tests and the
 * simulator call this after every step; what only the whole cluster can see (one chosen value a
 * slot) is theirs to compare. */
#include "consensus/multipaxos.h"

#include "base/panic.h"

static void check_cell(const struct multipaxos *p, const struct multipaxos_cell *cell)
{
    ensure(cell->slot > p->base);
    ensure(cell->slot <= p->base + p->capacity);
    ensure(cell->slot <= p->last_slot);
    ensure(cell->accepted || cell->reported);
    ensure(!cell->chosen || cell->accepted);
    ensure(cell->accepted || cell->entry == NULL);
    ensure(cell->reported || cell->reported_entry == NULL);
    ensure(ballot_compare(cell->vbal, p->promised) <= 0);
    ensure(ballot_compare(cell->vbal, p->recorded) <= 0);
    if (cell->reported)
        ensure(ballot_compare(cell->reported_vbal, p->ballot) < 0);
    if (multipaxos_leads(p) && (cell->acks & p->self) != 0 && cell->slot > p->chosen_upto)
        ensure(cell->lsn.value <= p->durable.value);
}

/* M5, M6: the tail is whole, and what is counted is what is there. */
static void check_window(const struct multipaxos *p)
{
    uint64_t slots = 0;
    uint64_t bytes = 0;
    uint64_t tail_bytes = 0;
    ensure(p->base <= p->chosen_upto);
    ensure(p->chosen_upto <= p->last_slot);
    for (uint32_t i = 0; i < p->capacity; i++) {
        const struct multipaxos_cell *cell = &p->cells[i];
        if (cell->slot == 0)
            continue;
        ensure((cell->slot & (p->capacity - 1)) == i);
        check_cell(p, cell);
        if (!cell->accepted)
            continue;
        slots += cell->slot > p->chosen_upto ? 1 : 0;
        bytes += cell->slot > p->chosen_upto ? blob_bytes(cell->entry).size : 0;
        tail_bytes += cell->slot > p->chosen_upto ? 0 : blob_bytes(cell->entry).size;
    }
    ensure(slots == p->undelivered_slots);
    ensure(bytes == p->undelivered_bytes);
    ensure(tail_bytes == p->tail_bytes);
    for (uint64_t slot = p->base + 1; slot <= p->chosen_upto; slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        ensure(cell != NULL);
        ensure(cell->chosen);
    }
    const struct multipaxos_cell *next = multipaxos_window_find(p, p->chosen_upto + 1);
    if (p->started && !p->again)
        ensure(next == NULL || !next->chosen);
}

/* M2, M6, M10: one leader a ballot, which proposes within its window and has accepted it all. */
static void check_leader(const struct multipaxos *p)
{
    ensure(ballot_compare(p->ballot, p->promised) == 0);
    ensure(p->ballot.node == p->config.self);
    ensure(ballot_compare(p->ballot, p->recorded) <= 0);
    if (p->phase == PHASE_PREPARING)
        return;
    ensure(p->next_slot > p->chosen_upto);
    ensure(p->next_slot <= p->chosen_upto + p->config.window_slots + 1);
    uint64_t end = p->phase == PHASE_LEADING ? p->next_slot : p->takeover_next;
    for (uint64_t slot = p->chosen_upto + 1; slot < end; slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        ensure(cell != NULL);
        ensure(cell->accepted);
        ensure(cell->chosen || ballot_compare(cell->vbal, p->ballot) == 0);
    }
}

static void check_reads(const struct multipaxos *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < MULTIPAXOS_READS_MAX; i++) {
        const struct multipaxos_read *read = &p->reads[i];
        count += read->state == READ_FREE ? 0 : 1;
        if (read->state == READ_CONFIRMING) {
            ensure(multipaxos_ready(p));
            ensure(read->slot >= p->barrier);
            ensure(read->round <= p->round_id);
        }
        if (read->state == READ_FORWARDED)
            ensure(read->from == NODE_NONE);
    }
    ensure(count == p->reads_count);
}

void multipaxos_check(const struct multipaxos *p)
{
    check_window(p);
    check_reads(p);
    if (p->phase >= PHASE_PREPARING)
        check_leader(p);
    ensure(ballot_compare(p->recorded, p->promised) <= 0);
    ensure(!multipaxos_leads(p) || p->leader == NODE_NONE);
}
