/* The replica's centre: boot, the one place where the engine is stepped and its effects are
 * executed, the turn of the loop, and the timer.
 *
 * The one invariant: the engine is stepped from one place, effects are executed in their order, and
 * nothing steps it again before the last list is done. Callbacks to fronts only collect work; the
 * turn sends it off. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

#define REQUEST_TIMEOUT_NS (5 * SECOND) /* and two election timeouts, as etcd's clients expect */
#define SEGMENT_BYTES_DEFAULT (UINT64_C(16) * 1024 * 1024)
#define RECORD_BYTES_DEFAULT (UINT64_C(8) * 1024 * 1024)
#define PENDING_BYTES_DEFAULT (UINT64_C(64) * 1024 * 1024)
#define STORE_WORK_BUDGET 2000
#define STEPS_A_TURN_MAX 64

uint64_t replica_clock(const struct replica *r)
{
    return r->world->ops->now(r->world);
}

void replica_log(struct replica *r, enum log_level level, const char *message, const char *fields)
{
    r->world->ops->log(r->world, level, message, fields);
}

void replica_fail(struct replica *r, const char *what)
{
    if (r->failed)
        return;
    r->failed = true;
    replica_log(r, LOG_ERROR, what, "");
    r->config.on_fatal(r->config.owner, what);
}

enum status replica_serving(const struct replica *r)
{
    if (r->failed || r->stopped != NULL)
        return STATUS_STOPPED;
    return r->diverged ? STATUS_CORRUPT : STATUS_OK;
}

void replica_send(struct replica *r, uint16_t to, const struct message *message,
                  struct blob *payload)
{
    if (!r->started)
        return;
    uint8_t raw[MESSAGE_HEAD_MAX + ENTRY_RECORD_OVERHEAD];
    struct writer w = writer_of(raw, sizeof raw);
    struct message signed_message = *message;
    signed_message.disk = r->config.identity->disk;
    message_encode(&w, &signed_message);
    ensure(!w.failed);
    r->world->ops->send(r->world, to, writer_bytes(&w), payload);
}

bool replica_disk_lags(const struct replica *r)
{
    uint64_t max = r->config.pending_bytes;
    return journal_pending_bytes(r->journal) > (max != 0 ? max : PENDING_BYTES_DEFAULT);
}

void replica_show_installed(const struct replica *r)
{
    const struct replica_observer *observer = r->config.observer;
    if (observer != NULL && observer->on_installed != NULL)
        observer->on_installed(observer->owner, machine_slot(r->machine), r->machine);
}

/* --- Effects --------------------------------------------------------------------------------- */

static void effect_persist(struct replica *r, const struct effect *fx)
{
    ensure(fx->type != RECORD_ENTRY || fx->head.size <= ENTRY_RECORD_OVERHEAD);
    struct journal_record record = {.type = fx->type,
                                    .located = fx->type == RECORD_ENTRY,
                                    .era = r->config.identity->era,
                                    .slot = fx->slot,
                                    .head = fx->head,
                                    .entry = fx->entry};
    uint64_t lsn = journal_append(r->journal, &record);
    ensure(lsn == fx->lsn.value);
}

/* States this member's digest at the points where every member does. */
static void state_digest(struct replica *r)
{
    uint64_t slot;
    uint64_t digest;
    if (r->booting || r->catchup.fetch.active || machine_slot(r->machine) % MACHINE_DIGEST_INTERVAL)
        return;
    machine_digest_point(r->machine, &slot, &digest);
    if (slot == r->digest_slot)
        return;
    r->digest_slot = slot;
    struct command command = {.kind = COMMAND_DIGEST};
    command.digest.member = identity_member(r->config.identity, r->config.identity->self)->id;
    command.digest.slot = slot;
    command.digest.digest = digest;
    propose_internal(r, &command);
}

