/* The front as a whole: its beginning, the end of each turn of the loop, and its end. */
#include "base/panic.h"
#include "front/etcd/call.h"

#include <string.h>

#define MIB (UINT64_C(1024) * 1024)
#define NS_PER_SECOND UINT64_C(1000000000)

const struct replica_status *front_status(struct etcd_front *front)
{
    if (!front->standing.fresh) {
        replica_status(front->replica, &front->standing.status);
        front->standing.fresh = true;
    }
    return &front->standing.status;
}

struct store *front_store(const struct etcd_front *front)
{
    return machine_store(replica_machine(front->replica));
}

void front_log(struct etcd_front *front, enum log_level level, const char *message,
               const char *fields)
{
    if (front->config.world != NULL)
        front->config.world->ops->log(front->config.world, level, message, fields);
}

/* --- The end of a turn ------------------------------------------------------------------------*/

static void run_calls(struct etcd_front *front)
{
    struct list woken;
    list_init(&woken);
    list_splice(&woken, &front->woken);
    while (!list_empty(&woken)) {
        struct call *call = container_of(woken.next, struct call, woken);
        list_remove(&call->woken);
        call_run_woken(call);
    }
}

void front_turn(struct etcd_front *front)
{
    front->standing.fresh = false;
    lane_go_on(&front->core);
    run_calls(front);
    lane_flush(&front->core);
    for (uint32_t i = 0; i < front->threads_count; i++)
        lane_signal(&front->threads[i]);
    if (list_empty(&front->woken) && !lane_busy(&front->core))
        (void)uv_idle_stop(&front->core.idle);
}

static void on_leader_check(struct timer *timer)
{
    struct etcd_front *front = container_of(timer, struct etcd_front, leader_timer);
    const struct replica_status *status = front_status(front);
    if (status->leader == 0 && status->leaderless_ns > front->config.leaderless_ns_max) {
        list_each (at, &front->leader_calls) {
            call_fail(container_of(at, struct call, leader), failure_no_leader);
        }
    }
    if (!list_empty(&front->leader_calls))
        timer_set(front_timers(front), &front->leader_timer, FRONT_LEADER_CHECK_MS);
}

/* --- Other lanes ------------------------------------------------------------------------------*/

struct lane *front_lane_for(struct etcd_front *front)
{
    if (front->threads_count == 0)
        return &front->core;
    return &front->threads[front->thread_next++ % front->threads_count];
}

static void on_wake(uv_async_t *wake)
{
    struct etcd_front *front = wake->data;
    for (uint32_t i = 0; i < front->threads_count; i++)
        lane_read_news(&front->threads[i]);
}

static void on_wake_closed(uv_handle_t *handle)
{
    front_handle_closed(handle->data);
}

void front_lane_ended(struct etcd_front *front, struct lane *lane)
{
    lane->ended = true;
    lane->orders_posted = false;
    if (--front->threads_left > 0)
        return;
    uv_close((uv_handle_t *)&front->wake, on_wake_closed);
    lane_check_end(&front->core);
}

static enum status front_start_threads(struct etcd_front *front, struct text *error)
{
    uint32_t count = front->config.threads;
    if (count == 0)
        return STATUS_OK;
    (void)uv_async_init(front->loop, &front->wake, on_wake);
    front->wake.data = front;
    front->handles++;
    front->threads = mem_zero(front->mem, count * sizeof *front->threads);
    while (front->threads_count < count) {
        struct lane *lane = &front->threads[front->threads_count];
        if (lane_start(lane, front, &front->config.threads_mem) != STATUS_OK) {
            text_add(error, "cannot start a thread for connections: the system has no more of them;"
                            " lower --front-threads");
            return STATUS_NO_MEMORY;
        }
        front->threads_count++;
        front->threads_left++;
    }
    return STATUS_OK;
}

/* --- Beginning --------------------------------------------------------------------------------*/

