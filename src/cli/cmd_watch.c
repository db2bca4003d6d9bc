/* synod watch: prints changes as they happen, until Ctrl-C.
 *
 * The stream is opened again after a failure, at the revision after the last one printed, so
 * nothing is printed twice or left out as long as the history reaches back that far. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/print.h"
#include "cli/range.h"

#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

static const struct option flags[] = {
    {.group = "Watching",
     .name = "rev",
     .kind = OPTION_NUMBER,
     .maximum = INT64_MAX,
     .hint = "REVISION",
     .help = "begin with this revision, out of the history; without it, with what comes next"},
    {.name = "prev", .kind = OPTION_BOOL, .help = "also print what was there before"},
    {.name = "no-put", .kind = OPTION_BOOL, .help = "only deletions"},
    {.name = "no-delete", .kind = OPTION_BOOL, .help = "only puts"},
    {.name = "count",
     .kind = OPTION_NUMBER,
     .maximum = INT64_MAX,
     .help = "end after this many events"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "watch",
    .summary = "print changes as they happen",
    .arguments = "KEY [RANGE_END]",
    .description =
        "One line for each event: revision, put or delete, key, value. --json prints one object a\n"
        "line. Goes on over failures of members. Ends with Ctrl-C, exit code 0.\n"
        "Exit codes: 0 ended, 1 refused or cancelled by the server, 2 usage, 4 no member "
        "reachable.\n",
    .examples = "  synod watch config\n"
                "  synod watch service/ --prefix --prev\n"
                "  synod watch '' --prefix --rev 1            the whole history, then what comes\n"
                "  synod watch job --count 1 && ./run-job\n",
    .arguments_min = 1,
    .arguments_max = 2,
    .tables = {range_flags, flags, session_flags},
};

struct watcher {
    struct session *session;
    struct range range;
    struct grpc_call call;
    uv_signal_t interrupt;
    int64_t revision; /* the next to see; 0: whatever comes */
    int64_t count;    /* events still to print; 0: no end */
    bool prev;
    bool no_put;
    bool no_delete;
    bool answered; /* some server has taken the stream: from now on, failures are survived */
    bool broken;   /* the stream ended: open another */
    bool done;
    enum exit_code code;
    struct grpc_status status;
};

static void print_event_json(const Mvccpb__Event *event)
{
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_text(&json, "type", event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE ? "delete" : "put");
    json_key_value(&json, "kv", event->kv, event->type != MVCCPB__EVENT__EVENT_TYPE__DELETE);
    json_key_value(&json, "prev_kv", event->prev_kv, true);
    json_object_end(&json);
    json_line(&json);
}

static void print_event(const Mvccpb__Event *event)
{
    bool deleted = event->type == MVCCPB__EVENT__EVENT_TYPE__DELETE;
    bool terminal = terminal_stdout();
    const char *tab = terminal ? "  " : "\t";
    printf(terminal ? "%8" PRId64 "%s%-6s%s" : "%" PRId64 "%s%s%s", event->kv->mod_revision, tab,
           deleted ? "delete" : "put", tab);
    print_escaped(stdout, bytes_pb(event->kv->key));
    if (!deleted) {
        fputs(tab, stdout);
        print_escaped(stdout, bytes_pb(event->kv->value));
    }
    if (event->prev_kv != NULL) {
        printf("%s(was ", tab);
        print_escaped(stdout, bytes_pb(event->prev_kv->value));
        putchar(')');
    }
    putchar('\n');
}

static void print_events(struct watcher *watcher, const Etcdserverpb__WatchResponse *response)
{
    for (size_t i = 0; i < response->n_events && !watcher->done; i++) {
        const Mvccpb__Event *event = response->events[i];
        if (event->kv == NULL)
            continue;
        if (watcher->session->json)
            print_event_json(event);
        else
            print_event(event);
        if (watcher->count > 0 && --watcher->count == 0)
            watcher->done = true;
        watcher->revision = event->kv->mod_revision + 1;
    }
    if (fflush(stdout) != 0)
        watcher->done = true; /* whoever read our output is gone */
}

