/* Bench report: the line while it runs, and the result as a table or as JSON.
 *
 * Everything is read from the bench and nothing is changed, so a report may be made at any time;
 * rates are over the measured phase, those of events until the last of them came. */
#include "cli/bench.h"

#include "cli/json.h"
#include "cli/print.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

const char *const bench_series_names[SERIES_COUNT] = {"read", "write", "event", "lease"};

static double elapsed_s(const struct bench *bench)
{
    uint64_t ns = bench->measure_ended_ns - bench->measure_started_ns;
    return ns > 0 ? (double)ns / 1e9 : 1e-9;
}

/* The time over which a series was counted: events may come after the last request is done. */
static double series_seconds(const struct bench *bench, size_t series)
{
    if (series == SERIES_EVENT && bench->event_last_ns > bench->measure_ended_ns)
        return (double)(bench->event_last_ns - bench->measure_started_ns) / 1e9;
    return elapsed_s(bench);
}

static uint64_t errors_total(const struct bench *bench)
{
    uint64_t total = 0;
    for (size_t i = 0; i < SERIES_COUNT; i++)
        total += bench->errors[i];
    return total;
}

static const char *phase_name(enum bench_phase phase)
{
    switch (phase) {
    case BENCH_SETUP:
        return "connecting";
    case BENCH_FILL:
        return "filling";
    case BENCH_WARMUP:
        return "warming up";
    case BENCH_MEASURE:
        return "measuring";
    case BENCH_DRAIN:
    case BENCH_DONE:
        return "finishing";
    }
    return "";
}

static bool shows_progress(const struct bench *bench)
{
    return !bench->config.quiet && isatty(STDERR_FILENO) == 1;
}

/* How much of the phase is done, 0 to 1. */
static double phase_share(const struct bench *bench, double seconds)
{
    const struct bench_config *config = &bench->config;
    double share = 0;
    if (bench->phase == BENCH_FILL)
        share = (double)bench->completed / (double)config->keys;
    else if (bench->phase == BENCH_WARMUP)
        share = seconds * 1000 / (double)config->warmup_ms;
    else if (bench->phase == BENCH_MEASURE && config->total != 0)
        share = (double)bench->completed / (double)config->total;
    else if (bench->phase == BENCH_MEASURE)
        share = seconds * 1000 / (double)config->duration_ms;
    return share > 1 ? 1 : share;
}

void report_progress(const struct bench *bench)
{
    if (!shows_progress(bench))
        return;
    double seconds = (double)(uv_hrtime() - bench->phase_started_ns) / 1e9;
    char rate[32];
    char bar[21];
    double share = phase_share(bench, seconds);
    format_count((uint64_t)((double)bench->completed / (seconds > 0 ? seconds : 1)), rate,
                 sizeof rate);
    for (size_t i = 0; i < 20; i++)
        bar[i] = (double)i < share * 20 ? '#' : '.';
    bar[20] = '\0';
    fprintf(stderr, "\r%-10s [%s] %3.0f %%  %6.1f s  %10s /s  %" PRIu64 " errors \033[K",
            phase_name(bench->phase), bar, share * 100, seconds, rate, errors_total(bench));
    fflush(stderr);
}

void report_clear_line(const struct bench *bench)
{
    if (shows_progress(bench))
        fprintf(stderr, "\r\033[K");
}

static void print_series(struct table *table, const char *name, const struct histogram *histogram,
                         uint64_t errors, double seconds)
{
    static const double shares[] = {0.5, 0.9, 0.99, 0.999};
    char text[32];
    table_cell(table, "%s", name);
    format_count(histogram->count, text, sizeof text);
    table_cell(table, "%s", text);
    format_count((uint64_t)((double)histogram->count / seconds + 0.5), text, sizeof text);
    table_cell(table, "%s", text);
    table_cell(table, "%" PRIu64, errors);
    format_ns(histogram_mean(histogram), text, sizeof text);
    table_cell(table, "%s", text);
    for (size_t i = 0; i < sizeof shares / sizeof shares[0]; i++) {
        format_ns((double)histogram_quantile(histogram, shares[i]), text, sizeof text);
        table_cell(table, "%s", text);
    }
    format_ns((double)histogram->most, text, sizeof text);
    table_cell(table, "%s", text);
}

static void print_setting(const struct bench *bench)
{
    const struct bench_config *config = &bench->config;
    printf("%s: %zu connection%s x %zu stream%s to %zu endpoint%s", config->name,
           config->connections, config->connections == 1 ? "" : "s", config->streams,
           config->streams == 1 ? "" : "s", bench->endpoints_count,
           bench->endpoints_count == 1 ? "" : "s");
    if (config->leader_only)
        printf(" (the leader)");
    if (config->kind != BENCH_LEASE_GRANT && config->kind != BENCH_LEASE_KEEP_ALIVE)
        printf(", %" PRIu64 " keys of %zu B, values of %zu B", config->keys, config->key_size,
               config->value_size);
    if (config->kind == BENCH_GET || config->kind == BENCH_RANGE || config->kind == BENCH_MIXED)
        printf(", %s", config->serializable ? "serializable" : "linearizable");
    if (config->rate != 0)
        printf(", at %" PRIu64 "/s", config->rate);
    printf("\n\n");
}

