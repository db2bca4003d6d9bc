/* Raft behind the engine's interface (Ongaro and Ousterhout 2014, Ongaro 2014): takes inputs apart,
 * and ends every step the same way, so that no input handler has to think of what else may now be
 * possible.
 *
 * The one invariant: a step handles one input, then runs every pump once; a pump that is stopped by
 * the bound on effects sets `again`, and wake() answers "now" until the work is done. */
#include "consensus/raft.h"

#include "base/hash.h"
#include "base/panic.h"

#include <string.h>

bool raft_leads(const struct raft *p)
{
    return p->phase == RAFT_LEADING;
}

bool raft_ready(const struct raft *p)
{
    return p->phase == RAFT_LEADING && p->chosen_upto >= p->barrier;
}

bool raft_sound(const struct raft *p)
{
    return !p->unsound && p->chosen_upto >= p->replay_upto;
}

bool raft_may_add(struct raft *p, const struct effects *fx)
{
    if (EFFECTS_MAX - fx->count > RAFT_RESERVE &&
        EFFECTS_HEADS_MAX - fx->heads_used > (size_t)RAFT_RESERVE * RAFT_HEAD_MAX)
        return true;
    p->again = true;
    return false;
}

struct raft_message raft_compose(const struct raft *p, enum raft_kind kind)
{
    return (struct raft_message){
        .kind = (uint8_t)kind,
        .term = p->term,
        .chosen_upto = p->chosen_upto,
    };
}

void raft_send(const struct raft *p, struct effects *fx, uint16_t to,
               const struct raft_message *message, struct blob *entry)
{
    uint8_t buffer[RAFT_HEAD_MAX];
    effects_send_early(fx, to, raft_message_encode(message, p->config.era, buffer), entry);
}

void raft_send_durable(const struct raft *p, struct effects *fx, uint16_t to,
                       const struct raft_message *message)
{
    uint8_t buffer[RAFT_HEAD_MAX];
    effects_send(fx, to, raft_message_encode(message, p->config.era, buffer), NULL);
}

void raft_broadcast(const struct raft *p, struct effects *fx, const struct raft_message *message)
{
    for (uint32_t i = 0; i < p->config.configuration->count; i++)
        if (i != p->place)
            raft_send(p, fx, p->peers[i].node, message, NULL);
}

static size_t raft_size(const struct engine_config *config)
{
    return sizeof(struct raft) + raft_log_capacity(config) * sizeof(struct raft_cell);
}

static void raft_init(void *engine, const struct engine_config *config)
{
    struct raft *p = engine;
    memset(p, 0, raft_size(config));
    int place = configuration_place(config->configuration, config->self);
    ensure(place >= 0);
    ensure(config->window_slots > 0);
    ensure(config->heartbeat_ns > 0);
    ensure(config->election_ns >= config->heartbeat_ns);
    p->config = *config;
    p->place = (uint32_t)place;
    p->self = (member_set)1 << place;
    p->everybody = configuration_all(config->configuration);
    p->capacity = raft_log_capacity(config);
    p->prng = prng_seed(config->seed);
    read_lease_init(&p->lease, config);
    p->tick_at = TIME_NEVER;
    p->campaign_at = TIME_NEVER;
    for (uint32_t i = 0; i < config->configuration->count; i++)
        p->peers[i].node = config->configuration->members[i].node;
}

static void raft_release(void *engine)
{
    raft_log_release(engine);
}

static void raft_on_start(struct raft *p, struct effects *fx)
{
    if (p->started)
        return;
    p->started = true;
    /* Unlike any that an earlier life of this member used: late answers to that one are strangers'.
     */
    p->read_id = hash_fold(hash_fold(p->config.seed, p->now), fx->lsn_last.value);
    /* What comes next continues what is delivered, and not the records that did not count. */
    if (p->detached || p->restate)
        raft_persist_hard(p, p->detached ? RAFT_FLAG_JUMP : 0, fx);
    p->detached = false;
    p->hole = false;
    if (p->term > 0)
        read_lease_start(&p->lease, p->now);
    raft_election_start(p, fx);
}

