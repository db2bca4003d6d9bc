/* Phase 1: once for each leadership, for all slots at once.
 *
 * A promise comes as pages, each of which covers a range of slots in order; it counts when its last
 * page is in, so a torn one can never pass for a short one. The one invariant: when a slot is
 * proposed in the new ballot, a phase 1 quorum has reported on it, and the value is the one that
 * was reported in the highest ballot. "Forgotten because chosen" is not "empty": the candidate
 * fetches what lies below anybody's floor. */
#include "consensus/multipaxos.h"

#include "base/panic.h"
#include "base/planted.h"

static void takeover_send_prepare(struct multipaxos *p, const struct multipaxos_peer *peer,
                                  struct effects *fx)
{
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    struct multipaxos_message message = multipaxos_compose(p, MESSAGE_PREPARE);
    message.slot = peer->pages_upto + 1;
    effects_send(fx, peer->node, multipaxos_message_encode(&message, p->config.era, buffer), NULL);
}

/* Who granted the last leader a lease does not answer before it has run out. */
static uint64_t takeover_pause(const struct multipaxos *p)
{
    uint64_t pause = p->config.heartbeat_ns;
    uint64_t quarter = p->lease.length_ns / 4;
    return quarter > 0 && quarter < pause ? quarter : pause;
}

void multipaxos_prepare(struct multipaxos *p, struct effects *fx)
{
    if (!planted(MULTIPAXOS_BALLOT_REUSED) || p->promised.node != p->config.self)
        p->round_max++;
    p->ballot = (struct ballot){p->round_max, p->config.self, BALLOT_CLASSIC};
    p->phase = PHASE_PREPARING;
    p->promises = 0;
    p->elections++;
    p->deadline = p->now + p->config.election_ns;
    p->repeat_at = p->now + takeover_pause(p);
    /* Its record stands before the PREPARE in the list: a ballot that left this member is never
     * used again after a restart. */
    multipaxos_promise(p, p->ballot, fx);
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        if (i == p->place)
            continue;
        p->peers[i].floor = 0;
        p->peers[i].pages_upto = p->chosen_upto;
        takeover_send_prepare(p, &p->peers[i], fx);
    }
}

void multipaxos_prepare_again(struct multipaxos *p, struct effects *fx)
{
    p->repeat_at = p->now + takeover_pause(p);
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place && (p->promises >> i & 1) == 0)
            takeover_send_prepare(p, &p->peers[i], fx);
}

/* Takes one reported value in. False if it lies too far ahead: the page is asked for again. */
static bool takeover_take_report(struct multipaxos *p, const struct multipaxos_message *page,
                                 struct blob *entry, struct effects *fx)
{
    if (page->flags & FLAG_CHOSEN)
        return multipaxos_learn(p, page->slot, entry, fx);
    if (page->slot <= p->chosen_upto)
        return true;
    if (!multipaxos_window_fits(p, page->slot))
        return false;
    bool reach = multipaxos_window_reach(p, page->slot);
    ensure(reach);
    struct multipaxos_cell *cell = multipaxos_window_claim(p, page->slot);
    multipaxos_window_report(p, cell, page->vbal, entry);
    return true;
}

void multipaxos_on_promise(struct multipaxos *p, struct multipaxos_peer *peer,
                           const struct multipaxos_message *page, struct blob *entry,
                           struct effects *fx)
{
    if (p->phase != PHASE_PREPARING || ballot_compare(page->ballot, p->ballot) != 0)
        return;
    member_set bit = configuration_bit(p->config.configuration, peer->node);
    if ((p->promises & bit) != 0)
        return;
    if (page->from != peer->pages_upto) {
        /* A page twice, or one in between is missing: then the rest is asked for again. */
        if ((page->flags & FLAG_LAST) != 0 && page->from > peer->pages_upto)
            takeover_send_prepare(p, peer, fx);
        return;
    }
    peer->hears_us = true;
    p->deadline = p->now + p->config.election_ns;
    if ((page->flags & FLAG_LAST) != 0 || planted(MULTIPAXOS_FIRST_PAGE_IS_ALL)) {
        p->promises |= bit;
        return;
    }
    bool chosen = (page->flags & (FLAG_CHOSEN | FLAG_FLOOR)) != 0;
    bool accepted = !ballot_is_zero(page->vbal) && ballot_compare(page->vbal, p->ballot) < 0;
    if (page->slot <= page->from || (!chosen && !accepted)) {
        p->dropped++;
        return;
    }
    if (page->flags & FLAG_FLOOR) {
        peer->floor = page->slot;
        if (peer->chosen_upto < page->slot)
            peer->chosen_upto = page->slot;
        if (page->slot > p->chosen_upto)
            multipaxos_fetch(p, fx);
    } else if (!takeover_take_report(p, page, entry, fx)) {
        return;
    }
    peer->pages_upto = page->slot;
}

