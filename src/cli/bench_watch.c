/* Bench watch: many watchers on few streams, and the time from a put to its event.
 *
 * Watcher number i watches key number i modulo the number of keys, so each put is seen by watchers
 * / keys of them. The value carries the time at which its put started; reader and writer are this
 * one process, so their clocks agree. */
#include "cli/bench.h"

#include "base/panic.h"
#include "world/mem_system.h"

#include <stdlib.h>
#include <string.h>

#define CREATE_LIMIT_MS 30000 /* without a new one */

static void *message_alloc(void *owner, size_t size)
{
    return arena_alloc(owner, size);
}

static void message_free(void *owner, void *at)
{
    (void)owner;
    (void)at;
}

static void on_message(struct grpc_call *call, struct bytes message)
{
    struct bench_watch_stream *stream = call->owner;
    struct bench *bench = stream->bench;
    ProtobufCAllocator allocator = {message_alloc, message_free, &bench->arena};
    arena_reset(&bench->arena);
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(&allocator, message.size, message.data);
    if (response == NULL)
        return;
    if (response->created && !response->canceled) {
        stream->created++;
        bench->watchers_created++;
    }
    uint64_t now = uv_hrtime();
    for (size_t i = 0; i < response->n_events; i++) {
        const Mvccpb__Event *event = response->events[i];
        if (event->kv == NULL || event->kv->value.len < 8)
            continue;
        uint64_t started = load_u64(event->kv->value.data);
        if (started < bench->measure_started_ns || bench->measure_started_ns == 0)
            continue;
        bench->events++;
        bench->event_last_ns = now;
        histogram_record(bench->series[SERIES_EVENT], now - started);
    }
}

static void on_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct bench_watch_stream *stream = call->owner;
    bench_count_error(stream->bench, SERIES_EVENT, status);
}

static void stream_start(struct bench_watch_stream *stream)
{
    struct bench *bench = stream->bench;
    grpc_call_begin(&stream->call);
    for (size_t i = 0; i < stream->count; i++) {
        Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
        Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
        uint8_t key[BENCH_KEY_MAX];
        create.key.data = key;
        create.key.len = work_key(bench, (stream->first + i) % bench->config.keys, key);
        request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
        request.create_request = &create;
        grpc_call_pack(&stream->call, &request.base);
    }
    struct grpc_connection *connection = &bench->lanes[stream->lane].connection;
    if (!grpc_call_start(&stream->call, connection, rpc_watch_path, 0, true)) {
        struct grpc_status status = {.code = GRPC_UNAVAILABLE, .message = "cannot connect"};
        bench_count_error(bench, SERIES_EVENT, &status);
    }
}

static void watchers_await(struct bench *bench)
{
    size_t created = 0;
    uint64_t since = uv_hrtime();
    while (bench->watchers_created < bench->config.watchers &&
           uv_hrtime() < since + CREATE_LIMIT_MS * UINT64_C(1000000) &&
           bench->errors[SERIES_EVENT] == 0 && !bench->interrupted) {
        uv_run(&bench->client.loop, UV_RUN_ONCE);
        if (bench->watchers_created != created)
            since = uv_hrtime();
        created = bench->watchers_created;
    }
}

void watch_streams_open(struct bench *bench)
{
    const struct bench_config *config = &bench->config;
    size_t count = config->connections * config->watch_streams;
    if (count > config->watchers)
        count = config->watchers;
    bench->watch_streams = calloc(count, sizeof *bench->watch_streams);
    if (bench->watch_streams == NULL)
        panic("out of memory");
    bench->watch_streams_count = count;
    arena_init(&bench->arena, mem_system());
    uint64_t started = uv_hrtime();
    for (size_t i = 0; i < count; i++) {
        struct bench_watch_stream *stream = &bench->watch_streams[i];
        stream->bench = bench;
        stream->lane = i % config->connections;
        stream->first = config->watchers * i / count;
        stream->count = config->watchers * (i + 1) / count - stream->first;
        grpc_call_init(&stream->call);
        stream->call.owner = stream;
        stream->call.on_message = on_message;
        stream->call.on_end = on_end;
        stream_start(stream);
    }
    watchers_await(bench);
    bench->setup_ns = uv_hrtime() - started;
}

void watch_streams_close(struct bench *bench)
{
    for (size_t i = 0; i < bench->watch_streams_count; i++)
        grpc_call_release(&bench->watch_streams[i].call);
    if (bench->watch_streams != NULL)
        arena_release(&bench->arena);
    free(bench->watch_streams);
    bench->watch_streams = NULL;
    bench->watch_streams_count = 0;
}
