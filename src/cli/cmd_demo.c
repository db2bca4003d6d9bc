/* synod demo: the steps of the demonstration, in order.
 *
 * Each step returns whether it held, having printed what it measured or why it failed; the first
 * that does not hold ends the demonstration. Members are stopped in every case. */
#include "cli/commands.h"
#include "cli/demo.h"
#include "cli/print.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

#define LEADER_LIMIT_MS 30000
#define WRITES_LIMIT_MS 30000
#define CATCH_UP_LIMIT_MS 60000
#define WRITE_BEFORE_MS 1000 /* of writing before the leader is killed */
#define ACKS_AFTER 50        /* writes that must succeed before the failure counts as over */
#define NS_PER_MS 1e6

static const struct option flags[] = {
    {.group = "Cluster",
     .name = "members",
     .kind = OPTION_NUMBER,
     .preset = "3",
     .minimum = 3,
     .maximum = DEMO_MEMBERS_MAX,
     .help = "how many"},
    {.name = "port",
     .kind = OPTION_NUMBER,
     .preset = "2379",
     .minimum = 1,
     .maximum = 65535 - 2 * DEMO_MEMBERS_MAX,
     .help = "member i serves clients on port + 2(i-1) and members on the port after that"},
    {.name = "engine",
     .kind = OPTION_STRING,
     .preset = "multipaxos",
     .hint = "NAME",
     .choice = engine_choice,
     .help = "consensus algorithm"},
    {.name = "data-dir",
     .kind = OPTION_STRING,
     .hint = "DIR",
     .help = "keep data and logs here; without it they are in a new directory under $TMPDIR that "
             "is removed at the end"},
    {.group = "Output",
     .name = "once",
     .kind = OPTION_BOOL,
     .help = "stop after the demonstration; exit 0 only if every step held"},
    {.name = "quiet", .kind = OPTION_BOOL, .help = "print failures only"},
    {.name = "json", .kind = OPTION_BOOL, .help = "print one JSON object with what was measured"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "demo",
    .summary = "start a cluster on this machine, kill its leader, watch it recover",
    .description =
        "Starts the members as processes of their own, writes and reads, ends the leader with\n"
        "SIGKILL while it writes, measures how long writes stand still, starts the member again,\n"
        "waits until it has caught up, and checks that no acknowledged write is missing. Then it\n"
        "keeps the cluster running until Ctrl-C.\n"
        "Exit codes: 0 every step held, 1 a step failed (it is named), 2 usage.\n",
    .examples = "  synod demo\n"
                "  synod demo --once                         for scripts\n"
                "  synod demo --members 5 --port 12379 --data-dir /tmp/five\n",
    .tables = {flags},
};

static void on_signal(uv_signal_t *handle, int number)
{
    struct demo *demo = handle->data;
    (void)number;
    demo->interrupted = true;
}

static void on_child(uv_signal_t *handle, int number)
{
    (void)number;
    cluster_reap(handle->data);
}

static double ms_since(uint64_t started_ns)
{
    return (double)(uv_hrtime() - started_ns) / NS_PER_MS;
}

/* Lets the loop turn for a while; false when Ctrl-C came. */
static bool linger(struct demo *demo, double ms)
{
    uint64_t started = uv_hrtime();
    do
        uv_run(&demo->client.loop, UV_RUN_ONCE);
    while (ms_since(started) < ms && !demo->interrupted);
    return !demo->interrupted || show_failed(demo, "interrupted");
}

static bool some_member_died(struct demo *demo)
{
    cluster_reap(demo);
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[i];
        if (member->pid != 0 || member->killed)
            continue;
        show_failed(demo, "%s ended by itself", member->name);
        member_print_log(demo, member);
        return true;
    }
    return false;
}

/* Waits until `answering` members answer and agree on a leader. */
static struct demo_member *wait_for_leader(struct demo *demo, size_t answering)
{
    uint64_t started = uv_hrtime();
    while (ms_since(started) < LEADER_LIMIT_MS) {
        probe_members(demo);
        struct demo_member *leader = probe_leader(demo, answering);
        if (leader != NULL)
            return leader;
        if (some_member_died(demo) || !linger(demo, 10))
            return NULL;
    }
    show_failed(demo, "no leader within %d s", LEADER_LIMIT_MS / 1000);
    for (size_t i = 0; i < demo->members_count; i++)
        member_print_log(demo, &demo->members[i]);
    return NULL;
}

