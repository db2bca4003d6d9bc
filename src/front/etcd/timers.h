/* Timers: all deadlines of the front (calls, handshakes, notifications) in one heap over one timer
 * of the loop, which is only armed when there is something to wait for. */
#ifndef SYNOD_FRONT_ETCD_TIMERS_H
#define SYNOD_FRONT_ETCD_TIMERS_H

#include "base/heap.h"

#include <uv.h>

struct timer {
    struct heap_item item;
    void (*fire)(struct timer *timer); /* may set or clear any timer, this one included */
};

struct timers {
    struct heap heap;
    uint64_t armed_ms; /* when the loop's timer goes off; 0: it does not */
    uint64_t count;    /* decides between equal deadlines: first set, first fired */
    uv_timer_t handle;
};

/* The handle is part of the loop until it is closed by the owner, who then releases. */
void timers_init(struct timers *timers, uv_loop_t *loop, struct mem *mem);
void timers_release(struct timers *timers);
void timer_init(struct timer *timer, void (*fire)(struct timer *timer));
/* Fires once, this many milliseconds from now; replaces an earlier deadline. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t after_ms);
void timer_clear(struct timers *timers, struct timer *timer);

#endif
