/* Lanes: their loops and turns, and how they begin and end. What travels between them and the core
 * is in lane_post.c. */
#include "front/etcd/lane.h"

#include "base/panic.h"
#include "front/etcd/call.h"

#include <pthread.h>

static bool is_first(const struct lane *lane)
{
    return lane == &lane->front->core;
}

/* --- The turn ---------------------------------------------------------------------------------*/

/* Idle handles keep the loop from sleeping; the work is done when it prepares to. */
static void on_idle(uv_idle_t *idle)
{
    (void)idle;
}

void lane_wake(struct lane *lane)
{
    if (!lane->ending)
        (void)uv_idle_start(&lane->idle, on_idle);
}

void lane_go_on(struct lane *lane)
{
    struct list woken;
    list_init(&woken);
    list_splice(&woken, &lane->woken);
    while (!list_empty(&woken)) {
        struct stream *stream = container_of(woken.next, struct stream, woken);
        list_remove(&stream->woken);
        stream_run_woken(stream);
    }
}

void lane_flush(struct lane *lane)
{
    struct list dirty;
    list_init(&dirty);
    list_splice(&dirty, &lane->dirty);
    while (!list_empty(&dirty)) {
        struct front_socket *socket = container_of(dirty.next, struct front_socket, dirty);
        list_remove(&socket->dirty);
        front_socket_flush(socket);
    }
    if (lane->news_posted) {
        lane->news_posted = false;
        (void)uv_async_send(&lane->front->wake);
    }
}

bool lane_busy(const struct lane *lane)
{
    return !list_empty(&lane->woken) || !list_empty(&lane->dirty);
}

static void on_prepare(uv_prepare_t *prepare)
{
    struct lane *lane = prepare->data;
    if (is_first(lane)) {
        front_turn(lane->front);
        return;
    }
    lane_go_on(lane);
    lane_flush(lane);
    if (!lane_busy(lane))
        (void)uv_idle_stop(&lane->idle);
}

/* --- Beginning --------------------------------------------------------------------------------*/

static void lane_open_handles(struct lane *lane)
{
    timers_init(&lane->timers, lane->loop, lane->mem);
    (void)uv_prepare_init(lane->loop, &lane->prepare);
    (void)uv_idle_init(lane->loop, &lane->idle);
    lane->prepare.data = lane;
    lane->idle.data = lane;
    (void)uv_prepare_start(&lane->prepare, on_prepare);
    lane->handles += 3;
}

void lane_open(struct lane *lane, struct etcd_front *front, uv_loop_t *loop, struct mem *mem)
{
    lane->front = front;
    lane->loop = loop;
    lane->mem = mem;
    list_init(&lane->sockets);
    list_init(&lane->dirty);
    list_init(&lane->woken);
    list_init(&lane->calls_free);
    buffer_init(&lane->gather, mem, SIZE_MAX / 2);
    lane->read_buffer = mem_alloc(mem, FRONT_READ_SIZE);
    lane_open_handles(lane);
}

static void on_wake(uv_async_t *wake)
{
    lane_read_orders(wake->data);
}

enum status lane_open_boxes(struct lane *lane, const struct mem *mem)
{
    if (postbox_init(&lane->orders, mem) != STATUS_OK)
        return STATUS_NO_MEMORY;
    if (postbox_init(&lane->news, mem) != STATUS_OK) {
        postbox_release(&lane->orders);
        return STATUS_NO_MEMORY;
    }
    if (uv_async_init(lane->loop, &lane->wake, on_wake) != 0) {
        postbox_release(&lane->orders);
        postbox_release(&lane->news);
        return STATUS_NO_MEMORY;
    }
    lane->wake.data = lane;
    lane->posts = true;
    lane->handles++;
    return STATUS_OK;
}

static void lane_main(void *argument)
{
    struct lane *lane = argument;
    (void)pthread_setname_np(pthread_self(), "synod-front");
    (void)uv_run(lane->loop, UV_RUN_DEFAULT);
    lane_tell(lane, NEWS_LANE_ENDED, NULL, BYTES_EMPTY);
    (void)uv_async_send(&lane->front->wake);
}

enum status lane_start(struct lane *lane, struct etcd_front *front, const struct mem *mem)
{
    lane->own_mem = (struct mem){.resize = mem->resize};
    if (uv_loop_init(&lane->own_loop) != 0)
        return STATUS_NO_MEMORY;
    lane_open(lane, front, &lane->own_loop, &lane->own_mem);
    if (lane_open_boxes(lane, mem) == STATUS_OK &&
        uv_thread_create(&lane->thread, lane_main, lane) == 0) {
        lane->running = true;
        return STATUS_OK;
    }
    /* It never ran: what it has is ended here. */
    lane_close(lane);
    (void)uv_run(&lane->own_loop, UV_RUN_DEFAULT);
    lane_release(lane);
    return STATUS_NO_MEMORY;
}

/* --- End --------------------------------------------------------------------------------------*/

void lane_stop(struct lane *lane)
{
    lane->stopping = true;
    list_each (at, &lane->sockets) {
        front_socket_stop(container_of(at, struct front_socket, link));
    }
}

void lane_close(struct lane *lane)
{
    lane->closing = true;
    lane->stopping = true;
    list_each (at, &lane->sockets) {
        front_socket_close(container_of(at, struct front_socket, link));
    }
    lane_check_end(lane);
}

static void on_own_handle_closed(uv_handle_t *handle)
{
    lane_handle_closed(handle->data);
}

static void on_timers_closed(uv_handle_t *handle)
{
    struct timers *timers = handle->data;
    lane_handle_closed(container_of(timers, struct lane, timers));
}

void lane_check_end(struct lane *lane)
{
    if (!lane->closing || lane->ending || !list_empty(&lane->sockets) || lane->blocks > 0)
        return;
    /* The others still have something to say to the core, whose turns are the first lane's. */
    if (is_first(lane) && lane->front->threads_left > 0)
        return;
    lane->ending = true;
    uv_close((uv_handle_t *)&lane->timers.handle, on_timers_closed);
    uv_close((uv_handle_t *)&lane->prepare, on_own_handle_closed);
    uv_close((uv_handle_t *)&lane->idle, on_own_handle_closed);
    if (lane->posts)
        uv_close((uv_handle_t *)&lane->wake, on_own_handle_closed);
}

void lane_handle_opened(struct lane *lane)
{
    lane->handles++;
}

/* The last one of a thread lets its loop end, and lane_main says so. */
void lane_handle_closed(struct lane *lane)
{
    ensure(lane->handles > 0);
    if (--lane->handles > 0)
        return;
    if (is_first(lane))
        front_handle_closed(lane->front);
    else if (lane->loop == lane->front->loop)
        front_lane_ended(lane->front, lane);
}

void lane_release(struct lane *lane)
{
    if (lane->running)
        (void)uv_thread_join(&lane->thread);
    while (!list_empty(&lane->calls_free)) {
        struct stream *stream = container_of(lane->calls_free.next, struct stream, link);
        list_remove(&stream->link);
        mem_free(lane->mem, container_of(stream, struct call, stream), sizeof(struct call));
    }
    timers_release(&lane->timers);
    buffer_release(&lane->gather);
    mem_free(lane->mem, lane->read_buffer, FRONT_READ_SIZE);
    if (lane->posts) {
        postbox_release(&lane->orders);
        postbox_release(&lane->news);
    }
    /* No earlier: the core may have called a lane that had just ended. */
    if (lane->loop == &lane->own_loop)
        (void)uv_loop_close(&lane->own_loop);
}
