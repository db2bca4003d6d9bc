/* synod serve: one member. It puts the rooms together: the real world, the replica over it, the
 * front before it, all on one loop; and takes them apart in the opposite order.
 *
 * The one invariant: nothing listens before recovery has succeeded, and on the way out nothing is
 * freed that something still running could call. */
#include "cli/commands.h"
#include "cli/serve.h"
#include "front/etcd/front.h"
#include "journal/journal.h"
#include "world/mem_system.h"
#include "world/panic_hook.h"
#include "world/real.h"

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#define QUOTA_DEFAULT (INT64_C(2) * 1024 * 1024 * 1024)
#define QUOTA_OFF (INT64_C(64) * 1024 * 1024 * 1024)
#define LISTEN_MAX 16
/* What a failover may take longer because of it; a confirmed read round buys so much. */
#define READ_LEASE_NS UINT64_C(100000000)

static const struct options_spec serve_spec = {
    .command = "serve",
    .summary = "run one member of a cluster",
    .description =
        "Takes etcd's flags and ETCD_* variables. A cluster of three, each on its own machine:\n"
        "every member gets the same --initial-cluster and its own --name and addresses. On "
        "SIGTERM\n"
        "or SIGINT it hands over the leadership, stops, and dies by the same signal.",
    .examples = "  synod serve --data-dir /var/lib/synod\n"
                "  synod serve --name m1 --data-dir m1 \\\n"
                "      --listen-client-urls http://10.0.0.1:2379 --advertise-client-urls "
                "http://10.0.0.1:2379 \\\n"
                "      --listen-peer-urls http://10.0.0.1:2380 --initial-advertise-peer-urls "
                "http://10.0.0.1:2380 \\\n"
                "      --initial-cluster "
                "m1=http://10.0.0.1:2380,m2=http://10.0.0.2:2380,m3=http://10.0.0.3:2380\n",
    .arguments_max = -1, /* complained about as etcd does */
    .env_prefix = "ETCD_",
    .env_is_exclusive = true,
    .tables = {serve_flags, serve_flags_unused, serve_flags_refused},
};

struct server {
    uv_loop_t loop;
    struct options options;
    struct mem *mem;
    struct real_world *real;
    struct world_events events;
    struct identity identity;
    struct replica *replica;
    struct etcd_front *front;
    struct compactor *compactor;
    uv_signal_t terminate;
    uv_signal_t interrupt;
    const char *client_urls[LISTEN_MAX];
    uint32_t client_urls_count;
    const char *listen_urls[LISTEN_MAX];
    uint32_t listen_urls_count;
    int stopping; /* the signal; 0: running */
    char text[1024];
    struct text error;
};

static void server_log(struct server *s, enum log_level level, const char *message,
                       const char *fields)
{
    real_world_log(s->real, level, "cli/serve", message, fields);
}

/* --- What the flags say ---------------------------------------------------------------------- */

static bool complain(struct server *s, const char *message)
{
    text_add(&s->error, message);
    return false;
}

static bool read_log_flags(struct server *s, struct real_world_config *config)
{
    static const char *const levels[] = {"debug", "info", "warn", "error"};
    const char *level = options_string(&s->options, "log-level");
    const char *format = options_string(&s->options, "log-format");
    bool found = false;
    for (int i = 0; i < 4; i++) {
        if (strcmp(level, levels[i]) == 0) {
            config->log_level = (enum log_level)i;
            found = true;
        }
    }
    if (!found)
        return complain(s, "--log-level must be debug, info, warn or error");
    if (strcmp(format, "json") != 0 && strcmp(format, "console") != 0)
        return complain(s, "--log-format must be json or console");
    config->log_format = strcmp(format, "json") == 0 ? LOG_JSON : LOG_CONSOLE;
    return true;
}

static bool read_urls(struct server *s, const char *flag, const char **urls, uint32_t *count)
{
    size_t listed;
    const char *const *list = options_list(&s->options, flag, &listed);
    for (size_t i = 0; i < listed; i++) {
        struct address address;
        if (!address_parse(list[i], &address, &s->error)) {
            text_add(&s->error, " (");
            text_add(&s->error, flag);
            text_add(&s->error, ")");
            return false;
        }
        if (*count == LISTEN_MAX)
            return complain(s, "too many URLs in one list");
        urls[(*count)++] = list[i];
    }
    return true;
}

