/* synod lease: grant, revoke, keep-alive, ttl, list.
 *
 * Keep-alive owns a stream and opens it again when it breaks: a lease is lost only if no member
 * answers for as long as it lives. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/read_all.h"
#include "cli/session.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>

static const struct option flags[] = {
    {.group = "Flags",
     .name = "id",
     .kind = OPTION_STRING,
     .hint = "ID",
     .help = "grant: choose the lease's id (hexadecimal) instead of having one chosen"},
    {.name = "keys", .kind = OPTION_BOOL, .help = "ttl: also list the keys attached"},
    {.name = "once", .kind = OPTION_BOOL, .help = "keep-alive: renew one time, then end"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "lease",
    .summary = "grant, renew, inspect and revoke leases",
    .arguments = "grant TTL | keep-alive ID | ttl ID | revoke ID | list",
    .description =
        "A lease is a promise to be alive: keys attached to it (put --lease ID) are deleted when\n"
        "it is revoked or not renewed for TTL seconds. Ids are hexadecimal.\n"
        "keep-alive renews three times in each TTL until Ctrl-C or until the lease is gone.\n"
        "Exit codes: 0 done, 1 refused by the server, 2 usage, 3 no such lease (ttl, keep-alive),\n"
        "4 cannot connect or no answer in time.\n",
    .examples = "  synod lease grant 30\n"
                "  synod put service/a 10.0.0.1:80 --lease 32695410dcc0ca06\n"
                "  synod lease keep-alive 32695410dcc0ca06\n"
                "  synod lease ttl 32695410dcc0ca06 --keys\n"
                "  synod lease revoke 32695410dcc0ca06\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .tables = {flags, session_flags},
};

static void print_lease(const struct session *session, const Etcdserverpb__ResponseHeader *header,
                        int64_t id, int64_t ttl, const char *sentence)
{
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_header(&json, header);
        json_id(&json, "id", (uint64_t)id);
        json_i64(&json, "ttl", ttl);
        json_object_end(&json);
        json_line(&json);
    } else {
        printf("lease %" PRIx64 " %s", (uint64_t)id, sentence);
        if (ttl > 0)
            printf(" for %" PRId64 " s", ttl);
        putchar('\n');
    }
    fflush(stdout);
}

static enum exit_code lease_grant(struct session *session, const struct options *options)
{
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    const char *id = options_string(options, "id");
    if (options->arguments_count < 2 || !number_parse(options->arguments[1], &request.ttl) ||
        request.ttl <= 0)
        return usage_error(options, "grant needs a TTL in seconds");
    if (id[0] != '\0' && !lease_parse(id, &request.id))
        return usage_error(options, "\"%s\" is not a lease's id", id);
    enum exit_code code = session_call(session, &rpc_lease_grant, &request.base);
    if (code != EXIT_CODE_OK)
        return code;
    const Etcdserverpb__LeaseGrantResponse *response = session_response(session);
    print_lease(session, response->header, response->id, response->ttl, "granted");
    return EXIT_CODE_OK;
}

static enum exit_code lease_revoke(struct session *session, int64_t id)
{
    Etcdserverpb__LeaseRevokeRequest request = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    request.id = id;
    enum exit_code code = session_call(session, &rpc_lease_revoke, &request.base);
    if (code != EXIT_CODE_OK)
        return code;
    const Etcdserverpb__LeaseRevokeResponse *response = session_response(session);
    print_lease(session, response->header, id, 0, "revoked");
    return EXIT_CODE_OK;
}

static void print_ttl_json(const Etcdserverpb__LeaseTimeToLiveResponse *response)
{
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_header(&json, response->header);
    json_id(&json, "id", (uint64_t)response->id);
    json_i64(&json, "ttl", response->ttl);
    json_i64(&json, "granted_ttl", response->grantedttl);
    json_array(&json, "keys");
    for (size_t i = 0; i < response->n_keys; i++)
        json_bytes(&json, NULL, bytes_pb(response->keys[i]));
    json_array_end(&json);
    json_object_end(&json);
    json_line(&json);
}

static enum exit_code lease_ttl(struct session *session, const struct options *options, int64_t id)
{
    Etcdserverpb__LeaseTimeToLiveRequest request = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    request.id = id;
    request.keys = options_bool(options, "keys");
    enum exit_code code = session_call(session, &rpc_lease_time_to_live, &request.base);
    if (code != EXIT_CODE_OK)
        return code;
    const Etcdserverpb__LeaseTimeToLiveResponse *response = session_response(session);
    if (session->json) {
        print_ttl_json(response);
    } else if (response->ttl < 0) {
        fprintf(stderr, "synod lease: there is no lease %" PRIx64 "\n", (uint64_t)id);
    } else {
        printf("lease %" PRIx64 " has %" PRId64 " of %" PRId64 " s left\n", (uint64_t)id,
               response->ttl, response->grantedttl);
        for (size_t i = 0; i < response->n_keys; i++) {
            print_escaped(stdout, bytes_pb(response->keys[i]));
            putchar('\n');
        }
    }
    return response->ttl < 0 ? EXIT_CODE_NOTHING : EXIT_CODE_OK;
}

static enum exit_code lease_list(struct session *session)
{
    Etcdserverpb__LeaseLeasesRequest request = ETCDSERVERPB__LEASE_LEASES_REQUEST__INIT;
    enum exit_code code = session_call(session, &rpc_lease_leases, &request.base);
    if (code != EXIT_CODE_OK)
        return code;
    const Etcdserverpb__LeaseLeasesResponse *response = session_response(session);
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_header(&json, response->header);
        json_array(&json, "leases");
        for (size_t i = 0; i < response->n_leases; i++)
            json_id(&json, NULL, (uint64_t)response->leases[i]->id);
        json_array_end(&json);
        json_object_end(&json);
        json_line(&json);
        return EXIT_CODE_OK;
    }
    for (size_t i = 0; i < response->n_leases; i++)
        printf("%" PRIx64 "\n", (uint64_t)response->leases[i]->id);
    return EXIT_CODE_OK;
}

/* --- keep-alive ------------------------------------------------------------------------------ */

