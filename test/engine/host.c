/* The host of a transcript; see host.h. It does with effects what every host must: in list order,
 * and a message that claims something waits for the records before it.
 *
 * The one invariant: a member that was started again knows its snapshots, its durable records, and
 * nothing else. */
#include "host.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static void *resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

struct host *host_new(const struct engine_ops *ops, uint32_t count, FILE *out)
{
    struct host *h = calloc(1, sizeof *h);
    h->mem.resize = resize;
    h->ops = ops;
    h->count = count;
    h->now = 1000 * MS;
    h->out = out;
    h->configuration.count = count;
    for (uint32_t i = 0; i < count; i++)
        h->configuration.members[i] = (struct member){.id = i + 1, .node = (uint16_t)(i + 1)};
    h->configuration.quorums = quorum_majority(count);
    h->config = (struct engine_config){
        .era = 1,
        .configuration = &h->configuration,
        .heartbeat_ns = 100 * MS,
        .election_ns = 1000 * MS,
        .window_slots = 8,
        .window_bytes = 1 << 20,
        .tail_slots = 8,
        .tail_bytes = 1 << 20,
        .seed = 1,
    };
    for (uint32_t node = 1; node <= count; node++)
        h->members[node].fx = malloc(sizeof(struct effects));
    return h;
}

static void engine_free(struct host *h, struct host_member *m)
{
    if (m->engine == NULL)
        return;
    effects_clear(m->fx);
    h->ops->release(m->engine);
    free(m->engine);
    m->engine = NULL;
    host_free_messages(&m->held);
}

static void log_cut(struct host_member *m, uint64_t keep)
{
    while (m->log_count > 0 && m->log[m->log_count - 1].lsn > keep)
        blob_drop(m->log[--m->log_count].entry);
    m->written = keep;
    m->durable = keep;
}

void host_free(struct host *h)
{
    for (uint32_t node = 1; node <= h->count; node++) {
        struct host_member *m = &h->members[node];
        engine_free(h, m);
        log_cut(m, 0);
        free(m->log);
        free(m->fx);
    }
    host_free_messages(&h->network);
    if (h->mem.used != 0)
        abort(); /* somebody kept an entry */
    free(h);
}

bool host_up(const struct host *h, uint16_t node)
{
    return h->members[node].engine != NULL;
}

void host_say(struct host *h, const char *format, ...)
{
    if (h->quiet)
        return;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(h->out, format, arguments);
    va_end(arguments);
    fputc('\n', h->out);
}

void host_violation(struct host *h, const char *format, ...)
{
    h->violations++;
    fputs("VIOLATION: ", h->out);
    va_list arguments;
    va_start(arguments, format);
    vfprintf(h->out, format, arguments);
    va_end(arguments);
    fputc('\n', h->out);
}

static void do_persist(struct host *h, uint16_t node, const struct effect *effect)
{
    struct host_member *m = &h->members[node];
    m->log = realloc(m->log, (m->log_count + 1) * sizeof *m->log);
    struct host_record *record = &m->log[m->log_count++];
    *record = (struct host_record){
        .type = effect->type,
        .lsn = effect->lsn.value,
        .slot = effect->slot,
        .head_size = effect->head.size,
        .entry = blob_keep(effect->entry),
    };
    if (effect->head.size > 0)
        memcpy(record->head, effect->head.data, effect->head.size);
    m->written = record->lsn;
    char words[256];
    host_record_words(h, record, words, sizeof words);
    host_say(h, "%u writes #%llu: %s", node, (unsigned long long)record->lsn, words);
}

static void do_deliver(struct host *h, uint16_t node, const struct effect *effect)
{
    struct host_member *m = &h->members[node];
    uint64_t slot = effect->slot;
    char value[HOST_VALUE_MAX];
    const char *words = host_value(effect->entry, value);
    host_say(h, "%u delivers %llu: %s", node, (unsigned long long)slot, words);
    if (slot != m->applied + 1 || slot >= HOST_SLOTS_MAX) {
        host_violation(h, "%u delivers %llu after %llu", node, (unsigned long long)slot,
                       (unsigned long long)m->applied);
        return;
    }
    m->applied = slot;
    m->marks[slot].slot = slot;
    m->marks[slot].size = effect->head.size;
    if (effect->head.size > 0)
        memcpy(m->marks[slot].bytes, effect->head.data, effect->head.size);
    if (!h->chosen[slot]) {
        h->chosen[slot] = true;
        snprintf(h->values[slot], HOST_VALUE_MAX, "%s", words);
    } else if (strcmp(h->values[slot], words) != 0) {
        host_violation(h, "slot %llu was %s and is %s at %u", (unsigned long long)slot,
                       h->values[slot], words, node);
    }
    if (slot > h->chosen_max)
        h->chosen_max = slot;
}

