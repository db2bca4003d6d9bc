/* Election: who should lead. One vote a term, on the disk before it is told; only for a log that
 * holds all that may be committed.
 *
 * The one invariant (election safety): at most one leader a term, and its log holds every committed
 * entry. The rest is about progress, and about not disturbing what works: a candidate first asks
 * whether it would be voted for (PRE_VOTE), which changes nothing anywhere; members that hear a
 * live leader say no to both questions; a leader that a quorum does not follow falls silent; a
 * higher term travels with every message, refusals included, so that nobody is left behind alone.
 * Everybody sends heartbeats to everybody, so that each knows whom it could win with. Waiting times
 * are random and grow with every failure; of two that ask each other, the one with the better log,
 * or the higher number, goes on: no duels. */
#include "consensus/raft.h"

#include "base/panic.h"
#include "base/planted.h"

#define BACKOFF_MAX 5

/* A random time between two parts of a heartbeat interval, given in percent of it. */
static uint64_t election_delay(struct raft *p, uint32_t from, uint32_t to)
{
    uint64_t unit = p->config.heartbeat_ns / 100 + 1;
    return unit * from + prng_below(&p->prng, unit * (to - from) + 1);
}

static void election_draw_jitter(struct raft *p)
{
    p->jitter_ns = prng_below(&p->prng, p->config.election_ns * 3 / 10 + 1);
}

static void election_campaign_within(struct raft *p, uint64_t delay)
{
    if (p->campaign_at > p->now + delay)
        p->campaign_at = p->now + delay;
}

static void election_campaign_not_before(struct raft *p, uint64_t delay)
{
    if (p->campaign_at < p->now + delay)
        p->campaign_at = p->now + delay;
}

void raft_wait_for_leader(struct raft *p)
{
    election_draw_jitter(p);
    p->campaign_at = p->now + p->config.election_ns + p->jitter_ns;
}

static void election_back_off(struct raft *p)
{
    uint64_t base = (p->config.heartbeat_ns / 2) << p->backoff;
    p->campaign_at = p->now + base + prng_below(&p->prng, base + 1);
    if (p->backoff < BACKOFF_MAX)
        p->backoff++;
}

static bool election_hears(const struct raft *p, const struct raft_peer *peer)
{
    return peer->heard_ns != 0 && p->now - peer->heard_ns < p->config.election_ns;
}

bool raft_peer_up(const struct raft *p, const struct raft_peer *peer)
{
    return !peer->down && election_hears(p, peer);
}

/* Whoever messages reach in both directions, this member included. */
static member_set election_connected(const struct raft *p)
{
    member_set set = p->self;
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place && raft_peer_up(p, &p->peers[i]) && p->peers[i].hears_us)
            set |= (member_set)1 << i;
    return set;
}

/* Whoever follows this leader, as far as it can know. */
static member_set election_followers(const struct raft *p)
{
    member_set set = p->self;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct raft_peer *peer = &p->peers[i];
        if (i != p->place && election_hears(p, peer) && peer->hears_us && peer->term == p->term)
            set |= (member_set)1 << i;
    }
    return set;
}

static bool election_leader_is_fresh(const struct raft *p)
{
    if (planted(RAFT_NOT_STICKY))
        return false;
    if (raft_leads(p))
        return true;
    return p->leader != NODE_NONE && !p->suspected &&
           p->now - p->leader_heard_ns < p->config.election_ns;
}

void raft_step_down(struct raft *p)
{
    if (p->phase == RAFT_STANDING)
        p->terms_burned++;
    p->phase = RAFT_FOLLOWING;
    p->leader = NODE_NONE;
    p->suspected = false;
    p->barrier = 0;
    p->transfer_to = NODE_NONE;
    p->ordered = false;
    p->behind_upto = 0;
    read_lease_drop(&p->lease);
    raft_reads_reset(p);
}

