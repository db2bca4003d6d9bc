/* synod sim: runs simulated clusters, a seed each, and says which of them went wrong.
 *
 * The one invariant: what it prints about a failure is enough to see it again: one command, which
 * runs exactly that seed. */
#include "base/planted.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/sim_jobs.h"
#include "consensus/engine.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ENGINES_MAX 16
#define FAILURES_PRINTED 20
#define COMMAND_MAX 4096
#define HANG_NS (UINT64_C(120) * 1000000000)

/* The engines' names, and "all". */
static const char *sim_engine_choice(size_t i)
{
    size_t count = 0;
    while (engines_all[count] != NULL)
        count++;
    return i == count ? "all" : i > count ? NULL : engines_all[i]->name;
}

static const struct option flags[] = {
    {.group = "What is run",
     .name = "engine",
     .kind = OPTION_STRING,
     .preset = "all",
     .hint = "NAME",
     .choice = sim_engine_choice,
     .help = "consensus algorithm; all: each seed over each of them"},
    {.name = "seeds",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .preset = "100",
     .minimum = 1,
     .maximum = INT64_C(1) << 40,
     .help = "so many seeds"},
    {.name = "first",
     .kind = OPTION_NUMBER,
     .hint = "S",
     .preset = "1",
     .minimum = 0,
     .maximum = INT64_C(1) << 50,
     .help = "the first of them"},
    {.name = "minutes",
     .kind = OPTION_NUMBER,
     .hint = "M",
     .minimum = 0,
     .maximum = 100000,
     .help = "as many seeds as fit into this time, whatever --seeds says"},
    {.name = "seed", .kind = OPTION_STRING, .hint = "S", .help = "one seed alone"},
    {.name = "set",
     .kind = OPTION_LIST,
     .hint = "NAME=VALUE",
     .help = "change what the seed draws; without a known NAME, lists them"},
    {.name = "without",
     .kind = OPTION_STRING,
     .hint = "ORACLE",
     .help = "switch one oracle off, to see what it alone finds"},
    {.name = "plant",
     .kind = OPTION_STRING,
     .hint = "BUG",
     .help = "switch a planted bug on (builds with SYNOD_PLANTED only)"},
    {.group = "How",
     .name = "jobs",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .minimum = 0,
     .maximum = 1024,
     .help = "processes side by side; 0: one for each processor"},
    {.name = "columns", .kind = OPTION_BOOL, .help = "print the whole trace of --seed"},
    {.name = "shrink",
     .kind = OPTION_BOOL,
     .help = "if --seed fails, look for smaller options that fail alike"},
    {.name = "hash", .kind = OPTION_BOOL, .help = "print the hash of each seed's trace"},
    {.name = "keep-going",
     .kind = OPTION_BOOL,
     .preset = "true",
     .help = "go on after a failure; =false: stop at the first"},
    {.name = "json", .kind = OPTION_BOOL, .help = "the summary as JSON"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "sim",
    .summary = "run simulated clusters through faults, from seeds",
    .description =
        "Each seed draws a cluster, faults of its network, disks, clocks and processes, and\n"
        "clients; the members run the very code of `synod serve`, over virtual time, in one\n"
        "thread. Oracles watch what must hold at every moment. First everything may fail, then a\n"
        "random quorum is healed and must make progress, then all must end alike. The same seed\n"
        "does the same on every machine.\n"
        "\n"
        "Exit code: 0 all passed; 1 a seed failed; 2 wrong command line.\n",
    .examples = "  synod sim --seeds 1000\n"
                "  synod sim --engine multipaxos --minutes 10 --jobs 2\n"
                "  synod sim --engine raft --seed 4711 --columns | less\n"
                "  synod sim --engine raft --seed 4711 --shrink\n"
                "  synod sim --engine multipaxos --seed 4711 --set members=3 --set crash=0\n",
    .tables = {flags},
};

struct totals {
    uint64_t passed;
    uint64_t failed;
    uint64_t simulated_ns;
    uint64_t events;
    uint64_t faults;
    uint64_t crashes;
    uint64_t restarts;
    uint64_t halted;
    struct workload_counts workload;
    struct oracle_counts oracle;
};

struct failure {
    struct sim_options options;
    struct sim_result result;
};

struct campaign {
    const struct options *flags;
    const struct engine_ops *engines[ENGINES_MAX];
    uint64_t engines_count;
    uint64_t first;
    uint64_t tasks;
    const char *without;
    const char *plant;
    bool hash;
    bool json;
    bool terminal;
    bool stopped;
    uint64_t begun_ns;
    uint64_t ended_ns;
    struct totals totals;
    uint64_t failures_count;
    struct failure failures[FAILURES_PRINTED];
};

/* --- Command line ---------------------------------------------------------------------------- */

static void print_fields(FILE *out, const struct sim_options *options)
{
    uint32_t cursor = 0;
    uint64_t value;
    const char *name;
    while ((name = sim_options_next(options, &cursor, &value)) != NULL)
        fprintf(out, "  %s=%" PRIu64 "\n", name, value);
}

static bool apply_sets(const struct options *flags_given, struct sim_options *options)
{
    size_t count;
    const char *const *sets = options_list(flags_given, "set", &count);
    for (size_t i = 0; i < count; i++) {
        char name[64] = "";
        const char *equals = strchr(sets[i], '=');
        size_t size = equals == NULL ? 0 : (size_t)(equals - sets[i]);
        if (size > 0 && size < sizeof name)
            memcpy(name, sets[i], size);
        if (equals != NULL && sim_options_set(options, name, equals + 1))
            continue;
        fprintf(stderr, "synod sim: --set %s: no such option, or no value for it. There are:\n",
                sets[i]);
        print_fields(stderr, options);
        return false;
    }
    return true;
}

static void draw(const struct campaign *c, uint64_t task, struct sim_options *options)
{
    const struct engine_ops *engine = c->engines[task % c->engines_count];
    sim_options_draw(options, engine->id, c->first + task / c->engines_count);
    options->without = c->without;
    apply_sets(c->flags, options);
}

static bool choose_oracle(const struct campaign *c)
{
    if (c->without == NULL)
        return true;
    for (size_t i = 0; sim_oracle(i) != NULL; i++) {
        if (strcmp(sim_oracle(i), c->without) == 0)
            return true;
    }
    fprintf(stderr, "synod sim: --without %s: no such oracle. There are:\n", c->without);
    for (size_t i = 0; sim_oracle(i) != NULL; i++)
        fprintf(stderr, "  %s\n", sim_oracle(i));
    return false;
}

static bool choose_engines(struct campaign *c)
{
    const char *name = options_string(c->flags, "engine");
    if (strcmp(name, "all") != 0) {
        c->engines[c->engines_count++] = engine_by_name(name);
        return c->engines[0] != NULL;
    }
    for (size_t i = 0; engines_all[i] != NULL && i < ENGINES_MAX; i++)
        c->engines[c->engines_count++] = engines_all[i];
    return true;
}

static bool parse_seed(const char *text, uint64_t *ret_seed)
{
    char *end;
    *ret_seed = strtoull(text, &end, 10);
    return text[0] >= '0' && text[0] <= '9' && *end == '\0';
}

/* --- Printing -------------------------------------------------------------------------------- */

static void progress_clear(const struct campaign *c)
{
    if (c->terminal)
        fprintf(stderr, "\r\033[K");
}

static void print_failure(const struct campaign *c, const struct sim_options *options,
                          const struct sim_result *result)
{
    char room[COMMAND_MAX];
    struct text command = text_of(room, sizeof room);
    sim_options_command(options, &command);
    if (c->plant[0] != '\0') {
        text_add(&command, " --plant ");
        text_add(&command, c->plant);
    }
    printf("FAILED seed %" PRIu64 " (%s): %s: %s\n  replay: %s\n", options->seed,
           engine_by_id(options->engine)->name, result->oracle, result->violation, room);
    fflush(stdout);
}

static void add(struct totals *t, const struct sim_result *r)
{
    t->passed += !r->failed;
    t->failed += r->failed;
    t->simulated_ns += r->simulated_ns;
    t->events += r->events;
    t->faults += r->faults;
    t->crashes += r->crashes;
    t->restarts += r->restarts;
    t->halted += r->halted;
    t->workload.operations += r->workload.operations;
    t->workload.unknown += r->workload.unknown;
    t->workload.refused += r->workload.refused;
    t->workload.events += r->workload.events;
    t->workload.leases += r->workload.leases;
    t->workload.history += r->workload.history;
    t->workload.general += r->workload.general;
    t->workload.general_unknown += r->workload.general_unknown;
    t->oracle.deliveries += r->oracle_counts.deliveries;
    t->oracle.slots += r->oracle_counts.slots;
    t->oracle.leader_changes += r->oracle_counts.leader_changes;
    t->oracle.digests += r->oracle_counts.digests;
    t->oracle.releases += r->oracle_counts.releases;
}

static double seconds_of(const struct campaign *c)
{
    uint64_t end = c->ended_ns != 0 ? c->ended_ns : sim_jobs_clock_ns();
    return (double)(end - c->begun_ns) / 1e9 + 1e-9;
}

static void print_progress(void *owner)
{
    struct campaign *c = owner;
    const struct totals *t = &c->totals;
    uint64_t done = t->passed + t->failed;
    if (!c->terminal)
        return;
    double rate = (double)done / seconds_of(c);
    fprintf(stderr,
            "\r\033[K%" PRIu64 " seeds, %.0f/s | %.1f h simulated | %" PRIu64 " faults, %" PRIu64
            " crashes, %" PRIu64 " leader changes | %" PRIu64 " operations checked | %" PRIu64
            " failed",
            done, rate, (double)t->simulated_ns / 3.6e12, t->faults, t->crashes,
            t->oracle.leader_changes, t->workload.operations, t->failed);
    fflush(stderr);
}

static void print_summary(const struct campaign *c)
{
    const struct totals *t = &c->totals;
    uint64_t done = t->passed + t->failed;
    printf("simulated   %.2f hours in %.1f s, %.1f seeds/s, %" PRIu64 " events\n",
           (double)t->simulated_ns / 3.6e12, seconds_of(c), (double)done / seconds_of(c),
           t->events);
    printf("faults      %" PRIu64 " injected, %" PRIu64 " crashes, %" PRIu64 " restarts, %" PRIu64
           " members found their disk damaged\n",
           t->faults, t->crashes, t->restarts, t->halted);
    printf("members     %" PRIu64 " slots chosen, %" PRIu64 " deliveries, %" PRIu64
           " leader changes, %" PRIu64 " promises checked\n",
           t->oracle.slots, t->oracle.deliveries, t->oracle.leader_changes, t->oracle.releases);
    printf("clients     %" PRIu64 " operations checked, %" PRIu64 " of unknown outcome, %" PRIu64
           " refused; %" PRIu64 " watch events, %" PRIu64 " leases\n",
           t->workload.operations, t->workload.unknown, t->workload.refused, t->workload.events,
           t->workload.leases);
    printf("histories   %" PRIu64 " operations by revisions, %" PRIu64
           " histories without them (%" PRIu64 " undecided)\n",
           t->workload.history, t->workload.general, t->workload.general_unknown);
    printf("%" PRIu64 " passed, %" PRIu64 " failed\n", t->passed, t->failed);
}

static void json_failures(struct json *json, const struct campaign *c)
{
    json_array(json, "failures");
    for (uint64_t i = 0; i < c->failures_count && i < FAILURES_PRINTED; i++) {
        const struct failure *f = &c->failures[i];
        char room[COMMAND_MAX];
        struct text command = text_of(room, sizeof room);
        sim_options_command(&f->options, &command);
        json_object(json, NULL);
        json_u64(json, "seed", f->options.seed);
        json_text(json, "engine", engine_by_id(f->options.engine)->name);
        json_text(json, "oracle", f->result.oracle);
        json_text(json, "violation", f->result.violation);
        json_text(json, "replay", room);
        json_object_end(json);
    }
    json_array_end(json);
}

static void print_json(const struct campaign *c)
{
    const struct totals *t = &c->totals;
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_u64(&json, "passed", t->passed);
    json_u64(&json, "failed", t->failed);
    json_double(&json, "seconds", seconds_of(c));
    json_double(&json, "seeds_per_second", (double)(t->passed + t->failed) / seconds_of(c));
    json_double(&json, "simulated_hours", (double)t->simulated_ns / 3.6e12);
    json_u64(&json, "events", t->events);
    json_u64(&json, "faults", t->faults);
    json_u64(&json, "crashes", t->crashes);
    json_u64(&json, "restarts", t->restarts);
    json_u64(&json, "halted", t->halted);
    json_u64(&json, "slots", t->oracle.slots);
    json_u64(&json, "deliveries", t->oracle.deliveries);
    json_u64(&json, "leader_changes", t->oracle.leader_changes);
    json_u64(&json, "promises", t->oracle.releases);
    json_u64(&json, "operations", t->workload.operations);
    json_u64(&json, "unknown", t->workload.unknown);
    json_u64(&json, "refused", t->workload.refused);
    json_u64(&json, "watch_events", t->workload.events);
    json_u64(&json, "leases", t->workload.leases);
    json_u64(&json, "history_operations", t->workload.history);
    json_u64(&json, "general_histories", t->workload.general);
    json_u64(&json, "general_undecided", t->workload.general_unknown);
    json_failures(&json, c);
    json_object_end(&json);
    json_line(&json);
}

/* --- Many seeds ------------------------------------------------------------------------------ */

static void on_task(void *owner, uint64_t task, struct sim_options *ret_options)
{
    draw(owner, task, ret_options);
}

static void on_done(void *owner, uint64_t task, const struct sim_result *result)
{
    struct campaign *c = owner;
    struct sim_options options;
    draw(c, task, &options);
    add(&c->totals, result);
    if (c->hash)
        printf("%s %" PRIu64 " %016" PRIx64 "\n", engine_by_id(options.engine)->name, options.seed,
               result->hash);
    if (!result->failed)
        return;
    if (c->failures_count < FAILURES_PRINTED) {
        c->failures[c->failures_count] = (struct failure){options, *result};
        progress_clear(c);
        if (!c->json)
            print_failure(c, &options, result);
    }
    c->failures_count++;
    if (!options_bool(c->flags, "keep-going")) {
        c->ended_ns = sim_jobs_clock_ns();
        if (c->json)
            print_json(c);
        else
            print_summary(c);
        exit(1); /* the workers end with us */
    }
}

static int run_many(struct campaign *c)
{
    uint64_t seeds = (uint64_t)options_number(c->flags, "seeds");
    uint64_t minutes = (uint64_t)options_number(c->flags, "minutes");
    int64_t workers = options_number(c->flags, "jobs");
    if (workers == 0)
        workers = sysconf(_SC_NPROCESSORS_ONLN);
    if (workers < 1 || c->hash)
        workers = 1; /* hashes come in order */
    c->begun_ns = sim_jobs_clock_ns();
    struct sim_jobs jobs = {.workers = (uint32_t)workers,
                            .tasks = minutes > 0 ? UINT64_MAX : seeds * c->engines_count,
                            .deadline_ns =
                                minutes > 0 ? c->begun_ns + minutes * UINT64_C(60000000000) : 0,
                            .hang_ns = HANG_NS,
                            .owner = c,
                            .task = on_task,
                            .done = on_done,
                            .tick = print_progress};
    if (!sim_jobs_run(&jobs))
        return 1;
    c->ended_ns = sim_jobs_clock_ns();
    progress_clear(c);
    if (c->json)
        print_json(c);
    else if (!c->hash)
        print_summary(c);
    return c->totals.failed > 0;
}

/* --- One seed -------------------------------------------------------------------------------- */

static void on_tried(void *owner, const struct sim_options *options, bool kept)
{
    uint64_t *attempts = owner;
    ++*attempts;
    if (isatty(STDERR_FILENO))
        fprintf(stderr, "\r\033[K%" PRIu64 " attempts, now %u members, %u operations%s", *attempts,
                options->members, options->operations, kept ? " (kept)" : "");
}

static int run_one(struct campaign *c, const char *text)
{
    struct sim_result result;
    struct sim_options options;
    uint64_t attempts = 0;
    if (!parse_seed(text, &c->first)) {
        options_complain(&spec, "--seed takes a number, not \"%s\"", text);
        return 2;
    }
    bool failed = false;
    for (uint64_t i = 0; i < c->engines_count; i++) {
        draw(c, i, &options);
        options.columns = options_bool(c->flags, "columns");
        c->begun_ns = sim_jobs_clock_ns();
        sim_run(&options, &result);
        c->ended_ns = sim_jobs_clock_ns();
        options.columns = false;
        add(&c->totals, &result);
        failed |= result.failed;
        if (c->hash)
            printf("%s %" PRIu64 " %016" PRIx64 "\n", engine_by_id(options.engine)->name,
                   options.seed, result.hash);
        if (!result.failed)
            continue;
        c->failures[c->failures_count++] = (struct failure){options, result};
        if (options_bool(c->flags, "shrink")) {
            sim_shrink(&options, &result, &attempts, on_tried);
            progress_clear(c);
        }
        if (!c->json)
            print_failure(c, &options, &result);
    }
    if (c->json)
        print_json(c);
    else if (!c->hash)
        print_summary(c);
    return failed;
}

int cmd_sim(int argc, char **argv)
{
    static struct campaign campaign;
    static struct options options;
    struct sim_options probe;
    enum options_result parsed = options_parse(&options, &spec, argc, argv);
    if (parsed != OPTIONS_RUN)
        return options_exit_code(parsed);
    struct campaign *c = &campaign;
    c->flags = &options;
    c->first = (uint64_t)options_number(&options, "first");
    c->hash = options_bool(&options, "hash");
    c->json = options_bool(&options, "json");
    c->plant = options_string(&options, "plant");
    c->terminal = isatty(STDERR_FILENO) && !c->hash;
    const char *without = options_string(&options, "without");
    c->without = without[0] == '\0' ? NULL : without;
    const char *seed = options_string(&options, "seed");
    int code = 2;
    sim_options_draw(&probe, 1, 1);
    if (c->plant[0] != '\0' && !planted_select(c->plant))
        options_complain(&spec, "--plant %s: no such bug, or this build has none", c->plant);
    else if (!choose_engines(c))
        options_complain(&spec, "--engine: there is no such engine");
    else if (choose_oracle(c) && apply_sets(&options, &probe))
        code = seed[0] != '\0' ? run_one(c, seed) : run_many(c);
    options_release(&options);
    return code;
}
