/* Phase 2: the leader proposes, counts, commits.
 *
 * The one invariant: a slot is chosen when a phase 2 quorum accepted it in exactly this leader's
 * ballot, the leader's own vote among them only once its record is durable. Slots are proposed in
 * a pipeline, chosen in any order and delivered in slot order. */
#include "consensus/multipaxos.h"

#include "base/panic.h"
#include "base/planted.h"

/* A peer that does not answer is sent to again after 1, 2, 4 ... this many heartbeats. */
#define RESEND_PAUSE_MAX 16

/* The first slot that is not proposed yet in this ballot. */
static uint64_t leader_frontier(const struct multipaxos *p)
{
    return p->phase == PHASE_TAKING_OVER ? p->takeover_next : p->next_slot;
}

static void leader_count(struct multipaxos *p, struct multipaxos_cell *cell, member_set voters)
{
    if (cell->chosen || ballot_compare(cell->vbal, p->ballot) != 0)
        return;
    cell->acks |= voters;
    if (quorum_phase2(&p->config.configuration->quorums, cell->acks) ||
        planted(MULTIPAXOS_COMMIT_WITHOUT_QUORUM))
        cell->chosen = true;
}

static struct multipaxos_message leader_accept(const struct multipaxos *p, uint64_t slot)
{
    struct multipaxos_message accept = multipaxos_compose(p, MESSAGE_ACCEPT);
    accept.slot = slot;
    return accept;
}

void multipaxos_propose(struct multipaxos *p, uint64_t slot, struct blob *entry, struct effects *fx)
{
    ensure(slot > p->chosen_upto);
    ensure(slot <= p->chosen_upto + p->config.window_slots);
    bool reach = multipaxos_window_reach(p, slot);
    ensure(reach);
    struct multipaxos_message accept = leader_accept(p, slot);
    multipaxos_broadcast(p, fx, &accept, entry);
    p->announced_upto = p->chosen_upto;
    struct multipaxos_cell *cell = multipaxos_window_claim(p, slot);
    cell->acks = 0;
    if (!cell->chosen) /* what is settled is proposed for the others, not written again here */
        multipaxos_accept(p, cell, p->ballot, entry, fx);
}

uint32_t multipaxos_room(const struct multipaxos *p)
{
    bool leaving = p->transfer_to != NODE_NONE && !planted(MULTIPAXOS_TRANSFER_KEEPS_PROPOSING);
    if (p->phase != PHASE_LEADING || p->barrier == 0 || leaving)
        return 0;
    if (p->undelivered_bytes >= p->config.window_bytes)
        return 0;
    uint64_t end = p->chosen_upto + p->config.window_slots + 1;
    return end > p->next_slot ? (uint32_t)(end - p->next_slot) : 0;
}

void multipaxos_on_propose(struct multipaxos *p, const struct input *input, struct effects *fx)
{
    if (multipaxos_room(p) == 0) {
        effects_reject(fx, input->token, p->leader);
        return;
    }
    p->proposals++;
    multipaxos_propose(p, p->next_slot++, input->entry, fx);
}

void multipaxos_on_accepted(struct multipaxos *p, struct multipaxos_peer *peer,
                            const struct multipaxos_message *message)
{
    bool other = ballot_compare(message->ballot, p->ballot) != 0;
    if (!multipaxos_leads(p) || (other && !planted(MULTIPAXOS_ACKS_OF_ANY_BALLOT)))
        return; /* an answer to somebody else, or to an earlier self */
    if (message->slot >= leader_frontier(p)) {
        p->dropped++;
        return;
    }
    peer->hears_us = true;
    if (message->slot > peer->acked_upto)
        peer->acked_upto = message->slot;
    struct multipaxos_cell *cell = multipaxos_window_find(p, message->slot);
    if (cell == NULL || message->slot <= p->chosen_upto)
        return;
    member_set bit = configuration_bit(p->config.configuration, peer->node);
    cell->acks |= bit;
    leader_count(p, cell, bit);
}

/* This member's own votes, in the order in which it wrote them. */
void multipaxos_pump_votes(struct multipaxos *p)
{
    if (!multipaxos_leads(p))
        return;
    if (p->self_acked < p->chosen_upto)
        p->self_acked = p->chosen_upto;
    while (p->self_acked + 1 < leader_frontier(p)) {
        struct multipaxos_cell *cell = multipaxos_window_find(p, p->self_acked + 1);
        ensure(cell != NULL);
        if (!cell->chosen && cell->lsn.value > p->durable.value &&
            !planted(MULTIPAXOS_OWN_VOTE_NOT_DURABLE))
            return;
        leader_count(p, cell, p->self);
        p->self_acked++;
    }
}

/* The first slot that the peer has not accepted; 0 if there is none. */
static uint64_t leader_first_unacked(const struct multipaxos *p, uint32_t place)
{
    for (uint64_t slot = p->chosen_upto + 1; slot < leader_frontier(p); slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        if (cell != NULL && (cell->acks >> place & 1) == 0)
            return slot;
    }
    return 0;
}

/* Sends again from the first slot that is not delivered; only as far as the peer's window goes. */
void multipaxos_resend(struct multipaxos *p, struct multipaxos_peer *peer)
{
    uint64_t end = leader_frontier(p) - 1;
    if (end > peer->chosen_upto + p->config.window_slots)
        end = peer->chosen_upto + p->config.window_slots;
    peer->resend_next = p->chosen_upto + 1;
    peer->resend_end = end;
}

