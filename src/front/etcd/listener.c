/* Listeners: from a URL to a socket that accepts. A host is an address or "localhost"; names are
 * not looked up, so that what a member listens on never depends on a resolver. */
#include "front/etcd/socket.h"

#include <string.h>

#define BACKLOG 1024
#define HOST_SIZE 64

struct front_listener {
    struct etcd_front *front;
    bool open;
    uv_tcp_t tcp;
};

struct address {
    char host[HOST_SIZE];
    uint16_t port;
};

static bool parse_port(const char *text, uint16_t *ret_port)
{
    uint32_t value = 0;
    if (*text == '\0' || strlen(text) > 5)
        return false;
    for (; *text != '\0' && *text != '/'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint32_t)(*text - '0');
    }
    *ret_port = (uint16_t)value;
    return value <= UINT16_MAX && (*text == '\0' || text[1] == '\0');
}

/* Splits "http://host:port"; a host in brackets is an IPv6 address. */
static const char *parse_url(const char *url, struct address *ret)
{
    static const char scheme[] = "http://";
    if (strncmp(url, "https://", 8) == 0)
        return "https is not supported yet; use http";
    if (strncmp(url, scheme, sizeof scheme - 1) != 0)
        return "a listening URL begins with http://";
    const char *host = url + sizeof scheme - 1;
    const char *end = host[0] == '[' ? strchr(host, ']') : strrchr(host, ':');
    if (end == NULL)
        return "a listening URL names a host and a port";
    const char *colon = host[0] == '[' ? end + 1 : end;
    host += host[0] == '[' ? 1 : 0;
    size_t size = (size_t)(end - host);
    if (*colon != ':' || !parse_port(colon + 1, &ret->port))
        return "a listening URL ends with a port";
    if (size == 0 || size >= sizeof ret->host)
        return "the host must be an address or localhost";
    memcpy(ret->host, host, size);
    ret->host[size] = '\0';
    if (strcmp(ret->host, "localhost") == 0)
        memcpy(ret->host, "127.0.0.1", sizeof "127.0.0.1");
    return NULL;
}

static void on_connection(uv_stream_t *stream, int status)
{
    struct front_listener *listener = stream->data;
    if (status == 0)
        front_socket_accept(listener->front, stream);
}

static const char *listener_bind(struct front_listener *listener, const struct address *address)
{
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } at;
    memset(&at, 0, sizeof at);
    if (uv_ip4_addr(address->host, address->port, &at.v4) != 0 &&
        uv_ip6_addr(address->host, address->port, &at.v6) != 0)
        return "the host must be an address or localhost";
    int failed = uv_tcp_bind(&listener->tcp, &at.any, 0);
    if (failed == 0)
        failed = uv_listen((uv_stream_t *)&listener->tcp, BACKLOG, on_connection);
    return failed == 0 ? NULL : uv_strerror(failed);
}

static const char *listener_open(struct front_listener *listener, const char *url)
{
    struct address address;
    const char *problem = parse_url(url, &address);
    if (problem != NULL)
        return problem;
    (void)uv_tcp_init(listener->front->loop, &listener->tcp);
    listener->tcp.data = listener;
    listener->open = true;
    listener->front->handles++;
    return listener_bind(listener, &address);
}

enum status front_listeners_open(struct etcd_front *front, struct text *error)
{
    uint32_t count = front->config.listen_urls_count;
    front->listeners = mem_zero(front->mem, (count + 1) * sizeof *front->listeners);
    for (uint32_t i = 0; i < count; i++) {
        const char *url = front->config.listen_urls[i];
        front->listeners[i].front = front;
        const char *problem = listener_open(&front->listeners[i], url);
        if (problem == NULL)
            continue;
        text_add(error, "cannot listen on ");
        text_add(error, url);
        text_add(error, ": ");
        text_add(error, problem);
        return STATUS_IO;
    }
    return STATUS_OK;
}

static void on_closed(uv_handle_t *handle)
{
    struct front_listener *listener = handle->data;
    front_handle_closed(listener->front);
}

void front_listeners_close(struct etcd_front *front)
{
    if (front->listeners == NULL)
        return;
    for (uint32_t i = 0; i < front->config.listen_urls_count; i++) {
        struct front_listener *listener = &front->listeners[i];
        if (listener->open)
            uv_close((uv_handle_t *)&listener->tcp, on_closed);
        listener->open = false;
    }
}

void front_listeners_free(struct etcd_front *front)
{
    mem_free(front->mem, front->listeners,
             (front->config.listen_urls_count + 1) * sizeof *front->listeners);
}

uint16_t etcd_front_port(const struct etcd_front *front, uint32_t index)
{
    struct sockaddr_storage at;
    int size = sizeof at;
    if (index >= front->config.listen_urls_count || !front->listeners[index].open ||
        uv_tcp_getsockname(&front->listeners[index].tcp, (struct sockaddr *)&at, &size) != 0)
        return 0;
    uint16_t port = at.ss_family == AF_INET6 ? ((struct sockaddr_in6 *)&at)->sin6_port
                                             : ((struct sockaddr_in *)&at)->sin_port;
    return ntohs(port);
}
