/* synod compact: forgets the history before a revision.
 *
 * "now" is asked for first, by a read; what others write in between is newer and not affected. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/session.h"

#include <inttypes.h>

static const struct option flags[] = {
    {.group = "Flags",
     .name = "physical",
     .kind = OPTION_BOOL,
     .help = "return only when the old data is gone from memory and disk"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "compact",
    .summary = "forget the history before a revision",
    .arguments = "REVISION",
    .description =
        "The newest version of every key stays, and so does what was current at REVISION.\n"
        "\"now\" stands for the present revision.\n" SESSION_EXIT_HELP,
    .examples = "  synod compact 1000\n"
                "  synod compact now\n",
    .arguments_min = 1,
    .arguments_max = 1,
    .tables = {flags, session_flags},
};

/* The present revision, from the header of a read that finds nothing. */
static enum exit_code read_revision(struct session *session, int64_t *ret_revision)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    request.key = (ProtobufCBinaryData){1, (uint8_t[]){0}};
    request.count_only = true;
    enum exit_code code = session_call(session, &rpc_range, &request.base);
    const Etcdserverpb__RangeResponse *response = session_response(session);
    if (code == EXIT_CODE_OK && response->header != NULL)
        *ret_revision = response->header->revision;
    return code;
}

static enum exit_code compact(struct session *session, const struct options *options)
{
    Etcdserverpb__CompactionRequest request = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    const char *revision = options->arguments[0];
    enum exit_code code = EXIT_CODE_OK;
    if (revision[0] == 'n' && revision[1] == 'o' && revision[2] == 'w' && revision[3] == '\0')
        code = read_revision(session, &request.revision);
    else if (!number_parse(revision, &request.revision) || request.revision <= 0)
        code =
            usage_error(options, "REVISION is a positive number or \"now\", not \"%s\"", revision);
    request.physical = options_bool(options, "physical");
    if (code == EXIT_CODE_OK)
        code = session_call(session, &rpc_compact, &request.base);
    if (code != EXIT_CODE_OK)
        return code;
    const Etcdserverpb__CompactionResponse *response = session_response(session);
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_header(&json, response->header);
        json_i64(&json, "compact_revision", request.revision);
        json_object_end(&json);
        json_line(&json);
    } else {
        printf("history before revision %" PRId64 " is forgotten\n", request.revision);
    }
    return EXIT_CODE_OK;
}

int cmd_compact(int argc, char **argv)
{
    return session_command(&spec, argc, argv, compact);
}
