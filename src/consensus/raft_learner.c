/* The learner: what is chosen, in order, without gaps.
 *
 * Replay rests on one rule: an ENTRY record replaces everything from its slot on. So the log at any
 * record of the disk is what reading up to it builds, and each record says how far its writer had
 * delivered by then: reading delivers the same slots with the same values, and the memory needed
 * stays as small as it was.
 *
 * A snapshot may be ahead of the records, or of some of them: then what they build above it does
 * not continue it, unless they bring the very entry that it ends with. Until then they are
 * *detached* and count for nothing. Where the log begins anew behind a snapshot (JUMP), and that
 * snapshot is lost, there is a hole: what lies behind it was acknowledged and cannot be kept, so
 * the member has no vote until it has fetched as much again. */
#include "consensus/raft.h"

#include "base/panic.h"
#include "base/planted.h"

static void learner_unsound(struct raft *p)
{
    p->unsound = true;
    p->verified = 0;
    p->dropped++;
}

static void learner_must_reach(struct raft *p, uint64_t slot)
{
    if (slot > p->replay_upto)
        p->replay_upto = slot;
}

static void learner_cut(struct raft *p)
{
    if (p->last > p->commit)
        raft_log_truncate(p, p->commit + 1);
}

static void learner_replay_entry(struct raft *p, const struct input *input, uint64_t term)
{
    if (input->slot == 0 || input->slot > RAFT_SLOT_MAX || term == 0) {
        learner_unsound(p);
        return;
    }
    if (input->slot <= p->chosen_upto) {
        /* In the snapshot. What came before it on the disk, above it, is replaced by it. */
        learner_cut(p);
        p->detached = input->slot < p->chosen_upto || raft_log_term(p, p->chosen_upto) != term;
        if (!p->detached)
            p->hole = false;
        return;
    }
    if (p->detached) {
        if (p->hole)
            learner_must_reach(p, input->slot);
        return;
    }
    if (input->slot <= p->commit || input->slot > p->last + 1) {
        learner_unsound(p);
        return;
    }
    if (input->slot <= p->last && !planted(RAFT_REPLAY_KEEPS_SUFFIX))
        raft_log_truncate(p, input->slot);
    if (input->slot <= p->last)
        return;
    if (term < raft_log_last_term(p) || !raft_log_reach(p)) {
        learner_unsound(p);
        return;
    }
    raft_log_append(p, term, input->entry)->lsn = input->lsn;
}

/* The log began anew behind that slot. */
static void learner_replay_jump(struct raft *p, uint64_t slot)
{
    learner_cut(p);
    p->detached = slot != p->chosen_upto;
    p->hole = slot > p->chosen_upto;
    if (p->hole)
        learner_must_reach(p, slot);
}

/* Delivers what the writer of the next record had delivered. */
static void learner_replay_upto(struct raft *p, uint64_t upto, struct effects *fx)
{
    learner_must_reach(p, upto);
    if (p->detached)
        return;
    if (upto > p->commit)
        p->commit = upto < p->last ? upto : p->last;
    raft_pump_deliveries(p, fx);
}

void raft_on_record(struct raft *p, const struct input *input, struct effects *fx)
{
    struct raft_record record;
    bool known = input->type == RECORD_ENTRY || input->type == RECORD_HARD;
    if (p->started || !known || !raft_record_decode(input->head, &record)) {
        learner_unsound(p);
        return;
    }
    p->durable = input->lsn;
    bool hard = input->type == RECORD_HARD;
    bool jump = hard && (record.flags & RAFT_FLAG_JUMP) != 0;
    if (!jump)
        learner_replay_upto(p, record.chosen_upto, fx);
    if (record.term > p->term) {
        p->term = record.term;
        p->vote = NODE_NONE;
    }
    if (hard && record.term == p->term && record.vote != NODE_NONE)
        p->vote = record.vote;
    if (!hard)
        learner_replay_entry(p, input, record.term);
    if (jump)
        learner_replay_jump(p, input->slot);
}

void raft_pump_deliveries(struct raft *p, struct effects *fx)
{
    while (p->chosen_upto < p->commit) {
        if (!raft_may_add(p, fx))
            return;
        uint8_t buffer[RAFT_MARK_SIZE];
        const struct raft_cell *cell = raft_log_find(p, p->chosen_upto + 1);
        ensure(cell != NULL);
        effects_deliver(fx, cell->slot, raft_mark_encode(cell->term, buffer), cell->entry);
        raft_log_deliver(p);
    }
}

/* Somebody leads who is not this member. */
static void learner_give_way(struct raft *p)
{
    if (p->phase == RAFT_FOLLOWING)
        return;
    raft_step_down(p);
    raft_wait_for_leader(p);
}

