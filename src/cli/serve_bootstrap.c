/* The identity of a new member, from flags. The one invariant: the members of one cluster, started
 * with the same --initial-cluster and token, compute the same ids and the same node numbers,
 * whatever the order in which their lists are written. */
#include "cli/serve.h"

#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>

bool address_parse(const char *url, struct address *ret_address, struct text *error)
{
    const char *scheme = "http://";
    const char *problem = NULL;
    if (strncmp(url, "https://", 8) == 0 || strncmp(url, "unix", 4) == 0)
        problem = "only http:// is supported so far (TLS and unix sockets are not there yet)";
    else if (strncmp(url, scheme, strlen(scheme)) != 0)
        problem = "it must begin with http://";
    if (problem == NULL) {
        const char *host = url + strlen(scheme);
        bool bracket = host[0] == '[';
        const char *end = bracket ? strchr(host, ']') : strchr(host, ':');
        const char *colon = end == NULL ? NULL : end + bracket;
        host += bracket;
        char *rest = NULL;
        long port = colon == NULL || *colon != ':' ? -1 : strtol(colon + 1, &rest, 10);
        if (port < 0 || port > 65535 || rest == colon + 1)
            problem = "it must name a port, as in http://127.0.0.1:2379";
        else if (*rest != '\0')
            problem = "nothing may follow the port";
        else if (end == host || (size_t)(end - host) >= HOST_MAX)
            problem = "it must name a host, as in http://127.0.0.1:2379";
        if (problem == NULL) {
            memcpy(ret_address->host, host, (size_t)(end - host));
            ret_address->host[end - host] = '\0';
            ret_address->port = (uint16_t)port;
            return true;
        }
    }
    text_add(error, "bad URL \"");
    text_add(error, url);
    text_add(error, "\": ");
    text_add(error, problem);
    return false;
}

static bool complain(struct text *error, const char *before, const char *what, const char *after)
{
    text_add(error, before);
    text_add(error, what);
    text_add(error, after);
    return false;
}

