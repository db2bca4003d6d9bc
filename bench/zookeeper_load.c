/* Load for ZooKeeper, as `synod bench` makes it for etcd: connections x requests in flight on each,
 * closed loop, one thread. Prints the same figures as JSON.
 *
 *     zookeeper_load set|get HOST:PORT,... CONNECTIONS STREAMS SECONDS WARMUP-SECONDS
 *
 * ZooKeeper's own client library does the protocol; every connection is a session of its own, on
 * the members in turn. The one invariant: a request in flight is answered by exactly one call of
 * its completion, which starts the next. */
#include "cli/histogram.h"

#include "base/prng.h"

#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zookeeper/zookeeper.h>

#define KEYS 10000
#define VALUE_SIZE 256
#define SESSION_MS 10000
#define CONNECT_SECONDS 30
#define CREATED_AT_ONCE 200

struct load;

struct request {
    struct load *load;
    zhandle_t *handle;
    uint64_t started_ns;
};

struct load {
    bool set;
    size_t connections;
    size_t streams;
    zhandle_t **handles;
    struct pollfd *polls;
    struct request *requests;
    uint64_t measure_from_ns;
    uint64_t end_ns;
    size_t in_flight;
    size_t created;
    uint64_t errors;
    int error;
    struct histogram histogram;
    struct prng prng;
    char value[VALUE_SIZE];
};

static uint64_t now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void key_of(uint64_t number, char *ret_key, size_t size)
{
    snprintf(ret_key, size, "/bench/%010" PRIu64, number);
}

static void on_session(zhandle_t *handle, int type, int state, const char *path, void *context)
{
    (void)handle;
    (void)type;
    (void)state;
    (void)path;
    (void)context;
}

/* One turn: waits until some connection has something, and lets the library handle it. */
static void load_turn(struct load *load)
{
    int wait_ms = 1000;
    for (size_t i = 0; i < load->connections; i++) {
        int interest = 0;
        struct timeval left = {0};
        load->polls[i] = (struct pollfd){.fd = -1};
        (void)zookeeper_interest(load->handles[i], &load->polls[i].fd, &interest, &left);
        load->polls[i].events = (short)((interest & ZOOKEEPER_READ ? POLLIN : 0) |
                                        (interest & ZOOKEEPER_WRITE ? POLLOUT : 0));
        int ms = (int)(left.tv_sec * 1000 + left.tv_usec / 1000);
        wait_ms = ms < wait_ms ? ms : wait_ms;
    }
    (void)poll(load->polls, load->connections, wait_ms);
    for (size_t i = 0; i < load->connections; i++) {
        int events = (load->polls[i].revents & (POLLIN | POLLHUP | POLLERR) ? ZOOKEEPER_READ : 0) |
                     (load->polls[i].revents & POLLOUT ? ZOOKEEPER_WRITE : 0);
        if (events != 0)
            (void)zookeeper_process(load->handles[i], events);
    }
}

static void request_start(struct request *request);

static void request_done(struct request *request, int rc)
{
    struct load *load = request->load;
    uint64_t now = now_ns();
    load->in_flight--;
    if (rc != ZOK) {
        load->errors++;
        load->error = rc;
    } else if (request->started_ns >= load->measure_from_ns && now < load->end_ns) {
        histogram_record(&load->histogram, now - request->started_ns);
    }
    if (now < load->end_ns && load->errors == 0)
        request_start(request);
}

static void on_set(int rc, const struct Stat *stat, const void *owner)
{
    (void)stat;
    request_done((struct request *)(uintptr_t)owner, rc);
}

static void on_get(int rc, const char *value, int size, const struct Stat *stat, const void *owner)
{
    (void)value;
    (void)size;
    (void)stat;
    request_done((struct request *)(uintptr_t)owner, rc);
}

static void request_start(struct request *request)
{
    struct load *load = request->load;
    char key[32];
    key_of(prng_below(&load->prng, KEYS), key, sizeof key);
    request->started_ns = now_ns();
    int rc = load->set
                 ? zoo_aset(request->handle, key, load->value, VALUE_SIZE, -1, on_set, request)
                 : zoo_aget(request->handle, key, 0, on_get, request);
    load->in_flight++;
    if (rc != ZOK) {
        load->in_flight--;
        load->errors++;
        load->error = rc;
    }
}

static void on_created(int rc, const char *name, const void *owner)
{
    struct load *load = (struct load *)(uintptr_t)owner;
    (void)name;
    load->in_flight--;
    if (rc == ZOK || rc == ZNODEEXISTS)
        return;
    load->errors++;
    load->error = rc;
}