struct lsn raft_persist_hard(struct raft *p, uint8_t flags, struct effects *fx)
{
    uint8_t buffer[RAFT_HEAD_MAX];
    struct raft_record record = {
        .flags = flags, .term = p->term, .vote = p->vote, .chosen_upto = p->chosen_upto};
    bool jump = (flags & RAFT_FLAG_JUMP) != 0;
    return effects_persist(fx, RECORD_HARD, jump ? p->chosen_upto : 0,
                           raft_record_encode(&record, buffer), NULL);
}

static void election_enter_term(struct raft *p, uint64_t term)
{
    ensure(term > p->term);
    p->term = term;
    p->vote = NODE_NONE;
    p->term_leader = NODE_NONE;
    p->verified = 0;
    p->known_upto = 0;
}

/* A higher term exists: whoever led before does not any more. */
void raft_adopt_term(struct raft *p, uint64_t term, struct effects *fx)
{
    bool led = raft_leads(p);
    bool stood = p->phase != RAFT_FOLLOWING;
    raft_step_down(p);
    election_enter_term(p, term);
    raft_persist_hard(p, 0, fx);
    if (stood)
        election_back_off(p);
    if (led)
        election_campaign_within(p, election_delay(p, 3, 30));
}

static void election_beat(struct raft *p, struct raft_peer *peer, struct effects *fx)
{
    struct raft_message message = raft_compose(p, RAFT_BEAT);
    if (raft_leads(p)) {
        message.flags |= RAFT_FLAG_LEADING;
        raft_fill_probe(p, peer, &message);
        if (peer->stream != RAFT_STREAMING || peer->match + 1 < peer->next)
            message.flags |= RAFT_FLAG_ANSWER;
    }
    if (election_hears(p, peer))
        message.flags |= RAFT_FLAG_HEARS_YOU;
    message.stamp = p->now;
    if (peer->stamp != 0)
        message.echo = peer->stamp + (p->now - peer->stamp_ns);
    raft_send(p, fx, peer->node, &message, NULL);
}

static void election_beats(struct raft *p, struct effects *fx)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            election_beat(p, &p->peers[i], fx);
}

void raft_election_start(struct raft *p, struct effects *fx)
{
    bool alone = quorum_phase1(&p->config.configuration->quorums, p->self);
    p->campaign_at = p->now + (alone ? 0 : election_delay(p, 10, 150));
    p->tick_at = p->now + p->config.heartbeat_ns;
    election_beats(p, fx);
}

/* Questions do not carry a term into a cluster that has a leader: it may be the asker's alone. An
 * order of the leader itself is no such question. */
static bool election_is_mere_question(const struct raft *p, const struct raft_message *message)
{
    if (message->kind == RAFT_PRE_VOTE)
        return !planted(RAFT_PRE_VOTE_RAISES_TERM);
    return message->kind == RAFT_VOTE && (message->flags & RAFT_FLAG_TRANSFER) == 0 &&
           election_leader_is_fresh(p);
}

void raft_heard(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                struct effects *fx)
{
    bool state = message->kind == RAFT_BEAT; /* the others may come out of order */
    peer->heard_ns = p->now;
    peer->down = false;
    if (state || message->chosen_upto > peer->chosen_upto)
        peer->chosen_upto = message->chosen_upto;
    if (state || message->term > peer->term)
        peer->term = message->term;
    if (message->term > p->term && !election_is_mere_question(p, message))
        raft_adopt_term(p, message->term, fx);
}

bool raft_follow(struct raft *p, uint16_t from, uint64_t term, struct effects *fx)
{
    if (term < p->term) {
        struct raft_message nack = raft_compose(p, RAFT_NACK);
        raft_send(p, fx, from, &nack, NULL);
        return false;
    }
    if (p->term_leader != NODE_NONE && p->term_leader != from) {
        p->dropped++; /* two leaders of a term: one of them is not */
        return false;
    }
    p->term_leader = from;
    if (p->phase != RAFT_FOLLOWING || p->leader != from) {
        raft_step_down(p);
        p->leader = from;
        election_draw_jitter(p);
    }
    p->suspected = false;
    p->backoff = 0;
    p->leader_heard_ns = p->now;
    p->campaign_at = p->now + p->config.election_ns + p->jitter_ns;
    return true;
}

