/* Streams: messages out, and the end with its code. */
#include "base/panic.h"
#include "front/etcd/call.h"

#include <string.h>

#define FIELD(name_, value_, size_)                                                                \
    ((nghttp2_nv){(uint8_t *)(uintptr_t)(name_), (uint8_t *)(uintptr_t)(value_),                   \
                  sizeof(name_) - 1, (size_), NGHTTP2_NV_FLAG_NO_COPY_NAME})

static const char type[] = "application/grpc";

static size_t output_waiting(const struct stream *stream)
{
    return stream->output.size - stream->output_sent;
}

/* So much less waits: the client took it, or never will. */
static void output_less(struct stream *stream, size_t size)
{
    atomic_fetch_sub_explicit(&stream->session->output_bytes, size, memory_order_relaxed);
    atomic_fetch_sub_explicit(&stream->waiting, size, memory_order_relaxed);
}

/* --- What nghttp2 asks for --------------------------------------------------------------------*/

static void submit_trailers(struct stream *stream)
{
    char status[4];
    char message[512];
    struct text code = text_of(status, sizeof status);
    text_u64(&code, stream->code);
    nghttp2_nv fields[2] = {FIELD("grpc-status", status, code.size)};
    size_t count = 1;
    if (stream->text != NULL)
        fields[count++] =
            FIELD("grpc-message", message, percent_encode(stream->text, message, sizeof message));
    (void)nghttp2_submit_trailer(stream->session->http2, stream->id, fields, count);
}

static ssize_t read_output(nghttp2_session *http2, int32_t id, uint8_t *into, size_t size_max,
                           uint32_t *flags, nghttp2_data_source *source, void *user)
{
    (void)http2;
    (void)id;
    (void)into;
    (void)user;
    struct stream *stream = source->ptr;
    size_t waiting = output_waiting(stream);
    if (waiting == 0 && !stream->finished) {
        stream->paused = true;
        return NGHTTP2_ERR_DEFERRED;
    }
    size_t size = waiting < size_max ? waiting : size_max;
    if (size > 0)
        *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (size == waiting && stream->finished) {
        *flags |= NGHTTP2_DATA_FLAG_EOF | NGHTTP2_DATA_FLAG_NO_END_STREAM;
        submit_trailers(stream);
    }
    return (ssize_t)size;
}

void stream_output_taken(struct stream *stream, size_t size)
{
    stream->output_sent += size;
    output_less(stream, size);
    if (output_waiting(stream) > 0)
        return;
    stream->output_sent = 0;
    buffer_release(&stream->output); /* streams wait by the thousand, with nothing to say */
    if (!stream->finished)
        lane_tell(stream->session->lane, NEWS_DRAINED, container_of(stream, struct call, stream),
                  BYTES_EMPTY);
}

/* --- What the core orders ---------------------------------------------------------------------*/

uint8_t *stream_extend(struct stream *stream, size_t size)
{
    struct buffer *output = &stream->output;
    if (stream->output_sent > output->size / 2 || size > output->limit - output->size) {
        buffer_consume(output, stream->output_sent);
        stream->output_sent = 0;
    }
    return buffer_extend(output, size);
}

void stream_push(struct stream *stream)
{
    nghttp2_session *http2 = stream->session->http2;
    front_socket_touch(stream->session->socket);
    if (!stream->responding) {
        nghttp2_nv fields[] = {FIELD(":status", "200", 3),
                               FIELD("content-type", type, sizeof type - 1)};
        nghttp2_data_provider provider = {.source = {.ptr = stream}, .read_callback = read_output};
        stream->responding = true;
        (void)nghttp2_submit_response(http2, stream->id, fields, 2, &provider);
    } else if (stream->paused) {
        stream->paused = false;
        (void)nghttp2_session_resume_data(http2, stream->id);
    }
}

void stream_output_drop(struct stream *stream)
{
    output_less(stream, output_waiting(stream));
    buffer_release(&stream->output);
    stream->output_sent = 0;
}

static void stream_count(struct stream *stream)
{
    struct lane_stats *stats = &stream->session->lane->stats;
    stat_add(&stats->calls_finished, 1);
    if (stream->code != GRPC_OK)
        stat_add(&stats->calls_failed, 1);
    if (stream->method == NULL)
        return;
    stat_add(&stats->handled[stream->method - methods][stream->code], 1);
    if (stream->method->stream)
        return;
    uint64_t took = uv_hrtime() - stream->began_ns;
    unsigned bucket = 0;
    while (bucket + 1 < HISTOGRAM_BUCKETS && took >= UINT64_C(100000) << bucket)
        bucket++;
    stat_add(&stats->latency_buckets[bucket], 1);
    stat_add(&stats->latency_sum, took);
}

/* Nothing was sent yet: status and headers travel together. */
static void fail_at_once(struct stream *stream, const char *text)
{
    static const char identity[] = "identity";
    char message[1024];
    char status[4];
    struct text code = text_of(status, sizeof status);
    text_u64(&code, stream->code);
    nghttp2_nv fields[] = {
        FIELD(":status", "200", 3),
        FIELD("content-type", type, sizeof type - 1),
        FIELD("grpc-status", status, code.size),
        FIELD("grpc-message", message, percent_encode(text, message, sizeof message)),
        FIELD("grpc-accept-encoding", identity, sizeof identity - 1),
    };
    size_t count = stream->code == GRPC_UNIMPLEMENTED ? 5 : 4;
    stream->responding = true;
    (void)nghttp2_submit_response(stream->session->http2, stream->id, fields, count, NULL);
    front_socket_touch(stream->session->socket);
}

void stream_finish(struct stream *stream, enum grpc_code code, const char *text, struct bytes made)
{
    char room[512];
    if (stream->finished)
        return;
    stream->finished = true;
    stream->code = code;
    stream_count(stream);
    timer_clear(&stream->session->lane->timers, &stream->deadline);
    if (code != GRPC_OK && !stream->responding && stream->output.size == 0) {
        struct text copy = text_of(room, sizeof room);
        text_bytes(&copy, made);
        fail_at_once(stream, made.size > 0 ? room : text);
        return;
    }
    /* What was made for the occasion is gone by the time that the trailers are. */
    stream->text = made.size > 0 ? "the request is not acceptable" : text;
    stream_push(stream);
}

static void stream_output(struct stream *stream, struct bytes bytes)
{
    if (stream->finished) {
        output_less(stream, bytes.size);
        return;
    }
    uint8_t *at = stream_extend(stream, bytes.size);
    ensure(at != NULL); /* the core asked whether there is room */
    memcpy(at, bytes.data, bytes.size);
    stream_push(stream);
}

void stream_obey(struct stream *stream, const struct letter *order, struct bytes bytes)
{
    switch ((enum order)order->kind) {
    case ORDER_OUTPUT:
        stream_output(stream, bytes);
        break;
    case ORDER_FINISH:
        stream_finish(stream, (enum grpc_code)order->code, order->text, bytes);
        break;
    case ORDER_NEXT:
        stream_next(stream);
        break;
    case ORDER_RELEASED:
        stream_release(stream);
        break;
    default:
        panic("an order about a call that is none");
    }
}