static void raft_dispatch(struct raft *p, struct raft_peer *peer,
                          const struct raft_message *message, struct blob *entry,
                          struct effects *fx)
{
    uint16_t from = peer->node;
    switch ((enum raft_kind)message->kind) {
    case RAFT_BEAT:
        raft_on_beat(p, peer, message, fx);
        break;
    case RAFT_PRE_VOTE:
        raft_on_pre_vote(p, peer, message, fx);
        break;
    case RAFT_PRE_VOTE_REPLY:
        raft_on_pre_vote_reply(p, peer, message);
        break;
    case RAFT_VOTE:
        raft_on_vote(p, peer, message, fx);
        break;
    case RAFT_VOTE_REPLY:
        raft_on_vote_reply(p, peer, message);
        break;
    case RAFT_APPEND:
        raft_on_append(p, peer, message, entry, fx);
        break;
    case RAFT_PROBE:
        raft_on_probe(p, peer, message, true, fx);
        break;
    case RAFT_APPENDED:
        raft_on_appended(p, peer, message);
        break;
    case RAFT_REJECT:
        raft_on_reject(p, peer, message);
        break;
    case RAFT_BEHIND:
        raft_on_behind(p, peer, message, fx);
        break;
    case RAFT_COMMIT:
        if (raft_follow(p, from, message->term, fx))
            raft_learn_upto(p, message->chosen_upto);
        break;
    case RAFT_NACK: /* its term said it all */
        break;
    case RAFT_READ_ROUND:
        raft_on_read_round(p, from, message, fx);
        break;
    case RAFT_READ_ACK:
        raft_on_read_ack(p, peer, message, fx);
        break;
    case RAFT_READ_INDEX:
        raft_on_read_index(p, from, message, fx);
        break;
    case RAFT_READ_INDEX_OK:
        raft_on_read_index_ok(p, message, fx);
        break;
    case RAFT_TRANSFER_NOW:
        raft_on_transfer_now(p, from, message, fx);
        break;
    case RAFT_KINDS:
        break;
    }
}

static void raft_on_message(struct raft *p, const struct input *input, struct effects *fx)
{
    struct raft_message message;
    int place = configuration_place(p->config.configuration, input->from);
    if (place < 0 || (uint32_t)place == p->place || !p->started ||
        !raft_message_decode(input->head, p->config.era, &message)) {
        p->dropped++;
        return;
    }
    if (message.kind == RAFT_VOTE && !read_lease_lets(&p->lease, p->now, input->from))
        return; /* it asks again; until then not even its term is heard of */
    struct raft_peer *peer = &p->peers[place];
    raft_heard(p, peer, &message, fx);
    raft_dispatch(p, peer, &message, input->entry, fx);
}

static void raft_on_input(struct raft *p, const struct input *input, struct effects *fx)
{
    int place = configuration_place(p->config.configuration, input->from);
    switch (input->kind) {
    case INPUT_RECORD:
        raft_on_record(p, input, fx);
        break;
    case INPUT_START:
        raft_on_start(p, fx);
        break;
    case INPUT_TIME:
        if (p->started)
            raft_on_time(p, fx);
        break;
    case INPUT_MESSAGE:
        raft_on_message(p, input, fx);
        break;
    case INPUT_PROPOSE:
        raft_on_propose(p, input, fx);
        break;
    case INPUT_READ:
        raft_on_read(p, input->token, fx);
        break;
    case INPUT_DURABLE:
        if (input->lsn.value > p->durable.value)
            p->durable = input->lsn;
        break;
    case INPUT_CHOSEN:
        raft_on_chosen(p, input, fx);
        break;
    case INPUT_SNAPSHOT:
        raft_on_snapshot(p, input, fx);
        break;
    case INPUT_PEER:
        if (p->started && place >= 0 && (uint32_t)place != p->place)
            raft_on_peer(p, &p->peers[place], input->up, fx);
        break;
    case INPUT_TRANSFER:
        raft_on_transfer(p, input->node);
        break;
    }
}

static enum role raft_role(const struct raft *p)
{
    if (raft_ready(p))
        return ROLE_LEADER;
    return p->phase >= RAFT_STANDING ? ROLE_CANDIDATE : ROLE_FOLLOWER;
}