static struct demo_member *step_start(struct demo *demo)
{
    uint64_t started = uv_hrtime();
    show_line(demo, "Synod demo: %zu members on this machine, engine %s, data in %s\n",
              demo->members_count, demo->engine, demo->directory);
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[i];
        if (!cluster_start(demo, member))
            return NULL;
        grpc_connection_open(&member->connection, &demo->client);
        rpc_init(&member->rpc);
    }
    show_done(demo, "started %zu members", demo->members_count);
    show_waiting(demo, "waiting for a leader ...");
    struct demo_member *leader = wait_for_leader(demo, demo->members_count);
    if (leader == NULL)
        return NULL;
    demo->leader_ms = ms_since(started);
    show_done(demo, "%s leads, %.0f ms after the start", leader->name, demo->leader_ms);
    show_members(demo);
    return leader;
}

static ProtobufCBinaryData data_of(const char *text)
{
    return (ProtobufCBinaryData){strlen(text), (uint8_t *)(uintptr_t)text};
}

static bool step_write_and_read(struct demo *demo, struct demo_member *leader)
{
    static const char key[] = "demo/greeting";
    static const char value[] = "hello";
    struct demo_member *follower =
        leader == &demo->members[0] ? &demo->members[1] : &demo->members[0];
    Etcdserverpb__DeleteRangeRequest clear = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    Etcdserverpb__RangeRequest get = ETCDSERVERPB__RANGE_REQUEST__INIT;
    clear.key = data_of("demo/");
    clear.range_end = data_of("demo0"); /* what an earlier demo left in --data-dir */
    if (!probe_call(demo, leader, &rpc_delete_range, &clear.base, 5000))
        return show_failed(demo, "delete through %s: %s", leader->name, leader->rpc.status.message);
    put.key = data_of(key);
    put.value = data_of(value);
    if (!probe_call(demo, leader, &rpc_put, &put.base, 5000))
        return show_failed(demo, "put through %s: %s", leader->name, leader->rpc.status.message);
    const Etcdserverpb__PutResponse *done = (const void *)leader->rpc.response;
    show_done(demo, "put %s = %s through the leader %s: revision %lld", key, value, leader->name,
              done->header != NULL ? (long long)done->header->revision : 0);
    get.key = data_of(key);
    if (!probe_call(demo, follower, &rpc_range, &get.base, 5000))
        return show_failed(demo, "get through %s: %s", follower->name,
                           follower->rpc.status.message);
    const Etcdserverpb__RangeResponse *found = (const void *)follower->rpc.response;
    if (found->n_kvs != 1 || found->kvs[0]->value.len != strlen(value) ||
        memcmp(found->kvs[0]->value.data, value, strlen(value)) != 0)
        return show_failed(demo, "get through the follower %s did not give what was put",
                           follower->name);
    show_done(demo, "get %s through the follower %s: %s", key, follower->name, value);
    return true;
}

/* Kills the leader under writes; returns the new one. */
static struct demo_member *step_kill(struct demo *demo, struct demo_member *leader)
{
    struct demo_writer *writer = &demo->writer;
    pid_t pid = leader->pid;
    demo->victim = (size_t)(leader - demo->members);
    show_waiting(demo, "writing one key after the other ...");
    writer_start(demo, (demo->victim + 1) % demo->members_count);
    if (!linger(demo, WRITE_BEFORE_MS))
        return NULL;
    demo->writes_per_second = (double)writer->next * 1000 / WRITE_BEFORE_MS;
    if (writer->next == 0) {
        show_failed(demo, "no write succeeded within %d ms", WRITE_BEFORE_MS);
        return NULL;
    }
    show_done(demo, "writing one key after the other: %.0f a second", demo->writes_per_second);
    writer_mark(writer);
    cluster_kill(demo, leader, SIGKILL);
    show_line(demo, "    kill -9 %d: the leader %s is gone", (int)pid, leader->name);
    show_waiting(demo, "waiting for writes to succeed again ...");
    uint64_t started = uv_hrtime();
    while (writer->acks_since_mark < ACKS_AFTER) {
        if (ms_since(started) > WRITES_LIMIT_MS) {
            show_failed(demo, "no writes within %d s after the leader was killed",
                        WRITES_LIMIT_MS / 1000);
            return NULL;
        }
        if (some_member_died(demo) || !linger(demo, 0))
            return NULL;
    }
    demo->outage_ms = (double)writer->gap_ns / NS_PER_MS;
    struct demo_member *next = wait_for_leader(demo, demo->members_count - 1);
    if (next != NULL)
        show_done(demo, "writes stood still for %.0f ms; %s leads now, in term %llu",
                  demo->outage_ms, next->name, (unsigned long long)next->term);
    return next;
}

