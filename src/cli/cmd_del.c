/* synod del: deletes one key, a prefix or a range.
 *
 * Deleting nothing is a success: afterwards the keys are gone, which is what was asked for. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/range.h"

#include <inttypes.h>

static const struct option flags[] = {
    {.group = "Output", .name = "prev", .kind = OPTION_BOOL, .help = "also print what was deleted"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "del",
    .summary = "delete one key, a prefix or a range",
    .arguments = "KEY [RANGE_END]",
    .description = "Deleting what does not exist is no failure: it is gone either way, and the "
                   "count says 0.\n" SESSION_EXIT_HELP,
    .examples = "  synod del greeting\n"
                "  synod del service/ --prefix --prev\n"
                "  synod del a m                             keys from a up to, not including, m\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .tables = {range_flags, flags, session_flags},
};

static void print_answer(const struct session *session)
{
    const Etcdserverpb__DeleteRangeResponse *response = session_response(session);
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_header(&json, response->header);
        json_i64(&json, "deleted", response->deleted);
        json_array(&json, "prev_kvs");
        for (size_t i = 0; i < response->n_prev_kvs; i++)
            json_key_value(&json, NULL, response->prev_kvs[i], true);
        json_array_end(&json);
        json_object_end(&json);
        json_line(&json);
        return;
    }
    printf("%" PRId64 " key%s deleted", response->deleted, response->deleted == 1 ? "" : "s");
    if (response->deleted > 0 && response->header != NULL)
        printf(" at revision %" PRId64, response->header->revision);
    putchar('\n');
    for (size_t i = 0; i < response->n_prev_kvs; i++) {
        print_escaped(stdout, bytes_pb(response->prev_kvs[i]->key));
        putchar('\t');
        print_escaped(stdout, bytes_pb(response->prev_kvs[i]->value));
        putchar('\n');
    }
}

static enum exit_code del(struct session *session, const struct options *options)
{
    Etcdserverpb__DeleteRangeRequest request = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    struct range range;
    enum exit_code code = range_read(options, &range);
    if (code != EXIT_CODE_OK)
        return code;
    request.key = range.key;
    request.range_end = range.end;
    request.prev_kv = options_bool(options, "prev");
    code = session_call(session, &rpc_delete_range, &request.base);
    if (code == EXIT_CODE_OK)
        print_answer(session);
    return code;
}

int cmd_del(int argc, char **argv)
{
    return session_command(&spec, argc, argv, del);
}
