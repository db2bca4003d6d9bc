/* One heap of deadlines over one uv_timer. The loop's timer is never moved later, only earlier: a
 * deadline that was cleared costs one idle wake-up instead of a system's worth of re-arming for
 * every call that ends in time. */
#include "front/etcd/timers.h"

static void timers_arm(struct timers *timers);

static void on_timer(uv_timer_t *handle)
{
    struct timers *timers = handle->data;
    uint64_t now = uv_now(handle->loop);
    timers->armed_ms = 0;
    struct heap_item *top;
    while ((top = heap_top(&timers->heap)) != NULL && top->key <= now) {
        heap_remove(&timers->heap, top);
        struct timer *timer = (struct timer *)top;
        timer->fire(timer);
    }
    timers_arm(timers);
}

static void timers_arm(struct timers *timers)
{
    struct heap_item *top = heap_top(&timers->heap);
    if (top == NULL || (timers->armed_ms != 0 && timers->armed_ms <= top->key))
        return;
    uint64_t now = uv_now(timers->handle.loop);
    timers->armed_ms = top->key > now ? top->key : now + 1;
    (void)uv_timer_start(&timers->handle, on_timer, timers->armed_ms - now, 0);
}

void timers_init(struct timers *timers, uv_loop_t *loop, struct mem *mem)
{
    heap_init(&timers->heap, mem);
    timers->armed_ms = 0;
    timers->count = 0;
    (void)uv_timer_init(loop, &timers->handle);
    timers->handle.data = timers;
}

void timers_release(struct timers *timers)
{
    heap_release(&timers->heap);
}

void timer_init(struct timer *timer, void (*fire)(struct timer *timer))
{
    heap_item_init(&timer->item);
    timer->fire = fire;
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t after_ms)
{
    uint64_t deadline;
    if (__builtin_add_overflow(uv_now(timers->handle.loop), after_ms, &deadline))
        deadline = UINT64_MAX;
    heap_set(&timers->heap, &timer->item, deadline, ++timers->count);
    timers_arm(timers);
}

void timer_clear(struct timers *timers, struct timer *timer)
{
    if (heap_contains(&timer->item))
        heap_remove(&timers->heap, &timer->item);
}
