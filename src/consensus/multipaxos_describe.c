/* Describe: a message in words, and a state as one number.
 *
 * Neither shows clocks. The words name what a message claims and leave out the times by which
 * heartbeats measure round trips; the number stands for everything that decides what a member will
 * do, with time reduced to the questions that the code asks of it (was the leader heard lately?).
 * The one invariant: whatever a handler reads, but for how late it is, is folded in here. */
#include "consensus/multipaxos.h"

#include "base/hash.h"

static const char *const describe_names[MESSAGE_KINDS] = {
    [MESSAGE_HEARTBEAT] = "HEARTBEAT",
    [MESSAGE_PRE_PREPARE] = "PRE_PREPARE",
    [MESSAGE_PRE_PROMISE] = "PRE_PROMISE",
    [MESSAGE_PREPARE] = "PREPARE",
    [MESSAGE_PROMISE] = "PROMISE",
    [MESSAGE_ACCEPT] = "ACCEPT",
    [MESSAGE_ACCEPTED] = "ACCEPTED",
    [MESSAGE_COMMIT] = "COMMIT",
    [MESSAGE_NACK] = "NACK",
    [MESSAGE_READ_ROUND] = "READ_ROUND",
    [MESSAGE_READ_ACK] = "READ_ACK",
    [MESSAGE_READ_INDEX] = "READ_INDEX",
    [MESSAGE_READ_INDEX_OK] = "READ_INDEX_OK",
    [MESSAGE_TRANSFER_NOW] = "TRANSFER_NOW",
};

static const char *const describe_flags[8] = {
    "leading", "hears-you", "transfer", "willing", "report", "chosen", "floor", "last",
};

static void describe_field(struct text *text, const char *name, uint64_t value)
{
    text_add(text, " ");
    text_add(text, name);
    text_add(text, "=");
    text_u64(text, value);
}

static void describe_ballot(struct text *text, const char *name, struct ballot ballot)
{
    describe_field(text, name, ballot.round);
    text_add(text, ".");
    text_u64(text, ballot.node);
}

void multipaxos_describe(struct bytes head, struct text *text)
{
    struct multipaxos_message m;
    struct reader r = reader_of(head);
    (void)read_u8(&r);
    uint32_t era = read_u32(&r); /* whichever it is */
    if (!multipaxos_message_decode(head, era, &m)) {
        text_add(text, "malformed");
        return;
    }
    text_add(text, describe_names[m.kind]);
    describe_ballot(text, "ballot", m.ballot);
    if (m.from != 0 || m.kind == MESSAGE_PROMISE)
        describe_field(text, "from", m.from);
    if (m.slot != 0 || m.kind == MESSAGE_PROMISE)
        describe_field(text, "slot", m.slot);
    if (!ballot_is_zero(m.vbal))
        describe_ballot(text, "vbal", m.vbal);
    if (m.id != 0)
        describe_field(text, "id", m.id);
    describe_field(text, "chosen", m.chosen_upto);
    for (unsigned i = 0, shown = 0; i < 8; i++) {
        if ((m.flags >> i & 1) == 0)
            continue;
        text_add(text, shown++ == 0 ? " flags=" : "+");
        text_add(text, describe_flags[i]);
    }
}

static uint64_t fold_ballot(uint64_t hash, struct ballot ballot)
{
    return hash_fold(hash_fold(hash, ballot.round), (uint64_t)ballot.node << 8 | ballot.kind);
}

static uint64_t fold_entry(uint64_t hash, const struct blob *entry)
{
    return hash_bytes(hash_fold(hash, entry != NULL), blob_bytes(entry));
}

/* A record by how far it is from being durable; how many there were before it is nobody's matter.
 */
static uint64_t fold_lsn(uint64_t hash, const struct multipaxos *p, struct lsn lsn)
{
    return hash_fold(hash, lsn.value > p->durable.value ? lsn.value - p->durable.value : 0);
}

static bool passed(const struct multipaxos *p, uint64_t since, uint64_t duration)
{
    return since == 0 || p->now - since >= duration;
}

static uint64_t fold_learner(uint64_t hash, const struct multipaxos *p)
{
    hash = hash_fold(hash, p->base);
    hash = hash_fold(hash, p->chosen_upto);
    hash = hash_fold(hash, p->last_slot);
    hash = fold_ballot(hash, p->known_ballot);
    hash = hash_fold(hash, p->known_upto);
    hash = hash_fold(hash, p->replay_upto);
    hash = hash_fold(hash, p->jumped_upto);
    hash = hash_fold(hash, p->hole_upto);
    hash = hash_fold(hash, p->fetched_place);
    hash = hash_fold(hash, p->fetched_upto);
    hash = hash_fold(hash, p->ticked_upto);
    uint64_t flags = p->fetching;
    flags |= (uint64_t)(p->fetched_ns == 0) << 1;
    flags |= (uint64_t)passed(p, p->fetched_ns, p->config.heartbeat_ns / 2) << 2;
    flags |= (uint64_t)passed(p, p->fetched_ns, p->config.heartbeat_ns) << 3;
    return hash_fold(hash, flags);
}

static uint64_t fold_acceptor(uint64_t hash, const struct multipaxos *p)
{
    hash = fold_ballot(hash, p->promised);
    hash = fold_ballot(hash, p->recorded);
    hash = fold_lsn(hash, p, p->promised_lsn);
    hash =
        hash_fold(hash, (uint64_t)p->started | (uint64_t)p->unsound << 1 | (uint64_t)p->again << 2 |
                            (uint64_t)p->restate << 3 | (uint64_t)p->paging << 4);
    if (p->paging)
        hash = hash_fold(fold_ballot(hash, p->page_ballot), p->page_next);
    return hash;
}

