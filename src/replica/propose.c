/* Proposals: commands become batches, batches become entries of the log, and the member that took a
 * command answers it when it applies that entry itself.
 *
 * Commands that arrive while the loop turns, or while enough batches are under way, are collected
 * in one open batch: batching without timers. A closed batch has a sequence number for good; when
 * the way to the leader changes it is sent again, with all that follow it, and the machine drops
 * what it has seen. The one invariant: batches are sent in the order of their sequence, so that the
 * machine, which takes them only in that order, can always go on. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

struct forwarded_batch {
    struct list link;
    struct blob *entry;
};

static void open_batch(struct replica *r)
{
    struct proposals *p = &r->proposals;
    buffer_clear(&p->open);
    buffer_extend(&p->open, BATCH_HEADER_SIZE);
    list_init(&p->open_requests);
    p->open_count = 0;
}

void proposals_init(struct replica *r)
{
    struct proposals *p = &r->proposals;
    buffer_init(&p->open, r->mem, 2 * BACKLOG_BYTES_MAX);
    list_init(&p->batches);
    list_init(&p->forwarded);
    p->sequence_next = 1;
    p->resend_pause = RESEND_NS;
    uint64_t record_max = r->config.record_bytes;
    p->entry_max = ENTRY_BYTES_MAX;
    if (record_max != 0 && record_max - ENTRY_RECORD_OVERHEAD < ENTRY_BYTES_MAX)
        p->entry_max = (size_t)(record_max - ENTRY_RECORD_OVERHEAD);
    p->batch_target = p->entry_max / 8;
    open_batch(r);
}

/* Makes this start distinguishable from every earlier one of this member, durably. */
void proposals_begin(struct replica *r)
{
    if (!planted(REPLICA_INCARNATION_USED_AGAIN) || r->proposals.incarnation == 0)
        r->proposals.incarnation++;
    r->proposals.incarnation_lsn = memory_write(r);
}

static void forwarded_drop(struct replica *r, struct forwarded_batch *batch)
{
    list_remove(&batch->link);
    r->proposals.forwarded_bytes -= batch->entry->size;
    blob_drop(batch->entry);
    mem_free(r->mem, batch, sizeof *batch);
}

static void batch_free(struct replica *r, struct batch *batch)
{
    list_remove(&batch->link);
    r->proposals.batches_count--;
    r->proposals.backlog_bytes -= batch->entry->size;
    blob_drop(batch->entry);
    mem_free(r->mem, batch, sizeof *batch);
}

void proposals_fail_all(struct replica *r, enum status status)
{
    struct proposals *p = &r->proposals;
    list_each (at, &p->batches)
        requests_fail(r, &container_of(at, struct batch, link)->requests, TIME_NEVER, status);
    requests_fail(r, &p->open_requests, TIME_NEVER, status);
}

void proposals_release(struct replica *r)
{
    struct proposals *p = &r->proposals;
    while (!list_empty(&p->batches))
        batch_free(r, container_of(p->batches.next, struct batch, link));
    while (!list_empty(&p->forwarded))
        forwarded_drop(r, container_of(p->forwarded.next, struct forwarded_batch, link));
    buffer_release(&p->open);
}

/* The open batch gets its number and waits to be sent; a new one opens. */
static void close_batch(struct replica *r)
{
    struct proposals *p = &r->proposals;
    struct batch_header header = {.origin = r->config.identity->self,
                                  .incarnation = p->incarnation,
                                  .sequence = p->sequence_next++,
                                  .wall_ms = r->world->ops->wall_ms(r->world),
                                  .count = p->open_count};
    batch_header_store(p->open.data, &header);

    struct batch *batch = mem_alloc(r->mem, sizeof *batch);
    *batch = (struct batch){
        .sequence = header.sequence, .opened_ns = p->open_ns, .count = p->open_count};
    batch->entry = blob_copy(r->mem, buffer_bytes(&p->open));
    list_init(&batch->requests);
    list_splice(&batch->requests, &p->open_requests);
    list_push(&p->batches, &batch->link);
    p->batches_count++;
    p->backlog_bytes += batch->entry->size;
    if (p->open.capacity > 2 * p->batch_target)
        buffer_release(&p->open);
    open_batch(r);
}

/* A batch that is not full yet has room for the largest command behind what it holds. */
static enum status open_add(struct replica *r, struct request *request,
                            const struct command *command)
{
    struct proposals *p = &r->proposals;
    if (p->open.size >= p->batch_target || p->open_count == BATCH_COMMANDS_MAX)
        close_batch(r);
    if (p->open_count == 0)
        p->open_ns = replica_clock(r);
    size_t before = p->open.size;
    command_encode(&p->open, command);
    ensure(!p->open.failed);
    if (p->open.size - before > p->entry_max - p->batch_target) {
        p->open.size = before;
        return STATUS_TOO_LARGE;
    }
    if (request != NULL) {
        request->sequence = p->sequence_next;
        request->index = p->open_count;
        list_push(&p->open_requests, &request->link);
    }
    p->open_count++;
    return STATUS_OK;
}

