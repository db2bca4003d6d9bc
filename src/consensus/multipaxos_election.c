/* Election: who should lead. Nothing here can break safety; it decides whether there is progress.
 *
 * After the ballot leader election of OmniPaxos (Ng et al. 2023): leading takes being connected to
 * quorums, not having the longest log. Everybody sends heartbeats to everybody; each says whom its
 * sender follows (the ballot), whether it leads, and whether it hears the receiver. A leader stays
 * while a phase 2 quorum follows it both ways. A candidate first asks whether it would be followed
 * (PRE_PREPARE), which changes nothing anywhere, and members that hear a live leader say no: so a
 * member that comes back, or that lost its own link alone, disturbs nobody. Waiting times are
 * random and grow with every failure, and whoever said yes to another waits: no duels. */
#include "consensus/multipaxos.h"

#include "base/panic.h"
#include "base/planted.h"

#define BACKOFF_MAX 5

/* A random time between two parts of a heartbeat interval, given in percent of it. */
static uint64_t election_delay(struct multipaxos *p, uint32_t from, uint32_t to)
{
    uint64_t unit = p->config.heartbeat_ns / 100 + 1;
    return unit * from + prng_below(&p->prng, unit * (to - from) + 1);
}

static void election_draw_jitter(struct multipaxos *p)
{
    p->jitter_ns = prng_below(&p->prng, p->config.election_ns * 3 / 10 + 1);
}

static void election_campaign_within(struct multipaxos *p, uint64_t delay)
{
    if (p->campaign_at > p->now + delay)
        p->campaign_at = p->now + delay;
}

static void election_campaign_not_before(struct multipaxos *p, uint64_t delay)
{
    if (p->campaign_at < p->now + delay)
        p->campaign_at = p->now + delay;
}

void multipaxos_wait_for_leader(struct multipaxos *p)
{
    election_draw_jitter(p);
    p->campaign_at = p->now + p->config.election_ns + p->jitter_ns;
}

static void election_back_off(struct multipaxos *p)
{
    uint64_t base = (p->config.heartbeat_ns / 2) << p->backoff;
    if (planted(MULTIPAXOS_NO_BACKOFF))
        base = 0;
    p->campaign_at = p->now + base + prng_below(&p->prng, base + 1);
    if (p->backoff < BACKOFF_MAX)
        p->backoff++;
}

static bool election_hears(const struct multipaxos *p, const struct multipaxos_peer *peer)
{
    return peer->heard_ns != 0 && p->now - peer->heard_ns < p->config.election_ns;
}

bool multipaxos_peer_up(const struct multipaxos *p, const struct multipaxos_peer *peer)
{
    return !peer->down && election_hears(p, peer);
}

/* Whoever messages reach in both directions, this member included. */
static member_set election_connected(const struct multipaxos *p)
{
    member_set set = p->self;
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place && multipaxos_peer_up(p, &p->peers[i]) && p->peers[i].hears_us)
            set |= (member_set)1 << i;
    return set;
}

/* Whoever follows this leader, as far as it can know. */
static member_set election_followers(const struct multipaxos *p)
{
    member_set set = p->self;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct multipaxos_peer *peer = &p->peers[i];
        if (i != p->place && election_hears(p, peer) && peer->hears_us &&
            ballot_compare(peer->promised, p->ballot) == 0)
            set |= (member_set)1 << i;
    }
    return set;
}

static bool election_leader_is_fresh(const struct multipaxos *p)
{
    if (multipaxos_leads(p))
        return true;
    if (planted(MULTIPAXOS_NOT_STICKY))
        return false;
    return p->leader != NODE_NONE && !p->suspected &&
           p->now - p->leader_heard_ns < p->config.election_ns;
}

void multipaxos_step_down(struct multipaxos *p)
{
    if (p->phase == PHASE_PREPARING)
        p->ballots_burned++;
    if (p->phase >= PHASE_PREPARING)
        multipaxos_window_clear_reports(p);
    p->phase = PHASE_FOLLOWING;
    p->leader = NODE_NONE;
    p->suspected = false;
    p->barrier = 0;
    p->transfer_to = NODE_NONE;
    p->transfer_ordered = false;
    read_lease_drop(&p->lease);
    multipaxos_reads_reset(p);
}

static void election_heartbeat(struct multipaxos *p, struct multipaxos_peer *peer,
                               struct effects *fx)
{
    struct multipaxos_message message = multipaxos_compose(p, MESSAGE_HEARTBEAT);
    if (multipaxos_leads(p))
        message.flags |= FLAG_LEADING;
    if (election_hears(p, peer))
        message.flags |= FLAG_HEARS_YOU;
    message.stamp = p->now;
    if (peer->stamp != 0)
        message.echo = peer->stamp + (p->now - peer->stamp_ns);
    multipaxos_send(p, fx, peer->node, &message, NULL);
}

static void election_heartbeats(struct multipaxos *p, struct effects *fx)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            election_heartbeat(p, &p->peers[i], fx);
}