static void on_message(struct grpc_call *call, struct bytes message)
{
    struct watcher *watcher = call->owner;
    Etcdserverpb__WatchResponse *response =
        etcdserverpb__watch_response__unpack(NULL, message.size, message.data);
    if (response == NULL)
        return;
    watcher->answered = true;
    if (response->canceled) {
        if (response->compact_revision != 0)
            fprintf(stderr, "synod watch: the history before revision %" PRId64 " is gone\n",
                    response->compact_revision);
        else
            fprintf(stderr, "synod watch: cancelled by the server: %s\n", response->cancel_reason);
        watcher->code = EXIT_CODE_FAILED;
        watcher->done = true;
    }
    /* Whatever happens after this moment is to be seen, even if the stream breaks before an event.
     */
    if (response->created && watcher->revision == 0 && response->header != NULL)
        watcher->revision = response->header->revision + 1;
    print_events(watcher, response);
    etcdserverpb__watch_response__free_unpacked(response, NULL);
}

static void on_end(struct grpc_call *call, const struct grpc_status *status)
{
    struct watcher *watcher = call->owner;
    watcher->broken = true;
    watcher->status = *status;
}

static void on_interrupt(uv_signal_t *handle, int number)
{
    struct watcher *watcher = handle->data;
    (void)number;
    watcher->done = true;
}

static enum exit_code watcher_open(struct watcher *watcher, bool patient)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCreateRequest__FilterType filters[2];
    if (watcher->no_put)
        filters[create.n_filters++] = ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    if (watcher->no_delete)
        filters[create.n_filters++] = ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NODELETE;
    create.filters = filters;
    create.key = watcher->range.key;
    create.range_end = watcher->range.end;
    create.start_revision = watcher->revision;
    create.prev_kv = watcher->prev;
    create.progress_notify = true; /* keeps `revision` ahead of compactions on a quiet key */
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = &create;
    watcher->broken = false;
    grpc_call_begin(&watcher->call);
    grpc_call_pack(&watcher->call, &request.base);
    return session_stream(watcher->session, &watcher->call, rpc_watch_path, patient);
}

static enum exit_code watch(struct session *session, const struct options *options)
{
    struct watcher watcher = {.session = session};
    watcher.code = range_read(options, &watcher.range);
    if (watcher.code != EXIT_CODE_OK)
        return watcher.code;
    watcher.revision = options_number(options, "rev");
    watcher.count = options_number(options, "count");
    watcher.prev = options_bool(options, "prev");
    watcher.no_put = options_bool(options, "no-put");
    watcher.no_delete = options_bool(options, "no-delete");
    grpc_call_init(&watcher.call);
    watcher.call.on_message = on_message;
    watcher.call.on_end = on_end;
    watcher.call.owner = &watcher;
    uv_signal_init(&session->client.loop, &watcher.interrupt);
    watcher.interrupt.data = &watcher;
    uv_signal_start(&watcher.interrupt, on_interrupt, SIGINT);
    uint64_t limit = uv_now(&session->client.loop) + session->timeout_ms;
    watcher.code = watcher_open(&watcher, false);
    while (!watcher.done && watcher.code == EXIT_CODE_OK) {
        uv_run(&session->client.loop, UV_RUN_ONCE);
        if (!watcher.answered && uv_now(&session->client.loop) > limit) {
            fprintf(stderr, "synod %s: no answer within the timeout\n", session->command);
            watcher.code = EXIT_CODE_UNREACHABLE;
        }
        if (!watcher.broken || watcher.done)
            continue;
        watcher.code = session_exit_code(&watcher.status);
        if (watcher.code == EXIT_CODE_UNREACHABLE && watcher.answered)
            watcher.code = watcher_open(&watcher, true);
        else
            session_print_error(session, &watcher.status);
    }
    grpc_call_release(&watcher.call);
    session_close_handles(session);
    return watcher.code;
}

int cmd_watch(int argc, char **argv)
{
    return session_command(&spec, argc, argv, watch);
}