static void leader_pump_resend(struct multipaxos *p, uint32_t place, struct effects *fx)
{
    struct multipaxos_peer *peer = &p->peers[place];
    if (peer->resend_next != 0 && peer->resend_next <= p->chosen_upto)
        peer->resend_next = p->chosen_upto + 1;
    while (peer->resend_next != 0 && peer->resend_next <= peer->resend_end) {
        if (!multipaxos_may_add(p, fx, MULTIPAXOS_RESERVE))
            return;
        const struct multipaxos_cell *cell = multipaxos_window_find(p, peer->resend_next);
        ensure(cell != NULL);
        if ((cell->acks >> place & 1) == 0) {
            struct multipaxos_message accept = leader_accept(p, cell->slot);
            multipaxos_send(p, fx, peer->node, &accept, cell->entry);
        }
        peer->resend_next++;
    }
    peer->resend_next = 0;
}

/* What stayed unanswered for a whole interval is sent again, at growing intervals. */
static void leader_resend_if_stalled(struct multipaxos *p, uint32_t place)
{
    struct multipaxos_peer *peer = &p->peers[place];
    uint64_t unacked = leader_first_unacked(p, place);
    if (unacked == 0 || unacked != peer->unacked_slot) {
        peer->unacked_slot = unacked;
        peer->resend_pause = p->config.heartbeat_ns;
        peer->resend_at = p->now + 2 * peer->round_trip_ns;
        return;
    }
    if (p->now < peer->resend_at || !multipaxos_peer_up(p, peer) ||
        planted(MULTIPAXOS_NEVER_RESENDS))
        return;
    multipaxos_resend(p, peer);
    peer->resend_at = p->now + peer->resend_pause;
    if (peer->resend_pause < RESEND_PAUSE_MAX * p->config.heartbeat_ns)
        peer->resend_pause *= 2;
}

void multipaxos_leader_tick(struct multipaxos *p)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            leader_resend_if_stalled(p, i);
    if (p->transfer_to != NODE_NONE && p->now >= p->transfer_deadline)
        p->transfer_to = NODE_NONE;
}

static uint64_t leader_progress_of(const struct multipaxos_peer *peer)
{
    return peer->acked_upto > peer->chosen_upto ? peer->acked_upto : peer->chosen_upto;
}

static uint16_t leader_most_up_to_date(const struct multipaxos *p)
{
    const struct multipaxos_peer *best = NULL;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct multipaxos_peer *peer = &p->peers[i];
        if (i == p->place || !multipaxos_peer_up(p, peer) || !peer->hears_us)
            continue;
        if (best == NULL || leader_progress_of(peer) > leader_progress_of(best))
            best = peer;
    }
    return best == NULL ? NODE_NONE : best->node;
}

void multipaxos_on_transfer(struct multipaxos *p, uint16_t node)
{
    if (!multipaxos_leads(p))
        return;
    uint16_t to = node == NODE_NONE ? leader_most_up_to_date(p) : node;
    int place = configuration_place(p->config.configuration, to);
    if (place < 0 || (uint32_t)place == p->place)
        return;
    p->transfer_to = to;
    p->transfer_deadline = p->now + p->config.election_ns;
    p->transfer_at = 0;
}

/* Nothing is under way any more and the successor has it all: it takes over without a gap. */
static void leader_pump_transfer(struct multipaxos *p, struct effects *fx)
{
    if (p->transfer_to == NODE_NONE || !multipaxos_ready(p) || p->now < p->transfer_at)
        return;
    int place = configuration_place(p->config.configuration, p->transfer_to);
    ensure(place >= 0);
    bool settled = p->chosen_upto + 1 == p->next_slot &&
                   leader_progress_of(&p->peers[place]) >= p->chosen_upto;
    if (!settled && !planted(MULTIPAXOS_TRANSFER_AT_ONCE))
        return;
    p->transfer_at = p->now + p->config.heartbeat_ns;
    struct multipaxos_message message = multipaxos_compose(p, MESSAGE_TRANSFER_NOW);
    multipaxos_send(p, fx, p->transfer_to, &message, NULL);
}

/* The first proposal of a leadership is a no-op: once it is delivered, everything that was chosen
 * in lower ballots is delivered too, and nothing of them can surface later. */
static void leader_propose_barrier(struct multipaxos *p, struct effects *fx)
{
    if (p->phase != PHASE_LEADING || p->barrier != 0)
        return;
    if (p->next_slot > p->chosen_upto + p->config.window_slots)
        return;
    p->barrier = p->next_slot++;
    multipaxos_propose(p, p->barrier, NULL, fx);
}

void multipaxos_pump_leader(struct multipaxos *p, struct effects *fx)
{
    if (!multipaxos_leads(p))
        return;
    leader_propose_barrier(p, fx);
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            leader_pump_resend(p, i, fx);
    if (p->announced_upto < p->chosen_upto) {
        struct multipaxos_message commit = multipaxos_compose(p, MESSAGE_COMMIT);
        multipaxos_broadcast(p, fx, &commit, NULL);
        p->announced_upto = p->chosen_upto;
    }
    leader_pump_transfer(p, fx);
}