/* Which deadline comes first, and what is silent for too long. */
static uint64_t fold_times(uint64_t hash, const struct multipaxos *p)
{
    uint64_t flags = p->campaign_at <= p->tick_at;
    flags |= (uint64_t)(p->deadline <= p->tick_at) << 1;
    flags |= (uint64_t)(p->repeat_at <= p->tick_at) << 2;
    flags |= (uint64_t)(p->now - p->leader_heard_ns < p->config.election_ns) << 3;
    flags |= (uint64_t)passed(p, p->courted_ns, 2 * p->config.heartbeat_ns) << 4;
    if (multipaxos_leads(p)) {
        flags |= (uint64_t)passed(p, p->led_since_ns, p->config.election_ns) << 5;
        flags |= (uint64_t)(p->now >= p->transfer_at) << 6;
        flags |= (uint64_t)(p->now >= p->transfer_deadline) << 7;
    }
    return hash_fold(hash, flags);
}

static uint64_t fold_election(uint64_t hash, const struct multipaxos *p)
{
    hash = hash_fold(hash, (uint64_t)p->phase | (uint64_t)p->suspected << 8 |
                               (uint64_t)p->transfer_ordered << 9 | (uint64_t)p->leader << 16 |
                               (uint64_t)p->told_role << 32 | (uint64_t)p->told_leader << 40);
    hash = hash_fold(hash, p->round_max);
    hash = hash_fold(hash, p->attempt);
    hash = fold_times(hash, p);
    if (p->phase == PHASE_ASKING)
        hash = hash_fold(hash, p->willing);
    if (p->phase < PHASE_PREPARING)
        return hash;
    hash = fold_ballot(hash, p->ballot);
    if (p->phase == PHASE_PREPARING)
        return hash_fold(hash, p->promises);
    hash = hash_fold(hash, p->takeover_next);
    hash = hash_fold(hash, p->next_slot);
    hash = hash_fold(hash, p->barrier);
    hash = hash_fold(hash, p->self_acked);
    hash = hash_fold(hash, p->announced_upto);
    return hash_fold(hash, p->transfer_to);
}

static uint64_t fold_peer(uint64_t hash, const struct multipaxos *p,
                          const struct multipaxos_peer *peer)
{
    uint64_t flags = peer->down;
    flags |= (uint64_t)peer->hears_us << 1;
    flags |= (uint64_t)passed(p, peer->heard_ns, p->config.election_ns) << 2;
    flags |= (uint64_t)passed(p, peer->greeted_ns, p->config.heartbeat_ns / 4) << 3;
    hash = hash_fold(hash, flags);
    hash = fold_ballot(hash, peer->promised);
    hash = hash_fold(hash, peer->chosen_upto);
    hash = hash_fold(hash, peer->floor);
    hash = hash_fold(hash, p->phase == PHASE_PREPARING ? peer->pages_upto : 0);
    if (!multipaxos_leads(p))
        return hash;
    hash = hash_fold(hash, peer->acked_upto);
    hash = hash_fold(hash, peer->resend_next);
    hash = hash_fold(hash, peer->resend_next != 0 ? peer->resend_end : 0);
    hash = hash_fold(hash, peer->unacked_slot);
    return hash_fold(hash, p->now >= peer->resend_at);
}

static uint64_t fold_cell(uint64_t hash, const struct multipaxos *p,
                          const struct multipaxos_cell *cell)
{
    hash = hash_fold(hash, cell->slot);
    if (cell->slot == 0)
        return hash;
    hash = hash_fold(hash, (uint64_t)cell->accepted | (uint64_t)cell->chosen << 1 |
                               (uint64_t)cell->reported << 2);
    hash = fold_ballot(hash, cell->vbal);
    hash = fold_entry(hash, cell->entry);
    hash = fold_lsn(hash, p, cell->lsn);
    if (cell->reported)
        hash = fold_entry(fold_ballot(hash, cell->reported_vbal), cell->reported_entry);
    if (multipaxos_leads(p))
        hash = hash_fold(hash, cell->acks);
    return hash;
}

static uint64_t fold_reads(uint64_t hash, const struct multipaxos *p)
{
    hash = hash_fold(hash, p->read_id);
    hash = hash_fold(hash, p->round_id);
    for (uint32_t i = 0, left = p->reads_count; i < MULTIPAXOS_READS_MAX && left > 0; i++) {
        const struct multipaxos_read *read = &p->reads[i];
        if (read->state == READ_FREE)
            continue;
        left--;
        hash = hash_fold(hash, (uint64_t)read->state | (uint64_t)read->from << 8 |
                                   (uint64_t)(p->now >= read->deadline) << 32);
        hash = hash_fold(hash, read->token);
        hash = hash_fold(hash, read->id);
        if (read->state == READ_CONFIRMING)
            hash = hash_fold(hash_fold(hash, read->slot), read->round);
    }
    for (uint32_t i = 0; i < MULTIPAXOS_ROUNDS_MAX; i++) {
        const struct multipaxos_round *round = &p->rounds[i];
        hash = hash_fold(hash, round->id);
        if (round->id != 0)
            hash = hash_fold(hash, round->acks << 1 |
                                       passed(p, round->sent_ns, p->config.heartbeat_ns / 2));
    }
    return hash;
}

uint64_t multipaxos_fingerprint(const struct multipaxos *p)
{
    uint64_t hash = hash_u64(p->config.self);
    hash = fold_acceptor(hash, p);
    hash = fold_learner(hash, p);
    hash = fold_election(hash, p);
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            hash = fold_peer(hash, p, &p->peers[i]);
    for (uint32_t i = 0; i < p->capacity; i++)
        hash = fold_cell(hash, p, &p->cells[i]);
    return fold_reads(hash, p);
}
