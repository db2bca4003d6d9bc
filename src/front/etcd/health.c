/* grpc.health.v1: the one service "" is healthy while this member serves. A watch is told at once
 * and then at every change. */
#include "front/etcd/call.h"
#include "front/etcd/handlers.h"
#include "front/etcd/message.h"
#include "front/etcd/quota.h"

#include <health.pb-c.h>

#define WATCH_CHECK_MS 500

typedef Grpc__Health__V1__HealthCheckResponse__ServingStatus serving;

#define SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVING
#define NOT_SERVING GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__NOT_SERVING
#define SERVICE_UNKNOWN GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__SERVING_STATUS__SERVICE_UNKNOWN

struct health_watch {
    struct call *call;
    struct timer timer;
    serving told;
};

static serving health_now(struct etcd_front *front)
{
    return front_status(front)->serving && !front_corrupt(front) ? SERVING : NOT_SERVING;
}

static const Grpc__Health__V1__HealthCheckRequest *health_request(struct call *call,
                                                                  struct bytes message)
{
    return call_decode(call, &grpc__health__v1__health_check_request__descriptor, message);
}

void call_health_check(struct call *call, struct bytes message)
{
    const Grpc__Health__V1__HealthCheckRequest *request = health_request(call, message);
    if (request == NULL)
        return;
    if (request->service[0] != '\0') {
        call_fail_text(call, GRPC_NOT_FOUND, "unknown service");
        return;
    }
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = health_now(call_front(call));
    call_reply(call, &reply.base);
}

static void health_tell(struct health_watch *watch, serving status)
{
    Grpc__Health__V1__HealthCheckResponse reply = GRPC__HEALTH__V1__HEALTH_CHECK_RESPONSE__INIT;
    reply.status = status;
    watch->told = status;
    call_send(watch->call, &reply.base);
}

static void on_check(struct timer *timer)
{
    struct health_watch *watch = container_of(timer, struct health_watch, timer);
    struct etcd_front *front = call_front(watch->call);
    serving status = health_now(front);
    if (status != watch->told && call_output_waiting(watch->call) == 0)
        health_tell(watch, status);
    timer_set(front_timers(front), &watch->timer, WATCH_CHECK_MS);
}

void call_health_watch(struct call *call, struct bytes message)
{
    const Grpc__Health__V1__HealthCheckRequest *request = health_request(call, message);
    if (request == NULL || call->state != NULL)
        return;
    struct health_watch *watch = call_state(call, sizeof *watch);
    watch->call = call;
    timer_init(&watch->timer, on_check);
    if (request->service[0] != '\0') {
        health_tell(watch, SERVICE_UNKNOWN);
        return;
    }
    health_tell(watch, health_now(call_front(call)));
    timer_set(front_timers(call_front(call)), &watch->timer, WATCH_CHECK_MS);
}

/* The client has asked; it goes on listening. */
void call_health_watch_half_closed(struct call *call)
{
    if (call->state == NULL)
        call_fail_text(call, GRPC_INTERNAL, "the request ended before its message");
}

void call_health_watch_over(struct call *call)
{
    struct health_watch *watch = call->state;
    timer_clear(front_timers(call_front(call)), &watch->timer);
}