static int compare_urls(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* Adds one NAME=URL; a name may come again with another URL. */
static bool add_url(struct identity *identity, const char *name, size_t name_size, const char *url,
                    struct text *error)
{
    struct address address;
    if (!address_parse(url, &address, error))
        return false;
    struct identity_member *member = NULL;
    for (uint32_t i = 0; i < identity->members_count; i++) {
        struct identity_member *known = &identity->members[i];
        if (strlen(known->name) == name_size && memcmp(known->name, name, name_size) == 0)
            member = known;
        for (uint32_t u = 0; u < known->peer_urls_count; u++)
            if (strcmp(known->peer_urls[u], url) == 0)
                return complain(error, "--initial-cluster has the URL ", url, " twice");
    }
    if (member == NULL) {
        if (identity->members_count == MEMBERS_MAX || name_size >= IDENTITY_NAME_MAX)
            return complain(error, "--initial-cluster: too many members or too long a name at ",
                            url, "");
        member = &identity->members[identity->members_count++];
        memcpy(member->name, name, name_size);
    }
    if (member->peer_urls_count == IDENTITY_URLS_MAX || strlen(url) >= IDENTITY_URL_MAX)
        return complain(
            error, "--initial-cluster: too many URLs for a member, or too long a one: ", url, "");
    memcpy(member->peer_urls[member->peer_urls_count++], url, strlen(url) + 1);
    return true;
}

static bool parse_cluster(struct identity *identity, const char *list, struct text *error)
{
    char *copy = strdup(list);
    bool good = true;
    char *save = NULL;
    for (char *part = strtok_r(copy, ",", &save); good && part != NULL;
         part = strtok_r(NULL, ",", &save)) {
        char *equals = strchr(part, '=');
        if (equals == NULL || equals == part)
            good = complain(error, "--initial-cluster: expected NAME=URL but found \"", part, "\"");
        else
            good = add_url(identity, part, (size_t)(equals - part), equals + 1, error);
    }
    free(copy);
    return good;
}

static uint64_t sha1_id(const void *data, size_t size)
{
    unsigned char digest[SHA_DIGEST_LENGTH];
    SHA1(data, size, digest);
    uint64_t id = 0;
    for (int i = 0; i < 8; i++)
        id = id << 8 | digest[i];
    return id;
}

static uint64_t member_id(struct identity_member *member, const char *token)
{
    char joined[IDENTITY_URLS_MAX * IDENTITY_URL_MAX + 1024];
    struct text text = text_of(joined, sizeof joined);
    qsort(member->peer_urls, member->peer_urls_count, IDENTITY_URL_MAX, compare_urls);
    for (uint32_t u = 0; u < member->peer_urls_count; u++)
        text_add(&text, member->peer_urls[u]);
    text_add(&text, token);
    return sha1_id(joined, text.size);
}

static int compare_members(const void *a, const void *b)
{
    const struct identity_member *x = a;
    const struct identity_member *y = b;
    return (x->id > y->id) - (x->id < y->id);
}

static void assign_ids(struct identity *identity, const char *token)
{
    uint8_t ids[MEMBERS_MAX * 8];
    for (uint32_t i = 0; i < identity->members_count; i++)
        identity->members[i].id = member_id(&identity->members[i], token);
    qsort(identity->members, identity->members_count, sizeof identity->members[0], compare_members);
    for (uint32_t i = 0; i < identity->members_count; i++) {
        identity->members[i].node = (uint16_t)(i + 1);
        for (int b = 0; b < 8; b++)
            ids[i * 8 + (uint32_t)b] = (uint8_t)(identity->members[i].id >> (56 - 8 * b));
    }
    identity->cluster = sha1_id(ids, identity->members_count * 8);
}

/* The addresses that this member tells must be those that the others were told. */
static bool check_advertised(const struct options *options, const struct identity_member *self,
                             struct text *error)
{
    size_t count;
    const char *const *urls = options_list(options, "initial-advertise-peer-urls", &count);
    bool equal = count == self->peer_urls_count;
    for (size_t i = 0; equal && i < count; i++) {
        bool found = false;
        for (uint32_t u = 0; u < self->peer_urls_count; u++)
            found |= strcmp(self->peer_urls[u], urls[i]) == 0;
        equal = found;
    }
    if (!equal)
        return complain(error, "--initial-cluster has other URLs for ", self->name,
                        " than --initial-advertise-peer-urls: make them the same");
    return true;
}

bool bootstrap_identity(const struct options *options, uint64_t disk, struct identity *ret_identity,
                        struct text *error)
{
    const char *name = options_string(options, "name");
    const char *cluster = options_string(options, "initial-cluster");
    const char *token = options_string(options, "initial-cluster-token");
    const struct engine_ops *engine = engine_by_name(options_string(options, "engine"));
    memset(ret_identity, 0, sizeof *ret_identity);
    if (engine == NULL)
        return complain(error, "--engine: there is no engine named \"",
                        options_string(options, "engine"), "\"");
    if (strcmp(options_string(options, "initial-cluster-state"), "new") != 0)
        return complain(
            error, "--initial-cluster-state ", options_string(options, "initial-cluster-state"),
            ": a new member cannot join a running cluster yet; only \"new\" is supported");
    if (strlen(token) > 512)
        return complain(error, "--initial-cluster-token is longer than 512 bytes", "", "");
    size_t urls_count;
    const char *const *urls = options_list(options, "initial-advertise-peer-urls", &urls_count);
    bool good = true;
    if (cluster[0] != '\0')
        good = parse_cluster(ret_identity, cluster, error);
    for (size_t i = 0; good && cluster[0] == '\0' && i < urls_count; i++)
        good = add_url(ret_identity, name, strlen(name), urls[i], error);
    if (!good)
        return false;
    assign_ids(ret_identity, token);
    ret_identity->disk = disk;
    ret_identity->era = 1;
    ret_identity->engine = engine->id;
    for (uint32_t i = 0; i < ret_identity->members_count; i++) {
        if (strcmp(ret_identity->members[i].name, name) == 0) {
            ret_identity->self = ret_identity->members[i].node;
            return check_advertised(options, &ret_identity->members[i], error);
        }
    }
    return complain(
        error, "couldn't find local name \"", name,
        "\" in the initial cluster configuration: add NAME=URL for it to --initial-cluster");
}
