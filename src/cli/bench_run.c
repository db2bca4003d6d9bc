/* Bench run: phases, workers and their pace.
 *
 * A worker starts its next request from the callback that ended the last, so a fast server is never
 * waited for. Whoever cannot start (no connection, not due yet, cooling down after an error) waits
 * in its lane's list for the pace timer. */
#include "cli/bench.h"

#include "base/panic.h"

#include <inttypes.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#define CONNECT_LIMIT_MS 5000
#define DRAIN_LIMIT_MS 2000 /* without an event */
#define STALL_LIMIT_MS 15000
#define NS_PER_MS 1000000u

static uint64_t cpu_us(void)
{
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (uint64_t)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000u +
           (uint64_t)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static bool may_issue(const struct bench *bench)
{
    switch (bench->phase) {
    case BENCH_FILL:
        return bench->issued < bench->config.keys;
    case BENCH_WARMUP:
        return true;
    case BENCH_MEASURE:
        return bench->config.total == 0 || bench->issued < bench->config.total;
    case BENCH_SETUP:
    case BENCH_DRAIN:
    case BENCH_DONE:
        return false;
    }
    return false;
}

static bool rate_limited(const struct bench *bench)
{
    return bench->config.rate != 0 && bench->phase != BENCH_FILL;
}

static void worker_wait(struct bench_worker *worker, uint64_t idle_ns)
{
    worker->idle_ns = idle_ns;
    list_push(&worker->lane->waiting, &worker->link);
}

/* Starts the worker's next request, or lets it wait. */
static void worker_next(struct bench_worker *worker, uint64_t now)
{
    struct bench *bench = worker->lane->bench;
    if (!may_issue(bench) || (rate_limited(bench) && now < bench->next_slot_ns)) {
        worker_wait(worker, worker->idle_ns);
        return;
    }
    /* Late because nobody was free to start it: the request has been waiting since it was due. */
    bool was_late = rate_limited(bench) && worker->idle_ns > bench->next_slot_ns;
    worker->started_ns = was_late ? bench->next_slot_ns : now;
    worker->phase = bench->phase;
    if (worker->lane->connection.state != GRPC_READY || !work_start(worker)) {
        worker_wait(worker, UINT64_MAX);
        return;
    }
    bench->in_flight++;
    if (!worker->setting_up) {
        bench->issued++;
        if (rate_limited(bench))
            bench->next_slot_ns += 1000000000u / bench->config.rate;
        if (bench->phase == BENCH_MEASURE && bench->config.kind == BENCH_WATCH)
            bench->events_expected += bench->config.watchers / bench->config.keys;
    }
}

void bench_count_error(struct bench *bench, enum bench_series series,
                       const struct grpc_status *status)
{
    bench->errors[series]++;
    for (size_t i = 0; i < BENCH_ERRORS_MAX; i++) {
        struct bench_error *error = &bench->messages[i];
        if (i == bench->messages_count) {
            bench->messages_count++;
            error->code = status->code;
            snprintf(error->message, sizeof error->message, "%s", status->message);
        }
        if (i + 1 == BENCH_ERRORS_MAX ||
            (error->code == status->code &&
             strncmp(error->message, status->message, sizeof error->message - 1) == 0)) {
            error->count++;
            return;
        }
    }
}

static void count_in_window(struct bench *bench, uint64_t now)
{
    uint64_t window = (now - bench->measure_started_ns) / (BENCH_WINDOW_MS * (uint64_t)NS_PER_MS);
    if (window >= BENCH_WINDOWS_MAX)
        return;
    if (bench->windows == NULL)
        bench->windows = calloc(BENCH_WINDOWS_MAX, sizeof *bench->windows);
    if (bench->windows == NULL)
        panic("out of memory");
    bench->windows[window]++;
    bench->windows_count = (size_t)window + 1;
}

void bench_complete(struct bench_worker *worker, const struct grpc_status *status)
{
    struct bench *bench = worker->lane->bench;
    uint64_t now = uv_hrtime();
    bool measured = worker->phase == BENCH_MEASURE && bench->phase == BENCH_MEASURE;
    bench->in_flight--;
    if (worker->phase == bench->phase && !worker->setting_up)
        bench->completed++;
    if (status->code != GRPC_OK) {
        if (measured || (worker->phase == BENCH_FILL && bench->phase == BENCH_FILL))
            bench_count_error(bench, worker->series, status);
        worker_wait(worker, UINT64_MAX);
        return;
    }
    bench->progress_ns = now;
    if (measured && !worker->setting_up) {
        histogram_record(bench->series[worker->series], now - worker->started_ns);
        count_in_window(bench, now);
    }
    worker->idle_ns = now;
    worker_next(worker, now);
}

static void on_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct bench_worker *worker = call->owner;
    bool keep_alive = worker->lane->bench->config.kind == BENCH_LEASE_KEEP_ALIVE;
    /* A keep-alive stream ends only by failing; a request may be waiting rather than in flight. */
    if (keep_alive && !worker->setting_up && !list_empty(&worker->link))
        return;
    struct grpc_status failed = *status;
    if (keep_alive && !worker->setting_up && failed.code == GRPC_OK)
        failed.code = GRPC_UNAVAILABLE;
    bench_complete(worker, &failed);
}

