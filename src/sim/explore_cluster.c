/* The whole explored cluster: which actions are possible, what they lead to, what must hold.
 *
 * The network keeps what was sent until it is delivered, in no order. A message that is never
 * delivered is a lost one; one that is in flight already is not sent twice (LIMIT_DUPLICATES says
 * how often one arrives again). The one invariant: all that a step brings about is entered into the
 * ledger in the order in which it happened, and the ledger never forgets. */
#include "sim/explore_internal.h"

#include "base/hash.h"
#include "base/panic.h"

#include <string.h>

#define PROMPT_MAX 64
#define SETTLE_ROUNDS 20

/* A state while an action changes it. */
struct change {
    struct explore_state *state;
    struct explore_ledger ledger;
    uint32_t action;
    bool changed;
    bool ledger_changed;
    bool cut;
    bool synced;                 /* disks keep up: nothing can be lost any more */
    uint32_t prompt[PROMPT_MAX]; /* heartbeats that arrive before the action ends */
    uint32_t prompt_first;
    uint32_t prompt_count;
};

uint64_t explore_state_fingerprint(const struct explore *x, const struct explore_state *state)
{
    uint64_t hash = *(const uint64_t *)explore_array_at(&x->ledger_names.hashes, state->ledger);
    hash = hash_bytes(hash, bytes_of(state->used, sizeof state->used));
    for (uint32_t i = 0; i < x->options.members; i++)
        hash = hash_fold(hash, explore_component_at(x, state->components[i])->fingerprint);
    uint64_t sum = 0; /* a set: its order means nothing, except on one link where links keep it */
    uint8_t sent[EXPLORE_MEMBERS_MAX][EXPLORE_MEMBERS_MAX] = {{0}};
    for (uint32_t i = 0; i < state->count; i++) {
        const struct explore_message *message = explore_message_at(x, state->messages[i]);
        uint8_t at = x->options.ordered ? sent[message->from][message->to]++ : 0;
        sum += at == 0 ? message->fingerprint : hash_fold(at, message->fingerprint);
    }
    return hash_fold(hash, sum);
}

static bool same_link(const struct explore_message *a, const struct explore_message *b)
{
    return a->from == b->from && a->to == b->to;
}

/* Is the very same on its way, so that this one adds nothing? */
static bool under_way(const struct explore *x, const struct explore_state *state,
                      const struct explore_message *message)
{
    for (uint32_t i = state->count; i > 0; i--) {
        const struct explore_message *other = explore_message_at(x, state->messages[i - 1]);
        if (other->fingerprint == message->fingerprint)
            return true;
        if (x->options.ordered && same_link(other, message))
            return false; /* something else was sent in between */
    }
    return false;
}

static void state_remove(struct explore_state *state, uint32_t name)
{
    for (uint32_t i = 0; i < state->count; i++) {
        if (state->messages[i] != name)
            continue;
        memmove(&state->messages[i], &state->messages[i + 1],
                (state->count - i - 1u) * sizeof state->messages[0]);
        state->count--;
        return;
    }
}

/* A message arrives: it leaves the network, and so does what was sent on its link before it, where
 * links keep the order. */
static void state_take(const struct explore *x, struct explore_state *state, uint32_t name)
{
    const struct explore_message *taken = explore_message_at(x, name);
    for (uint32_t i = 0; i < state->count && x->options.ordered && state->messages[i] != name;) {
        if (same_link(explore_message_at(x, state->messages[i]), taken))
            state_remove(state, state->messages[i]);
        else
            i++;
    }
    state_remove(state, name);
}

