/* synod explore: every state that a small cluster can get into, over the engines themselves.
 *
 * The one invariant: what it prints about a violation is enough to see it again: the path, step by
 * step, and the command that walks it. */
#include "base/planted.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/print.h"
#include "cli/session.h"
#include "sim/explore.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define PATH_SIZE 16384
#define PROGRESS_NS UINT64_C(200000000)

#define LIMIT_FLAG(flag, value, what)                                                              \
    {                                                                                              \
        .name = (flag), .kind = OPTION_NUMBER, .hint = "N", .preset = (value), .minimum = 0,       \
        .maximum = 200, .help = (what)                                                             \
    }

static const struct option flags[] = {
    {.group = "The cluster",
     .name = "engine",
     .kind = OPTION_STRING,
     .preset = "multipaxos",
     .hint = "NAME",
     .choice = engine_choice,
     .help = "consensus algorithm"},
    {.name = "members",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .preset = "3",
     .minimum = 1,
     .maximum = EXPLORE_MEMBERS_MAX,
     .help = "how many"},
    {.name = "window",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .preset = "2",
     .minimum = 1,
     .maximum = 8,
     .help = "slots that may be under way at once; a power of two"},
    {.name = "tail",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .preset = "1",
     .minimum = 0,
     .maximum = 8,
     .help = "delivered slots that stay in memory"},
    {.name = "fresh",
     .kind = OPTION_BOOL,
     .help = "begin before anybody leads; otherwise member 1 does"},
    {.name = "reorder",
     .kind = OPTION_BOOL,
     .help = "messages overtake each other between two members, too; otherwise what is overtaken "
             "is lost"},
    {.name = "heartbeats",
     .kind = OPTION_BOOL,
     .help = "heartbeats travel like other messages; otherwise they arrive as they are sent, or "
             "are lost"},
    {.name = "slow-disks",
     .kind = OPTION_BOOL,
     .help = "disks may lag also when no crash is left; otherwise they keep up from then on"},
    {.group = "What may happen on one path, at most so many times",
     .name = "proposals",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .preset = "1",
     .minimum = 0,
     .maximum = 8,
     .help = "a value is proposed"},
    LIMIT_FLAG("timeouts", "1", "a clock runs on until the member does something"),
    LIMIT_FLAG("crashes", "1", "a member loses what its disk had not got, and starts again"),
    LIMIT_FLAG("breaks", "1", "all hear that the connections of a member are gone"),
    LIMIT_FLAG("pauses", "0", "a member stands still for two election timeouts"),
    LIMIT_FLAG("reads", "0", "a read is asked for; 4 at most"),
    LIMIT_FLAG("snapshots", "0", "a member writes a snapshot, and its log before it goes"),
    LIMIT_FLAG("transfers", "0", "a leader is told to hand over"),
    LIMIT_FLAG("duplicates", "0", "a message arrives and stays in flight"),
    LIMIT_FLAG("drops", "0",
               "a message is lost; one that never arrives is lost anyway, so this only costs"),
    {.group = "How far",
     .name = "depth",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .minimum = 0,
     .maximum = 1000,
     .help = "steps on one path; 0: any number"},
    {.name = "states",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .preset = "40000000",
     .minimum = 0,
     .maximum = INT64_C(4000000000),
     .help = "stop after so many distinct states; 0: never. Each takes 50 bytes or so"},
    {.name = "plant",
     .kind = OPTION_STRING,
     .hint = "BUG",
     .help = "switch a planted bug on (builds with SYNOD_PLANTED only)"},
    {.name = "replay",
     .kind = OPTION_STRING,
     .hint = "PATH",
     .help = "walk this path and print every step"},
    {.name = "json", .kind = OPTION_BOOL, .help = "the result as JSON"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "explore",
    .summary = "visit every state of a small cluster, over the engines themselves",
    .description =
        "Breadth first over what may happen next: any message arrives, a clock runs on, a disk\n"
        "gets one record further, a member crashes with each part of what its disk was writing\n"
        "and starts again, somebody proposes. The engine is the one of `synod serve`. In every\n"
        "state: one value a slot, on the disks of a quorum, delivered without gaps; one leader a\n"
        "ballot; no stale read; and what the engine itself demands. The first violation has the\n"
        "shortest path.\n"
        "\n"
        "Exit code: 0 nothing is wrong; 1 a violation; 2 wrong command line.\n",
    .examples = "  synod explore --engine raft\n"
                "  synod explore --members 2 --timeouts 2 --crashes 2\n"
                "  synod explore --reorder --heartbeats --states 100000000\n"
                "  synod explore --reads 1 --pauses 1 --breaks 0\n",
    .tables = {flags},
};

struct exploration {
    const struct options *flags;
    struct explore_options options;
    uint64_t begun_ns;
    uint64_t shown_ns;
    bool terminal;
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static double seconds_of(const struct exploration *e)
{
    return (double)(clock_ns() - e->begun_ns) / 1e9 + 1e-9;
}

static bool show_progress(void *owner, const struct explore_progress *p)
{
    struct exploration *e = owner;
    uint64_t now = clock_ns();
    if (!e->terminal || now - e->shown_ns < PROGRESS_NS)
        return true;
    e->shown_ns = now;
    char states[32];
    char frontier[32];
    char memory[32];
    format_count(p->states, states, sizeof states);
    format_count(p->frontier, frontier, sizeof frontier);
    format_size(p->bytes, memory, sizeof memory);
    fprintf(stderr, "\r\033[K%s states, %.0f/s | depth %u, %s states wait | %s", states,
            (double)p->states / seconds_of(e), p->depth + 1, frontier, memory);
    fflush(stderr);
    return true;
}

/* The command line again, but for what only says how far to go. */
static void print_command(const struct exploration *e, const char *path)
{
    printf("replay: synod explore");
    for (const struct option *flag = flags; flag->name != NULL; flag++) {
        const char *value = options_text(e->flags, flag->name);
        if (!options_given(e->flags, flag->name) || strcmp(flag->name, "states") == 0 ||
            strcmp(flag->name, "depth") == 0 || strcmp(flag->name, "json") == 0 ||
            strcmp(flag->name, "replay") == 0)
            continue;
        printf(flag->kind == OPTION_BOOL ? " --%s=%s" : " --%s %s", flag->name, value);
    }
    printf(" --replay %s\n", path);
}

static void print_json(const struct exploration *e, const struct explore_progress *p,
                       enum explore_verdict verdict, const char *violation, const char *path)
{
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_text(&json, "engine", e->options.engine->name);
    json_u64(&json, "states", p->states);
    json_u64(&json, "depth", p->depth);
    json_bool(&json, "complete", verdict == EXPLORE_COMPLETE && p->cut == 0);
    json_u64(&json, "transitions", p->transitions);
    json_u64(&json, "cut", p->cut);
    json_u64(&json, "member_states", p->components);
    json_u64(&json, "engine_steps", p->engine_steps);
    json_u64(&json, "bytes", p->bytes);
    json_double(&json, "seconds", seconds_of(e));
    json_u64(&json, "violations", verdict == EXPLORE_VIOLATED ? 1 : 0);
    if (verdict == EXPLORE_VIOLATED) {
        json_text(&json, "violation", violation);
        json_text(&json, "path", path);
    }
    json_object_end(&json);
    json_line(&json);
}

static void print_numbers(const struct exploration *e, const struct explore_progress *p,
                          enum explore_verdict verdict)
{
    char text[3][32];
    double seconds = seconds_of(e);
    format_count(p->transitions, text[0], sizeof text[0]);
    format_count(p->components, text[1], sizeof text[1]);
    format_count(p->engine_steps, text[2], sizeof text[2]);
    printf("transitions %s between states; %s states of single members, %s steps of the engine\n",
           text[0], text[1], text[2]);
    format_size(p->bytes, text[0], sizeof text[0]);
    double odds = (double)p->states * (double)p->states / 36893488147419103232.0; /* 2^65 */
    printf("memory      %s; odds that two states were taken for one: %.1g\n", text[0], odds);
    printf("took        %.1f s, %.0f states/s\n", seconds, (double)p->states / seconds);
    if (p->cut > 0)
        printf("cut         %" PRIu64 " steps were not taken: a table of the explorer is too "
               "small\n",
               p->cut);
    if (verdict == EXPLORE_COMPLETE)
        printf("complete    nothing else can happen within these limits\n");
    else if (verdict == EXPLORE_BOUNDED)
        printf("bounded     there is more: --states and --depth say how far to go\n");
}

/* Prints the path to the violation: walked again, by a new explorer. */
static void print_violation(const struct exploration *e, const char *violation, const char *path)
{
    printf("violation: %s\n", violation);
    struct explore *x = explore_new(&e->options);
    if (path[0] == '\0')
        printf("before the first state\n");
    else if (!explore_replay(x, path, stdout) || strcmp(explore_violation(x), violation) != 0)
        printf("walking the path again brings about something else: %s\n", explore_violation(x));
    explore_free(x);
    print_command(e, path);
}

static int replay(const struct exploration *e, const char *path)
{
    struct explore *x = explore_new(&e->options);
    bool walked = explore_replay(x, path, stdout);
    bool violated = explore_violation(x)[0] != '\0';
    if (violated)
        printf("violation: %s\n", explore_violation(x));
    else
        printf(walked ? "nothing is wrong\n" : "the path ends here: the next step is impossible\n");
    explore_free(x);
    return violated || !walked ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static int explore(struct exploration *e, bool as_json)
{
    static char path[PATH_SIZE];
    struct explore_progress p;
    char violation[512];
    struct explore *x = explore_new(&e->options);
    enum explore_verdict verdict = explore_run(x, e, show_progress);
    bool violated = verdict == EXPLORE_VIOLATED;
    if (e->terminal)
        fprintf(stderr, "\r\033[K");
    explore_progress(x, &p);
    snprintf(violation, sizeof violation, "%s", explore_violation(x));
    explore_path(x, path, sizeof path);
    explore_free(x);
    if (as_json) {
        print_json(e, &p, verdict, violation, path);
    } else {
        print_numbers(e, &p, verdict);
        if (violated)
            print_violation(e, violation, path);
        char states[32];
        format_count(p.states, states, sizeof states);
        printf("%s states, depth %u, %s\n", states, p.depth + violated,
               violated ? "1 violation" : "0 violations");
    }
    return violated ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

static bool read_options(struct exploration *e, const struct options *given)
{
    struct explore_options *o = &e->options;
    o->engine = engine_by_name(options_string(given, "engine"));
    o->members = (uint32_t)options_number(given, "members");
    o->window_slots = (uint32_t)options_number(given, "window");
    o->tail_slots = (uint32_t)options_number(given, "tail");
    o->elected = !options_bool(given, "fresh");
    o->ordered = !options_bool(given, "reorder");
    o->heartbeats = options_bool(given, "heartbeats");
    o->slow_disks = options_bool(given, "slow-disks");
    o->depth = (uint32_t)options_number(given, "depth");
    o->states = (uint64_t)options_number(given, "states");
    for (uint32_t i = 0; i < LIMITS; i++)
        o->limits[i] = (uint8_t)options_number(given, explore_limit_names[i]);
    const char *plant = options_string(given, "plant");
    if ((o->window_slots & (o->window_slots - 1)) != 0) {
        options_complain(&spec, "--window must be a power of two");
        return false;
    }
    if (plant[0] != '\0' && !planted_select(plant)) {
        options_complain(&spec, "--plant %s: no such bug, or this build has none", plant);
        return false;
    }
    return true;
}

int cmd_explore(int argc, char **argv)
{
    struct options options;
    enum options_result result = options_parse(&options, &spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    struct exploration e = {
        .flags = &options, .begun_ns = clock_ns(), .terminal = isatty(STDERR_FILENO) != 0};
    int code;
    if (!read_options(&e, &options))
        code = options_exit_code(OPTIONS_BAD);
    else if (options_given(&options, "replay"))
        code = replay(&e, options_string(&options, "replay"));
    else
        code = explore(&e, options_bool(&options, "json"));
    options_release(&options);
    return code;
}
