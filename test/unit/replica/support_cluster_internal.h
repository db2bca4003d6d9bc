/* The inside of the harness: what its files share. */
#ifndef TEST_SUPPORT_CLUSTER_INTERNAL_H
#define TEST_SUPPORT_CLUSTER_INTERNAL_H

#include "journal/support_disk.h"
#include "replica/support_cluster.h"

#define MS UINT64_C(1000000)
#define LEASES_MAX 512
#define CLUSTER_VALUE_MAX 16384

struct node {
    struct world world;
    struct cluster *cluster;
    uint32_t place;
    struct fake_disk *disk;
    struct identity identity;
    struct replica *replica; /* NULL: dead */
    struct replica_observer observer;
    struct world_events events;
    uint64_t timer;     /* deadline; TIME_NEVER: none */
    uint64_t disk_next; /* when the disk takes its next step */
    uint64_t life; /* grows with each start: messages of an earlier life are not for this one */
    bool paused;
    bool failed;
    bool dead;                             /* what is taken apart is not seen by anybody */
    uint64_t disk_pause;                   /* a slow disk: at most so much longer for each step */
    uint64_t timers;                       /* how often its timer fired */
    bool up[CLUSTER_MEMBERS_MAX];          /* what on_peer said last */
    uint64_t arrival[CLUSTER_MEMBERS_MAX]; /* of the last packet to each */
};

struct packet {
    struct packet *next;
    uint64_t at;
    uint32_t from;
    uint32_t to;
    uint64_t life_from;
    uint64_t life_to;
    struct blob *entry;
    size_t head_size;
    uint8_t head[];
};

struct client {
    struct request request;
    struct client *next;
    struct cluster *cluster;
    uint32_t member;
    uint64_t life;
    uint32_t key;
    uint64_t value;
    int64_t floor; /* a read: the newest revision that was complete when it began */
    int64_t lease;
    int64_t ttl;
    uint64_t begun; /* when it was submitted */
    bool done;
};

/* A lease as its client knows it. */
struct client_lease {
    int64_t id;
    int64_t ttl;
    uint64_t slot;        /* a member that applied this much has it, */
    uint64_t alive_until; /* at least until then, */
    bool revoking;        /* unless the client took it back */
};

/* Zeros: nobody has applied it yet. */
struct decided {
    uint64_t digest; /* of the state behind it */
    uint64_t entry;  /* its hash */
};

struct cluster {
    struct prng prng;
    struct mem mem;
    uint64_t now;
    uint32_t count;
    struct node members[CLUSTER_MEMBERS_MAX];
    bool cut[CLUSTER_MEMBERS_MAX][CLUSTER_MEMBERS_MAX];
    uint32_t loss;
    uint64_t snapshot_slots;
    struct packet *packets; /* by time */
    struct client *clients;
    uint64_t clients_count;
    uint64_t waiting;
    int64_t acked_revision[CLUSTER_KEYS]; /* of the newest acknowledged write of each key */
    uint64_t acked_value[CLUSTER_KEYS];
    int64_t revision_max; /* complete: whatever starts now must see it */
    uint64_t acknowledged;
    uint64_t reads_checked;
    uint64_t value_next;
    uint32_t value_size_max;
    int64_t lease_next;
    uint32_t leases_count;
    struct client_lease leases[LEASES_MAX];
    struct decided *decided; /* by slot: what the first member that applied it had */
    uint64_t decided_capacity;
    uint64_t leases_lived;
    uint64_t installed; /* snapshots that came from others */
    char violation[640];
};

/* Notes the first thing that is wrong. */
void violate(struct cluster *c, const char *what, uint64_t a, uint64_t b);
struct bytes key_of(uint32_t key, char raw[8]);
/* No lease ends before its time, on any member. */
void check_leases(struct cluster *c);
/* Everybody delivers the same entry at a slot, is in the same state behind it, and hands out no
 * other. */
void check_entry(struct node *m, uint64_t slot, struct blob *entry, const char *what);
void check_state(struct node *m, uint64_t slot, const struct machine *machine);

#endif
