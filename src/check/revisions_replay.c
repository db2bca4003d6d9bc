/* Replay: the keyspace as the writes make it, one revision after the other, and every answer held
 * against it.
 *
 * The one invariant: `keys` is the state at `revision`; with `logging`, the log leads back to every
 * earlier size of it. */
#include "check/revisions_internal.h"

void rev_replay_init(struct rev_replay *r, struct revisions *a)
{
    *r = (struct rev_replay){.a = a, .revision = 1};
    r->keys = arena_zero(&a->arena, a->keys_count * sizeof *r->keys);
    r->present = arena_zero(&a->arena, (a->keys_count / 64 + 1) * sizeof *r->present);
    buffer_init(&r->undo, a->arena.mem, SIZE_MAX / 2);
}

void rev_replay_release(struct rev_replay *r)
{
    buffer_release(&r->undo);
}

static void key_set(struct rev_replay *r, uint32_t key, const struct rev_key *state)
{
    r->keys[key] = *state;
    uint64_t bit = 1ull << (key % 64);
    if (state->value != 0)
        r->present[key / 64] |= bit;
    else
        r->present[key / 64] &= ~bit;
}

static void key_change(struct rev_replay *r, uint32_t key, const struct rev_key *state)
{
    if (r->logging) {
        struct rev_undo undo = {.key = key, .before = r->keys[key]};
        buffer_append(&r->undo, bytes_of(&undo, sizeof undo));
    }
    key_set(r, key, state);
}

void rev_replay_undo(struct rev_replay *r, size_t size)
{
    while (r->undo.size > size) {
        r->undo.size -= sizeof(struct rev_undo);
        const struct rev_undo *undo = (const void *)(r->undo.data + r->undo.size);
        key_set(r, undo->key, &undo->before);
    }
}

/* The first existing key in [from, to); `to` if there is none. */
static uint32_t next_present(const struct rev_replay *r, uint32_t from, uint32_t to)
{
    while (from < to) {
        uint64_t word = r->present[from / 64] >> (from % 64);
        if (word != 0) {
            uint32_t at = from + (uint32_t)__builtin_ctzll(word);
            return at < to ? at : to;
        }
        from = (from / 64 + 1) * 64;
    }
    return to;
}

static int64_t count_present(const struct rev_replay *r, uint32_t from, uint32_t to)
{
    int64_t count = 0;
    while ((from = next_present(r, from, to)) < to) {
        count++;
        from++;
    }
    return count;
}

bool rev_replay_lease_in_use(const struct rev_replay *r, int64_t lease)
{
    uint32_t from;
    uint32_t to;
    rev_lease(r->a, lease, &from, &to);
    for (; from < to; from++) {
        const struct rev_key *key = &r->keys[r->a->attachments[from].key];
        if (key->value != 0 && key->lease == lease)
            return true;
    }
    return false;
}

/* --- writing ------------------------------------------------------------------------------- */

static void play_put(struct rev_replay *r, const struct history_op *op, uint32_t number,
                     int64_t revision)
{
    uint32_t key = rev_key_of(r->a, op->key);
    const struct rev_key *old = &r->keys[key];
    bool exists = old->value != 0;
    struct rev_key state = {.value = op->value,
                            .writer = number + 1,
                            .create = exists ? old->create : revision,
                            .mod = revision,
                            .version = exists ? old->version + 1 : 1,
                            .lease = op->lease};
    key_change(r, key, &state);
}

static int64_t play_delete(struct rev_replay *r, const struct history_op *op, uint32_t number)
{
    struct rev_key gone = {.writer = number + 1};
    uint32_t from;
    uint32_t to;
    int64_t count = 0;
    rev_range(r->a, op->key, op->end, &from, &to);
    while ((from = next_present(r, from, to)) < to) {
        key_change(r, from++, &gone);
        count++;
    }
    return count;
}

static int64_t play_revoke(struct rev_replay *r, int64_t lease, uint32_t number)
{
    struct rev_key gone = {.writer = number + 1};
    uint32_t from;
    uint32_t to;
    int64_t count = 0;
    rev_lease(r->a, lease, &from, &to);
    for (; from < to; from++) {
        uint32_t key = r->a->attachments[from].key;
        if (r->keys[key].value == 0 || r->keys[key].lease != lease)
            continue;
        key_change(r, key, &gone);
        count++;
    }
    return count;
}