static bool step_return(struct demo *demo)
{
    struct demo_member *member = &demo->members[demo->victim];
    writer_stop(&demo->writer);
    demo->writes = demo->writer.next;
    uint64_t started = uv_hrtime();
    if (!cluster_start(demo, member))
        return false;
    show_waiting(demo, "waiting for it to catch up ...");
    while (!probe_converged(demo) || probe_leader(demo, demo->members_count) == NULL) {
        if (ms_since(started) > CATCH_UP_LIMIT_MS) {
            show_failed(demo, "%s did not catch up within %d s", member->name,
                        CATCH_UP_LIMIT_MS / 1000);
            member_print_log(demo, member);
            return false;
        }
        if (some_member_died(demo) || !linger(demo, 5))
            return false;
    }
    demo->catch_up_ms = ms_since(started);
    show_done(demo, "%s is back and has caught up after %.0f ms: revision %lld, hash %08x on all",
              member->name, demo->catch_up_ms, (long long)member->revision, member->hash);
    return true;
}

static bool step_check(struct demo *demo)
{
    struct demo_member *member = &demo->members[demo->victim];
    uint64_t found = probe_count_writes(demo, member, demo->writes);
    char text[32];
    format_count(demo->writes, text, sizeof text);
    if (found != demo->writes)
        return show_failed(demo, "%llu of %s acknowledged writes are missing on %s",
                           (unsigned long long)(demo->writes - found), text, member->name);
    show_done(demo, "all %s acknowledged writes are there, read from the copy of %s", text,
              member->name);
    probe_members(demo);
    show_members(demo);
    return true;
}

static bool demonstrate(struct demo *demo)
{
    struct demo_member *leader = step_start(demo);
    return leader != NULL && step_write_and_read(demo, leader) && step_kill(demo, leader) != NULL &&
           step_return(demo) && step_check(demo);
}

static void prepare(struct demo *demo, const struct options *options)
{
    demo->members_count = (size_t)options_number(options, "members");
    demo->engine = options_string(options, "engine");
    demo->json = options_bool(options, "json");
    demo->quiet = options_bool(options, "quiet") || demo->json;
    demo->unicode = terminal_unicode() && !demo->quiet;
    grpc_client_init(&demo->client);
    writer_init(demo);
    uv_signal_t *const signals[] = {&demo->interrupt, &demo->terminate, &demo->child};
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++) {
        uv_signal_init(&demo->client.loop, signals[i]);
        signals[i]->data = demo;
    }
    uv_signal_start(&demo->interrupt, on_signal, SIGINT);
    uv_signal_start(&demo->terminate, on_signal, SIGTERM);
    uv_signal_start(&demo->child, on_child, SIGCHLD);
    unsigned port = (unsigned)options_number(options, "port");
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[i];
        char text[64];
        char error[128];
        member->client_port = port + 2 * (unsigned)i;
        member->peer_port = member->client_port + 1;
        snprintf(member->name, sizeof member->name, "m%u", (unsigned)(i + 1) % 100);
        snprintf(text, sizeof text, "127.0.0.1:%u", member->client_port);
        (void)grpc_endpoint_parse(text, &member->endpoint, error, sizeof error);
        member->connection.endpoints = &member->endpoint;
        member->connection.endpoints_count = 1;
        member->connection.state = GRPC_CLOSED; /* until it is opened */
    }
}

static void finish(struct demo *demo, bool held)
{
    writer_stop(&demo->writer);
    show_waiting(demo, "stopping the members ...");
    if (!cluster_stop(demo) && held)
        held = show_failed(demo, "a member did not stop on SIGTERM");
    else if (held)
        show_done(demo, "all members stopped");
    if (held || demo->interrupted)
        cluster_remove_directory(demo);
    else if (demo->directory[0] != '\0')
        fprintf(stderr, "Logs and data are kept in %s\n", demo->directory);
    for (size_t i = 0; i < demo->members_count; i++) {
        grpc_connection_close(&demo->members[i].connection);
        rpc_release(&demo->members[i].rpc);
    }
    grpc_call_release(&demo->writer.call);
    grpc_client_release(&demo->client);
}

int cmd_demo(int argc, char **argv)
{
    static struct demo demo;
    struct options options;
    enum options_result result = options_parse(&options, &spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    prepare(&demo, &options);
    bool held = cluster_ports_free(&demo) &&
                cluster_make_directory(&demo, options_string(&options, "data-dir")) &&
                demonstrate(&demo);
    bool once = options_bool(&options, "once");
    if (demo.json && !once)
        show_json(&demo);
    if (held && !once) {
        show_connect(&demo);
        while (!demo.interrupted)
            uv_run(&demo.client.loop, UV_RUN_ONCE);
    }
    finish(&demo, held);
    if (demo.json && once)
        show_json(&demo);
    options_release(&options);
    return demo.failure[0] == '\0' ? EXIT_CODE_OK : EXIT_CODE_FAILED;
}
