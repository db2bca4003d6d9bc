/* Automatic compaction. Periodic: the leader remembers the revision of every tenth of the retention
 * time and compacts to the one that is as old as the retention. By revision: every five minutes it
 * keeps the last N. The one invariant: only what is older than asked for goes. The clock starts
 * anew with a new leader, so that history may live up to twice as long, and never shorter. */
#include "cli/serve.h"

#include <stdlib.h>
#include <string.h>

#define SLOTS 10
#define REVISION_INTERVAL_MS (5 * 60 * 1000)

struct compactor {
    uv_timer_t timer;
    struct replica *replica;
    struct mem *mem;
    int64_t keep; /* revisions; 0: periodic */
    int64_t seen[SLOTS];
    uint32_t seen_count;
    struct request request;
    bool busy;
};

static void on_compacted(struct request *request, enum status status, const struct result *result)
{
    struct compactor *c = container_of(request, struct compactor, request);
    (void)status; /* the next tick tries again */
    (void)result;
    c->busy = false;
}

static void compact(struct compactor *c, int64_t revision)
{
    if (c->busy || revision <= store_compacted(machine_store(replica_machine(c->replica))))
        return;
    struct command command = {.kind = COMMAND_COMPACT};
    command.compact.revision = revision;
    request_init(&c->request, on_compacted);
    c->busy = true;
    replica_submit(c->replica, &c->request, &command);
}

static void on_tick(uv_timer_t *timer)
{
    struct compactor *c = timer->data;
    struct replica_status status;
    replica_status(c->replica, &status);
    int64_t revision = store_revision(machine_store(replica_machine(c->replica)));
    if (!status.leading) {
        c->seen_count = 0;
        return;
    }
    if (c->keep > 0) {
        if (revision > c->keep)
            compact(c, revision - c->keep);
        return;
    }
    if (c->seen_count == SLOTS) {
        compact(c, c->seen[0]);
        memmove(c->seen, c->seen + 1, (SLOTS - 1) * sizeof c->seen[0]);
        c->seen_count--;
    }
    c->seen[c->seen_count++] = revision;
}

/* Hours as a plain number, or a duration; milliseconds. */
static int64_t retention_ms(const char *text)
{
    int64_t hours;
    int64_t ns;
    if (number_parse(text, &hours))
        return hours < 0 || hours > 1000000 ? -1 : hours * 3600 * 1000;
    return duration_parse(text, &ns) && ns >= 0 ? ns / 1000000 : -1;
}

struct compactor *compactor_open(uv_loop_t *loop, struct replica *replica, struct mem *mem,
                                 const struct options *options, struct text *error)
{
    const char *mode = options_string(options, "auto-compaction-mode");
    const char *retention = options_string(options, "auto-compaction-retention");
    bool by_revision = strcmp(mode, "revision") == 0;
    int64_t keep = 0;
    int64_t interval = REVISION_INTERVAL_MS;
    if (!by_revision && strcmp(mode, "periodic") != 0)
        text_add(error, "--auto-compaction-mode must be periodic or revision");
    else if (by_revision && (!number_parse(retention, &keep) || keep < 0))
        text_add(error, "--auto-compaction-retention must be a number of revisions in this mode");
    else if (!by_revision && (interval = retention_ms(retention)) < 0)
        text_add(error, "--auto-compaction-retention must be hours or a duration, as in 8 or 30m");
    if (error->size > 0 || (by_revision ? keep : interval) == 0)
        return NULL;
    if (!by_revision)
        interval = interval / SLOTS > 0 ? interval / SLOTS : 1;
    struct compactor *c = mem_zero(mem, sizeof *c);
    c->replica = replica;
    c->mem = mem;
    c->keep = keep;
    request_init(&c->request, on_compacted);
    uv_timer_init(loop, &c->timer);
    c->timer.data = c;
    uv_timer_start(&c->timer, on_tick, (uint64_t)interval, (uint64_t)interval);
    uv_unref((uv_handle_t *)&c->timer);
    return c;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct compactor *c = handle->data;
    mem_free(c->mem, c, sizeof *c);
}

void compactor_close(struct compactor *compactor)
{
    if (compactor == NULL)
        return;
    replica_cancel(&compactor->request);
    uv_close((uv_handle_t *)&compactor->timer, on_timer_closed);
}
