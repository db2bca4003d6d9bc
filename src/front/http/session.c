/* One client's requests: heads in, answers out, one at a time. */
#include "front/http/internal.h"

#include <stdio.h>
#include <string.h>

#define OUTPUT_MAX ((size_t)4 * 1024 * 1024)
#define TYPE_TEXT "text/plain; charset=utf-8"
#define TYPE_JSON "application/json"
#define TYPE_METRICS "text/plain; version=0.0.4; charset=utf-8"

struct http_front *http_front_new(const struct http_front_config *config)
{
    struct http_front *front = mem_zero(config->mem, sizeof *front);
    front->config = *config;
    return front;
}

void http_front_free(struct http_front *front)
{
    if (front != NULL)
        mem_free(front->config.mem, front, sizeof *front);
}

struct http_session *http_session_new(struct http_front *front, void *owner,
                                      void (*on_output)(void *owner))
{
    struct mem *mem = front->config.mem;
    struct http_session *session = mem_zero(mem, sizeof *session);
    session->front = front;
    session->owner = owner;
    session->on_output = on_output;
    request_init(&session->request, NULL);
    /* One head, and as much again of what a client sends ahead. */
    buffer_init(&session->input, mem, (size_t)2 * HTTP_HEAD_MAX);
    buffer_init(&session->output, mem, OUTPUT_MAX);
    return session;
}

void http_session_free(struct http_session *session)
{
    replica_cancel(&session->request);
    buffer_release(&session->input);
    buffer_release(&session->output);
    mem_free(session->front->config.mem, session, sizeof *session);
}

/* --- Answers ----------------------------------------------------------------------------------*/

static const char *status_phrase(unsigned status)
{
    switch (status) {
    case 200:
        return "OK";
    case 400:
        return "Bad Request";
    case 404:
        return "Not Found";
    case 405:
        return "Method Not Allowed";
    case 431:
        return "Request Header Fields Too Large";
    case 503:
        return "Service Unavailable";
    default:
        return "HTTP Version Not Supported";
    }
}

void http_answer(struct http_session *session, const struct http_answer *answer)
{
    char head[384];
    int size = snprintf(head, sizeof head,
                        "HTTP/1.1 %u %s\r\n"
                        "Access-Control-Allow-Origin: *\r\n"
                        "Content-Type: %s\r\n"
                        "Content-Length: %zu\r\n"
                        "X-Content-Type-Options: nosniff\r\n"
                        "%s%s\r\n",
                        answer->status, status_phrase(answer->status), answer->type,
                        answer->body.size, answer->status == 405 ? "Allow: GET\r\n" : "",
                        session->ended ? "Connection: close\r\n" : "");
    if (size > 0)
        buffer_append(&session->output, bytes_of(head, (size_t)size));
    buffer_append(&session->output, answer->body);
}

static void answer_text(struct http_session *session, unsigned status, const char *text)
{
    http_answer(session, &(struct http_answer){status, TYPE_TEXT, bytes_text(text)});
}

static void answer_version(struct http_session *session)
{
    const char *api = session->front->config.api_version;
    char body[256];
    int size = snprintf(body, sizeof body,
                        "{\"etcdserver\":\"%s\",\"etcdcluster\":\"%s\",\"storage\":\"%s\","
                        "\"synod\":\"%s\"}",
                        api, api, api, SYNOD_VERSION);
    struct bytes text = bytes_of(body, size > 0 ? (size_t)size : 0);
    http_answer(session, &(struct http_answer){200, TYPE_JSON, text});
}

static void answer_metrics(struct http_session *session)
{
    struct buffer body;
    buffer_init(&body, session->front->config.mem, OUTPUT_MAX / 2);
    http_metrics_write(session->front, &body);
    http_answer(session, &(struct http_answer){200, TYPE_METRICS, buffer_bytes(&body)});
    buffer_release(&body);
}

/* --- Requests ---------------------------------------------------------------------------------*/

static void session_continue(struct http_session *session);

static void session_done(struct http_session *session)
{
    session->waiting = false;
    buffer_consume(&session->input, session->head_size);
    if (session->input.size == 0)
        buffer_release(&session->input);
}

static void on_read(struct request *request, enum status status, const struct result *result)
{
    struct http_session *session = container_of(request, struct http_session, request);
    (void)result;
    http_health_answer(session, &session->head, status);
    session_done(session);
    session_continue(session);
    session->on_output(session->owner);
}

static void answer_health(struct http_session *session)
{
    if (!http_health_needs_read(session->front, &session->head)) {
        http_health_answer(session, &session->head, STATUS_OK);
        session_done(session);
        return;
    }
    session->waiting = true;
    request_init(&session->request, on_read);
    replica_read(session->front->config.replica, &session->request);
}

static void session_answer(struct http_session *session)
{
    struct bytes path = session->head.path;
    if (http_health_is(path) && bytes_equal(session->head.method, bytes_text("GET"))) {
        answer_health(session);
        return;
    }
    if (!bytes_equal(session->head.method, bytes_text("GET")))
        answer_text(session, 405, "Method Not Allowed\n");
    else if (bytes_equal(path, bytes_text("/version")))
        answer_version(session);
    else if (bytes_equal(path, bytes_text("/metrics")))
        answer_metrics(session);
    else
        answer_text(session, 404, "404 page not found\n");
    session_done(session);
}

static void session_reject(struct http_session *session, enum http_parsed parsed)
{
    session->ended = true;
    if (parsed == HTTP_PARSED_TOO_LARGE)
        answer_text(session, 431, "Request Header Fields Too Large\n");
    else if (parsed == HTTP_PARSED_VERSION)
        answer_text(session, 505, "HTTP Version Not Supported\n");
    else
        answer_text(session, 400, "Bad Request\n");
}

/* Answers what the input holds, until one has to wait. */
static void session_continue(struct http_session *session)
{
    while (!session->waiting && !session->ended && session->input.size > 0) {
        enum http_parsed parsed =
            http_parse(buffer_bytes(&session->input), &session->head, &session->head_size);
        if (parsed == HTTP_PARSED_MORE)
            return;
        if (parsed != HTTP_PARSED_REQUEST) {
            session_reject(session, parsed);
            return;
        }
        /* A body is not read, so what follows a request with one cannot be understood. */
        session->ended = !session->head.keep_alive || session->head.has_body;
        session_answer(session);
    }
}

bool http_session_receive(struct http_session *session, struct bytes bytes)
{
    if (session->ended)
        return true; /* the rest of a conversation that is over */
    buffer_append(&session->input, bytes);
    if (session->input.failed || session->output.size > OUTPUT_MAX / 2) {
        session_reject(session, HTTP_PARSED_TOO_LARGE);
        return false;
    }
    session_continue(session);
    return !session->ended;
}

struct buffer *http_session_output(struct http_session *session)
{
    return &session->output;
}

bool http_session_idle(const struct http_session *session)
{
    return !session->waiting && session->input.size == 0;
}

bool http_session_waiting(const struct http_session *session)
{
    return session->waiting;
}

bool http_session_ended(const struct http_session *session)
{
    return session->ended;
}
