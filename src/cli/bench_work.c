/* Bench work: which request a worker makes next.
 *
 * Keys are the prefix and a number padded with zeros to the wanted size; values are a window into
 * one run of random letters, so that making a request costs no randomness worth mentioning. A put
 * of the watch load begins its value with the time, from which the event's latency is told. */
#include "cli/bench.h"

#include <string.h>

size_t work_key(const struct bench *bench, uint64_t index, uint8_t *ret_key)
{
    size_t prefix = strlen(bench->config.prefix);
    size_t size = bench->config.key_size;
    memcpy(ret_key, bench->config.prefix, prefix);
    for (size_t i = size; i > prefix; i--) {
        ret_key[i - 1] = (uint8_t)('0' + index % 10);
        index /= 10;
    }
    return size;
}

static uint64_t next_index(struct bench *bench)
{
    if (bench->config.sequential || bench->phase == BENCH_FILL)
        return bench->next_key++ % bench->config.keys;
    return prng_below(&bench->prng, bench->config.keys);
}

static const char *build_put(struct bench_worker *worker)
{
    struct bench *bench = worker->lane->bench;
    Etcdserverpb__PutRequest request = ETCDSERVERPB__PUT_REQUEST__INIT;
    uint8_t key[BENCH_KEY_MAX];
    request.key.data = key;
    request.key.len = work_key(bench, next_index(bench), key);
    request.value.data = bench->value + prng_below(&bench->prng, 1024);
    request.value.len = bench->config.value_size;
    if (bench->config.kind == BENCH_WATCH)
        store_u64(request.value.data, worker->started_ns);
    worker->series = SERIES_WRITE;
    grpc_call_pack(&worker->call, &request.base);
    return rpc_put.path;
}

static const char *build_read(struct bench_worker *worker, uint64_t span)
{
    struct bench *bench = worker->lane->bench;
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    uint8_t key[BENCH_KEY_MAX];
    uint8_t end[BENCH_KEY_MAX];
    uint64_t index = next_index(bench);
    request.key.data = key;
    request.key.len = work_key(bench, index, key);
    request.serializable = bench->config.serializable;
    if (span > 1) {
        request.range_end.data = end;
        request.range_end.len = work_key(bench, index + span, end);
        request.limit = (int64_t)span;
    }
    worker->series = SERIES_READ;
    grpc_call_pack(&worker->call, &request.base);
    return rpc_range.path;
}

static const char *build_grant(struct bench_worker *worker)
{
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    request.ttl = worker->lane->bench->config.ttl;
    worker->series = SERIES_LEASE;
    grpc_call_pack(&worker->call, &request.base);
    return rpc_lease_grant.path;
}

static const char *build_unary(struct bench_worker *worker)
{
    struct bench *bench = worker->lane->bench;
    if (bench->phase == BENCH_FILL)
        return build_put(worker);
    switch (bench->config.kind) {
    case BENCH_PUT:
    case BENCH_WATCH:
        return build_put(worker);
    case BENCH_GET:
        return build_read(worker, 1);
    case BENCH_RANGE:
        return build_read(worker, bench->config.span);
    case BENCH_MIXED:
        return prng_below(&bench->prng, 100) < bench->config.reads_percent ? build_read(worker, 1)
                                                                           : build_put(worker);
    case BENCH_LEASE_GRANT:
    case BENCH_LEASE_KEEP_ALIVE:
        return build_grant(worker);
    }
    return NULL;
}

static void pack_keep_alive(struct bench_worker *worker)
{
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = worker->lease;
    worker->series = SERIES_LEASE;
    grpc_call_pack(&worker->call, &request.base);
}

bool work_start(struct bench_worker *worker)
{
    struct bench *bench = worker->lane->bench;
    struct grpc_connection *connection = &worker->lane->connection;
    bool keep_alive = bench->config.kind == BENCH_LEASE_KEEP_ALIVE && worker->lease != 0;
    worker->setting_up = bench->config.kind == BENCH_LEASE_KEEP_ALIVE && worker->lease == 0;
    if (keep_alive && grpc_call_active(&worker->call)) {
        pack_keep_alive(worker);
        grpc_call_push(&worker->call, false);
        return true;
    }
    grpc_call_begin(&worker->call);
    if (keep_alive) {
        pack_keep_alive(worker);
        return grpc_call_start(&worker->call, connection, rpc_lease_keep_alive_path, 0, true);
    }
    const char *path = build_unary(worker);
    return grpc_call_start(&worker->call, connection, path, bench->config.timeout_ms, false);
}

static void on_granted(struct bench_worker *worker, struct bytes message)
{
    Etcdserverpb__LeaseGrantResponse *response =
        etcdserverpb__lease_grant_response__unpack(NULL, message.size, message.data);
    if (response != NULL) {
        worker->lease = response->id;
        etcdserverpb__lease_grant_response__free_unpacked(response, NULL);
    }
}

/* A keep-alive's answer ends the request although its stream goes on. A TTL of zero says that the
 * lease is gone: take a new one. */
static void on_kept_alive(struct bench_worker *worker, struct bytes message)
{
    struct grpc_status status = {.code = GRPC_NOT_FOUND, .message = "lease has expired"};
    Etcdserverpb__LeaseKeepAliveResponse *response =
        etcdserverpb__lease_keep_alive_response__unpack(NULL, message.size, message.data);
    if (response != NULL && response->ttl > 0)
        status.code = GRPC_OK;
    if (response != NULL)
        etcdserverpb__lease_keep_alive_response__free_unpacked(response, NULL);
    if (status.code != GRPC_OK) {
        worker->lease = 0;
        grpc_call_cancel(&worker->call);
    }
    bench_complete(worker, &status);
}

void work_on_message(struct grpc_call *call, struct bytes message)
{
    struct bench_worker *worker = call->owner;
    if (worker->lane->bench->config.kind != BENCH_LEASE_KEEP_ALIVE)
        return;
    if (worker->setting_up)
        on_granted(worker, message);
    else
        on_kept_alive(worker, message);
}