static void change_send(struct explore *x, struct change *c, uint32_t name)
{
    const struct explore_message *message = explore_message_at(x, name);
    struct explore_state *state = c->state;
    if (message->heartbeat && !x->options.heartbeats) {
        if (c->prompt_count == PROMPT_MAX)
            c->cut = true;
        else
            c->prompt[c->prompt_count++] = name;
        return;
    }
    if (under_way(x, state, message))
        return;
    for (uint32_t i = 0; i < state->count && message->heartbeat; i++) {
        const struct explore_message *other = explore_message_at(x, state->messages[i]);
        if (other->heartbeat && same_link(other, message)) {
            state_remove(state, state->messages[i]); /* of two heartbeats the older one is lost */
            break;
        }
    }
    if (state->count == EXPLORE_MESSAGES_MAX)
        c->cut = true;
    else
        state->messages[state->count++] = name;
}

static const char *value_of(uint32_t value, char buffer[24])
{
    if (value == 0)
        return "a no-op";
    snprintf(buffer, 24, "value %u", value);
    return buffer;
}

/* Agreement: what was delivered at a slot once is delivered there by all, in every life. */
static void change_deliver(struct explore *x, struct change *c, uint32_t place, uint32_t argument)
{
    uint32_t slot = argument >> 8;
    uint32_t value = argument & 255;
    char here[24];
    char there[24];
    if (c->ledger.chosen[slot] == 0) {
        c->ledger.chosen[slot] = (uint8_t)(value + 1);
        c->ledger_changed = true;
        if (slot > c->ledger.highest)
            c->ledger.highest = (uint8_t)slot;
    } else if (c->ledger.chosen[slot] != value + 1) {
        explore_violate(x, "member %u delivered %s at slot %u, where %s was chosen", place + 1,
                        value_of(value, here), slot, value_of(c->ledger.chosen[slot] - 1u, there));
    }
}

/* Linearizability: a read sees everything that was delivered anywhere before it was asked. */
static void change_read_ok(struct explore *x, struct change *c, uint32_t place, uint32_t argument)
{
    uint32_t token = argument >> 8;
    uint32_t slot = argument & 255;
    ensure(token < EXPLORE_READS_MAX);
    if (c->ledger.floors[token] == 0)
        explore_violate(x, "member %u answered read %u twice", place + 1, token);
    else if (slot < c->ledger.floors[token] - 1u)
        explore_violate(x,
                        "member %u serves read %u at slot %u, but slot %u was delivered before it "
                        "was asked",
                        place + 1, token, slot, c->ledger.floors[token] - 1u);
    c->ledger.floors[token] = 0;
    c->ledger_changed = true;
}

static void change_leader(struct explore *x, struct change *c, uint32_t place, uint32_t ballot)
{
    struct explore_ledger *ledger = &c->ledger;
    for (uint32_t i = 0; i < ledger->leaders_count; i++) {
        if (ledger->leaders[i].ballot != ballot)
            continue;
        if (ledger->leaders[i].place != place)
            explore_violate(x, "members %u and %u lead in the same ballot %u.%u",
                            ledger->leaders[i].place + 1, place + 1, ballot >> 8, ballot & 255);
        return;
    }
    if (ledger->leaders_count == EXPLORE_LEADERS_MAX) {
        c->cut = true;
        return;
    }
    /* Sorted, so that the same set is the same ledger. */
    uint32_t at = ledger->leaders_count++;
    for (; at > 0 && ledger->leaders[at - 1].ballot > ballot; at--)
        ledger->leaders[at] = ledger->leaders[at - 1];
    ledger->leaders[at].ballot = ballot;
    ledger->leaders[at].place = place;
    c->ledger_changed = true;
}

static void change_item(struct explore *x, struct change *c, uint32_t place, uint32_t item)
{
    uint32_t argument = item & 0xfffffff;
    switch ((enum explore_item_kind)(item >> 28)) {
    case ITEM_SEND:
        change_send(x, c, argument);
        break;
    case ITEM_DELIVER:
        change_deliver(x, c, place, argument);
        break;
    case ITEM_INSTALL:
        break; /* the state of a peer: what it holds was delivered there */
    case ITEM_READ_OK:
        change_read_ok(x, c, place, argument);
        break;
    case ITEM_READ_FAIL:
        c->ledger.floors[argument] = 0;
        c->ledger_changed = true;
        break;
    case ITEM_LEADER:
        change_leader(x, c, place, argument);
        break;
    case ITEM_CUT:
        c->cut = true;
        break;
    }
}

