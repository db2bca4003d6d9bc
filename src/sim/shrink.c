/* Shrinking: fewer faults, fewer operations, fewer members, a shorter run, as long as the same
 * oracle objects. One pass after the other until nothing more can go.
 *
 * The one invariant: what is kept was run, and failed with the same oracle. */
#include "sim/run.h"

#include <stdio.h>
#include <string.h>

struct shrink {
    struct sim_options *options;
    struct sim_result *result;
    void *owner;
    void (*tried)(void *owner, const struct sim_options *options, bool kept);
};

/* True: the change was kept. */
static bool attempt(struct shrink *s, const struct sim_options *candidate)
{
    struct sim_result result;
    sim_run(candidate, &result);
    bool kept = result.failed && strcmp(result.oracle, s->result->oracle) == 0;
    if (kept) {
        *s->options = *candidate;
        *s->result = result;
    }
    if (s->tried != NULL)
        s->tried(s->owner, candidate, kept);
    return kept;
}

/* The value of one option. */
static uint64_t value_of(const struct sim_options *options, const char *name)
{
    uint32_t cursor = 0;
    uint64_t value = 0;
    const char *at;
    while ((at = sim_options_next(options, &cursor, &value)) != NULL && strcmp(at, name) != 0)
        ;
    return value;
}

static bool attempt_set(struct shrink *s, const char *name, uint64_t value)
{
    char text[32];
    struct sim_options candidate = *s->options;
    snprintf(text, sizeof text, "%llu", (unsigned long long)value);
    if (value_of(s->options, name) == value || !sim_options_set(&candidate, name, text))
        return false;
    return attempt(s, &candidate);
}

/* Each kind of fault and of work that can be left out is left out. */
static bool drop_kinds(struct shrink *s)
{
    static const char *const kinds[] = {"loss",
                                        "duplicate",
                                        "reorder",
                                        "late",
                                        "clog",
                                        "partition",
                                        "swizzle",
                                        "partition_one_way",
                                        "disk_slow",
                                        "disk_error",
                                        "disk_read_error",
                                        "disk_full",
                                        "rot",
                                        "misdirect",
                                        "lost_write",
                                        "damage_all_copies",
                                        "crash",
                                        "kill",
                                        "blackout",
                                        "crash_at_effect",
                                        "crash_at_boot",
                                        "crash_at_name",
                                        "stop",
                                        "pause",
                                        "wipe",
                                        "production_log",
                                        "lease_reads",
                                        "lease_ns",
                                        "drift",
                                        "jump",
                                        "turn_ns",
                                        "snapshot_slots",
                                        "snapshot_bytes",
                                        "pending_bytes",
                                        "log_keep_bytes",
                                        "watchers",
                                        "weight_put",
                                        "weight_get",
                                        "weight_range",
                                        "weight_delete",
                                        "weight_txn",
                                        "weight_compact",
                                        "weight_lease",
                                        "weight_transfer"};
    bool any = false;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        any |= attempt_set(s, kinds[i], 0);
    return any;
}

static bool halve(struct shrink *s, const char *name, uint64_t value, uint64_t minimum)
{
    bool any = false;
    while (value > minimum) {
        uint64_t smaller = value / 2 > minimum ? value / 2 : minimum;
        if (!attempt_set(s, name, smaller))
            break;
        any = true;
        value = smaller;
    }
    if (!any && value - value / 8 - 1 >= minimum && value / 8 > 0)
        any = attempt_set(s, name, value - value / 8 - 1);
    return any;
}

static bool shorten(struct shrink *s)
{
    /* The run need not go on behind the moment of the violation. */
    bool any = s->result->simulated_ns + 1 < s->options->safety_ns &&
               attempt_set(s, "safety_ns", s->result->simulated_ns + 1);
    any |= halve(s, "operations", s->options->operations, 1);
    any |= halve(s, "clients", s->options->clients, 1);
    any |= halve(s, "keys", s->options->keys, 1);
    any |= halve(s, "watchers", s->options->watchers, 0);
    any |= halve(s, "safety_ns", s->options->safety_ns, 1);
    for (uint64_t members = 1; members < s->options->members && !any; members++)
        any |= attempt_set(s, "members", members);
    return any;
}

void sim_shrink(struct sim_options *options, struct sim_result *result, void *owner,
                void (*tried)(void *owner, const struct sim_options *options, bool kept))
{
    struct shrink s = {.options = options, .result = result, .owner = owner, .tried = tried};
    bool more = true;
    for (int pass = 0; pass < 8 && more; pass++) {
        more = drop_kinds(&s);
        more |= shorten(&s);
    }
}
