/* The network of the simulated cluster, its queue of events, and the oracles that see every
 * message: what was proposed at a ballot, and what a member claimed to have made durable. The one
 * invariant: events come out in the order of their times, and at equal times in the order in which
 * they went in. */
#include "consensus/support_cluster_internal.h"

#include "base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static bool event_before(const struct cluster_event *a, const struct cluster_event *b)
{
    return a->time != b->time ? a->time < b->time : a->sequence < b->sequence;
}

void cluster_event_push(struct cluster *c, struct cluster_event *event)
{
    if (c->events_count == c->events_capacity) {
        c->events_capacity = c->events_capacity * 2 + 64;
        c->events = realloc(c->events, c->events_capacity * sizeof *c->events);
    }
    uint32_t at = c->events_count++;
    while (at > 0 && event_before(event, c->events[(at - 1) / 2])) {
        c->events[at] = c->events[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    c->events[at] = event;
}

struct cluster_event *cluster_event_pop(struct cluster *c)
{
    struct cluster_event *top = c->events[0];
    struct cluster_event *last = c->events[--c->events_count];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = at * 2 + 1;
        if (child >= c->events_count)
            break;
        if (child + 1 < c->events_count && event_before(c->events[child + 1], c->events[child]))
            child++;
        if (!event_before(c->events[child], last))
            break;
        c->events[at] = c->events[child];
        at = child;
    }
    if (c->events_count > 0)
        c->events[at] = last;
    return top;
}

struct cluster_event *cluster_event_new(struct cluster *c, enum event_kind kind, uint32_t place,
                                        uint64_t time)
{
    struct cluster_event *event = calloc(1, sizeof *event);
    event->kind = kind;
    event->place = place;
    event->boot = c->members[place].boot;
    event->time = time;
    event->sequence = c->sequence++;
    return event;
}

void cluster_event_free(struct cluster_event *event)
{
    blob_drop(event->entry);
    free(event);
}

/* The network. */

uint32_t cluster_place(const struct cluster *c, uint16_t node)
{
    int place = configuration_place(&c->configuration, node);
    assert_true(place >= 0);
    return (uint32_t)place;
}

uint64_t cluster_network_delay(struct cluster *c)
{
    return cluster_random(c, c->options.delay_min_ns, c->options.delay_max_ns);
}

static void network_transmit(struct cluster *c, uint32_t from, uint32_t to, const uint8_t *head,
                             uint8_t head_size, struct blob *entry)
{
    if (c->cut[from][to] || cluster_chance(c, c->options.loss) || !c->members[to].alive)
        return;
    uint64_t time = c->now + cluster_network_delay(c);
    if (c->options.fifo) {
        if (time <= c->arrived[from][to])
            time = c->arrived[from][to] + 1;
        c->arrived[from][to] = time;
    }
    struct cluster_event *event = cluster_event_new(c, EVENT_MESSAGE, to, time);
    event->from = c->members[from].node;
    event->head_size = head_size;
    memcpy(event->head, head, head_size);
    event->entry = blob_keep(entry);
    if (!c->options.fifo)
        event->boot = 0; /* a datagram finds whoever lives there now */
    cluster_event_push(c, event);
}

uint64_t cluster_value_of(const struct blob *entry)
{
    return entry == NULL ? 0 : load_u64(entry->data);
}

/* M2: in one ballot, one value a slot; even over restarts of the proposer. */
static void oracle_proposed(struct cluster *c, const struct multipaxos_message *message,
                            const struct blob *entry)
{
    uint64_t key = hash_fold(hash_fold(message->slot, message->ballot.round), message->ballot.node);
    for (uint32_t i = 0; i < CLUSTER_PROPOSED; i++) {
        uint32_t at = (uint32_t)(key + i) % CLUSTER_PROPOSED;
        if (c->proposed[at].slot == 0) {
            c->proposed[at].slot = message->slot;
            c->proposed[at].ballot = message->ballot;
            c->proposed[at].value = cluster_value_of(entry);
            return;
        }
        if (c->proposed[at].slot == message->slot &&
            ballot_compare(c->proposed[at].ballot, message->ballot) == 0) {
            if (c->proposed[at].value != cluster_value_of(entry))
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
    struct cluster_member *m = &c->members[from];
    if (message->kind == MESSAGE_PROMISE || message->kind == MESSAGE_PREPARE)
        raise_ballot(&m->promise_sent, message->ballot);
    if (message->kind == MESSAGE_ACCEPTED && message->slot < CLUSTER_SLOTS)
        raise_ballot(&m->accepted_sent[message->slot], message->ballot);
}

void cluster_oracle_remembered(const struct cluster *c, uint32_t place)
{
    const struct cluster_member *m = &c->members[place];
    const struct multipaxos *p = m->engine;
    if (!multipaxos_sound(p))
        return; /* it knows that it forgot */
    if (ballot_compare(p->promised, m->promise_sent) < 0)
        cluster_fail(c, "member %u forgot a promise", place + 1);
    for (uint64_t slot = p->chosen_upto + 1; slot < CLUSTER_SLOTS; slot++) {
        const struct multipaxos_cell *cell = multipaxos_window_find(p, slot);
        if (ballot_is_zero(m->accepted_sent[slot]) || (cell != NULL && cell->chosen))
            continue;
        if (cell != NULL && cell->accepted && c->chosen[slot] == cluster_value_of(cell->entry) + 1)
            continue; /* what is delivered is acknowledged in any ballot without a new record */
        if (cell == NULL || ballot_compare(cell->vbal, m->accepted_sent[slot]) < 0)
            cluster_fail(c, "member %u forgot what it accepted at slot %llu", place + 1,
                         (unsigned long long)slot);
    }
}

void cluster_network_send(struct cluster *c, uint32_t from, uint16_t node, const uint8_t *head,
                          uint8_t head_size, struct blob *entry)
{
    uint32_t to = cluster_place(c, node);
    struct multipaxos_message message;
    if (!multipaxos_message_decode(bytes_of(head, head_size), 1, &message))
        cluster_fail(c, "an engine sent a malformed message");
    if (message.kind == MESSAGE_ACCEPT)
        oracle_proposed(c, &message, entry);
    oracle_claimed(c, from, &message);
    if (c->trace && message.kind != MESSAGE_HEARTBEAT)
        printf("%10.3f  %u -> %u  kind %u flags %x ballot %llu.%u upto %llu from %llu slot %llu\n",
               (double)c->now / 1e6, from + 1, to + 1, message.kind, message.flags,
               (unsigned long long)message.ballot.round, message.ballot.node,
               (unsigned long long)message.chosen_upto, (unsigned long long)message.from,
               (unsigned long long)message.slot);
    if (c->filter != NULL && !c->filter(c, c->members[from].node, node, &message))
        return;
    network_transmit(c, from, to, head, head_size, entry);
    if (cluster_chance(c, c->options.duplicate))
        network_transmit(c, from, to, head, head_size, entry);
}