static bool read_listen_flags(struct server *s, struct real_world_config *config)
{
    const char *peer_urls[LISTEN_MAX];
    uint32_t peers = 0;
    if (options_given(&s->options, "listen-client-urls") &&
        !options_given(&s->options, "advertise-client-urls"))
        return complain(s, "--advertise-client-urls is required when --listen-client-urls is set "
                           "explicitly");
    if (!read_urls(s, "listen-client-urls", s->listen_urls, &s->listen_urls_count) ||
        !read_urls(s, "listen-metrics-urls", s->listen_urls, &s->listen_urls_count) ||
        !read_urls(s, "advertise-client-urls", s->client_urls, &s->client_urls_count) ||
        !read_urls(s, "listen-peer-urls", peer_urls, &peers))
        return false;
    if (peers > REAL_WORLD_LISTEN_MAX)
        return complain(s, "too many --listen-peer-urls");
    for (uint32_t i = 0; i < peers; i++) {
        struct address address;
        if (!address_parse(peer_urls[i], &address, &s->error))
            return false;
        memcpy(config->listen[i].host, address.host, sizeof address.host);
        config->listen[i].port = address.port;
    }
    config->listen_count = peers;
    return true;
}

static bool check_flags(struct server *s)
{
    int64_t heartbeat = options_number(&s->options, "heartbeat-interval");
    int64_t election = options_number(&s->options, "election-timeout");
    if (election > 50000)
        return complain(s, "--election-timeout must be at most 50000 ms");
    if (election < 5 * heartbeat)
        return complain(s, "--election-timeout must be at least 5 times --heartbeat-interval");
    for (const struct option *flag = serve_flags_refused; flag->name != NULL; flag++) {
        if (serve_flag_departs(&s->options, flag)) {
            text_add(&s->error, "--");
            text_add(&s->error, flag->name);
            return complain(s, ": this feature is not there yet; starting without it would not be "
                               "what you asked for");
        }
    }
    return true;
}

static void warn_unused(struct server *s)
{
    size_t cursor = 0;
    char name[256];
    char line[512];
    for (const struct option *flag = serve_flags_unused; flag->name != NULL; flag++) {
        if (!serve_flag_departs(&s->options, flag))
            continue;
        struct text fields = text_of(line, sizeof line);
        log_field_text(&fields, "flag", flag->name);
        server_log(s, LOG_WARN, "this flag has no effect on synod", line);
    }
    while (options_env_unknown(&serve_spec, &cursor, name, sizeof name)) {
        struct text fields = text_of(line, sizeof line);
        log_field_text(&fields, "environment-variable", name);
        server_log(s, LOG_WARN, "unrecognized environment variable", line);
    }
}

/* --- Identity -------------------------------------------------------------------------------- */

static bool check_identity_flags(struct server *s)
{
    const struct engine_ops *engine = engine_by_id(s->identity.engine);
    if (options_given(&s->options, "engine") && engine != NULL &&
        strcmp(options_string(&s->options, "engine"), engine->name) != 0) {
        text_add(&s->error, "--engine ");
        text_add(&s->error, options_string(&s->options, "engine"));
        text_add(&s->error, ": this member's cluster was made with --engine ");
        text_add(&s->error, engine->name);
        return complain(s, ", and the engine of a cluster cannot be changed: leave the flag out, "
                           "or choose another --data-dir for a new cluster");
    }
    return true;
}

static bool foreign_directory(struct server *s, const char *root)
{
    char path[4096];
    struct text text = text_of(path, sizeof path);
    struct stat info;
    text_add(&text, root);
    text_add(&text, "/member");
    if (stat(path, &info) != 0)
        return false;
    text_add(&s->error, root);
    complain(s,
             " holds etcd's data, which synod does not read: choose another --data-dir, and copy "
             "the keys from the running etcd");
    return true;
}

/* The log comes first: a member with an identity and no log has lost one. */
static bool create_member(struct server *s)
{
    struct world *world = real_world_world(s->real);
    uint64_t disk = world->ops->random(world) | 1;
    if (!bootstrap_identity(&s->options, disk, &s->identity, &s->error))
        return false;
    uint64_t self = identity_member(&s->identity, s->identity.self)->id;
    return journal_create(world, s->mem, s->identity.cluster, self, &s->error) == STATUS_OK &&
           identity_create(world, s->mem, &s->identity, &s->error) == STATUS_OK;
}

