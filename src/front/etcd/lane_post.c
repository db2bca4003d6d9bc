/* What lanes and the core say to each other: plain calls on the first lane, letters otherwise. What
 * was posted in a turn is announced once, at its end. */
#include "front/etcd/lane.h"

#include "base/panic.h"
#include "front/etcd/call.h"

#include <string.h>
#include <unistd.h>

/* What a lane has told and the core has not heard yet: above that, the lane's clients wait. */
#define NEWS_BYTES_MAX ((size_t)16 * 1024 * 1024)

/* --- On the lane ------------------------------------------------------------------------------*/

void lane_tell(struct lane *lane, enum news news, struct call *call, struct bytes bytes)
{
    if (!lane->posts) {
        call_hear(call, news, bytes);
        return;
    }
    struct letter letter = {.about = call, .kind = (uint8_t)news, .size = (uint32_t)bytes.size};
    size_t waiting = postbox_post(&lane->news, &letter, bytes);
    if (!lane->news_posted) {
        lane->news_posted = true;
        lane_wake(lane);
    }
    if (waiting > NEWS_BYTES_MAX && !lane->waiting) {
        lane->waiting = true;
        list_each (at, &lane->sockets) {
            front_socket_read(container_of(at, struct front_socket, link), false);
        }
    }
}

static void lane_read_on(struct lane *lane)
{
    lane->waiting = false;
    list_each (at, &lane->sockets) {
        front_socket_read(container_of(at, struct front_socket, link), true);
    }
}

static void lane_adopt(struct lane *lane, struct bytes bytes)
{
    int descriptor;
    memcpy(&descriptor, bytes.data, sizeof descriptor);
    struct bytes read = bytes_of(bytes.data + sizeof descriptor, bytes.size - sizeof descriptor);
    if (lane->closing)
        (void)close(descriptor);
    else
        front_socket_adopt(lane, descriptor, read);
}

static void read_order(void *owner, const struct letter *order, struct bytes bytes)
{
    struct lane *lane = owner;
    switch ((enum order)order->kind) {
    case ORDER_ADOPT:
        lane_adopt(lane, bytes);
        break;
    case ORDER_STOP:
        lane_stop(lane);
        break;
    case ORDER_CLOSE:
        lane_flush(lane); /* what was answered before */
        lane_close(lane);
        break;
    case ORDER_READ_ON:
        lane_read_on(lane);
        break;
    default:
        stream_obey(&((struct call *)order->about)->stream, order, bytes);
        break;
    }
}

void lane_read_orders(struct lane *lane)
{
    (void)postbox_empty(&lane->orders, read_order, lane);
}

/* --- On the core ------------------------------------------------------------------------------*/

void lane_order(struct lane *lane, const struct letter *order, struct bytes bytes)
{
    if (!lane->posts) {
        stream_obey(&((struct call *)order->about)->stream, order, bytes);
        return;
    }
    (void)postbox_post(&lane->orders, order, bytes);
    lane->orders_posted = true;
    front_wake(lane->front);
}

void lane_signal(struct lane *lane)
{
    if (!lane->orders_posted)
        return;
    lane->orders_posted = false;
    (void)uv_async_send(&lane->wake);
}

static void read_news(void *owner, const struct letter *letter, struct bytes bytes)
{
    struct lane *lane = owner;
    if (letter->kind == NEWS_LANE_ENDED)
        front_lane_ended(lane->front, lane);
    else
        call_hear(letter->about, (enum news)letter->kind, bytes);
}

void lane_read_news(struct lane *lane)
{
    if (postbox_empty(&lane->news, read_news, lane) > NEWS_BYTES_MAX && !lane->ended)
        lane_order(lane, &(struct letter){.kind = ORDER_READ_ON}, BYTES_EMPTY);
}
