/* Model: the values of keys, without any revision, as a search needs them: each change is logged,
 * and the hash of the whole state follows along. */
#include "check/general_internal.h"

#include "base/hash.h"

void gen_model_init(struct gen_model *m, struct general *g)
{
    *m = (struct gen_model){.g = g};
    m->keys = arena_zero(&g->arena, g->keys_count * sizeof *m->keys);
    buffer_init(&m->log, g->arena.mem, SIZE_MAX / 2);
}

void gen_model_release(struct gen_model *m)
{
    buffer_release(&m->log);
}

static void toggle(struct gen_model *m, const struct gen_key *key)
{
    if (key->slot == 0)
        return;
    struct gen_hash hash = m->g->slots[key->slot].hash;
    if (key->lease != 0) {
        hash.high = hash_fold(hash.high, key->lease);
        hash.low = hash_fold(hash.low, key->lease);
    }
    m->hash.high ^= hash.high;
    m->hash.low ^= hash.low;
}

static void set(struct gen_model *m, uint32_t key, struct gen_key state)
{
    toggle(m, &m->keys[key]);
    m->keys[key] = state;
    toggle(m, &m->keys[key]);
}

static void change(struct gen_model *m, uint32_t key, struct gen_key state)
{
    struct gen_change one = {.key = key, .before = m->keys[key]};
    buffer_append(&m->log, bytes_of(&one, sizeof one));
    set(m, key, state);
}

void gen_model_undo(struct gen_model *m, size_t log_size)
{
    while (m->log.size > log_size) {
        m->log.size -= sizeof(struct gen_change);
        const struct gen_change *one = (const void *)(m->log.data + m->log.size);
        set(m, one->key, one->before);
    }
}

static enum gen_truth test(const struct gen_model *m, const struct gen_test *t)
{
    uint32_t slot = m->keys[t->key].slot;
    switch (t->kind) {
    case HISTORY_COMPARE_VALUE:
        return slot == t->slot ? GEN_YES : GEN_NO;
    case HISTORY_COMPARE_EXISTS:
        return (slot != 0) == t->exists ? GEN_YES : GEN_NO;
    case HISTORY_COMPARE_MOD:
        break;
    }
    if (slot == 0)
        return GEN_NO;
    if (t->nameless)
        return GEN_MAYBE;
    if (slot != t->slot)
        return GEN_NO;
    /* A value that was written twice carried another revision each time. */
    return m->g->slots[slot].writers > 1 ? GEN_MAYBE : GEN_YES;
}

enum gen_truth gen_model_test(const struct gen_model *m, struct gen_span tests)
{
    enum gen_truth all = GEN_YES;
    for (uint32_t i = tests.from; i < tests.to; i++) {
        enum gen_truth one = test(m, &m->g->tests[i]);
        if (one == GEN_NO)
            return GEN_NO;
        if (one == GEN_MAYBE)
            all = GEN_MAYBE;
    }
    return all;
}

static bool play_range(const struct gen_model *m, const struct gen_step *step)
{
    const uint32_t *found = m->g->found + step->found_from;
    uint32_t matched = 0;
    int64_t total = 0;
    for (uint32_t key = step->from; key < step->to; key++) {
        uint32_t slot = m->keys[key].slot;
        if (slot == 0)
            continue;
        total++;
        if (step->limit > 0 && total > step->limit)
            continue;
        if (matched == step->found_count || found[matched] != slot)
            return false;
        matched++;
    }
    return matched == step->found_count && total == step->count && step->more == (matched < total);
}

static int64_t play_delete(struct gen_model *m, const struct gen_step *step)
{
    int64_t deleted = 0;
    for (uint32_t key = step->from; key < step->to; key++) {
        if (m->keys[key].slot == 0)
            continue;
        change(m, key, (struct gen_key){0});
        deleted++;
    }
    return deleted;
}

static void play_revoke(struct gen_model *m, const struct gen_step *step)
{
    for (uint32_t i = step->from; i < step->to; i++) {
        uint32_t key = m->g->attached[i];
        if (m->keys[key].slot != 0 && m->keys[key].lease == step->lease)
            change(m, key, (struct gen_key){0});
    }
}

bool gen_model_play(struct gen_model *m, struct gen_span branch)
{
    for (uint32_t i = branch.from; i < branch.to; i++) {
        const struct gen_step *step = &m->g->steps[i];
        bool fits = true;
        switch (step->kind) {
        case HISTORY_PUT:
            change(m, step->from, (struct gen_key){.slot = step->slot, .lease = step->lease});
            break;
        case HISTORY_GET:
            fits = !step->answered || m->keys[step->from].slot == step->slot;
            break;
        case HISTORY_RANGE:
            fits = !step->answered || play_range(m, step);
            break;
        case HISTORY_DELETE:
            fits = play_delete(m, step) == step->count || !step->answered;
            break;
        case HISTORY_REVOKE:
            play_revoke(m, step);
            break;
        }
        if (!fits)
            return false;
    }
    return true;
}
