/* synod bench: the loads by name, their flags, and the checks on them.
 *
 * What passes the checks here can be run: keys fit their size, watchers divide among keys, values
 * have room for what a load keeps in them. */
#include "cli/bench.h"
#include "cli/commands.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#define MILLION INT64_C(1000000)

static const struct option load_flags[] = {
    {.group = "Load",
     .name = "connections",
     .kind = OPTION_NUMBER,
     .preset = "1",
     .minimum = 1,
     .maximum = 20000,
     .help = "connections, spread over the endpoints"},
    {.name = "streams",
     .kind = OPTION_NUMBER,
     .preset = "1",
     .minimum = 1,
     .maximum = 10000,
     .help = "requests in flight on each connection"},
    {.name = "total",
     .kind = OPTION_NUMBER,
     .maximum = INT64_MAX,
     .help = "stop after this many requests"},
    {.name = "duration",
     .kind = OPTION_DURATION,
     .preset = "10s",
     .minimum = MILLION,
     .maximum = INT64_MAX,
     .help = "stop after this time, if there is no --total"},
    {.name = "warmup", .kind = OPTION_DURATION, .help = "run this long before measuring"},
    {.name = "rate",
     .kind = OPTION_NUMBER,
     .maximum = 10 * MILLION,
     .help = "requests a second over all connections; without it, as many as are answered"},
    {.name = "leader-only", .kind = OPTION_BOOL, .help = "use only the endpoint that leads"},
    {.name = "seed",
     .kind = OPTION_NUMBER,
     .preset = "1",
     .help = "of the random keys and values; a run can be repeated"},
    {.name = "histogram", .kind = OPTION_BOOL, .help = "draw the latencies"},
    {.name = "quiet", .kind = OPTION_BOOL, .help = "no progress line"},
    {.name = NULL},
};

static const struct option key_flags[] = {
    {.group = "Keys and values",
     .name = "keys",
     .kind = OPTION_NUMBER,
     .preset = "10000",
     .minimum = 1,
     .maximum = INT64_MAX,
     .help = "how many different keys"},
    {.name = "key-size",
     .kind = OPTION_NUMBER,
     .preset = "16",
     .minimum = 1,
     .maximum = BENCH_KEY_MAX,
     .help = "bytes in a key"},
    {.name = "value-size",
     .kind = OPTION_NUMBER,
     .preset = "256",
     .maximum = 1 << 20,
     .help = "bytes in a value"},
    {.name = "prefix", .kind = OPTION_STRING, .preset = "bench/", .help = "begins every key"},
    {.name = "sequential", .kind = OPTION_BOOL, .help = "keys in order instead of at random"},
    {.name = NULL},
};

static const struct option read_flags[] = {
    {.group = "Reads",
     .name = "consistency",
     .kind = OPTION_STRING,
     .preset = "linearizable",
     .hint = "l|s",
     .help = "linearizable, or serializable: from the member's own copy"},
    {.name = "fill", .kind = OPTION_BOOL, .help = "first write every key once"},
    {.name = "span",
     .kind = OPTION_NUMBER,
     .preset = "100",
     .minimum = 1,
     .maximum = MILLION,
     .help = "range: keys in one answer"},
    {.name = "reads",
     .kind = OPTION_NUMBER,
     .preset = "90",
     .maximum = 100,
     .hint = "PERCENT",
     .help = "mixed: how much of the load reads"},
    {.name = NULL},
};

