/* What the tests of the world share: a temporary directory, a free port, and a handful of real
 * members on one loop that write down what they hear. */
#ifndef SYNOD_TEST_WORLD_SUPPORT_WORLD_H
#define SYNOD_TEST_WORLD_SUPPORT_WORLD_H

#include "world/real.h"

#define TEST_MEMBERS 3
#define TEST_LOG 20000
#define TEST_CLUSTER 0x1122334455667788u

struct heard {
    uint16_t from;
    uint32_t head; /* the number in the head */
    uint32_t entry_size;
    bool entry_intact;
};

struct member {
    struct real_world *real;
    struct world *world;
    struct world_events events;
    struct heard heard[TEST_LOG];
    uint32_t heard_count;
    bool up[TEST_MEMBERS + 1];
    uint32_t ups;
    uint32_t downs;
    uint32_t turns;
    bool closed;
};

struct net {
    uv_loop_t loop;
    uv_timer_t tick;
    uint16_t ports[TEST_MEMBERS + 1];
    struct member members[TEST_MEMBERS + 1]; /* from 1 */
};

/* A fresh directory under the system's temporary one; test_directory_remove takes it away. */
void test_directory_make(char ret_path[64]);
void test_directory_remove(const char *path);
uint16_t test_port_pick(void);

void net_init(struct net *net);
/* The configuration of member `node` among `count`. */
struct real_world_config net_config(struct net *net, uint16_t node, uint16_t count);
void net_open(struct net *net, uint16_t node, const struct real_world_config *config);
void net_close(struct net *net, uint16_t node);
/* Closes what is open and the loop; asserts that nothing is left in it. */
void net_release(struct net *net);
/* Runs the loop until the condition holds; fails the test if that takes unreasonably long. */
void net_run_until(struct net *net, bool (*condition)(void *context), void *context);
void net_run_for(struct net *net, unsigned milliseconds);
/* Sends a message whose head is the number and whose entry can be judged by the receiver. */
void net_send(struct net *net, uint16_t from, uint16_t to, uint32_t head, uint32_t entry_size);
bool net_all_up(void *net);

#endif