static void election_measure(struct raft *p, struct raft_peer *peer,
                             const struct raft_message *message)
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

void raft_on_beat(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                  struct effects *fx)
{
    peer->hears_us = (message->flags & RAFT_FLAG_HEARS_YOU) != 0;
    election_measure(p, peer, message);
    if (!peer->hears_us && p->now - peer->greeted_ns >= p->config.heartbeat_ns / 4) {
        peer->greeted_ns = p->now; /* it has just come: do not let it wait for the next tick */
        election_beat(p, peer, fx);
    }
    if (message->flags & RAFT_FLAG_LEADING) {
        raft_on_probe(p, peer, message, (message->flags & RAFT_FLAG_ANSWER) != 0, fx);
    } else if (p->leader == peer->node && !p->suspected && message->term >= p->term) {
        p->suspected = true; /* it has stepped down, or restarted */
        election_campaign_within(p, election_delay(p, 3, 30));
    } else if (message->term < p->term && peer->greeted_ns != p->now) {
        peer->greeted_ns = p->now; /* it missed a term, and asks in vain until it knows */
        election_beat(p, peer, fx);
    }
}

/* Somebody else has got this member's vote a moment ago: let it finish. */
static bool election_is_courted(const struct raft *p, const struct raft_peer *by)
{
    int place = configuration_place(p->config.configuration, p->vote);
    return place >= 0 && p->vote != by->node && p->vote != p->config.self &&
           !p->peers[place].down && p->courted_ns != 0 &&
           p->now - p->courted_ns < 2 * p->config.heartbeat_ns;
}

static bool election_covers(const struct raft *p, const struct raft_message *message)
{
    bool pre = message->kind == RAFT_PRE_VOTE;
    if (planted(RAFT_NO_LOG_CHECK) || (planted(RAFT_NO_PRE_LOG_CHECK) && pre))
        return true;
    return raft_log_covered_by(p, message->log_term, message->slot);
}

/* Both ask: who has the better log goes on, or the higher number. */
static bool election_yields(const struct raft *p, const struct raft_peer *peer,
                            const struct raft_message *message)
{
    if (p->phase == RAFT_STANDING)
        return false;
    if (p->phase == RAFT_FOLLOWING)
        return true;
    bool same = message->log_term == raft_log_last_term(p) && message->slot == p->last;
    return !same || peer->node > p->config.self;
}

void raft_on_pre_vote(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                      struct effects *fx)
{
    struct raft_message reply = raft_compose(p, RAFT_PRE_VOTE_REPLY);
    reply.id = message->id;
    reply.asked = message->term + 1;
    bool free_to =
        p->leader == peer->node || (!election_leader_is_fresh(p) && !election_is_courted(p, peer));
    if (raft_sound(p) && reply.asked > p->term && free_to && election_covers(p, message) &&
        election_yields(p, peer, message)) {
        reply.flags |= RAFT_FLAG_GRANTED;
        if (p->phase == RAFT_ASKING)
            raft_step_down(p);
        election_campaign_not_before(p, p->config.heartbeat_ns + election_delay(p, 0, 100));
    }
    raft_send(p, fx, peer->node, &reply, NULL);
}

static void election_count(struct raft *p, struct raft_peer *peer, bool granted)
{
    member_set bit = configuration_bit(p->config.configuration, peer->node);
    peer->hears_us = true;
    if (granted)
        p->granted |= bit;
    else
        p->refused |= bit;
}

void raft_on_pre_vote_reply(struct raft *p, struct raft_peer *peer,
                            const struct raft_message *message)
{
    /* The term in which it was asked counts: the one who answers may be terms behind. */
    if (p->phase == RAFT_ASKING && message->id == p->attempt && message->asked == p->term + 1)
        election_count(p, peer, (message->flags & RAFT_FLAG_GRANTED) != 0);
}

