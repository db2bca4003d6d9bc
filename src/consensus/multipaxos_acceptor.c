/* The acceptor: the memory of the cluster.
 *
 * The one invariant (Lamport 2001, P1a): after promising ballot b it accepts nothing below b, and
 * whatever it says about its promises and values stands in its log before the message leaves. */
#include "consensus/multipaxos.h"

#include "base/panic.h"
#include "base/planted.h"

/* Pages of a promise that go out in one step, by the bytes of their entries. */
#define PAGES_BYTES_MAX (4u << 20)

static void acceptor_note_recorded(struct multipaxos *p, struct ballot ballot)
{
    if (ballot_compare(ballot, p->recorded) > 0)
        p->recorded = ballot;
}

void multipaxos_persist_hard(struct multipaxos *p, struct effects *fx)
{
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    struct multipaxos_record record = {.ballot = p->promised, .chosen_upto = p->chosen_upto};
    struct bytes head = multipaxos_record_encode(&record, buffer);
    p->promised_lsn = effects_persist(fx, RECORD_HARD, p->jumped_upto, head, NULL);
    acceptor_note_recorded(p, p->promised);
}

void multipaxos_promise(struct multipaxos *p, struct ballot ballot, struct effects *fx)
{
    ensure(ballot_compare(ballot, p->promised) >= 0);
    p->promised = ballot;
    /* Following a leader raises the promise in memory alone; it counts from the record on. */
    if (ballot_compare(p->recorded, ballot) < 0)
        multipaxos_persist_hard(p, fx);
}

void multipaxos_nack(struct multipaxos *p, uint16_t to, struct effects *fx)
{
    struct multipaxos_message nack = multipaxos_compose(p, MESSAGE_NACK);
    multipaxos_send(p, fx, to, &nack, NULL);
}

void multipaxos_on_prepare(struct multipaxos *p, uint16_t from,
                           const struct multipaxos_message *message, struct effects *fx)
{
    if (message->slot == 0) {
        p->dropped++;
        return;
    }
    if (!read_lease_lets(&p->lease, p->now, from))
        return; /* it asks again */
    int order = ballot_compare(message->ballot, p->promised);
    if (order < 0) {
        multipaxos_nack(p, from, fx);
        return;
    }
    if (order > 0)
        multipaxos_step_down(p);
    if (p->leader == NODE_NONE) { /* otherwise it is late: its sender leads already */
        multipaxos_wait_for_leader(p);
        p->courted_ns = p->now;
    }
    multipaxos_promise(p, message->ballot, fx);
    p->paging = true;
    p->page_ballot = message->ballot;
    p->page_next = message->slot;
}

/* The next page for the candidate: what this member accepted from page_next on. */
static struct multipaxos_message acceptor_next_page(const struct multipaxos *p,
                                                    struct blob **ret_entry)
{
    struct multipaxos_message page = multipaxos_compose(p, MESSAGE_PROMISE);
    page.from = p->page_next - 1;
    *ret_entry = NULL;
    if (p->page_next <= p->base && !planted(MULTIPAXOS_FLOOR_IS_EMPTY)) {
        page.slot = p->base;
        page.flags = FLAG_FLOOR;
        return page;
    }
    uint64_t end = p->base + p->capacity;
    for (uint64_t slot = p->page_next; slot <= p->last_slot && slot <= end; slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        if (cell == NULL || !cell->accepted)
            continue;
        if (cell->chosen && planted(MULTIPAXOS_CHOSEN_NOT_REPORTED))
            continue;
        page.slot = slot;
        page.flags = FLAG_REPORT;
        if (cell->chosen)
            page.flags |= FLAG_CHOSEN;
        page.vbal = cell->vbal;
        *ret_entry = cell->entry;
        return page;
    }
    page.slot = page.from;
    page.flags = FLAG_LAST;
    return page;
}

