/* Snapshots of the own state: taken when the log has grown enough, written in slices while commands
 * go on being applied. The one invariant: the log before a snapshot goes only when the snapshot is
 * published and the engine's restated hard state behind it is durable. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

#define SNAPSHOT_BYTES_DEFAULT (UINT64_C(64) * 1024 * 1024)
#define PACE_BYTES_PER_MS (UINT64_C(16) * 1024)
#define SNAPSHOT_SLOTS_DEFAULT UINT64_C(100000)
#define LOG_KEEP_BYTES_DEFAULT (UINT64_C(16) * 1024 * 1024)
#define SNAPSHOTS_KEPT 2
#define RETRY_NS (10 * SECOND) /* a disk that is full stays full for a while */

struct machine *snapshots_machine(struct replica *r)
{
    struct machine_config config = {
        .mem = r->mem,
        .members = r->configuration.count,
        .self = identity_member(r->config.identity, r->config.identity->self)->id};
    return machine_new(&config);
}

/* The state that is being read, and what reads it. */
struct load {
    struct replica *replica;
    struct machine *machine;
    struct machine_loader *loader;
};

static void load_begin(void *owner, uint64_t slot)
{
    struct load *load = owner;
    (void)slot;
    if (load->loader != NULL) {
        enum status before = machine_load_end(load->loader);
        (void)before; /* of a file that is damaged: worth nothing */
    }
    machine_free(load->machine);
    load->machine = snapshots_machine(load->replica);
    load->loader = machine_load(load->machine);
}

static enum status load_piece(void *owner, struct bytes piece)
{
    struct load *load = owner;
    return machine_load_piece(load->loader, piece);
}

enum status snapshots_boot(struct replica *r, struct text *error, struct snapshot_info *ret_info)
{
    struct load load = {.replica = r};
    struct snapshot_reader reader = {&load, load_begin, load_piece};
    enum status status = snapshot_newest(&r->snapshot_config, &reader, error, ret_info);
    r->machine = load.loader != NULL ? load.machine : snapshots_machine(r);
    if (load.loader == NULL)
        return status;
    enum status end = machine_load_end(load.loader);
    if (status == STATUS_OK)
        status = end;
    if (status == STATUS_OK && machine_slot(load.machine) != ret_info->slot)
        status = STATUS_INVALID;
    if (status != STATUS_OK && error->size == 0) {
        text_add(error, "the content of the snapshot in \"snap\" cannot be used: ");
        text_add(error, status_text(status));
    }
    return status;
}

void snapshots_published(struct replica *r, const struct snapshot_info *info)
{
    r->snapshots.slot = info->slot;
    r->snapshots.size = info->size;
    r->snapshots.mark = info->mark;
    snapshot_prune(&r->snapshot_config, SNAPSHOTS_KEPT);
}

/* Everybody else needs the processor and the disk as well, so a snapshot takes its time: as much as
 * PACE gives it, and more only if the log grows faster than that. So when it is done the log has
 * grown by no more than what was written. */
static bool paced(const struct replica *r)
{
    const struct snapshots *s = &r->snapshots;
    return !s->hurry && s->written > s->bytes_since && replica_clock(r) < s->pause_ns;
}

static bool produce(void *owner, struct buffer *slice)
{
    struct replica *r = owner;
    struct snapshots *s = &r->snapshots;
    size_t before = slice->size;
    bool more = machine_save_next(s->saver, slice);
    s->written += slice->size - before;
    s->pause_ns = s->begun_ns + s->written / PACE_BYTES_PER_MS * MILLISECOND;
    s->held = more && paced(r);
    if (s->held)
        snapshot_write_hold(s->writer, true);
    return more;
}