/* One step of a member. False: a violation. */
static bool change_step(struct explore *x, struct change *c, uint32_t place,
                        enum explore_action kind, uint32_t argument)
{
    uint32_t items[EXPLORE_ITEMS_MAX];
    uint32_t before = c->state->components[place];
    const struct explore_outcome *outcome = explore_host_step(x, before, kind, argument);
    if (outcome == NULL)
        return false;
    uint32_t after = outcome->component;
    uint32_t count = outcome->count;
    memcpy(items, outcome->items, count * sizeof items[0]); /* the table may move */
    if (count == 0 &&
        explore_component_at(x, before)->fingerprint == explore_component_at(x, after)->fingerprint)
        return true;
    c->changed = true;
    c->state->components[place] = after;
    for (uint32_t i = 0; i < count; i++)
        change_item(x, c, place, items[i]);
    return x->violation[0] == '\0';
}

static bool change_sync(struct explore *x, struct change *c, uint32_t place)
{
    while (explore_component_at(x, c->state->components[place])->pending > 0)
        if (!change_step(x, c, place, ACTION_SYNC, 0))
            return false;
    return true;
}

/* One member's part in the action. */
static bool change_member(struct explore *x, struct change *c, uint32_t place,
                          enum explore_action kind, uint32_t argument)
{
    return change_step(x, c, place, kind, argument) && (!c->synced || change_sync(x, c, place));
}

static bool change_prompt(struct explore *x, struct change *c)
{
    while (c->prompt_first < c->prompt_count) {
        uint32_t name = c->prompt[c->prompt_first++];
        if (!change_member(x, c, explore_message_at(x, name)->to, ACTION_DELIVER, name))
            return false;
    }
    return true;
}

static const uint8_t action_limits[ACTIONS] = {
    [ACTION_DELIVER] = LIMITS,
    [ACTION_SYNC] = LIMITS,
    [ACTION_DUPLICATE] = LIMIT_DUPLICATES,
    [ACTION_DROP] = LIMIT_DROPS,
    [ACTION_TIMEOUT] = LIMIT_TIMEOUTS,
    [ACTION_TIMEOUT_UNHEARD] = LIMIT_TIMEOUTS,
    [ACTION_CRASH] = LIMIT_CRASHES,
    [ACTION_PROPOSE] = LIMIT_PROPOSALS,
    [ACTION_READ] = LIMIT_READS,
    [ACTION_SNAPSHOT] = LIMIT_SNAPSHOTS,
    [ACTION_TRANSFER] = LIMIT_TRANSFERS,
    [ACTION_BREAK] = LIMIT_BREAKS,
    [ACTION_PAUSE] = LIMIT_PAUSES,
};

/* All members that take part in it. */
static bool change_act(struct explore *x, struct change *c)
{
    enum explore_action kind = action_kind(c->action);
    uint32_t place = action_place(c->action);
    uint32_t argument = action_argument(c->action);
    if (kind == ACTION_DROP) {
        c->changed = true;
        return true;
    }
    if (kind == ACTION_BREAK) {
        for (uint32_t i = 0; i < x->options.members; i++)
            if (i != place && !change_member(x, c, i, kind, place))
                return false;
        return true;
    }
    if (kind == ACTION_READ) {
        c->ledger.floors[argument] = (uint8_t)(c->ledger.highest + 1);
        c->ledger_changed = true;
    }
    if (!change_member(x, c, place, kind == ACTION_DUPLICATE ? ACTION_DELIVER : kind, argument))
        return false;
    for (uint32_t i = 0; kind == ACTION_CRASH && i < x->options.members; i++)
        if (i != place && (!change_member(x, c, i, STEP_MEET, place) ||
                           !change_member(x, c, place, STEP_MEET, i)))
            return false;
    return true;
}