void raft_on_vote(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                  struct effects *fx)
{
    bool free_to = p->vote == NODE_NONE || p->vote == peer->node;
    if (planted(RAFT_VOTE_TWICE) && !raft_leads(p))
        free_to = true;
    bool grant = raft_sound(p) && message->term == p->term && free_to &&
                 p->phase == RAFT_FOLLOWING && election_covers(p, message);
    if (grant && p->vote != peer->node) {
        p->vote = peer->node;
        if (!planted(RAFT_VOTE_NOT_DURABLE))
            raft_persist_hard(p, 0, fx);
    }
    struct raft_message reply = raft_compose(p, RAFT_VOTE_REPLY);
    reply.id = message->id;
    if (!grant) {
        raft_send(p, fx, peer->node, &reply, NULL);
        return;
    }
    if (p->leader == NODE_NONE) { /* otherwise it is late: its sender leads already */
        raft_wait_for_leader(p);
        p->courted_ns = p->now;
    }
    reply.flags |= RAFT_FLAG_GRANTED;
    raft_send_durable(p, fx, peer->node, &reply);
}

void raft_on_vote_reply(struct raft *p, struct raft_peer *peer, const struct raft_message *message)
{
    bool granted = (message->flags & RAFT_FLAG_GRANTED) != 0;
    if (p->phase == RAFT_STANDING && message->id == p->attempt &&
        (!granted || message->term == p->term))
        election_count(p, peer, granted);
}

static void election_ask(struct raft *p, member_set whom, struct effects *fx)
{
    bool votes = p->phase == RAFT_STANDING;
    struct raft_message message = raft_compose(p, votes ? RAFT_VOTE : RAFT_PRE_VOTE);
    message.slot = p->last;
    message.log_term = raft_log_last_term(p);
    message.id = p->attempt;
    if (votes && p->ordered)
        message.flags |= RAFT_FLAG_TRANSFER;
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        if (i == p->place || (whom >> i & 1) == 0)
            continue;
        if (votes)
            raft_send_durable(p, fx, p->peers[i].node, &message);
        else
            raft_send(p, fx, p->peers[i].node, &message, NULL);
    }
}

static void election_begin(struct raft *p, enum raft_phase phase)
{
    p->phase = phase;
    p->attempt++;
    p->granted = 0;
    p->refused = 0;
}

/* Who granted the last leader a lease does not answer before it has run out. */
static uint64_t election_pause(const struct raft *p)
{
    uint64_t pause = p->config.heartbeat_ns;
    uint64_t quarter = p->lease.length_ns / 4;
    return quarter > 0 && quarter < pause ? quarter : pause;
}

/* A new term, with the own vote in it. Both are durable before anybody hears of them, and before
 * the own vote counts. */
static void election_stand(struct raft *p, struct effects *fx)
{
    election_begin(p, RAFT_STANDING);
    election_enter_term(p, p->term + 1);
    p->vote = p->config.self;
    p->vote_lsn = raft_persist_hard(p, 0, fx);
    p->elections++;
    p->deadline = p->now + p->config.election_ns;
    p->repeat_at = p->now + election_pause(p);
    election_ask(p, p->everybody, fx);
}

static bool election_can_stand(const struct raft *p)
{
    return raft_sound(p) && p->term < RAFT_TERM_MAX && p->last < RAFT_SLOT_MAX &&
           p->last - p->chosen_upto < p->capacity;
}

static void election_campaign(struct raft *p, struct effects *fx)
{
    raft_step_down(p);
    if (!election_can_stand(p)) {
        raft_wait_for_leader(p);
        return;
    }
    if (!quorum_phase1(&p->config.configuration->quorums, election_connected(p))) {
        p->campaign_at = p->now + election_delay(p, 50, 100);
        return;
    }
    election_begin(p, RAFT_ASKING);
    p->deadline = p->now + 2 * p->config.heartbeat_ns;
    election_ask(p, p->everybody, fx);
}

