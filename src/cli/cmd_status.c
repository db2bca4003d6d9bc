/* synod status: asks every endpoint at once and shows the members side by side.
 *
 * An endpoint that does not answer costs its own row and the timeout, never the rows of the others.
 */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/session.h"

#include "base/panic.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct option flags[] = {
    {.group = "Flags",
     .name = "cluster",
     .kind = OPTION_BOOL,
     .help = "ask all members that the cluster lists, not only the endpoints given"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "status",
    .summary = "show the members: who leads, how far each one is",
    .description =
        "SLOTS is the position in the consensus log that the member knows to be decided, LAG how\n"
        "many of those known to any member it has not applied yet.\n"
        "Exit codes: 0 all endpoints answered and report no errors, 1 some did not or do, 2 "
        "usage,\n"
        "4 none answered.\n",
    .examples = "  synod status\n"
                "  synod status --cluster\n"
                "  synod status --endpoints 10.0.0.1:2379,10.0.0.2:2379,10.0.0.3:2379 --json\n",
    .tables = {flags, session_flags},
};

struct target {
    struct grpc_endpoint *endpoint;
    struct grpc_connection connection;
    struct rpc rpc;
    const char *name; /* of the member; "" if it is not known */
};

struct survey {
    struct session *session;
    struct target *targets;
    size_t targets_count;
    struct grpc_endpoint *listed; /* from the member list; owned */
    Etcdserverpb__MemberListResponse *members;
    uint64_t slots; /* the furthest of any member */
    size_t answers;
    size_t errors;
};

static const Etcdserverpb__StatusResponse *target_response(const struct target *target)
{
    return (const void *)target->rpc.response;
}

/* The names, and with --cluster the endpoints, come from the member list; a cluster without a
 * leader may not give it, which is no reason to show less. */
static void ask_members(struct survey *survey)
{
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    struct session *session = survey->session;
    if (session_try(session, &rpc_member_list, &request.base) == EXIT_CODE_OK) {
        survey->members = (Etcdserverpb__MemberListResponse *)session->rpc.response;
        session->rpc.response = NULL;
    }
}

static void list_endpoints(struct survey *survey)
{
    const Etcdserverpb__MemberListResponse *members = survey->members;
    char error[400];
    survey->listed = calloc(members->n_members + 1, sizeof *survey->listed);
    if (survey->listed == NULL)
        panic("out of memory");
    survey->targets_count = 0;
    for (size_t i = 0; i < members->n_members; i++) {
        const Etcdserverpb__Member *member = members->members[i];
        if (member->n_clienturls > 0 &&
            grpc_endpoint_parse(member->clienturls[0], &survey->listed[survey->targets_count],
                                error, sizeof error))
            survey->targets_count++;
    }
}

static void ask_status(struct survey *survey)
{
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    struct session *session = survey->session;
    survey->targets = calloc(survey->targets_count + 1, sizeof *survey->targets);
    if (survey->targets == NULL)
        panic("out of memory");
    uv_update_time(&session->client.loop);
    for (size_t i = 0; i < survey->targets_count; i++) {
        struct target *target = &survey->targets[i];
        target->endpoint = survey->listed != NULL ? &survey->listed[i] : &session->endpoints[i];
        target->connection.endpoints = target->endpoint;
        target->connection.endpoints_count = 1;
        rpc_init(&target->rpc);
        grpc_connection_open(&target->connection, &session->client);
        if (!rpc_start(&target->rpc, &target->connection, &rpc_status, &request.base,
                       session->timeout_ms)) {
            target->rpc.done = true;
            target->rpc.status.code = GRPC_UNAVAILABLE;
        }
    }
    for (size_t i = 0; i < survey->targets_count; i++)
        while (!survey->targets[i].rpc.done)
            uv_run(&session->client.loop, UV_RUN_ONCE);
}

static const char *member_name(const struct survey *survey, uint64_t id)
{
    for (size_t i = 0; survey->members != NULL && i < survey->members->n_members; i++)
        if (survey->members->members[i]->id == id)
            return survey->members->members[i]->name;
    return "";
}

static void evaluate(struct survey *survey)
{
    for (size_t i = 0; i < survey->targets_count; i++) {
        struct target *target = &survey->targets[i];
        const Etcdserverpb__StatusResponse *response = target_response(target);
        target->name = "";
        if (response == NULL || response->header == NULL)
            continue;
        survey->answers++;
        survey->errors += response->n_errors;
        target->name = member_name(survey, response->header->member_id);
        if (response->raftindex > survey->slots)
            survey->slots = response->raftindex;
    }
}

static uint64_t lag_of(const struct survey *survey, const Etcdserverpb__StatusResponse *response)
{
    return survey->slots > response->raftappliedindex ? survey->slots - response->raftappliedindex
                                                      : 0;
}

