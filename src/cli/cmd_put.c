/* synod put: sets one key; the value is an argument, a file or standard input.
 *
 * The value's bytes reach the server exactly as they are read; nothing is trimmed. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/read_all.h"
#include "cli/session.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const struct option flags[] = {
    {.group = "Flags",
     .name = "lease",
     .kind = OPTION_STRING,
     .hint = "ID",
     .help = "attach the key to this lease (hexadecimal): it is deleted when the lease ends"},
    {.name = "file",
     .kind = OPTION_STRING,
     .hint = "FILE",
     .help = "take the value from a file (- is standard input)"},
    {.name = "prev", .kind = OPTION_BOOL, .help = "also print what was there before"},
    {.name = "ignore-value", .kind = OPTION_BOOL, .help = "keep the value, change the lease only"},
    {.name = "ignore-lease", .kind = OPTION_BOOL, .help = "keep the lease, change the value only"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "put",
    .summary = "set a key",
    .arguments = "KEY [VALUE]",
    .description = "Without VALUE and --file the value is read from standard input.\n"
                   "Prints the revision at which the key now stands.\n" SESSION_EXIT_HELP,
    .examples = "  synod put greeting hello\n"
                "  synod put config --file settings.json\n"
                "  synod put service/a 10.0.0.1:80 --lease 32695410dcc0ca06\n"
                "  date | synod put now\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .tables = {flags, session_flags},
};

static void print_answer(const struct session *session, const char *key)
{
    const Etcdserverpb__PutResponse *response = session_response(session);
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_header(&json, response->header);
        json_key_value(&json, "prev_kv", response->prev_kv, true);
        json_object_end(&json);
        json_line(&json);
        return;
    }
    print_escaped(stdout, bytes_text(key));
    printf(" set at revision %" PRId64 "\n", response->header ? response->header->revision : 0);
    if (response->prev_kv != NULL) {
        printf("before: ");
        print_escaped(stdout, bytes_pb(response->prev_kv->value));
        putchar('\n');
    }
}

/* Where the value comes from; `*ret_owned` is to be freed. */
static enum exit_code read_value(const struct options *options, ProtobufCBinaryData *ret_value,
                                 uint8_t **ret_owned)
{
    const char *file = options_string(options, "file");
    *ret_owned = NULL;
    if (options->arguments_count == 2 && file[0] != '\0')
        return usage_error(options, "give VALUE or --file, not both");
    if (options->arguments_count == 2) {
        ret_value->data = (uint8_t *)options->arguments[1];
        ret_value->len = strlen(options->arguments[1]);
        return EXIT_CODE_OK;
    }
    if (options_bool(options, "ignore-value"))
        return EXIT_CODE_OK;
    if (!read_all(file[0] != '\0' ? file : "-", "put", ret_owned, &ret_value->len))
        return EXIT_CODE_USAGE;
    ret_value->data = *ret_owned;
    return EXIT_CODE_OK;
}

static enum exit_code put(struct session *session, const struct options *options)
{
    Etcdserverpb__PutRequest request = ETCDSERVERPB__PUT_REQUEST__INIT;
    uint8_t *owned = NULL;
    const char *lease = options_string(options, "lease");
    if (lease[0] != '\0' && !lease_parse(lease, &request.lease))
        return usage_error(options, "\"%s\" is not a lease's id", lease);
    request.key.data = (uint8_t *)options->arguments[0];
    request.key.len = strlen(options->arguments[0]);
    request.prev_kv = options_bool(options, "prev");
    request.ignore_value = options_bool(options, "ignore-value");
    request.ignore_lease = options_bool(options, "ignore-lease");
    enum exit_code code = read_value(options, &request.value, &owned);
    if (code == EXIT_CODE_OK)
        code = session_call(session, &rpc_put, &request.base);
    if (code == EXIT_CODE_OK)
        print_answer(session, options->arguments[0]);
    free(owned);
    return code;
}

int cmd_put(int argc, char **argv)
{
    return session_command(&spec, argc, argv, put);
}
