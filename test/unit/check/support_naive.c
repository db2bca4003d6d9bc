#include "check/support_naive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

void naive_know(struct naive *n, uint32_t key)
{
    uint32_t at = 0;
    for (; at < n->keys_count; at++) {
        int order = bytes_compare(n->h->strings[n->now.keys[at].key], n->h->strings[key]);
        if (order == 0)
            return;
        if (order > 0)
            break;
    }
    assert_true(n->keys_count < NAIVE_KEYS);
    memmove(&n->now.keys[at + 1], &n->now.keys[at], (n->keys_count - at) * sizeof n->now.keys[0]);
    n->now.keys[at] = (struct naive_key){.key = key};
    n->keys_count++;
    n->past[1] = n->now;
}

static void know_ops(struct naive *n, const struct history_op *ops, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind != HISTORY_REVOKE && ops[i].end == 0)
            naive_know(n, ops[i].key);
        for (uint32_t j = 0; j < ops[i].found_count; j++)
            naive_know(n, ops[i].found[j].key);
    }
}

void naive_init(struct naive *n, const struct history *h)
{
    memset(n, 0, sizeof *n);
    n->h = h;
    n->now.revision = 1;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        for (uint32_t j = 0; j < o->compares_count; j++)
            naive_know(n, o->compares[j].key);
        know_ops(n, o->then, o->then_count);
        know_ops(n, o->otherwise, o->otherwise_count);
    }
    n->past[1] = n->now;
}

static bool in_range(const struct naive *n, const struct history_op *op, uint32_t key)
{
    struct bytes bytes = n->h->strings[key];
    if (op->end == 0)
        return key == op->key;
    struct bytes end = n->h->strings[op->end];
    bool open = end.size == 1 && end.data[0] == 0;
    return bytes_compare(bytes, n->h->strings[op->key]) >= 0 &&
           (open || bytes_compare(bytes, end) < 0);
}

bool naive_holds(const struct naive *n, const struct history_operation *o)
{
    for (uint32_t i = 0; i < o->compares_count; i++) {
        const struct history_compare *c = &o->compares[i];
        const struct naive_key *key = NULL;
        for (uint32_t j = 0; j < n->keys_count; j++) {
            if (n->now.keys[j].key == c->key)
                key = &n->now.keys[j];
        }
        assert_non_null(key);
        bool exists = key->value != 0;
        if (c->kind == HISTORY_COMPARE_VALUE && key->value != c->value)
            return false;
        if (c->kind == HISTORY_COMPARE_EXISTS && exists != c->exists)
            return false;
        if (c->kind == HISTORY_COMPARE_MOD && (exists ? key->mod : 0) != c->mod)
            return false;
    }
    return true;
}

static void naive_range(const struct naive *n, const struct naive_state *state,
                        const struct history_op *op, struct naive_answer *answer)
{
    for (uint32_t i = 0; i < n->keys_count; i++) {
        const struct naive_key *key = &state->keys[i];
        if (key->value == 0 || !in_range(n, op, key->key))
            continue;
        answer->count++;
        if (op->limit > 0 && answer->count > op->limit) {
            answer->more = true;
            continue;
        }
        answer->found[answer->found_count++] =
            (struct history_pair){key->key, key->value, key->create, key->mod, key->version};
    }
}

