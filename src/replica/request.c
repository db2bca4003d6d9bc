/* Requests in their lists. A request is in exactly one list while it waits, whatever for:
 * cancelling it, answering it and letting it run out are the same few lines everywhere. The one
 * invariant: it has left its list before its callback runs, so that the callback may submit it
 * again or free it. */
#include "replica/internal.h"

#include <string.h>

void request_init(struct request *request, request_done_fn done)
{
    memset(request, 0, sizeof *request);
    request->done = done;
    request->until = TIME_NEVER;
    list_init(&request->link);
}

void request_finish(struct request *request, enum status status, const struct result *result)
{
    list_remove(&request->link);
    request->kind = REQUEST_NONE;
    request->done(request, status, result);
}

void replica_cancel(struct request *request)
{
    list_remove(&request->link);
    request->kind = REQUEST_NONE;
}

void requests_fail(struct replica *r, struct list *requests, uint64_t until, enum status status)
{
    while (!list_empty(requests)) {
        struct request *request = container_of(requests->next, struct request, link);
        if (request->deadline > until)
            return;
        r->requests_failed++;
        request_finish(request, status, NULL);
    }
}

uint64_t requests_wake(const struct list *requests, uint64_t wake)
{
    if (list_empty(requests))
        return wake;
    uint64_t deadline = container_of(requests->next, struct request, link)->deadline;
    return deadline < wake ? deadline : wake;
}