static void effect_deliver(struct replica *r, const struct effect *fx)
{
    const struct replica_observer *observer = r->config.observer;
    struct bytes entry = blob_bytes(fx->entry);
    if (planted(MULTIPAXOS_DELIVERS_AGAIN) && fx->slot <= machine_slot(r->machine))
        return;
    ensure(fx->head.size <= SNAPSHOT_MARK_MAX);
    r->mark.size = (uint8_t)fx->head.size;
    if (fx->head.size > 0)
        memcpy(r->mark.data, fx->head.data, fx->head.size);
    r->apply_began_ns = replica_clock(r);
    machine_apply(r->machine, fx->slot, entry);
    if (observer != NULL && observer->on_applied != NULL)
        observer->on_applied(observer->owner, fx->slot, r->machine);
    r->snapshots.bytes_since += 64 + entry.size;
    r->store_work = true;
    state_digest(r);
}

static void become_keeper(struct replica *r)
{
    struct command command = {.kind = COMMAND_KEEPER};
    command.keeper.node = r->config.identity->self;
    command.keeper.round = r->ballot.round;
    propose_internal(r, &command);
}

static void log_leader(struct replica *r)
{
    char line[128];
    struct text fields = text_of(line, sizeof line);
    const struct identity_member *leader = identity_member(r->config.identity, r->leader);
    text_add(&fields, ",\"leader\":\"");
    text_hex(&fields, leader == NULL ? 0 : leader->id);
    text_add(&fields, "\",\"term\":");
    text_u64(&fields, r->ballot.round);
    replica_log(r, LOG_INFO, r->role == ROLE_LEADER ? "became leader" : "found a leader", line);
}

static struct request *transfer_request(const struct replica *r)
{
    return list_empty(&r->transfers) ? NULL : container_of(r->transfers.next, struct request, link);
}

static void transfer_check(struct replica *r)
{
    struct request *request = transfer_request(r);
    if (request != NULL && r->leader == r->transfer_node)
        request_finish(request, STATUS_OK, NULL);
}

static void effect_role(struct replica *r, const struct effect *fx)
{
    bool moved =
        fx->role != r->role || fx->to != r->leader || ballot_compare(fx->ballot, r->ballot) != 0;
    r->role = fx->role;
    r->leader = fx->to;
    r->ballot = fx->ballot;
    if (r->booting || !moved)
        return;
    if (r->leader == NODE_NONE) {
        if (r->leaderless_since == 0)
            r->leaderless_since = replica_clock(r);
    } else {
        r->leaderless_since = 0;
        log_leader(r);
    }
    propose_resend(r);
    keeper_ask_again(r);
    r->reads.retry_ns = 0;
    if (r->role == ROLE_LEADER)
        become_keeper(r);
    transfer_check(r);
}

static void effect_execute(struct replica *r, const struct effect *fx)
{
    const struct replica_observer *observer = r->config.observer;
    if (observer != NULL && observer->on_effect != NULL)
        observer->on_effect(observer->owner, fx);
    switch (fx->kind) {
    case EFFECT_PERSIST:
        effect_persist(r, fx);
        break;
    case EFFECT_SEND:
        gate_send(r, fx->to, fx->head, fx->entry);
        break;
    case EFFECT_SEND_EARLY:
        if (still_holds(r, fx->until))
            engine_send(r, fx->to, fx->head, fx->entry);
        break;
    case EFFECT_DELIVER:
        effect_deliver(r, fx);
        break;
    case EFFECT_READ_OK:
        reads_on_ok(r, fx->token, fx->slot, fx->until);
        break;
    case EFFECT_READ_FAIL:
        reads_on_fail(r, fx->token);
        break;
    case EFFECT_REJECT:
        propose_resend(r);
        break;
    case EFFECT_FETCH:
        catchup_start(r, fx->to, fx->slot);
        break;
    case EFFECT_ROLE:
        effect_role(r, fx);
        break;
    }
}

void replica_step(struct replica *r, struct input input)
{
    ensure(!r->stepping);
    if (r->failed)
        return;
    r->stepping = true;
    input.now = replica_clock(r);
    const struct replica_observer *observer = r->config.observer;
    struct effects *fx = r->effects;
    uint64_t applied = machine_slot(r->machine);
    if (!r->booting)
        fx->lsn_last.value = journal_last(r->journal);
    if (observer != NULL && observer->on_input != NULL)
        observer->on_input(observer->owner, &input);
    r->ops->step(r->engine, &input, fx);
    for (uint32_t i = 0; i < fx->count; i++) {
        ensure(!r->booting || fx->items[i].kind == EFFECT_DELIVER ||
               fx->items[i].kind == EFFECT_ROLE);
        effect_execute(r, &fx->items[i]);
    }
    effects_clear(fx);
    r->stepping = false;
    if (machine_slot(r->machine) != applied && !r->booting)
        reads_on_applied(r);
}

