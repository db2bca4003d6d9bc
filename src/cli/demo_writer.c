/* Demo writer: one put after the other, to whichever member answers.
 *
 * Every write is repeated until it is acknowledged (repeating it changes nothing: the key and the
 * value are its number), so all numbers below `next` are promises that the cluster must keep. */
#include "cli/demo.h"

#include <stdio.h>
#include <string.h>

#define WRITE_TIMEOUT_MS 100 /* then the next member is asked */
#define RETRY_MS 2

static void writer_put(struct demo_writer *writer);

static void on_retry(uv_timer_t *timer)
{
    writer_put(timer->data);
}

static void writer_put(struct demo_writer *writer)
{
    struct demo *demo = writer->demo;
    Etcdserverpb__PutRequest request = ETCDSERVERPB__PUT_REQUEST__INIT;
    char key[64];
    char value[32];
    if (!writer->running)
        return;
    request.key.len = (size_t)snprintf(key, sizeof key, DEMO_WRITE_PREFIX "%010llu",
                                       (unsigned long long)writer->next);
    request.value.len =
        (size_t)snprintf(value, sizeof value, "%llu", (unsigned long long)writer->next);
    request.key.data = (uint8_t *)key;
    request.value.data = (uint8_t *)value;
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[writer->member];
        if (member->connection.state == GRPC_READY) {
            grpc_call_begin(&writer->call);
            grpc_call_pack(&writer->call, &request.base);
            if (grpc_call_start(&writer->call, &member->connection, rpc_put.path, WRITE_TIMEOUT_MS,
                                false))
                return;
        }
        writer->member = (writer->member + 1) % demo->members_count;
    }
    uv_timer_start(&writer->retry, on_retry, RETRY_MS, 0);
}

static void on_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct demo_writer *writer = call->owner;
    if (status->code == GRPC_OK) {
        uint64_t now = uv_hrtime();
        if (now - writer->last_ack_ns > writer->gap_ns)
            writer->gap_ns = now - writer->last_ack_ns;
        writer->last_ack_ns = now;
        writer->acks_since_mark++;
        writer->next++;
        writer_put(writer);
        return;
    }
    writer->refused++;
    writer->member = (writer->member + 1) % writer->demo->members_count;
    uv_timer_start(&writer->retry, on_retry, RETRY_MS, 0);
}

void writer_init(struct demo *demo)
{
    struct demo_writer *writer = &demo->writer;
    writer->demo = demo;
    grpc_call_init(&writer->call);
    writer->call.on_end = on_end;
    writer->call.owner = writer;
    uv_timer_init(&demo->client.loop, &writer->retry);
    writer->retry.data = writer;
}

void writer_mark(struct demo_writer *writer)
{
    writer->gap_ns = 0;
    writer->acks_since_mark = 0;
    writer->refused = 0;
}

void writer_start(struct demo *demo, size_t member)
{
    struct demo_writer *writer = &demo->writer;
    writer->member = member;
    writer->running = true;
    writer->last_ack_ns = uv_hrtime();
    writer_mark(writer);
    writer_put(writer);
}

void writer_stop(struct demo_writer *writer)
{
    writer->running = false;
    uv_timer_stop(&writer->retry);
    grpc_call_cancel(&writer->call);
}
