/* The leader: its log only grows, and everybody's becomes the same.
 *
 * The one invariant: an entry of an earlier term is never committed by counting who holds it. Only
 * an entry of this term is, by a phase 2 quorum on whose disks it lies; and all that comes before
 * it with it (figure 8 of the paper shows why). So the first entry of a term is a no-op, at once.
 */
#include "consensus/raft.h"

#include "base/panic.h"
#include "base/planted.h"

static void leader_probe_from(struct raft_peer *peer, uint64_t next)
{
    peer->stream = RAFT_PROBING;
    peer->asked = false;
    peer->next = next;
}

/* Elected. The no-op goes to everybody as the first question: most logs agree already. */
void raft_lead(struct raft *p, struct effects *fx)
{
    p->phase = RAFT_LEADING;
    p->leader = NODE_NONE;
    p->term_leader = p->config.self;
    p->backoff = 0;
    p->led_since_ns = p->now;
    p->self_acked = p->chosen_upto;
    p->announced_upto = p->chosen_upto;
    p->behind_upto = 0;
    bool reach = raft_log_reach(p);
    ensure(reach); /* whoever has no place for it does not stand */
    raft_append(p, p->term, NULL, fx);
    p->barrier = p->last;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        leader_probe_from(&p->peers[i], p->last);
        p->peers[i].match = 0;
    }
}

uint32_t raft_room(const struct raft *p)
{
    if (!raft_leads(p) || p->transfer_to != NODE_NONE)
        return 0;
    if (p->undelivered_bytes >= p->config.window_bytes)
        return 0;
    uint64_t end = p->chosen_upto + p->config.window_slots;
    return end > p->last ? (uint32_t)(end - p->last) : 0;
}

void raft_on_propose(struct raft *p, const struct input *input, struct effects *fx)
{
    if (raft_room(p) == 0 || !raft_log_reach(p)) {
        effects_reject(fx, input->token, p->leader);
        return;
    }
    p->proposals++;
    raft_append(p, p->term, input->entry, fx);
}

void raft_on_appended(struct raft *p, struct raft_peer *peer, const struct raft_message *message)
{
    if (!raft_leads(p) || (message->term != p->term && !planted(RAFT_STALE_APPENDED)))
        return; /* an answer to somebody else, or to an earlier self */
    if (message->slot > p->last) {
        p->dropped++;
        return;
    }
    peer->hears_us = true;
    if (message->slot > peer->match)
        peer->match = message->slot;
    bool met =
        peer->stream == RAFT_PROBING ? message->slot + 1 >= peer->next : message->slot >= p->base;
    if (peer->stream != RAFT_STREAMING && met) {
        peer->stream = RAFT_STREAMING;
        peer->next = peer->match + 1;
    }
    if (peer->next <= peer->match)
        peer->next = peer->match + 1;
}

/* Where to ask next: behind the last entry here that may be the same, by the term that conflicts.
 * What the peer has delivered is the same for sure. */
static uint64_t leader_backtrack(const struct raft *p, const struct raft_peer *peer,
                                 const struct raft_message *message)
{
    uint64_t next = message->first;
    if (message->log_term != 0) {
        uint64_t at = message->slot - 1 < p->last ? message->slot - 1 : p->last;
        while (at >= message->first && at > p->base && raft_log_term(p, at) > message->log_term)
            at--;
        if (at >= message->first && raft_log_term(p, at) == message->log_term)
            next = at + 1;
    }
    if (next <= peer->match)
        next = peer->match + 1;
    if (next <= peer->chosen_upto && peer->chosen_upto < message->slot)
        next = peer->chosen_upto + 1;
    return next;
}

void raft_on_reject(struct raft *p, struct raft_peer *peer, const struct raft_message *message)
{
    if (!raft_leads(p) || message->term != p->term)
        return;
    peer->hears_us = true;
    bool late = peer->stream == RAFT_STREAMING ? message->slot >= peer->next
                                               : message->slot + 1 != peer->next;
    if (late || message->slot <= peer->match)
        return; /* about something that was settled since */
    leader_probe_from(peer, leader_backtrack(p, peer, message));
}

/* This member's own acknowledgement, in the order in which it wrote. */
static void leader_count_self(struct raft *p)
{
    if (p->self_acked < p->chosen_upto)
        p->self_acked = p->chosen_upto;
    while (p->self_acked < p->last) {
        const struct raft_cell *cell = raft_log_find(p, p->self_acked + 1);
        ensure(cell != NULL);
        if (cell->lsn.value > p->durable.value && !planted(RAFT_MATCH_BEYOND_DURABLE))
            return;
        p->self_acked++;
    }
}

static uint64_t leader_match_of(const struct raft *p, uint32_t place)
{
    return place == p->place ? p->self_acked : p->peers[place].match;
}

static member_set leader_holders(const struct raft *p, uint64_t slot)
{
    member_set set = 0;
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (leader_match_of(p, i) >= slot)
            set |= (member_set)1 << i;
    return set;
}

/* The highest slot that a phase 2 quorum holds. */
static uint64_t leader_quorum_slot(const struct raft *p)
{
    uint64_t best = 0;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        uint64_t slot = leader_match_of(p, i);
        if (slot > best &&
            quorum_phase2(&p->config.configuration->quorums, leader_holders(p, slot)))
            best = slot;
    }
    return best;
}

