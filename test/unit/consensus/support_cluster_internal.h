/* The simulated cluster to itself: events in virtual time, the network between engines
 * (support_network.c), the oracles that listen to it (one file an engine), and the hosts
 * (support_cluster.c). */
#ifndef TEST_CONSENSUS_SUPPORT_CLUSTER_INTERNAL_H
#define TEST_CONSENSUS_SUPPORT_CLUSTER_INTERNAL_H

#include "consensus/support_cluster.h"

#include <stdnoreturn.h>

enum event_kind {
    EVENT_MESSAGE,
    EVENT_DURABLE,
    EVENT_FETCH,    /* the request arrives at `from` */
    EVENT_CHOSEN,   /* an answer arrives */
    EVENT_SNAPSHOT, /* own snapshot is durable */
    EVENT_INSTALL,  /* a peer's snapshot is durable here */
    EVENT_PEER,
    EVENT_CRASH, /* and a restart */
};

struct cluster_event {
    uint64_t time;
    uint64_t sequence;
    enum event_kind kind;
    uint32_t place; /* whom it concerns */
    uint32_t boot;
    uint16_t from;
    bool up;
    uint64_t slot;
    uint64_t lsn;
    uint8_t head_size;
    uint8_t head[CLUSTER_HEAD_MAX];
    struct blob *entry;
};

/* Prints the seed, the time and what is wrong, and ends the program. */
noreturn void cluster_fail(const struct cluster *c, const char *format, ...);

void cluster_event_push(struct cluster *c, struct cluster_event *event);
struct cluster_event *cluster_event_pop(struct cluster *c);
struct cluster_event *cluster_event_new(struct cluster *c, enum event_kind kind, uint32_t place,
                                        uint64_t time);
void cluster_event_free(struct cluster_event *event);
uint32_t cluster_place(const struct cluster *c, uint16_t node);
uint64_t cluster_network_delay(struct cluster *c);
void cluster_network_send(struct cluster *c, uint32_t from, uint16_t node, const uint8_t *head,
                          uint8_t head_size, struct blob *entry);

/* What only the messages of one engine can tell. */
struct cluster_protocol {
    const struct engine_ops *ops;
    size_t oracle_size;
    /* A message leaves. Fails the test if it is none of this engine's, or says what it must not. */
    void (*sent)(struct cluster *c, uint32_t from, uint16_t to, struct bytes head,
                 const struct blob *entry);
    /* A member has read its log back: is all there that it ever claimed? */
    void (*remembered)(const struct cluster *c, uint32_t place);
    bool (*is_heartbeat)(struct bytes head);
};

extern const struct cluster_protocol cluster_multipaxos;
extern const struct cluster_protocol cluster_raft;
const struct cluster_protocol *cluster_protocol_of(const struct cluster *c);

uint64_t cluster_value_of(const struct blob *entry);

#endif
