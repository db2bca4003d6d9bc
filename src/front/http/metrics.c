/* /metrics: etcd's names for what etcd has too, so that its dashboards and alerts work, and synod_
 * names for consensus, the log and the process. */
#include "front/http/exposition.h"
#include "front/http/internal.h"
#include "store/watch.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

#define NS 1e9

static double flag(bool value)
{
    return value ? 1 : 0;
}

static void write_server(const struct replica_status *status, struct buffer *out)
{
    metric_gauge(out, "etcd_server_has_leader", "Whether a leader is known. 1 if there is one.",
                 flag(status->leader != 0));
    metric_gauge(out, "etcd_server_is_leader", "Whether this member leads.", flag(status->leading));
    metric_gauge(out, "etcd_server_is_learner", "Whether this member does not vote.", 0);
    metric_counter(out, "etcd_server_leader_changes_seen_total", "Changes of leader seen.",
                   (double)status->leader_changes);
    metric_gauge(out, "etcd_server_proposals_committed_total", "The last slot known as chosen.",
                 (double)status->slot_chosen);
    metric_gauge(out, "etcd_server_proposals_applied_total", "The last slot applied.",
                 (double)status->slot_applied);
    metric_gauge(out, "etcd_server_proposals_pending", "Writes waiting to be applied.",
                 (double)status->proposals_pending);
    metric_counter(out, "etcd_server_proposals_failed_total", "Writes that came to nothing.",
                   (double)status->proposals_failed);
    metric_gauge(out, "etcd_server_quota_backend_bytes", "The memory quota of the store.",
                 (double)status->quota_bytes);
}

static void write_server_version(const char *api, struct buffer *out)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "server_version=\"%s\"", api);
    metric_head(out, METRIC_GAUGE, "etcd_server_version", "The version of etcd's API.");
    metric_sample(out, "etcd_server_version", labels, 1);
    metric_head(out, METRIC_GAUGE, "synod_version", "The version of Synod.");
    metric_sample(out, "synod_version", "version=\"" SYNOD_VERSION "\"", 1);
}

static void write_store(const struct store *store, struct buffer *out)
{
    metric_gauge(out, "etcd_mvcc_db_total_size_in_bytes", "Memory that the store takes.",
                 (double)store_size(store));
    metric_gauge(out, "etcd_mvcc_db_total_size_in_use_in_bytes",
                 "The same without what compaction gives back.", (double)store_size_in_use(store));
    metric_gauge(out, "etcd_debugging_mvcc_keys_total", "Living keys.", (double)store_keys(store));
    metric_gauge(out, "etcd_debugging_mvcc_watcher_total", "Open watches.",
                 (double)watch_count(store));
    metric_gauge(out, "etcd_debugging_mvcc_current_revision", "The store's revision.",
                 (double)store_revision(store));
    metric_gauge(out, "etcd_debugging_mvcc_compact_revision", "The last compaction.",
                 (double)store_compacted(store));
    metric_gauge(out, "synod_store_leases", "Leases.", (double)store_leases(store));
}

/* The journal counts its syncs in plain arrays of the same shape. */
static void write_journal(const struct journal_stats *stats, struct buffer *out)
{
    struct histogram sync = {.count = stats->syncs, .sum = stats->sync_ns_total};
    _Static_assert(sizeof sync.buckets == sizeof stats->sync_buckets, "one shape of histogram");
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++)
        sync.buckets[i] = stats->sync_buckets[i];
    metric_histogram(out, "etcd_disk_wal_fsync_duration_seconds", "Syncs of the log.", &sync, 1e-4,
                     NS);
    metric_counter(out, "synod_journal_records_total", "Records written.", (double)stats->records);
    metric_counter(out, "synod_journal_bytes_total", "Bytes written.", (double)stats->bytes);
    metric_gauge(out, "synod_journal_batch_records_max", "Most records in one sync.",
                 (double)stats->batch_records_max);
    metric_gauge(out, "synod_journal_segments", "Files of the log.", (double)stats->segments);
    metric_gauge(out, "synod_journal_disk_bytes", "Disk that the log takes.",
                 (double)stats->disk_bytes);
}