bool rev_replay_branch(struct rev_replay *r, uint32_t number, bool succeeded, int64_t revision)
{
    const struct history_operation *o = &r->a->h->operations[number];
    const struct history_op *ops = succeeded ? o->then : o->otherwise;
    uint32_t count = succeeded ? o->then_count : o->otherwise_count;
    bool changed = false;
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].kind == HISTORY_PUT)
            play_put(r, &ops[i], number, revision);
        changed |= ops[i].kind == HISTORY_PUT ||
                   (ops[i].kind == HISTORY_DELETE && play_delete(r, &ops[i], number) > 0) ||
                   (ops[i].kind == HISTORY_REVOKE && play_revoke(r, ops[i].lease, number) > 0);
    }
    return changed;
}

/* --- reading ------------------------------------------------------------------------------- */

static bool compare_holds(const struct rev_replay *r, const struct history_compare *compare)
{
    const struct rev_key *key = &r->keys[rev_key_of(r->a, compare->key)];
    switch (compare->kind) {
    case HISTORY_COMPARE_VALUE:
        return key->value == compare->value;
    case HISTORY_COMPARE_EXISTS:
        return (key->value != 0) == compare->exists;
    case HISTORY_COMPARE_MOD:
        break;
    }
    return compare->mod == (key->value != 0 ? key->mod : 0);
}

bool rev_replay_holds(const struct rev_replay *r, const struct history_operation *operation)
{
    for (uint32_t i = 0; i < operation->compares_count; i++) {
        if (!compare_holds(r, &operation->compares[i]))
            return false;
    }
    return true;
}

static void say_state(const struct rev_replay *r, struct text *text, uint32_t key)
{
    const struct rev_key *state = &r->keys[key];
    if (state->value != 0) {
        rev_say_pair(r->a, text, r->a->strings[key], state->value, state->create, state->mod,
                     state->version);
    } else {
        rev_say_string(r->a, text, r->a->strings[key]);
        text_add(text, " does not exist");
    }
}

/* Who made the key what it is. */
static uint32_t made_by(const struct rev_replay *r, uint32_t key)
{
    return r->keys[key].writer - 1;
}

/* Is `pair` (NULL: missing) what the key is now? */
static bool check_pair(struct rev_replay *r, uint32_t key, const struct history_pair *pair,
                       uint32_t number, uint32_t place)
{
    const struct rev_key *state = &r->keys[key];
    const char *rule = NULL;
    if ((pair == NULL ? 0 : pair->value) != state->value)
        rule = "value";
    else if (pair != NULL && pair->mod != state->mod)
        rule = "mod revision";
    else if (pair != NULL && pair->create != state->create)
        rule = "create revision";
    else if (pair != NULL && pair->version != state->version)
        rule = "version";
    if (rule == NULL)
        return true;
    struct text *text = rev_refute(r->a, place, rule, number, made_by(r, key));
    text_add(text, "it found ");
    if (pair != NULL)
        rev_say_pair(r->a, text, pair->key, pair->value, pair->create, pair->mod, pair->version);
    else
        text_add(text, "nothing");
    rev_say_number(text, ", but at revision ", r->revision);
    text_add(text, " ");
    say_state(r, text, key);
    return false;
}

static bool refute_count(struct rev_replay *r, const char *rule, const char *what, int64_t said,
                         int64_t real, uint32_t number, uint32_t place)
{
    struct text *text = rev_refute(r->a, place, rule, number, CHECK_NOBODY);
    rev_say_number(text, what, said);
    rev_say_number(text, ", but at revision ", r->revision);
    rev_say_number(text, " there are ", real);
    return false;
}

static bool check_range(struct rev_replay *r, const struct history_op *op, uint32_t number,
                        uint32_t place)
{
    uint32_t from;
    uint32_t to;
    rev_range(r->a, op->key, op->end, &from, &to);
    uint32_t at = from;
    for (uint32_t i = 0; i < op->found_count; i++) {
        uint32_t key = rev_key_of(r->a, op->found[i].key);
        at = next_present(r, at, to);
        if (at == to || key < at)
            return check_pair(r, key, &op->found[i], number, place) &&
                   refute_count(r, "order", "it found a key out of order or outside: keys found ",
                                op->found_count, count_present(r, from, to), number, place);
        if (key > at)
            return check_pair(r, at, NULL, number, place);
        if (!check_pair(r, at++, &op->found[i], number, place))
            return false;
    }
    int64_t count = count_present(r, from, to);
    int64_t shown = op->limit > 0 && op->limit < count ? op->limit : count;
    if (op->found_count < shown)
        return check_pair(r, next_present(r, at, to), NULL, number, place);
    if (op->found_count > shown)
        return refute_count(r, "limit", "keys found ", op->found_count, shown, number, place);
    if (op->count != count)
        return refute_count(r, "count", "it counted ", op->count, count, number, place);
    if (op->more != (shown < count))
        return refute_count(r, "more",
                            op->more ? "it said that there are more than "
                                     : "it said that there are no more than ",
                            op->found_count, count, number, place);
    return true;
}

