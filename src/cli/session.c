/* Session: connects, calls, tries the next endpoint, and says what went wrong.
 *
 * Waiting is turning the loop: everything else on it, a demo's writer for instance, goes on. */
#include "cli/session.h"

#include <stdlib.h>
#include <string.h>

const struct option session_flags[] = {
    {.group = "Connection",
     .name = "endpoints",
     .kind = OPTION_LIST,
     .preset = "127.0.0.1:2379",
     .env = "SYNOD_ENDPOINTS",
     .hint = "HOST:PORT,...",
     .help = "members to talk to; the next is tried when one fails"},
    {.name = "timeout",
     .kind = OPTION_DURATION,
     .preset = "5s",
     .env = "SYNOD_TIMEOUT",
     .minimum = 1000000,
     .maximum = INT64_C(3600000000000),
     .help = "how long to wait for an answer"},
    {.name = "json", .kind = OPTION_BOOL, .help = "print JSON, for programs"},
    {.name = NULL},
};

#define METHOD(name, service_path, type, reads)                                                    \
    const struct rpc_method rpc_##name = {"/etcdserverpb." service_path,                           \
                                          &etcdserverpb__##type##__descriptor, reads}

METHOD(range, "KV/Range", range_response, true);
METHOD(put, "KV/Put", put_response, false);
METHOD(delete_range, "KV/DeleteRange", delete_range_response, false);
METHOD(txn, "KV/Txn", txn_response, false);
METHOD(compact, "KV/Compact", compaction_response, false);
METHOD(lease_grant, "Lease/LeaseGrant", lease_grant_response, false);
METHOD(lease_revoke, "Lease/LeaseRevoke", lease_revoke_response, false);
METHOD(lease_time_to_live, "Lease/LeaseTimeToLive", lease_time_to_live_response, true);
METHOD(lease_leases, "Lease/LeaseLeases", lease_leases_response, true);
METHOD(member_list, "Cluster/MemberList", member_list_response, true);
METHOD(status, "Maintenance/Status", status_response, true);
METHOD(hash_kv, "Maintenance/HashKV", hash_kvresponse, true);
METHOD(move_leader, "Maintenance/MoveLeader", move_leader_response, false);

const char rpc_watch_path[] = "/etcdserverpb.Watch/Watch";
const char rpc_lease_keep_alive_path[] = "/etcdserverpb.Lease/LeaseKeepAlive";
const char rpc_snapshot_path[] = "/etcdserverpb.Maintenance/Snapshot";

static void on_rpc_message(struct grpc_call *call, struct bytes message)
{
    struct rpc *rpc = call->owner;
    if (rpc->response != NULL)
        protobuf_c_message_free_unpacked(rpc->response, NULL);
    rpc->response =
        protobuf_c_message_unpack(rpc->method->response, NULL, message.size, message.data);
}

static void on_rpc_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct rpc *rpc = call->owner;
    rpc->status = *status;
    rpc->ended_ns = uv_hrtime();
    rpc->done = true;
    if (status->code == GRPC_OK && rpc->response == NULL) {
        rpc->status.code = GRPC_INTERNAL;
        snprintf(rpc->status.message, sizeof rpc->status.message, "malformed answer");
    }
}

void rpc_init(struct rpc *rpc)
{
    memset(rpc, 0, sizeof *rpc);
    grpc_call_init(&rpc->call);
    rpc->call.on_message = on_rpc_message;
    rpc->call.on_end = on_rpc_end;
    rpc->call.owner = rpc;
}

void rpc_release(struct rpc *rpc)
{
    grpc_call_release(&rpc->call);
    if (rpc->response != NULL)
        protobuf_c_message_free_unpacked(rpc->response, NULL);
    rpc->response = NULL;
}

bool rpc_start(struct rpc *rpc, struct grpc_connection *connection, const struct rpc_method *method,
               const ProtobufCMessage *request, uint64_t timeout_ms)
{
    if (rpc->response != NULL)
        protobuf_c_message_free_unpacked(rpc->response, NULL);
    rpc->response = NULL;
    rpc->method = method;
    rpc->done = false;
    rpc->started_ns = uv_hrtime();
    grpc_call_begin(&rpc->call);
    grpc_call_pack(&rpc->call, request);
    return grpc_call_start(&rpc->call, connection, method->path, timeout_ms, false);
}

struct grpc_endpoint *endpoints_parse(const char *command, const char *const *texts, size_t count)
{
    struct grpc_endpoint *endpoints = calloc(count + 1, sizeof *endpoints);
    char error[400];
    if (count == 0) {
        fprintf(stderr, "synod %s: no endpoint given\n", command);
        free(endpoints);
        return NULL;
    }
    for (size_t i = 0; endpoints != NULL && i < count; i++) {
        if (!grpc_endpoint_parse(texts[i], &endpoints[i], error, sizeof error)) {
            fprintf(stderr, "synod %s: %s\n", command, error);
            free(endpoints);
            return NULL;
        }
    }
    return endpoints;
}

