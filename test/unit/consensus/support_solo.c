/* See support_solo.h. */
#include "consensus/support_solo.h"

#include "base/panic.h"
#include "consensus/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void *solo_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new > 0)
        return realloc(at, size_new);
    free(at);
    return NULL;
}

static void solo_panic(const char *file, int line, const char *what)
{
    fprintf(stderr, "%s:%d: %s\n", file, line, what);
    abort();
}

static void solo_init(struct solo *s)
{
    s->p = malloc(engine_raft.size(&s->config));
    engine_raft.init(s->p, &s->config);
}

struct solo *solo_new(uint32_t members)
{
    struct solo *s = calloc(1, sizeof *s);
    panic_set_hook(solo_panic);
    s->mem.resize = solo_resize;
    s->fx = calloc(1, sizeof *s->fx);
    s->now = 1000 * MS;
    s->configuration.count = members;
    s->configuration.quorums = quorum_majority(members);
    for (uint32_t i = 0; i < members; i++)
        s->configuration.members[i] = (struct member){.id = i + 1, .node = (uint16_t)(i + 1)};
    s->config = (struct engine_config){.era = 1,
                                       .self = 1,
                                       .configuration = &s->configuration,
                                       .heartbeat_ns = 100 * MS,
                                       .election_ns = 1000 * MS,
                                       .window_slots = 16,
                                       .window_bytes = 4096,
                                       .tail_slots = 8,
                                       .tail_bytes = 4096,
                                       .seed = 7};
    solo_init(s);
    effects_init(s->fx, (struct lsn){0});
    solo_step(s, (struct input){.kind = INPUT_START});
    return s;
}

static void solo_drop_records(struct solo *s, uint32_t count)
{
    while (s->records_count > count)
        blob_drop(s->records[--s->records_count].entry);
}

void solo_free(struct solo *s)
{
    effects_clear(s->fx);
    engine_raft.release(s->p);
    solo_drop_records(s, 0);
    assert_int_equal(s->mem.used, 0);
    free(s->p);
    free(s->fx);
    free(s);
}

static void solo_write(struct solo *s, const struct effect *effect)
{
    assert_true(s->records_count < SOLO_RECORDS);
    struct solo_record *record = &s->records[s->records_count++];
    record->type = effect->type;
    record->slot = effect->slot;
    record->lsn = effect->lsn.value;
    record->head_size = (uint8_t)effect->head.size;
    memcpy(record->head, effect->head.data, effect->head.size);
    record->entry = blob_keep(effect->entry);
}

void solo_step(struct solo *s, struct input input)
{
    input.now = s->now;
    effects_clear(s->fx);
    engine_raft.step(s->p, &input, s->fx);
    engine_raft.check(s->p);
    for (uint32_t i = 0; i < s->fx->count; i++)
        if (s->fx->items[i].kind == EFFECT_PERSIST)
            solo_write(s, &s->fx->items[i]);
}

void solo_durable(struct solo *s)
{
    solo_step(s, (struct input){.kind = INPUT_DURABLE, .lsn = s->fx->lsn_last});
}

void solo_wait(struct solo *s, uint64_t duration)
{
    uint64_t end = s->now + duration;
    for (uint64_t wake = engine_raft.wake(s->p); wake <= end; wake = engine_raft.wake(s->p)) {
        s->now = wake > s->now ? wake : s->now;
        solo_step(s, (struct input){.kind = INPUT_TIME});
    }
    s->now = end;
}

void solo_restart(struct solo *s, uint32_t count, uint64_t snapshot, uint64_t snapshot_term)
{
    uint8_t mark[RAFT_MARK_SIZE];
    effects_clear(s->fx);
    engine_raft.release(s->p);
    free(s->p);
    solo_drop_records(s, count);
    solo_init(s);
    effects_init(s->fx, (struct lsn){count > 0 ? s->records[count - 1].lsn : 0});
    if (snapshot > 0)
        solo_step(s, (struct input){.kind = INPUT_SNAPSHOT,
                                    .slot = snapshot,
                                    .head = raft_mark_encode(snapshot_term, mark)});
    for (uint32_t i = 0; i < count; i++) {
        const struct solo_record *record = &s->records[i];
        solo_step(s, (struct input){.kind = INPUT_RECORD,
                                    .type = record->type,
                                    .lsn = {record->lsn},
                                    .slot = record->slot,
                                    .head = bytes_of(record->head, record->head_size),
                                    .entry = record->entry});
    }
    solo_step(s, (struct input){.kind = INPUT_START});
}