static void on_written(void *owner, enum status status, uint64_t size)
{
    struct replica *r = owner;
    struct snapshots *s = &r->snapshots;
    struct snapshot_info info = {.slot = s->slot_begun, .size = size, .mark = s->mark_begun};
    machine_save_end(s->saver);
    s->saver = NULL;
    s->writer = NULL;
    s->held = false;
    r->store_work = true; /* it may go on with what the snapshot kept waiting */
    s->slot_begun = 0;
    if (r->failed)
        return;
    if (status != STATUS_OK) {
        /* Nothing is lost: the log is still there. A full disk is the likely reason. */
        replica_log(r, LOG_ERROR, "could not write a snapshot: free some disk space", "");
        s->retry_ns = replica_clock(r) + RETRY_NS;
        return;
    }
    snapshots_published(r, &info);
    snapshots_restate(r);
}

void snapshots_tell(struct replica *r)
{
    const struct snapshots *s = &r->snapshots;
    replica_step(r, (struct input){.kind = INPUT_SNAPSHOT,
                                   .slot = s->slot,
                                   .head = bytes_of(s->mark.data, s->mark.size)});
}

void snapshots_on_durable(struct replica *r, uint64_t lsn)
{
    struct snapshots *s = &r->snapshots;
    if (s->restate_lsn == 0 || lsn < s->restate_lsn)
        return;
    uint64_t keep =
        r->config.log_keep_bytes != 0 ? r->config.log_keep_bytes : LOG_KEEP_BYTES_DEFAULT;
    journal_trim(r->journal, s->slot, s->restate_lsn, keep);
    s->restate_lsn = 0;
}

void snapshots_tick(struct replica *r)
{
    struct snapshots *s = &r->snapshots;
    if (s->held && !paced(r)) {
        s->held = false;
        snapshot_write_hold(s->writer, false);
    }
}

uint64_t snapshots_wake(const struct replica *r)
{
    const struct snapshots *s = &r->snapshots;
    return s->held ? s->pause_ns : TIME_NEVER;
}

void snapshots_restate(struct replica *r)
{
    snapshots_tell(r);
    r->snapshots.restate_lsn =
        planted(REPLICA_MEMORY_NOT_RESTATED) ? journal_last(r->journal) : memory_write(r);
    journal_flush(r->journal);
    if (planted(REPLICA_TRIM_EARLY))
        snapshots_on_durable(r, r->snapshots.restate_lsn);
}

void snapshots_demand(struct replica *r)
{
    if (!r->snapshots.demanded)
        replica_log(r, LOG_WARN, "a part of the log cannot be read: a snapshot is to replace it",
                    "");
    r->snapshots.demanded = true;
    r->snapshots.hurry = true; /* one that is being written has to end first */
}

void snapshots_consider(struct replica *r)
{
    struct snapshots *s = &r->snapshots;
    const struct replica_config *c = &r->config;
    uint64_t bytes = c->snapshot_bytes != 0 ? c->snapshot_bytes : SNAPSHOT_BYTES_DEFAULT;
    uint64_t slots = c->snapshot_slots != 0 ? c->snapshot_slots : SNAPSHOT_SLOTS_DEFAULT;
    if (bytes < s->size && c->snapshot_bytes == 0)
        bytes = s->size; /* no more is written in snapshots than in the log */
    if (s->slot_begun != 0 || r->catchup.fetch.receiver != NULL || r->failed ||
        replica_clock(r) < s->retry_ns)
        return;
    /* What a compaction gives back cannot be given back while a snapshot is written: it has the
     * turn between two of them, or it would never have one under load. */
    if (r->store_work && !s->demanded)
        return;
    uint64_t applied = machine_slot(r->machine);
    if (s->bytes_since < bytes && applied - s->slot < slots && !s->demanded)
        return;
    if (applied == s->slot)
        return;
    s->slot_begun = applied;
    s->mark_begun = r->mark;
    s->bytes_since = 0;
    s->begun_ns = replica_clock(r);
    s->written = 0;
    s->pause_ns = 0;
    s->hurry = s->demanded;
    s->demanded = false;
    s->saver = machine_save(r->machine);
    struct snapshot_header header = {
        .slot = applied, .era = r->config.identity->era, .mark = r->mark};
    if (planted(REPLICA_MARK_NOT_KEPT))
        header.mark = s->mark;
    s->writer = snapshot_write(&r->snapshot_config, &header, r, produce, on_written);
}