static const struct option watch_flags[] = {
    {.group = "Watchers",
     .name = "watchers",
     .kind = OPTION_NUMBER,
     .preset = "100",
     .minimum = 1,
     .maximum = 10 * MILLION,
     .help = "watch: how many; each watches one key, so a put makes watchers / keys events"},
    {.name = "watch-streams",
     .kind = OPTION_NUMBER,
     .preset = "1",
     .minimum = 1,
     .maximum = 10000,
     .help = "watch: streams on each connection that share the watchers"},
    {.group = "Leases",
     .name = "ttl",
     .kind = OPTION_NUMBER,
     .preset = "60",
     .minimum = 1,
     .maximum = INT64_C(9000000000),
     .hint = "SECONDS",
     .help = "lease: time to live"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "bench",
    .summary = "measure throughput and latency",
    .arguments = "put | get | range | mixed | watch | lease [grant | keepalive]",
    .description =
        "Runs against any etcd v3 endpoint. connections x streams requests are in flight. With\n"
        "--rate, a latency counts from when the request was due, so that a stall of the server\n"
        "shows in every request it delayed. Connections that break are made again; what was in\n"
        "flight counts as errors. Ctrl-C ends early with the result so far.\n"
        "Exit codes: 0 done, 1 every request failed, 2 usage, 4 cannot connect.\n",
    .examples =
        "  synod bench put --connections 100 --streams 10 --total 100000\n"
        "  synod bench get --fill --connections 50 --consistency serializable --duration 5s\n"
        "  synod bench mixed --reads 80 --rate 5000 --connections 16 --histogram\n"
        "  synod bench watch --watchers 10000 --keys 100 --rate 500 --connections 10\n"
        "  synod bench lease keepalive --connections 10 --streams 100 --json\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .tables = {load_flags, key_flags, read_flags, watch_flags, session_flags},
};

static const struct {
    const char *name;
    const char *second;
    const char *title;
    enum bench_kind kind;
} loads[] = {
    {"put", NULL, "put", BENCH_PUT},
    {"get", NULL, "get", BENCH_GET},
    {"range", NULL, "range", BENCH_RANGE},
    {"mixed", NULL, "mixed", BENCH_MIXED},
    {"watch", NULL, "watch", BENCH_WATCH},
    {"lease", "grant", "lease grant", BENCH_LEASE_GRANT},
    {"lease", "keepalive", "lease keepalive", BENCH_LEASE_KEEP_ALIVE},
};

static bool find_load(const struct options *options, struct bench_config *config)
{
    const char *name = options->arguments[0];
    const char *second = options->arguments_count > 1 ? options->arguments[1] : NULL;
    if (strcmp(name, "lease") == 0 && second == NULL)
        second = "grant";
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        bool same_second = second == NULL
                               ? loads[i].second == NULL
                               : loads[i].second != NULL && strcmp(loads[i].second, second) == 0;
        if (strcmp(loads[i].name, name) == 0 && same_second) {
            config->kind = loads[i].kind;
            config->name = loads[i].title;
            return true;
        }
    }
    return false;
}

static enum exit_code read_consistency(const struct options *options, struct bench_config *config)
{
    const char *text = options_string(options, "consistency");
    config->serializable = strcmp(text, "s") == 0 || strcmp(text, "serializable") == 0;
    if (!config->serializable && strcmp(text, "l") != 0 && strcmp(text, "linearizable") != 0)
        return usage_error(options, "--consistency takes linearizable or serializable, not \"%s\"",
                           text);
    return EXIT_CODE_OK;
}

/* What holds between several flags. */
static enum exit_code check_config(const struct options *options, struct bench_config *config)
{
    size_t prefix = strlen(config->prefix);
    size_t digits = 1;
    for (uint64_t left = config->keys - 1; left >= 10; left /= 10)
        digits++;
    if (config->kind == BENCH_WATCH && !options_given(options, "keys"))
        config->keys = config->watchers < 10 ? config->watchers : 10;
    if (prefix + digits > config->key_size)
        return usage_error(options,
                           "%llu keys after the prefix \"%s\" do not fit into %zu bytes: raise "
                           "--key-size or shorten --prefix",
                           (unsigned long long)config->keys, config->prefix, config->key_size);
    if (config->kind == BENCH_WATCH && config->watchers % config->keys != 0)
        return usage_error(options, "--watchers must be a multiple of --keys");
    if (config->kind == BENCH_WATCH && config->value_size < 8)
        return usage_error(options, "bench watch needs values of 8 bytes, for the time");
    if (config->kind == BENCH_WATCH && !options_given(options, "rate"))
        config->rate = 1000;
    return EXIT_CODE_OK;
}

