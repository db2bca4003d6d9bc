/* Demo: a cluster of child processes on this machine, a failure, and the proof that nothing was
 * lost.
 *
 * The members are children that die with this process, whatever ends it. The invariant: a step
 * either holds and prints what was measured, or the demonstration fails and names it; there is no
 * third. */
#ifndef SYNOD_CLI_DEMO_H
#define SYNOD_CLI_DEMO_H

#include "cli/grpc_client.h"
#include "cli/options.h"
#include "cli/session.h"

#include <sys/types.h>

#define DEMO_MEMBERS_MAX 9

struct demo_member {
    char name[16];
    unsigned client_port;
    unsigned peer_port;
    pid_t pid;   /* 0: not running */
    bool killed; /* by us: its end is no surprise */
    struct grpc_endpoint endpoint;
    struct grpc_connection connection;
    struct rpc rpc;
    /* What it said last. */
    bool answers;
    uint64_t id;
    uint64_t leader;
    uint64_t term;
    int64_t revision;
    uint64_t memory; /* resident bytes */
    uint32_t hash;
};

/* Keeps putting, one key after the other, each until it is acknowledged. */
struct demo_writer {
    struct demo *demo;
    struct grpc_call call;
    uv_timer_t retry;
    bool running;
    size_t member; /* the one that is asked */
    uint64_t next; /* number of the write in flight; all before it are acknowledged */
    uint64_t last_ack_ns;
    uint64_t gap_ns; /* the longest time without an acknowledgement since writer_mark */
    uint64_t acks_since_mark;
    uint64_t refused; /* attempts that failed */
};

struct demo {
    struct grpc_client client;
    struct demo_member members[DEMO_MEMBERS_MAX];
    size_t members_count;
    const char *engine;
    char directory[512];
    char token[40];
    bool directory_is_ours; /* made by us, removed by us */
    bool quiet;
    bool json;
    bool unicode;
    bool interrupted;
    bool stopping;
    uv_signal_t interrupt;
    uv_signal_t terminate;
    uv_signal_t child;
    struct demo_writer writer;
    char failure[600]; /* the step that did not hold; "" while all did */

    /* What was measured. */
    double leader_ms;
    double outage_ms;
    double catch_up_ms;
    double writes_per_second;
    uint64_t writes;
    size_t victim;
};

/* --- demo_cluster.c: processes and files ----------------------------------------------------- */
bool cluster_make_directory(struct demo *demo, const char *given);
bool cluster_ports_free(struct demo *demo);
bool cluster_start(struct demo *demo, struct demo_member *member);
void cluster_kill(struct demo *demo, struct demo_member *member, int number);
/* Collects the ends of children; prints those that are surprises. */
void cluster_reap(struct demo *demo);
/* SIGTERM to all, SIGKILL to those who do not obey; false if there were such. */
bool cluster_stop(struct demo *demo);
void cluster_remove_directory(struct demo *demo);
uint64_t member_memory(const struct demo_member *member);
/* The last lines of a member's log, to stderr. */
void member_print_log(const struct demo *demo, const struct demo_member *member);

/* --- demo_probe.c: what the members say ------------------------------------------------------ */
/* Asks all members for their status, at once. */
void probe_members(struct demo *demo);
/* The member that all that answer name as leader, NULL if there is none; `answering` is how many
 * must answer. */
struct demo_member *probe_leader(struct demo *demo, size_t answering);
/* True if all members answer, stand at one revision, and have the same hash there. */
bool probe_converged(struct demo *demo);
/* One call to one member; the answer is at member->rpc.response. */
bool probe_call(struct demo *demo, struct demo_member *member, const struct rpc_method *method,
                const ProtobufCMessage *request, uint64_t timeout_ms);
/* Reads the writer's keys from the member's own copy: how many of the first `count` are right. */
uint64_t probe_count_writes(struct demo *demo, struct demo_member *member, uint64_t count);

/* --- demo_writer.c --------------------------------------------------------------------------- */
void writer_init(struct demo *demo);
void writer_start(struct demo *demo, size_t member);
/* Begins to measure the longest gap. */
void writer_mark(struct demo_writer *writer);
void writer_stop(struct demo_writer *writer);
#define DEMO_WRITE_PREFIX "demo/write/"

/* --- demo_show.c ----------------------------------------------------------------------------- */
void show_line(const struct demo *demo, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void show_done(const struct demo *demo, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A passing remark that the next line overwrites; on terminals only. */
void show_waiting(const struct demo *demo, const char *text);
void show_members(struct demo *demo);
void show_connect(const struct demo *demo);
void show_json(const struct demo *demo);
/* Remembers and prints the failure; returns false, for steps to return. */
bool show_failed(struct demo *demo, const char *format, ...) __attribute__((format(printf, 2, 3)));

#endif