void propose_internal(struct replica *r, const struct command *command)
{
    enum status status = open_add(r, NULL, command);
    ensure(status == STATUS_OK);
}

bool propose_crowded(const struct replica *r)
{
    const struct proposals *p = &r->proposals;
    return p->backlog_bytes + p->open.size > BACKLOG_BYTES_MAX / 2;
}

void replica_submit(struct replica *r, struct request *request, const struct command *command)
{
    enum status status = replica_serving(r);
    if (status == STATUS_OK &&
        r->proposals.backlog_bytes + r->proposals.open.size > BACKLOG_BYTES_MAX)
        status = STATUS_BUSY;
    if (status == STATUS_OK) {
        request->kind = REQUEST_WRITE;
        request->deadline = replica_clock(r) + r->request_timeout_ns;
        status = open_add(r, request, command);
    }
    if (status != STATUS_OK)
        request_finish(request, status, NULL);
}

/* Hands a batch to whoever leads; leader_reachable() holds. */
static void batch_send(struct replica *r, struct blob *entry)
{
    if (r->role == ROLE_LEADER)
        replica_step(r, (struct input){.kind = INPUT_PROPOSE, .entry = entry});
    else
        replica_send(r, r->leader, &(struct message){.kind = MESSAGE_FORWARD}, entry);
}

/* Leading. The others may be faster than this member's own disk: what waits for it is bounded. */
static bool log_has_room(const struct replica *r)
{
    return r->ops->room(r->engine) > 0 && !replica_disk_lags(r);
}

/* What was sent again and has been applied meanwhile would only burden the log. */
static bool forwarded_is_new(const struct replica *r, const struct blob *entry)
{
    struct batch_header header;
    return batch_header_load(blob_bytes(entry), &header) == STATUS_OK &&
           header.sequence > machine_session(r->machine, header.origin, header.incarnation);
}

static void dispatch_forwarded(struct replica *r)
{
    struct proposals *p = &r->proposals;
    while (!list_empty(&p->forwarded) && r->role == ROLE_LEADER && log_has_room(r)) {
        struct forwarded_batch *batch =
            container_of(p->forwarded.next, struct forwarded_batch, link);
        struct blob *entry = blob_keep(batch->entry);
        forwarded_drop(r, batch);
        if (forwarded_is_new(r, entry))
            replica_step(r, (struct input){.kind = INPUT_PROPOSE, .entry = entry});
        blob_drop(entry);
    }
}

/* The next one to send, as long as not too many are under way. */
static struct batch *first_unsent(struct replica *r)
{
    uint32_t ahead = 0;
    list_each (at, &r->proposals.batches) {
        struct batch *batch = container_of(at, struct batch, link);
        if (ahead++ == BATCHES_INFLIGHT_MAX)
            return NULL;
        if (!batch->sent)
            return batch;
    }
    return NULL;
}

/* Is there a leader that takes batches now? */
static bool leader_reachable(const struct replica *r)
{
    if (r->role == ROLE_LEADER)
        return log_has_room(r);
    return r->leader != NODE_NONE && r->leader != r->config.identity->self;
}

void propose_dispatch(struct replica *r)
{
    struct proposals *p = &r->proposals;
    if (journal_durable(r->journal) < p->incarnation_lsn)
        return;
    dispatch_forwarded(r);
    while (leader_reachable(r)) {
        struct batch *batch = first_unsent(r);
        if (batch == NULL) {
            if (p->open_count == 0 || p->batches_count >= BATCHES_INFLIGHT_MAX)
                return;
            close_batch(r);
            continue;
        }
        batch->sent = true;
        batch->sent_ns = replica_clock(r);
        /* The step may apply this batch, and so free it. */
        struct blob *entry = blob_keep(batch->entry);
        batch_send(r, entry);
        blob_drop(entry);
    }
}

void propose_resend(struct replica *r)
{
    list_each (at, &r->proposals.batches)
        container_of(at, struct batch, link)->sent = false;
    if (r->role == ROLE_FOLLOWER) {
        while (!list_empty(&r->proposals.forwarded))
            forwarded_drop(r,
                           container_of(r->proposals.forwarded.next, struct forwarded_batch, link));
    }
}

/* A leader that is not ready yet keeps what comes; anybody else drops it, and the origin sends
 * again when it knows better. */