enum exit_code session_open(struct session *session, const struct options *options)
{
    memset(session, 0, sizeof *session);
    session->command = options->spec->command;
    session->json = options_bool(options, "json");
    session->timeout_ms = (uint64_t)options_duration_ns(options, "timeout") / 1000000;
    const char *const *texts = options_list(options, "endpoints", &session->endpoints_count);
    session->endpoints = endpoints_parse(session->command, texts, session->endpoints_count);
    if (session->endpoints == NULL)
        return EXIT_CODE_USAGE;
    grpc_client_init(&session->client);
    rpc_init(&session->rpc);
    session->connection.endpoints = session->endpoints;
    session->connection.endpoints_count = session->endpoints_count;
    grpc_connection_open(&session->connection, &session->client);
    return EXIT_CODE_OK;
}

void session_release(struct session *session)
{
    rpc_release(&session->rpc);
    grpc_client_release(&session->client);
    free(session->endpoints);
}

enum exit_code session_exit_code(const struct grpc_status *status)
{
    switch (status->code) {
    case GRPC_OK:
        return EXIT_CODE_OK;
    case GRPC_UNAVAILABLE:
    case GRPC_DEADLINE_EXCEEDED:
        return EXIT_CODE_UNREACHABLE;
    default:
        return EXIT_CODE_FAILED;
    }
}

void session_print_error(const struct session *session, const struct grpc_status *status)
{
    fprintf(stderr, "synod %s: %s (%s)\n", session->command,
            status->message[0] != '\0' ? status->message : "failed",
            grpc_code_name((unsigned)status->code));
}

/* Runs the loop until the connection takes calls, or the deadline. */
static bool wait_for_connection(struct session *session, uint64_t deadline_ms)
{
    for (;;) {
        enum grpc_connection_state state = session->connection.state;
        if (state == GRPC_CONNECTING || state == GRPC_READY)
            return true;
        if (uv_now(&session->client.loop) >= deadline_ms)
            return false;
        uv_run(&session->client.loop, UV_RUN_ONCE);
    }
}

static void try_once(struct session *session, const struct rpc_method *method,
                     const ProtobufCMessage *request, uint64_t deadline_ms)
{
    struct rpc *rpc = &session->rpc;
    uint64_t now = uv_now(&session->client.loop);
    if (!wait_for_connection(session, deadline_ms) || now >= deadline_ms ||
        !rpc_start(rpc, &session->connection, method, request, deadline_ms - now)) {
        rpc->status = (struct grpc_status){.code = GRPC_UNAVAILABLE};
        snprintf(rpc->status.message, sizeof rpc->status.message, "cannot connect: %s",
                 session->connection.error);
        return;
    }
    while (!rpc->done)
        uv_run(&session->client.loop, UV_RUN_ONCE);
}

enum exit_code session_try(struct session *session, const struct rpc_method *method,
                           const ProtobufCMessage *request)
{
    uv_update_time(&session->client.loop);
    uint64_t deadline = uv_now(&session->client.loop) + session->timeout_ms;
    struct grpc_status *status = &session->rpc.status;
    for (size_t attempt = 0; attempt < session->endpoints_count; attempt++) {
        try_once(session, method, request, deadline);
        if (status->code != GRPC_UNAVAILABLE || (status->sent && !method->only_reads))
            break;
        /* A failed connection has moved on already; an answer "unavailable" leaves it to us. */
        if (session->connection.state == GRPC_READY && session->endpoints_count > 1)
            grpc_connection_rotate(&session->connection, "unavailable");
    }
    return session_exit_code(status);
}

const void *session_response(const struct session *session)
{
    return session->rpc.response;
}

enum exit_code session_call(struct session *session, const struct rpc_method *method,
                            const ProtobufCMessage *request)
{
    enum exit_code code = session_try(session, method, request);
    if (code != EXIT_CODE_OK)
        session_print_error(session, &session->rpc.status);
    return code;
}

enum exit_code session_stream(struct session *session, struct grpc_call *call, const char *path,
                              bool patient)
{
    uv_update_time(&session->client.loop);
    uint64_t deadline = uv_now(&session->client.loop) + session->timeout_ms;
    while (session->connection.state != GRPC_READY) {
        if ((!patient && session->connection.failures >= session->endpoints_count) ||
            uv_now(&session->client.loop) >= deadline)
            break;
        uv_run(&session->client.loop, UV_RUN_ONCE);
    }
    if (session->connection.state != GRPC_READY ||
        !grpc_call_start(call, &session->connection, path, 0, true)) {
        fprintf(stderr, "synod %s: cannot connect: %s\n", session->command,
                session->connection.error);
        return EXIT_CODE_UNREACHABLE;
    }
    return EXIT_CODE_OK;
}

static void close_foreign(uv_handle_t *handle, void *argument)
{
    const struct session *session = argument;
    const void *own[] = {&session->client.flush, &session->client.tick, &session->connection.tcp};
    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        if (handle == own[i])
            return;
    if (!uv_is_closing(handle))
        uv_close(handle, NULL);
}

void session_close_handles(struct session *session)
{
    uv_walk(&session->client.loop, close_foreign, session);
    /* Closing takes one turn of the loop; the tick bounds how long that lasts. */
    uv_run(&session->client.loop, UV_RUN_ONCE);
}

int session_command(const struct options_spec *spec, int argc, char **argv,
                    enum exit_code (*run)(struct session *session, const struct options *options))
{
    struct options options;
    struct session session;
    enum options_result result = options_parse(&options, spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    enum exit_code code = session_open(&session, &options);
    if (code == EXIT_CODE_OK) {
        code = run(&session, &options);
        session_release(&session);
    }
    options_release(&options);
    return (int)code;
}
