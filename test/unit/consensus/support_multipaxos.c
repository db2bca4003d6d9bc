/* What the messages of Multi-Paxos tell: in one ballot one value a slot, and everything that was
 * promised or accepted towards others is found after any crash. */
#include "consensus/support_cluster_internal.h"

#include "base/hash.h"
#include "consensus/multipaxos.h"

#define PROPOSED 16384

struct oracle {
    struct {
        uint64_t slot;
        struct ballot ballot;
        uint64_t value;
    } proposed[PROPOSED];
    struct {
        struct ballot promise_sent;                 /* the highest in a PROMISE or PREPARE */
        struct ballot accepted_sent[CLUSTER_SLOTS]; /* by slot, the highest in an ACCEPTED */
    } members[CLUSTER_MAX];
};

/* M2: in one ballot, one value a slot; even over restarts of the proposer. */
static void oracle_proposed(struct cluster *c, const struct multipaxos_message *message,
                            const struct blob *entry)
{
    struct oracle *o = c->oracle;
    uint64_t key = hash_fold(hash_fold(message->slot, message->ballot.round), message->ballot.node);
    for (uint32_t i = 0; i < PROPOSED; i++) {
        uint32_t at = (uint32_t)(key + i) % PROPOSED;
        if (o->proposed[at].slot == 0) {
            o->proposed[at].slot = message->slot;
            o->proposed[at].ballot = message->ballot;
            o->proposed[at].value = cluster_value_of(entry);
            return;
        }
        if (o->proposed[at].slot == message->slot &&
            ballot_compare(o->proposed[at].ballot, message->ballot) == 0) {
            if (o->proposed[at].value != cluster_value_of(entry))
                cluster_fail(c, "two values in slot %llu and one ballot",
                             (unsigned long long)message->slot);
            return;
        }
    }
    cluster_fail(c, "the table of proposals is full");
}

static void raise_ballot(struct ballot *at, struct ballot to)
{
    if (ballot_compare(to, *at) > 0)
        *at = to;
}

/* M4, M8: what was promised or accepted towards others must be found after any crash. */
static void oracle_claimed(struct cluster *c, uint32_t from,
                           const struct multipaxos_message *message)
{
    struct oracle *o = c->oracle;
    if (message->kind == MESSAGE_PROMISE || message->kind == MESSAGE_PREPARE)
        raise_ballot(&o->members[from].promise_sent, message->ballot);
    if (message->kind == MESSAGE_ACCEPTED && message->slot < CLUSTER_SLOTS)
        raise_ballot(&o->members[from].accepted_sent[message->slot], message->ballot);
}

static void oracle_remembered(const struct cluster *c, uint32_t place)
{
    const struct oracle *o = c->oracle;
    const struct cluster_member *m = &c->members[place];
    const struct multipaxos *p = m->engine;
    const struct ballot *accepted_sent = o->members[place].accepted_sent;
    if (!multipaxos_sound(p))
        return; /* it knows that it forgot */
    if (ballot_compare(p->promised, o->members[place].promise_sent) < 0)
        cluster_fail(c, "member %u forgot a promise", place + 1);
    for (uint64_t slot = p->chosen_upto + 1; slot < CLUSTER_SLOTS; slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        if (ballot_is_zero(accepted_sent[slot]) || (cell != NULL && cell->chosen))
            continue;
        if (cell != NULL && cell->accepted && c->chosen[slot] == cluster_value_of(cell->entry) + 1)
            continue; /* what is delivered is acknowledged in any ballot without a new record */
        if (cell == NULL || ballot_compare(cell->vbal, accepted_sent[slot]) < 0)
            cluster_fail(c, "member %u forgot what it accepted at slot %llu", place + 1,
                         (unsigned long long)slot);
    }
}

static void oracle_sent(struct cluster *c, uint32_t from, uint16_t to, struct bytes head,
                        const struct blob *entry)
{
    (void)to;
    struct multipaxos_message message;
    if (!multipaxos_message_decode(head, 1, &message))
        cluster_fail(c, "an engine sent a malformed message");
    if (message.kind == MESSAGE_ACCEPT)
        oracle_proposed(c, &message, entry);
    oracle_claimed(c, from, &message);
}

static bool oracle_is_heartbeat(struct bytes head)
{
    return head.size > 0 && head.data[0] == MESSAGE_HEARTBEAT;
}

const struct cluster_protocol cluster_multipaxos = {
    .ops = &engine_multipaxos,
    .oracle_size = sizeof(struct oracle),
    .sent = oracle_sent,
    .remembered = oracle_remembered,
    .is_heartbeat = oracle_is_heartbeat,
};