static void print_notes(const struct bench *bench)
{
    const struct bench_config *config = &bench->config;
    double seconds = elapsed_s(bench);
    if (config->kind == BENCH_WATCH) {
        char text[32];
        format_ns((double)bench->setup_ns, text, sizeof text);
        printf("%zu of %zu watchers created in %s; %" PRIu64 " of %" PRIu64 " events arrived\n",
               bench->watchers_created, config->watchers, text, bench->events,
               bench->events_expected);
    }
    if (config->rate != 0 && bench->measure_ended_ns > bench->next_slot_ns) {
        uint64_t behind =
            (bench->measure_ended_ns - bench->next_slot_ns) / (1000000000u / config->rate);
        if (behind > config->rate / 100)
            printf("behind the rate by %" PRIu64 " requests at the end\n", behind);
    }
    for (size_t i = 0; i < bench->messages_count; i++)
        printf("error x %" PRIu64 ": %s (%s)\n", bench->messages[i].count,
               bench->messages[i].message, grpc_code_name((unsigned)bench->messages[i].code));
    if (bench->stalled)
        printf("gave up: nothing succeeded for a long time\n");
    if (bench->interrupted)
        printf("interrupted\n");
    printf("%.2f s; this program used %.0f %% of one core\n", seconds,
           (double)bench->cpu_used_us / 1e4 / seconds);
}

static void print_result(const struct bench *bench)
{
    static const char *const titles[] = {"OPERATION", ">DONE", ">PER SECOND", ">ERRORS",
                                         ">MEAN",     ">P50",  ">P90",        ">P99",
                                         ">P99.9",    ">MAX",  NULL};
    struct table table;
    print_setting(bench);
    table_init(&table, titles);
    for (size_t i = 0; i < SERIES_COUNT; i++)
        if (bench->series[i]->count > 0 || bench->errors[i] > 0)
            print_series(&table, bench_series_names[i], bench->series[i], bench->errors[i],
                         series_seconds(bench, i));
    table_print(&table, stdout);
    table_release(&table);
    for (size_t i = 0; i < SERIES_COUNT && bench->config.histogram; i++) {
        if (bench->series[i]->count == 0)
            continue;
        printf("\n%s\n", bench_series_names[i]);
        histogram_print(bench->series[i], stdout);
    }
    putchar('\n');
    print_notes(bench);
}

static void json_series(struct json *json, const char *name, const struct histogram *histogram,
                        uint64_t errors, double seconds)
{
    json_object(json, name);
    json_u64(json, "done", histogram->count);
    json_u64(json, "errors", errors);
    json_double(json, "per_second", (double)histogram->count / seconds);
    json_double(json, "mean_us", histogram_mean(histogram) / 1000);
    json_double(json, "min_us", (double)histogram->least / 1000);
    json_double(json, "p50_us", (double)histogram_quantile(histogram, 0.5) / 1000);
    json_double(json, "p90_us", (double)histogram_quantile(histogram, 0.9) / 1000);
    json_double(json, "p99_us", (double)histogram_quantile(histogram, 0.99) / 1000);
    json_double(json, "p999_us", (double)histogram_quantile(histogram, 0.999) / 1000);
    json_double(json, "max_us", (double)histogram->most / 1000);
    json_object_end(json);
}

static void json_setting(struct json *json, const struct bench *bench)
{
    const struct bench_config *config = &bench->config;
    json_text(json, "bench", config->name);
    json_array(json, "endpoints");
    for (size_t i = 0; i < bench->endpoints_count; i++)
        json_text(json, NULL, bench->endpoints[i].text);
    json_array_end(json);
    json_u64(json, "connections", config->connections);
    json_u64(json, "streams", config->streams);
    json_u64(json, "keys", config->keys);
    json_u64(json, "key_size", config->key_size);
    json_u64(json, "value_size", config->value_size);
    json_u64(json, "rate", config->rate);
    json_u64(json, "seed", config->seed);
    json_bool(json, "sequential", config->sequential);
    json_text(json, "consistency", config->serializable ? "serializable" : "linearizable");
}

static void print_json(const struct bench *bench)
{
    struct json json = json_of(stdout);
    double seconds = elapsed_s(bench);
    json_object(&json, NULL);
    json_setting(&json, bench);
    json_double(&json, "seconds", seconds);
    json_double(&json, "cpu_cores", (double)bench->cpu_used_us / 1e6 / seconds);
    json_bool(&json, "complete", !bench->interrupted && !bench->stalled);
    if (bench->config.kind == BENCH_WATCH) {
        json_u64(&json, "watchers", bench->watchers_created);
        json_double(&json, "watchers_setup_us", (double)bench->setup_ns / 1000);
        json_u64(&json, "events", bench->events);
        json_u64(&json, "events_expected", bench->events_expected);
    }
    json_object(&json, "operations");
    for (size_t i = 0; i < SERIES_COUNT; i++)
        if (bench->series[i]->count > 0 || bench->errors[i] > 0)
            json_series(&json, bench_series_names[i], bench->series[i], bench->errors[i],
                        series_seconds(bench, i));
    json_object_end(&json);
    json_u64(&json, "window_ms", BENCH_WINDOW_MS);
    json_array(&json, "windows");
    for (size_t i = 0; i < bench->windows_count; i++)
        json_u64(&json, NULL, bench->windows[i]);
    json_array_end(&json);
    json_array(&json, "errors");
    for (size_t i = 0; i < bench->messages_count; i++) {
        json_object(&json, NULL);
        json_text(&json, "code", grpc_code_name((unsigned)bench->messages[i].code));
        json_text(&json, "message", bench->messages[i].message);
        json_u64(&json, "count", bench->messages[i].count);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    json_line(&json);
}

void report_result(const struct bench *bench)
{
    if (bench->config.json)
        print_json(bench);
    else
        print_result(bench);
}
