/* What an engine says to its host: who leads, what was promised, what is durable, where a read is
 * safe.
 *
 * The one invariant: only what could be seen from outside counts. A promise that never became
 * durable was never given. */
#include "sim/oracle_internal.h"

#include "base/hash.h"

/* Where a round has one leader, the node in a ballot only says who that is, as far as it is known.
 * In Multi-Paxos two members may lead in the same round, one after the other, each with a ballot of
 * its own. */
static struct ballot ballot_of(const struct oracle *o, struct ballot ballot)
{
    if (sim_options(o->sim)->engine == engine_multipaxos.id)
        return ballot;
    return (struct ballot){.round = ballot.round};
}

/* --- Durability and promises ----------------------------------------------------------------- */

/* Record by record, what it will still know after a crash grows. */
static void promise_note(struct member_watch *watch)
{
    if (watch->ballot_known && ballot_compare(watch->ballot, watch->promised_next) > 0) {
        watch->promised_next = watch->ballot;
        watch->promised_lsn = watch->written;
    }
}

static void promise_durable(struct member_watch *watch, uint64_t lsn)
{
    watch->durable = lsn;
    if (lsn >= watch->promised_lsn && ballot_compare(watch->promised_next, watch->promised) > 0)
        watch->promised = watch->promised_next;
}

void engine_on_recovered(struct member_watch *watch, uint64_t lsn_last)
{
    struct oracle *o = watch->oracle;
    if (lsn_last < watch->released && sim_oracle_on(o->sim, "durability"))
        sim_violation(
            o->sim, "durability", "member %u found %llu records, but told others of record %llu",
            watch->place + 1, (unsigned long long)lsn_last, (unsigned long long)watch->released);
    watch->written = lsn_last;
    watch->durable = lsn_last;
}

void engine_on_release(struct member_watch *watch, uint64_t lsn)
{
    watch->oracle->counts.releases++;
    if (lsn > watch->released)
        watch->released = lsn;
}

/* --- Ballots --------------------------------------------------------------------------------- */

static struct ballot_owner *ballot_owner(struct oracle *o, struct ballot ballot)
{
    uint32_t at = o->ballots_count;
    while (at > 0 && ballot_compare(o->ballots[at - 1].ballot, ballot) > 0)
        at--;
    if (at > 0 && ballot_compare(o->ballots[at - 1].ballot, ballot) == 0)
        return &o->ballots[at - 1];
    o->ballots = sim_grow(o->mem, o->ballots, &o->ballots_capacity, o->ballots_count + 1,
                          sizeof *o->ballots);
    for (uint32_t i = o->ballots_count; i > at; i--)
        o->ballots[i] = o->ballots[i - 1];
    o->ballots_count++;
    o->ballots[at] = (struct ballot_owner){.ballot = ballot, .place = UINT32_MAX};
    return &o->ballots[at];
}

static void check_ballot(struct member_watch *watch, const struct effect *effect)
{
    struct oracle *o = watch->oracle;
    if (effect->to == NODE_NONE && effect->role != ROLE_LEADER)
        return;
    struct ballot_owner *owner = ballot_owner(o, ballot_of(o, effect->ballot));
    uint64_t life = sim_life(o->sim, watch->place);
    bool other =
        owner->leader != NODE_NONE && effect->to != NODE_NONE && owner->leader != effect->to;
    if (effect->role == ROLE_LEADER) {
        other |=
            owner->place != UINT32_MAX && (owner->place != watch->place || owner->life != life);
        other |= effect->to != watch->place + 1;
        o->counts.leader_changes += owner->place == UINT32_MAX;
        owner->place = watch->place;
        owner->life = life;
    }
    if (effect->to != NODE_NONE)
        owner->leader = effect->to;
    if (other && sim_oracle_on(o->sim, "ballot"))
        sim_violation(o->sim, "ballot", "member %u: ballot %llu.%u has a second leader, %u",
                      watch->place + 1, (unsigned long long)effect->ballot.round,
                      effect->ballot.node, effect->to);
}

