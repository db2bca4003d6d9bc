/* Effects: the ordered list that a step fills in. Heads are copied into the list and entries are
 * referenced by it, so nothing in it depends on what the engine does next.
 *
 * The one invariant: the order of the list is the order of the calls. The durability gate of the
 * host is nothing but that order: a SEND waits for the records that stand before it. */
#include "consensus/engine.h"

#include "base/panic.h"

#include <string.h>

void effects_init(struct effects *fx, struct lsn lsn_last)
{
    fx->count = 0;
    fx->heads_used = 0;
    fx->lsn_last = lsn_last;
}

void effects_clear(struct effects *fx)
{
    for (uint32_t i = 0; i < fx->count; i++)
        blob_drop(fx->items[i].entry);
    fx->count = 0;
    fx->heads_used = 0;
}

static struct effect *effects_add(struct effects *fx, enum effect_kind kind)
{
    ensure(fx->count < EFFECTS_MAX);
    struct effect *effect = &fx->items[fx->count++];
    memset(effect, 0, sizeof *effect);
    effect->kind = kind;
    return effect;
}

static struct bytes effects_keep_head(struct effects *fx, struct bytes head)
{
    ensure(head.size <= EFFECTS_HEADS_MAX - fx->heads_used);
    uint8_t *at = fx->heads + fx->heads_used;
    if (head.size > 0)
        memcpy(at, head.data, head.size);
    fx->heads_used += head.size;
    return bytes_of(at, head.size);
}

struct lsn effects_persist(struct effects *fx, enum record_type type, uint64_t slot,
                           struct bytes head, struct blob *entry)
{
    struct effect *effect = effects_add(fx, EFFECT_PERSIST);
    fx->lsn_last.value++;
    effect->lsn = fx->lsn_last;
    effect->type = (uint8_t)type;
    effect->slot = slot;
    effect->head = effects_keep_head(fx, head);
    effect->entry = blob_keep(entry);
    return effect->lsn;
}

static struct effect *effects_add_send(struct effects *fx, enum effect_kind kind, uint16_t to,
                                       struct bytes head, struct blob *entry)
{
    struct effect *effect = effects_add(fx, kind);
    effect->to = to;
    effect->until = TIME_NEVER;
    effect->head = effects_keep_head(fx, head);
    effect->entry = blob_keep(entry);
    return effect;
}

void effects_send(struct effects *fx, uint16_t to, struct bytes head, struct blob *entry)
{
    effects_add_send(fx, EFFECT_SEND, to, head, entry);
}

void effects_send_early(struct effects *fx, uint16_t to, struct bytes head, struct blob *entry)
{
    effects_add_send(fx, EFFECT_SEND_EARLY, to, head, entry);
}

void effects_send_until(struct effects *fx, uint16_t to, struct bytes head, uint64_t until)
{
    effects_add_send(fx, EFFECT_SEND_EARLY, to, head, NULL)->until = until;
}

void effects_deliver(struct effects *fx, uint64_t slot, struct bytes mark, struct blob *entry)
{
    ensure(mark.size <= MARK_MAX);
    struct effect *effect = effects_add(fx, EFFECT_DELIVER);
    effect->slot = slot;
    effect->head = effects_keep_head(fx, mark);
    effect->entry = blob_keep(entry);
}

void effects_read_ok(struct effects *fx, uint64_t token, uint64_t slot, uint64_t until)
{
    struct effect *effect = effects_add(fx, EFFECT_READ_OK);
    effect->token = token;
    effect->slot = slot;
    effect->until = until;
}

void effects_read_fail(struct effects *fx, uint64_t token)
{
    effects_add(fx, EFFECT_READ_FAIL)->token = token;
}

void effects_reject(struct effects *fx, uint64_t token, uint16_t leader)
{
    struct effect *effect = effects_add(fx, EFFECT_REJECT);
    effect->token = token;
    effect->to = leader;
}

void effects_fetch(struct effects *fx, uint16_t to, uint64_t slot)
{
    struct effect *effect = effects_add(fx, EFFECT_FETCH);
    effect->to = to;
    effect->slot = slot;
}

void effects_role(struct effects *fx, enum role role, uint16_t leader, struct ballot ballot)
{
    struct effect *effect = effects_add(fx, EFFECT_ROLE);
    effect->role = role;
    effect->to = leader;
    effect->ballot = ballot;
}
