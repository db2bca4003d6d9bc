/* synod get: reads one key, a prefix or a range, at the present or at an older revision.
 *
 * A terminal gets a table, a pipe gets tabs; in both a value stays on its line, because what cannot
 * be printed is escaped. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/range.h"

#include <inttypes.h>
#include <string.h>

static const struct option flags[] = {
    {.name = "limit", .kind = OPTION_NUMBER, .maximum = INT64_MAX, .help = "at most this many"},
    {.name = "rev",
     .kind = OPTION_NUMBER,
     .maximum = INT64_MAX,
     .hint = "REVISION",
     .help = "as it was at this revision"},
    {.name = "sort",
     .kind = OPTION_STRING,
     .hint = "FIELD",
     .help = "sort by key, version, create, modify or value"},
    {.name = "order", .kind = OPTION_STRING, .hint = "ascend|descend", .help = "which way to sort"},
    {.name = "serializable",
     .kind = OPTION_BOOL,
     .help = "answer from the member's own copy: faster, works without a leader, may be old"},
    {.group = "Output", .name = "keys-only", .kind = OPTION_BOOL, .help = "keys, one a line"},
    {.name = "count-only", .kind = OPTION_BOOL, .help = "only how many keys there are"},
    {.name = "value-only",
     .kind = OPTION_BOOL,
     .help = "the exact bytes of the values; each followed by a newline if they are several or "
             "stdout is a terminal"},
    {.name = "long", .kind = OPTION_BOOL, .help = "also revisions, version and lease"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "get",
    .summary = "read one key, a prefix or a range",
    .arguments = "KEY [RANGE_END]",
    .description =
        "Prints a table on a terminal, and otherwise key and value between tabs. Bytes that are\n"
        "not printable are escaped (\\n, \\xff); --value-only and --json keep them exact.\n"
        "Exit codes: 0 found (and --count-only always), 1 refused by the server, 2 usage,\n"
        "3 no such key, 4 cannot connect or no answer in time.\n",
    .examples = "  synod get greeting\n"
                "  synod get service/ --prefix --long\n"
                "  synod get a m --limit 10                  keys from a up to, not including, m\n"
                "  synod get '' --prefix --count-only        how many keys are there?\n"
                "  synod get config --rev 42 --value-only > settings.json\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .tables = {range_flags, flags, session_flags},
};

static const char *const sort_fields[] = {"key", "version", "create", "modify", "value"};

static enum exit_code read_sort(const struct options *options, Etcdserverpb__RangeRequest *request)
{
    const char *sort = options_string(options, "sort");
    const char *order = options_string(options, "order");
    size_t count = sizeof sort_fields / sizeof sort_fields[0];
    size_t field = 0;
    while (sort[0] != '\0' && field < count && strcasecmp(sort, sort_fields[field]) != 0)
        field++;
    if (field == count)
        return usage_error(options,
                           "--sort takes key, version, create, modify or value, not \"%s\"", sort);
    request->sort_target = (Etcdserverpb__RangeRequest__SortTarget)field;
    if (strcasecmp(order, "descend") == 0)
        request->sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__DESCEND;
    else if (strcasecmp(order, "ascend") == 0 || (order[0] == '\0' && sort[0] != '\0'))
        request->sort_order = ETCDSERVERPB__RANGE_REQUEST__SORT_ORDER__ASCEND;
    else if (order[0] != '\0')
        return usage_error(options, "--order takes ascend or descend, not \"%s\"", order);
    return EXIT_CODE_OK;
}

static void print_json(const Etcdserverpb__RangeResponse *response, bool with_values)
{
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_header(&json, response->header);
    json_array(&json, "kvs");
    for (size_t i = 0; i < response->n_kvs; i++)
        json_key_value(&json, NULL, response->kvs[i], with_values);
    json_array_end(&json);
    json_i64(&json, "count", response->count);
    json_bool(&json, "more", response->more);
    json_object_end(&json);
    json_line(&json);
}

static void print_values(const Etcdserverpb__RangeResponse *response)
{
    bool newline = response->n_kvs > 1 || terminal_stdout();
    for (size_t i = 0; i < response->n_kvs; i++) {
        fwrite(response->kvs[i]->value.data, 1, response->kvs[i]->value.len, stdout);
        if (newline)
            putchar('\n');
    }
}

static void print_keys(const Etcdserverpb__RangeResponse *response)
{
    for (size_t i = 0; i < response->n_kvs; i++) {
        print_escaped(stdout, bytes_pb(response->kvs[i]->key));
        putchar('\n');
    }
}

static void print_pairs(const Etcdserverpb__RangeResponse *response, bool detailed)
{
    static const char *const titles_short[] = {"KEY", "VALUE", NULL};
    static const char *const titles_long[] = {"KEY",   ">REVISION", ">CREATED", ">VERSION",
                                              "LEASE", "VALUE",     NULL};
    struct table table;
    table_init(&table, detailed ? titles_long : titles_short);
    for (size_t i = 0; i < response->n_kvs; i++) {
        const Mvccpb__KeyValue *pair = response->kvs[i];
        table_bytes(&table, bytes_pb(pair->key));
        if (detailed) {
            table_cell(&table, "%" PRId64, pair->mod_revision);
            table_cell(&table, "%" PRId64, pair->create_revision);
            table_cell(&table, "%" PRId64, pair->version);
            table_cell(&table, pair->lease != 0 ? "%" PRIx64 : "-", (uint64_t)pair->lease);
        }
        table_bytes(&table, bytes_pb(pair->value));
    }
    if (terminal_stdout())
        table_print(&table, stdout);
    else
        table_print_tabs(&table, stdout);
    table_release(&table);
    if (response->more && terminal_stdout())
        printf("(%zu of %" PRId64 " keys)\n", response->n_kvs, response->count);
}

static enum exit_code print_answer(const struct session *session, const struct options *options)
{
    const Etcdserverpb__RangeResponse *response = session_response(session);
    bool keys_only = options_bool(options, "keys-only");
    bool count_only = options_bool(options, "count-only");
    if (session->json)
        print_json(response, !keys_only);
    else if (count_only)
        printf("%" PRId64 "\n", response->count);
    else if (keys_only)
        print_keys(response);
    else if (options_bool(options, "value-only"))
        print_values(response);
    else if (response->n_kvs > 0)
        print_pairs(response, options_bool(options, "long"));
    if (response->n_kvs > 0 || count_only)
        return EXIT_CODE_OK;
    if (!session->json) {
        fprintf(stderr, "synod get: no key ");
        print_escaped(stderr, bytes_text(options->arguments[0]));
        fprintf(stderr, "%s\n", options_bool(options, "prefix") ? "..." : "");
    }
    return EXIT_CODE_NOTHING;
}

static enum exit_code get(struct session *session, const struct options *options)
{
    Etcdserverpb__RangeRequest request = ETCDSERVERPB__RANGE_REQUEST__INIT;
    struct range range;
    enum exit_code code = range_read(options, &range);
    if (code == EXIT_CODE_OK)
        code = read_sort(options, &request);
    if (code != EXIT_CODE_OK)
        return code;
    request.key = range.key;
    request.range_end = range.end;
    request.limit = options_number(options, "limit");
    request.revision = options_number(options, "rev");
    request.serializable = options_bool(options, "serializable");
    request.keys_only = options_bool(options, "keys-only");
    request.count_only = options_bool(options, "count-only");
    code = session_call(session, &rpc_range, &request.base);
    return code == EXIT_CODE_OK ? print_answer(session, options) : code;
}

int cmd_get(int argc, char **argv)
{
    return session_command(&spec, argc, argv, get);
}
