/* Resolve: from a host and a port to the addresses of sockets.
 *
 * The one invariant: an address comes once, however often the system names it; listening on it
 * twice would fail. */
#include "world/real_internal.h"

#include <netinet/in.h>
#include <string.h>

bool resolve_numeric(const struct real_world_address *address, struct sockaddr_storage *ret)
{
    /* What localhost means is settled (RFC 6761), and a minimal system has no file that says it. */
    const char *host = strcmp(address->host, "localhost") == 0 ? "127.0.0.1" : address->host;
    memset(ret, 0, sizeof *ret);
    return uv_ip4_addr(host, address->port, (struct sockaddr_in *)ret) == 0 ||
           uv_ip6_addr(host, address->port, (struct sockaddr_in6 *)ret) == 0;
}

uint32_t resolve_collect(const struct addrinfo *found, uint16_t port,
                         struct sockaddr_storage *ret_addresses)
{
    uint32_t count = 0;
    for (; found != NULL && count < DIAL_ADDRESSES_MAX; found = found->ai_next) {
        struct sockaddr_storage address;
        memset(&address, 0, sizeof address);
        if (found->ai_addrlen > sizeof address)
            continue;
        memcpy(&address, found->ai_addr, found->ai_addrlen);
        if (address.ss_family == AF_INET)
            ((struct sockaddr_in *)&address)->sin_port = htons(port);
        else if (address.ss_family == AF_INET6)
            ((struct sockaddr_in6 *)&address)->sin6_port = htons(port);
        else
            continue;
        bool known = false;
        for (uint32_t i = 0; i < count; i++)
            known = known || memcmp(&ret_addresses[i], &address, sizeof address) == 0;
        if (!known)
            ret_addresses[count++] = address;
    }
    return count;
}