/* --- What the world tells -------------------------------------------------------------------- */

static void on_message(void *owner, uint16_t from, struct bytes head, struct blob *entry)
{
    struct replica *r = owner;
    struct message message;
    int place = configuration_place(&r->configuration, from);
    if (!r->started || r->failed || place < 0 || message_decode(head, &message) != STATUS_OK)
        return;
    if (!memory_trusts(r, place, message.disk))
        return;
    if (entry != NULL && message.kind != MESSAGE_SNAPSHOT_CHUNK &&
        (entry->size > r->proposals.entry_max || replica_disk_lags(r)))
        return; /* as if a link had lost it */
    switch (message.kind) {
    case MESSAGE_ENGINE:
        replica_step(
            r, (struct input){
                   .kind = INPUT_MESSAGE, .from = from, .head = message.inner, .entry = entry});
        break;
    case MESSAGE_FORWARD:
        propose_forwarded(r, entry);
        break;
    case MESSAGE_LEASE_ASK:
        keeper_on_ask(r, from, &message);
        break;
    case MESSAGE_LEASE_TELL:
        keeper_on_tell(r, &message);
        break;
    default:
        catchup_on_message(r, from, &message, entry);
        break;
    }
}

static void on_peer(void *owner, uint16_t node, bool up)
{
    struct replica *r = owner;
    int place = configuration_place(&r->configuration, node);
    if (!r->started || place < 0)
        return;
    replica_step(r, (struct input){.kind = INPUT_PEER, .from = node, .up = up});
    if (up && node == r->leader) {
        propose_resend(r);
        keeper_ask_again(r);
    }
}

static void on_durable(void *owner, uint64_t lsn)
{
    struct replica *r = owner;
    if (r->failed)
        return;
    gate_open(r, lsn);
    replica_step(r, (struct input){.kind = INPUT_DURABLE, .lsn = {lsn}});
    snapshots_on_durable(r, lsn);
    catchup_on_durable(r, lsn);
}

static void on_journal_failure(void *owner, enum status status, const char *what)
{
    (void)status;
    if (!planted(REPLICA_DISK_FAILURE_IGNORED))
        replica_fail(owner, what);
}

/* --- The turn -------------------------------------------------------------------------------- */

static void transfer_tick(struct replica *r, uint64_t now)
{
    struct request *request = transfer_request(r);
    if (request == NULL)
        return;
    if (!r->transfer_asked) {
        r->transfer_asked = true;
        replica_step(r, (struct input){.kind = INPUT_TRANSFER, .node = r->transfer_node});
    } else if (now >= request->deadline) {
        request_finish(request, STATUS_TIMEOUT, NULL);
    }
}

static void stop_tick(struct replica *r, uint64_t now)
{
    bool handed_over = r->role != ROLE_LEADER && r->leader != NODE_NONE;
    if (r->stopped == NULL || r->stop_deadline == 0 || (!handed_over && now < r->stop_deadline))
        return;
    r->stop_deadline = 0;
    r->stopped(r->stop_owner);
}

/* A leader whose disk hangs holds everybody back, but its heartbeats do not: it hands over. There
 * is no timer of its own, for a leader wakes with every heartbeat. */
