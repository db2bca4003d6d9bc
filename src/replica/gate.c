/* The durability gate: the few lines on which the safety of every engine rests. A message that
 * claims something about this member's disk waits here until the journal says that the last record
 * written before the message is durable. The one invariant: messages leave in the order in which
 * they came, and none leaves before its record. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

#include <string.h>

struct held_message {
    struct list link;
    uint64_t lsn;
    uint16_t to;
    struct blob *entry;
    size_t head_size;
    uint8_t head[];
};

#define ENGINE_HEAD_MAX 8192

/* Wraps the engine's head into the message that travels. */
void engine_send(struct replica *r, uint16_t to, struct bytes head, struct blob *entry)
{
    uint8_t raw[MESSAGE_ENGINE_OVERHEAD + ENGINE_HEAD_MAX];
    struct writer w = writer_of(raw, sizeof raw);
    struct message message = {
        .kind = MESSAGE_ENGINE, .disk = r->config.identity->disk, .inner = head};
    message_encode(&w, &message);
    ensure(!w.failed);
    r->world->ops->send(r->world, to, writer_bytes(&w), entry);
}

static void gate_show(const struct replica *r, uint16_t to, uint64_t lsn)
{
    const struct replica_observer *observer = r->config.observer;
    if (observer != NULL && observer->on_release != NULL)
        observer->on_release(observer->owner, to, lsn);
}

void gate_send(struct replica *r, uint16_t to, struct bytes head, struct blob *entry)
{
    uint64_t lsn = journal_last(r->journal);
    if (journal_durable(r->journal) >= lsn || planted(REPLICA_GATE_OPEN)) {
        ensure(list_empty(&r->gate.held));
        gate_show(r, to, lsn);
        engine_send(r, to, head, entry);
        return;
    }
    struct held_message *held = mem_alloc(r->mem, sizeof *held + head.size);
    *held = (struct held_message){.lsn = lsn, .to = to, .head_size = head.size};
    held->entry = blob_keep(entry);
    if (head.size > 0)
        memcpy(held->head, head.data, head.size);
    list_push(&r->gate.held, &held->link);
    r->gate.held_count++;
}

static void gate_release(struct replica *r, struct held_message *held)
{
    list_remove(&held->link);
    r->gate.held_count--;
    blob_drop(held->entry);
    mem_free(r->mem, held, sizeof *held + held->head_size);
}

void gate_open(struct replica *r, uint64_t lsn_durable)
{
    list_each (at, &r->gate.held) {
        struct held_message *held = container_of(at, struct held_message, link);
        if (held->lsn > lsn_durable + (planted(REPLICA_GATE_ONE_EARLY) ? 1 : 0))
            break;
        gate_show(r, held->to, held->lsn);
        engine_send(r, held->to, bytes_of(held->head, held->head_size), held->entry);
        gate_release(r, held);
    }
}

void gate_clear(struct replica *r)
{
    if (planted(REPLICA_STOP_LEAKS))
        return;
    list_each (at, &r->gate.held)
        gate_release(r, container_of(at, struct held_message, link));
}
