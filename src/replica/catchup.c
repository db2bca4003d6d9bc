/* Catching up. A member that misses chosen slots pulls them from one that has them: entries out of
 * its log, or, where the log begins later, its newest snapshot in chunks. Pulling makes it
 * resumable, paces it by the receiver, and works from any member in any role.
 *
 * The one invariant: entries are handed out only of slots that the serving member has applied out
 * of its log, and only when all that it had written by then is durable; so what arrives is chosen,
 * whatever the algorithm. Below a snapshot that it was given, its log may hold values that were
 * accepted and never chosen; and while the record of the chosen value is on its way to the disk, an
 * older one of its slot may still be what is found there. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"
#include "store/watch.h"

#include <string.h>

#define FETCH_TIMEOUT_NS SECOND
#define SERVE_ENTRIES_MAX 256
#define SERVE_BYTES_MAX (1024u * 1024)
#define CHUNK_SIZE (512u * 1024)
#define UNWRITTEN_MAX (2 * CHUNK_SIZE) /* may wait for the disk before the next is asked for */
#define RETRY_NS SECOND

void catchup_init(struct replica *r)
{
    r->catchup.id_next = 1;
    for (uint32_t i = 0; i < r->configuration.count; i++) {
        r->catchup.serves[i].replica = r;
        r->catchup.serves[i].node = r->configuration.members[i].node;
    }
}

/* --- Fetching -------------------------------------------------------------------------------- */

static void fetch_end(struct replica *r)
{
    struct fetch *f = &r->catchup.fetch;
    if (f->receiver != NULL)
        snapshot_receive_cancel(f->receiver);
    *f = (struct fetch){0};
}

static void fetch_ask(struct replica *r)
{
    struct fetch *f = &r->catchup.fetch;
    f->deadline = replica_clock(r) + FETCH_TIMEOUT_NS;
    if (planted(REPLICA_FETCH_FOR_EVER))
        f->deadline = TIME_NEVER;
    struct message ask = {.kind = MESSAGE_FETCH, .id = f->id, .slot = f->slot};
    replica_send(r, f->from, &ask, NULL);
}

/* Engines take one peer after the other, but what they say while a fetch is active is not heard:
 * always the same few could be named when it is over. So those that did not answer are passed over
 * until another one is named, or nobody else for a whole round. */
static bool skip_source(struct replica *r, uint16_t from)
{
    struct catchup *c = &r->catchup;
    bool in_vain = !planted(REPLICA_SOURCES_IN_STEP) &&
                   c->in_vain & configuration_bit(&r->configuration, from);
    if (in_vain && ++c->skipped < r->configuration.count)
        return true;
    if (in_vain)
        c->in_vain = 0;
    c->skipped = 0;
    return false;
}

void catchup_start(struct replica *r, uint16_t from, uint64_t slot)
{
    struct fetch *f = &r->catchup.fetch;
    if (f->active || replica_clock(r) < r->catchup.retry_ns)
        return;
    if (skip_source(r, from))
        return;
    *f = (struct fetch){.active = true, .from = from, .id = r->catchup.id_next++, .slot = slot};
    fetch_ask(r);
}

static void fetch_on_log(struct replica *r, const struct message *m, struct blob *entry)
{
    struct fetch *f = &r->catchup.fetch;
    if (m->slot != f->slot || f->receiver != NULL)
        return;
    r->catchup.in_vain = 0;
    f->slot++;
    f->deadline = replica_clock(r) + FETCH_TIMEOUT_NS;
    if (m->slot == machine_slot(r->machine) + 1)
        replica_step(r,
                     (struct input){
                         .kind = INPUT_CHOSEN, .slot = m->slot, .head = m->inner, .entry = entry});
}

static void fetch_on_end(struct replica *r, const struct message *m)
{
    struct fetch *f = &r->catchup.fetch;
    if (f->receiver != NULL)
        return; /* a second answer */
    if (!m->more || f->slot != machine_slot(r->machine) + 1)
        fetch_end(r); /* the engine asks again if there is something missing still */
    else
        fetch_ask(r);
}

static void chunk_ask(struct replica *r)
{
    struct fetch *f = &r->catchup.fetch;
    f->deadline = replica_clock(r) + FETCH_TIMEOUT_NS;
    struct message ask = {.kind = MESSAGE_SNAPSHOT_READ,
                          .id = f->id,
                          .slot = f->snapshot_slot,
                          .offset = snapshot_receive_offset(f->receiver)};
    replica_send(r, f->from, &ask, NULL);
}

static void fetch_on_snapshot(struct replica *r, const struct message *m)
{
    struct fetch *f = &r->catchup.fetch;
    r->snapshots.hurry = true; /* one at a time: its own has to end first */
    if (f->receiver != NULL || m->slot <= machine_slot(r->machine) || r->snapshots.slot_begun != 0)
        return;
    f->snapshot_slot = m->slot;
    f->snapshot_size = m->size;
    f->receiver = snapshot_receive(&r->snapshot_config, m->slot, m->size);
    replica_log(r, LOG_INFO, "receiving a snapshot: the log of the others begins later", "");
    chunk_ask(r);
}