static void print_row(const struct survey *survey, const struct target *target, struct table *table)
{
    const Etcdserverpb__StatusResponse *response = target_response(target);
    char size[32];
    char *errors = NULL;
    size_t errors_size = 0;
    format_size((uint64_t)response->dbsize, size, sizeof size);
    FILE *out = open_memstream(&errors, &errors_size);
    for (size_t i = 0; out != NULL && i < response->n_errors; i++)
        fprintf(out, "%s%s", i > 0 ? ", " : "", response->errors[i]);
    if (out != NULL)
        fclose(out);
    table_cell(table, "%s", target->endpoint->text);
    table_cell(table, "%s", target->name);
    table_cell(table, "%" PRIx64, response->header->member_id);
    table_cell(table, "%s",
               response->islearner                               ? "learner"
               : response->leader == response->header->member_id ? "leader"
                                                                 : "follower");
    table_cell(table, "%" PRIu64, response->raftterm);
    table_cell(table, "%" PRId64, response->header->revision);
    table_cell(table, "%" PRIu64, response->raftindex);
    table_cell(table, "%" PRIu64, lag_of(survey, response));
    table_cell(table, "%s", size);
    table_cell(table, "%s", response->version);
    table_cell(table, "%s", errors != NULL ? errors : "");
    free(errors);
}

static void print_table(const struct survey *survey)
{
    static const char *const titles[] = {"ENDPOINT", "MEMBER",    "ID",     "ROLE",
                                         ">TERM",    ">REVISION", ">SLOTS", ">LAG",
                                         ">DB SIZE", "VERSION",   "ERRORS", NULL};
    struct table table;
    table_init(&table, titles);
    for (size_t i = 0; i < survey->targets_count; i++) {
        const struct target *target = &survey->targets[i];
        if (target_response(target) != NULL && target_response(target)->header != NULL) {
            print_row(survey, target, &table);
            continue;
        }
        table_cell(&table, "%s", target->endpoint->text);
        for (size_t c = 0; c < 9; c++)
            table_cell(&table, "-");
        table_cell(&table, "%s", target->rpc.status.message);
    }
    table_print(&table, stdout);
    table_release(&table);
}

static void json_target(struct json *json, const struct survey *survey, const struct target *target)
{
    const Etcdserverpb__StatusResponse *response = target_response(target);
    json_object(json, NULL);
    json_text(json, "endpoint", target->endpoint->text);
    json_bool(json, "answers", response != NULL);
    if (response == NULL) {
        json_text(json, "error", target->rpc.status.message);
    } else {
        json_header(json, response->header);
        json_text(json, "name", target->name);
        json_text(json, "version", response->version);
        json_id(json, "leader", response->leader);
        json_bool(json, "is_leader",
                  response->header != NULL && response->leader == response->header->member_id);
        json_bool(json, "is_learner", response->islearner);
        json_u64(json, "term", response->raftterm);
        json_u64(json, "slots", response->raftindex);
        json_u64(json, "applied", response->raftappliedindex);
        json_u64(json, "lag", lag_of(survey, response));
        json_i64(json, "db_size", response->dbsize);
        json_i64(json, "db_size_in_use", response->dbsizeinuse);
        json_double(json, "answer_us",
                    (double)(target->rpc.ended_ns - target->rpc.started_ns) / 1000);
        json_array(json, "errors");
        for (size_t i = 0; i < response->n_errors; i++)
            json_text(json, NULL, response->errors[i]);
        json_array_end(json);
    }
    json_object_end(json);
}

static void print_json(const struct survey *survey)
{
    struct json json = json_of(stdout);
    json_array(&json, NULL);
    for (size_t i = 0; i < survey->targets_count; i++)
        json_target(&json, survey, &survey->targets[i]);
    json_array_end(&json);
    json_line(&json);
}

static enum exit_code status(struct session *session, const struct options *options)
{
    struct survey survey = {.session = session, .targets_count = session->endpoints_count};
    ask_members(&survey);
    if (options_bool(options, "cluster")) {
        if (survey.members == NULL) {
            session_print_error(session, &session->rpc.status);
            return session_exit_code(&session->rpc.status);
        }
        list_endpoints(&survey);
    }
    ask_status(&survey);
    evaluate(&survey);
    if (session->json)
        print_json(&survey);
    else
        print_table(&survey);
    for (size_t i = 0; i < survey.targets_count; i++) {
        rpc_release(&survey.targets[i].rpc);
        grpc_connection_close(&survey.targets[i].connection);
    }
    session_close_handles(session);
    free(survey.targets);
    free(survey.listed);
    if (survey.members != NULL)
        etcdserverpb__member_list_response__free_unpacked(survey.members, NULL);
    if (survey.answers == 0)
        return EXIT_CODE_UNREACHABLE;
    return survey.answers == survey.targets_count && survey.errors == 0 ? EXIT_CODE_OK
                                                                        : EXIT_CODE_FAILED;
}

int cmd_status(int argc, char **argv)
{
    return session_command(&spec, argc, argv, status);
}
