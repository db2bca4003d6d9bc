/* Links between members. Each direction has a connection of its own, as in production: it is made
 * by dialling, breaks when a process dies or nothing arrives for long, and takes what is on its way
 * with it. On top of that it loses, doubles, delays and reorders, more than TCP ever would.
 *
 * The one invariant: a message is delivered whole or not at all, with the bytes that were sent. */
#include "sim/internal.h"

#include "base/hash.h"

#include <string.h>

#define PACKETS_FLYING_MAX 20000u
#define SILENCE_NS (5 * SECONDS) /* after which a system gives a connection up */
#define DIAL_NS (50 * MS)

struct packet {
    uint32_t from;
    uint32_t to;
    uint64_t life_from;
    uint64_t life_to;
    bool late; /* outlives its connection */
    bool has_entry;
    size_t head_size;
    size_t entry_size;
    uint8_t bytes[];
};

static size_t packet_size(const struct packet *packet)
{
    return sizeof *packet + packet->head_size + packet->entry_size;
}

void network_drop(struct sim *sim, void *at)
{
    struct packet *packet = at;
    sim->packets_flying--;
    mem_free(&sim->pool.mem, packet, packet_size(packet));
}

static struct prng *prng_of(struct sim *sim)
{
    return &sim->streams[STREAM_NETWORK];
}

/* A link between two members that are both to make progress has no faults any more. */
static bool faulty(const struct sim *sim, uint32_t from, uint32_t to)
{
    return !sim->members[from].healed || !sim->members[to].healed;
}

/* --- Connections ----------------------------------------------------------------------------- */

static void tell(struct sim *sim, uint32_t place, uint32_t peer, bool up)
{
    struct sim_member *m = &sim->members[place];
    if (!sim->options.hints || m->paused || m->replica == NULL || m->state == MEMBER_DRAINING)
        return;
    sim_trace(sim, place, up ? "link up" : "link down", peer + 1, 0);
    sim->running = m;
    m->world_events.on_peer(m->world_events.owner, (uint16_t)(peer + 1), up);
    sim->running = NULL;
    member_want_turn(m);
    member_settle(m);
}

static void link_plan(struct sim *sim, uint32_t from, uint32_t to, uint64_t after)
{
    struct link *link = &sim->links[from][to];
    if (link->due != 0)
        return;
    link->due = sim->now + after;
    struct sim_event event = {.kind = EVENT_LINK, .place = from, .argument = to};
    event_push(sim, link->due, &event);
}

static bool process_there(const struct sim_member *m)
{
    return m->replica != NULL && m->state != MEMBER_DRAINING;
}

static bool link_sound(const struct sim *sim, uint32_t from, uint32_t to)
{
    const struct link *link = &sim->links[from][to];
    return process_there(&sim->members[to]) && sim->members[to].life == link->lives[1] &&
           !link->cut;
}

static void link_break(struct sim *sim, uint32_t from, uint32_t to)
{
    sim->links[from][to].up = false;
    link_plan(sim, from, to, DIAL_NS);
    tell(sim, from, to, false);
}

void network_link_due(struct sim *sim, uint32_t from, uint32_t to)
{
    struct link *link = &sim->links[from][to];
    const struct sim_member *m = &sim->members[from];
    const struct sim_member *peer = &sim->members[to];
    if (link->due != sim->now)
        return;
    link->due = 0;
    if (!process_there(m))
        return; /* its next life dials anew */
    if (link->up) {
        if (!link_sound(sim, from, to))
            link_break(sim, from, to);
        return;
    }
    if (m->paused || peer->paused || !process_there(peer) || link->cut ||
        sim->links[to][from].cut) {
        link_plan(sim, from, to, DIAL_NS / 2 + prng_below(prng_of(sim), 4 * DIAL_NS));
        return;
    }
    link->up = true;
    link->lives[0] = m->life;
    link->lives[1] = peer->life;
    link->arrival = sim->now;
    tell(sim, from, to, true);
}

void network_member_up(struct sim *sim, uint32_t place)
{
    for (uint32_t peer = 0; peer < sim->options.members; peer++) {
        if (peer == place)
            continue;
        struct link *link = &sim->links[place][peer];
        link->up = false;
        link->due = 0;
        link_plan(sim, place, peer, 1 + draw_exponential(prng_of(sim), sim->options.delay_ns));
    }
}

/* A process that is killed takes its connections with it, and its system says so. A host without
 * power says nothing. */
void network_member_died(struct sim *sim, uint32_t place, enum death how)
{
    for (uint32_t peer = 0; peer < sim->options.members; peer++) {
        struct link *link = &sim->links[peer][place];
        sim->links[place][peer].up = false;
        if (peer == place || !link->up)
            continue;
        link->due = 0;
        bool silent = how == DEATH_POWER || sim->links[place][peer].cut;
        link_plan(sim, peer, place,
                  silent ? SILENCE_NS : 1 + draw_exponential(prng_of(sim), sim->options.delay_ns));
    }
}