void propose_forwarded(struct replica *r, struct blob *entry)
{
    struct proposals *p = &r->proposals;
    if (entry == NULL || r->role == ROLE_FOLLOWER ||
        p->forwarded_bytes + entry->size > FORWARDED_BYTES_MAX || !forwarded_is_new(r, entry))
        return;
    struct forwarded_batch *batch = mem_alloc(r->mem, sizeof *batch);
    batch->entry = blob_keep(entry);
    list_push(&p->forwarded, &batch->link);
    p->forwarded_bytes += entry->size;
}

static struct batch *batch_find(struct replica *r, uint64_t sequence)
{
    list_each (at, &r->proposals.batches) {
        struct batch *batch = container_of(at, struct batch, link);
        if (batch->sequence == sequence)
            return batch;
    }
    return NULL;
}

void propose_on_result(struct replica *r, uint64_t sequence, uint32_t index,
                       const struct result *result)
{
    struct batch *batch = batch_find(r, sequence);
    if (batch == NULL || list_empty(&batch->requests))
        return;
    struct request *request = container_of(batch->requests.next, struct request, link);
    bool silent = planted(REPLICA_FORWARDED_UNKNOWN) && r->role != ROLE_LEADER &&
                  request != &r->publish && r->proposals.incarnation > 12;
    if (request->index == index)
        request_finish(request, silent ? STATUS_TIMEOUT : STATUS_OK, silent ? NULL : result);
}

#define STAGE_FIRST 10000 /* the first bucket's bound, in nanoseconds */

static void batch_measure(struct replica *r, const struct batch *batch, uint64_t now)
{
    histogram_add(&r->batch_commands, 1, batch->count);
    histogram_add(&r->commit_ns, 100000, now - batch->opened_ns);
    histogram_add(&r->stages.queue_ns, STAGE_FIRST, batch->sent_ns - batch->opened_ns);
    histogram_add(&r->stages.agree_ns, STAGE_FIRST, r->apply_began_ns - batch->sent_ns);
    histogram_add(&r->stages.apply_ns, STAGE_FIRST, now - r->apply_began_ns);
}

void propose_on_batch(struct replica *r, uint64_t sequence, enum batch_outcome outcome)
{
    uint64_t now = replica_clock(r);
    struct batch *batch = batch_find(r, sequence);
    if (batch == NULL)
        return;
    switch (outcome) {
    case BATCH_APPLIED:
        ensure(list_empty(&batch->requests));
        batch_measure(r, batch, now);
        r->commands_applied += batch->count;
        r->batches_applied++;
        r->proposals.resend_pause = RESEND_NS;
        batch_free(r, batch);
        break;
    case BATCH_GAP:
        if (now >= r->proposals.gap_ignored_until) {
            r->proposals.gap_ignored_until = now + 100 * MILLISECOND;
            propose_resend(r);
        }
        break;
    case BATCH_DUPLICATE:
    case BATCH_INVALID:
        /* It was applied out of our sight (inside a snapshot): its results are gone. */
        propose_skip(r, sequence);
        break;
    }
}

void propose_skip(struct replica *r, uint64_t sequence)
{
    while (!list_empty(&r->proposals.batches)) {
        struct batch *batch = container_of(r->proposals.batches.next, struct batch, link);
        if (batch->sequence > sequence)
            return;
        requests_fail(r, &batch->requests, TIME_NEVER, STATUS_TIMEOUT);
        batch_free(r, batch);
    }
}

/* What a leader has proposed itself cannot get lost while it leads; what it was sent can. */
static uint64_t resend_at(const struct replica *r, const struct batch *batch)
{
    if (!batch->sent || r->role == ROLE_LEADER)
        return TIME_NEVER;
    return batch->sent_ns + r->proposals.resend_pause;
}

void propose_expire(struct replica *r, uint64_t now)
{
    struct proposals *p = &r->proposals;
    bool stale = false;
    list_each (at, &p->batches) {
        struct batch *batch = container_of(at, struct batch, link);
        requests_fail(r, &batch->requests, now, STATUS_TIMEOUT);
        stale |= now >= resend_at(r, batch);
    }
    requests_fail(r, &p->open_requests, now, STATUS_TIMEOUT);
    if (!stale)
        return;
    /* Perhaps it is not lost but slow, and then sending again makes it slower. */
    if (p->resend_pause < RESEND_NS_MAX)
        p->resend_pause *= 2;
    propose_resend(r);
}

uint64_t propose_wake(const struct replica *r)
{
    const struct proposals *p = &r->proposals;
    uint64_t wake = requests_wake(&p->open_requests, TIME_NEVER);
    for (struct list *at = p->batches.next; at != &p->batches; at = at->next) {
        const struct batch *batch = container_of(at, struct batch, link);
        wake = requests_wake(&batch->requests, wake);
        if (resend_at(r, batch) < wake)
            wake = resend_at(r, batch);
    }
    return wake;
}