void multipaxos_election_start(struct multipaxos *p, struct effects *fx)
{
    bool alone = quorum_phase1(&p->config.configuration->quorums, p->self);
    p->campaign_at = p->now + (alone ? 0 : election_delay(p, 10, 150));
    p->tick_at = p->now + p->config.heartbeat_ns;
    election_heartbeats(p, fx);
}

void multipaxos_heard(struct multipaxos *p, struct multipaxos_peer *peer,
                      const struct multipaxos_message *message)
{
    bool state = message->kind == MESSAGE_HEARTBEAT; /* the others may come out of order */
    peer->heard_ns = p->now;
    peer->down = false;
    if (state || message->chosen_upto > peer->chosen_upto)
        peer->chosen_upto = message->chosen_upto;
    if (state || ballot_compare(message->ballot, peer->promised) > 0)
        peer->promised = message->ballot;
    if (message->ballot.round > p->round_max && !planted(MULTIPAXOS_FORGETS_HIGHER_ROUND))
        p->round_max = message->ballot.round;
    if (p->phase >= PHASE_PREPARING && ballot_compare(message->ballot, p->ballot) > 0) {
        bool led = multipaxos_leads(p);
        multipaxos_step_down(p);
        election_back_off(p);
        if (led)
            election_campaign_within(p, election_delay(p, 3, 30));
    }
}

bool multipaxos_follow(struct multipaxos *p, uint16_t from, struct ballot ballot,
                       struct effects *fx)
{
    if (ballot_compare(ballot, p->promised) < 0 && !planted(MULTIPAXOS_ACCEPT_BELOW_PROMISE)) {
        multipaxos_nack(p, from, fx);
        return false;
    }
    if (p->phase == PHASE_ASKING && p->transfer_ordered && ballot_compare(ballot, p->promised) == 0)
        return true; /* the old leader still talks while this member takes over as told */
    if (p->phase != PHASE_FOLLOWING || p->leader != from) {
        multipaxos_step_down(p);
        p->leader = from;
        election_draw_jitter(p);
    }
    p->promised = ballot;
    p->suspected = false;
    p->backoff = 0;
    p->leader_heard_ns = p->now;
    p->campaign_at = p->now + p->config.election_ns + p->jitter_ns;
    return true;
}

static void election_measure(struct multipaxos *p, struct multipaxos_peer *peer,
                             const struct multipaxos_message *message)
{
    peer->stamp = message->stamp;
    peer->stamp_ns = p->now;
    if (message->echo == 0 || message->echo > p->now)
        return;
    uint64_t sample = p->now - message->echo;
    if (sample > p->config.election_ns)
        return; /* an echo from before a restart */
    peer->round_trip_ns =
        peer->round_trip_ns == 0 ? sample + 1 : (peer->round_trip_ns * 7 + sample) / 8 + 1;
}

void multipaxos_on_heartbeat(struct multipaxos *p, struct multipaxos_peer *peer,
                             const struct multipaxos_message *message, struct effects *fx)
{
    peer->hears_us = (message->flags & FLAG_HEARS_YOU) != 0;
    election_measure(p, peer, message);
    if (!peer->hears_us && p->now - peer->greeted_ns >= p->config.heartbeat_ns / 4) {
        peer->greeted_ns = p->now; /* it has just come: do not let it wait for the next tick */
        election_heartbeat(p, peer, fx);
    }
    if (message->flags & FLAG_LEADING) {
        if (multipaxos_follow(p, peer->node, message->ballot, fx))
            multipaxos_learn_upto(p, message->ballot, message->chosen_upto);
    } else if (p->leader == peer->node && !p->suspected &&
               ballot_compare(message->ballot, p->promised) >= 0) {
        p->suspected = true; /* it has stepped down, or restarted */
        election_campaign_within(p, election_delay(p, 3, 30));
    }
}

/* Somebody else, perhaps this member itself, has begun phase 1 a moment ago: let it finish. */
static bool election_is_courted(const struct multipaxos *p, const struct multipaxos_peer *by)
{
    if (planted(MULTIPAXOS_WILLING_TO_ALL))
        return false;
    if (p->phase == PHASE_PREPARING)
        return true;
    int place = configuration_place(p->config.configuration, p->promised.node);
    return place >= 0 && p->promised.node != by->node && !p->peers[place].down &&
           p->courted_ns != 0 && p->now - p->courted_ns < 2 * p->config.heartbeat_ns;
}

void multipaxos_on_pre_prepare(struct multipaxos *p, struct multipaxos_peer *peer,
                               const struct multipaxos_message *message, struct effects *fx)
{
    struct multipaxos_message reply = multipaxos_compose(p, MESSAGE_PRE_PROMISE);
    bool ordered = (message->flags & FLAG_TRANSFER) != 0;
    reply.id = message->id;
    reply.from = p->base;
    if (ordered || p->leader == peer->node ||
        (!election_leader_is_fresh(p) && !election_is_courted(p, peer))) {
        reply.flags |= FLAG_WILLING;
        if (p->phase == PHASE_FOLLOWING)
            election_campaign_not_before(p, p->config.heartbeat_ns + election_delay(p, 0, 100));
    }
    multipaxos_send(p, fx, peer->node, &reply, NULL);
}

