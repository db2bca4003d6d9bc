/* gRPC client: the loop, its tick and its endpoints.
 *
 * Deadlines are a list in order, not a heap: the calls of one program mostly share one timeout, so
 * a new deadline belongs at the end. */
#include "cli/grpc_internal.h"

#include "base/panic.h"

#include <netdb.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *mem_malloc(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

struct mem *cli_mem(void)
{
    static struct mem mem = {.resize = mem_malloc};
    return &mem;
}

/* Splits "host:port", "[v6]:port", "host"; the port defaults to etcd's. */
static bool split_host(const char *text, char *ret_host, size_t host_capacity, char *ret_port,
                       size_t port_capacity)
{
    const char *colon = strrchr(text, ':');
    const char *bracket = strrchr(text, ']');
    if (colon != NULL && bracket != NULL && colon < bracket)
        colon = NULL;
    size_t length = colon != NULL ? (size_t)(colon - text) : strlen(text);
    if (text[0] == '[' && bracket != NULL) {
        text++;
        length = (size_t)(bracket - text);
    }
    snprintf(ret_port, port_capacity, "%s", colon != NULL ? colon + 1 : "2379");
    snprintf(ret_host, host_capacity, "%.*s", (int)length, text);
    return length > 0 && length < host_capacity && ret_port[0] != '\0';
}

bool grpc_endpoint_parse(const char *text, struct grpc_endpoint *ret_endpoint, char *ret_error,
                         size_t error_capacity)
{
    char host[256];
    char port[16];
    if (strncmp(text, "https://", 8) == 0) {
        snprintf(ret_error, error_capacity, "%s: TLS is not supported by this client yet", text);
        return false;
    }
    if (strncmp(text, "http://", 7) == 0)
        text += 7;
    char trimmed[280];
    snprintf(trimmed, sizeof trimmed, "%.*s", (int)strcspn(text, "/"), text);
    if (!split_host(trimmed, host, sizeof host, port, sizeof port)) {
        snprintf(ret_error, error_capacity, "\"%s\" is not an endpoint of the form host:port",
                 text);
        return false;
    }
    struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct addrinfo *found = NULL;
    /* A minimal system has no file that says what localhost is (RFC 6761 does). */
    const char *name = strcmp(host, "localhost") == 0 ? "127.0.0.1" : host;
    int rc = getaddrinfo(name, port, &hints, &found);
    if (rc != 0) {
        snprintf(ret_error, error_capacity, "%s: %s", trimmed, gai_strerror(rc));
        return false;
    }
    *ret_endpoint = (struct grpc_endpoint){0};
    memcpy(&ret_endpoint->address, found->ai_addr, found->ai_addrlen);
    snprintf(ret_endpoint->text, sizeof ret_endpoint->text, "%s", trimmed);
    snprintf(ret_endpoint->authority, sizeof ret_endpoint->authority, "%s", trimmed);
    freeaddrinfo(found);
    return true;
}

static void on_flush(uv_prepare_t *handle)
{
    struct grpc_client *client = handle->data;
    struct list ready;
    list_init(&ready);
    list_splice(&ready, &client->dirty);
    list_each (at, &ready) {
        struct grpc_connection *connection = container_of(at, struct grpc_connection, dirty);
        list_remove(at);
        connection_flush(connection);
    }
}

static void expire_calls(struct grpc_client *client, uint64_t now_ms)
{
    while (!list_empty(&client->deadlines)) {
        struct grpc_call *call =
            container_of(client->deadlines.next, struct grpc_call, deadline_link);
        if (call->deadline_ms > now_ms)
            break;
        struct grpc_connection *connection = call->connection;
        nghttp2_session_set_stream_user_data(connection->session, call->stream, NULL);
        nghttp2_submit_rst_stream(connection->session, NGHTTP2_FLAG_NONE, call->stream,
                                  NGHTTP2_CANCEL);
        connection_touch(connection);
        call_end_with(call, GRPC_DEADLINE_EXCEEDED, "context deadline exceeded");
    }
}

static void on_tick(uv_timer_t *timer)
{
    struct grpc_client *client = timer->data;
    uint64_t now = uv_now(&client->loop);
    expire_calls(client, now);
    list_each (at, &client->connections)
        connection_tick(container_of(at, struct grpc_connection, link), now);
}

void grpc_client_init(struct grpc_client *client)
{
    signal(SIGPIPE, SIG_IGN); /* a broken socket or pipe is an error of its write */
    if (uv_loop_init(&client->loop) != 0)
        panic("cannot make an event loop");
    list_init(&client->connections);
    list_init(&client->dirty);
    list_init(&client->deadlines);
    uv_prepare_init(&client->loop, &client->flush);
    uv_timer_init(&client->loop, &client->tick);
    client->flush.data = client;
    client->tick.data = client;
    uv_prepare_start(&client->flush, on_flush);
    uv_timer_start(&client->tick, on_tick, GRPC_TICK_MS, GRPC_TICK_MS);
}

static void close_left_over(uv_handle_t *handle, void *argument)
{
    (void)argument;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void grpc_client_release(struct grpc_client *client)
{
    list_each (at, &client->connections)
        grpc_connection_close(container_of(at, struct grpc_connection, link));
    uv_walk(&client->loop, close_left_over, NULL);
    uv_run(&client->loop, UV_RUN_DEFAULT);
    uv_loop_close(&client->loop);
}