/* The received snapshot becomes the state: a new machine takes the place of the old one. */
static void install(struct replica *r, const struct snapshot_info *info, struct machine *machine)
{
    store_adopt_watchers(machine_store(machine), machine_store(r->machine));
    machine_free(r->machine);
    r->machine = machine;
    r->mark = info->mark;
    r->catchup.log_from = info->slot + 1;
    keeper_adopt(r, machine);
    replica_show_installed(r);
    replica_listen(r);
    snapshots_published(r, info);
    r->snapshots.bytes_since = 0;
    snapshots_restate(r);
    propose_skip(r,
                 machine_session(r->machine, r->config.identity->self, r->proposals.incarnation));
    reads_on_applied(r);
    replica_log(r, LOG_INFO, "installed a snapshot", "");
}

static enum status load_piece(void *owner, struct bytes piece)
{
    struct replica *r = owner;
    return machine_load_piece(r->catchup.fetch.loader, piece);
}

static void on_received(void *owner, enum status status, const struct snapshot_info *info)
{
    struct replica *r = owner;
    struct fetch *f = &r->catchup.fetch;
    struct machine *machine = f->machine;
    enum status loaded = machine_load_end(f->loader);
    bool sound = status == STATUS_OK && loaded == STATUS_OK && machine_slot(machine) == info->slot;
    f->receiver = NULL;
    fetch_end(r);
    bool newer = info->slot > machine_slot(r->machine) || planted(REPLICA_INSTALLS_OLDER);
    if (!r->failed && sound && newer) {
        install(r, info, machine);
        return;
    }
    machine_free(machine);
    if (r->failed || sound)
        return;
    replica_log(r, LOG_WARN, "a received snapshot was not usable; trying again", "");
    r->catchup.retry_ns = replica_clock(r) + RETRY_NS;
}

/* Reading it back takes a while for a large state: a piece at a time, between turns. */
static void chunks_end(struct replica *r)
{
    struct fetch *f = &r->catchup.fetch;
    f->installing = true;
    f->deadline = TIME_NEVER;
    f->machine = snapshots_machine(r);
    f->loader = machine_load(f->machine);
    snapshot_receive_end(f->receiver, r, load_piece, on_received);
}

/* Asks for the next chunk, unless the disk is behind. */
static void chunk_next(struct replica *r)
{
    struct fetch *f = &r->catchup.fetch;
    f->waiting = false;
    bool failed = snapshot_receive_failed(f->receiver);
    if (failed || snapshot_receive_offset(f->receiver) == f->snapshot_size) {
        chunks_end(r);
    } else if (snapshot_receive_unwritten(f->receiver) <= UNWRITTEN_MAX) {
        chunk_ask(r);
    } else {
        f->waiting = true;
        f->deadline = TIME_NEVER;
    }
}

static void fetch_on_chunk(struct replica *r, const struct message *m, struct blob *payload)
{
    struct fetch *f = &r->catchup.fetch;
    if (f->receiver == NULL || f->installing || f->waiting || m->slot != f->snapshot_slot ||
        m->offset != snapshot_receive_offset(f->receiver))
        return;
    snapshot_receive_chunk(f->receiver, blob_bytes(payload));
    chunk_next(r);
}

void catchup_turn(struct replica *r)
{
    if (r->catchup.fetch.waiting)
        chunk_next(r);
}

/* --- Serving --------------------------------------------------------------------------------- */

static void serve_nothing(struct serve *s)
{
    struct message nothing = {.kind = MESSAGE_NOTHING, .id = s->id};
    replica_send(s->replica, s->node, &nothing, NULL);
}

static void serve_snapshot(struct serve *s)
{
    struct replica *r = s->replica;
    struct message offer = {.kind = MESSAGE_SNAPSHOT,
                            .id = s->id,
                            .slot = r->snapshots.slot,
                            .size = r->snapshots.size};
    replica_send(r, s->node, &offer, NULL);
}

/* The log does not have it (it was trimmed, or an installed snapshot left a hole): the snapshot
 * may. If not, that place of the log is damaged, and what was applied out of it is all that is left
 * of it here. */
static void serve_without_log(struct serve *s, uint64_t slot)
{
    struct replica *r = s->replica;
    if (r->snapshots.slot >= slot) {
        serve_snapshot(s);
        return;
    }
    if (!planted(REPLICA_DAMAGE_NOT_REPLACED))
        snapshots_demand(r);
    serve_nothing(s);
}

static void on_log_read(struct journal_read *read, enum status status,
                        const struct journal_entry *entries, uint32_t count)
{
    struct serve *s = read->owner;
    struct replica *r = s->replica;
    s->log_busy = false;
    if (status != STATUS_OK) {
        serve_without_log(s, read->slot);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        struct message log = {
            .kind = MESSAGE_LOG, .id = s->id, .slot = read->slot + i, .inner = entries[i].head};
        replica_send(r, s->node, &log, entries[i].entry);
    }
    struct message end = {.kind = MESSAGE_LOG_END,
                          .id = s->id,
                          .slot = read->slot + count,
                          .more = read->slot + count <= r->catchup.log_upto};
    replica_send(r, s->node, &end, NULL);
}