static bool check_op(struct rev_replay *r, const struct history_op *op, uint32_t number,
                     uint32_t place)
{
    if (op->kind == HISTORY_RANGE)
        return check_range(r, op, number, place);
    return check_pair(r, rev_key_of(r->a, op->key), op->found_count > 0 ? op->found : NULL, number,
                      place);
}

/* --- an item ------------------------------------------------------------------------------- */

static bool refute_branch(struct rev_replay *r, const struct rev_item *item, uint32_t place)
{
    const struct history_operation *o = &r->a->h->operations[item->op];
    uint32_t other = CHECK_NOBODY;
    for (uint32_t i = 0; i < o->compares_count && other == CHECK_NOBODY; i++)
        other = made_by(r, rev_key_of(r->a, o->compares[i].key));
    struct text *text = rev_refute(r->a, place, "branch", item->op, other);
    rev_say_number(text, "at revision ", item->revision);
    text_add(text, item->succeeded ? " its compares do not hold, but it took the branch `then`: "
                                   : " its compares hold, but it took the branch `else`: ");
    for (uint32_t i = 0; i < o->compares_count; i++) {
        text_add(text, i > 0 ? ", " : "");
        say_state(r, text, rev_key_of(r->a, o->compares[i].key));
    }
    return false;
}

static bool play_op(struct rev_replay *r, const struct history_op *op, const struct rev_item *item,
                    uint32_t place)
{
    switch (op->kind) {
    case HISTORY_PUT:
        play_put(r, op, item->op, item->revision);
        return true;
    case HISTORY_GET:
    case HISTORY_RANGE:
        return op->at != 0 || check_op(r, op, item->op, place);
    case HISTORY_DELETE:
        break;
    case HISTORY_REVOKE:
        /* If it was this one that wrote its revision then it has done so: see the gaps. */
        return !rev_replay_lease_in_use(r, op->lease) ||
               refute_count(r, "revoked lease", "keys deleted: ", 0, 1, item->op, place);
    }
    int64_t deleted = play_delete(r, op, item->op);
    return deleted == op->count ||
           refute_count(r, "deleted", "keys deleted: ", op->count, deleted, item->op, place);
}

/* What an operation read at an older revision, when the replay is there. */
static bool play_past(struct rev_replay *r, const struct rev_item *item, uint32_t place)
{
    uint32_t count;
    const struct history_op *ops = history_taken(&r->a->h->operations[item->op], &count);
    for (uint32_t i = 0; i < count; i++) {
        if (ops[i].at == item->revision && !check_op(r, &ops[i], item->op, place))
            return false;
    }
    return true;
}

static bool refute_idle(struct rev_replay *r, const struct rev_item *item, uint32_t place)
{
    struct text *text = rev_refute(r->a, place, "phantom", item->op, CHECK_NOBODY);
    rev_say_number(text, "its value was seen as written at revision ", item->revision);
    text_add(text, ", where it changes nothing");
    return false;
}

bool rev_replay_item(struct rev_replay *r, const struct rev_item *item, uint32_t place)
{
    const struct history_operation *o = &r->a->h->operations[item->op];
    r->revision = item->revision;
    if (item->kind == REV_PAST)
        return play_past(r, item, place);
    if (rev_replay_holds(r, o) != item->succeeded)
        return refute_branch(r, item, place);
    if (o->outcome != HISTORY_OK)
        return rev_replay_branch(r, item->op, item->succeeded, item->revision) ||
               refute_idle(r, item, place);
    uint32_t count;
    const struct history_op *ops = history_taken(o, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (!play_op(r, &ops[i], item, place))
            return false;
    }
    return true;
}
