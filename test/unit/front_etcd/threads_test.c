/* Fronts whose connections are carried by threads: real sockets, real threads, clients that call,
 * stream, break off and come back, while the core does its work. What the answers are is tested
 * elsewhere (every other test of this front runs with letters as well); here it is that nothing is
 * lost or mixed up between threads, and that all of it ends. ThreadSanitizer looks on. */
#include "front/etcd/framing.h"
#include "front_etcd/support_rig.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define THREADS 3
#define CLIENTS 8
#define ROUNDS 40

/* --- A client ---------------------------------------------------------------------------------*/

struct client {
    struct rig rig; /* nothing but its client */
    int descriptor;
    uint16_t port;
    unsigned number;
    const char *problem; /* NULL: all is well */
};

static void client_connect(struct client *client)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(client->port)};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    client->descriptor = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1; /* headers and message of a call are sent apart */
    (void)setsockopt(client->descriptor, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    rig_open_client(&client->rig);
    if (connect(client->descriptor, (struct sockaddr *)&at, sizeof at) != 0)
        client->problem = "the front takes no connection";
}

static void client_leave(struct client *client)
{
    (void)close(client->descriptor);
    rig_close_client(&client->rig);
}

static void client_send(struct client *client)
{
    const uint8_t *data;
    ssize_t size;
    while ((size = nghttp2_session_mem_send(client->rig.client, &data)) > 0) {
        if (send(client->descriptor, data, (size_t)size, MSG_NOSIGNAL) != size)
            client->problem = "the connection takes no bytes";
    }
}

/* One exchange of bytes; false: the front has closed the connection. */
static bool client_turn(struct client *client)
{
    uint8_t bytes[16384];
    client_send(client);
    ssize_t size = recv(client->descriptor, bytes, sizeof bytes, 0);
    if (size <= 0)
        return false;
    (void)nghttp2_session_mem_recv(client->rig.client, bytes, (size_t)size);
    return true;
}

static void client_wait(struct client *client, const struct exchange *exchange)
{
    while (!exchange->closed && client->problem == NULL) {
        if (!client_turn(client))
            client->problem = "the connection ended before the call";
    }
    if (client->problem == NULL && exchange->grpc_status != 0)
        client->problem = "a call failed";
}

static struct exchange *client_call(struct client *client, const char *path,
                                    const ProtobufCMessage *message)
{
    struct exchange *exchange = rig_begin(&client->rig, path, NULL, NULL);
    rig_send(exchange, message);
    rig_end(exchange);
    return exchange;
}

/* Several puts at once, each of which has to be there when it is asked for. */
static void client_put_and_get(struct client *client, unsigned round)
{
    char key[8][32];
    struct exchange *puts[8];
    for (unsigned i = 0; i < 8; i++) {
        (void)snprintf(key[i], sizeof key[i], "c%u/%u/%u", client->number, round, i);
        Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
        put.key = rig_data(key[i]);
        put.value = rig_data(key[i]);
        puts[i] = client_call(client, "/etcdserverpb.KV/Put", &put.base);
    }
    for (unsigned i = 0; i < 8; i++)
        client_wait(client, puts[i]);
    for (unsigned i = 0; i < 8 && client->problem == NULL; i++) {
        Etcdserverpb__RangeRequest get = ETCDSERVERPB__RANGE_REQUEST__INIT;
        get.key = rig_data(key[i]);
        struct exchange *exchange = client_call(client, "/etcdserverpb.KV/Range", &get.base);
        client_wait(client, exchange);
        Etcdserverpb__RangeResponse *reply =
            client->problem != NULL ? NULL
                                    : rig_next(exchange, &etcdserverpb__range_response__descriptor);
        if (reply == NULL || reply->n_kvs != 1 || reply->kvs[0]->value.len != strlen(key[i]) ||
            memcmp(reply->kvs[0]->value.data, key[i], strlen(key[i])) != 0)
            client->problem = "a get did not find what was put";
        if (reply != NULL)
            etcdserverpb__range_response__free_unpacked(reply, NULL);
    }
}

/* A watch over everything that all clients do; broken off in the middle of it. */
static void client_watch(struct client *client)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    create.key = rig_data("c");
    create.range_end = rig_data("d");
    create.start_revision = 1;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    struct exchange *exchange = rig_begin(&client->rig, "/etcdserverpb.Watch/Watch", NULL, NULL);
    for (unsigned i = 0; i < 20; i++)
        rig_send(exchange, &request.base);
    for (unsigned i = 0; i < 5 && client->problem == NULL; i++) {
        if (!client_turn(client))
            client->problem = "the connection ended under a watch";
    }
}

