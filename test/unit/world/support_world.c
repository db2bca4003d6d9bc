#include "world/support_world.h"

#include "world/mem_system.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#define TEST_PATIENCE_NS UINT64_C(60000000000)
#define TEST_PORT_FIRST 13000
#define TEST_PORT_COUNT 1000

void test_directory_make(char ret_path[64])
{
    strcpy(ret_path, "/tmp/synod-world-XXXXXX");
    assert_non_null(mkdtemp(ret_path));
}

static int remove_one(const char *path, const struct stat *stat, int type, struct FTW *ftw)
{
    (void)stat;
    (void)type;
    (void)ftw;
    return remove(path);
}

void test_directory_remove(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* Below the range that the system gives to clients: there, a connect to a port where nobody listens
 * can meet itself. */
uint16_t test_port_pick(void)
{
    static unsigned next;
    if (next == 0)
        next = (unsigned)getpid();
    for (unsigned i = 0; i < TEST_PORT_COUNT; i++) {
        struct sockaddr_in address = {.sin_family = AF_INET};
        uint16_t port = (uint16_t)(TEST_PORT_FIRST + next++ * 7 % TEST_PORT_COUNT);
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        int file = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        int bound = bind(file, (struct sockaddr *)&address, sizeof address);
        close(file);
        if (bound == 0)
            return port;
    }
    fail_msg("no free port");
    return 0;
}

static struct member *member_of(void *owner)
{
    return owner;
}

static void on_message(void *owner, uint16_t from, struct bytes head, struct blob *entry)
{
    struct member *member = member_of(owner);
    struct bytes body = blob_bytes(entry);
    assert_int_equal(head.size, 4);
    assert_true(member->heard_count < TEST_LOG);
    struct heard *heard = &member->heard[member->heard_count++];
    *heard = (struct heard){from, load_u32(head.data), (uint32_t)body.size, true};
    for (size_t i = 0; i < body.size; i++) {
        if (body.data[i] != (uint8_t)(heard->head + i))
            heard->entry_intact = false;
    }
}

static void on_peer(void *owner, uint16_t node, bool up)
{
    struct member *member = member_of(owner);
    assert_int_not_equal(member->up[node], up); /* never said twice */
    member->up[node] = up;
    if (up)
        member->ups++;
    else
        member->downs++;
}

static void on_turn(void *owner)
{
    member_of(owner)->turns++;
}

static void on_tick(uv_timer_t *timer)
{
    (void)timer;
}

void net_init(struct net *net)
{
    memset(net, 0, sizeof *net);
    assert_int_equal(uv_loop_init(&net->loop), 0);
    uv_timer_init(&net->loop, &net->tick);
    uv_timer_start(&net->tick, on_tick, 5, 5);
    for (int i = 1; i <= TEST_MEMBERS; i++)
        net->ports[i] = test_port_pick();
}

struct real_world_config net_config(struct net *net, uint16_t node, uint16_t count)
{
    struct real_world_config config = {.loop = &net->loop,
                                       .cluster = TEST_CLUSTER,
                                       .self = node,
                                       .listen_count = 1,
                                       .log_level = LOG_ERROR,
                                       .events = &net->members[node].events};
    for (uint16_t i = 1; i <= count; i++) {
        struct real_world_peer *peer = &config.peers[config.peers_count++];
        *peer = (struct real_world_peer){.node = i, .host = "127.0.0.1", .port = net->ports[i]};
    }
    strcpy(config.listen[0].host, "127.0.0.1");
    config.listen[0].port = net->ports[node];
    return config;
}

void net_open(struct net *net, uint16_t node, const struct real_world_config *config)
{
    struct member *member = &net->members[node];
    memset(member, 0, sizeof *member);
    member->events = (struct world_events){
        .owner = member, .on_message = on_message, .on_peer = on_peer, .on_turn = on_turn};
    char room[256];
    struct text error = text_of(room, sizeof room);
    if (real_world_open(config, &error, &member->real) != STATUS_OK)
        fail_msg("%s", room);
    member->world = real_world_world(member->real);
    if (real_world_start_links(member->real, &error) != STATUS_OK)
        fail_msg("%s", room);
}

static void on_closed(void *owner)
{
    member_of(owner)->closed = true;
}

static bool is_closed(void *owner)
{
    return member_of(owner)->closed;
}

void net_close(struct net *net, uint16_t node)
{
    struct member *member = &net->members[node];
    real_world_close(member->real, NULL, on_closed, member);
    net_run_until(net, is_closed, member);
    member->real = NULL;
}

void net_release(struct net *net)
{
    for (uint16_t i = 1; i <= TEST_MEMBERS; i++) {
        if (net->members[i].real != NULL)
            net_close(net, i);
    }
    uv_close((uv_handle_t *)&net->tick, NULL);
    uv_run(&net->loop, UV_RUN_DEFAULT);
    assert_int_equal(uv_loop_close(&net->loop), 0);
}

void net_run_until(struct net *net, bool (*condition)(void *context), void *context)
{
    uint64_t began = uv_hrtime();
    while (!condition(context)) {
        if (uv_hrtime() - began > TEST_PATIENCE_NS)
            fail_msg("what was waited for did not come");
        uv_run(&net->loop, UV_RUN_ONCE);
    }
}

void net_run_for(struct net *net, unsigned milliseconds)
{
    uint64_t began = uv_hrtime();
    while (uv_hrtime() - began < (uint64_t)milliseconds * 1000000)
        uv_run(&net->loop, UV_RUN_ONCE);
}

void net_send(struct net *net, uint16_t from, uint16_t to, uint32_t head, uint32_t entry_size)
{
    uint8_t raw[4];
    store_u32(raw, head);
    struct blob *entry = entry_size == 0 ? NULL : blob_new(mem_system(), entry_size);
    for (uint32_t i = 0; i < entry_size; i++)
        entry->data[i] = (uint8_t)(head + i);
    struct world *world = net->members[from].world;
    world->ops->send(world, to, bytes_of(raw, sizeof raw), entry);
    blob_drop(entry);
}

bool net_all_up(void *context)
{
    struct net *net = context;
    for (int i = 1; i <= TEST_MEMBERS; i++) {
        for (int j = 1; j <= TEST_MEMBERS; j++) {
            if (i != j && net->members[i].real != NULL && net->members[j].real != NULL &&
                !net->members[i].up[j])
                return false;
        }
    }
    return true;
}
