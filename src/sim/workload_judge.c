/* The end: what was still under way in watches is pulled, leases that nobody wants must be over,
 * and the histories go to the two checkers.
 *
 * The general checker searches, so it gets histories that are small enough, and a budget; what it
 * could not decide is counted and not held against anybody. */
#include "check/check.h"
#include "sim/workload_internal.h"

#define GENERAL_OPERATIONS_MAX 400u
#define GENERAL_STEPS 20000u
#define REVISIONS_STEPS 200000u
/* A run with fewer questions may well end without an answer. */
#define VACUOUS_ASKED 10u

static void object(struct workload *w, const char *by, const struct check_verdict *verdict)
{
    if (sim_oracle_on(w->sim, "linearizable"))
        sim_violation(w->sim, "linearizable", "by %s: %s: %s", by, verdict->rule, verdict->what);
}

/* --- Writes without an answer ---------------------------------------------------------------- */

/* The number that makes a value unique; 0 for what no client wrote. */
static uint64_t value_number(const struct workload *w, struct bytes value)
{
    uint64_t number = 0;
    for (size_t i = 1; i < value.size && value.data[i] != '.'; i++)
        number = 10 * number + (uint64_t)(value.data[i] - '0');
    return number <= w->value_next ? number : 0;
}

/* The revision at which some put of these commands happened; 0 if none did. A deletion by itself
 * leaves no sign of who asked for it: -1. */
static int64_t happened(const struct workload *w, const int64_t *seen,
                        const struct command *commands, uint32_t count)
{
    int64_t at = 0;
    for (uint32_t i = 0; i < count && at <= 0; i++) {
        const struct txn *txn = &commands[i].txn;
        if (commands[i].kind == COMMAND_DELETE && count == 1)
            at = -1;
        else if (commands[i].kind == COMMAND_PUT)
            at = seen[value_number(w, commands[i].put.value)];
        else if (commands[i].kind == COMMAND_TXN)
            at = happened(w, seen, txn->success, txn->success_count) +
                 happened(w, seen, txn->failure, txn->failure_count);
    }
    return at;
}

static void resolve(struct workload *w, const int64_t *seen, const struct lost_write *lost,
                    uint64_t now)
{
    if (lost->expired != NULL) {
        if (lost->expired->revision > 0)
            history_ok(w->history, lost->history, now, lost->expired->revision, true)->count =
                lost->expired->keys_ended;
        return;
    }
    int64_t at = happened(w, seen, &lost->command, 1);
    if (at == 0)
        history_failed(w->history, lost->history, now);
    else if (at > 0 && lost->command.kind == COMMAND_PUT)
        (void)history_ok(w->history, lost->history, now, at, true);
}

/* The log is complete: what does not stand in it will never be done, and what does has a revision.
 * Telling so of what nobody answered keeps the checkers' search short. */
static void resolve_lost(struct workload *w)
{
    int64_t *seen = arena_zero(&w->scratch, (w->value_next + 1) * sizeof *seen);
    for (uint32_t i = 0; i < w->truth->events_count; i++) {
        const struct truth_version *v = w->truth->events[i];
        if (!v->deleted)
            seen[value_number(w, v->value)] = v->mod;
    }
    uint64_t now = ++w->clock;
    for (uint32_t i = 0; i < w->lost_count; i++)
        resolve(w, seen, &w->lost[i], now);
    arena_reset(&w->scratch);
}

/* --- The checkers ---------------------------------------------------------------------------- */

static void judge_revisions(struct workload *w)
{
    struct check_options options = {.steps = REVISIONS_STEPS};
    struct check_verdict verdict;
    check_revisions(w->history, w->mem, &options, &verdict);
    w->counts.history += verdict.checked;
    w->counts.general_unknown += verdict.outcome == CHECK_UNDECIDED;
    if (verdict.outcome == CHECK_VIOLATION)
        object(w, "revisions", &verdict);
    /* A cluster that answers nothing is judge_kinds' concern: here, that what it answered is
     * judged. */
    if (verdict.outcome == CHECK_VACUOUS && w->recorded_puts > 0 && w->recorded_reads > 0 &&
        sim_oracle_on(w->sim, "vacuous"))
        sim_violation(w->sim, "vacuous",
                      "%u puts and %u reads succeeded, and none is in the history",
                      w->recorded_puts, w->recorded_reads);
    check_verdict_release(&verdict);
}

static void judge_general(struct workload *w)
{
    struct check_options options = {.steps = GENERAL_STEPS};
    struct check_verdict verdict;
    if (w->history->count > GENERAL_OPERATIONS_MAX)
        return;
    check_general(w->history, w->mem, &options, &verdict);
    w->counts.general++;
    w->counts.general_unknown += verdict.outcome == CHECK_UNDECIDED;
    if (verdict.outcome == CHECK_VIOLATION)
        object(w, "search", &verdict);
    check_verdict_release(&verdict);
}

/* Of each kind that was asked of members that work, some must have been answered. */
static void judge_kinds(struct workload *w)
{
    static const char *const names[ASK_KINDS] = {"write",      "read",  "reading transaction",
                                                 "compaction", "grant", "revocation",
                                                 "renewal",    "query", "transfer",
                                                 "alarm"};
    for (uint32_t kind = 0; kind < ASK_KINDS; kind++) {
        if (w->asked[kind] >= VACUOUS_ASKED && w->heard[kind] == 0 &&
            sim_oracle_on(w->sim, "vacuous"))
            sim_violation(w->sim, "vacuous", "no %s was answered, of %u asked of sound members",
                          names[kind], w->asked[kind]);
    }
}

void workload_judge(struct workload *w)
{
    judge_kinds(w);
    watches_judge(w);
    lease_judge(w);
    resolve_lost(w);
    judge_revisions(w);
    judge_general(w);
}
