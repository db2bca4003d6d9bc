/* The follower: its log becomes that of its leader.
 *
 * The one invariant: what it acknowledges up to a slot is durable here and equal, up to that slot,
 * to the log of the leader of that term. A log is cut only at the first entry that truly differs:
 * an append that was delayed must not cut what newer ones brought. */
#include "consensus/raft.h"

#include "base/panic.h"
#include "base/planted.h"

void raft_append(struct raft *p, uint64_t term, struct blob *entry, struct effects *fx)
{
    uint8_t buffer[RAFT_HEAD_MAX];
    struct raft_record record = {.term = term, .chosen_upto = p->chosen_upto};
    struct bytes head = raft_record_encode(&record, buffer);
    struct raft_cell *cell = raft_log_append(p, term, entry);
    cell->lsn = effects_persist(fx, RECORD_ENTRY, cell->slot, head, entry);
}

void raft_learn_upto(struct raft *p, uint64_t upto)
{
    if (upto > p->known_upto)
        p->known_upto = upto;
    uint64_t safe = planted(RAFT_COMMIT_UNVERIFIED) ? p->last : p->verified;
    uint64_t commit = p->known_upto < safe ? p->known_upto : safe;
    if (commit > p->commit || planted(RAFT_COMMIT_REGRESSES))
        p->commit = commit;
}

static void follower_verify(struct raft *p, uint64_t slot)
{
    if (slot > p->verified)
        p->verified = slot;
    raft_learn_upto(p, p->known_upto);
}

/* What is verified was written before, so the gate covers it. */
static void follower_acknowledge(struct raft *p, uint16_t to, struct effects *fx)
{
    struct raft_message message = raft_compose(p, RAFT_APPENDED);
    message.slot = planted(RAFT_ACK_UNVERIFIED) ? p->last : p->verified;
    if (planted(RAFT_APPEND_NOT_DURABLE))
        raft_send(p, fx, to, &message, NULL);
    else
        raft_send_durable(p, fx, to, &message);
}

/* Slots below the base are chosen: a leader cannot have anything else there. */
static bool follower_holds(const struct raft *p, uint64_t slot, uint64_t term)
{
    if (planted(RAFT_NO_PREV_CHECK))
        return slot <= p->last;
    return slot < p->base || (slot <= p->last && raft_log_term(p, slot) == term);
}

/* Says where the two logs may meet: in front of the whole run of the term that is wrong here. */
static void follower_reject(struct raft *p, uint16_t to, uint64_t slot, struct effects *fx)
{
    struct raft_message message = raft_compose(p, RAFT_REJECT);
    message.slot = slot;
    message.first = p->last + 1;
    if (slot <= p->last) {
        message.log_term = raft_log_term(p, slot);
        message.first = slot;
        while (message.first > p->chosen_upto + 1 &&
               raft_log_term(p, message.first - 1) == message.log_term)
            message.first--;
    }
    raft_send(p, fx, to, &message, NULL);
}

/* Nobody correct says this: an entry that is settled here is another one there. */
static bool follower_refuses(struct raft *p, uint64_t slot)
{
    bool settled = slot <= p->commit || slot <= p->verified;
    if (settled)
        p->dropped++;
    return settled;
}

/* Do the logs agree up to `slot`? If not, the leader hears why. */
static bool follower_match(struct raft *p, uint16_t from, uint64_t slot, uint64_t term,
                           struct effects *fx)
{
    if (follower_holds(p, slot, term))
        return true;
    if (slot > p->last || !follower_refuses(p, slot))
        follower_reject(p, from, slot, fx);
    return false;
}

void raft_on_probe(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                   bool answer, struct effects *fx)
{
    if (!raft_follow(p, peer->node, message->term, fx))
        return;
    raft_learn_upto(p, message->chosen_upto);
    if (!raft_sound(p) || !follower_match(p, peer->node, message->slot, message->prev_term, fx))
        return;
    follower_verify(p, message->slot > p->chosen_upto ? message->slot : p->chosen_upto);
    if (answer)
        follower_acknowledge(p, peer->node, fx);
}

/* The entry is the next one, or one that differs. False if it cannot be taken now, or never. */
static bool follower_take(struct raft *p, const struct raft_message *message, struct blob *entry,
                          struct effects *fx)
{
    if (message->slot <= p->last) {
        if (follower_refuses(p, message->slot))
            return false;
        raft_log_truncate(p, message->slot);
    }
    if (!raft_log_reach(p))
        return false; /* it comes again */
    raft_append(p, message->log_term, entry, fx);
    return true;
}

void raft_on_append(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                    struct blob *entry, struct effects *fx)
{
    if (!raft_follow(p, peer->node, message->term, fx))
        return;
    raft_learn_upto(p, message->chosen_upto);
    if (!raft_sound(p) || !follower_match(p, peer->node, message->slot - 1, message->prev_term, fx))
        return;
    bool here = follower_holds(p, message->slot, message->log_term);
    if (planted(RAFT_TRUNCATE_ALWAYS) && here && message->slot > p->commit &&
        message->slot < p->last)
        raft_log_truncate(p, message->slot + 1);
    if (!here && !follower_take(p, message, entry, fx))
        return;
    follower_verify(p, message->slot > p->chosen_upto ? message->slot : p->chosen_upto);
    follower_acknowledge(p, peer->node, fx);
}

void raft_on_behind(struct raft *p, struct raft_peer *peer, const struct raft_message *message,
                    struct effects *fx)
{
    if (!raft_follow(p, peer->node, message->term, fx))
        return;
    raft_learn_upto(p, message->chosen_upto);
    p->behind_upto = message->slot;
}
