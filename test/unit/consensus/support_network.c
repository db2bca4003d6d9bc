/* The network of the simulated cluster and its queue of events. The one invariant: events come out
 * in the order of their times, and at equal times in the order in which they went in. */
#include "consensus/support_cluster_internal.h"

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

const struct cluster_protocol *cluster_protocol_of(const struct cluster *c)
{
    return c->options.ops == &engine_raft ? &cluster_raft : &cluster_multipaxos;
}

static void network_trace(const struct cluster *c, uint32_t from, uint32_t to, struct bytes head)
{
    char line[256];
    struct text text = text_of(line, sizeof line);
    if (!c->trace || cluster_protocol_of(c)->is_heartbeat(head))
        return;
    c->options.ops->describe(head, &text);
    printf("%10.3f  %u -> %u  %s\n", (double)c->now / 1e6, from + 1, to + 1, line);
}

void cluster_network_send(struct cluster *c, uint32_t from, uint16_t node, const uint8_t *head,
                          uint8_t head_size, struct blob *entry)
{
    uint32_t to = cluster_place(c, node);
    struct bytes bytes = bytes_of(head, head_size);
    cluster_protocol_of(c)->sent(c, from, node, bytes, entry);
    network_trace(c, from, to, bytes);
    if (c->filter != NULL && !c->filter(c, c->members[from].node, node, bytes))
        return;
    network_transmit(c, from, to, head, head_size, entry);
    if (cluster_chance(c, c->options.duplicate))
        network_transmit(c, from, to, head, head_size, entry);
}