static void solo_give(struct solo *s, uint16_t from, struct raft_message message,
                      struct blob *entry)
{
    uint8_t buffer[RAFT_HEAD_MAX];
    solo_step(s, (struct input){.kind = INPUT_MESSAGE,
                                .from = from,
                                .head = raft_message_encode(&message, 1, buffer),
                                .entry = entry});
}

void solo_message(struct solo *s, uint16_t from, struct raft_message message)
{
    solo_give(s, from, message, NULL);
}

void solo_append(struct solo *s, uint16_t from, uint64_t term, uint64_t slot, uint64_t log_term,
                 uint64_t prev_term)
{
    uint8_t value[16];
    store_u64(value, log_term);
    store_u64(value + 8, slot);
    struct blob *entry = blob_copy(&s->mem, bytes_of(value, sizeof value));
    solo_give(s, from,
              (struct raft_message){.kind = RAFT_APPEND,
                                    .term = term,
                                    .slot = slot,
                                    .log_term = log_term,
                                    .prev_term = prev_term},
              entry);
    blob_drop(entry);
}

static bool effect_is(const struct effect *effect, uint16_t to, enum raft_kind kind)
{
    return (effect->kind == EFFECT_SEND || effect->kind == EFFECT_SEND_EARLY) && effect->to == to &&
           effect->head.data[0] == kind;
}

bool solo_sent(const struct solo *s, uint16_t to, enum raft_kind kind,
               struct raft_message *ret_message)
{
    for (uint32_t i = s->fx->count; i > 0; i--)
        if (effect_is(&s->fx->items[i - 1], to, kind))
            return raft_message_decode(s->fx->items[i - 1].head, 1, ret_message);
    return false;
}

bool solo_sends(const struct solo *s, uint16_t to, enum raft_kind kind, bool gated)
{
    for (uint32_t i = 0; i < s->fx->count; i++)
        if (effect_is(&s->fx->items[i], to, kind))
            return (s->fx->items[i].kind == EFFECT_SEND) == gated;
    return false;
}

uint32_t solo_count(const struct solo *s, enum effect_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->fx->count; i++)
        count += s->fx->items[i].kind == kind ? 1 : 0;
    return count;
}

uint32_t solo_count_sent(const struct solo *s, uint16_t to, enum raft_kind kind)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < s->fx->count; i++)
        count += effect_is(&s->fx->items[i], to, kind) ? 1 : 0;
    return count;
}

void solo_lead(struct solo *s)
{
    uint64_t term = s->p->term;
    assert_int_not_equal(s->p->leader, NODE_NONE);
    for (uint16_t node = 2; node <= s->configuration.count; node++) /* everybody is there */
        solo_message(s, node, (struct raft_message){.kind = RAFT_NACK, .term = term});
    solo_message(s, s->p->leader, (struct raft_message){.kind = RAFT_TRANSFER_NOW, .term = term});
    assert_int_equal(s->p->phase, RAFT_STANDING);
    solo_durable(s);
    for (uint16_t node = 2; !raft_leads(s->p); node++)
        solo_message(s, node,
                     (struct raft_message){.kind = RAFT_VOTE_REPLY,
                                           .flags = RAFT_FLAG_GRANTED,
                                           .term = term + 1,
                                           .id = s->p->attempt});
    assert_int_equal(s->p->term, term + 1);
}

void solo_follow(struct solo *s, uint16_t from, uint64_t term)
{
    solo_message(s, from, (struct raft_message){.kind = RAFT_COMMIT, .term = term});
    assert_int_equal(s->p->leader, from);
    assert_int_equal(s->p->term, term);
}