void multipaxos_pump_pages(struct multipaxos *p, struct effects *fx)
{
    uint64_t bytes = 0;
    if (ballot_compare(p->page_ballot, p->promised) != 0)
        p->paging = false; /* somebody was promised more since */
    while (p->paging && multipaxos_may_add(p, fx, MULTIPAXOS_RESERVE)) {
        if (bytes > PAGES_BYTES_MAX) {
            p->again = true;
            return;
        }
        uint8_t buffer[MULTIPAXOS_HEAD_MAX];
        struct blob *entry;
        struct multipaxos_message page = acceptor_next_page(p, &entry);
        struct bytes head = multipaxos_message_encode(&page, p->config.era, buffer);
        if (planted(MULTIPAXOS_PROMISE_NOT_DURABLE))
            effects_send_early(fx, p->page_ballot.node, head, entry);
        else
            effects_send(fx, p->page_ballot.node, head, entry);
        bytes += blob_bytes(entry).size;
        p->page_next = page.slot + 1;
        if (page.flags & FLAG_LAST)
            p->paging = false;
    }
}

void multipaxos_accept(struct multipaxos *p, struct multipaxos_cell *cell, struct ballot ballot,
                       struct blob *entry, struct effects *fx)
{
    ensure(!cell->chosen);
    ensure(ballot_compare(ballot, cell->vbal) > 0);
    ensure(ballot_compare(ballot, p->promised) == 0);
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    struct multipaxos_record record = {.ballot = ballot, .chosen_upto = p->chosen_upto};
    struct bytes head = multipaxos_record_encode(&record, buffer);
    if (cell->accepted && planted(MULTIPAXOS_ACCEPTS_FIRST_VALUE))
        entry = cell->entry;
    if (cell->accepted && multipaxos_entries_equal(cell->entry, entry)) {
        cell->lsn = effects_persist(fx, RECORD_ACCEPT, cell->slot, head, NULL);
    } else {
        if (planted(MULTIPAXOS_SLOT_RESERVED) && multipaxos_leads(p))
            effects_persist(fx, RECORD_ENTRY, cell->slot, head, NULL);
        cell->lsn = effects_persist(fx, RECORD_ENTRY, cell->slot, head, entry);
        multipaxos_window_store(p, cell, entry);
    }
    cell->vbal = ballot;
    acceptor_note_recorded(p, ballot);
    /* The commit may have overtaken its ACCEPT. */
    if (ballot_compare(ballot, p->known_ballot) == 0 && cell->slot <= p->known_upto)
        cell->chosen = true;
}

static void acceptor_reply(struct multipaxos *p, uint16_t to, uint64_t slot, struct effects *fx)
{
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    struct multipaxos_message accepted = multipaxos_compose(p, MESSAGE_ACCEPTED);
    accepted.slot = slot;
    struct bytes head = multipaxos_message_encode(&accepted, p->config.era, buffer);
    if (planted(MULTIPAXOS_ACCEPTED_NOT_DURABLE))
        effects_send_early(fx, to, head, NULL);
    else
        effects_send(fx, to, head, NULL);
}

/* True if the value of the slot is settled or stands in the log in this very ballot. */
static bool acceptor_has(struct multipaxos *p, const struct multipaxos_message *message,
                         const struct blob *entry, bool *ret_conflict)
{
    const struct multipaxos_cell *cell = multipaxos_window_find(p, message->slot);
    *ret_conflict = false;
    if (cell == NULL || !cell->accepted)
        return message->slot <= p->chosen_upto;
    bool settled = cell->chosen || ballot_compare(cell->vbal, message->ballot) == 0;
    *ret_conflict = settled && !multipaxos_entries_equal(cell->entry, entry);
    return settled;
}

void multipaxos_on_accept(struct multipaxos *p, uint16_t from,
                          const struct multipaxos_message *message, struct blob *entry,
                          struct effects *fx)
{
    if (!multipaxos_follow(p, from, message->ballot, fx))
        return;
    multipaxos_learn_upto(p, message->ballot, message->chosen_upto);
    bool conflict;
    if (acceptor_has(p, message, entry, &conflict)) {
        if (conflict)
            p->dropped++; /* nobody correct proposes another value here */
        else
            acceptor_reply(p, from, message->slot, fx);
        return;
    }
    if (!multipaxos_window_fits(p, message->slot))
        return; /* this member lags: it fetches, and the leader sends again */
    bool reach = multipaxos_window_reach(p, message->slot);
    ensure(reach);
    multipaxos_accept(p, multipaxos_window_claim(p, message->slot), message->ballot, entry, fx);
    acceptor_reply(p, from, message->slot, fx);
}
