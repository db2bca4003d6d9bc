/* Maintenance.Snapshot: the whole state as a stream of blobs, made slice by slice at the pace at
 * which the client takes them. The file that results is described in doc/formats/snapshot-file.md:
 * the state, zeros and a trailer up to a multiple of 512 bytes, and the SHA-256 of all that.
 *
 * The one invariant: while a snapshot is under way, compaction waits for it; so a client that stops
 * taking it is cut off. */
#include "front/etcd/snapshot.h"
#include "front/etcd/call.h"
#include "front/etcd/handlers.h"
#include "front/etcd/message.h"

#include <openssl/evp.h>
#include <string.h>

#define SNAPSHOTS_MAX 4U
#define STALL_MS 60000
#define BLOB_SIZE ((size_t)32 * 1024)

struct snapshot {
    struct call *call;
    struct timer stall;
    struct machine_saver *saver;
    EVP_MD_CTX *sum;
    struct buffer slice;
    uint64_t size;  /* given out so far */
    uint64_t guess; /* of the whole, for the client's progress bar */
};

static void on_stall(struct timer *timer)
{
    struct snapshot *snapshot = container_of(timer, struct snapshot, stall);
    call_fail(snapshot->call, (struct failure){GRPC_UNAVAILABLE, "etcdserver: request timed out"});
}

void snapshot_trailer_make(uint64_t content_size, struct buffer *out)
{
    uint64_t whole = content_size + SNAPSHOT_TRAILER_SIZE;
    uint64_t padding = (SNAPSHOT_BLOCK - whole % SNAPSHOT_BLOCK) % SNAPSHOT_BLOCK;
    uint8_t *zeros = buffer_extend(out, (size_t)padding);
    if (zeros != NULL && padding > 0)
        memset(zeros, 0, (size_t)padding);
    buffer_u64(out, content_size);
    buffer_append(out, bytes_text(SNAPSHOT_MAGIC));
}

static void snapshot_send(struct snapshot *snapshot, struct bytes blob, bool last)
{
    Etcdserverpb__SnapshotResponse reply = ETCDSERVERPB__SNAPSHOT_RESPONSE__INIT;
    static char version[] = ETCD_API_VERSION;
    snapshot->size += blob.size;
    /* Only the last may say that nothing remains: the size is known no earlier than the end. */
    uint64_t left = snapshot->guess > snapshot->size ? snapshot->guess - snapshot->size : 1;
    reply.remaining_bytes = last ? 0 : left;
    reply.blob = message_data(blob);
    reply.version = version;
    call_send(snapshot->call, &reply.base);
}

static void snapshot_send_slice(struct snapshot *snapshot)
{
    struct bytes slice = buffer_bytes(&snapshot->slice);
    (void)EVP_DigestUpdate(snapshot->sum, slice.data, slice.size);
    for (size_t at = 0; at < slice.size; at += BLOB_SIZE) {
        size_t size = slice.size - at < BLOB_SIZE ? slice.size - at : BLOB_SIZE;
        snapshot_send(snapshot, bytes_of(slice.data + at, size), false);
    }
    buffer_clear(&snapshot->slice);
}

static void snapshot_end(struct snapshot *snapshot)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    snapshot_trailer_make(snapshot->size, &snapshot->slice);
    snapshot_send_slice(snapshot);
    (void)EVP_DigestFinal_ex(snapshot->sum, sum, &size);
    snapshot_send(snapshot, bytes_of(sum, size), true);
    call_finish(snapshot->call);
}

/* Makes slices until enough output waits. */
void call_snapshot_woken(struct call *call)
{
    struct snapshot *snapshot = call->state;
    if (snapshot == NULL)
        return;
    while (!call->finished && call_output_waiting(call) < FRONT_OUTPUT_HIGH) {
        bool more = machine_save_next(snapshot->saver, &snapshot->slice);
        snapshot_send_slice(snapshot);
        if (!more) {
            snapshot_end(snapshot);
            return;
        }
    }
    timer_set(front_timers(call_front(call)), &snapshot->stall, STALL_MS);
}

void call_snapshot_over(struct call *call)
{
    struct snapshot *snapshot = call->state;
    struct etcd_front *front = call_front(call);
    timer_clear(front_timers(front), &snapshot->stall);
    machine_save_end(snapshot->saver);
    EVP_MD_CTX_free(snapshot->sum);
    buffer_release(&snapshot->slice);
    front->snapshots--;
}

void call_snapshot(struct call *call, struct bytes message)
{
    (void)message;
    struct etcd_front *front = call_front(call);
    if (call->state != NULL)
        return;
    if (front->snapshots >= SNAPSHOTS_MAX) {
        call_fail(call, failure_too_many_requests);
        return;
    }
    EVP_MD_CTX *sum = EVP_MD_CTX_new();
    if (sum == NULL || EVP_DigestInit_ex(sum, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(sum);
        call_fail_text(call, GRPC_INTERNAL, "no SHA-256");
        return;
    }
    struct snapshot *snapshot = call_state(call, sizeof *snapshot);
    snapshot->call = call;
    snapshot->sum = sum;
    snapshot->saver = machine_save(replica_machine(front->replica));
    snapshot->guess = store_size(front_store(front));
    timer_init(&snapshot->stall, on_stall);
    buffer_init(&snapshot->slice, front->mem, INT32_MAX);
    front->snapshots++;
    call_wake(call);
}

/* The client has asked; what it waits for is still to come. */
void call_snapshot_half_closed(struct call *call)
{
    if (call->state == NULL)
        call_fail_text(call, GRPC_INTERNAL, "the request ended before its message");
}