static void check_monotone(struct member_watch *watch, struct ballot ballot)
{
    struct oracle *o = watch->oracle;
    /* While it replays its records, its promises grow again; from its start on they count. */
    bool fell = watch->started && ballot_compare(ballot, watch->promised) < 0;
    fell |= watch->ballot_known && ballot_compare(ballot, watch->ballot) < 0;
    if (fell && sim_oracle_on(o->sim, "monotone"))
        sim_violation(o->sim, "monotone", "member %u: its ballot falls to %llu.%u from %llu.%u",
                      watch->place + 1, (unsigned long long)ballot.round, ballot.node,
                      (unsigned long long)watch->promised.round, watch->promised.node);
    watch->ballot = ballot;
    watch->ballot_known = true;
}

static void check_proposal(struct member_watch *watch, const struct effect *effect)
{
    struct oracle *o = watch->oracle;
    uint32_t slot = (uint32_t)effect->slot;
    o->proposals =
        sim_grow(o->mem, o->proposals, &o->proposals_capacity, slot + 1, sizeof(struct proposal *));
    uint64_t head = hash_bytes(1, effect->head);
    uint64_t entry = oracle_entry_hash(blob_bytes(effect->entry));
    struct proposal *proposal = o->proposals[slot];
    while (proposal != NULL && proposal->head != head)
        proposal = proposal->next;
    if (proposal == NULL) {
        proposal = arena_alloc(&o->arena, sizeof *proposal);
        *proposal = (struct proposal){o->proposals[slot], head, entry};
        o->proposals[slot] = proposal;
    } else if (proposal->entry != entry && sim_oracle_on(o->sim, "proposal")) {
        sim_violation(o->sim, "proposal", "member %u records another entry for slot %u",
                      watch->place + 1, slot);
    }
}

/* --- Reads ----------------------------------------------------------------------------------- */

static void read_asked(struct member_watch *watch, uint64_t token)
{
    watch->reads[token % READS_REMEMBERED].token = token;
    watch->reads[token % READS_REMEMBERED].floor = watch->oracle->complete;
}

static void check_index(struct member_watch *watch, uint64_t token, uint64_t slot)
{
    struct oracle *o = watch->oracle;
    if (watch->reads[token % READS_REMEMBERED].token != token)
        return;
    uint64_t floor = watch->reads[token % READS_REMEMBERED].floor;
    if (slot < floor && sim_oracle_on(o->sim, "index"))
        sim_violation(o->sim, "index",
                      "member %u may read at slot %llu, but slot %llu was complete before",
                      watch->place + 1, (unsigned long long)slot, (unsigned long long)floor);
}

/* --- All of it ------------------------------------------------------------------------------- */

void engine_on_input(struct member_watch *watch, const struct input *input)
{
    promise_note(watch);
    if (input->kind == INPUT_START)
        watch->started = true;
    else if (input->kind == INPUT_DURABLE)
        promise_durable(watch, input->lsn.value);
    else if (input->kind == INPUT_READ)
        read_asked(watch, input->token);
}

void engine_on_effect(struct member_watch *watch, const struct effect *effect)
{
    switch (effect->kind) {
    case EFFECT_PERSIST:
        watch->written = effect->lsn.value;
        if (effect->type == RECORD_ENTRY)
            check_proposal(watch, effect);
        break;
    case EFFECT_READ_OK:
        check_index(watch, effect->token, effect->slot);
        break;
    case EFFECT_ROLE:
        check_monotone(watch, ballot_of(watch->oracle, effect->ballot));
        check_ballot(watch, effect);
        break;
    case EFFECT_SEND:
    case EFFECT_SEND_EARLY:
    case EFFECT_DELIVER:
    case EFFECT_READ_FAIL:
    case EFFECT_REJECT:
    case EFFECT_FETCH:
        break;
    }
}