static void learner_take_chosen(struct raft *p, uint64_t slot, uint64_t term, struct blob *entry,
                                struct effects *fx)
{
    if (term > p->term)
        raft_adopt_term(p, term, fx);
    if (slot <= p->last && raft_log_term(p, slot) == term) {
        /* The same entry, so the same log up to here. */
        if (p->commit < slot)
            p->commit = slot;
        return;
    }
    /* Behind a gap, or not what was chosen: then nothing can be trusted to come before it. */
    if (slot != p->commit + 1 || term < raft_log_term(p, p->commit)) {
        p->dropped++;
        return;
    }
    learner_give_way(p);
    if (p->last >= slot)
        raft_log_truncate(p, slot);
    if (!raft_log_reach(p))
        return; /* deliveries lag: it is asked for again */
    raft_append(p, term, entry, fx);
    p->commit = slot;
}

void raft_on_chosen(struct raft *p, const struct input *input, struct effects *fx)
{
    struct raft_record record;
    p->fetching = true;
    if (!p->started || input->slot == 0 || input->slot > RAFT_SLOT_MAX ||
        !raft_record_decode(input->head, &record) || record.term == 0) {
        p->dropped++;
        return;
    }
    if (input->slot > p->commit)
        learner_take_chosen(p, input->slot, record.term, input->entry, fx);
}

void raft_on_snapshot(struct raft *p, const struct input *input, struct effects *fx)
{
    uint64_t term = 0;
    uint8_t flags = 0;
    if (input->slot > p->chosen_upto) {
        bool known = raft_mark_decode(input->head, &term);
        if (input->slot > p->commit) {
            learner_give_way(p);
            if (!known)
                learner_unsound(p); /* its log would continue nothing that is known */
        }
        if (p->started && term > p->term)
            raft_adopt_term(p, term, fx);
        if (!raft_log_jump(p, input->slot, term) && !planted(RAFT_JUMP_NOT_RECORDED))
            flags = RAFT_FLAG_JUMP;
    }
    if (!p->started) {
        p->restate = true; /* what was voted is not replayed yet */
        p->term = term > p->term ? term : p->term;
        return;
    }
    if (!planted(RAFT_HARD_NOT_RESTATED))
        raft_persist_hard(p, flags, fx);
}

static bool learner_can_serve(const struct raft *p, uint32_t place)
{
    const struct raft_peer *peer = &p->peers[place];
    return place != p->place && peer->chosen_upto > p->chosen_upto && raft_peer_up(p, peer);
}

/* The leader first; when that did not help, the others in turn. Returns the place, or -1. */
static int learner_choose_source(const struct raft *p)
{
    uint32_t count = p->config.configuration->count;
    int leader = configuration_place(p->config.configuration, p->leader);
    bool helped = p->fetched_ns == 0 || p->chosen_upto > p->fetched_upto;
    if (helped && leader >= 0 && learner_can_serve(p, (uint32_t)leader))
        return leader;
    for (uint32_t i = 1; i <= count; i++) {
        uint32_t place = (p->fetched_place + i) % count;
        if (learner_can_serve(p, place))
            return (int)place;
    }
    return -1;
}

static void learner_fetch(struct raft *p, struct effects *fx)
{
    int place = learner_choose_source(p);
    if (place < 0)
        return;
    p->fetched_ns = p->now;
    p->fetched_place = (uint32_t)place;
    p->fetched_upto = p->chosen_upto;
    effects_fetch(fx, p->peers[place].node, p->chosen_upto + 1);
}

/* Missing since the last tick: whatever was on its way then has arrived or is lost. */
void raft_fetch_tick(struct raft *p, struct effects *fx)
{
    bool stuck = p->chosen_upto == p->ticked_upto;
    p->ticked_upto = p->chosen_upto;
    if (stuck && !p->again && !raft_leads(p) &&
        p->now - p->fetched_ns >= p->config.heartbeat_ns / 2)
        learner_fetch(p, fx);
}

/* The leader has nothing in memory up to behind_upto, so it is fetched; once it is here the leader
 * can go on. What is chosen is in the log of every leader that comes after. */
void raft_pump_fetch(struct raft *p, struct effects *fx)
{
    bool more = p->fetching && !p->again && p->chosen_upto > p->fetched_upto;
    p->fetching = false;
    if (raft_leads(p))
        return;
    bool behind = p->behind_upto > p->chosen_upto;
    if (p->behind_upto != 0 && !behind && p->leader != NODE_NONE && raft_sound(p)) {
        struct raft_message message = raft_compose(p, RAFT_APPENDED);
        if (p->verified < p->chosen_upto)
            p->verified = p->chosen_upto;
        message.slot = p->verified;
        raft_send_durable(p, fx, p->leader, &message);
        p->behind_upto = 0;
    }
    bool missing = behind || (!raft_sound(p) && p->known_upto > p->chosen_upto);
    bool lately = p->fetched_ns != 0 && p->now - p->fetched_ns < p->config.heartbeat_ns;
    if (!p->again && (more || (missing && !lately)))
        learner_fetch(p, fx);
}
