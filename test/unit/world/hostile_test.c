/* Links against somebody who does not play by the rules, with plain sockets in the part of member
 * 2: garbage, damage, size, silence, and a reader who does not read. */
#include "base/crc32c.h"
#include "world/frame.h"
#include "world/support_world.h"

#include "world/mem_system.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

struct stage {
    struct net net;
    int socket;   /* to or from the member under test, -1: none */
    int listener; /* where the member under test finds "member 2" */
    uint8_t got[GREETING_SIZE * 4];
    size_t got_size;
    bool ended; /* the member closed the connection */
    size_t wanted;
};

static struct sockaddr_in local(uint16_t port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int setup(void **state)
{
    struct stage *stage = calloc(1, sizeof *stage);
    stage->socket = stage->listener = -1;
    net_init(&stage->net);
    struct real_world_config config = net_config(&stage->net, 1, 2);
    config.queue_bytes_max = 1024 * 1024;
    net_open(&stage->net, 1, &config);
    *state = stage;
    return 0;
}

static int teardown(void **state)
{
    struct stage *stage = *state;
    if (stage->socket >= 0)
        close(stage->socket);
    if (stage->listener >= 0)
        close(stage->listener);
    net_release(&stage->net);
    free(stage);
    return mem_system()->used == 0 ? 0 : -1;
}

static void connect_to_member(struct stage *stage)
{
    struct sockaddr_in address = local(stage->net.ports[1]);
    stage->socket = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(stage->socket, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(fcntl(stage->socket, F_SETFL, O_NONBLOCK), 0);
    stage->got_size = 0;
    stage->ended = false;
}

static void put(struct stage *stage, const void *data, size_t size)
{
    assert_int_equal(send(stage->socket, data, size, MSG_NOSIGNAL), size);
}

/* Reads what there is; true once `wanted` bytes came or the connection ended. */
static bool got_it(void *context)
{
    struct stage *stage = context;
    ssize_t size =
        recv(stage->socket, stage->got + stage->got_size, sizeof stage->got - stage->got_size, 0);
    if (size > 0)
        stage->got_size += (size_t)size;
    else if (size == 0 || errno != EAGAIN)
        stage->ended = true;
    return stage->ended || stage->got_size >= stage->wanted;
}

static void wait_got(struct stage *stage, size_t wanted)
{
    stage->wanted = wanted;
    net_run_until(&stage->net, got_it, stage);
}

static void wait_ended(struct stage *stage)
{
    wait_got(stage, SIZE_MAX);
    assert_true(stage->ended);
}

static struct greeting hello(void)
{
    return (struct greeting){.version = LINK_VERSION,
                             .kind = GREETING_HELLO,
                             .from = 2,
                             .to = 1,
                             .cluster = TEST_CLUSTER,
                             .message_max = 1 << 20};
}

static void put_greeting(struct stage *stage, const struct greeting *greeting)
{
    uint8_t raw[GREETING_SIZE];
    greeting_encode(greeting, raw);
    put(stage, raw, sizeof raw);
}

static void assert_answer(struct stage *stage, enum greeting_kind kind)
{
    struct greeting answer;
    wait_got(stage, GREETING_SIZE);
    assert_int_equal(stage->got_size, GREETING_SIZE);
    assert_int_equal(greeting_decode(stage->got, &answer), STATUS_OK);
    assert_int_equal(answer.kind, kind);
    assert_int_equal(answer.from, 1);
    assert_true(answer.cluster == TEST_CLUSTER);
}

static void join(struct stage *stage)
{
    struct greeting greeting = hello();
    connect_to_member(stage);
    put_greeting(stage, &greeting);
    assert_answer(stage, GREETING_WELCOME);
}

static void put_frame(struct stage *stage, uint32_t number, bool damaged)
{
    uint8_t head[4];
    store_u32(head, number);
    uint8_t raw[FRAME_HEADER_SIZE];
    frame_encode_header(bytes_of(head, 4), bytes_text("entry"), raw);
    put(stage, raw, sizeof raw);
    put(stage, head, sizeof head);
    put(stage, damaged ? "Entry" : "entry", 5);
}

static bool heard_one(void *context)
{
    return ((struct stage *)context)->net.members[1].heard_count > 0;
}

static void a_plain_socket_that_follows_the_rules_is_heard(void **state)
{
    struct stage *stage = *state;
    join(stage);
    put_frame(stage, 5, false);
    net_run_until(&stage->net, heard_one, stage);
    assert_int_equal(stage->net.members[1].heard[0].from, 2);
    assert_int_equal(stage->net.members[1].heard[0].head, 5);
}

static void each_wrong_hello_gets_its_reason_and_the_door(void **state)
{
    struct stage *stage = *state;
    struct greeting wrong[4] = {hello(), hello(), hello(), hello()};
    static const enum greeting_kind answers[4] = {GREETING_WRONG_VERSION, GREETING_WRONG_CLUSTER,
                                                  GREETING_WRONG_MEMBER, GREETING_UNKNOWN_MEMBER};
    wrong[0].version++;
    wrong[1].cluster++;
    wrong[2].to = 3;
    wrong[3].from = 7;
    for (size_t i = 0; i < 4; i++) {
        connect_to_member(stage);
        put_greeting(stage, &wrong[i]);
        assert_answer(stage, answers[i]);
        wait_ended(stage);
        close(stage->socket);
        stage->socket = -1;
    }
}

static void a_member_cannot_pose_as_ourselves(void **state)
{
    struct stage *stage = *state;
    struct greeting greeting = hello();
    greeting.from = 1;
    connect_to_member(stage);
    put_greeting(stage, &greeting);
    assert_answer(stage, GREETING_UNKNOWN_MEMBER);
    wait_ended(stage);
}

static void garbage_instead_of_a_hello_gets_no_answer(void **state)
{
    struct stage *stage = *state;
    static const char http[] = "GET /members HTTP/1.1\r\nHost: localhost\r\n\r\n";
    connect_to_member(stage);
    put(stage, http, sizeof http - 1);
    wait_ended(stage);
    assert_int_equal(stage->got_size, 0);
    close(stage->socket);

    struct greeting greeting = hello();
    uint8_t raw[GREETING_SIZE];
    greeting_encode(&greeting, raw);
    raw[20] ^= 1;
    connect_to_member(stage);
    put(stage, raw, sizeof raw);
    wait_ended(stage);
    assert_int_equal(stage->got_size, 0);
}

static void a_damaged_frame_ends_the_link_and_nothing_after_it_is_heard(void **state)
{
    struct stage *stage = *state;
    join(stage);
    put_frame(stage, 1, false);
    put_frame(stage, 2, true);
    put_frame(stage, 3, false);
    wait_ended(stage);
    assert_int_equal(stage->net.members[1].heard_count, 1);
    assert_int_equal(stage->net.members[1].heard[0].head, 1);
}

static void an_oversized_frame_ends_the_link(void **state)
{
    struct stage *stage = *state;
    static const uint32_t sizes[][2] = {
        {0, UINT32_MAX}, {UINT32_MAX, 0}, {0, REAL_WORLD_MESSAGE_BYTES_MAX + 1}};
    for (size_t i = 0; i < 3; i++) {
        uint8_t raw[FRAME_HEADER_SIZE] = {0};
        store_u32(raw, sizes[i][0]);
        store_u32(raw + 4, sizes[i][1]);
        store_u32(raw + 8, crc32c(0, bytes_of(raw, 8)));
        join(stage);
        size_t used = mem_system()->used;
        put(stage, raw, sizeof raw);
        wait_ended(stage);
        assert_true(mem_system()->used <= used);
        close(stage->socket);
        stage->socket = -1;
    }
    assert_int_equal(stage->net.members[1].heard_count, 0);
}

static void a_connection_lost_in_the_middle_of_a_frame_is_only_lost(void **state)
{
    struct stage *stage = *state;
    for (size_t cut = 1; cut < 25; cut += 3) {
        uint8_t raw[FRAME_HEADER_SIZE + 9] = {0};
        frame_encode_header(bytes_text("head"), bytes_text("entry"), raw);
        memcpy(raw + FRAME_HEADER_SIZE, "headentry", 9);
        join(stage);
        put(stage, raw, cut);
        close(stage->socket);
        stage->socket = -1;
        net_run_for(&stage->net, 10);
    }
    assert_int_equal(stage->net.members[1].heard_count, 0);
    join(stage);
}

static void the_newer_of_two_links_from_one_member_stays(void **state)
{
    struct stage *stage = *state;
    join(stage);
    int older = stage->socket;
    join(stage);
    int newer = stage->socket;
    stage->socket = older;
    stage->got_size = 0;
    wait_ended(stage);
    close(older);
    stage->socket = newer;
    put_frame(stage, 8, false);
    net_run_until(&stage->net, heard_one, stage);
    assert_int_equal(stage->net.members[1].heard[0].head, 8);
}

static void strangers_do_not_take_all_places(void **state)
{
    struct stage *stage = *state;
    enum {
        STRANGERS = 300
    };
    int sockets[STRANGERS];
    int ended = 0;
    for (int i = 0; i < STRANGERS; i++) {
        connect_to_member(stage);
        sockets[i] = stage->socket;
        net_run_for(&stage->net, 1);
    }
    for (int i = 0; i < STRANGERS; i++) {
        char byte;
        ended += recv(sockets[i], &byte, 1, 0) == 0;
        close(sockets[i]);
    }
    stage->socket = -1;
    assert_true(ended > STRANGERS / 2);
    net_run_for(&stage->net, 20);
    join(stage);
}

/* The part of member 2 that is dialled. */
static bool dialled(void *context)
{
    struct stage *stage = context;
    stage->socket = accept4(stage->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    return stage->socket >= 0;
}

static void be_dialled(struct stage *stage)
{
    if (stage->listener < 0) {
        struct sockaddr_in address = local(stage->net.ports[2]);
        const int on = 1;
        stage->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        setsockopt(stage->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
        assert_int_equal(bind(stage->listener, (struct sockaddr *)&address, sizeof address), 0);
        assert_int_equal(listen(stage->listener, 8), 0);
    }
    net_run_until(&stage->net, dialled, stage);
    stage->got_size = 0;
    stage->ended = false;
    wait_got(stage, GREETING_SIZE);
    assert_int_equal(stage->got_size, GREETING_SIZE);
}

static void welcome(struct stage *stage)
{
    struct greeting answer = hello();
    answer.kind = GREETING_WELCOME;
    put_greeting(stage, &answer);
}

static bool is_up(void *context)
{
    return ((struct stage *)context)->net.members[1].up[2];
}

static bool is_down(void *context)
{
    return !is_up(context);
}

static void the_dialler_greets_first_and_is_up_when_welcome(void **state)
{
    struct stage *stage = *state;
    struct greeting got;
    be_dialled(stage);
    assert_int_equal(greeting_decode(stage->got, &got), STATUS_OK);
    assert_int_equal(got.kind, GREETING_HELLO);
    assert_int_equal(got.from, 1);
    assert_int_equal(got.to, 2);
    net_run_for(&stage->net, 20);
    assert_false(stage->net.members[1].up[2]);
    welcome(stage);
    net_run_until(&stage->net, is_up, stage);
    close(stage->socket);
    stage->socket = -1;
    net_run_until(&stage->net, is_down, stage);
    be_dialled(stage); /* again */
}

static void wrong_answers_do_not_count_as_a_welcome(void **state)
{
    struct stage *stage = *state;
    for (int i = 0; i < 6; i++) {
        struct greeting answer = hello();
        answer.kind = GREETING_WELCOME;
        if (i == 0)
            answer.cluster++;
        else if (i == 1)
            answer.from = 3;
        else if (i == 2)
            answer.to = 3;
        else if (i == 3)
            answer.version++;
        else if (i == 4)
            answer.kind = GREETING_HELLO; /* as when it meets itself */
        be_dialled(stage);
        put_greeting(stage, &answer);
        if (i == 5)
            put(stage, "x", 1); /* more than an answer */
        wait_ended(stage);
        assert_false(stage->net.members[1].up[2]);
        close(stage->socket);
        stage->socket = -1;
    }
}

static void either_direction_breaking_means_down_and_either_renewed_means_up(void **state)
{
    struct stage *stage = *state;
    be_dialled(stage);
    welcome(stage);
    net_run_until(&stage->net, is_up, stage);
    int outgoing = stage->socket;
    join(stage);
    assert_true(is_up(stage));
    close(stage->socket); /* theirs breaks, ours lives */
    net_run_until(&stage->net, is_down, stage);
    join(stage); /* they come back */
    net_run_until(&stage->net, is_up, stage);
    assert_int_equal(stage->net.members[1].downs, 1);
    close(outgoing); /* ours breaks, theirs lives */
    net_run_until(&stage->net, is_down, stage);
    close(stage->socket);
    be_dialled(stage);
    welcome(stage);
    net_run_until(&stage->net, is_up, stage);
}

static void a_hello_from_them_ends_our_wait(void **state)
{
    struct stage *stage = *state;
    net_run_for(&stage->net, 600); /* nobody listens: the wait has grown */
    join(stage);
    close(stage->socket);
    be_dialled(stage);
}

static bool queue_is_full(void *context)
{
    struct stage *stage = context;
    struct real_world_link link;
    for (uint32_t i = 0; i < 10; i++)
        net_send(&stage->net, 1, 2, i, 60000);
    real_world_link(stage->net.members[1].real, 2, &link);
    assert_true(link.bytes_queued <= 1024 * 1024);
    return link.messages_dropped > 50;
}

static void a_reader_who_does_not_read_costs_a_bounded_queue(void **state)
{
    struct stage *stage = *state;
    be_dialled(stage);
    welcome(stage);
    net_run_until(&stage->net, is_up, stage);
    net_run_until(&stage->net, queue_is_full, stage);
    assert_true(mem_system()->used < 4 * 1024 * 1024);
    /* What was sent still is a stream of whole frames. */
    struct real_world_link link;
    real_world_link(stage->net.members[1].real, 2, &link);
    uint64_t frames = 0;
    struct frame_decoder decoder;
    static uint8_t read[1 << 20];
    frame_decoder_init(&decoder, mem_system(), 1 << 20);
    while (frames < link.messages_sent) {
        ssize_t size = recv(stage->socket, read, sizeof read, 0);
        struct bytes input = bytes_of(read, size > 0 ? (size_t)size : 0);
        struct frame frame;
        bool complete;
        for (;;) {
            assert_int_equal(frame_decode(&decoder, &input, &frame, &complete), STATUS_OK);
            if (!complete)
                break;
            frames++;
        }
        uv_run(&stage->net.loop, UV_RUN_NOWAIT);
    }
    frame_decoder_release(&decoder);
    assert_true(is_up(stage));
}

#define HOSTILE_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        HOSTILE_TEST(a_plain_socket_that_follows_the_rules_is_heard),
        HOSTILE_TEST(each_wrong_hello_gets_its_reason_and_the_door),
        HOSTILE_TEST(a_member_cannot_pose_as_ourselves),
        HOSTILE_TEST(garbage_instead_of_a_hello_gets_no_answer),
        HOSTILE_TEST(a_damaged_frame_ends_the_link_and_nothing_after_it_is_heard),
        HOSTILE_TEST(an_oversized_frame_ends_the_link),
        HOSTILE_TEST(a_connection_lost_in_the_middle_of_a_frame_is_only_lost),
        HOSTILE_TEST(the_newer_of_two_links_from_one_member_stays),
        HOSTILE_TEST(strangers_do_not_take_all_places),
        HOSTILE_TEST(the_dialler_greets_first_and_is_up_when_welcome),
        HOSTILE_TEST(wrong_answers_do_not_count_as_a_welcome),
        HOSTILE_TEST(either_direction_breaking_means_down_and_either_renewed_means_up),
        HOSTILE_TEST(a_hello_from_them_ends_our_wait),
        HOSTILE_TEST(a_reader_who_does_not_read_costs_a_bounded_queue),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
