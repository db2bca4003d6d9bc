/* synod check: is a recorded history linearizable? Two checkers look at it, for reasons of their
 * own (doc/check.md); what they find is said in words, and with --json for programs.
 *
 * The one invariant: 0 means that somebody looked and that there was something to see. A history in
 * which nothing succeeded proves nothing, and a search that ended for want of time neither. */
#include "check/check.h"
#include "check/history_file.h"
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/options.h"
#include "world/mem_system.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

static const struct option flags[] = {
    {.group = "Flags",
     .name = "general",
     .kind = OPTION_BOOL,
     .help = "only the checker that believes no revision, and searches for an order"},
    {.name = "revisions",
     .kind = OPTION_BOOL,
     .help = "only the checker that verifies the order which the revisions give"},
    {.name = "partial",
     .kind = OPTION_BOOL,
     .help = "others wrote as well, who are not in the history; implies --revisions"},
    {.name = "steps",
     .kind = OPTION_NUMBER,
     .hint = "N",
     .maximum = INT64_C(1) << 40,
     .help = "budget of a search; 0: one that takes seconds at most"},
    {.name = "json", .kind = OPTION_BOOL, .help = "JSON: one object"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "check",
    .summary = "say whether a recorded history is linearizable",
    .arguments = "HISTORY",
    .description =
        "HISTORY is a file of JSON lines, - for standard input: what clients asked of a cluster,\n"
        "when, and what they heard (doc/formats/history.md).\n"
        "\n"
        "Two checkers that share no code look at it: one by the revisions of the replies, one by\n"
        "searching for an order of the operations that explains them. If there is none, they say\n"
        "which operation cannot be placed, and what was going on meanwhile.\n"
        "\n"
        "Exit code: 0 linearizable; 1 it is not; 2 the history cannot be read, or is vacuous (no\n"
        "read or no write in it succeeded), or the command line is wrong; 3 undecided within the\n"
        "budget.\n",
    .examples = "  synod check history.jsonl\n"
                "  synod check history.jsonl --json | jq .verdict\n"
                "  synod check --partial part-of-the-clients.jsonl\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .tables = {flags},
};

enum check_exit {
    EXIT_LINEARIZABLE = 0,
    EXIT_VIOLATION = 1,
    EXIT_USELESS = 2,
    EXIT_UNDECIDED = 3,
};

struct tier {
    const char *name;
    void (*check)(const struct history *history, struct mem *mem,
                  const struct check_options *options, struct check_verdict *ret_verdict);
    bool wanted;
    double seconds;
    struct check_verdict verdict;
};

#define SHOWN_PREFIX 10u
#define SHOWN_CONCURRENT 20u
#define LINE_MAX_CHARACTERS 2000

static const char *outcome_name(enum check_outcome outcome)
{
    static const char *const names[] = {[CHECK_OK] = "linearizable",
                                        [CHECK_VIOLATION] = "violation",
                                        [CHECK_UNDECIDED] = "undecided",
                                        [CHECK_VACUOUS] = "vacuous"};
    return names[outcome];
}

static bool is_concurrent(const struct history *h, uint32_t one, uint32_t other)
{
    const struct history_operation *a = &h->operations[one];
    const struct history_operation *b = &h->operations[other];
    return one != other && b->outcome != HISTORY_FAILED && a->call <= b->end && b->call <= a->end;
}

/* --- reading ------------------------------------------------------------------------------- */

/* The whole file into the buffer; false after a message. */
static bool read_file(const char *path, struct buffer *buffer)
{
    bool is_stdin = strcmp(path, "-") == 0;
    FILE *file = is_stdin ? stdin : fopen(path, "rb");
    bool fine = file != NULL;
    size_t got = 1;
    while (fine && got > 0) {
        uint8_t block[65536];
        got = fread(block, 1, sizeof block, file);
        buffer_append(buffer, bytes_of(block, got));
        fine = !ferror(file) && !buffer->failed;
    }
    if (!fine)
        fprintf(stderr, "synod check: %s: %s\n", path,
                buffer->failed ? "too large" : strerror(errno));
    if (file != NULL && !is_stdin)
        fclose(file);
    return fine;
}

static struct history *read_history(const char *path, struct mem *mem)
{
    struct history *history = NULL;
    struct buffer file;
    char why[256];
    struct text error = text_of(why, sizeof why);
    buffer_init(&file, mem, (size_t)1 << 34);
    if (read_file(path, &file)) {
        history = history_new(mem);
        if (history_read(history, buffer_bytes(&file), &error) != STATUS_OK) {
            fprintf(stderr, "synod check: %s: %s\n", path, why);
            history_free(history);
            history = NULL;
        }
    }
    buffer_release(&file);
    return history;
}

/* --- for people ---------------------------------------------------------------------------- */

static void print_operation(const struct history *h, uint32_t number)
{
    char line[LINE_MAX_CHARACTERS];
    struct text text = text_of(line, sizeof line);
    check_describe(h, number, &text);
    const struct history_operation *o = &h->operations[number];
    printf("    line %-5" PRIu32 " %12" PRIu64 " ", number + 2, o->call);
    if (o->end == UINT64_MAX)
        printf("%12s", "-");
    else
        printf("%12" PRIu64, o->end);
    printf("  %s%s\n", line, text.truncated ? "..." : "");
}

/* Those that were answered, then those that were not, the latest first: old ones rarely matter. */
static void print_concurrent(const struct history *h, uint32_t culprit)
{
    uint32_t count = 0;
    for (int unknown = 0; unknown < 2; unknown++) {
        for (uint32_t i = 0; i < h->count; i++) {
            uint32_t at = unknown ? h->count - 1 - i : i;
            if (!is_concurrent(h, culprit, at) ||
                (h->operations[at].outcome == HISTORY_UNKNOWN) != unknown)
                continue;
            if (count++ == 0)
                printf("  concurrent with it:\n");
            if (count <= SHOWN_CONCURRENT)
                print_operation(h, at);
        }
    }
    if (count > SHOWN_CONCURRENT)
        printf("    ... %" PRIu32 " in all\n", count);
    if (count == 0)
        printf("  nothing is concurrent with it\n");
}

static void print_violation(const struct history *h, const struct check_verdict *v)
{
    printf("  cannot be placed (%s):\n", v->rule);
    print_operation(h, v->culprit);
    printf("  because %s\n", v->what);
    if (v->other != CHECK_NOBODY) {
        printf("  compare:\n");
        print_operation(h, v->other);
    }
    print_concurrent(h, v->culprit);
    uint32_t first = v->prefix_count > SHOWN_PREFIX ? v->prefix_count - SHOWN_PREFIX : 0;
    printf("  the longest part that can be explained has %" PRIu32 " operations%s\n",
           v->prefix_count, v->prefix_count > 0 ? "; its end, in order:" : "");
    for (uint32_t i = first; i < v->prefix_count; i++)
        print_operation(h, v->prefix[i]);
}

static void print_tier(const struct history *h, const struct tier *tier)
{
    const struct check_verdict *v = &tier->verdict;
    double rate = tier->seconds > 0 ? (double)v->checked / tier->seconds : 0;
    printf("%-9s  %s%s: %" PRIu32 " operations count, %.3f s, %.0f/s\n", tier->name,
           v->outcome == CHECK_VIOLATION ? "NOT " : "",
           v->outcome == CHECK_VIOLATION   ? "linearizable"
           : v->outcome == CHECK_VACUOUS   ? "vacuous (no read or no write succeeded)"
           : v->outcome == CHECK_UNDECIDED ? "undecided within the budget"
                                           : outcome_name(v->outcome),
           v->checked, tier->seconds, rate);
    if (v->outcome == CHECK_VIOLATION)
        print_violation(h, v);
}

static void print_counts(const struct history *h)
{
    uint32_t counts[3] = {0};
    for (uint32_t i = 0; i < h->count; i++)
        counts[h->operations[i].outcome]++;
    printf("history    %" PRIu32 " operations: %" PRIu32 " ok, %" PRIu32 " failed, %" PRIu32
           " unknown\n",
           h->count, counts[HISTORY_OK], counts[HISTORY_FAILED], counts[HISTORY_UNKNOWN]);
}

/* --- for programs -------------------------------------------------------------------------- */

static void json_operation(struct json *json, const struct history *h, const char *key,
                           uint32_t number)
{
    char line[LINE_MAX_CHARACTERS];
    struct text text = text_of(line, sizeof line);
    check_describe(h, number, &text);
    json_object(json, key);
    json_u64(json, "operation", number);
    json_u64(json, "line", (uint64_t)number + 2);
    json_u64(json, "client", h->operations[number].client);
    json_bytes(json, "text", bytes_text(line));
    json_object_end(json);
}

static void json_violation(struct json *json, const struct history *h,
                           const struct check_verdict *v)
{
    json_text(json, "rule", v->rule);
    json_bytes(json, "because", bytes_text(v->what));
    json_operation(json, h, "cannot_be_placed", v->culprit);
    if (v->other != CHECK_NOBODY)
        json_operation(json, h, "compare", v->other);
    json_array(json, "concurrent");
    for (uint32_t i = 0; i < h->count; i++) {
        if (is_concurrent(h, v->culprit, i))
            json_u64(json, NULL, i);
    }
    json_array_end(json);
    json_array(json, "longest_prefix");
    for (uint32_t i = 0; i < v->prefix_count; i++)
        json_u64(json, NULL, v->prefix[i]);
    json_array_end(json);
}

static void json_all(const struct history *h, const struct tier *tiers, size_t count,
                     enum check_outcome outcome)
{
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_text(&json, "verdict", outcome_name(outcome));
    json_u64(&json, "operations", h->count);
    json_array(&json, "checkers");
    for (size_t i = 0; i < count; i++) {
        if (!tiers[i].wanted)
            continue;
        json_object(&json, NULL);
        json_text(&json, "checker", tiers[i].name);
        json_text(&json, "verdict", outcome_name(tiers[i].verdict.outcome));
        json_u64(&json, "checked", tiers[i].verdict.checked);
        json_u64(&json, "steps", tiers[i].verdict.steps);
        json_double(&json, "seconds", tiers[i].seconds);
        if (tiers[i].verdict.outcome == CHECK_VIOLATION)
            json_violation(&json, h, &tiers[i].verdict);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    json_line(&json);
}

/* --- the command --------------------------------------------------------------------------- */

static double now_seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/* A violation weighs most, then that nobody can tell. */
static enum check_outcome worse(enum check_outcome a, enum check_outcome b)
{
    static const int weights[] = {
        [CHECK_OK] = 0, [CHECK_VACUOUS] = 1, [CHECK_UNDECIDED] = 2, [CHECK_VIOLATION] = 3};
    return weights[a] > weights[b] ? a : b;
}

static int check(const struct options *options, struct mem *mem, struct history *h)
{
    static const int codes[] = {[CHECK_OK] = EXIT_LINEARIZABLE,
                                [CHECK_VIOLATION] = EXIT_VIOLATION,
                                [CHECK_UNDECIDED] = EXIT_UNDECIDED,
                                [CHECK_VACUOUS] = EXIT_USELESS};
    bool general = options_bool(options, "general");
    bool revisions = options_bool(options, "revisions") || options_bool(options, "partial");
    struct check_options how = {.partial = options_bool(options, "partial"),
                                .steps = (uint64_t)options_number(options, "steps")};
    struct tier tiers[] = {
        {.name = "revisions", .check = check_revisions, .wanted = revisions || !general},
        {.name = "general", .check = check_general, .wanted = general || !revisions},
    };
    size_t count = sizeof tiers / sizeof tiers[0];
    enum check_outcome outcome = CHECK_OK;
    bool json = options_bool(options, "json");
    if (!json)
        print_counts(h);
    for (size_t i = 0; i < count; i++) {
        if (!tiers[i].wanted)
            continue;
        double began = now_seconds();
        tiers[i].check(h, mem, &how, &tiers[i].verdict);
        tiers[i].seconds = now_seconds() - began;
        outcome = worse(outcome, tiers[i].verdict.outcome);
        if (!json)
            print_tier(h, &tiers[i]);
    }
    if (json)
        json_all(h, tiers, count, outcome);
    else
        printf("%s\n", outcome == CHECK_VIOLATION ? "not linearizable" : outcome_name(outcome));
    for (size_t i = 0; i < count; i++) {
        if (tiers[i].wanted)
            check_verdict_release(&tiers[i].verdict);
    }
    return codes[outcome];
}

int cmd_check(int argc, char **argv)
{
    struct options options;
    enum options_result result = options_parse(&options, &spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    int code = EXIT_USELESS;
    if (options_bool(&options, "partial") && options_bool(&options, "general")) {
        options_complain(&spec, "--general needs the whole history: it cannot go with --partial");
    } else {
        struct mem *mem = mem_system();
        struct history *history = read_history(options.arguments[0], mem);
        if (history != NULL) {
            code = check(&options, mem, history);
            history_free(history);
        }
    }
    options_release(&options);
    return code;
}