static bool find_identity(struct server *s, const char *root)
{
    struct world *world = real_world_world(s->real);
    enum status status = identity_load(world, &s->error, &s->identity);
    if (status == STATUS_OK)
        return check_identity_flags(s) && journal_expect(world, &s->error) == STATUS_OK;
    if (status != STATUS_NOT_FOUND || foreign_directory(s, root))
        return false;
    return create_member(s);
}

static bool set_members(struct server *s)
{
    struct real_world_peer peers[MEMBERS_MAX];
    for (uint32_t i = 0; i < s->identity.members_count; i++) {
        const struct identity_member *member = &s->identity.members[i];
        struct address address;
        if (!address_parse(member->peer_urls[0], &address, &s->error))
            return false;
        peers[i] = (struct real_world_peer){.node = member->node, .port = address.port};
        memcpy(peers[i].host, address.host, sizeof address.host);
    }
    real_world_set_members(s->real, identity_link(&s->identity), s->identity.self, peers,
                           s->identity.members_count);
    return true;
}

/* The directories above the data directory, as far as they are missing. */
static void make_parents(const char *directory)
{
    char path[4096];
    struct text text = text_of(path, sizeof path);
    text_add(&text, directory);
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700); /* what cannot be made is reported when the last part is */
        *slash = '/';
    }
}

/* --- Start ----------------------------------------------------------------------------------- */

static void on_fatal(void *owner, const char *what)
{
    struct server *s = owner;
    char line[512];
    struct text fields = text_of(line, sizeof line);
    log_field_text(&fields, "reason", what);
    server_log(s, LOG_ERROR, "cannot go on; stopping at once", line);
    _exit(1);
}

static void on_ready(void *owner)
{
    struct server *s = owner;
    for (uint32_t i = 0; i < s->listen_urls_count; i++) {
        char line[512];
        struct text fields = text_of(line, sizeof line);
        log_field_text(&fields, "address", s->listen_urls[i]);
        log_field_text(&fields, "engine", engine_by_id(s->identity.engine)->name);
        server_log(s, LOG_INFO, "ready to serve client requests", line);
    }
}

static int64_t quota_bytes(const struct options *options)
{
    int64_t bytes = options_number(options, "quota-backend-bytes");
    if (bytes == 0)
        return QUOTA_DEFAULT;
    return bytes < 0 ? QUOTA_OFF : bytes;
}

static bool open_replica(struct server *s)
{
    const struct options *o = &s->options;
    struct replica_config config = {
        .world = real_world_world(s->real),
        .mem = s->mem,
        .identity = &s->identity,
        .client_urls = s->client_urls,
        .client_urls_count = s->client_urls_count,
        .heartbeat_ns = (uint64_t)options_number(o, "heartbeat-interval") * 1000000,
        .election_ns = (uint64_t)options_number(o, "election-timeout") * 1000000,
        .lease_ns = READ_LEASE_NS,
        .lease_reads = strcmp(options_string(o, "read-mode"), "lease") == 0,
        .quota_bytes = (uint64_t)quota_bytes(o),
        .snapshot_slots = (uint64_t)options_number(o, "snapshot-count"),
        .owner = s,
        .on_fatal = on_fatal,
        .on_ready = on_ready,
    };
    if (replica_open(&config, &s->error, &s->replica) != STATUS_OK)
        return false;
    s->events = replica_events(s->replica);
    return true;
}

static bool open_front(struct server *s)
{
    const struct options *o = &s->options;
    uint32_t threads = (uint32_t)options_number(o, "front-threads");
    struct etcd_front_config config = {
        .loop = &s->loop,
        .world = real_world_world(s->real),
        .replica = s->replica,
        .mem = s->mem,
        .listen_urls = s->listen_urls,
        .listen_urls_count = s->listen_urls_count,
        .request_bytes_max = (uint64_t)options_number(o, "max-request-bytes"),
        .txn_ops_max = (uint32_t)options_number(o, "max-txn-ops"),
        .streams_max = (uint32_t)options_number(o, "max-concurrent-streams"),
        .progress_interval_ns = (uint64_t)options_duration_ns(o, "watch-progress-notify-interval"),
        .threads = threads,
        .threads_mem = mem_for_threads(threads),
        .leaderless_ns_max = 3 * (uint64_t)options_number(o, "election-timeout") * 1000000,
    };
    return etcd_front_open(&config, &s->error, &s->front) == STATUS_OK;
}