/* Durability: what was delivered anywhere is on the disks of a phase 2 quorum, for ever. So it
 * survives a crash of all members at once, and any of those that may be missing. */
static bool holds(struct explore *x, const struct change *c)
{
    for (uint32_t slot = 1; slot <= c->ledger.highest; slot++) {
        uint8_t chosen = c->ledger.chosen[slot];
        member_set holders = 0;
        for (uint32_t i = 0; i < x->options.members; i++) {
            uint8_t held = explore_component_at(x, c->state->components[i])->holds[slot];
            if (held == chosen || held == HOLDS_SNAPSHOT)
                holders |= (member_set)1 << i;
        }
        if (chosen == 0 || quorum_phase2(&x->configuration.quorums, holders))
            continue;
        char value[24];
        explore_violate(x, "slot %u was delivered with %s, which no quorum has on its disks", slot,
                        value_of(chosen - 1u, value));
        return false;
    }
    return true;
}

static uint32_t crashes_max(const struct explore *x)
{
    return x->options.limits[LIMIT_CRASHES];
}

enum explore_applied explore_apply(struct explore *x, struct explore_state *state, uint32_t action)
{
    struct change c = {.state = state, .action = action};
    enum explore_action kind = action_kind(action);
    c.ledger = *explore_ledger_at(x, state->ledger);
    if (kind == ACTION_DELIVER)
        state_take(x, state, action_argument(action));
    else if (kind == ACTION_DROP)
        state_remove(state, action_argument(action));
    bool last = kind == ACTION_CRASH && state->used[LIMIT_CRASHES] + 1u >= crashes_max(x);
    c.synced = !x->options.slow_disks && (last || state->used[LIMIT_CRASHES] >= crashes_max(x));
    bool ok = change_act(x, &c);
    for (uint32_t i = 0; ok && last && c.synced && i < x->options.members; i++)
        ok = change_sync(x, &c, i);
    if (!ok || !change_prompt(x, &c) || !holds(x, &c))
        return APPLIED_VIOLATED;
    if (c.cut) {
        x->cut++;
        return APPLIED_CUT;
    }
    if (!c.changed)
        return APPLIED_NOTHING;
    if (action_limits[kind] != LIMITS)
        state->used[action_limits[kind]]++;
    if (c.ledger_changed)
        state->ledger = explore_name_ledger(x, &c.ledger);
    return APPLIED;
}

/* --- What is possible ------------------------------------------------------------------------- */

struct possible {
    const struct explore *x;
    const struct explore_state *state;
    uint32_t *actions;
    uint32_t count;
    uint32_t capacity;
};

static void possible_add(struct possible *p, enum explore_action kind, uint32_t place,
                         uint32_t argument)
{
    uint8_t limit = action_limits[kind];
    if (limit != LIMITS && p->state->used[limit] >= p->x->options.limits[limit])
        return;
    ensure(p->count < p->capacity);
    p->actions[p->count++] = action_of(kind, place, argument);
}

