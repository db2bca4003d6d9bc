/* The etcd front's own metrics: calls by method and code under gRPC's usual name, connections,
 * bytes, latency. */
#include "front/etcd/failure.h"
#include "front/etcd/internal.h"
#include "front/http/exposition.h"

#include <stdio.h>

static void write_handled(const struct etcd_front *front, struct buffer *out)
{
    static const char name[] = "grpc_server_handled_total";
    metric_head(out, METRIC_COUNTER, name, "Calls that came to an end, by method and code.");
    for (unsigned i = 0; i < METHODS_COUNT; i++) {
        for (unsigned code = 0; code < GRPC_CODES; code++) {
            char labels[192];
            uint64_t count = front_handled(front, i, code);
            if (count == 0)
                continue;
            (void)snprintf(labels, sizeof labels,
                           "grpc_code=\"%s\",grpc_method=\"%s\",grpc_service=\"%s\","
                           "grpc_type=\"%s\"",
                           grpc_code_name(code), methods[i].name, methods[i].service,
                           methods[i].stream ? "stream" : "unary");
            metric_sample(out, name, labels, (double)count);
        }
    }
}

void front_metrics_write(void *owner, struct buffer *out)
{
    struct etcd_front *front = owner;
    struct etcd_front_stats summed;
    const struct etcd_front_stats *stats = &summed;
    etcd_front_stats(front, &summed);
    write_handled(front, out);
    metric_counter(out, "etcd_network_client_grpc_received_bytes_total",
                   "Bytes received from clients.", (double)stats->bytes_received);
    metric_counter(out, "etcd_network_client_grpc_sent_bytes_total", "Bytes sent to clients.",
                   (double)stats->bytes_sent);
    metric_gauge(out, "synod_front_connections", "Connections of clients.",
                 (double)stats->connections);
    metric_counter(out, "synod_front_connections_accepted_total", "Connections since the start.",
                   (double)stats->connections_accepted);
    metric_counter(out, "synod_front_connections_refused_total", "There were too many.",
                   (double)stats->connections_refused);
    metric_counter(out, "synod_front_connections_abused_total", "Closed for flooding.",
                   (double)stats->connections_abused);
    metric_gauge(out, "synod_front_calls", "Calls under way.", (double)stats->calls);
    metric_gauge(out, "synod_front_watches", "Watches of clients.", (double)stats->watches);
    metric_gauge(out, "synod_front_input_bytes", "Held of requests that are not complete.",
                 (double)stats->input_bytes);
    metric_histogram(out, "synod_front_call_duration_seconds", "Unary calls, from headers to end.",
                     &stats->latency_ns, 1e-4, 1e9);
}
