/* The window: a ring of the slots (base, base + capacity].
 *
 *        base            chosen_upto              chosen_upto + window_slots
 *         |   the tail:      |    accepted, reported,      |
 *         |   delivered      |    chosen out of order      |
 *
 * The tail is kept so that the next leader, or a member that was away for a moment, finds recent
 * slots in memory. The one invariant: a cell's place is slot modulo capacity, so two slots of the
 * window never meet, and every slot of the tail has its value. */
#include "consensus/multipaxos.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

/* Twice the window at least: a replay may lag by one window behind what it reads
 * (multipaxos_learner.c), and what it reads lies one window ahead of that. */
uint32_t multipaxos_window_capacity(const struct engine_config *config)
{
    uint64_t wanted = (uint64_t)config->window_slots + config->tail_slots;
    if (wanted < 2 * (uint64_t)config->window_slots)
        wanted = 2 * (uint64_t)config->window_slots;
    uint32_t capacity = 2;
    while (capacity < wanted)
        capacity *= 2;
    return capacity;
}

static struct multipaxos_cell *window_cell(const struct multipaxos *p, uint64_t slot)
{
    return (struct multipaxos_cell *)&p->cells[slot & (p->capacity - 1)];
}

struct multipaxos_cell *multipaxos_window_find(const struct multipaxos *p, uint64_t slot)
{
    struct multipaxos_cell *cell = window_cell(p, slot);
    bool right = cell->slot == slot || (cell->slot != 0 && planted(MULTIPAXOS_WINDOW_WRAPS));
    return slot != 0 && right ? cell : NULL;
}

bool multipaxos_window_fits(const struct multipaxos *p, uint64_t slot)
{
    uint64_t end = p->chosen_upto + p->config.window_slots;
    return slot > p->chosen_upto && (slot <= end || planted(MULTIPAXOS_WINDOW_UNBOUNDED));
}

static void window_clear(struct multipaxos *p, struct multipaxos_cell *cell)
{
    if (cell->accepted) {
        uint64_t size = blob_bytes(cell->entry).size;
        if (cell->slot > p->chosen_upto) {
            p->undelivered_slots--;
            p->undelivered_bytes -= size;
        } else {
            p->tail_bytes -= size;
        }
    }
    blob_drop(cell->entry);
    blob_drop(cell->reported_entry);
    memset(cell, 0, sizeof *cell);
}

static void window_forget_first(struct multipaxos *p)
{
    struct multipaxos_cell *cell = multipaxos_window_find(p, p->base + 1);
    ensure(cell != NULL);
    window_clear(p, cell);
    p->base++;
}

bool multipaxos_window_reach(struct multipaxos *p, uint64_t slot)
{
    while (slot > p->base + p->capacity && p->base < p->chosen_upto)
        window_forget_first(p);
    return slot > p->base && slot <= p->base + p->capacity;
}

struct multipaxos_cell *multipaxos_window_claim(struct multipaxos *p, uint64_t slot)
{
    ensure(slot > p->base);
    ensure(slot <= p->base + p->capacity);
    struct multipaxos_cell *cell = window_cell(p, slot);
    ensure(cell->slot == 0 || cell->slot == slot);
    cell->slot = slot;
    if (slot > p->last_slot)
        p->last_slot = slot;
    return cell;
}

void multipaxos_window_store(struct multipaxos *p, struct multipaxos_cell *cell, struct blob *entry)
{
    ensure(cell->slot > p->chosen_upto);
    if (cell->accepted)
        p->undelivered_bytes -= blob_bytes(cell->entry).size;
    else
        p->undelivered_slots++;
    p->undelivered_bytes += blob_bytes(entry).size;
    blob_keep(entry); /* before the drop: it may be the same one */
    blob_drop(cell->entry);
    cell->entry = entry;
    cell->accepted = true;
}

void multipaxos_window_report(struct multipaxos *p, struct multipaxos_cell *cell,
                              struct ballot vbal, struct blob *entry)
{
    ensure(cell->slot > p->chosen_upto);
    int order = cell->reported ? ballot_compare(vbal, cell->reported_vbal) : 1;
    if (planted(MULTIPAXOS_LOWEST_VBAL_WINS) && cell->reported)
        order = -order;
    if (planted(MULTIPAXOS_LAST_REPORT_WINS))
        order = 1;
    if (order <= 0)
        return;
    blob_drop(cell->reported_entry);
    cell->reported = true;
    cell->reported_vbal = vbal;
    cell->reported_entry = blob_keep(entry);
}

void multipaxos_window_clear_reports(struct multipaxos *p)
{
    for (uint32_t i = 0; i < p->capacity; i++) {
        struct multipaxos_cell *cell = &p->cells[i];
        if (!cell->reported)
            continue;
        blob_drop(cell->reported_entry);
        cell->reported = false;
        cell->reported_entry = NULL;
        cell->reported_vbal = (struct ballot){0};
        if (!cell->accepted)
            window_clear(p, cell);
    }
}

void multipaxos_window_deliver(struct multipaxos *p)
{
    struct multipaxos_cell *cell = multipaxos_window_find(p, p->chosen_upto + 1);
    ensure(cell != NULL);
    ensure(cell->accepted);
    ensure(cell->chosen);
    uint64_t size = blob_bytes(cell->entry).size;
    p->undelivered_slots--;
    p->undelivered_bytes -= size;
    p->tail_bytes += size;
    p->chosen_upto++;
    while (p->base < p->chosen_upto && (p->chosen_upto - p->base > p->config.tail_slots ||
                                        p->tail_bytes > p->config.tail_bytes))
        window_forget_first(p);
}

void multipaxos_window_jump(struct multipaxos *p, uint64_t slot)
{
    ensure(slot > p->chosen_upto);
    for (uint32_t i = 0; i < p->capacity; i++)
        if (p->cells[i].slot != 0 && p->cells[i].slot <= slot)
            window_clear(p, &p->cells[i]);
    p->base = slot;
    p->chosen_upto = slot;
    if (p->last_slot < slot)
        p->last_slot = slot;
}

void multipaxos_window_release(struct multipaxos *p)
{
    for (uint32_t i = 0; i < p->capacity; i++)
        window_clear(p, &p->cells[i]);
}
