/* Links between real members in one process, over the loopback. */
#include "world/support_world.h"

#include "base/prng.h"
#include "world/mem_system.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static int setup(void **state)
{
    struct net *net = malloc(sizeof *net);
    net_init(net);
    *state = net;
    return 0;
}

static int teardown(void **state)
{
    net_release(*state);
    free(*state);
    return mem_system()->used == 0 ? 0 : -1;
}

static void start(struct net *net, uint16_t count)
{
    for (uint16_t i = 1; i <= count; i++) {
        struct real_world_config config = net_config(net, i, count);
        net_open(net, i, &config);
    }
    net_run_until(net, net_all_up, net);
}

struct wanted {
    struct member *member;
    uint32_t count;
};

static bool has_heard(void *context)
{
    struct wanted *wanted = context;
    return wanted->member->heard_count >= wanted->count;
}

static void wait_heard(struct net *net, uint16_t node, uint32_t count)
{
    struct wanted wanted = {&net->members[node], count};
    net_run_until(net, has_heard, &wanted);
}

static bool any_down(void *context)
{
    struct member *member = context;
    return member->downs > 0;
}

static void three_members_all_reach_each_other(void **state)
{
    struct net *net = *state;
    start(net, 3);
    for (uint16_t from = 1; from <= 3; from++) {
        for (uint16_t to = 1; to <= 3; to++)
            net_send(net, from, to, from, 100);
    }
    for (uint16_t i = 1; i <= 3; i++) {
        wait_heard(net, i, 2);
        assert_int_equal(net->members[i].heard_count, 2); /* nothing came from itself */
        assert_int_equal(net->members[i].heard[0].head, net->members[i].heard[0].from);
    }
}

static void messages_arrive_in_order_and_intact_whatever_their_size(void **state)
{
    struct net *net = *state;
    uint64_t seed = (uint64_t)time(NULL);
    struct prng prng = prng_seed(seed);
    print_message("seed %llu\n", (unsigned long long)seed);
    start(net, 2);
    enum {
        COUNT = 3000
    };
    static uint32_t sizes[COUNT];
    for (uint32_t sent = 0; sent < COUNT;) {
        for (uint64_t burst = 1 + prng_below(&prng, 40); burst > 0 && sent < COUNT; burst--) {
            uint64_t kind = prng_below(&prng, 20);
            uint64_t bound = kind == 0 ? 300000 : kind < 5 ? 5000 : 600;
            sizes[sent] = (uint32_t)prng_below(&prng, bound);
            net_send(net, 1, 2, sent, sizes[sent]);
            sent++;
        }
        wait_heard(net, 2, sent > 200 ? sent - 200 : 0);
    }
    wait_heard(net, 2, COUNT);
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct heard *heard = &net->members[2].heard[i];
        assert_int_equal(heard->from, 1);
        assert_int_equal(heard->head, i);
        assert_int_equal(heard->entry_size, sizes[i]);
        assert_true(heard->entry_intact);
    }
    struct real_world_link link;
    assert_true(real_world_link(net->members[1].real, 2, &link));
    assert_int_equal(link.messages_sent, COUNT);
    assert_int_equal(link.messages_dropped, 0);
    assert_int_equal(link.bytes_queued, 0);
    assert_true(real_world_link(net->members[2].real, 1, &link));
    assert_int_equal(link.messages_received, COUNT);
    assert_false(real_world_link(net->members[2].real, 9, &link));
}

static void the_largest_message_passes_and_a_larger_one_is_dropped(void **state)
{
    struct net *net = *state;
    start(net, 2);
    net_send(net, 1, 2, 1, REAL_WORLD_MESSAGE_BYTES_MAX - 4);
    net_send(net, 1, 2, 2, REAL_WORLD_MESSAGE_BYTES_MAX - 3);
    net_send(net, 1, 2, 3, 0);
    wait_heard(net, 2, 2);
    assert_int_equal(net->members[2].heard[0].head, 1);
    assert_true(net->members[2].heard[0].entry_intact);
    assert_int_equal(net->members[2].heard[1].head, 3);
    assert_int_equal(net->members[1].downs, 0);
}

static void a_member_that_leaves_is_reported_and_reached_again_when_it_returns(void **state)
{
    struct net *net = *state;
    start(net, 3);
    for (int round = 0; round < 5; round++) {
        net->members[1].downs = 0;
        net->members[2].downs = 0;
        net_close(net, 3);
        net_run_until(net, any_down, &net->members[1]);
        net_run_until(net, any_down, &net->members[2]);
        assert_false(net->members[1].up[3]);
        assert_true(net->members[1].up[2]);
        net_send(net, 1, 3, 9, 10); /* into the void */
        struct real_world_config config = net_config(net, 3, 3);
        net_open(net, 3, &config);
        net_run_until(net, net_all_up, net);
        net->members[3].heard_count = 0;
        net_send(net, 1, 3, (uint32_t)round, 10);
        wait_heard(net, 3, 1);
        assert_int_equal(net->members[3].heard[0].head, round);
    }
}

static void a_stable_link_stays_up(void **state)
{
    struct net *net = *state;
    start(net, 3);
    net_run_for(net, 300);
    for (int i = 1; i <= 3; i++) {
        assert_int_equal(net->members[i].ups, 2);
        assert_int_equal(net->members[i].downs, 0);
    }
}

