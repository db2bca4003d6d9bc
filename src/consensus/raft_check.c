/* Check: every invariant that one member can see by itself, walked from end to end. Tests and the
 * simulator call this after every step; what only the whole cluster can see (one leader a term, one
 * log) is theirs to compare. And the fingerprint: what decides about the future, in one number. */
#include "consensus/raft.h"

#include "base/hash.h"
#include "base/panic.h"

/* Log matching, from inside: no gap, terms that never decrease, records in the order of the slots;
 * and what is counted is what is there. */
static void check_log(const struct raft *p)
{
    uint64_t bytes = 0;
    uint64_t tail_bytes = 0;
    uint64_t term = p->base_term;
    uint64_t lsn = 0;
    ensure(p->base <= p->chosen_upto);
    ensure(p->chosen_upto <= p->commit);
    ensure(p->commit <= p->last);
    ensure(p->last <= p->base + p->capacity);
    ensure((p->base == 0) == (p->base_term == 0) || p->unsound);
    for (uint64_t slot = p->base + 1; slot <= p->last; slot++) {
        const struct raft_cell *cell = raft_log_find(p, slot);
        ensure(cell->slot == slot);
        ensure(cell->term >= term);
        ensure(cell->lsn.value > lsn);
        term = cell->term;
        lsn = cell->lsn.value;
        bytes += slot > p->chosen_upto ? blob_bytes(cell->entry).size : 0;
        tail_bytes += slot > p->chosen_upto ? 0 : blob_bytes(cell->entry).size;
    }
    ensure(term <= p->term);
    ensure(bytes == p->undelivered_bytes);
    ensure(tail_bytes == p->tail_bytes);
    ensure(p->verified <= p->last);
    if (p->started && !p->again)
        ensure(p->chosen_upto == p->commit);
}

/* Leader append-only, and `match` is what was acknowledged of this very log. */
static void check_leader(const struct raft *p)
{
    ensure(p->vote == p->config.self);
    ensure(p->vote_lsn.value <= p->durable.value);
    ensure(p->leader == NODE_NONE);
    ensure(p->term_leader == p->config.self);
    ensure(p->barrier > p->base || p->chosen_upto >= p->barrier);
    ensure(p->barrier <= p->last);
    if (p->barrier > p->base)
        ensure(raft_log_term(p, p->barrier) == p->term);
    ensure(raft_log_last_term(p) == p->term);
    if (p->self_acked > p->chosen_upto)
        ensure(raft_log_find(p, p->self_acked)->lsn.value <= p->durable.value);
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct raft_peer *peer = &p->peers[i];
        if (i == p->place)
            continue;
        ensure(peer->match <= p->last);
        ensure(peer->next <= p->last + 1);
        ensure(peer->next > peer->match || peer->stream == RAFT_LAGGING);
        ensure(peer->stream != RAFT_STREAMING || peer->next > p->base);
    }
}

static void check_election(const struct raft *p)
{
    ensure(p->phase == RAFT_FOLLOWING || p->leader == NODE_NONE);
    ensure(p->leader == NODE_NONE || p->leader == p->term_leader);
    if (p->phase == RAFT_STANDING) {
        ensure(p->vote == p->config.self);
        ensure(p->term_leader == NODE_NONE);
    }
    if (p->phase != RAFT_FOLLOWING)
        ensure(raft_sound(p));
    if (p->unsound)
        ensure(p->verified == 0);
}

static void check_reads(const struct raft *p)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < RAFT_READS_MAX; i++) {
        const struct raft_read *read = &p->reads[i];
        count += read->state == RAFT_READ_FREE ? 0 : 1;
        if (read->state == RAFT_READ_CONFIRMING) {
            ensure(raft_ready(p));
            ensure(read->slot >= p->barrier);
            ensure(read->round <= p->round_id);
        }
        if (read->state == RAFT_READ_FORWARDED)
            ensure(read->from == NODE_NONE);
    }
    ensure(count == p->reads_count);
}

void raft_check(const struct raft *p)
{
    check_log(p);
    check_election(p);
    check_reads(p);
    if (raft_leads(p))
        check_leader(p);
}

/* How far the disk has yet to come, and not where it is: numbers of records differ between two ways
 * to the same state. */
static uint64_t fold_pending(const struct raft *p, uint64_t hash, struct lsn lsn)
{
    return hash_fold(hash, lsn.value > p->durable.value ? lsn.value - p->durable.value : 0);
}

static uint64_t fold_log(const struct raft *p, uint64_t hash)
{
    hash = hash_fold(hash, p->base);
    hash = hash_fold(hash, p->base_term);
    hash = hash_fold(hash, p->chosen_upto);
    hash = hash_fold(hash, p->commit);
    hash = hash_fold(hash, p->last);
    for (uint64_t slot = p->base + 1; slot <= p->last; slot++) {
        const struct raft_cell *cell = raft_log_find(p, slot);
        hash = hash_fold(hash, cell->term);
        hash = hash_bytes(hash, blob_bytes(cell->entry));
        hash = fold_pending(p, hash, cell->lsn);
    }
    return hash;
}

static bool lately(const struct raft *p, uint64_t since, uint64_t duration)
{
    return since != 0 && p->now - since < duration;
}

