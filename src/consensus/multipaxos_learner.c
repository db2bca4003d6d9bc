/* The learner: what is chosen, in order, without gaps.
 *
 * Replay rests on one rule: when a slot is delivered, the last ENTRY record written for it holds
 * the chosen value. Records carry how far their writer had delivered, so reading them back delivers
 * the same slots with the same values, and the window stays as small as it was.
 *
 * The rule ends at a snapshot: below one that came from another member, the log may hold values
 * that were accepted and never chosen. So the hard state names the last such jump. Where that
 * snapshot is lost and an older one is loaded, replay neither delivers nor votes across the hole:
 * the slots are fetched, like any that are missing, and then the member is whole again.
 *
 * A member marks a slot as chosen by itself only where it accepted in exactly the ballot whose
 * leader says so; anything else it fetches. Marking whatever is stored is the classic divergence.
 */
#include "consensus/multipaxos.h"

#include "base/panic.h"
#include "base/planted.h"

static void learner_unsound(struct multipaxos *p)
{
    p->unsound = true;
    p->dropped++;
}

static void learner_replay_value(struct multipaxos *p, const struct input *input,
                                 const struct multipaxos_record *record)
{
    if (input->slot <= p->chosen_upto)
        return; /* in the snapshot, or delivered: it cannot have changed since */
    if (input->slot > MULTIPAXOS_SLOT_MAX || !multipaxos_window_reach(p, input->slot)) {
        learner_unsound(p);
        return;
    }
    struct multipaxos_cell *cell = multipaxos_window_find(p, input->slot);
    if (input->type == RECORD_ACCEPT && cell == NULL) {
        learner_unsound(p); /* the value that this record accepts again is lost */
        return;
    }
    cell = multipaxos_window_claim(p, input->slot);
    if (input->type == RECORD_ENTRY)
        multipaxos_window_store(p, cell, input->entry);
    cell->vbal = record->ballot;
    cell->lsn = input->lsn;
    cell->chosen = (record->flags & FLAG_CHOSEN) != 0;
}

void multipaxos_on_record(struct multipaxos *p, const struct input *input, struct effects *fx)
{
    struct multipaxos_record record;
    if (p->started || !multipaxos_record_decode(input->head, &record)) {
        learner_unsound(p);
        return;
    }
    p->durable = input->lsn;
    bool told = input->type != RECORD_HARD || !planted(MULTIPAXOS_RESTART_FORGETS_PROMISE);
    if (told && ballot_compare(record.ballot, p->promised) > 0) {
        p->promised = p->recorded = record.ballot;
        p->promised_lsn = input->lsn;
    }
    if (input->type == RECORD_HARD && input->slot > p->chosen_upto && input->slot > p->hole_upto)
        p->hole_upto = input->slot; /* that snapshot is lost, and an older one was loaded */
    if (record.chosen_upto > p->replay_upto)
        p->replay_upto = record.chosen_upto;
    if (planted(MULTIPAXOS_REPLAY_BELIEVES_ALL) && input->slot > p->replay_upto)
        p->replay_upto = input->slot;
    multipaxos_pump_deliveries(p, fx);
    if (input->type == RECORD_ENTRY || input->type == RECORD_ACCEPT)
        learner_replay_value(p, input, &record);
}

static bool learner_may_deliver(const struct multipaxos *p, struct multipaxos_cell *cell)
{
    if (cell == NULL || !cell->accepted)
        return false;
    bool whole = cell->slot > p->hole_upto || planted(MULTIPAXOS_REPLAY_ACROSS_HOLE);
    if (cell->slot <= p->replay_upto && whole)
        cell->chosen = true;
    return cell->chosen;
}

void multipaxos_pump_deliveries(struct multipaxos *p, struct effects *fx)
{
    for (;;) {
        struct multipaxos_cell *cell = multipaxos_window_find(p, p->chosen_upto + 1);
        if (!learner_may_deliver(p, cell))
            return;
        if (!multipaxos_may_add(p, fx, MULTIPAXOS_RESERVE))
            return;
        const struct multipaxos_cell *told = cell;
        if (planted(MULTIPAXOS_BARRIER_REPEATS) && multipaxos_leads(p) && cell->slot == p->barrier)
            told = multipaxos_window_find(p, p->chosen_upto);
        effects_deliver(fx, cell->slot, (struct bytes){0}, (told ? told : cell)->entry);
        multipaxos_window_deliver(p);
    }
}

