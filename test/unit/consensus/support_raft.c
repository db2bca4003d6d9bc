/* What the messages of Raft tell: one leader a term, one vote a member and term, one entry (and one
 * predecessor) a slot and term, and everything that was told about votes and logs is found after
 * any crash. */
#include "consensus/support_cluster_internal.h"

#include "base/hash.h"
#include "consensus/raft.h"

#define TERMS 4096
#define ENTRIES 32768

struct oracle {
    uint16_t leaders[TERMS];
    uint16_t votes[CLUSTER_MAX][TERMS];
    struct {
        uint64_t slot; /* 0: free */
        uint64_t term;
        uint64_t prev_term;
        uint64_t value;
    } entries[ENTRIES];
    struct {
        uint64_t term; /* the highest in a vote, a question for one, or an acknowledgement */
        uint16_t vote; /* told in that term */
        uint64_t acked_term;
        uint64_t acked; /* the highest slot acknowledged in that term */
    } members[CLUSTER_MAX];
};

static bool is_leaders(const struct raft_message *message)
{
    switch (message->kind) {
    case RAFT_APPEND:
    case RAFT_PROBE:
    case RAFT_BEHIND:
    case RAFT_COMMIT:
    case RAFT_READ_ROUND:
    case RAFT_TRANSFER_NOW:
        return true;
    case RAFT_BEAT:
        return (message->flags & RAFT_FLAG_LEADING) != 0;
    default:
        return false;
    }
}

static void oracle_leads(struct cluster *c, uint32_t from, const struct raft_message *message)
{
    struct oracle *o = c->oracle;
    uint16_t node = c->members[from].node;
    if (message->term >= TERMS)
        cluster_fail(c, "the table of terms is full");
    uint16_t *leader = &o->leaders[message->term];
    if (*leader != NODE_NONE && *leader != node)
        cluster_fail(c, "two leaders in term %llu", (unsigned long long)message->term);
    *leader = node;
}

/* Log matching: slot and term name an entry and all that comes before it. */
static void oracle_entry(struct cluster *c, const struct raft_message *message,
                         const struct blob *entry)
{
    struct oracle *o = c->oracle;
    uint64_t value = cluster_value_of(entry);
    uint64_t key = hash_fold(message->slot, message->log_term);
    for (uint32_t i = 0; i < ENTRIES; i++) {
        uint32_t at = (uint32_t)((key + i) % ENTRIES);
        if (o->entries[at].slot == 0) {
            o->entries[at].slot = message->slot;
            o->entries[at].term = message->log_term;
            o->entries[at].prev_term = message->prev_term;
            o->entries[at].value = value;
            return;
        }
        if (o->entries[at].slot != message->slot || o->entries[at].term != message->log_term)
            continue;
        if (o->entries[at].value != value || o->entries[at].prev_term != message->prev_term)
            cluster_fail(c, "two entries in slot %llu and one term",
                         (unsigned long long)message->slot);
        return;
    }
    cluster_fail(c, "the table of entries is full");
}

static void oracle_vote(struct cluster *c, uint32_t from, uint64_t term, uint16_t node)
{
    struct oracle *o = c->oracle;
    uint16_t *vote = &o->votes[from][term < TERMS ? term : 0];
    if (*vote != NODE_NONE && *vote != node)
        cluster_fail(c, "member %u voted twice in term %llu", from + 1, (unsigned long long)term);
    *vote = node;
    if (term >= o->members[from].term) {
        o->members[from].term = term;
        o->members[from].vote = node;
    }
}

static void oracle_acked(struct cluster *c, uint32_t from, const struct raft_message *message)
{
    struct oracle *o = c->oracle;
    if (message->term > o->members[from].term) {
        o->members[from].term = message->term;
        o->members[from].vote = NODE_NONE;
    }
    if (message->term > o->members[from].acked_term) {
        o->members[from].acked_term = message->term;
        o->members[from].acked = 0;
    }
    if (message->term == o->members[from].acked_term && message->slot > o->members[from].acked)
        o->members[from].acked = message->slot;
}

static void oracle_sent(struct cluster *c, uint32_t from, uint16_t to, struct bytes head,
                        const struct blob *entry)
{
    struct raft_message message;
    if (!raft_message_decode(head, 1, &message))
        cluster_fail(c, "an engine sent a malformed message");
    if (is_leaders(&message))
        oracle_leads(c, from, &message);
    if (message.kind == RAFT_APPEND)
        oracle_entry(c, &message, entry);
    if (message.kind == RAFT_VOTE)
        oracle_vote(c, from, message.term, c->members[from].node);
    if (message.kind == RAFT_VOTE_REPLY && (message.flags & RAFT_FLAG_GRANTED))
        oracle_vote(c, from, message.term, to);
    if (message.kind == RAFT_APPENDED)
        oracle_acked(c, from, &message);
}

static void oracle_remembered(const struct cluster *c, uint32_t place)
{
    const struct oracle *o = c->oracle;
    const struct raft *p = c->members[place].engine;
    if (!raft_sound(p))
        return; /* it knows that it forgot */
    if (p->term < o->members[place].term)
        cluster_fail(c, "member %u forgot a term", place + 1);
    if (p->term == o->members[place].term && o->members[place].vote != NODE_NONE &&
        p->vote != o->members[place].vote)
        cluster_fail(c, "member %u forgot a vote", place + 1);
    if (p->term == o->members[place].acked_term && p->last < o->members[place].acked)
        cluster_fail(c, "member %u forgot what it acknowledged up to slot %llu", place + 1,
                     (unsigned long long)o->members[place].acked);
}

static bool oracle_is_heartbeat(struct bytes head)
{
    return head.size > 0 && head.data[0] == RAFT_BEAT;
}

const struct cluster_protocol cluster_raft = {
    .ops = &engine_raft,
    .oracle_size = sizeof(struct oracle),
    .sent = oracle_sent,
    .remembered = oracle_remembered,
    .is_heartbeat = oracle_is_heartbeat,
};