void naive_play(struct naive *n, const struct history_op *ops, uint32_t count,
                struct naive_answer *ret_answers)
{
    int64_t revision = n->now.revision + 1;
    bool changed = false;
    assert_true(count <= NAIVE_OPS);
    memset(ret_answers, 0, count * sizeof *ret_answers);
    for (uint32_t i = 0; i < count; i++) {
        const struct history_op *op = &ops[i];
        struct naive_answer *answer = &ret_answers[i];
        if (op->kind == HISTORY_GET || op->kind == HISTORY_RANGE) {
            bool past = op->at > 0 && op->at <= n->now.revision;
            naive_range(n, past ? &n->past[op->at] : &n->now, op, answer);
            answer->count = op->kind == HISTORY_GET ? 0 : answer->count;
            continue;
        }
        for (uint32_t j = 0; j < n->keys_count; j++) {
            struct naive_key *key = &n->now.keys[j];
            if (op->kind == HISTORY_PUT) {
                if (key->key != op->key)
                    continue;
                key->create = key->value == 0 ? revision : key->create;
                key->version = key->value == 0 ? 1 : key->version + 1;
                key->value = op->value;
                key->mod = revision;
                key->lease = op->lease;
                changed = true;
            } else if (key->value != 0 && (op->kind == HISTORY_DELETE ? in_range(n, op, key->key)
                                                                      : key->lease == op->lease)) {
                *key = (struct naive_key){.key = key->key};
                answer->count += op->kind == HISTORY_DELETE;
                changed = true;
            }
        }
    }
    if (!changed)
        return;
    assert_true(revision < NAIVE_REVISIONS);
    n->now.revision = revision;
    n->past[revision] = n->now;
}

/* --- every order --------------------------------------------------------------------------- */

struct brute {
    struct naive n;
    bool revisions;
    bool placed[16];
};

static bool same_answer(const struct history_op *op, const struct naive_answer *answer,
                        bool revisions)
{
    if (op->kind == HISTORY_PUT || op->kind == HISTORY_REVOKE || (op->at != 0 && !revisions))
        return true;
    if (op->found_count != answer->found_count || op->count != answer->count ||
        op->more != answer->more)
        return false;
    for (uint32_t i = 0; i < op->found_count; i++) {
        const struct history_pair *a = &op->found[i];
        const struct history_pair *b = &answer->found[i];
        if (a->key != b->key || a->value != b->value)
            return false;
        if (revisions && (a->create != b->create || a->mod != b->mod || a->version != b->version))
            return false;
    }
    return true;
}

static bool may_write(const struct history_operation *o)
{
    for (uint32_t i = 0; i < o->then_count; i++) {
        if (o->then[i].kind != HISTORY_GET && o->then[i].kind != HISTORY_RANGE)
            return true;
    }
    for (uint32_t i = 0; i < o->otherwise_count; i++) {
        if (o->otherwise[i].kind != HISTORY_GET && o->otherwise[i].kind != HISTORY_RANGE)
            return true;
    }
    return false;
}

/* Without revisions, a compare of a mod revision says something only if exactly one value is known
 * to have carried it, and was written once: 1 it holds, 0 it does not, -1 nobody can tell. */
static int mod_holds(const struct brute *b, const struct history_compare *c, uint32_t value)
{
    const struct history *h = b->n.h;
    uint32_t named = 0;
    bool several = false;
    uint32_t writers = 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        uint32_t taken;
        const struct history_op *ops = history_taken(o, &taken);
        for (uint32_t j = 0; o->outcome == HISTORY_OK && j < taken; j++) {
            uint32_t pairs = ops[j].kind == HISTORY_PUT ? 1 : ops[j].found_count;
            for (uint32_t k = 0; k < pairs; k++) {
                bool put = ops[j].kind == HISTORY_PUT;
                uint32_t key = put ? ops[j].key : ops[j].found[k].key;
                int64_t mod = put ? o->revision : ops[j].found[k].mod;
                uint32_t its = put ? ops[j].value : ops[j].found[k].value;
                if (key != c->key || mod != c->mod)
                    continue;
                several |= named != 0 && named != its;
                named = its;
            }
        }
    }
    if (value == 0)
        return 0;
    if (several || named == 0)
        return -1;
    if (named != value)
        return 0;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        bool writes = false;
        for (uint32_t j = 0; j < o->then_count; j++)
            writes |= o->then[j].kind == HISTORY_PUT && o->then[j].key == c->key &&
                      o->then[j].value == value && (o->outcome != HISTORY_OK || o->succeeded);
        for (uint32_t j = 0; j < o->otherwise_count; j++)
            writes |= o->otherwise[j].kind == HISTORY_PUT && o->otherwise[j].key == c->key &&
                      o->otherwise[j].value == value && (o->outcome != HISTORY_OK || !o->succeeded);
        writers += writes && o->outcome != HISTORY_FAILED;
    }
    return writers > 1 ? -1 : 1;
}