void network_cut(struct sim *sim, uint32_t from, uint32_t to, bool cut)
{
    struct link *link = &sim->links[from][to];
    if (link->cut == cut)
        return;
    link->cut = cut;
    sim_trace(sim, from, cut ? "cut" : "mended", to + 1, 0);
    if (cut && link->up)
        link_plan(sim, from, to, SILENCE_NS);
}

void network_clog(struct sim *sim, uint32_t from, uint32_t to, uint64_t until)
{
    struct link *link = &sim->links[from][to];
    sim_trace(sim, from, "clog", to + 1, until);
    link->clog_until = until;
}

/* --- Messages -------------------------------------------------------------------------------- */

static struct packet *packet_new(struct sim *sim, uint32_t from, uint32_t to, struct bytes head,
                                 struct blob *entry)
{
    struct bytes body = blob_bytes(entry);
    struct packet *packet = mem_alloc(&sim->pool.mem, sizeof *packet + head.size + body.size);
    *packet = (struct packet){.from = from,
                              .to = to,
                              .life_from = sim->members[from].life,
                              .life_to = sim->members[to].life,
                              .has_entry = entry != NULL,
                              .head_size = head.size,
                              .entry_size = body.size};
    if (head.size > 0)
        memcpy(packet->bytes, head.data, head.size);
    if (body.size > 0)
        memcpy(packet->bytes + head.size, body.data, body.size);
    sim->packets_flying++;
    return packet;
}

static void launch(struct sim *sim, struct packet *packet, bool ordered)
{
    struct link *link = &sim->links[packet->from][packet->to];
    uint64_t at = sim->now + draw_exponential(prng_of(sim), sim->options.delay_ns);
    if (!ordered)
        at += draw_exponential(prng_of(sim), 4 * sim->options.delay_ns);
    if (at < link->clog_until)
        at = link->clog_until;
    if (ordered && at <= link->arrival)
        at = link->arrival + 1;
    if (ordered)
        link->arrival = at;
    struct sim_event event = {.kind = EVENT_PACKET, .place = packet->to, .at = packet};
    event_push(sim, at, &event);
}

void network_send(struct sim *sim, uint32_t from, uint32_t to, struct bytes head,
                  struct blob *entry)
{
    const struct sim_options *o = &sim->options;
    struct link *link = &sim->links[from][to];
    trace_message(sim, TRACE_SEND, from, to, head, blob_bytes(entry).size);
    if (!link->up || link->cut || sim->packets_flying > PACKETS_FLYING_MAX)
        return;
    if (!link_sound(sim, from, to)) {
        /* The other side is another process now, and says so. */
        if (process_there(&sim->members[to]))
            link_plan(sim, from, to, 1 + draw_exponential(prng_of(sim), o->delay_ns));
        return;
    }
    bool fails = faulty(sim, from, to);
    if (fails && draw_chance(prng_of(sim), o->loss)) {
        sim->result->faults++;
        return;
    }
    struct packet *packet = packet_new(sim, from, to, head, entry);
    bool reorder = fails && draw_chance(prng_of(sim), o->reorder);
    bool twice = fails && draw_chance(prng_of(sim), o->duplicate);
    packet->late = fails && draw_chance(prng_of(sim), o->late);
    sim->result->faults += (uint64_t)reorder + (uint64_t)twice + (uint64_t)packet->late;
    if (twice) {
        struct packet *second = packet_new(sim, from, to, head, entry);
        second->late = packet->late;
        launch(sim, second, false);
    }
    launch(sim, packet, !reorder && !packet->late);
}

void network_deliver(struct sim *sim, void *at)
{
    struct packet *packet = at;
    struct sim_member *m = &sim->members[packet->to];
    bool alive = process_there(m) && !sim->links[packet->from][packet->to].cut;
    if (!packet->late &&
        (m->life != packet->life_to || sim->members[packet->from].life != packet->life_from))
        alive = false;
    if (!alive) {
        network_drop(sim, packet);
        return;
    }
    struct bytes head = bytes_of(packet->bytes, packet->head_size);
    trace_message(sim, TRACE_ARRIVE, packet->to, packet->from, head, packet->entry_size);
    struct blob *entry = NULL;
    if (packet->has_entry)
        entry = blob_copy(&m->pool.mem,
                          bytes_of(packet->bytes + packet->head_size, packet->entry_size));
    sim->running = m;
    m->world_events.on_message(m->world_events.owner, (uint16_t)(packet->from + 1), head, entry);
    sim->running = NULL;
    blob_drop(entry);
    network_drop(sim, packet);
    member_want_turn(m);
    member_settle(m);
}
