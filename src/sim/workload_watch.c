/* Watchers. Each goes along the truth with a finger of its own: what it is given must be exactly
 * what comes next there and passes its filters. When its member dies it goes on elsewhere from
 * where it was, as a client does.
 *
 *     ordered, unique, filtered   the next event given is the next one of the truth
 *     reliable, resumable         none is passed over, over all its members
 *     atomic                      a revision's events come in one batch
 *     bookmarkable                a revision that is said to be complete is complete
 *     create, previous            as the truth has them
 *
 * The one invariant: the finger only moves on past what was given or is not wanted. */
#include "sim/draw.h"
#include "sim/workload_internal.h"

#include <string.h>

#define WATCH_NUMBER_BITS 32

static void watch_wake(void *owner, uint64_t argument);

static void object(struct watch *watch, const char *what, int64_t a, int64_t b)
{
    struct workload *w = watch->workload;
    if (sim_oracle_on(w->sim, "watch"))
        sim_violation(w->sim, "watch", "%s (%lld, %lld), watcher %u at member %u", what,
                      (long long)a, (long long)b, (unsigned)(watch - w->watches), watch->place + 1);
}

/* --- The finger ------------------------------------------------------------------------------ */

static bool wanted(const struct watch *watch, const struct truth_version *v)
{
    return !(v->deleted ? watch->no_delete : watch->no_put) &&
           key_range_contains(&watch->range, v->key->key);
}

/* The next one that it must be given, up to this revision; NULL if there is none. */
static const struct truth_version *expect(struct watch *watch, int64_t upto)
{
    const struct truth *t = watch->workload->truth;
    while (watch->at < t->events_count && t->events[watch->at]->mod <= upto) {
        const struct truth_version *v = t->events[watch->at];
        if (v->mod >= watch->first && wanted(watch, v))
            return v;
        watch->at++;
    }
    return NULL;
}

/* Everything up to this revision is said to have been given. */
static void check_complete(struct watch *watch, int64_t revision)
{
    const struct truth_version *v = expect(watch, revision);
    if (v != NULL)
        object(watch, "an event was passed over", v->mod, revision);
    if (revision >= watch->next)
        watch->next = revision + 1;
}

static void check_previous(struct watch *watch, const struct event *event,
                           const struct truth_version *v)
{
    const struct truth_version *before = v->before;
    if (before != NULL && before->deleted)
        before = NULL;
    if (event->has_previous) {
        if (!watch->previous || before == NULL || !oracle_kv_equal(&event->previous, before))
            object(watch, "a previous value is wrong", v->mod, event->previous.mod_revision);
        return;
    }
    int64_t compacted = store_compacted(workload_store(watch->workload, watch->place));
    if (watch->previous && before != NULL && v->mod > compacted)
        object(watch, "a previous value is missing", v->mod, before->mod);
}

static void check_event(struct watch *watch, const struct event *event)
{
    const struct truth_version *v = expect(watch, INT64_MAX);
    watch->workload->counts.events++;
    if (v == NULL || v->mod != event->kv.mod_revision || !bytes_equal(v->key->key, event->kv.key) ||
        v->deleted != (event->kind == EVENT_DELETE)) {
        object(watch, "another event than the next one", event->kv.mod_revision,
               v == NULL ? 0 : v->mod);
        return;
    }
    if (!v->deleted && !oracle_kv_equal(&event->kv, v))
        object(watch, "an event is wrong", v->mod, event->kv.create_revision);
    check_previous(watch, event, v);
    watch->at++;
}

/* --- Pulling --------------------------------------------------------------------------------- */

static void watch_quit(struct watch *watch, bool close, uint64_t pause)
{
    struct workload *w = watch->workload;
    if (watch->ready)
        w->ready[watch->place]--;
    watch->ready = false;
    if (close)
        watch_close(workload_store(w, watch->place), watch->watcher);
    watch->watcher = NULL;
    watch->place = NOWHERE;
    watch->number++;
    if (!w->stopped)
        sim_at(w->sim, sim_now(w->sim) + pause, watch_wake, w,
               (uint64_t)watch->number << WATCH_NUMBER_BITS | (uint64_t)(watch - w->watches));
}

/* What it was waiting for is gone. It goes on with what is left, as a client would. */
static void watch_compacted(struct watch *watch, int64_t compacted)
{
    struct workload *w = watch->workload;
    if (compacted != store_compacted(workload_store(w, watch->place)) || watch->next >= compacted)
        object(watch, "cancelled for a compaction that did not overtake it", watch->next,
               compacted);
    watch->next = compacted;
    watch->at = truth_seek(w->truth, compacted);
    watch_quit(watch, true, 1 + prng_below(w->prng, 50 * WORKLOAD_MS));
}

static void watch_given(struct watch *watch, const struct watch_batch *batch)
{
    for (uint32_t i = 0; i < batch->count; i++) {
        check_event(watch, &batch->events[i]);
        if (batch->events[i].kv.mod_revision > batch->revision)
            object(watch, "an event behind the revision of its batch",
                   batch->events[i].kv.mod_revision, batch->revision);
    }
    check_complete(watch, batch->revision);
}

/* One batch. False: there is nothing more for now. */
static bool watch_pull(struct watch *watch, uint64_t bytes, uint32_t revisions)
{
    struct workload *w = watch->workload;
    struct watch_batch batch;
    arena_reset(&w->scratch);
    enum watch_state state = watch_next(workload_store(w, watch->place), watch->watcher,
                                        &w->scratch, bytes, revisions, &batch);
    switch (state) {
    case WATCH_COMPACTED:
        watch_compacted(watch, batch.compacted);
        return false;
    case WATCH_IDLE:
        watch->ready = false;
        w->ready[watch->place]--;
        watch_given(watch, &batch);
        return false;
    case WATCH_AGAIN:
    case WATCH_EVENTS:
        watch_given(watch, &batch);
        break;
    }
    return true;
}