/* What was applied at some moment is settled when all that had been written by then is durable. */
void catchup_on_durable(struct replica *r, uint64_t lsn)
{
    struct catchup *c = &r->catchup;
    for (int i = 0; i < 2 && lsn >= c->settle_lsn; i++) {
        c->log_upto = c->settle_slot;
        c->settle_slot = machine_slot(r->machine);
        c->settle_lsn = journal_last(r->journal);
    }
}

static void serve_fetch(struct replica *r, struct serve *s, const struct message *m)
{
    if (s->log_busy)
        return;
    s->id = m->id;
    catchup_on_durable(r, journal_durable(r->journal));
    uint64_t upto =
        planted(REPLICA_LOG_NOT_SETTLED) ? machine_slot(r->machine) : r->catchup.log_upto;
    uint64_t first = journal_first_slot(r->journal);
    bool logged = first != 0 && first <= m->slot && r->catchup.log_from <= m->slot;
    if (planted(REPLICA_LOG_BELOW_SNAPSHOT))
        logged = first != 0 && first <= m->slot;
    if (m->slot > machine_slot(r->machine) || m->slot == 0 || (logged && m->slot > upto)) {
        serve_nothing(s);
    } else if (logged) {
        uint64_t left = upto - m->slot + 1;
        s->log = (struct journal_read){.slot = m->slot,
                                       .count_max = left < SERVE_ENTRIES_MAX ? (uint32_t)left
                                                                             : SERVE_ENTRIES_MAX,
                                       .bytes_max = SERVE_BYTES_MAX,
                                       .owner = s,
                                       .done = on_log_read};
        s->log_busy = true;
        journal_read(r->journal, &s->log);
    } else {
        serve_without_log(s, m->slot);
    }
}

static void on_chunk_read(struct snapshot_read *read, enum status status, struct bytes bytes)
{
    struct serve *s = read->owner;
    struct replica *r = s->replica;
    s->chunk_busy = false;
    if (status != STATUS_OK || bytes.size == 0) {
        serve_nothing(s);
        return;
    }
    struct message chunk = {
        .kind = MESSAGE_SNAPSHOT_CHUNK, .id = s->id, .slot = read->slot, .offset = read->offset};
    struct blob *payload = blob_copy(r->mem, bytes);
    replica_send(r, s->node, &chunk, payload);
    blob_drop(payload);
}

static void serve_chunk(struct replica *r, struct serve *s, const struct message *m)
{
    if (s->chunk_busy)
        return;
    s->id = m->id;
    s->chunk = (struct snapshot_read){.slot = m->slot,
                                      .offset = m->offset,
                                      .size = CHUNK_SIZE,
                                      .owner = s,
                                      .done = on_chunk_read};
    s->chunk_busy = true;
    snapshot_read(&r->snapshot_config, &s->chunk);
}

/* --- Messages and time ----------------------------------------------------------------------- */

void catchup_on_message(struct replica *r, uint16_t from, const struct message *m,
                        struct blob *payload)
{
    int place = configuration_place(&r->configuration, from);
    if (place < 0)
        return;
    if (m->kind == MESSAGE_FETCH) {
        serve_fetch(r, &r->catchup.serves[place], m);
        return;
    }
    if (m->kind == MESSAGE_SNAPSHOT_READ) {
        serve_chunk(r, &r->catchup.serves[place], m);
        return;
    }
    struct fetch *f = &r->catchup.fetch;
    if (!f->active || f->id != m->id || f->from != from)
        return;
    if (m->kind == MESSAGE_LOG)
        fetch_on_log(r, m, payload);
    else if (m->kind == MESSAGE_LOG_END)
        fetch_on_end(r, m);
    else if (m->kind == MESSAGE_SNAPSHOT)
        fetch_on_snapshot(r, m);
    else if (m->kind == MESSAGE_SNAPSHOT_CHUNK)
        fetch_on_chunk(r, m, payload);
    else if (m->kind == MESSAGE_NOTHING && !f->installing)
        fetch_end(r);
}

void catchup_tick(struct replica *r, uint64_t now)
{
    struct fetch *f = &r->catchup.fetch;
    if (f->active && !f->installing && now >= f->deadline && !planted(REPLICA_FETCH_SPINS)) {
        r->catchup.in_vain |= configuration_bit(&r->configuration, f->from);
        fetch_end(r);
    }
}

uint64_t catchup_wake(const struct replica *r)
{
    const struct fetch *f = &r->catchup.fetch;
    return f->active ? f->deadline : TIME_NEVER;
}

void catchup_release(struct replica *r)
{
    if (!r->catchup.fetch.installing)
        fetch_end(r);
}
