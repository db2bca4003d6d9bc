/* Bench: a load generator for any etcd v3 endpoint, on one thread.
 *
 * A lane is a connection; a worker is one stream of requests on it, one after the other. So there
 * are connections * streams requests in flight. With a rate, each request has a time at which it
 * should start, and its latency counts from there: a server that stalls cannot hide the requests
 * that it kept from being sent. The invariant: a worker is in exactly one place: waiting in its
 * lane's list, or in flight. */
#ifndef SYNOD_CLI_BENCH_H
#define SYNOD_CLI_BENCH_H

#include "cli/grpc_client.h"
#include "cli/histogram.h"
#include "cli/options.h"
#include "cli/session.h"

#include "base/arena.h"
#include "base/prng.h"

enum bench_kind {
    BENCH_PUT,
    BENCH_GET,
    BENCH_RANGE,
    BENCH_MIXED,
    BENCH_WATCH,
    BENCH_LEASE_GRANT,
    BENCH_LEASE_KEEP_ALIVE,
};

enum bench_phase {
    BENCH_SETUP, /* connecting; creating watchers */
    BENCH_FILL,  /* every key is written once */
    BENCH_WARMUP,
    BENCH_MEASURE,
    BENCH_DRAIN, /* the last events of a watch are awaited */
    BENCH_DONE,
};

/* What a latency is counted as. */
enum bench_series {
    SERIES_READ,
    SERIES_WRITE,
    SERIES_EVENT,
    SERIES_LEASE,
    SERIES_COUNT,
};

struct bench_config {
    enum bench_kind kind;
    const char *name; /* "put", "lease keepalive", ... */
    size_t connections;
    size_t streams; /* workers on each connection */
    uint64_t total; /* 0: by duration */
    uint64_t duration_ms;
    uint64_t warmup_ms;
    uint64_t timeout_ms;
    uint64_t rate; /* requests a second over all workers; 0: as fast as answers come */
    uint64_t seed;
    uint64_t keys;
    size_t key_size;
    size_t value_size;
    const char *prefix;
    bool sequential;
    bool serializable;
    bool fill;
    uint64_t reads_percent; /* of a mixed load */
    uint64_t span;          /* keys in a range */
    size_t watchers;
    size_t watch_streams; /* on each connection */
    int64_t ttl;
    bool leader_only;
    bool json;
    bool histogram;
    bool quiet;
};

#define BENCH_KEY_MAX 1024
#define BENCH_WINDOW_MS 100
#define BENCH_WINDOWS_MAX 36000 /* an hour; what comes later is in no window */

struct bench_worker {
    struct grpc_call call;
    struct bench_lane *lane;
    struct list link; /* in the lane's waiting list */
    enum bench_series series;
    bool setting_up;        /* the request in flight prepares and is not counted */
    enum bench_phase phase; /* the one it was started in: it counts for no other */
    uint64_t started_ns;
    uint64_t idle_ns; /* when it became able to start; UINT64_MAX if it was held back */
    int64_t lease;
};

struct bench_lane {
    struct bench *bench;
    struct grpc_connection connection;
    struct list waiting; /* workers that could not start yet */
};

struct bench_error {
    int code;
    char message[256];
    uint64_t count;
};

#define BENCH_ERRORS_MAX 8

struct bench_watch_stream {
    struct grpc_call call;
    struct bench *bench;
    size_t lane;
    size_t first; /* its watchers are [first, first + count) */
    size_t count;
    size_t created;
};

struct bench {
    struct bench_config config;
    struct grpc_client client;
    struct grpc_endpoint *endpoints;
    size_t endpoints_count;
    struct bench_lane *lanes;
    struct bench_worker *workers;
    size_t workers_count;
    struct bench_watch_stream *watch_streams;
    size_t watch_streams_count;
    size_t watchers_created;
    struct arena arena; /* a watcher's message while it is looked at */
    uint64_t setup_ns;  /* how long creating the watchers took */

    enum bench_phase phase;
    struct prng prng;
    uint64_t next_key;
    uint8_t *value;     /* random bytes, value_size and some more to begin anywhere in */
    uint64_t issued;    /* in this phase */
    uint64_t completed; /* of those, failures included */
    uint64_t in_flight;
    uint64_t next_slot_ns; /* when the next request of a limited rate is due */
    uint64_t phase_started_ns;
    uint64_t measure_started_ns;
    uint64_t measure_ended_ns;
    uint64_t progress_ns; /* when something last succeeded */
    uint64_t events;
    uint64_t events_expected;
    uint64_t event_last_ns; /* when the newest of them came */
    uint32_t *windows;      /* requests done in each BENCH_WINDOW_MS of the measured phase */
    size_t windows_count;
    uint64_t cpu_started_us;
    uint64_t cpu_used_us;
    bool interrupted;
    bool stalled;

    struct histogram *series[SERIES_COUNT];
    uint64_t errors[SERIES_COUNT];
    struct bench_error messages[BENCH_ERRORS_MAX];
    size_t messages_count;

    uv_timer_t pace;     /* wakes waiting workers, ends phases */
    uv_timer_t progress; /* the line on a terminal */
    uv_signal_t interrupt;
};

/* --- bench_run.c ----------------------------------------------------------------------------- */
/* Runs all phases; returns an exit code, after a message if nothing could be measured. */
enum exit_code bench_run(struct bench *bench);
/* Accounts for a finished request and starts the worker's next. */
void bench_complete(struct bench_worker *worker, const struct grpc_status *status);
void bench_count_error(struct bench *bench, enum bench_series series,
                       const struct grpc_status *status);

/* --- bench_work.c ---------------------------------------------------------------------------- */
/* Builds and starts the worker's next request; false if its connection takes none. */
bool work_start(struct bench_worker *worker);
/* What a message in flight means for workers that read the answer. */
void work_on_message(struct grpc_call *call, struct bytes message);
size_t work_key(const struct bench *bench, uint64_t index, uint8_t *ret_key);

/* --- bench_watch.c --------------------------------------------------------------------------- */
void watch_streams_open(struct bench *bench);
void watch_streams_close(struct bench *bench);

/* --- bench_report.c -------------------------------------------------------------------------- */
void report_progress(const struct bench *bench);
void report_clear_line(const struct bench *bench);
void report_result(const struct bench *bench);

extern const char *const bench_series_names[SERIES_COUNT];

#endif
