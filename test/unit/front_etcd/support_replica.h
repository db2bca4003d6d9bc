/* A replica for tests: one member that agrees with itself. It carries requests out over a real
 * machine, at once or when it is told to, and can be made to fail. */
#ifndef SYNOD_TEST_FRONT_ETCD_SUPPORT_REPLICA_H
#define SYNOD_TEST_FRONT_ETCD_SUPPORT_REPLICA_H

#include "base/blob.h"
#include "replica/request.h"

struct fake_held;

struct replica {
    struct mem *mem;
    struct machine *machine;
    uint64_t slot;
    uint64_t sequence;
    uint64_t random;
    struct request *current; /* the write that is being applied */
    struct list held;        /* requests that wait, in order */
    bool hold;               /* keep requests until fake_replica_release */
    enum status fail;        /* answer every request with this, if not OK */
    bool leaderless;
    bool diverged;
    uint64_t quota;
    uint64_t submitted; /* requests of any kind */
    uint64_t reads_checked;
    uint64_t leases_lapsed; /* so many reads were made by a lease that ran out meanwhile */
    int64_t ttl_left;       /* what renewals and queries say of a lease that exists; 0: all of it */
};

struct replica *fake_replica_new(struct mem *mem);
/* What is held is forgotten. */
void fake_replica_free(struct replica *replica);
/* Carries out what was held. */
void fake_replica_release(struct replica *replica);
/* Carries out a command that no client asked for. */
void fake_replica_apply(struct replica *replica, const struct command *command);
/* A put that no client asked for. */
void fake_replica_put(struct replica *replica, const char *key, const char *value);

/* malloc and free, with the count that struct mem keeps; each thread has its own. */
struct mem *fake_mem(void);

#endif
