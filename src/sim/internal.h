/* The simulator to itself: the cluster, its members, its links, and the queue of what happens next.
 *
 * The one invariant: everything happens in the order of (virtual time, sequence), and the sequence
 * is given in the order in which things were asked for. */
#ifndef SYNOD_SIM_INTERNAL_H
#define SYNOD_SIM_INTERNAL_H

#include <setjmp.h>

#include "sim/disk.h"
#include "sim/draw.h"
#include "sim/pool.h"
#include "sim/run.h"

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECONDS (1000 * MS)

/* --- cluster.c: events ----------------------------------------------------------------------- */

enum sim_event_kind {
    EVENT_CALL,   /* fn(owner, argument) */
    EVENT_PACKET, /* at: a packet that arrives */
    EVENT_DISK,   /* place, argument: the first job of this queue is done */
    EVENT_BOOT,   /* place, argument: start it, if its life is still this one */
    EVENT_LINK,   /* place -> argument: something about this link is due */
};

struct sim_event {
    enum sim_event_kind kind;
    uint32_t place;
    uint64_t argument;
    void *at;
    void (*fn)(void *owner, uint64_t argument);
};

struct event_key {
    uint64_t time;
    uint64_t sequence;
    uint32_t slot; /* in events.items */
};

struct events {
    struct event_key *heap;
    struct sim_event *items;
    uint32_t *unused;
    uint32_t count;
    uint32_t capacity;
    uint32_t unused_count;
};

struct due {
    uint64_t at; /* TIME_NEVER: nothing */
    uint64_t sequence;
};

/* --- member.c -------------------------------------------------------------------------------- */

enum member_state {
    MEMBER_DOWN,
    MEMBER_BOOTING,
    MEMBER_UP,
    MEMBER_STOPPING, /* was asked to stop, and still serves */
    MEMBER_DRAINING, /* halted; waits for its disk */
};

/* How a process ends. */
enum death {
    DEATH_KILL,  /* the page cache stays */
    DEATH_POWER, /* it does not */
};

struct member_queue {
    struct disk_job *first;
    struct disk_job **end;
};

struct sim_member {
    struct world world;
    struct sim *sim;
    uint32_t place;
    enum member_state state;
    struct pool pool; /* the memory of the process */
    struct sim_disk disk;
    struct member_queue queues[DISK_QUEUES];
    struct identity identity;
    struct replica *replica; /* NULL: down */
    struct world_events world_events;
    struct replica_observer observer;
    uint64_t life;
    uint64_t boot_at;   /* a start is planned; TIME_NEVER: none */
    uint64_t boot_jobs; /* disk jobs of this start so far */
    bool boot_struck;   /* some of them were made to fail */
    bool paused;
    bool in_turn; /* its fronts look at it */
    bool resumed; /* after a pause, its fronts come first */
    bool stopped; /* the replica says that it may be halted */
    bool born;    /* a log and an identity were made on this disk */
    bool tainted; /* its disk was damaged: it may have to be replaced */
    bool wiped;
    bool halted;               /* it said that its disk is damaged, and ended for good */
    bool healed;               /* one of the quorum that must make progress */
    struct sim_event *waiting; /* events that came while it was paused, in order */
    uint32_t waiting_count;
    uint32_t waiting_capacity;
    uint32_t met; /* who has met its disk, a bit each */

    /* Its clock: local = base_local + (true - base_true) * (1 + drift / a million). */
    uint64_t base_local;
    uint64_t base_true;
    int64_t drift;
    uint64_t timer_local; /* what it armed; sim->timers has the same as true time */
    uint64_t turns;
    uint64_t disk_slow_until;
    uint64_t disk_full_until;
};

/* --- network.c ------------------------------------------------------------------------------- */

/* From one member to another: a connection of its own. */
struct link {
    bool cut;            /* nothing arrives any more, and nobody is told */
    bool up;             /* the sender has a connection */
    uint64_t lives[2];   /* of sender and receiver, when it was made */
    uint64_t clog_until; /* what is sent waits */
    uint64_t arrival;    /* of the last message that keeps the order */
    uint64_t due;        /* an EVENT_LINK is under way for this time; 0: none */
};

/* --- nemesis.c ------------------------------------------------------------------------------- */

enum phase {
    PHASE_SAFETY,   /* everything may fail */
    PHASE_LIVENESS, /* a quorum is healed, the others stay as they are */
    PHASE_RECOVERY, /* all are healed that can be */
    PHASE_QUIET,    /* the clients ask nothing any more */
    PHASE_OVER,
};

struct nemesis {
    enum phase phase;
    uint64_t since;    /* this phase began */
    uint64_t deadline; /* and must have reached its end */
    uint64_t target;   /* the slot that the healed members must reach; 0: not known yet */
    uint64_t quiet_since;
    uint64_t quiet_slot;
    uint64_t partition; /* number of the last one */
    bool partitioned;   /* it is on */
};