void multipaxos_learn_upto(struct multipaxos *p, struct ballot ballot, uint64_t upto)
{
    int order = ballot_compare(ballot, p->known_ballot);
    if (order < 0 || (order == 0 && upto <= p->known_upto))
        return;
    uint64_t from = order == 0 ? p->known_upto : 0;
    if (from < p->chosen_upto)
        from = p->chosen_upto;
    p->known_ballot = ballot;
    p->known_upto = upto;
    for (uint64_t slot = from + 1; slot <= upto && slot <= p->last_slot; slot++) {
        struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        if (cell == NULL || !cell->accepted)
            continue;
        if (ballot_compare(cell->vbal, ballot) == 0 ||
            planted(MULTIPAXOS_COMMIT_WHATEVER_IS_STORED))
            cell->chosen = true;
    }
}

bool multipaxos_learn(struct multipaxos *p, uint64_t slot, struct blob *entry, struct effects *fx)
{
    if (slot <= p->chosen_upto)
        return true;
    if (!multipaxos_window_fits(p, slot))
        return false;
    if (multipaxos_leads(p) && slot >= p->next_slot) {
        multipaxos_step_down(p); /* somebody else proposed this */
        multipaxos_wait_for_leader(p);
    }
    bool reach = multipaxos_window_reach(p, slot);
    ensure(reach);
    struct multipaxos_cell *cell = multipaxos_window_claim(p, slot);
    bool same = cell->accepted && multipaxos_entries_equal(cell->entry, entry);
    bool proposed = multipaxos_leads(p) && ballot_compare(cell->vbal, p->ballot) == 0;
    if (proposed && !same) {
        multipaxos_step_down(p); /* a higher ballot chose something else: somebody else leads */
        multipaxos_wait_for_leader(p);
    }
    if (cell->chosen) {
        if (!same)
            p->dropped++;
        return true;
    }
    if (!same) {
        uint8_t buffer[MULTIPAXOS_HEAD_MAX];
        struct multipaxos_record record = {.flags = FLAG_CHOSEN, .chosen_upto = p->chosen_upto};
        struct bytes head = multipaxos_record_encode(&record, buffer);
        cell->lsn = effects_persist(fx, RECORD_ENTRY, slot, head, entry);
        cell->vbal = (struct ballot){0};
        multipaxos_window_store(p, cell, entry);
    }
    cell->chosen = true;
    return true;
}

void multipaxos_on_chosen(struct multipaxos *p, const struct input *input, struct effects *fx)
{
    if (input->slot == 0 || !multipaxos_learn(p, input->slot, input->entry, fx))
        p->dropped++;
    p->fetching = true;
}

void multipaxos_on_snapshot(struct multipaxos *p, uint64_t slot, struct effects *fx)
{
    if (slot > p->chosen_upto) {
        /* What a leader never proposed was chosen by another: that one leads by now. */
        if (multipaxos_leads(p) && slot >= p->next_slot) {
            multipaxos_step_down(p);
            multipaxos_wait_for_leader(p);
        }
        multipaxos_window_jump(p, slot);
        p->jumped_upto = slot;
        if (multipaxos_leads(p) && p->takeover_next <= slot)
            p->takeover_next = slot + 1;
    }
    if (p->started && planted(MULTIPAXOS_SNAPSHOT_FORGETS_PROMISE))
        return;
    if (p->started)
        multipaxos_persist_hard(p, fx);
    else
        p->restate = true; /* what was promised is not replayed yet */
}

static bool learner_can_serve(const struct multipaxos *p, uint32_t place)
{
    const struct multipaxos_peer *peer = &p->peers[place];
    return place != p->place && peer->chosen_upto > p->chosen_upto && multipaxos_peer_up(p, peer);
}

/* The leader first; when that did not help, the others in turn. Returns the place, or -1. */
static int learner_choose_source(const struct multipaxos *p)
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

void multipaxos_fetch(struct multipaxos *p, struct effects *fx)
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
void multipaxos_fetch_tick(struct multipaxos *p, struct effects *fx)
{
    bool stuck = p->chosen_upto == p->ticked_upto;
    p->ticked_upto = p->chosen_upto;
    if (stuck && !p->again && p->now - p->fetched_ns >= p->config.heartbeat_ns / 2)
        multipaxos_fetch(p, fx);
}

/* The leader says that the next slot is chosen, and this member did not accept it from that leader:
 * messages arrive in order between members, so it will not come any more. */
void multipaxos_pump_fetch(struct multipaxos *p, struct effects *fx)
{
    bool more = p->fetching && !p->again && p->chosen_upto > p->fetched_upto;
    p->fetching = false;
    if (more) { /* hosts answer in parts, and each part asks for the next */
        multipaxos_fetch(p, fx);
        return;
    }
    if (p->known_upto <= p->chosen_upto || p->again || multipaxos_leads(p))
        return;
    if (p->fetched_ns != 0 && p->now - p->fetched_ns < p->config.heartbeat_ns)
        return;
    multipaxos_fetch(p, fx);
}