static void stall_tick(struct replica *r, uint64_t now)
{
    uint64_t durable = journal_durable(r->journal);
    if (durable != r->durable_seen || durable == journal_last(r->journal)) {
        r->durable_seen = durable;
        r->durable_ns = now;
    } else if (now - r->durable_ns >= r->config.election_ns && r->role == ROLE_LEADER &&
               r->configuration.count > 1) {
        r->durable_ns = now;
        replica_log(r, LOG_WARN, "this member's disk hangs: it hands the leadership over", "");
        replica_step(r, (struct input){.kind = INPUT_TRANSFER, .node = NODE_NONE});
    }
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static void arm(struct replica *r)
{
    uint64_t wake = r->ops->wake(r->engine);
    wake = earlier(wake, propose_wake(r));
    wake = earlier(wake, reads_wake(r));
    wake = earlier(wake, keeper_wake(r));
    wake = earlier(wake, catchup_wake(r));
    wake = earlier(wake, snapshots_wake(r));
    if (r->store_work)
        wake = earlier(wake, replica_clock(r) + MILLISECOND);
    if (transfer_request(r) != NULL)
        wake = earlier(wake, transfer_request(r)->deadline);
    if (r->stopped != NULL && r->stop_deadline != 0)
        wake = earlier(wake, r->stop_deadline);
    if (wake != r->armed) {
        r->armed = wake;
        r->world->ops->arm(r->world, wake);
    }
}

/* Sends off what was collected. Called once a turn of the loop, and after the timer. */
static void on_turn(void *owner)
{
    struct replica *r = owner;
    if (!r->started || r->failed)
        return;
    uint64_t now = replica_clock(r);
    for (int i = 0; i < STEPS_A_TURN_MAX && r->ops->wake(r->engine) <= now; i++)
        replica_step(r, (struct input){.kind = INPUT_TIME});
    keeper_tick(r, now);
    reads_dispatch(r);
    propose_dispatch(r);
    catchup_turn(r);
    journal_flush(r->journal);
    transfer_tick(r, now);
    stop_tick(r, now);
    stall_tick(r, now);
    snapshots_tick(r);
    if (r->store_work)
        r->store_work = store_work(machine_store(r->machine), STORE_WORK_BUDGET);
    snapshots_consider(r);
    if (!r->failed)
        arm(r);
}

static void on_timer(void *owner)
{
    struct replica *r = owner;
    if (!r->started || r->failed)
        return;
    r->armed = TIME_NEVER;
    uint64_t now = replica_clock(r);
    propose_expire(r, now);
    reads_expire(r, now);
    catchup_tick(r, now);
    on_turn(r);
}

struct world_events replica_events(struct replica *r)
{
    return (struct world_events){.owner = r,
                                 .on_timer = on_timer,
                                 .on_message = on_message,
                                 .on_peer = on_peer,
                                 .on_turn = on_turn};
}

/* --- The machine's word ---------------------------------------------------------------------- */

static void on_result(void *owner, uint64_t sequence, uint32_t index, const struct result *result)
{
    propose_on_result(owner, sequence, index, result);
}

static void on_batch(void *owner, uint64_t sequence, enum batch_outcome outcome)
{
    propose_on_batch(owner, sequence, outcome);
}

static void on_divergence(void *owner, uint64_t slot, uint64_t own, uint64_t others)
{
    struct replica *r = owner;
    char line[160];
    struct text fields = text_of(line, sizeof line);
    text_add(&fields, ",\"slot\":");
    text_u64(&fields, slot);
    text_add(&fields, ",\"own-digest\":\"");
    text_hex(&fields, own);
    text_add(&fields, "\",\"others-digest\":\"");
    text_hex(&fields, others);
    text_add(&fields, "\"");
    replica_log(
        r, LOG_ERROR,
        "this member's state differs from that of the majority: it stops serving; replace its "
        "data directory from a sound member",
        line);
    r->diverged = true;
}

static void on_keeper(void *owner, uint16_t node, uint64_t round)
{
    keeper_on_keeper(owner, node, round);
}

void replica_listen(struct replica *r)
{
    struct machine_events events = {.owner = r,
                                    .node = r->config.identity->self,
                                    .incarnation = r->proposals.incarnation,
                                    .on_result = on_result,
                                    .on_batch = on_batch,
                                    .on_divergence = on_divergence,
                                    .on_keeper = on_keeper};
    machine_listen(r->machine, &events);
}

/* --- Life ------------------------------------------------------------------------------------ */

static void on_record(void *owner, const struct journal_record *record)
{
    struct replica *r = owner;
    if (record->type == RECORD_HOST) {
        memory_replay(r, record->head);
        return;
    }
    if (record->era != r->config.identity->era)
        return;
    replica_step(r, (struct input){.kind = INPUT_RECORD,
                                   .type = record->type,
                                   .lsn = {record->lsn},
                                   .slot = record->slot,
                                   .head = record->head,
                                   .entry = record->entry});
}

static void boot_engine(struct replica *r)
{
    const struct replica_config *c = &r->config;
    struct engine_config config = {.era = c->identity->era,
                                   .self = c->identity->self,
                                   .configuration = &r->configuration,
                                   .heartbeat_ns = c->heartbeat_ns,
                                   .election_ns = c->election_ns,
                                   .window_slots = 1024,
                                   .window_bytes = 32 * 1024 * 1024,
                                   .tail_slots = 256,
                                   .tail_bytes = 1024 * 1024,
                                   .lease_ns = c->lease_ns,
                                   .lease_drift = LEASE_DRIFT,
                                   .lease_reads = c->lease_reads,
                                   .seed = r->world->ops->random(r->world)};
    r->engine_size = r->ops->size(&config);
    r->engine = mem_zero(r->mem, r->engine_size);
    r->ops->init(r->engine, &config);
    r->effects = mem_zero(r->mem, sizeof *r->effects);
    effects_init(r->effects, (struct lsn){0});
}

static enum status boot_journal(struct replica *r, struct text *error)
{
    const struct replica_config *c = &r->config;
    const struct identity *identity = c->identity;
    struct journal_config config = {
        .world = r->world,
        .mem = r->mem,
        .cluster = identity->cluster,
        .member = identity_member(identity, identity->self)->id,
        .segment_size = c->segment_bytes != 0 ? c->segment_bytes : SEGMENT_BYTES_DEFAULT,
        .record_size_max = c->record_bytes != 0 ? c->record_bytes : RECORD_BYTES_DEFAULT,
        .snapshot_slot = r->snapshots.slot,
        .owner = r,
        .on_durable = on_durable,
        .on_failure = on_journal_failure};
    return journal_open(&config, on_record, error, &r->journal);
}

/* Snapshot first, then the log behind it; the state is rebuilt while the log is read. */
static enum status boot(struct replica *r, struct text *error)
{
    struct snapshot_info info;
    enum status status = snapshots_boot(r, error, &info);
    if (status != STATUS_OK)
        return status;
    keeper_adopt(r, r->machine);
    replica_listen(r);
    r->snapshots.slot = info.slot;
    r->snapshots.size = info.size;
    r->snapshots.mark = r->mark = info.mark;
    r->catchup.log_from = info.slot + 1;
    boot_engine(r);
    if (info.slot != 0) {
        replica_show_installed(r);
        snapshots_tell(r);
    }
    status = boot_journal(r, error);
    const struct replica_observer *observer = r->config.observer;
    if (status == STATUS_OK && observer != NULL && observer->on_recovered != NULL)
        observer->on_recovered(observer->owner, journal_last(r->journal));
    return status;
}

enum status replica_open(const struct replica_config *config, struct text *error,
                         struct replica **ret_replica)
{
    struct replica *r = mem_zero(config->mem, sizeof *r);
    r->config = *config;
    r->world = config->world;
    r->mem = config->mem;
    r->configuration = identity_configuration(config->identity);
    r->ops = engine_by_id(config->identity->engine);
    r->request_timeout_ns = REQUEST_TIMEOUT_NS + 2 * config->election_ns;
    r->snapshot_config = (struct snapshot_config){
        .world = r->world, .mem = r->mem, .cluster = config->identity->cluster};
    r->armed = TIME_NEVER;
    r->booting = true;
    list_init(&r->gate.held);
    list_init(&r->transfers);
    request_init(&r->publish, NULL);
    proposals_init(r);
    reads_init(r);
    keeper_init(r);
    catchup_init(r);
    *ret_replica = r;
    if (r->ops == NULL) {
        text_add(error, "the data directory was made for a consensus engine that this version of "
                        "synod does not have: use the version that made it");
        return STATUS_UNSUPPORTED;
    }
    enum status status = boot(r, error);
    r->booting = false;
    return status;
}

static void publish(struct replica *r);

static void on_published(struct request *request, enum status status, const struct result *result)
{
    struct replica *r = container_of(request, struct replica, publish);
    (void)result;
    if (status == STATUS_OK && !r->ready_told) {
        r->ready_told = true;
        r->config.on_ready(r->config.owner);
    } else if (status == STATUS_TIMEOUT) {
        publish(r);
    }
}

static void publish(struct replica *r)
{
    const struct identity_member *self =
        identity_member(r->config.identity, r->config.identity->self);
    struct command command = {.kind = COMMAND_MEMBER};
    command.member.id = self->id;
    command.member.name = bytes_text(self->name);
    command.member.peer_urls_count = self->peer_urls_count;
    for (uint32_t i = 0; i < self->peer_urls_count; i++)
        command.member.peer_urls[i] = bytes_text(self->peer_urls[i]);
    for (uint32_t i = 0; i < r->config.client_urls_count && i < ADDRESSES_MAX; i++) {
        command.member.client_urls[i] = bytes_text(r->config.client_urls[i]);
        command.member.client_urls_count++;
    }
    request_init(&r->publish, on_published);
    replica_submit(r, &r->publish, &command);
}

void replica_start(struct replica *r)
{
    r->started = true;
    r->leaderless_since = replica_clock(r);
    proposals_begin(r);
    replica_listen(r);
    journal_flush(r->journal);
    replica_step(r, (struct input){.kind = INPUT_START});
    publish(r);
    on_turn(r);
}

void replica_transfer(struct replica *r, struct request *request, uint64_t member)
{
    enum status status = STATUS_NOT_FOUND;
    uint16_t node = NODE_NONE;
    for (uint32_t i = 0; i < r->configuration.count; i++) {
        if (r->configuration.members[i].id == member) {
            node = r->configuration.members[i].node;
            status = STATUS_OK;
        }
    }
    if (r->role != ROLE_LEADER)
        status = STATUS_NOT_LEADER;
    else if (transfer_request(r) != NULL)
        status = STATUS_BUSY;
    if (status != STATUS_OK || node == r->config.identity->self) {
        request_finish(request, status, NULL);
        return;
    }
    r->transfer_node = node;
    request->kind = REQUEST_TRANSFER;
    request->deadline = replica_clock(r) + 2 * r->config.election_ns;
    list_push(&r->transfers, &request->link);
    r->transfer_asked = false;
}

void replica_stop(struct replica *r, void *owner, void (*stopped)(void *owner))
{
    r->stop_owner = owner;
    if (r->failed || !r->started || r->role != ROLE_LEADER || r->configuration.count == 1) {
        stopped(owner);
        return;
    }
    r->stop_deadline = replica_clock(r) + r->config.election_ns;
    r->stopped = stopped;
    replica_step(r, (struct input){.kind = INPUT_TRANSFER, .node = NODE_NONE});
    on_turn(r);
}

void replica_halt(struct replica *r)
{
    r->started = false;
    r->failed = true;
    if (transfer_request(r) != NULL)
        request_finish(transfer_request(r), STATUS_STOPPED, NULL);
    if (r->snapshots.writer != NULL)
        snapshot_write_cancel(r->snapshots.writer);
    catchup_release(r);
    reads_fail_all(r, STATUS_STOPPED);
    keeper_fail_all(r, STATUS_STOPPED);
    proposals_fail_all(r, STATUS_STOPPED);
}

void replica_close(struct replica *r)
{
    replica_halt(r);
    proposals_release(r);
    gate_clear(r);
    journal_close(r->journal);
    if (r->engine != NULL)
        r->ops->release(r->engine);
    mem_free(r->mem, r->engine, r->engine_size);
    if (r->effects != NULL)
        effects_clear(r->effects);
    mem_free(r->mem, r->effects, sizeof *r->effects);
    if (r->machine != NULL)
        machine_free(r->machine);
    keeper_release(r);
    mem_free(r->mem, r, sizeof *r);
}