static void possible_at_member(struct possible *p, uint32_t place)
{
    const struct explore *x = p->x;
    const struct explore_component *component =
        explore_component_at(x, p->state->components[place]);
    const uint8_t *used = p->state->used;
    if (component->pending > 0)
        possible_add(p, ACTION_SYNC, place, 0);
    possible_add(p, ACTION_TIMEOUT, place, 0);
    if (x->options.members > 1 && !x->options.heartbeats)
        possible_add(p, ACTION_TIMEOUT_UNHEARD, place, 0);
    if (component->room && used[LIMIT_PROPOSALS] < EXPLORE_VALUES_MAX)
        possible_add(p, ACTION_PROPOSE, place, used[LIMIT_PROPOSALS] + 1u);
    if (used[LIMIT_READS] < EXPLORE_READS_MAX)
        possible_add(p, ACTION_READ, place, used[LIMIT_READS]);
    for (uint32_t kept = 0; kept <= component->pending; kept++)
        possible_add(p, ACTION_CRASH, place, kept);
    if (component->applied > component->snapshot)
        possible_add(p, ACTION_SNAPSHOT, place, 0);
    if (component->leads)
        for (uint32_t to = 0; to < x->options.members; to++)
            if (to != place)
                possible_add(p, ACTION_TRANSFER, place, to);
    if (x->options.members > 1)
        possible_add(p, ACTION_BREAK, place, 0);
    possible_add(p, ACTION_PAUSE, place, 0);
}

uint32_t explore_actions(struct explore *x, const struct explore_state *state,
                         uint32_t *ret_actions, uint32_t capacity)
{
    struct possible p = {.x = x, .state = state, .actions = ret_actions, .capacity = capacity};
    for (uint32_t i = 0; i < state->count; i++) {
        uint32_t to = explore_message_at(x, state->messages[i])->to;
        possible_add(&p, ACTION_DELIVER, to, state->messages[i]);
        possible_add(&p, ACTION_DUPLICATE, to, state->messages[i]);
        possible_add(&p, ACTION_DROP, to, state->messages[i]);
    }
    for (uint32_t place = 0; place < x->options.members; place++)
        possible_at_member(&p, place);
    return p.count;
}

/* --- The beginning ---------------------------------------------------------------------------- */

/* Everything in flight arrives, in order, and every disk keeps up, until nothing happens. */
static bool settle(struct explore *x, struct explore_state *state)
{
    for (;;) {
        uint32_t action = ACTIONS;
        for (uint32_t place = 0; place < x->options.members && action == ACTIONS; place++)
            if (explore_component_at(x, state->components[place])->pending > 0)
                action = action_of(ACTION_SYNC, place, 0);
        if (action == ACTIONS && state->count == 0)
            return true;
        if (action == ACTIONS)
            action = action_of(ACTION_DELIVER, explore_message_at(x, state->messages[0])->to,
                               state->messages[0]);
        if (explore_apply(x, state, action) == APPLIED_VIOLATED)
            return false;
        if (action_kind(action) == ACTION_DELIVER)
            state_remove(state, action_argument(action));
    }
}

static bool elect(struct explore *x, struct explore_state *state)
{
    for (uint32_t i = 0; i < SETTLE_ROUNDS; i++) {
        if (explore_component_at(x, state->components[0])->leads)
            return true;
        if (explore_apply(x, state, action_of(ACTION_TIMEOUT, 0, 0)) == APPLIED_VIOLATED ||
            !settle(x, state))
            return false;
    }
    explore_violate(x, "the first member does not come to lead");
    return false;
}

bool explore_begin(struct explore *x)
{
    struct explore_ledger ledger;
    struct explore_state *state = &x->root;
    memset(&ledger, 0, sizeof ledger);
    memset(state, 0, sizeof *state);
    state->ledger = explore_name_ledger(x, &ledger);
    for (uint32_t place = 0; place < x->options.members; place++) {
        state->components[place] = explore_host_boot(x, place);
        for (uint32_t i = 0; i < x->items_count; i++)
            if (x->items[i] >> 28 == ITEM_SEND && state->count < EXPLORE_MESSAGES_MAX)
                state->messages[state->count++] = x->items[i] & 0xfffffff;
    }
    bool heartbeats = x->options.heartbeats;
    x->options.heartbeats = true; /* in order: none arrives before an earlier one */
    bool ok = settle(x, state) && (!x->options.elected || elect(x, state));
    x->options.heartbeats = heartbeats;
    memset(state->used, 0, sizeof state->used);
    return ok;
}
