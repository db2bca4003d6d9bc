/* The machine's inside, shared by applying and by its snapshots. */
#ifndef SYNOD_SERVICE_MACHINE_INTERNAL_H
#define SYNOD_SERVICE_MACHINE_INTERNAL_H

#include "service/cluster.h"
#include "service/machine.h"

/* How far the batches of a member have been applied. */
struct session {
    uint16_t origin;
    uint64_t incarnation;
    uint64_t sequence;
};

struct digest_point {
    uint64_t slot;
    uint64_t digest;
};

#define DIGEST_POINTS 32u

struct machine {
    struct mem *mem;
    struct machine_config config;
    struct store *store;
    struct arena scratch;
    struct machine_events events;
    bool listening;
    uint64_t slot;
    uint64_t digest; /* of entries and outcomes; the store keeps its own */
    uint64_t invalid_batches;
    struct session *sessions; /* by origin */
    uint32_t sessions_count;
    struct cluster cluster;
    struct digest_point points[DIGEST_POINTS]; /* this member's own, a ring; not replicated */
    uint64_t points_count;
};

/* The session of the origin; made if there is none. */
struct session *machine_session_open(struct machine *machine, uint16_t origin);

#endif
