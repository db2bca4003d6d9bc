/* synod txn: compares and changes several keys in one step.
 *
 * The text is parsed whole before anything is sent: a mistake in its last line changes nothing. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/read_all.h"
#include "cli/session.h"
#include "cli/txn_text.h"

#include <inttypes.h>
#include <stdlib.h>

static const struct option flags[] = {
    {.group = "Flags",
     .name = "file",
     .kind = OPTION_STRING,
     .preset = "-",
     .hint = "FILE",
     .help = "read the transaction from a file; - is standard input"},
    {.name = "require",
     .kind = OPTION_BOOL,
     .help = "exit with 1 if the comparisons did not hold (the else lines have run all the same)"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "txn",
    .summary = "compare and change several keys in one step",
    .description =
        "The transaction is text, one item a line:\n\n"
        "  if   value|version|create|mod|lease KEY =|!=|<|> OPERAND   all must hold\n"
        "  then put KEY VALUE [--lease ID]                            done if they do\n"
        "  else get|del KEY [RANGE_END] [--prefix]                    done if they do not\n\n"
        "Lines that begin with # are comments. Words with blanks are quoted: \"two words\"; in\n"
        "quotes \\n \\t \\r \\\" \\\\ and \\xff stand for bytes. A key that does not exist has\n"
        "version, create and mod 0.\n" SESSION_EXIT_HELP,
    .examples = "  synod txn <<END                  create the key only if it is not there\n"
                "  if   version greeting = 0\n"
                "  then put greeting \"hello, world\"\n"
                "  else get greeting\n"
                "  END\n"
                "  synod txn --file move.txn --require\n",
    .tables = {flags, session_flags},
};

static void json_results(struct json *json, const Etcdserverpb__TxnResponse *response);

static void json_result(struct json *json, const Etcdserverpb__ResponseOp *result)
{
    json_object(json, NULL);
    switch (result->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        json_text(json, "operation", "put");
        json_key_value(json, "prev_kv", result->response_put->prev_kv, true);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        json_text(json, "operation", "get");
        json_array(json, "kvs");
        for (size_t i = 0; i < result->response_range->n_kvs; i++)
            json_key_value(json, NULL, result->response_range->kvs[i], true);
        json_array_end(json);
        json_i64(json, "count", result->response_range->count);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        json_text(json, "operation", "del");
        json_i64(json, "deleted", result->response_delete_range->deleted);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN:
        json_text(json, "operation", "txn");
        json_results(json, result->response_txn);
        break;
    default:
        break;
    }
    json_object_end(json);
}

static void json_results(struct json *json, const Etcdserverpb__TxnResponse *response)
{
    json_bool(json, "succeeded", response->succeeded);
    json_array(json, "responses");
    for (size_t i = 0; i < response->n_responses; i++)
        json_result(json, response->responses[i]);
    json_array_end(json);
}

static void print_result(const Etcdserverpb__ResponseOp *result)
{
    switch (result->response_case) {
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT:
        printf("put: done\n");
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE:
        printf("del: %" PRId64 " deleted\n", result->response_delete_range->deleted);
        break;
    case ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE:
        printf("get: %" PRId64 " found\n", result->response_range->count);
        for (size_t i = 0; i < result->response_range->n_kvs; i++) {
            fputs("  ", stdout);
            print_escaped(stdout, bytes_pb(result->response_range->kvs[i]->key));
            putchar('\t');
            print_escaped(stdout, bytes_pb(result->response_range->kvs[i]->value));
            putchar('\n');
        }
        break;
    default:
        break;
    }
}

static void print_answer(const struct session *session)
{
    const Etcdserverpb__TxnResponse *response = session_response(session);
    if (session->json) {
        struct json json = json_of(stdout);
        json_object(&json, NULL);
        json_header(&json, response->header);
        json_results(&json, response);
        json_object_end(&json);
        json_line(&json);
        return;
    }
    printf("%s\n", response->succeeded ? "the comparisons held: then"
                                       : "the comparisons did not hold: else");
    for (size_t i = 0; i < response->n_responses; i++)
        print_result(response->responses[i]);
}

static enum exit_code run_txn(struct session *session, const struct options *options)
{
    uint8_t *text = NULL;
    size_t size = 0;
    struct txn_text txn;
    const char *file = options_string(options, "file");
    if (!read_all(file, "txn", &text, &size))
        return EXIT_CODE_USAGE;
    enum exit_code code = EXIT_CODE_USAGE;
    if (!txn_text_parse(&txn, (char *)text, size))
        fprintf(stderr, "synod txn: %s, line %zu: %s\n",
                file[0] == '-' && file[1] == '\0' ? "standard input" : file, txn.line, txn.error);
    else
        code = session_call(session, &rpc_txn, &txn.request.base);
    txn_text_release(&txn);
    free(text);
    if (code != EXIT_CODE_OK)
        return code;
    print_answer(session);
    const Etcdserverpb__TxnResponse *response = session_response(session);
    return options_bool(options, "require") && !response->succeeded ? EXIT_CODE_FAILED
                                                                    : EXIT_CODE_OK;
}

int cmd_txn(int argc, char **argv)
{
    return session_command(&spec, argc, argv, run_txn);
}