static void create_key(struct load *load, const char *key)
{
    int rc = zoo_acreate(load->handles[0], key, load->value, VALUE_SIZE, &ZOO_OPEN_ACL_UNSAFE, 0,
                         on_created, load);
    if (rc == ZOK) {
        load->in_flight++;
        return;
    }
    load->errors++;
    load->error = rc;
}

static void load_create(struct load *load)
{
    create_key(load, "/bench");
    while (load->errors == 0 && (load->created < KEYS || load->in_flight > 0)) {
        while (load->created < KEYS && load->in_flight < CREATED_AT_ONCE) {
            char key[32];
            key_of(load->created++, key, sizeof key);
            create_key(load, key);
        }
        load_turn(load);
    }
}

/* A handle is told one member each, so that sessions spread evenly. */
static bool load_connect(struct load *load, const char *endpoints)
{
    char *list = strdup(endpoints);
    char *hosts[16];
    size_t count = 0;
    char *rest = NULL;
    for (char *host = strtok_r(list, ",", &rest); host != NULL && count < 16;
         host = strtok_r(NULL, ",", &rest))
        hosts[count++] = host;
    for (size_t i = 0; i < load->connections && count > 0; i++)
        load->handles[i] = zookeeper_init(hosts[i % count], on_session, SESSION_MS, NULL, NULL, 0);
    uint64_t limit = now_ns() + CONNECT_SECONDS * UINT64_C(1000000000);
    size_t connected = 0;
    while (count > 0 && connected < load->connections && now_ns() < limit) {
        load_turn(load);
        connected = 0;
        for (size_t i = 0; i < load->connections; i++)
            connected += zoo_state(load->handles[i]) == ZOO_CONNECTED_STATE;
    }
    free(list);
    return connected == load->connections;
}

static void load_run(struct load *load, uint64_t seconds, uint64_t warmup)
{
    uint64_t now = now_ns();
    load->measure_from_ns = now + warmup * 1000000000;
    load->end_ns = load->measure_from_ns + seconds * 1000000000;
    for (size_t i = 0; i < load->connections * load->streams; i++) {
        load->requests[i] =
            (struct request){.load = load, .handle = load->handles[i % load->connections]};
        request_start(&load->requests[i]);
    }
    while (load->in_flight > 0 && load->errors == 0)
        load_turn(load);
}

static void load_print(const struct load *load, uint64_t seconds)
{
    const struct histogram *h = &load->histogram;
    printf("{\"done\": %" PRIu64 ", \"errors\": %" PRIu64 ", \"per_second\": %.1f, "
           "\"p50_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f}\n",
           h->count, load->errors, (double)h->count / (double)seconds,
           (double)histogram_quantile(h, 0.5) / 1000, (double)histogram_quantile(h, 0.99) / 1000,
           (double)histogram_quantile(h, 0.999) / 1000);
}

int main(int argc, char **argv)
{
    if (argc != 7 || (strcmp(argv[1], "set") != 0 && strcmp(argv[1], "get") != 0)) {
        fprintf(stderr, "usage: zookeeper_load set|get HOST:PORT,... CONNECTIONS STREAMS SECONDS "
                        "WARMUP-SECONDS\n");
        return 2;
    }
    static struct load load;
    load.set = strcmp(argv[1], "set") == 0;
    load.connections = strtoul(argv[3], NULL, 10);
    load.streams = strtoul(argv[4], NULL, 10);
    uint64_t seconds = strtoull(argv[5], NULL, 10);
    load.handles = calloc(load.connections, sizeof *load.handles);
    load.polls = calloc(load.connections, sizeof *load.polls);
    load.requests = calloc(load.connections * load.streams, sizeof *load.requests);
    load.prng = prng_seed(1);
    memset(load.value, 'x', sizeof load.value);
    zoo_set_debug_level(ZOO_LOG_LEVEL_ERROR);
    if (!load_connect(&load, argv[2])) {
        fprintf(stderr, "zookeeper_load: cannot connect to %s\n", argv[2]);
        return 4;
    }
    load_create(&load);
    load_run(&load, seconds, strtoull(argv[6], NULL, 10));
    if (load.errors > 0)
        fprintf(stderr, "zookeeper_load: %s\n", zerror(load.error));
    load_print(&load, seconds);
    return load.errors > 0 ? 1 : 0;
}