void raft_pump_commit(struct raft *p)
{
    if (!raft_leads(p))
        return;
    leader_count_self(p);
    uint64_t slot = leader_quorum_slot(p);
    bool own = raft_log_term(p, slot) == p->term;
    if (slot > p->commit && (own || planted(RAFT_COMMIT_OLD_TERM)))
        p->commit = slot;
}

void raft_fill_probe(const struct raft *p, const struct raft_peer *peer,
                     struct raft_message *message)
{
    message->slot = peer->stream == RAFT_LAGGING ? p->base : peer->next - 1;
    if (message->slot < p->base)
        message->slot = p->base; /* it is told to fetch in this step */
    message->prev_term = raft_log_term(p, message->slot);
}

/* Falls silent towards a peer that does not answer, until it does: heartbeats ask on. */
static void leader_tick_peer(struct raft *p, struct raft_peer *peer)
{
    if (peer->stream == RAFT_STREAMING && !raft_peer_up(p, peer)) {
        leader_probe_from(peer, peer->match + 1);
        peer->asked = true;
    }
    if (peer->stream == RAFT_LAGGING)
        peer->asked = false; /* tell it again */
}

void raft_leader_tick(struct raft *p)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            leader_tick_peer(p, &p->peers[i]);
    if (p->transfer_to != NODE_NONE && p->now >= p->transfer_deadline)
        p->transfer_to = NODE_NONE;
}

static uint16_t leader_most_up_to_date(const struct raft *p)
{
    const struct raft_peer *best = NULL;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct raft_peer *peer = &p->peers[i];
        if (i == p->place || !raft_peer_up(p, peer) || !peer->hears_us)
            continue;
        if (best == NULL || peer->match > best->match)
            best = peer;
    }
    return best == NULL ? NODE_NONE : best->node;
}

void raft_on_transfer(struct raft *p, uint16_t node)
{
    if (!raft_leads(p))
        return;
    uint16_t to = node == NODE_NONE ? leader_most_up_to_date(p) : node;
    int place = configuration_place(p->config.configuration, to);
    if (place < 0 || (uint32_t)place == p->place)
        return;
    p->transfer_to = to;
    p->transfer_deadline = p->now + p->config.election_ns;
    p->transfer_at = 0;
}

/* The successor has all that this member has: nobody has a better log. */
static void leader_pump_transfer(struct raft *p, struct effects *fx)
{
    if (p->transfer_to == NODE_NONE || !raft_ready(p) || p->now < p->transfer_at)
        return;
    int place = configuration_place(p->config.configuration, p->transfer_to);
    ensure(place >= 0);
    if (p->peers[place].match < p->last)
        return;
    p->transfer_at = p->now + p->config.heartbeat_ns;
    struct raft_message message = raft_compose(p, RAFT_TRANSFER_NOW);
    raft_send(p, fx, p->transfer_to, &message, NULL);
}

static void leader_send_append(const struct raft *p, struct raft_peer *peer, struct effects *fx)
{
    const struct raft_cell *cell = raft_log_find(p, peer->next);
    ensure(cell != NULL);
    struct raft_message message = raft_compose(p, RAFT_APPEND);
    message.slot = cell->slot;
    message.log_term = cell->term;
    message.prev_term = raft_log_term(p, cell->slot - 1);
    raft_send(p, fx, peer->node, &message, cell->entry);
}

static void leader_ask(struct raft *p, struct raft_peer *peer, struct effects *fx)
{
    if (peer->asked)
        return;
    peer->asked = true;
    if (peer->stream == RAFT_LAGGING) {
        struct raft_message message = raft_compose(p, RAFT_BEHIND);
        message.slot = p->base;
        raft_send(p, fx, peer->node, &message, NULL);
    } else if (peer->next == p->barrier && p->barrier == p->last) {
        leader_send_append(p, peer, fx); /* an empty entry is as small as a question */
    } else {
        struct raft_message message = raft_compose(p, RAFT_PROBE);
        raft_fill_probe(p, peer, &message);
        raft_send(p, fx, peer->node, &message, NULL);
    }
}

static void leader_pump_peer(struct raft *p, struct raft_peer *peer, struct effects *fx)
{
    if (peer->stream != RAFT_LAGGING && peer->next <= p->base) {
        peer->stream = RAFT_LAGGING;
        peer->asked = false;
    }
    if (peer->stream != RAFT_STREAMING) {
        leader_ask(p, peer, fx);
        return;
    }
    while (peer->next <= p->last && raft_may_add(p, fx)) {
        leader_send_append(p, peer, fx);
        peer->next++;
    }
}

/* Whoever got an append just now knows already. */
static void leader_announce(struct raft *p, const bool *appended, struct effects *fx)
{
    if (p->announced_upto == p->chosen_upto)
        return;
    p->announced_upto = p->chosen_upto;
    struct raft_message commit = raft_compose(p, RAFT_COMMIT);
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place && !appended[i])
            raft_send(p, fx, p->peers[i].node, &commit, NULL);
}

void raft_pump_leader(struct raft *p, struct effects *fx)
{
    if (!raft_leads(p))
        return;
    bool appended[MEMBERS_MAX] = {false};
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        if (i == p->place)
            continue;
        uint64_t next = p->peers[i].next;
        leader_pump_peer(p, &p->peers[i], fx);
        appended[i] = p->peers[i].next > next;
    }
    leader_announce(p, appended, fx);
    leader_pump_transfer(p, fx);
}