/* Which branches may be taken now: bit 1 the first, bit 0 the other. */
static unsigned branches_now(const struct brute *b, const struct history_operation *o)
{
    if (b->revisions)
        return naive_holds(&b->n, o) ? 2 : 1;
    bool maybe = false;
    for (uint32_t i = 0; i < o->compares_count; i++) {
        struct history_operation one = {.compares = &o->compares[i], .compares_count = 1};
        const struct history_compare *c = one.compares;
        if (c->kind != HISTORY_COMPARE_MOD || c->mod == 0) {
            if (!naive_holds(&b->n, &one))
                return 1;
            continue;
        }
        for (uint32_t j = 0; j < b->n.keys_count; j++) {
            if (b->n.now.keys[j].key != c->key)
                continue;
            int holds = mod_holds(b, c, b->n.now.keys[j].value);
            if (holds == 0)
                return 1;
            maybe |= holds < 0;
        }
    }
    return maybe ? 3 : 2;
}

static bool brute_rest(struct brute *b);

static bool brute_place(struct brute *b, uint32_t which, bool branch)
{
    const struct history_operation *o = &b->n.h->operations[which];
    const struct history_op *ops = branch ? o->then : o->otherwise;
    uint32_t count = branch ? o->then_count : o->otherwise_count;
    struct naive_answer answers[NAIVE_OPS];
    struct naive_state before = b->n.now;
    bool fits = true;
    if (o->outcome == HISTORY_OK && branch != o->succeeded)
        return false;
    naive_play(&b->n, ops, count, answers);
    if (o->outcome == HISTORY_OK) {
        fits = !b->revisions || o->revision == b->n.now.revision;
        for (uint32_t i = 0; i < count; i++) {
            fits = fits && same_answer(&ops[i], &answers[i], b->revisions);
            if (b->revisions && ops[i].at > o->revision)
                fits = false;
        }
    }
    b->placed[which] = true;
    bool found = fits && brute_rest(b);
    b->placed[which] = false;
    b->n.now = before;
    return found;
}

/* Nothing that is not placed yet had returned before this one was called. */
static bool brute_may(const struct brute *b, uint32_t which)
{
    const struct history *h = b->n.h;
    const struct history_operation *o = &h->operations[which];
    if (o->serializable && !may_write(o))
        return true;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *other = &h->operations[i];
        if (!b->placed[i] && other->outcome == HISTORY_OK && other->end < o->call)
            return false;
    }
    return true;
}

static bool brute_rest(struct brute *b)
{
    const struct history *h = b->n.h;
    bool all = true;
    for (uint32_t i = 0; i < h->count; i++)
        all &= b->placed[i] || h->operations[i].outcome != HISTORY_OK;
    if (all)
        return true;
    for (uint32_t i = 0; i < h->count; i++) {
        const struct history_operation *o = &h->operations[i];
        if (b->placed[i] || o->outcome == HISTORY_FAILED || !brute_may(b, i))
            continue;
        unsigned branches = branches_now(b, o);
        if ((branches & 2 && brute_place(b, i, true)) || (branches & 1 && brute_place(b, i, false)))
            return true;
    }
    return false;
}

bool naive_linearizable(const struct history *h, bool revisions)
{
    static struct brute b;
    memset(b.placed, 0, sizeof b.placed);
    assert_true(h->count <= 16);
    naive_init(&b.n, h);
    b.revisions = revisions;
    return brute_rest(&b);
}