static void client_main(void *argument)
{
    struct client *client = argument;
    for (unsigned round = 0; round < ROUNDS && client->problem == NULL; round++) {
        client_connect(client);
        if (client->problem == NULL)
            client_put_and_get(client, round);
        if (client->problem == NULL && round % 2 == 0)
            client_watch(client);
        client_leave(client);
    }
}

/* --- The front --------------------------------------------------------------------------------*/

struct server {
    uv_loop_t loop;
    struct replica *replica;
    struct etcd_front *front;
    uv_async_t stop;
    atomic_bool closed;
};

static void on_front_closed(void *owner)
{
    struct server *server = owner;
    server->closed = true;
    uv_close((uv_handle_t *)&server->stop, NULL);
}

static void on_stop(uv_async_t *stop)
{
    struct server *server = stop->data;
    etcd_front_close(server->front, on_front_closed, server);
}

static void server_open(struct server *server, struct etcd_front_config config)
{
    static const char *const urls[] = {"http://127.0.0.1:0"};
    char room[128];
    struct text error = text_of(room, sizeof room);
    assert_int_equal(uv_loop_init(&server->loop), 0);
    assert_int_equal(uv_async_init(&server->loop, &server->stop, on_stop), 0);
    server->stop.data = server;
    server->replica = fake_replica_new(fake_mem());
    config.loop = &server->loop;
    config.replica = server->replica;
    config.mem = fake_mem();
    config.threads_mem = *fake_mem();
    config.listen_urls = urls;
    config.listen_urls_count = 1;
    assert_int_equal(etcd_front_open(&config, &error, &server->front), STATUS_OK);
}

static void server_release(struct server *server)
{
    assert_true(server->closed);
    assert_int_equal(uv_loop_close(&server->loop), 0);
    fake_replica_free(server->replica);
    assert_int_equal(fake_mem()->used, 0);
}

/* Runs the clients while this thread is the core; ends when the last one has. */
struct crowd {
    struct server *server;
    struct client clients[CLIENTS];
    uv_thread_t threads[CLIENTS];
    uv_thread_t watcher;
    bool leave_at_once; /* the front is closed while clients are still at it */
};

static void crowd_watch(void *argument)
{
    struct crowd *crowd = argument;
    if (crowd->leave_at_once) {
        usleep(20000);
        (void)uv_async_send(&crowd->server->stop);
    }
    for (unsigned i = 0; i < CLIENTS; i++)
        (void)uv_thread_join(&crowd->threads[i]);
    if (!crowd->leave_at_once)
        (void)uv_async_send(&crowd->server->stop);
}

static void crowd_run(struct crowd *crowd)
{
    struct server *server = crowd->server;
    for (unsigned i = 0; i < CLIENTS; i++) {
        crowd->clients[i].port = etcd_front_port(server->front, 0);
        crowd->clients[i].number = i;
        assert_int_equal(uv_thread_create(&crowd->threads[i], client_main, &crowd->clients[i]), 0);
    }
    assert_int_equal(uv_thread_create(&crowd->watcher, crowd_watch, crowd), 0);
    (void)uv_run(&server->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_thread_join(&crowd->watcher), 0);
}

/* --- Tests ------------------------------------------------------------------------------------*/

static void nothing_is_lost_between_threads(void **state)
{
    (void)state;
    struct server *server = calloc(1, sizeof *server);
    struct crowd *crowd = calloc(1, sizeof *crowd);
    server_open(server, (struct etcd_front_config){.threads = THREADS});
    crowd->server = server;
    crowd_run(crowd);
    for (unsigned i = 0; i < CLIENTS; i++) {
        if (crowd->clients[i].problem != NULL)
            fail_msg("client %u: %s", i, crowd->clients[i].problem);
    }
    server_release(server);
    free(crowd);
    free(server);
}

static void a_front_can_be_closed_while_its_threads_are_busy(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5; i++) {
        struct server *server = calloc(1, sizeof *server);
        struct crowd *crowd = calloc(1, sizeof *crowd);
        server_open(server, (struct etcd_front_config){.threads = THREADS});
        crowd->server = server;
        crowd->leave_at_once = true;
        crowd_run(crowd);
        server_release(server);
        free(crowd);
        free(server);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_lost_between_threads),
        cmocka_unit_test(a_front_can_be_closed_while_its_threads_are_busy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