static void do_role(struct host *h, uint16_t node, const struct effect *effect)
{
    static const char *const roles[] = {"follows", "runs", "leads"};
    unsigned long long round = effect->ballot.round;
    if (effect->role == ROLE_FOLLOWER && effect->to == NODE_NONE)
        host_say(h, "%u follows nobody", node);
    else if (effect->role == ROLE_FOLLOWER)
        host_say(h, "%u follows %u, ballot %llu.%u", node, effect->to, round, effect->ballot.node);
    else
        host_say(h, "%u %s, ballot %llu.%u", node, roles[effect->role], round, effect->ballot.node);
}

static void do_read_ok(struct host *h, uint16_t node, const struct effect *effect)
{
    host_say(h, "%u may read %llu at slot %llu", node, (unsigned long long)effect->token,
             (unsigned long long)effect->slot);
    if (effect->token < HOST_READS_MAX && effect->slot < h->read_floor[effect->token])
        host_violation(h, "read %llu misses slot %llu", (unsigned long long)effect->token,
                       (unsigned long long)h->read_floor[effect->token]);
}

static void do_effect(struct host *h, uint16_t node, const struct effect *effect)
{
    unsigned long long token = effect->token;
    switch (effect->kind) {
    case EFFECT_PERSIST:
        do_persist(h, node, effect);
        break;
    case EFFECT_SEND:
    case EFFECT_SEND_EARLY:
        host_send(h, &h->members[node], node, effect);
        break;
    case EFFECT_DELIVER:
        do_deliver(h, node, effect);
        break;
    case EFFECT_READ_OK:
        do_read_ok(h, node, effect);
        break;
    case EFFECT_READ_FAIL:
        host_say(h, "%u cannot confirm read %llu", node, token);
        break;
    case EFFECT_REJECT:
        host_say(h, "%u rejects the proposal, leader %u", node, effect->to);
        break;
    case EFFECT_FETCH:
        host_say(h, "%u fetches from slot %llu at %u", node, (unsigned long long)effect->slot,
                 effect->to);
        break;
    case EFFECT_ROLE:
        do_role(h, node, effect);
        break;
    }
}

static void step_once(struct host *h, uint16_t node, struct input input)
{
    struct host_member *m = &h->members[node];
    input.now = h->now;
    effects_clear(m->fx);
    h->ops->step(m->engine, &input, m->fx);
    h->ops->check(m->engine);
    for (uint32_t i = 0; i < m->fx->count; i++)
        do_effect(h, node, &m->fx->items[i]);
}

void host_sync(struct host *h, uint16_t node, uint64_t lsn)
{
    struct host_member *m = &h->members[node];
    if (lsn > m->written)
        lsn = m->written;
    if (lsn <= m->durable)
        return;
    m->durable = lsn;
    host_release_held(h, node);
    step_once(h, node, (struct input){.kind = INPUT_DURABLE, .lsn = {lsn}});
}

void host_step(struct host *h, uint16_t node, struct input input)
{
    struct host_member *m = &h->members[node];
    step_once(h, node, input);
    while (!m->manual && m->durable < m->written)
        host_sync(h, node, m->written);
}

static const struct host_mark *newest_snapshot(const struct host_member *m)
{
    return m->snapshots_count == 0 ? NULL : &m->snapshots[m->snapshots_count - 1];
}

void host_start(struct host *h, uint16_t node)
{
    struct host_member *m = &h->members[node];
    struct engine_config config = h->config;
    config.self = node;
    config.seed = h->config.seed * 1000 + node;
    m->engine = calloc(1, h->ops->size(&config));
    h->ops->init(m->engine, &config);
    effects_init(m->fx, (struct lsn){m->written});
    m->applied = 0;
    m->trim_lsn = 0;
    const struct host_mark *snapshot = newest_snapshot(m);
    if (snapshot != NULL) {
        m->applied = snapshot->slot;
        step_once(h, node,
                  (struct input){.kind = INPUT_SNAPSHOT,
                                 .slot = snapshot->slot,
                                 .head = bytes_of(snapshot->bytes, snapshot->size)});
    }
    for (uint32_t i = 0; i < m->log_count; i++)
        step_once(h, node,
                  (struct input){.kind = INPUT_RECORD,
                                 .type = m->log[i].type,
                                 .lsn = {m->log[i].lsn},
                                 .slot = m->log[i].slot,
                                 .head = bytes_of(m->log[i].head, m->log[i].head_size),
                                 .entry = m->log[i].entry});
    host_step(h, node, (struct input){.kind = INPUT_START});
}

void host_crash(struct host *h, uint16_t node, uint64_t keep)
{
    struct host_member *m = &h->members[node];
    engine_free(h, m);
    log_cut(m, keep < m->written ? keep : m->written);
    host_say(h, "%u is down, its log ends at #%llu", node, (unsigned long long)m->durable);
}