struct keeper {
    struct session *session;
    struct grpc_call call;
    uv_timer_t timer;
    uv_signal_t interrupt;
    int64_t id;
    bool once;
    bool answered; /* some server has taken the stream: from now on, failures are survived */
    bool broken;   /* the stream ended: open another */
    bool done;
    enum exit_code code;
    struct grpc_status status;
};

static void keeper_ask(struct keeper *keeper)
{
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    request.id = keeper->id;
    grpc_call_pack(&keeper->call, &request.base);
}

static void on_keeper_timer(uv_timer_t *timer)
{
    struct keeper *keeper = timer->data;
    if (!grpc_call_active(&keeper->call))
        return;
    keeper_ask(keeper);
    grpc_call_push(&keeper->call, false);
}

static void on_keeper_message(struct grpc_call *call, struct bytes message)
{
    struct keeper *keeper = call->owner;
    Etcdserverpb__LeaseKeepAliveResponse *response =
        etcdserverpb__lease_keep_alive_response__unpack(NULL, message.size, message.data);
    if (response == NULL)
        return;
    keeper->answered = true;
    if (response->ttl <= 0) {
        fprintf(stderr, "synod lease: lease %" PRIx64 " is gone\n", (uint64_t)keeper->id);
        keeper->code = EXIT_CODE_NOTHING;
        keeper->done = true;
    } else {
        print_lease(keeper->session, response->header, response->id, response->ttl, "renewed");
        keeper->done = keeper->once;
        uint64_t wait_ms = (uint64_t)response->ttl * 1000 / 3;
        uv_timer_start(&keeper->timer, on_keeper_timer, wait_ms > 500 ? wait_ms : 500, 0);
    }
    etcdserverpb__lease_keep_alive_response__free_unpacked(response, NULL);
}

static void on_keeper_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct keeper *keeper = call->owner;
    keeper->broken = true;
    keeper->status = *status;
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct keeper *keeper = handle->data;
    (void)number;
    keeper->done = true;
}

static enum exit_code keeper_open(struct keeper *keeper, bool patient)
{
    keeper->broken = false;
    grpc_call_begin(&keeper->call);
    keeper_ask(keeper);
    return session_stream(keeper->session, &keeper->call, rpc_lease_keep_alive_path, patient);
}

static enum exit_code lease_keep_alive(struct session *session, const struct options *options,
                                       int64_t id)
{
    struct keeper keeper = {.session = session, .id = id, .once = options_bool(options, "once")};
    grpc_call_init(&keeper.call);
    keeper.call.on_message = on_keeper_message;
    keeper.call.on_end = on_keeper_end;
    keeper.call.owner = &keeper;
    uv_timer_init(&session->client.loop, &keeper.timer);
    uv_signal_init(&session->client.loop, &keeper.interrupt);
    keeper.timer.data = &keeper;
    keeper.interrupt.data = &keeper;
    uv_signal_start(&keeper.interrupt, on_interrupt, SIGINT);
    uint64_t limit = uv_now(&session->client.loop) + session->timeout_ms;
    keeper.code = keeper_open(&keeper, false);
    while (!keeper.done && keeper.code == EXIT_CODE_OK) {
        uv_run(&session->client.loop, UV_RUN_ONCE);
        if (!keeper.answered && uv_now(&session->client.loop) > limit) {
            fprintf(stderr, "synod %s: no answer within the timeout\n", session->command);
            keeper.code = EXIT_CODE_UNREACHABLE;
        }
        if (!keeper.broken)
            continue;
        keeper.code = session_exit_code(&keeper.status);
        if (keeper.code == EXIT_CODE_UNREACHABLE && keeper.answered)
            keeper.code = keeper_open(&keeper, true);
        else
            session_print_error(session, &keeper.status);
    }
    grpc_call_release(&keeper.call);
    session_close_handles(session);
    return keeper.code;
}

static enum exit_code lease(struct session *session, const struct options *options)
{
    const char *verb = options->arguments[0];
    int64_t id = 0;
    if (strcmp(verb, "grant") == 0)
        return lease_grant(session, options);
    if (strcmp(verb, "list") == 0)
        return lease_list(session);
    bool has_id = options->arguments_count == 2 && lease_parse(options->arguments[1], &id);
    if (strcmp(verb, "revoke") == 0 && has_id)
        return lease_revoke(session, id);
    if (strcmp(verb, "ttl") == 0 && has_id)
        return lease_ttl(session, options, id);
    if ((strcmp(verb, "keep-alive") == 0 || strcmp(verb, "keepalive") == 0) && has_id)
        return lease_keep_alive(session, options, id);
    static const char *const verbs[] = {"revoke", "ttl", "keep-alive", "keepalive"};
    for (size_t i = 0; i < sizeof verbs / sizeof verbs[0]; i++)
        if (strcmp(verb, verbs[i]) == 0)
            return usage_error(options, "%s needs the id of a lease", verb);
    return usage_error(options, "there is no \"lease %s\"", verb);
}

int cmd_lease(int argc, char **argv)
{
    return session_command(&spec, argc, argv, lease);
}