static void default_u64(uint64_t *value, uint64_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void default_u32(uint32_t *value, uint32_t otherwise)
{
    if (*value == 0)
        *value = otherwise;
}

static void config_complete(struct etcd_front_config *config)
{
    default_u64(&config->request_bytes_max, 3 * MIB / 2);
    default_u32(&config->txn_ops_max, 128);
    default_u32(&config->streams_max, 65536);
    default_u32(&config->connections_max, 16384);
    default_u64(&config->progress_interval_ns, 600 * NS_PER_SECOND);
    default_u64(&config->leaderless_ns_max, 3 * NS_PER_SECOND);
    default_u64(&config->input_bytes_max, 256 * MIB);
    default_u64(&config->output_bytes_max, 64 * MIB);
}

static void front_init_memory(struct etcd_front *front)
{
    arena_init(&front->arena, front->mem);
    arena_init(&front->reply, front->mem);
    watch_events_init(&front->watch_events, front->mem);
    buffer_init(&front->posting, front->mem, SIZE_MAX / 2);
}

enum status etcd_front_open(const struct etcd_front_config *config, struct text *error,
                            struct etcd_front **ret_front)
{
    struct etcd_front *front = mem_zero(config->mem, sizeof *front);
    front->config = *config;
    config_complete(&front->config);
    front->loop = config->loop;
    front->replica = config->replica;
    front->mem = config->mem;
    front->standing.fresh = false;
    request_init(&front->alarm_request, NULL);
    list_init(&front->woken);
    list_init(&front->leader_calls);
    timer_init(&front->leader_timer, on_leader_check);
    front_init_memory(front);
    lane_open(&front->core, front, front->loop, front->mem);
    front->handles = 1; /* that lane */
    front->http = http_front_new(&(struct http_front_config){.replica = config->replica,
                                                             .mem = config->mem,
                                                             .api_version = ETCD_API_VERSION,
                                                             .metrics_owner = front,
                                                             .metrics = front_metrics_write});
    enum status status = front_session_setup(front);
    if (status == STATUS_OK)
        status = front_start_threads(front, error);
    if (status == STATUS_OK)
        status = front_listeners_open(front, error);
    if (status != STATUS_OK) {
        etcd_front_close(front, NULL, NULL);
        return status;
    }
    *ret_front = front;
    return STATUS_OK;
}

/* --- End --------------------------------------------------------------------------------------*/

/* What every other lane is to do. */
static void front_order(struct etcd_front *front, enum order order)
{
    for (uint32_t i = 0; i < front->threads_count; i++)
        lane_order(&front->threads[i], &(struct letter){.kind = (uint8_t)order}, BYTES_EMPTY);
}

void etcd_front_stop(struct etcd_front *front)
{
    front_listeners_close(front);
    lane_stop(&front->core);
    front_order(front, ORDER_STOP);
}

static void front_free(struct etcd_front *front)
{
    void (*closed)(void *owner) = front->closed;
    void *owner = front->closed_owner;
    lane_release(&front->core);
    for (uint32_t i = 0; i < front->threads_count; i++)
        lane_release(&front->threads[i]);
    mem_free(front->mem, front->threads, front->config.threads * sizeof *front->threads);
    front_session_teardown(front);
    front_listeners_free(front);
    http_front_free(front->http);
    arena_release(&front->arena);
    arena_release(&front->reply);
    watch_events_release(&front->watch_events);
    buffer_release(&front->posting);
    mem_free(front->mem, front, sizeof *front);
    if (closed != NULL)
        closed(owner);
}

void front_handle_closed(struct etcd_front *front)
{
    ensure(front->handles > 0);
    if (--front->handles == 0)
        front_free(front);
}

void etcd_front_close(struct etcd_front *front, void (*closed)(void *owner), void *owner)
{
    front->closing = true;
    front->closed = closed;
    front->closed_owner = owner;
    replica_cancel(&front->alarm_request);
    timer_clear(front_timers(front), &front->leader_timer);
    front_listeners_close(front);
    front_order(front, ORDER_CLOSE);
    if (front->threads != NULL && front->threads_left == 0)
        uv_close((uv_handle_t *)&front->wake, on_wake_closed);
    lane_close(&front->core);
}

static void stats_add(const struct lane_stats *lane, struct etcd_front_stats *stats)
{
    stats->connections_accepted += stat_get(&lane->connections_accepted);
    stats->connections_refused += stat_get(&lane->connections_refused);
    stats->connections_abused += stat_get(&lane->connections_abused);
    stats->calls_finished += stat_get(&lane->calls_finished);
    stats->calls_failed += stat_get(&lane->calls_failed);
    stats->bytes_received += stat_get(&lane->bytes_received);
    stats->bytes_sent += stat_get(&lane->bytes_sent);
    stats->latency_ns.sum += stat_get(&lane->latency_sum);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        uint64_t count = stat_get(&lane->latency_buckets[i]);
        stats->latency_ns.buckets[i] += count;
        stats->latency_ns.count += count;
    }
}

void etcd_front_stats(const struct etcd_front *front, struct etcd_front_stats *ret_stats)
{
    *ret_stats = (struct etcd_front_stats){.connections = front_connections(front),
                                           .calls = front->calls,
                                           .watches = front->watches,
                                           .input_bytes = front->input_bytes};
    stats_add(&front->core.stats, ret_stats);
    for (uint32_t i = 0; i < front->threads_count; i++)
        stats_add(&front->threads[i].stats, ret_stats);
}

uint64_t front_handled(const struct etcd_front *front, unsigned method, unsigned code)
{
    uint64_t count = stat_get(&front->core.stats.handled[method][code]);
    for (uint32_t i = 0; i < front->threads_count; i++)
        count += stat_get(&front->threads[i].stats.handled[method][code]);
    return count;
}
