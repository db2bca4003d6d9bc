/* Multi-Paxos behind the engine's interface (Lamport 1998, 2001): takes inputs apart, and ends
 * every step the same way, so that no input handler has to think of what else may now be possible.
 *
 * The one invariant: a step handles one input, then runs every pump once; a pump that is stopped by
 * the bound on effects sets `again`, and wake() answers "now" until the work is done. */
#include "consensus/multipaxos.h"

#include "base/hash.h"
#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

bool multipaxos_leads(const struct multipaxos *p)
{
    return p->phase >= PHASE_TAKING_OVER;
}

bool multipaxos_ready(const struct multipaxos *p)
{
    return p->phase == PHASE_LEADING && p->barrier != 0 && p->chosen_upto >= p->barrier;
}

bool multipaxos_sound(const struct multipaxos *p)
{
    return !p->unsound && p->chosen_upto >= p->replay_upto;
}

bool multipaxos_may_add(struct multipaxos *p, const struct effects *fx, uint32_t reserve)
{
    if (EFFECTS_MAX - fx->count > reserve &&
        EFFECTS_HEADS_MAX - fx->heads_used > (size_t)reserve * MULTIPAXOS_HEAD_MAX)
        return true;
    p->again = true;
    return false;
}

struct multipaxos_message multipaxos_compose(const struct multipaxos *p, enum multipaxos_kind kind)
{
    return (struct multipaxos_message){
        .kind = (uint8_t)kind,
        .ballot = p->promised,
        .chosen_upto = p->chosen_upto,
    };
}

void multipaxos_send(const struct multipaxos *p, struct effects *fx, uint16_t to,
                     const struct multipaxos_message *message, struct blob *entry)
{
    uint8_t buffer[MULTIPAXOS_HEAD_MAX];
    effects_send_early(fx, to, multipaxos_message_encode(message, p->config.era, buffer), entry);
}

void multipaxos_broadcast(const struct multipaxos *p, struct effects *fx,
                          const struct multipaxos_message *message, struct blob *entry)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            multipaxos_send(p, fx, p->peers[i].node, message, entry);
}

bool multipaxos_entries_equal(const struct blob *a, const struct blob *b)
{
    return a == b || bytes_equal(blob_bytes(a), blob_bytes(b));
}

static size_t multipaxos_size(const struct engine_config *config)
{
    return sizeof(struct multipaxos) +
           multipaxos_window_capacity(config) * sizeof(struct multipaxos_cell);
}

static void multipaxos_init(void *engine, const struct engine_config *config)
{
    struct multipaxos *p = engine;
    memset(p, 0, multipaxos_size(config));
    int place = configuration_place(config->configuration, config->self);
    ensure(place >= 0);
    ensure(config->window_slots > 0);
    ensure(config->heartbeat_ns > 0);
    ensure(config->election_ns >= config->heartbeat_ns);
    p->config = *config;
    p->place = (uint32_t)place;
    p->self = (member_set)1 << place;
    p->everybody = configuration_all(config->configuration);
    p->capacity = multipaxos_window_capacity(config);
    p->prng = prng_seed(config->seed);
    read_lease_init(&p->lease, config);
    p->tick_at = TIME_NEVER;
    p->campaign_at = TIME_NEVER;
    for (uint32_t i = 0; i < config->configuration->count; i++)
        p->peers[i].node = config->configuration->members[i].node;
}

static void multipaxos_release(void *engine)
{
    multipaxos_window_release(engine);
}

static void multipaxos_on_start(struct multipaxos *p, struct effects *fx)
{
    if (p->started)
        return;
    p->started = true;
    p->round_max = p->promised.round;
    /* Unlike any that an earlier life of this member used: late answers to that one are strangers'.
     */
    p->read_id = hash_fold(hash_fold(p->config.seed, p->now), fx->lsn_last.value);
    if (p->restate)
        multipaxos_persist_hard(p, fx);
    if (planted(MULTIPAXOS_DELIVERS_AGAIN)) {
        const struct multipaxos_cell *last = multipaxos_window_find(p, p->chosen_upto);
        if (last != NULL)
            effects_deliver(fx, last->slot, (struct bytes){0}, last->entry);
    }
    if (!ballot_is_zero(p->promised))
        read_lease_start(&p->lease, p->now);
    multipaxos_election_start(p, fx);
}

/* Messages that only the owner of their ballot may send. */
static bool multipaxos_is_owners(const struct multipaxos_message *message)
{
    switch (message->kind) {
    case MESSAGE_PREPARE:
    case MESSAGE_ACCEPT:
    case MESSAGE_COMMIT:
    case MESSAGE_READ_ROUND:
    case MESSAGE_TRANSFER_NOW:
        return true;
    case MESSAGE_HEARTBEAT:
        return (message->flags & FLAG_LEADING) != 0;
    default:
        return false;
    }
}