static void a_member_of_another_cluster_is_refused(void **state)
{
    struct net *net = *state;
    struct real_world_config config = net_config(net, 1, 2);
    net_open(net, 1, &config);
    config = net_config(net, 2, 2);
    config.cluster++;
    config.log_level = LOG_ERROR;
    net_open(net, 2, &config);
    net_run_for(net, 200);
    assert_int_equal(net->members[1].ups + net->members[2].ups, 0);
    net_send(net, 1, 2, 1, 1);
    net_run_for(net, 50);
    assert_int_equal(net->members[2].heard_count, 0);
}

static void a_member_behind_the_wrong_address_is_refused(void **state)
{
    struct net *net = *state;
    struct real_world_config config = net_config(net, 1, 3);
    config.peers[1].port = net->ports[3]; /* where 2 should be, 3 listens */
    net_open(net, 1, &config);
    config = net_config(net, 3, 3);
    net_open(net, 3, &config);
    net_run_for(net, 200);
    assert_true(net->members[1].up[3]);
    assert_false(net->members[1].up[2]);
}

static void a_member_that_is_not_configured_is_refused(void **state)
{
    struct net *net = *state;
    struct real_world_config config = net_config(net, 1, 1);
    net_open(net, 1, &config);
    config = net_config(net, 2, 2);
    net_open(net, 2, &config);
    net_run_for(net, 200);
    assert_false(net->members[2].up[1]);
}

static void members_are_reached_by_name_too(void **state)
{
    struct net *net = *state;
    for (uint16_t i = 1; i <= 2; i++) {
        struct real_world_config config = net_config(net, i, 2);
        strcpy(config.peers[2 - i].host, "localhost");
        strcpy(config.listen[0].host, "localhost");
        net_open(net, i, &config);
    }
    net_run_until(net, net_all_up, net);
}

static void a_name_that_does_not_exist_is_not_fatal(void **state)
{
    struct net *net = *state;
    struct real_world_config config = net_config(net, 1, 2);
    strcpy(config.peers[1].host, "no-such-member.invalid");
    net_open(net, 1, &config);
    net_run_for(net, 100);
    assert_int_equal(net->members[1].ups, 0);
}

static void an_address_in_use_is_a_clear_error(void **state)
{
    struct net *net = *state;
    struct real_world_config config = net_config(net, 1, 1);
    net_open(net, 1, &config);
    struct member *second = &net->members[2];
    config.self = 2;
    config.events = &second->events;
    char room[256];
    struct text error = text_of(room, sizeof room);
    assert_int_equal(real_world_open(&config, &error, &second->real), STATUS_OK);
    assert_int_equal(real_world_start_links(second->real, &error), STATUS_EXISTS);
    assert_non_null(strstr(room, "cannot listen for members on 127.0.0.1:"));
    assert_non_null(strstr(room, "in use"));
}

static void several_addresses_are_listened_on(void **state)
{
    struct net *net = *state;
    struct real_world_config config = net_config(net, 1, 2);
    config.listen[1] = config.listen[0];
    config.listen[1].port = net->ports[3];
    config.listen_count = 2;
    net_open(net, 1, &config);
    config = net_config(net, 2, 2);
    config.peers[0].port = net->ports[3];
    net_open(net, 2, &config);
    net_run_until(net, net_all_up, net);
}

static void what_was_sent_before_the_stop_arrives(void **state)
{
    struct net *net = *state;
    start(net, 2);
    net_send(net, 1, 2, 77, 1000);
    real_world_stop(net->members[1].real);
    wait_heard(net, 2, 1);
    assert_int_equal(net->members[2].heard[0].head, 77);
}

static void stop_on_message(void *owner, uint16_t from, struct bytes head, struct blob *entry)
{
    struct member *member = owner;
    (void)from;
    (void)head;
    (void)entry;
    member->heard_count++;
    real_world_stop(member->real);
}

static void stop_on_peer(void *owner, uint16_t node, bool up)
{
    struct member *member = owner;
    (void)node;
    member->downs += !up;
    real_world_stop(member->real);
}

static void a_member_may_stop_from_inside_any_event(void **state)
{
    struct net *net = *state;
    start(net, 3);
    net->members[2].events.on_message = stop_on_message;
    net->members[3].events.on_peer = stop_on_peer; /* 2 goes down, and 3 with it */
    for (uint32_t i = 0; i < 10; i++)
        net_send(net, 1, 2, i, 1000);
    net_run_until(net, any_down, &net->members[3]);
    assert_int_equal(net->members[2].heard_count, 1); /* the other nine came too late */
    net_run_for(net, 50);
    assert_int_equal(net->members[3].downs, 1);
}

#define LINK_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        LINK_TEST(three_members_all_reach_each_other),
        LINK_TEST(messages_arrive_in_order_and_intact_whatever_their_size),
        LINK_TEST(the_largest_message_passes_and_a_larger_one_is_dropped),
        LINK_TEST(a_member_that_leaves_is_reported_and_reached_again_when_it_returns),
        LINK_TEST(a_stable_link_stays_up),
        LINK_TEST(a_member_of_another_cluster_is_refused),
        LINK_TEST(a_member_behind_the_wrong_address_is_refused),
        LINK_TEST(a_member_that_is_not_configured_is_refused),
        LINK_TEST(members_are_reached_by_name_too),
        LINK_TEST(a_name_that_does_not_exist_is_not_fatal),
        LINK_TEST(an_address_in_use_is_a_clear_error),
        LINK_TEST(several_addresses_are_listened_on),
        LINK_TEST(a_member_may_stop_from_inside_any_event),
        LINK_TEST(what_was_sent_before_the_stop_arrives),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
