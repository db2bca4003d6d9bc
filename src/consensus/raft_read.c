/* Linearizable reads by read index: at which slot does the state contain everything that was
 * complete when the read came?
 *
 * The leader notes how far it has committed, then asks whether it still leads, and believes it when
 * no phase 1 quorum can do without one of those who said yes: then nobody took over in between.
 * The one invariant: a round is sent after the reads that it confirms were registered, and its
 * number is never used twice. Reads that wait while rounds are under way share the next one. */
#include "consensus/raft.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

static struct raft_read *read_add(struct raft *p)
{
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++) {
        struct raft_read *read = &p->reads[i];
        if (read->state != RAFT_READ_FREE)
            continue;
        memset(read, 0, sizeof *read);
        read->state = RAFT_READ_WAITING;
        read->deadline = p->now + p->config.election_ns;
        p->reads_count++;
        return read;
    }
    return NULL;
}

static void read_remove(struct raft *p, struct raft_read *read)
{
    ensure(read->state != RAFT_READ_FREE);
    ensure(p->reads_count > 0);
    read->state = RAFT_READ_FREE;
    p->reads_count--;
}

/* Who hands the leadership over does not hold on to it. */
static bool read_leased(const struct raft *p)
{
    return raft_ready(p) && p->transfer_to == NODE_NONE;
}

/* Until when a read of this moment needs no round; 0: it needs one. */
static uint64_t read_until(struct raft *p)
{
    return read_leased(p) ? read_lease_use(&p->lease, p->now) : 0;
}

/* Is the lease worth a round of its own by now? */
static bool read_renewal_due(const struct raft *p)
{
    return read_leased(p) && read_lease_ends(&p->lease, p->now);
}

void raft_on_read(struct raft *p, uint64_t token, struct effects *fx)
{
    uint64_t until = read_until(p);
    if (until != 0) {
        effects_read_ok(fx, token, p->commit, until);
        return;
    }
    struct raft_read *read = read_add(p);
    if (read == NULL) {
        effects_read_fail(fx, token);
        return;
    }
    read->token = token;
    read->id = p->read_id++;
}

static void read_answer(struct raft *p, struct raft_read *read, struct effects *fx)
{
    if (read->from == NODE_NONE) {
        effects_read_ok(fx, read->token, read->slot, TIME_NEVER);
    } else {
        struct raft_message message = raft_compose(p, RAFT_READ_INDEX_OK);
        message.id = read->id;
        message.slot = read->slot;
        raft_send(p, fx, read->from, &message, NULL);
    }
    read_remove(p, read);
}

/* A round confirms the reads of all rounds before it, too. */
static void read_confirm(struct raft *p, const struct raft_round *round, struct effects *fx)
{
    uint64_t id = round->id;
    if (!planted(RAFT_READ_UNCONFIRMED) &&
        quorum_phase1(&p->config.configuration->quorums, p->everybody & ~round->acks))
        return;
    if (round->lease != 0 &&
        !quorum_phase1(&p->config.configuration->quorums, p->everybody & ~round->grants))
        read_lease_hold(&p->lease, p->now, round->began_ns);
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++)
        if (p->reads[i].state == RAFT_READ_CONFIRMING && p->reads[i].round <= id)
            read_answer(p, &p->reads[i], fx);
    for (uint32_t i = 0; i < RAFT_ROUNDS_MAX; i++)
        if (p->rounds[i].id <= id)
            p->rounds[i].id = 0;
}

static void read_send_round(struct raft *p, struct raft_round *round, struct effects *fx)
{
    struct raft_message message = raft_compose(p, RAFT_READ_ROUND);
    message.id = round->id;
    message.lease = round->lease;
    round->sent_ns = p->now;
    raft_broadcast(p, fx, &message);
}

static void read_start_round(struct raft *p, struct raft_round *round, struct effects *fx)
{
    bool wanted = read_renewal_due(p);
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++) {
        struct raft_read *read = &p->reads[i];
        if (read->state != RAFT_READ_WAITING)
            continue;
        read->state = RAFT_READ_CONFIRMING;
        read->slot = p->commit;
        read->round = p->round_id + 1;
        wanted = true;
    }
    if (!wanted)
        return;
    round->id = ++p->round_id;
    round->acks = p->self;
    round->grants = p->self;
    round->lease = read_leased(p) ? read_lease_ask(&p->lease, p->now, p->config.self) : 0;
    round->began_ns = p->now;
    read_send_round(p, round, fx);
    read_confirm(p, round, fx);
}

void raft_on_read_round(struct raft *p, uint16_t from, const struct raft_message *message,
                        struct effects *fx)
{
    if (!raft_follow(p, from, message->term, fx) || !raft_sound(p))
        return;
    struct raft_message ack = raft_compose(p, RAFT_READ_ACK);
    ack.id = message->id;
    ack.lease = read_lease_grant(&p->lease, p->now, from, message->lease);
    raft_send(p, fx, from, &ack, NULL);
}