/* Their answers are believed: whoever forgot what it promised must not give any. */
static bool multipaxos_votes(const struct multipaxos_message *message)
{
    return message->kind == MESSAGE_PREPARE || message->kind == MESSAGE_PRE_PREPARE ||
           message->kind == MESSAGE_ACCEPT || message->kind == MESSAGE_READ_ROUND;
}

static void multipaxos_dispatch(struct multipaxos *p, struct multipaxos_peer *peer,
                                const struct multipaxos_message *message, struct blob *entry,
                                struct effects *fx)
{
    uint16_t from = peer->node;
    switch ((enum multipaxos_kind)message->kind) {
    case MESSAGE_HEARTBEAT:
        multipaxos_on_heartbeat(p, peer, message, fx);
        break;
    case MESSAGE_PRE_PREPARE:
        multipaxos_on_pre_prepare(p, peer, message, fx);
        break;
    case MESSAGE_PRE_PROMISE:
        multipaxos_on_pre_promise(p, peer, message);
        break;
    case MESSAGE_PREPARE:
        multipaxos_on_prepare(p, from, message, fx);
        break;
    case MESSAGE_PROMISE:
        multipaxos_on_promise(p, peer, message, entry, fx);
        break;
    case MESSAGE_ACCEPT:
        multipaxos_on_accept(p, from, message, entry, fx);
        break;
    case MESSAGE_ACCEPTED:
        multipaxos_on_accepted(p, peer, message);
        break;
    case MESSAGE_COMMIT:
        if (multipaxos_follow(p, from, message->ballot, fx))
            multipaxos_learn_upto(p, message->ballot, message->chosen_upto);
        break;
    case MESSAGE_NACK: /* its ballot said it all */
        break;
    case MESSAGE_READ_ROUND:
        multipaxos_on_read_round(p, from, message, fx);
        break;
    case MESSAGE_READ_ACK:
        multipaxos_on_read_ack(p, peer, message, fx);
        break;
    case MESSAGE_READ_INDEX:
        multipaxos_on_read_index(p, from, message, fx);
        break;
    case MESSAGE_READ_INDEX_OK:
        multipaxos_on_read_index_ok(p, message, fx);
        break;
    case MESSAGE_TRANSFER_NOW:
        multipaxos_on_transfer_now(p, from, message, fx);
        break;
    case MESSAGE_KINDS:
        break;
    }
}

static void multipaxos_on_message(struct multipaxos *p, const struct input *input,
                                  struct effects *fx)
{
    struct multipaxos_message message;
    int place = configuration_place(p->config.configuration, input->from);
    bool known = place >= 0 && (uint32_t)place != p->place && p->started &&
                 multipaxos_message_decode(input->head, p->config.era, &message);
    if (!known || (multipaxos_is_owners(&message) && message.ballot.node != input->from) ||
        (!ballot_is_zero(message.ballot) &&
         configuration_place(p->config.configuration, message.ballot.node) < 0)) {
        p->dropped++;
        return;
    }
    struct multipaxos_peer *peer = &p->peers[place];
    multipaxos_heard(p, peer, &message);
    if (!multipaxos_sound(p) && multipaxos_votes(&message))
        return;
    multipaxos_dispatch(p, peer, &message, input->entry, fx);
}

static void multipaxos_on_input(struct multipaxos *p, const struct input *input, struct effects *fx)
{
    int place = configuration_place(p->config.configuration, input->from);
    switch (input->kind) {
    case INPUT_RECORD:
        multipaxos_on_record(p, input, fx);
        break;
    case INPUT_START:
        multipaxos_on_start(p, fx);
        break;
    case INPUT_TIME:
        if (p->started)
            multipaxos_on_time(p, fx);
        break;
    case INPUT_MESSAGE:
        multipaxos_on_message(p, input, fx);
        break;
    case INPUT_PROPOSE:
        multipaxos_on_propose(p, input, fx);
        break;
    case INPUT_READ:
        multipaxos_on_read(p, input->token, fx);
        break;
    case INPUT_DURABLE:
        if (input->lsn.value > p->durable.value)
            p->durable = input->lsn;
        break;
    case INPUT_CHOSEN:
        multipaxos_on_chosen(p, input, fx);
        break;
    case INPUT_SNAPSHOT:
        multipaxos_on_snapshot(p, input->slot, fx);
        break;
    case INPUT_PEER:
        if (p->started && place >= 0 && (uint32_t)place != p->place)
            multipaxos_on_peer(p, &p->peers[place], input->up, fx);
        break;
    case INPUT_TRANSFER:
        multipaxos_on_transfer(p, input->node);
        break;
    }
}

static enum role multipaxos_role(const struct multipaxos *p)
{
    if (multipaxos_ready(p))
        return ROLE_LEADER;
    return p->phase >= PHASE_PREPARING ? ROLE_CANDIDATE : ROLE_FOLLOWER;
}

