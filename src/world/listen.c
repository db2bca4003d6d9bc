/* Listen: the sockets on which other members reach us.
 *
 * The one invariant: every configured address is listened on, or the start fails and says which. A
 * name that means several addresses may lack some of them (a machine without IPv6), not all. */
#include "world/real_internal.h"

#include <string.h>

#define LISTEN_BACKLOG 128

static void listen_closed(uv_handle_t *handle)
{
    real_world_unhold(handle->data);
}

static void listen_connection(uv_stream_t *listener, int status)
{
    struct real_world *real = listener->data;
    if (status == 0 && !real->stopping)
        incoming_accept(real, listener);
}

static int listen_on(struct real_world *real, const struct sockaddr_storage *address)
{
    uv_tcp_t *listener = &real->listeners[real->listeners_count];
    int error = uv_tcp_init(real->config.loop, listener);
    if (error != 0)
        return error;
    listener->data = real;
    real->listeners_count++;
    real_world_hold(real);
    error = uv_tcp_bind(listener, (const struct sockaddr *)address, 0);
    if (error == 0)
        error = uv_listen((uv_stream_t *)listener, LISTEN_BACKLOG, listen_connection);
    if (error != 0) {
        /* Its memory is not used again: there is room for every attempt of one start. */
        uv_close((uv_handle_t *)listener, listen_closed);
    }
    return error;
}

/* Waits for the name service: this is boot, and nothing else can go on. */
static int listen_resolve(struct real_world *real, const struct real_world_address *address,
                          struct sockaddr_storage *ret_addresses, uint32_t *ret_count)
{
    *ret_count = 1;
    if (resolve_numeric(address, &ret_addresses[0]))
        return 0;
    const struct addrinfo hints = {.ai_socktype = SOCK_STREAM, .ai_family = AF_UNSPEC};
    uv_getaddrinfo_t request;
    int error = uv_getaddrinfo(real->config.loop, &request, NULL, address->host, NULL, &hints);
    if (error != 0)
        return error;
    *ret_count = resolve_collect(request.addrinfo, address->port, ret_addresses);
    uv_freeaddrinfo(request.addrinfo);
    return *ret_count > 0 ? 0 : UV_EAI_NODATA;
}

static int listen_on_name(struct real_world *real, const struct real_world_address *address)
{
    struct sockaddr_storage addresses[DIAL_ADDRESSES_MAX];
    uint32_t count;
    uint32_t good = 0;
    int missing = 0;
    int error = listen_resolve(real, address, addresses, &count);
    for (uint32_t i = 0; error == 0 && i < count; i++) {
        error = listen_on(real, &addresses[i]);
        good += error == 0;
        if (error == UV_EADDRNOTAVAIL || error == UV_EAFNOSUPPORT) {
            missing = error;
            error = 0;
        }
    }
    return error == 0 && good == 0 ? missing : error;
}

enum status listen_start(struct real_world *real, struct text *error)
{
    for (uint32_t i = 0; i < real->config.listen_count; i++) {
        struct real_world_address address = real->config.listen[i];
        if (address.host[0] == '\0')
            memcpy(address.host, "0.0.0.0", sizeof "0.0.0.0");
        int failed = listen_on_name(real, &address);
        if (failed != 0) {
            text_add(error, "cannot listen for members on ");
            text_add(error, address.host);
            text_add(error, ":");
            text_u64(error, address.port);
            text_add(error, ": ");
            text_add(error, uv_strerror(failed));
            return failed == UV_EADDRINUSE ? STATUS_EXISTS : STATUS_IO;
        }
    }
    return STATUS_OK;
}

void listen_stop(struct real_world *real)
{
    for (uint32_t i = 0; i < real->listeners_count; i++) {
        uv_handle_t *listener = (uv_handle_t *)&real->listeners[i];
        if (!uv_is_closing(listener))
            uv_close(listener, listen_closed);
    }
    real->listeners_count = 0;
}
