/* Squeezing: what a compaction made unreadable is freed, a slice at a time.
 *
 * A pass works on the versions older than its target, from the newest to the oldest. Of each key it
 * meets first the version that stays: that one cuts its chain, and everything behind the cut is
 * marked, link by link, as the pass comes to it. So a slice costs what it frees, however long a
 * chain is. A deletion older than the target goes too, and with it a key that has nothing newer.
 *
 * What is at the target itself stays whole: a watch from exactly there still sees its deletions,
 * and the version before each of its events. */
#include "base/panic.h"
#include "base/planted.h"
#include "store/store_internal.h"

/* Marks the version for the pass to free when it comes by; one that earlier passes left is behind
 * the pass's end, and is freed now. */
static void squeeze_drop(struct store *store, struct history_place *place, struct version *v)
{
    if (v->mod >= store->squeeze.floor) {
        v->flags |= VERSION_GARBAGE;
        return;
    }
    ensure(v->prev == NULL && !version_tombstone(v));
    struct history_place at = history_seek(&store->history, v->mod, v->sub);
    struct history_place next = at;
    struct version *found = history_next(&store->history, &next);
    ensure(found == v);
    at = (struct history_place){next.chunk, next.index - 1};
    history_remove(&store->history, &at);
    if (at.chunk == place->chunk)
        place->index--;
    else if (at.chunk + 1 < place->chunk && history_tidy(&store->history, at.chunk))
        place->chunk--;
    if (v->key->newest == NULL)
        key_free(&store->mem, v->key);
    store->garbage -= version_cost(v);
    version_free(&store->mem, v);
}

/* Frees the version behind the place. */
static void squeeze_free(struct store *store, struct history_place *place, struct version *v)
{
    history_remove(&store->history, place);
    struct version *prev = v->prev;
    if (prev != NULL)
        squeeze_drop(store, place, prev);
    else if (v->key->newest == NULL)
        key_free(&store->mem, v->key);
    store->garbage -= version_cost(v);
    version_free(&store->mem, v);
}

/* A deletion older than the target: nobody can ask for it any more. */
static void squeeze_tombstone(struct store *store, struct version *v)
{
    struct version *successor = version_successor(v);
    if (successor != NULL) {
        successor->prev = NULL;
        return;
    }
    ensure(v->key->newest == v);
    tree_remove(&store->keys, v->key);
    store->garbage -= key_cost(v->key);
    v->key->newest = NULL;
}

static void squeeze_visit(struct store *store, struct history_place *place, struct version *v)
{
    bool garbage = (v->flags & VERSION_GARBAGE) != 0;
    if (!garbage && !version_tombstone(v)) {
        struct version *prev = v->prev;
        v->prev = NULL;
        if (prev != NULL)
            squeeze_drop(store, place, prev);
        return;
    }
    if (!garbage)
        squeeze_tombstone(store, v);
    squeeze_free(store, place, v);
}

/* The chunks around the end of the pass were thinned while it stood in them: tidied last. */
static void squeeze_end(struct store *store, size_t chunk)
{
    size_t from = chunk == 0 ? 0 : chunk - 1;
    for (size_t i = chunk + 2; i-- > from;) {
        if (i < store->history.count)
            history_tidy(&store->history, i);
    }
    store->squeeze.active = false;
    store->squeeze.floor = store->squeeze.target;
}

bool squeeze_slice(struct store *store, uint32_t budget)
{
    struct squeeze *squeeze = &store->squeeze;
    struct history_place place = history_seek(&store->history, squeeze->mod, squeeze->sub);
    size_t chunk = place.chunk;
    for (; budget > 0; budget--) {
        struct version *v = history_prev(&store->history, &place);
        if (place.chunk != chunk)
            history_tidy(&store->history, chunk);
        if (v == NULL || v->mod < squeeze->floor) {
            squeeze_end(store, place.chunk);
            return false;
        }
        squeeze->mod = v->mod;
        squeeze->sub = v->sub;
        squeeze_visit(store, &place, v);
        chunk = place.chunk;
    }
    return true;
}

bool store_work(struct store *store, uint32_t budget)
{
    struct squeeze *squeeze = &store->squeeze;
    if (!squeeze->active) {
        /* A saver walks the history as it is; the next pass waits for it. */
        if (squeeze->floor >= store->compacted || store->savers > 0)
            return false;
        squeeze->active = true;
        squeeze->target = store->compacted + (planted(STORE_SQUEEZE_TOO_FAR) ? 1 : 0);
        squeeze->mod = squeeze->target;
        squeeze->sub = 0;
    }
    squeeze_slice(store, budget == 0 ? 1 : budget);
    return squeeze->active || (squeeze->floor < store->compacted && store->savers == 0);
}