static bool start(struct server *s)
{
    struct real_world_config config = {.loop = &s->loop, .mem = s->mem, .events = &s->events};
    char root[IDENTITY_NAME_MAX + 16];
    struct text text = text_of(root, sizeof root);
    const char *directory = options_string(&s->options, "data-dir");
    if (directory[0] == '\0') {
        text_add(&text, options_string(&s->options, "name"));
        text_add(&text, ".etcd");
        directory = root;
    }
    config.root = directory;
    if (!read_log_flags(s, &config) || !read_listen_flags(s, &config) || !check_flags(s))
        return false;
    panic_hook_install(config.log_format);
    make_parents(directory);
    if (real_world_open(&config, &s->error, &s->real) != STATUS_OK)
        return false;
    warn_unused(s);
    if (!find_identity(s, directory) || !set_members(s) || !open_replica(s))
        return false;
    s->compactor = compactor_open(&s->loop, s->replica, s->mem, &s->options, &s->error);
    if (s->error.size > 0 || !open_front(s) ||
        real_world_start_links(s->real, &s->error) != STATUS_OK)
        return false;
    replica_start(s->replica);
    return true;
}

/* --- Stop ------------------------------------------------------------------------------------ */

static void on_world_drained(void *owner)
{
    struct server *s = owner;
    replica_close(s->replica);
}

static void on_front_closed(void *owner)
{
    struct server *s = owner;
    compactor_close(s->compactor);
    replica_halt(s->replica);
    real_world_close(s->real, on_world_drained, NULL, s);
}

static void on_replica_stopped(void *owner)
{
    struct server *s = owner;
    etcd_front_close(s->front, on_front_closed, s);
}

static void on_signal(uv_signal_t *handle, int signal_number)
{
    struct server *s = handle->data;
    char line[64];
    struct text fields = text_of(line, sizeof line);
    text_add(&fields, ",\"signal\":");
    text_i64(&fields, signal_number);
    server_log(s, LOG_INFO, "received signal; shutting down", line);
    s->stopping = signal_number;
    uv_close((uv_handle_t *)&s->terminate, NULL);
    uv_close((uv_handle_t *)&s->interrupt, NULL);
    etcd_front_stop(s->front);
    replica_stop(s->replica, s, on_replica_stopped);
}

static void listen_signals(struct server *s)
{
    uv_signal_init(&s->loop, &s->terminate);
    uv_signal_init(&s->loop, &s->interrupt);
    s->terminate.data = s;
    s->interrupt.data = s;
    uv_signal_start(&s->terminate, on_signal, SIGTERM);
    uv_signal_start(&s->interrupt, on_signal, SIGINT);
}

/* As many descriptors as the system lets us have: every client is one. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int die_by(int signal_number)
{
    if (getpid() == 1)
        return 0;
    signal(signal_number, SIG_DFL);
    raise(signal_number);
    return 128 + signal_number;
}

int cmd_serve(int argc, char **argv)
{
    static struct server server;
    struct server *s = &server;
    s->error = text_of(s->text, sizeof s->text);
    enum options_result result = options_parse(&s->options, &serve_spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    if (s->options.arguments_count > 0) {
        fprintf(stderr, "synod serve: \"%s\" is not a valid flag\n", s->options.arguments[0]);
        return 1;
    }
    umask(077);
    raise_descriptor_limit();
    s->mem = mem_system();
    uv_loop_init(&s->loop);
    if (!start(s)) {
        if (s->real != NULL) {
            char line[1400];
            struct text fields = text_of(line, sizeof line);
            log_field_text(&fields, "error", s->text);
            server_log(s, LOG_ERROR, "cannot start", line);
        } else {
            fprintf(stderr, "synod serve: %s\n", s->text);
        }
        return 1;
    }
    listen_signals(s);
    uv_run(&s->loop, UV_RUN_DEFAULT);
    options_release(&s->options);
    return die_by(s->stopping);
}