/* Time, as far as the code asks about it: which deadline comes first, who was heard lately. */
static uint64_t fold_times(const struct raft *p, uint64_t hash)
{
    uint64_t flags = p->campaign_at <= p->tick_at;
    flags |= (uint64_t)(p->deadline <= p->tick_at) << 1;
    flags |= (uint64_t)(p->repeat_at <= p->tick_at) << 2;
    flags |= (uint64_t)(p->now - p->leader_heard_ns < p->config.election_ns) << 3;
    flags |= (uint64_t)lately(p, p->courted_ns, 2 * p->config.heartbeat_ns) << 4;
    flags |= (uint64_t)lately(p, p->fetched_ns, p->config.heartbeat_ns) << 5;
    flags |= (uint64_t)lately(p, p->fetched_ns, p->config.heartbeat_ns / 2) << 6;
    if (raft_leads(p)) {
        flags |= (uint64_t)(p->now - p->led_since_ns < p->config.election_ns) << 7;
        flags |= (uint64_t)(p->now >= p->transfer_at) << 8;
        flags |= (uint64_t)(p->now >= p->transfer_deadline) << 9;
    }
    return hash_fold(hash, flags);
}

static uint64_t fold_peers(const struct raft *p, uint64_t hash)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct raft_peer *peer = &p->peers[i];
        uint64_t flags = (uint64_t)peer->down | (uint64_t)peer->hears_us << 1;
        flags |= (uint64_t)lately(p, peer->heard_ns, p->config.election_ns) << 2;
        flags |= (uint64_t)lately(p, peer->greeted_ns, p->config.heartbeat_ns / 4) << 3;
        flags |= (uint64_t)(peer->greeted_ns == p->now) << 4;
        hash = hash_fold(hash, flags);
        hash = hash_fold(hash, peer->term);
        hash = hash_fold(hash, peer->chosen_upto);
        if (!raft_leads(p))
            continue;
        hash = hash_fold(hash, (uint64_t)peer->stream << 1 | (uint64_t)peer->asked);
        hash = hash_fold(hash, peer->next);
        hash = hash_fold(hash, peer->match);
    }
    return hash;
}

/* Numbers of reads and rounds as they are: answers that name them may still be on their way. */
static uint64_t fold_reads(const struct raft *p, uint64_t hash)
{
    hash = hash_fold(hash, p->read_id);
    hash = hash_fold(hash, p->round_id);
    for (uint32_t i = 0; i < RAFT_READS_MAX && p->reads_count > 0; i++) {
        const struct raft_read *read = &p->reads[i];
        if (read->state == RAFT_READ_FREE)
            continue;
        hash = hash_fold(hash, (uint64_t)read->state << 16 | read->from);
        hash = hash_fold(hash, read->id);
        hash = hash_fold(hash, read->token);
        hash = hash_fold(hash, read->slot);
        hash = hash_fold(hash, read->round);
        hash = hash_fold(hash, p->now >= read->deadline);
    }
    for (uint32_t i = 0; i < RAFT_ROUNDS_MAX; i++) {
        if (p->rounds[i].id == 0)
            continue;
        hash = hash_fold(hash, p->rounds[i].id);
        hash = hash_fold(hash, p->rounds[i].acks);
        hash = hash_fold(hash, lately(p, p->rounds[i].sent_ns, p->config.heartbeat_ns / 2));
    }
    return hash;
}

uint64_t raft_fingerprint(const struct raft *p)
{
    uint64_t hash = hash_fold(p->place, (uint64_t)p->started << 2 | (uint64_t)p->unsound << 1 |
                                            (uint64_t)p->again);
    hash = hash_fold(hash, p->term);
    hash = hash_fold(hash, p->vote);
    hash = fold_pending(p, hash, p->vote_lsn);
    hash = hash_fold(hash, (uint64_t)p->detached << 1 | (uint64_t)p->hole);
    hash = hash_fold(hash, p->replay_upto > p->chosen_upto ? p->replay_upto : 0);
    hash = hash_fold(hash, (uint64_t)p->leader << 16 | p->term_leader);
    hash = hash_fold(hash, p->verified);
    hash = hash_fold(hash, p->known_upto);
    hash = hash_fold(hash, p->behind_upto);
    hash = hash_fold(hash,
                     (uint64_t)p->phase << 2 | (uint64_t)p->suspected << 1 | (uint64_t)p->ordered);
    hash = hash_fold(hash, p->attempt);
    hash = hash_fold(hash, (uint64_t)p->told_role << 16 | p->told_leader);
    hash = hash_fold(hash, p->told_term);
    hash = hash_fold(hash, (uint64_t)p->restate << 1 | (uint64_t)p->fetching);
    hash = hash_fold(hash, p->fetched_place);
    hash = hash_fold(hash, p->fetched_upto);
    hash = hash_fold(hash, p->ticked_upto);
    if (p->phase == RAFT_ASKING || p->phase == RAFT_STANDING) {
        hash = hash_fold(hash, p->granted);
        hash = hash_fold(hash, p->refused);
    }
    if (raft_leads(p)) {
        hash = hash_fold(hash, p->barrier);
        hash = hash_fold(hash, p->self_acked);
        hash = hash_fold(hash, p->announced_upto);
        hash = hash_fold(hash, p->transfer_to);
    }
    hash = fold_times(p, hash);
    hash = fold_log(p, hash);
    hash = fold_peers(p, hash);
    return fold_reads(p, hash);
}