static void write_consensus(const struct replica_status *status, struct buffer *out)
{
    char labels[64];
    (void)snprintf(labels, sizeof labels, "engine=\"%s\"",
                   status->engine == NULL ? "" : status->engine);
    metric_head(out, METRIC_GAUGE, "synod_engine", "The algorithm that decides.");
    metric_sample(out, "synod_engine", labels, 1);
    metric_gauge(out, "synod_ballot_round", "Round of the ballot.", (double)status->term);
    metric_gauge(out, "synod_leaderless_seconds", "For how long no leader has been known.",
                 (double)status->leaderless_ns / NS);
    metric_gauge(out, "synod_slot_proposed", "The last slot proposed.",
                 (double)status->slot_proposed);
    metric_gauge(out, "synod_slot_chosen", "The last slot known as chosen.",
                 (double)status->slot_chosen);
    metric_gauge(out, "synod_slot_applied", "The last slot applied.", (double)status->slot_applied);
    metric_gauge(out, "synod_snapshot_slot", "The slot of the last snapshot.",
                 (double)status->snapshot_slot);
    metric_counter(out, "synod_elections_total", "Elections begun.", (double)status->elections);
    metric_counter(out, "synod_ballots_burned_total", "Ballots that came to nothing.",
                   (double)status->ballots_burned);
    metric_counter(out, "synod_batches_total", "Batches proposed.", (double)status->batches);
    metric_counter(out, "synod_commands_total", "Commands proposed.", (double)status->commands);
    metric_counter(out, "synod_reads_total", "Linearizable reads.", (double)status->reads);
    metric_counter(out, "synod_read_rounds_total", "Rounds that confirmed them.",
                   (double)status->read_rounds);
    metric_gauge(out, "synod_diverged", "Whether this member's state differs from the others'.",
                 flag(status->diverged));
    metric_histogram(out, "synod_batch_commands", "Commands in a batch.", &status->batch_commands,
                     1, 1);
    metric_histogram(out, "synod_commit_duration_seconds",
                     "From submitting a write to applying it.", &status->commit_ns, 1e-4, NS);
}

static void write_stages(const struct replica_stages *stages, struct buffer *out)
{
    metric_histogram(out, "synod_batch_queue_duration_seconds",
                     "From a batch's first command to sending it to the leader.", &stages->queue_ns,
                     1e-5, NS);
    metric_histogram(out, "synod_batch_agree_duration_seconds",
                     "From there until it was chosen and its turn had come.", &stages->agree_ns,
                     1e-5, NS);
    metric_histogram(out, "synod_batch_apply_duration_seconds",
                     "From there until it was applied and its requests were answered.",
                     &stages->apply_ns, 1e-5, NS);
}

static double peer_lag(const struct replica_status *status, const struct replica_peer *peer)
{
    return status->slot_chosen > peer->slot ? (double)(status->slot_chosen - peer->slot) : 0;
}

static void write_peers(const struct replica_status *status, struct buffer *out)
{
    static const struct {
        const char *name;
        const char *help;
    } heads[] = {
        {"etcd_network_peer_round_trip_time_seconds", "Round trip to a member."},
        {"synod_peer_up", "Whether a member is connected."},
        {"synod_peer_lag_slots", "Chosen slots that a member has not reported."},
    };
    for (unsigned head = 0; head < 3; head++) {
        metric_head(out, METRIC_GAUGE, heads[head].name, heads[head].help);
        for (uint32_t i = 0; i < status->peers_count; i++) {
            const struct replica_peer *peer = &status->peers[i];
            char labels[64];
            (void)snprintf(labels, sizeof labels, "To=\"%llx\"", (unsigned long long)peer->id);
            double value = head == 0   ? (double)peer->round_trip_ns / NS
                           : head == 1 ? flag(peer->up)
                                       : peer_lag(status, peer);
            metric_sample(out, heads[head].name, labels, value);
        }
    }
}

static double resident_bytes(void)
{
    unsigned long long total = 0;
    unsigned long long resident = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file);
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void write_process(struct mem *mem, struct buffer *out)
{
    struct rusage usage;
    metric_gauge(out, "process_resident_memory_bytes", "Resident memory.", resident_bytes());
    metric_gauge(out, "synod_memory_used_bytes", "Memory asked for by the rooms.",
                 (double)mem->used);
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        metric_counter(out, "process_cpu_seconds_total", "Processor time.",
                       seconds(usage.ru_utime) + seconds(usage.ru_stime));
}

void http_metrics_write(struct http_front *front, struct buffer *out)
{
    struct replica_status status;
    struct replica *replica = front->config.replica;
    replica_status(replica, &status);
    write_server_version(front->config.api_version, out);
    write_server(&status, out);
    write_store(machine_store(replica_machine(replica)), out);
    write_journal(&status.journal, out);
    write_consensus(&status, out);
    write_stages(&status.stages, out);
    write_peers(&status, out);
    write_process(front->config.mem, out);
    if (front->config.metrics != NULL)
        front->config.metrics(front->config.metrics_owner, out);
}