void multipaxos_on_pre_promise(struct multipaxos *p, struct multipaxos_peer *peer,
                               const struct multipaxos_message *message)
{
    if (p->phase != PHASE_ASKING || message->id != p->attempt)
        return;
    peer->hears_us = true;
    peer->floor = message->from;
    if (message->flags & FLAG_WILLING)
        p->willing |= configuration_bit(p->config.configuration, peer->node);
}

static void election_campaign(struct multipaxos *p, bool ordered, struct effects *fx)
{
    multipaxos_step_down(p);
    if (!ordered && !quorum_phase1(&p->config.configuration->quorums, election_connected(p))) {
        p->campaign_at = p->now + election_delay(p, 50, 100);
        return;
    }
    p->phase = PHASE_ASKING;
    p->transfer_ordered = ordered;
    p->attempt++;
    p->willing = p->self;
    p->deadline = p->now + 2 * p->config.heartbeat_ns;
    struct multipaxos_message message = multipaxos_compose(p, MESSAGE_PRE_PREPARE);
    message.id = p->attempt;
    if (ordered)
        message.flags |= FLAG_TRANSFER;
    multipaxos_broadcast(p, fx, &message, NULL);
}

void multipaxos_on_transfer_now(struct multipaxos *p, uint16_t from,
                                const struct multipaxos_message *message, struct effects *fx)
{
    if (p->phase != PHASE_FOLLOWING || p->leader != from || !multipaxos_sound(p) ||
        ballot_compare(message->ballot, p->promised) != 0)
        return;
    multipaxos_learn_upto(p, message->ballot, message->chosen_upto);
    election_campaign(p, true, fx);
}

void multipaxos_on_peer(struct multipaxos *p, struct multipaxos_peer *peer, bool up,
                        struct effects *fx)
{
    peer->down = !up;
    if (up) {
        election_heartbeat(p, peer, fx);
        if (multipaxos_leads(p))
            multipaxos_resend(p, peer);
        return;
    }
    bool awaited =
        p->leader == peer->node || (p->leader == NODE_NONE && p->promised.node == peer->node);
    if (p->phase == PHASE_FOLLOWING && awaited) {
        p->suspected = true;
        election_campaign_within(p, election_delay(p, 3, 30));
    }
}

/* Q1 said yes, and nobody in it has let go of slots that are missing here: those are fetched
 * first, for a promise could not report them. */
static void election_prepare_if_willing(struct multipaxos *p, struct effects *fx)
{
    if (!quorum_phase1(&p->config.configuration->quorums, p->willing) ||
        !read_lease_lets(&p->lease, p->now, p->config.self))
        return;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        if (i == p->place || (p->willing >> i & 1) == 0 || p->peers[i].floor <= p->chosen_upto)
            continue;
        if (p->fetched_ns == 0 || p->now - p->fetched_ns >= p->config.heartbeat_ns / 2)
            multipaxos_fetch(p, fx);
        return;
    }
    multipaxos_prepare(p, fx);
}

void multipaxos_pump_election(struct multipaxos *p, struct effects *fx)
{
    if (p->phase == PHASE_ASKING)
        election_prepare_if_willing(p, fx);
}

static void election_time(struct multipaxos *p, struct effects *fx)
{
    switch (p->phase) {
    case PHASE_FOLLOWING:
        if (p->now >= p->campaign_at && read_lease_lets(&p->lease, p->now, p->config.self)) {
            if (multipaxos_sound(p))
                election_campaign(p, false, fx);
            else
                multipaxos_wait_for_leader(p);
        }
        break;
    case PHASE_ASKING:
        if (p->now >= p->deadline) {
            multipaxos_step_down(p);
            election_back_off(p);
        }
        break;
    case PHASE_PREPARING:
        if (p->now >= p->deadline) {
            multipaxos_step_down(p);
            election_back_off(p);
        } else if (p->now >= p->repeat_at) {
            multipaxos_prepare_again(p, fx);
        }
        break;
    case PHASE_TAKING_OVER:
    case PHASE_LEADING:
        break;
    }
}

/* A leader that a quorum does not follow serves nobody, and it must not keep the few that hear it
 * from following a better one: it falls silent as a leader. */
static void election_keep_office(struct multipaxos *p)
{
    if (p->now - p->led_since_ns < p->config.election_ns)
        return;
    if (!quorum_phase2(&p->config.configuration->quorums, election_followers(p)) &&
        !planted(MULTIPAXOS_NO_CHECK_QUORUM)) {
        multipaxos_step_down(p);
        election_back_off(p);
    }
}

void multipaxos_on_time(struct multipaxos *p, struct effects *fx)
{
    election_time(p, fx);
    if (p->now < p->tick_at)
        return;
    p->tick_at = p->now + p->config.heartbeat_ns;
    if (multipaxos_leads(p))
        election_keep_office(p);
    election_heartbeats(p, fx);
    if (multipaxos_leads(p))
        multipaxos_leader_tick(p);
    multipaxos_reads_tick(p, fx);
    multipaxos_fetch_tick(p, fx);
}
