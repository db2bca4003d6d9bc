/* Options: everything that a run depends on. A seed draws them all (swarm testing: each seed has
 * its own cluster, its own few kinds of faults, its own limits); shrinking and the command line
 * change single ones.
 *
 * Rates are parts per million, per opportunity; times are nanoseconds. 0 means never. */
#ifndef SYNOD_SIM_OPTIONS_H
#define SYNOD_SIM_OPTIONS_H

#include "base/text.h"

#define SIM_MEMBERS_MAX 7
#define SIM_MILLION UINT32_C(1000000)

struct sim_options {
    uint64_t seed;
    uint32_t members; /* 1-7 */
    uint16_t engine;  /* engine_ops.id */

    /* Lengths. */
    uint64_t safety_ns;   /* of the phase in which everything may fail */
    uint64_t liveness_ns; /* within which a healed quorum must make progress and converge */
    uint32_t operations;  /* asked by clients in the safety phase, at most */

    /* Network. */
    uint64_t delay_ns; /* mean of an exponential one-way delay */
    uint32_t loss;
    uint32_t duplicate;
    uint32_t reorder;   /* a message leaves the order of its link */
    uint32_t late;      /* a message outlives the processes that sent and should get it */
    uint32_t clog;      /* a link stops for a while, and nothing of it is lost */
    uint32_t partition; /* per nemesis tick */
    uint32_t swizzle;   /* links of a random subset stop one by one, return in another order */

    /* Disk. */
    uint64_t disk_ns;    /* mean time of a sync */
    uint32_t disk_keep;  /* of a sector that was not synced: it survives a power cut */
    uint32_t disk_slow;  /* a disk gets a hundred times slower for a while */
    uint32_t disk_error; /* of a write or a sync: the member must stop */
    uint32_t disk_read_error;
    uint32_t disk_full;  /* for a while */
    uint32_t rot;        /* bits of what is at rest; the atlas keeps a good copy elsewhere */
    uint32_t misdirect;  /* a write goes to another place of its file */
    uint32_t lost_write; /* a write is acknowledged and never happens */

    /* Processes. */
    uint32_t crash;    /* per nemesis tick; the disk loses what was not synced, sector by sector */
    uint32_t kill;     /* the process dies, the page cache stays */
    uint32_t blackout; /* all members lose their power at once */
    uint32_t crash_at_effect; /* per effect, and per call of the world */
    uint32_t crash_at_name;   /* per disk job that changes names: the turns of a log's life */
    uint32_t crash_at_boot;   /* per disk job of a start */
    uint32_t stop;            /* politely, as by SIGTERM */
    uint32_t pause;
    uint32_t wipe;    /* comes back with an empty disk; at most a minority, ever */
    uint64_t down_ns; /* mean time until it is started again */

    /* Clocks. */
    uint32_t drift; /* each member's clock runs up to so many millionths faster or slower */
    uint32_t jump;  /* negative: beyond the bound */

    /* Limits of the members. */
    uint64_t turn_ns; /* so much input at most is handed over in one turn */
    uint64_t heartbeat_ns;
    uint64_t election_ns;
    uint64_t lease_ns; /* for reads, at most; 0: none */
    uint64_t snapshot_slots;
    uint64_t snapshot_bytes;
    uint64_t segment_bytes;
    uint64_t record_bytes;
    uint64_t pending_bytes;
    uint64_t log_keep_bytes;
    uint64_t quota_bytes;

    /* Workload. */
    uint32_t clients;
    uint32_t keys;
    uint32_t value_bytes; /* at most */
    uint64_t think_ns;    /* mean pause of a client */
    uint64_t timeout_ns;  /* of a request */
    uint32_t watchers;
    uint32_t weight_put; /* weights of what a client does next */
    uint32_t weight_get;
    uint32_t weight_range;
    uint32_t weight_delete;
    uint32_t weight_txn;
    uint32_t weight_compact;
    uint32_t weight_lease;
    uint32_t weight_transfer;

    /* Of the above, what is there or not. */
    bool partition_one_way;
    bool hints;             /* members hear of broken and new connections, as over TCP */
    bool damage_all_copies; /* negative: the only right answer is to halt and say so */
    bool lease_reads;       /* leaders read by leases */
    bool production_log;    /* the first segment has the size that production gives it */

    /* How it is run. */
    bool columns;        /* print the trace */
    const char *without; /* this oracle is switched off; NULL: none */
};

/* Draws everything from the seed. */
void sim_options_draw(struct sim_options *options, uint16_t engine, uint64_t seed);
/* Changes one by name ("members", "3"). False: there is none of that name, or it takes no such
 * value. */
bool sim_options_set(struct sim_options *options, const char *name, const char *value);
/* The next one that can be set, from *cursor == 0 on; NULL at the end. `ret_value` is its value. */
const char *sim_options_next(const struct sim_options *options, uint32_t *cursor,
                             uint64_t *ret_value);
/* The command line that runs exactly these options: `synod sim --engine E --seed S --set ...`. */
void sim_options_command(const struct sim_options *options, struct text *text);

#endif