void raft_on_read_ack(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                      struct effects *fx)
{
    if (!raft_ready(p) || message->term != p->term)
        return;
    peer->hears_us = true;
    for (uint32_t i = 0; i < RAFT_ROUNDS_MAX; i++) {
        struct raft_round *round = &p->rounds[i];
        bool late = message->id != round->id && !planted(RAFT_ROUND_CONFIRMS_LATER);
        if (round->id == 0 || late)
            continue;
        round->acks |= configuration_bit(p->config.configuration, peer->node);
        if (round->lease != 0 && message->lease == round->lease)
            round->grants |= configuration_bit(p->config.configuration, peer->node);
        read_confirm(p, round, fx);
        return;
    }
}

/* Answered by the lease: the host sends it only while that holds. */
static bool read_index_leased(struct raft *p, uint16_t from, uint64_t id, struct effects *fx)
{
    uint64_t until = read_until(p);
    if (until == 0)
        return false;
    uint8_t buffer[RAFT_HEAD_MAX];
    struct raft_message answer = raft_compose(p, RAFT_READ_INDEX_OK);
    answer.id = id;
    answer.slot = p->commit;
    effects_send_until(fx, from, raft_message_encode(&answer, p->config.era, buffer), until);
    return true;
}

void raft_on_read_index(struct raft *p, uint16_t from, const struct raft_message *message,
                        struct effects *fx)
{
    if (read_index_leased(p, from, message->id, fx))
        return;
    if (!raft_leads(p))
        return; /* the peer asks whoever leads, again and again until it gives up */
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++)
        if (p->reads[i].state != RAFT_READ_FREE && p->reads[i].from == from &&
            p->reads[i].id == message->id)
            return;
    struct raft_read *read = read_add(p);
    if (read == NULL)
        return;
    read->from = from;
    read->id = message->id;
}

void raft_on_read_index_ok(struct raft *p, const struct raft_message *message, struct effects *fx)
{
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++) {
        struct raft_read *read = &p->reads[i];
        if (read->state == RAFT_READ_FREE || read->from != NODE_NONE || read->id != message->id)
            continue;
        effects_read_ok(fx, read->token, message->slot, TIME_NEVER);
        read_remove(p, read);
        return;
    }
}

void raft_reads_reset(struct raft *p)
{
    for (uint32_t i = 0; i < RAFT_READS_MAX && p->reads_count > 0; i++) {
        struct raft_read *read = &p->reads[i];
        if (read->state == RAFT_READ_FREE)
            continue;
        if (read->from != NODE_NONE)
            read_remove(p, read);
        else
            read->state = RAFT_READ_WAITING;
    }
    memset(p->rounds, 0, sizeof p->rounds);
}

static void read_ask_leader(struct raft *p, struct raft_read *read, struct effects *fx)
{
    struct raft_message message = raft_compose(p, RAFT_READ_INDEX);
    message.id = read->id;
    read->state = RAFT_READ_FORWARDED;
    raft_send(p, fx, p->leader, &message, NULL);
}

static void read_send_newest_round_again(struct raft *p, struct effects *fx)
{
    struct raft_round *newest = NULL;
    for (uint32_t i = 0; i < RAFT_ROUNDS_MAX; i++)
        if (p->rounds[i].id != 0 && (newest == NULL || p->rounds[i].id > newest->id))
            newest = &p->rounds[i];
    if (newest != NULL && p->now - newest->sent_ns >= p->config.heartbeat_ns / 2)
        read_send_round(p, newest, fx);
}

void raft_reads_tick(struct raft *p, struct effects *fx)
{
    if (p->reads_count == 0)
        return;
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++) {
        struct raft_read *read = &p->reads[i];
        if (read->state == RAFT_READ_FREE)
            continue;
        if (p->now >= read->deadline) {
            if (read->from == NODE_NONE)
                effects_read_fail(fx, read->token);
            read_remove(p, read);
        } else if (read->state == RAFT_READ_FORWARDED && p->leader != NODE_NONE) {
            read_ask_leader(p, read, fx);
        }
    }
    read_send_newest_round_again(p, fx);
}

void raft_pump_reads(struct raft *p, struct effects *fx)
{
    if (p->reads_count == 0 && !read_renewal_due(p))
        return;
    bool ready = planted(RAFT_READ_NO_BARRIER) ? raft_leads(p) : raft_ready(p);
    if (ready) {
        for (uint32_t i = 0; i < RAFT_ROUNDS_MAX; i++) {
            if (p->rounds[i].id != 0)
                continue;
            read_start_round(p, &p->rounds[i], fx);
            return;
        }
    } else if (p->phase == RAFT_FOLLOWING && p->leader != NODE_NONE) {
        for (uint32_t i = 0; i < RAFT_READS_MAX; i++)
            if (p->reads[i].state == RAFT_READ_WAITING)
                read_ask_leader(p, &p->reads[i], fx);
    }
}
