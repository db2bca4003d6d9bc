/* The log in memory: a ring of the slots (base, last].
 *
 *        base            chosen_upto      commit        last
 *         |   the tail:      |   being      |   may yet   |
 *         |   delivered      |   delivered  |   be cut    |
 *
 * The tail is kept for followers that lag a little and for the next leader's first questions. The
 * one invariant: there is no gap, terms never decrease along it, and nothing that is committed is
 * ever cut. */
#include "consensus/raft.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

/* Every new leader needs a place for its no-op, even in a full window: it cannot commit what it
 * found before that. So many leaders in a row may fail to commit anything. */
#define SPARE_SLOTS 64

uint32_t raft_log_capacity(const struct engine_config *config)
{
    uint64_t spare =
        config->window_slots > config->tail_slots ? config->window_slots : config->tail_slots;
    uint64_t wanted = (uint64_t)config->window_slots + (spare > SPARE_SLOTS ? spare : SPARE_SLOTS);
    uint32_t capacity = 2;
    while (capacity < wanted)
        capacity *= 2;
    return capacity;
}

static struct raft_cell *log_cell(const struct raft *p, uint64_t slot)
{
    return (struct raft_cell *)&p->cells[slot & (p->capacity - 1)];
}

struct raft_cell *raft_log_find(const struct raft *p, uint64_t slot)
{
    return slot > p->base && slot <= p->last ? log_cell(p, slot) : NULL;
}

uint64_t raft_log_term(const struct raft *p, uint64_t slot)
{
    if (slot == p->base)
        return p->base_term;
    const struct raft_cell *cell = raft_log_find(p, slot);
    return cell == NULL ? 0 : cell->term;
}

uint64_t raft_log_last_term(const struct raft *p)
{
    return raft_log_term(p, p->last);
}

bool raft_log_covered_by(const struct raft *p, uint64_t term, uint64_t slot)
{
    uint64_t own = raft_log_last_term(p);
    return term != own ? term > own : slot >= p->last;
}

static void log_clear(struct raft *p, struct raft_cell *cell)
{
    uint64_t size = blob_bytes(cell->entry).size;
    if (cell->slot > p->chosen_upto)
        p->undelivered_bytes -= size;
    else
        p->tail_bytes -= size;
    blob_drop(cell->entry);
    memset(cell, 0, sizeof *cell);
}

static void log_forget_first(struct raft *p)
{
    struct raft_cell *cell = raft_log_find(p, p->base + 1);
    ensure(cell != NULL);
    p->base_term = cell->term;
    log_clear(p, cell);
    p->base++;
}

bool raft_log_reach(struct raft *p)
{
    while (p->last == p->base + p->capacity && p->base < p->chosen_upto)
        log_forget_first(p);
    return p->last < p->base + p->capacity;
}

struct raft_cell *raft_log_append(struct raft *p, uint64_t term, struct blob *entry)
{
    ensure(p->last < p->base + p->capacity);
    ensure(term >= raft_log_last_term(p));
    struct raft_cell *cell = log_cell(p, ++p->last);
    ensure(cell->slot == 0);
    *cell = (struct raft_cell){.slot = p->last, .term = term, .entry = blob_keep(entry)};
    p->undelivered_bytes += blob_bytes(entry).size;
    return cell;
}

void raft_log_truncate(struct raft *p, uint64_t slot)
{
    ensure(slot > p->commit);
    while (p->last >= slot) {
        log_clear(p, log_cell(p, p->last));
        p->last--;
    }
    if (p->verified > p->last)
        p->verified = p->last;
}

void raft_log_deliver(struct raft *p)
{
    ensure(p->chosen_upto < p->commit);
    struct raft_cell *cell = raft_log_find(p, p->chosen_upto + 1);
    ensure(cell != NULL);
    uint64_t size = blob_bytes(cell->entry).size;
    p->undelivered_bytes -= size;
    p->tail_bytes += size;
    p->chosen_upto++;
    while (p->base < p->chosen_upto && (p->chosen_upto - p->base > p->config.tail_slots ||
                                        p->tail_bytes > p->config.tail_bytes))
        log_forget_first(p);
}

bool raft_log_jump(struct raft *p, uint64_t slot, uint64_t term)
{
    ensure(slot > p->chosen_upto);
    uint64_t own = raft_log_term(p, slot);
    bool keep = slot <= p->last && (slot <= p->commit || own == term);
    if (planted(RAFT_SNAPSHOT_KEEPS_ALL))
        keep = slot <= p->last;
    uint64_t end = keep ? slot : p->last;
    for (uint64_t at = p->base + 1; at <= end; at++)
        log_clear(p, log_cell(p, at));
    p->base = slot;
    p->base_term = keep ? own : term;
    p->chosen_upto = slot;
    if (!keep)
        p->last = slot;
    if (p->commit < slot)
        p->commit = slot;
    if (p->verified > p->last)
        p->verified = p->last;
    return keep;
}

void raft_log_release(struct raft *p)
{
    for (uint64_t slot = p->base + 1; slot <= p->last; slot++)
        log_clear(p, log_cell(p, slot));
}
