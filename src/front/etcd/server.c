/* The front as a whole: its beginning, the end of each turn of the loop, and its end. */
#include "base/panic.h"
#include "front/etcd/call.h"

#include <string.h>

#define MIB (UINT64_C(1024) * 1024)
#define NS_PER_SECOND UINT64_C(1000000000)

/* Idle handles keep the loop from sleeping; the work is done when it prepares to. */
static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

void front_wake(struct etcd_front *front)
{
    if (!front->closing)
        (void)uv_idle_start(&front->idle, on_idle);
}

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

/* The list's elements now; what is added from here on belongs to the next turn. */
static void list_move(struct list *from, struct list *into)
{
    list_init(into);
    if (list_empty(from))
        return;
    *into = *from;
    into->next->prev = into;
    into->prev->next = into;
    list_init(from);
}

static void turn_run_calls(struct etcd_front *front)
{
    struct list woken;
    list_move(&front->woken, &woken);
    while (!list_empty(&woken)) {
        struct call *call = container_of(woken.next, struct call, woken);
        list_remove(&call->woken);
        call_run_woken(call);
    }
}

static void turn_flush_sockets(struct etcd_front *front)
{
    struct list dirty;
    list_move(&front->dirty, &dirty);
    while (!list_empty(&dirty)) {
        struct front_socket *socket = container_of(dirty.next, struct front_socket, dirty);
        list_remove(&socket->dirty);
        front_socket_flush(socket);
    }
}

void front_turn(struct etcd_front *front)
{
    front->standing.fresh = false;
    turn_run_calls(front);
    turn_flush_sockets(front);
    if (list_empty(&front->woken) && list_empty(&front->dirty))
        (void)uv_idle_stop(&front->idle);
}

static void on_prepare(uv_prepare_t *prepare)
{
    front_turn(prepare->data);
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
        timer_set(&front->timers, &front->leader_timer, FRONT_LEADER_CHECK_MS);
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

static void front_init_lists(struct etcd_front *front)
{
    list_init(&front->sockets);
    list_init(&front->dirty);
    list_init(&front->woken);
    list_init(&front->leader_calls);
    list_init(&front->calls_free);
}

static void front_init_memory(struct etcd_front *front)
{
    arena_init(&front->arena, front->mem);
    arena_init(&front->reply, front->mem);
    watch_events_init(&front->watch_events, front->mem);
    buffer_init(&front->gather, front->mem, SIZE_MAX / 2);
    front->read_buffer = mem_alloc(front->mem, FRONT_READ_SIZE);
}

static void front_init_handles(struct etcd_front *front)
{
    timers_init(&front->timers, front->loop, front->mem);
    timer_init(&front->leader_timer, on_leader_check);
    (void)uv_prepare_init(front->loop, &front->prepare);
    (void)uv_idle_init(front->loop, &front->idle);
    front->prepare.data = front;
    (void)uv_prepare_start(&front->prepare, on_prepare);
    front->handles = 3;
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
    front_init_lists(front);
    front_init_memory(front);
    front_init_handles(front);
    front->http = http_front_new(&(struct http_front_config){.replica = config->replica,
                                                             .mem = config->mem,
                                                             .api_version = ETCD_API_VERSION,
                                                             .metrics_owner = front,
                                                             .metrics = front_metrics_write});
    enum status status = front_session_setup(front);
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

void etcd_front_stop(struct etcd_front *front)
{
    front->stopping = true;
    front_listeners_close(front);
    list_each (at, &front->sockets) {
        front_socket_stop(container_of(at, struct front_socket, link));
    }
}

static void front_free(struct etcd_front *front)
{
    void (*closed)(void *owner) = front->closed;
    void *owner = front->closed_owner;
    while (!list_empty(&front->calls_free)) {
        struct call *call = container_of(front->calls_free.next, struct call, link);
        list_remove(&call->link);
        mem_free(front->mem, call, sizeof *call);
    }
    front_session_teardown(front);
    front_listeners_free(front);
    http_front_free(front->http);
    timers_release(&front->timers);
    arena_release(&front->arena);
    arena_release(&front->reply);
    watch_events_release(&front->watch_events);
    buffer_release(&front->gather);
    mem_free(front->mem, front->read_buffer, FRONT_READ_SIZE);
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

static void on_timers_closed(uv_handle_t *handle)
{
    struct timers *timers = handle->data;
    front_handle_closed(container_of(timers, struct etcd_front, timers));
}

static void on_prepare_closed(uv_handle_t *handle)
{
    front_handle_closed(handle->data);
}

static void on_idle_closed(uv_handle_t *handle)
{
    uv_idle_t *idle = (uv_idle_t *)handle;
    front_handle_closed(container_of(idle, struct etcd_front, idle));
}

void etcd_front_close(struct etcd_front *front, void (*closed)(void *owner), void *owner)
{
    front->closing = true;
    front->stopping = true;
    front->closed = closed;
    front->closed_owner = owner;
    replica_cancel(&front->alarm_request);
    timer_clear(&front->timers, &front->leader_timer);
    front_listeners_close(front);
    list_each (at, &front->sockets) {
        front_socket_close(container_of(at, struct front_socket, link));
    }
    uv_close((uv_handle_t *)&front->timers.handle, on_timers_closed);
    uv_close((uv_handle_t *)&front->prepare, on_prepare_closed);
    uv_close((uv_handle_t *)&front->idle, on_idle_closed);
}

void etcd_front_stats(const struct etcd_front *front, struct etcd_front_stats *ret_stats)
{
    *ret_stats = front->stats;
    ret_stats->connections = front->sockets_count;
}
