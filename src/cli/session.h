/* Session: what a command holds while it talks to a cluster: endpoints, one connection, one call at
 * a time; and the flags that all such commands share.
 *
 * The one rule: a request is sent again, to the next endpoint, only if that cannot apply it twice:
 * it never left this process, or it only reads. */
#ifndef SYNOD_CLI_SESSION_H
#define SYNOD_CLI_SESSION_H

#include "cli/grpc_client.h"
#include "cli/options.h"

#include "etcd_rpc.pb-c.h"

/* What the program's exit code tells. */
enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_FAILED = 1,      /* the server refused, or an expectation did not hold */
    EXIT_CODE_USAGE = 2,       /* the command line is wrong */
    EXIT_CODE_NOTHING = 3,     /* what was asked for does not exist */
    EXIT_CODE_UNREACHABLE = 4, /* no connection, or no answer in time */
};

/* --endpoints, --timeout, --json */
extern const struct option session_flags[];
#define SESSION_EXIT_HELP                                                                          \
    "Exit codes: 0 done, 1 refused by the server, 2 usage, 4 cannot connect or no answer in "      \
    "time.\n"

struct rpc_method {
    const char *path;
    const ProtobufCMessageDescriptor *response;
    bool only_reads;
};

extern const struct rpc_method rpc_range, rpc_put, rpc_delete_range, rpc_txn, rpc_compact,
    rpc_lease_grant, rpc_lease_revoke, rpc_lease_time_to_live, rpc_lease_leases, rpc_member_list,
    rpc_status, rpc_hash_kv, rpc_move_leader;
extern const char rpc_watch_path[], rpc_lease_keep_alive_path[], rpc_snapshot_path[];

/* One call with its decoded answer. */
struct rpc {
    struct grpc_call call;
    const struct rpc_method *method;
    ProtobufCMessage *response; /* owned; NULL unless the call succeeded */
    struct grpc_status status;
    bool done;
    uint64_t started_ns;
    uint64_t ended_ns;
};

void rpc_init(struct rpc *rpc);
void rpc_release(struct rpc *rpc);
/* Returns false if the connection is down; `done` tells when it ended. */
bool rpc_start(struct rpc *rpc, struct grpc_connection *connection, const struct rpc_method *method,
               const ProtobufCMessage *request, uint64_t timeout_ms);

struct session {
    const char *command; /* for messages */
    struct grpc_client client;
    struct grpc_connection connection;
    struct grpc_endpoint *endpoints;
    size_t endpoints_count;
    uint64_t timeout_ms;
    bool json;
    struct rpc rpc;
};

/* Resolves endpoints and begins to connect. Returns EXIT_CODE_OK, or another after a message, with
 * nothing to release. */
enum exit_code session_open(struct session *session, const struct options *options);
void session_release(struct session *session);
/* Makes one call and waits; the answer is session_response until the next call. On failure the
 * message is printed and the exit code returned. */
enum exit_code session_call(struct session *session, const struct rpc_method *method,
                            const ProtobufCMessage *request);
/* The same without the message; the status is in session->rpc.status. */
enum exit_code session_try(struct session *session, const struct rpc_method *method,
                           const ProtobufCMessage *request);
/* The method's response message, NULL after a failure. */
const void *session_response(const struct session *session);
/* Starts a stream on the session's connection, waiting for that first: until every endpoint has
 * failed once or, if it is patient, for the whole timeout. Prints a message if it cannot. */
enum exit_code session_stream(struct session *session, struct grpc_call *call, const char *path,
                              bool patient);
/* Closes the command's own timers and signals on the session's loop, before their memory goes. */
void session_close_handles(struct session *session);
enum exit_code session_exit_code(const struct grpc_status *status);
void session_print_error(const struct session *session, const struct grpc_status *status);

/* Parses a list of endpoint texts; returns NULL after a message. Free with free(). */
struct grpc_endpoint *endpoints_parse(const char *command, const char *const *texts, size_t count);

/* The whole of most commands: parses, opens, runs, releases; returns the exit code. */
int session_command(const struct options_spec *spec, int argc, char **argv,
                    enum exit_code (*run)(struct session *session, const struct options *options));
/* options_complain as an exit code. */
#define usage_error(options, ...)                                                                  \
    ((void)options_complain((options)->spec, __VA_ARGS__), EXIT_CODE_USAGE)

#endif