static uint16_t multipaxos_known_leader(const struct multipaxos *p)
{
    return multipaxos_ready(p) ? p->config.self : p->leader;
}

/* Tells what changed, however it came about. */
static void multipaxos_tell_role(struct multipaxos *p, struct effects *fx)
{
    enum role role = multipaxos_role(p);
    uint16_t leader = multipaxos_known_leader(p);
    bool ballot_matters = leader != NODE_NONE || role == ROLE_CANDIDATE;
    if (role == p->told_role && leader == p->told_leader &&
        (!ballot_matters || ballot_compare(p->promised, p->told_ballot) == 0))
        return;
    if (leader != NODE_NONE)
        p->leader_changes++;
    struct ballot ballot = p->promised;
    if (planted(MULTIPAXOS_LEADER_TOLD_EARLY) && role == ROLE_FOLLOWER &&
        leader != p->told_leader && !ballot_is_zero(p->told_ballot))
        ballot = p->told_ballot;
    if (planted(MULTIPAXOS_NO_LEADER_NO_BALLOT) && !ballot_matters)
        ballot = (struct ballot){0};
    p->told_role = role;
    p->told_leader = leader;
    p->told_ballot = ballot;
    effects_role(fx, role, leader, ballot);
}

static void multipaxos_step(void *engine, const struct input *input, struct effects *fx)
{
    struct multipaxos *p = engine;
    p->again = false;
    if (input->now > p->now)
        p->now = input->now;
    multipaxos_on_input(p, input, fx);
    if (!p->started)
        return;
    multipaxos_pump_election(p, fx);
    multipaxos_pump_deliveries(p, fx);
    multipaxos_pump_takeover(p, fx);
    multipaxos_pump_votes(p);
    multipaxos_pump_deliveries(p, fx);
    multipaxos_pump_leader(p, fx);
    multipaxos_pump_pages(p, fx);
    multipaxos_pump_reads(p, fx);
    multipaxos_pump_fetch(p, fx);
    multipaxos_tell_role(p, fx);
}

static uint64_t multipaxos_wake(const void *engine)
{
    const struct multipaxos *p = engine;
    if (p->again)
        return p->now;
    uint64_t wake = p->tick_at;
    uint64_t free_at = read_lease_free_at(&p->lease, p->config.self);
    uint64_t campaign_at = p->campaign_at > free_at ? p->campaign_at : free_at;
    if (p->phase == PHASE_FOLLOWING && campaign_at < wake)
        wake = campaign_at;
    if (p->phase == PHASE_ASKING && free_at > p->now && free_at < wake)
        wake = free_at;
    if ((p->phase == PHASE_ASKING || p->phase == PHASE_PREPARING) && p->deadline < wake)
        wake = p->deadline;
    if (p->phase == PHASE_PREPARING && p->repeat_at < wake)
        wake = p->repeat_at;
    return wake;
}

static uint32_t multipaxos_room_now(const void *engine)
{
    return multipaxos_room(engine);
}

static void multipaxos_status(const void *engine, struct engine_status *ret_status)
{
    const struct multipaxos *p = engine;
    *ret_status = (struct engine_status){
        .role = multipaxos_role(p),
        .leader = multipaxos_known_leader(p),
        .ballot = p->promised,
        .chosen_upto = p->chosen_upto,
        .next_slot = multipaxos_leads(p) ? p->next_slot : p->last_slot + 1,
        .window_used_slots = p->undelivered_slots,
        .window_used_bytes = p->undelivered_bytes,
        .proposals = p->proposals,
        .elections = p->elections,
        .leader_changes = p->leader_changes,
        .ballots_burned = p->ballots_burned,
        .dropped = p->dropped,
    };
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct multipaxos_peer *peer = &p->peers[i];
        if (i == p->place)
            continue;
        ret_status->peers[ret_status->peers_count++] = (struct engine_peer){
            .node = peer->node,
            .up = multipaxos_peer_up(p, peer),
            .chosen_upto = peer->chosen_upto,
            .heard_ns = peer->heard_ns,
            .round_trip_ns = peer->round_trip_ns,
        };
    }
}

static void multipaxos_check_now(const void *engine)
{
    multipaxos_check(engine);
}

static uint64_t multipaxos_fingerprint_now(const void *engine)
{
    return multipaxos_fingerprint(engine);
}

const struct engine_ops engine_multipaxos = {
    .name = "multipaxos",
    .id = 1,
    .size = multipaxos_size,
    .init = multipaxos_init,
    .release = multipaxos_release,
    .step = multipaxos_step,
    .wake = multipaxos_wake,
    .room = multipaxos_room_now,
    .status = multipaxos_status,
    .check = multipaxos_check_now,
    .fingerprint = multipaxos_fingerprint_now,
    .describe = multipaxos_describe,
};