static void on_ready(void *owner, struct watcher *watcher)
{
    struct watch *watch = *(struct watch **)owner;
    (void)watcher;
    if (!watch->ready)
        watch->workload->ready[watch->place]++;
    watch->ready = true;
}

/* What a front may say at any time: "you have everything up to here". */
static void watch_progress(struct watch *watch)
{
    if (watch->watcher == NULL)
        return;
    const struct store *store = workload_store(watch->workload, watch->place);
    if (watch_synced(store, watch->watcher))
        check_complete(watch, store_revision(store));
}

void watches_turn(struct workload *w, uint32_t place)
{
    for (uint32_t i = 0; w->ready[place] > 0 && i < w->options->watchers; i++) {
        struct watch *watch = &w->watches[i];
        if (watch->place != place || !watch->ready)
            continue;
        if (watch->lazy && !draw_percent(w->prng, 15))
            continue;
        uint64_t bytes = watch->lazy ? prng_below(w->prng, 200) : 262144;
        uint32_t revisions = watch->lazy ? 1 + (uint32_t)prng_below(w->prng, 4) : 1000;
        bool more = watch_pull(watch, bytes, revisions);
        if (more && !watch->lazy)
            (void)watch_pull(watch, bytes, revisions);
        if (watch->watcher == NULL || watch->ready)
            continue;
        watch_progress(watch);
        if (watch->left > 0 && --watch->left == 0)
            watch_quit(watch, true, 1 + prng_below(w->prng, 200 * WORKLOAD_MS));
    }
}

/* --- Opening --------------------------------------------------------------------------------- */

/* Something else to look at: from now on, from before, or from what is still to come. */
static void watch_choose(struct watch *watch, int64_t revision, int64_t *ret_start)
{
    struct workload *w = watch->workload;
    uint64_t filter = prng_below(w->prng, 6);
    watch->range = workload_pick_range(w);
    watch->no_put = filter == 0;
    watch->no_delete = filter == 1;
    watch->previous = draw_percent(w->prng, 50);
    watch->lazy = draw_percent(w->prng, 40);
    watch->left = (uint32_t)draw_between(w->prng, 10, 60);
    *ret_start = 0;
    switch (prng_below(w->prng, 4)) {
    case 0:
        *ret_start = revision + (int64_t)draw_between(w->prng, 1, 20);
        break;
    case 1:
    case 2:
        *ret_start = revision - (int64_t)prng_below(w->prng, 100);
        *ret_start = *ret_start < 1 ? 1 : *ret_start;
        break;
    default:
        break;
    }
    watch->next = *ret_start == 0 ? revision + 1 : *ret_start;
    watch->first = watch->next;
    watch->at = truth_seek(w->truth, watch->next);
}

static void watch_begin(struct watch *watch, uint32_t place)
{
    struct workload *w = watch->workload;
    struct store *store = workload_store(w, place);
    int64_t start = watch->next;
    if (watch->left == 0)
        watch_choose(watch, store_revision(store), &start);
    struct watch_spec spec = {.range = watch->range,
                              .start_revision = start,
                              .no_put = watch->no_put,
                              .no_delete = watch->no_delete,
                              .previous = watch->previous,
                              .owner = &watch,
                              .owner_size = sizeof watch,
                              .on_ready = on_ready};
    watch->place = place;
    watch->watcher = watch_open(store, &spec);
}

static void watch_wake(void *owner, uint64_t argument)
{
    struct workload *w = owner;
    struct watch *watch = &w->watches[argument & ((UINT64_C(1) << WATCH_NUMBER_BITS) - 1)];
    if (watch->number != argument >> WATCH_NUMBER_BITS || watch->watcher != NULL || w->stopped)
        return;
    uint32_t place = (uint32_t)prng_below(w->prng, sim_members(w->sim));
    if (workload_up(w, place) && !sim_paused(w->sim, place)) {
        watch_begin(watch, place);
        return;
    }
    sim_at(w->sim, sim_now(w->sim) + 20 * WORKLOAD_MS, watch_wake, w, argument);
}

/* --- Life ------------------------------------------------------------------------------------ */

void watches_init(struct workload *w)
{
    w->watches = mem_zero(w->mem, w->options->watchers * sizeof *w->watches);
    for (uint32_t i = 0; i < w->options->watchers; i++) {
        w->watches[i].workload = w;
        w->watches[i].place = NOWHERE;
    }
}

void watches_release(struct workload *w)
{
    mem_free(w->mem, w->watches, w->options->watchers * sizeof *w->watches);
}

void watches_start(struct workload *w)
{
    for (uint32_t i = 0; i < w->options->watchers; i++)
        sim_at(w->sim, sim_now(w->sim) + prng_below(w->prng, 500 * WORKLOAD_MS), watch_wake, w, i);
}

void watches_member_down(struct workload *w, uint32_t place)
{
    for (uint32_t i = 0; i < w->options->watchers; i++) {
        if (w->watches[i].place == place)
            watch_quit(&w->watches[i], true, 1 + prng_below(w->prng, 100 * WORKLOAD_MS));
    }
}

void watches_judge(struct workload *w)
{
    for (uint32_t i = 0; i < w->options->watchers; i++) {
        struct watch *watch = &w->watches[i];
        while (watch->watcher != NULL && watch->ready && watch_pull(watch, 4096, 100))
            continue;
        watch_progress(watch);
    }
}