static uint16_t raft_known_leader(const struct raft *p)
{
    return raft_ready(p) ? p->config.self : p->leader;
}

/* The ballot of a term is that of its leader, or of its candidate here. */
static struct ballot raft_ballot(const struct raft *p)
{
    uint16_t node = p->phase >= RAFT_STANDING ? p->config.self : p->leader;
    return (struct ballot){p->term, node, BALLOT_CLASSIC};
}

/* Tells what changed, however it came about. */
static void raft_tell_role(struct raft *p, struct effects *fx)
{
    enum role role = raft_role(p);
    uint16_t leader = raft_known_leader(p);
    bool term_matters = leader != NODE_NONE || role == ROLE_CANDIDATE;
    if (role == p->told_role && leader == p->told_leader &&
        (!term_matters || p->term == p->told_term))
        return;
    if (leader != NODE_NONE)
        p->leader_changes++;
    p->told_role = role;
    p->told_leader = leader;
    p->told_term = p->term;
    effects_role(fx, role, leader, raft_ballot(p));
}

static void raft_step(void *engine, const struct input *input, struct effects *fx)
{
    struct raft *p = engine;
    p->again = false;
    if (input->now > p->now)
        p->now = input->now;
    raft_on_input(p, input, fx);
    if (!p->started)
        return;
    raft_pump_election(p, fx);
    raft_pump_commit(p);
    raft_pump_deliveries(p, fx);
    raft_pump_leader(p, fx);
    raft_pump_reads(p, fx);
    raft_pump_fetch(p, fx);
    raft_tell_role(p, fx);
}

static uint64_t raft_wake(const void *engine)
{
    const struct raft *p = engine;
    if (p->again)
        return p->now;
    uint64_t wake = p->tick_at;
    uint64_t free_at = read_lease_free_at(&p->lease, p->config.self);
    uint64_t campaign_at = p->campaign_at > free_at ? p->campaign_at : free_at;
    if (p->phase == RAFT_FOLLOWING && campaign_at < wake)
        wake = campaign_at;
    if (p->phase == RAFT_ASKING && free_at > p->now && free_at < wake)
        wake = free_at;
    if ((p->phase == RAFT_ASKING || p->phase == RAFT_STANDING) && p->deadline < wake)
        wake = p->deadline;
    if (p->phase == RAFT_STANDING && p->repeat_at < wake)
        wake = p->repeat_at;
    return wake;
}

static uint32_t raft_room_now(const void *engine)
{
    return raft_room(engine);
}

static void raft_status(const void *engine, struct engine_status *ret_status)
{
    const struct raft *p = engine;
    *ret_status = (struct engine_status){
        .role = raft_role(p),
        .leader = raft_known_leader(p),
        .ballot = raft_ballot(p),
        .chosen_upto = p->chosen_upto,
        .next_slot = p->last + 1,
        .window_used_slots = p->last - p->chosen_upto,
        .window_used_bytes = p->undelivered_bytes,
        .proposals = p->proposals,
        .elections = p->elections,
        .leader_changes = p->leader_changes,
        .ballots_burned = p->terms_burned,
        .dropped = p->dropped,
    };
    for (uint32_t i = 0; i < p->config.configuration->count; i++) {
        const struct raft_peer *peer = &p->peers[i];
        if (i == p->place)
            continue;
        ret_status->peers[ret_status->peers_count++] = (struct engine_peer){
            .node = peer->node,
            .up = raft_peer_up(p, peer),
            .chosen_upto = peer->chosen_upto,
            .heard_ns = peer->heard_ns,
            .round_trip_ns = peer->round_trip_ns,
        };
    }
}

static void raft_check_now(const void *engine)
{
    raft_check(engine);
}

static uint64_t raft_fingerprint_now(const void *engine)
{
    return raft_fingerprint(engine);
}

const struct engine_ops engine_raft = {
    .name = "raft",
    .id = 2,
    .size = raft_size,
    .init = raft_init,
    .release = raft_release,
    .step = raft_step,
    .wake = raft_wake,
    .room = raft_room_now,
    .status = raft_status,
    .check = raft_check_now,
    .fingerprint = raft_fingerprint_now,
    .describe = raft_message_describe,
};