void raft_on_transfer_now(struct raft *p, uint16_t from, const struct raft_message *message,
                          struct effects *fx)
{
    if (p->phase != RAFT_FOLLOWING || p->leader != from || message->term != p->term ||
        !election_can_stand(p) || !read_lease_lets(&p->lease, p->now, p->config.self))
        return; /* the leader says so again */
    raft_step_down(p);
    p->ordered = true;
    election_stand(p, fx);
}

void raft_on_peer(struct raft *p, struct raft_peer *peer, bool up, struct effects *fx)
{
    peer->down = !up;
    if (up) {
        election_beat(p, peer, fx);
        return;
    }
    bool awaited = p->leader == peer->node || (p->leader == NODE_NONE && p->vote == peer->node);
    if (p->phase == RAFT_FOLLOWING && awaited) {
        p->suspected = true;
        election_campaign_within(p, election_delay(p, 3, 30));
    }
}

/* Who would vote, or has voted, for this member. A vote counts for nothing before the own one is
 * durable: nobody else can have been asked. */
static member_set election_supporters(const struct raft *p)
{
    bool asked = p->phase == RAFT_ASKING || p->vote_lsn.value <= p->durable.value ||
                 planted(RAFT_OWN_VOTE_NOT_DURABLE);
    return asked ? p->granted | p->self : 0;
}

/* Who has not said no, and is there to say yes. */
static member_set election_hopes(const struct raft *p)
{
    member_set set = p->self | p->granted;
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place && raft_peer_up(p, &p->peers[i]))
            set |= (member_set)1 << i & ~p->refused;
    return set;
}

void raft_pump_election(struct raft *p, struct effects *fx)
{
    const struct quorum_system *quorums = &p->config.configuration->quorums;
    if (p->phase != RAFT_ASKING && p->phase != RAFT_STANDING)
        return;
    if (quorum_phase1(quorums, election_supporters(p))) {
        if (p->phase == RAFT_ASKING && !read_lease_lets(&p->lease, p->now, p->config.self))
            return; /* wakes when it has run out */
        if (p->phase == RAFT_ASKING)
            election_stand(p, fx);
        else
            raft_lead(p, fx);
    } else if (!quorum_phase1(quorums, election_hopes(p))) {
        raft_step_down(p); /* lost: no need to wait for it */
        election_back_off(p);
    }
}

static void election_time(struct raft *p, struct effects *fx)
{
    switch (p->phase) {
    case RAFT_FOLLOWING:
        if (p->now >= p->campaign_at && read_lease_lets(&p->lease, p->now, p->config.self))
            election_campaign(p, fx);
        break;
    case RAFT_ASKING:
    case RAFT_STANDING:
        if (p->now >= p->deadline) {
            raft_step_down(p);
            election_back_off(p);
        } else if (p->phase == RAFT_STANDING && p->now >= p->repeat_at) {
            p->repeat_at = p->now + election_pause(p);
            election_ask(p, p->everybody & ~p->granted, fx);
        }
        break;
    case RAFT_LEADING:
        break;
    }
}

/* Check-quorum: a leader that a quorum does not follow serves nobody, and it must not keep the few
 * that hear it from following a better one: it falls silent as a leader. */
static void election_keep_office(struct raft *p)
{
    if (p->now - p->led_since_ns < p->config.election_ns || planted(RAFT_NO_CHECK_QUORUM))
        return;
    if (!quorum_phase2(&p->config.configuration->quorums, election_followers(p))) {
        raft_step_down(p);
        election_back_off(p);
    }
}

void raft_on_time(struct raft *p, struct effects *fx)
{
    election_time(p, fx);
    if (p->now < p->tick_at)
        return;
    p->tick_at = p->now + p->config.heartbeat_ns;
    if (raft_leads(p))
        election_keep_office(p);
    if (raft_leads(p))
        raft_leader_tick(p);
    election_beats(p, fx);
    raft_reads_tick(p, fx);
    raft_fetch_tick(p, fx);
}