static enum exit_code read_config(const struct options *options, struct bench_config *config)
{
    if (!find_load(options, config))
        return usage_error(options,
                           "there is no load \"%s%s%s\"; there are put, get, range, mixed, "
                           "watch, lease grant and lease keepalive",
                           options->arguments[0], options->arguments_count > 1 ? " " : "",
                           options->arguments_count > 1 ? options->arguments[1] : "");
    config->connections = (size_t)options_number(options, "connections");
    config->streams = (size_t)options_number(options, "streams");
    config->total = (uint64_t)options_number(options, "total");
    config->duration_ms = (uint64_t)(options_duration_ns(options, "duration") / MILLION);
    config->warmup_ms = (uint64_t)(options_duration_ns(options, "warmup") / MILLION);
    config->timeout_ms = (uint64_t)(options_duration_ns(options, "timeout") / MILLION);
    config->rate = (uint64_t)options_number(options, "rate");
    config->seed = (uint64_t)options_number(options, "seed");
    config->keys = (uint64_t)options_number(options, "keys");
    config->key_size = (size_t)options_number(options, "key-size");
    config->value_size = (size_t)options_number(options, "value-size");
    config->prefix = options_string(options, "prefix");
    config->sequential = options_bool(options, "sequential");
    config->fill = options_bool(options, "fill");
    config->reads_percent = (uint64_t)options_number(options, "reads");
    config->span = (uint64_t)options_number(options, "span");
    config->watchers = (size_t)options_number(options, "watchers");
    config->watch_streams = (size_t)options_number(options, "watch-streams");
    config->ttl = options_number(options, "ttl");
    config->leader_only = options_bool(options, "leader-only");
    config->json = options_bool(options, "json");
    config->histogram = options_bool(options, "histogram");
    config->quiet = options_bool(options, "quiet");
    enum exit_code code = read_consistency(options, config);
    return code == EXIT_CODE_OK ? check_config(options, config) : code;
}

static void make_value(struct bench *bench)
{
    size_t size = bench->config.value_size + 1024;
    bench->prng = prng_seed(bench->config.seed);
    bench->value = malloc(size);
    if (bench->value == NULL)
        panic("out of memory");
    for (size_t i = 0; i < size; i++)
        bench->value[i] = (uint8_t)('a' + prng_below(&bench->prng, 26));
    for (size_t i = 0; i < SERIES_COUNT; i++) {
        bench->series[i] = calloc(1, sizeof *bench->series[i]);
        if (bench->series[i] == NULL)
            panic("out of memory");
    }
}

static enum exit_code run(struct bench *bench)
{
    make_value(bench);
    enum exit_code code = bench_run(bench);
    report_clear_line(bench);
    uint64_t succeeded = 0;
    for (size_t i = 0; i < SERIES_COUNT; i++)
        succeeded += bench->series[i]->count;
    if (code == EXIT_CODE_OK) {
        report_result(bench);
        code = succeeded > 0 ? EXIT_CODE_OK : EXIT_CODE_FAILED;
    }
    for (size_t i = 0; i < SERIES_COUNT; i++)
        free(bench->series[i]);
    free(bench->value);
    free(bench->windows);
    return code;
}

int cmd_bench(int argc, char **argv)
{
    struct options options;
    enum options_result result = options_parse(&options, &spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    static struct bench bench; /* zeros; too large for the stack of some machines */
    size_t count;
    enum exit_code code = read_config(&options, &bench.config);
    if (code == EXIT_CODE_OK) {
        const char *const *texts = options_list(&options, "endpoints", &count);
        bench.endpoints = endpoints_parse("bench", texts, count);
        bench.endpoints_count = count;
        code = bench.endpoints != NULL ? run(&bench) : EXIT_CODE_USAGE;
        free(bench.endpoints);
    }
    options_release(&options);
    return (int)code;
}