static void wake_lane(struct bench_lane *lane, uint64_t now)
{
    struct bench *bench = lane->bench;
    if (lane->connection.state != GRPC_READY)
        return;
    struct list woken;
    list_init(&woken);
    list_splice(&woken, &lane->waiting);
    list_each (at, &woken) {
        if (!may_issue(bench) || (rate_limited(bench) && now < bench->next_slot_ns))
            break;
        list_remove(at);
        worker_next(container_of(at, struct bench_worker, link), now);
    }
    list_splice(&lane->waiting, &woken);
}

static void on_pace(uv_timer_t *timer)
{
    struct bench *bench = timer->data;
    uint64_t now = uv_hrtime();
    size_t first = (size_t)prng_below(&bench->prng, bench->config.connections);
    for (size_t i = 0; i < bench->config.connections; i++)
        wake_lane(&bench->lanes[(first + i) % bench->config.connections], now);
}

static void on_lane_state(struct grpc_connection *connection)
{
    struct bench_lane *lane = connection->owner;
    wake_lane(lane, uv_hrtime());
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct bench *bench = handle->data;
    (void)number;
    bench->interrupted = true;
}

static void on_progress(uv_timer_t *timer)
{
    report_progress(timer->data);
}

/* The endpoint of the member that leads, moved to the front of the list as the only one. */
static enum exit_code keep_leader(struct bench *bench)
{
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    for (size_t i = 0; i < bench->endpoints_count; i++) {
        struct grpc_connection connection = {.endpoints = &bench->endpoints[i],
                                             .endpoints_count = 1};
        struct rpc rpc;
        rpc_init(&rpc);
        grpc_connection_open(&connection, &bench->client);
        rpc_start(&rpc, &connection, &rpc_status, &request.base, bench->config.timeout_ms);
        while (!rpc.done)
            uv_run(&bench->client.loop, UV_RUN_ONCE);
        const Etcdserverpb__StatusResponse *response = (const void *)rpc.response;
        bool leads = response != NULL && response->header != NULL &&
                     response->leader == response->header->member_id;
        rpc_release(&rpc);
        grpc_connection_close(&connection);
        while (connection.tcp_open)
            uv_run(&bench->client.loop, UV_RUN_ONCE);
        if (leads) {
            bench->endpoints[0] = bench->endpoints[i];
            bench->endpoints_count = 1;
            return EXIT_CODE_OK;
        }
    }
    fprintf(stderr, "synod bench: none of the endpoints leads\n");
    return EXIT_CODE_UNREACHABLE;
}

static void open_lanes(struct bench *bench)
{
    const struct bench_config *config = &bench->config;
    bench->lanes = calloc(config->connections, sizeof *bench->lanes);
    bench->workers_count = config->connections * config->streams;
    bench->workers = calloc(bench->workers_count, sizeof *bench->workers);
    if (bench->lanes == NULL || bench->workers == NULL)
        panic("out of memory");
    for (size_t i = 0; i < config->connections; i++) {
        struct bench_lane *lane = &bench->lanes[i];
        lane->bench = bench;
        list_init(&lane->waiting);
        lane->connection.endpoints = bench->endpoints;
        lane->connection.endpoints_count = bench->endpoints_count;
        lane->connection.endpoint = i % bench->endpoints_count;
        lane->connection.owner = lane;
        lane->connection.on_state = on_lane_state;
        grpc_connection_open(&lane->connection, &bench->client);
    }
    for (size_t i = 0; i < bench->workers_count; i++) {
        struct bench_worker *worker = &bench->workers[i];
        worker->lane = &bench->lanes[i % config->connections];
        grpc_call_init(&worker->call);
        worker->call.owner = worker;
        worker->call.on_message = work_on_message;
        worker->call.on_end = on_end;
        list_init(&worker->link);
        worker_wait(worker, 0);
    }
}

static size_t lanes_ready(const struct bench *bench)
{
    size_t ready = 0;
    for (size_t i = 0; i < bench->config.connections; i++)
        ready += bench->lanes[i].connection.state == GRPC_READY ? 1 : 0;
    return ready;
}