struct sim {
    struct sim_options options;
    struct pool pool; /* the memory of the run */
    struct prng streams[STREAM_COUNT];
    uint64_t now;
    uint64_t sequence;
    uint64_t events_done;
    struct events events;
    /* What is due to members, apart from them so that looking for the next is quick. */
    struct due timers[SIM_MEMBERS_MAX];
    struct due turns[SIM_MEMBERS_MAX];
    uint32_t paused; /* a bit for each */
    struct sim_member members[SIM_MEMBERS_MAX];
    struct link links[SIM_MEMBERS_MAX][SIM_MEMBERS_MAX];
    struct nemesis nemesis;
    struct workload *workload;
    struct oracle *oracle;
    uint64_t hash;
    struct sim_member *running; /* whose product code is on the stack */
    bool over;
    bool judged;
    bool violated;
    bool panicked;
    struct sim_result *result;
    jmp_buf crash; /* out of the code of the member that runs, to the event loop */
    enum death crash_as;
    jmp_buf exit; /* out of the run */
    uint64_t packets_flying;
    uint64_t moment_events; /* at this very time */
    uint64_t fatals;        /* members that ended because of their disk */
};

/* cluster.c */
void loop_init(struct sim *sim);
/* Plans an event. */
void event_push(struct sim *sim, uint64_t time, const struct sim_event *event);
/* Runs until sim->over. */
void loop_run(struct sim *sim);

/* member.c */
void member_init(struct sim *sim, uint32_t place);
void member_boot(struct sim_member *m);
/* Plans a start after so long. */
void member_boot_later(struct sim_member *m, uint64_t delay);
void member_die(struct sim_member *m, enum death how);
/* Asks it politely. */
void member_stop(struct sim_member *m);
/* After product code ran: carries on a polite stop. */
void member_settle(struct sim_member *m);
void member_pause(struct sim_member *m);
void member_resume(struct sim_member *m);
void member_wipe(struct sim_member *m);
void member_drift(struct sim_member *m, int64_t drift);
void member_jump(struct sim_member *m, uint64_t forward);
uint64_t member_clock(const struct sim_member *m);
/* What its disk does wrong has to be looked at again. */
void member_faults_changed(struct sim_member *m);
/* May its disk be damaged for good? It counts as lost then. */
bool member_may_damage(struct sim_member *m);
void member_want_turn(struct sim_member *m);
void member_turn(struct sim_member *m);
void member_timer(struct sim_member *m);
void member_disk_done(struct sim_member *m, uint64_t queue);
/* It is up, and nothing keeps it from working. */
bool member_works(const struct sim_member *m);
/* Nothing is expected of it any more: wiped, or its disk is damaged. */
bool member_gone(const struct sim_member *m);
/* Ends the process of the member whose code is running, now. */
void member_vanish(struct sim_member *m, enum death how) __attribute__((noreturn));
/* A point at which it may crash. */
void member_crash_point(struct sim_member *m);
/* How many may be lost for good besides those that are. */
bool members_may_lose(const struct sim *sim, uint32_t place);

/* world.c */
void world_init(struct sim_member *m);
/* From the local deadline that it armed, to true time. */
void member_set_timer(struct sim_member *m);

/* network.c */
void network_send(struct sim *sim, uint32_t from, uint32_t to, struct bytes head,
                  struct blob *entry);
void network_deliver(struct sim *sim, void *packet);
void network_drop(struct sim *sim, void *packet);
void network_member_up(struct sim *sim, uint32_t place);
void network_member_died(struct sim *sim, uint32_t place, enum death how);
void network_link_due(struct sim *sim, uint32_t from, uint32_t to);
void network_cut(struct sim *sim, uint32_t from, uint32_t to, bool cut);
void network_clog(struct sim *sim, uint32_t from, uint32_t to, uint64_t until);

/* nemesis.c */
void nemesis_start(struct sim *sim);

/* trace.c */
/* What happened, of the kinds that happen all the time. */
enum trace_kind {
    TRACE_ARRIVE,
    TRACE_SEND,
    TRACE_TIMER,
    TRACE_DISK,
    TRACE_APPLIED,
    TRACE_KINDS,
};
void trace_begin(struct sim *sim);
void trace_fold(struct sim *sim, enum trace_kind kind, uint32_t place, uint64_t a, uint64_t b);
void trace_message(struct sim *sim, enum trace_kind kind, uint32_t place, uint32_t peer,
                   struct bytes head, uint64_t entry_size);
/* A line of text for people alone. */
void trace_note(struct sim *sim, uint32_t place, const char *what, const char *more);

#endif