static bool takeover_promised(const struct multipaxos *p)
{
    member_set promises = p->promises;
    if (p->promised_lsn.value <= p->durable.value)
        promises |= p->self;
    if (planted(MULTIPAXOS_TAKEOVER_ALONE))
        promises = p->everybody;
    if (!quorum_phase1(&p->config.configuration->quorums, promises))
        return false;
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if ((p->promises >> i & 1) != 0 && p->peers[i].floor > p->chosen_upto)
            return false;
    return true;
}

static void takeover_begin(struct multipaxos *p)
{
    uint64_t last = p->chosen_upto;
    uint64_t end = p->chosen_upto + p->config.window_slots;
    for (uint64_t slot = p->chosen_upto + 1; slot <= p->last_slot && slot <= end; slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        if (cell != NULL && (cell->accepted || cell->reported))
            last = slot;
    }
    p->phase = PHASE_TAKING_OVER;
    p->backoff = 0;
    p->led_since_ns = p->now;
    p->takeover_next = p->chosen_upto + 1;
    p->next_slot = last + 1;
    if (planted(MULTIPAXOS_TAKEOVER_SKIPS_LAST) && last > p->chosen_upto)
        p->next_slot = last;
    p->barrier = 0;
    p->self_acked = p->chosen_upto;
    p->announced_upto = p->chosen_upto;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        p->peers[i].acked_upto = 0;
        p->peers[i].resend_next = 0;
        p->peers[i].resend_pause = 0;
        p->peers[i].resend_at = 0;
        p->peers[i].unacked_slot = 0;
    }
}

/* The value of the highest ballot, among this member's own and the reports; a no-op where nobody
 * accepted anything. */
static struct blob *takeover_pick(const struct multipaxos_cell *cell)
{
    if (cell == NULL || (cell->chosen && planted(MULTIPAXOS_NO_OP_OVER_CHOSEN)))
        return NULL;
    if (cell->accepted && planted(MULTIPAXOS_OWN_VALUE_WINS))
        return cell->entry;
    if (cell->chosen || !cell->reported)
        return cell->entry;
    int order = cell->accepted ? ballot_compare(cell->vbal, cell->reported_vbal) : -1;
    if (planted(MULTIPAXOS_LOWEST_VBAL_WINS) && cell->accepted)
        order = -order;
    if (order >= 0)
        return cell->entry;
    return cell->reported_entry;
}

static void takeover_propose(struct multipaxos *p, struct effects *fx)
{
    while (p->takeover_next < p->next_slot) {
        if (p->takeover_next <= p->chosen_upto) {
            p->takeover_next = p->chosen_upto + 1;
            continue;
        }
        if (!multipaxos_may_add(p, fx, MULTIPAXOS_RESERVE))
            return;
        struct multipaxos_cell *cell = multipaxos_window_find(p, p->takeover_next);
        struct blob *entry = blob_keep(takeover_pick(cell));
        multipaxos_propose(p, p->takeover_next, entry, fx);
        blob_drop(entry);
        p->takeover_next++;
    }
    p->phase = PHASE_LEADING;
    multipaxos_window_clear_reports(p);
}

void multipaxos_pump_takeover(struct multipaxos *p, struct effects *fx)
{
    if (p->phase == PHASE_PREPARING && takeover_promised(p))
        takeover_begin(p);
    if (p->phase == PHASE_TAKING_OVER)
        takeover_propose(p, fx);
}