/* Waits for all connections; goes on with some of them if the others do not come. */
static enum exit_code wait_for_lanes(struct bench *bench)
{
    uint64_t limit = uv_hrtime() + CONNECT_LIMIT_MS * (uint64_t)NS_PER_MS;
    while (lanes_ready(bench) < bench->config.connections && uv_hrtime() < limit &&
           !bench->interrupted) {
        uv_run(&bench->client.loop, UV_RUN_ONCE);
        bool hopeless = true;
        for (size_t i = 0; i < bench->config.connections; i++)
            hopeless = hopeless && bench->lanes[i].connection.failures >= bench->endpoints_count;
        if (hopeless)
            break;
    }
    if (lanes_ready(bench) > 0)
        return EXIT_CODE_OK;
    fprintf(stderr, "synod bench: cannot connect to %s: %s\n", bench->endpoints[0].text,
            bench->lanes[0].connection.error);
    return EXIT_CODE_UNREACHABLE;
}

static bool phase_over(struct bench *bench, uint64_t now, uint64_t limit_ms)
{
    uint64_t goal = bench->phase == BENCH_FILL ? bench->config.keys : bench->config.total;
    if (now > bench->progress_ns + STALL_LIMIT_MS * (uint64_t)NS_PER_MS)
        bench->stalled = true;
    if (bench->interrupted || bench->stalled)
        return true;
    if (limit_ms != 0)
        return now >= bench->phase_started_ns + limit_ms * NS_PER_MS;
    return bench->completed >= goal;
}

/* A limit of 0 is by count. */
static void run_phase(struct bench *bench, enum bench_phase phase, uint64_t limit_ms)
{
    uint64_t now = uv_hrtime();
    bench->phase = phase;
    bench->issued = 0;
    bench->completed = 0;
    bench->phase_started_ns = now;
    bench->progress_ns = now;
    bench->next_slot_ns = now;
    if (phase == BENCH_MEASURE) {
        bench->measure_started_ns = now;
        bench->cpu_started_us = cpu_us();
    }
    on_pace(&bench->pace);
    while (!phase_over(bench, now, limit_ms)) {
        uv_run(&bench->client.loop, UV_RUN_ONCE);
        now = uv_hrtime();
    }
    if (phase == BENCH_MEASURE) {
        bench->measure_ended_ns = now;
        bench->cpu_used_us = cpu_us() - bench->cpu_started_us;
    }
    bench->phase = BENCH_DRAIN;
}

/* A server may be behind with its events, and is waited for as long as they come. */
static void drain_events(struct bench *bench)
{
    uint64_t since = uv_hrtime();
    while (bench->events < bench->events_expected &&
           uv_hrtime() < since + DRAIN_LIMIT_MS * (uint64_t)NS_PER_MS) {
        uv_run(&bench->client.loop, UV_RUN_ONCE);
        if (bench->event_last_ns > since)
            since = bench->event_last_ns;
    }
}

static void run_phases(struct bench *bench)
{
    const struct bench_config *config = &bench->config;
    if (config->fill)
        run_phase(bench, BENCH_FILL, 0);
    if (config->warmup_ms != 0 && !bench->interrupted && !bench->stalled)
        run_phase(bench, BENCH_WARMUP, config->warmup_ms);
    if (!bench->interrupted && !bench->stalled)
        run_phase(bench, BENCH_MEASURE, config->total != 0 ? 0 : config->duration_ms);
    drain_events(bench);
    bench->phase = BENCH_DONE;
}

static void start_handles(struct bench *bench)
{
    uint64_t pace_ms = bench->config.rate != 0 ? 1 : 10;
    uv_timer_init(&bench->client.loop, &bench->pace);
    uv_timer_init(&bench->client.loop, &bench->progress);
    uv_signal_init(&bench->client.loop, &bench->interrupt);
    bench->pace.data = bench;
    bench->progress.data = bench;
    bench->interrupt.data = bench;
    uv_timer_start(&bench->pace, on_pace, pace_ms, pace_ms);
    uv_timer_start(&bench->progress, on_progress, 250, 250);
    uv_signal_start(&bench->interrupt, on_interrupt, SIGINT);
}

static void close_lanes(struct bench *bench)
{
    for (size_t i = 0; i < bench->workers_count; i++)
        grpc_call_release(&bench->workers[i].call);
    for (size_t i = 0; bench->lanes != NULL && i < bench->config.connections; i++)
        grpc_connection_close(&bench->lanes[i].connection);
}

enum exit_code bench_run(struct bench *bench)
{
    grpc_client_init(&bench->client);
    enum exit_code code = bench->config.leader_only ? keep_leader(bench) : EXIT_CODE_OK;
    if (code == EXIT_CODE_OK) {
        open_lanes(bench);
        start_handles(bench);
        code = wait_for_lanes(bench);
    }
    if (code == EXIT_CODE_OK && bench->config.kind == BENCH_WATCH)
        watch_streams_open(bench);
    if (code == EXIT_CODE_OK)
        run_phases(bench);
    watch_streams_close(bench);
    close_lanes(bench);
    grpc_client_release(&bench->client);
    free(bench->lanes);
    free(bench->workers);
    return code;
}
