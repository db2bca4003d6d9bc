/* Prometheus' text form: "# HELP", "# TYPE", and lines of name, labels and value. */
#include "front/http/exposition.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 2, 3))) static void line(struct buffer *out, const char *format, ...)
{
    char room[512];
    va_list values;
    va_start(values, format);
    int size = vsnprintf(room, sizeof room, format, values);
    va_end(values);
    if (size > 0 && (size_t)size < sizeof room)
        buffer_append(out, bytes_of(room, (size_t)size));
}

void metric_head(struct buffer *out, enum metric_type type, const char *name, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram"};
    line(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

void metric_sample(struct buffer *out, const char *name, const char *labels, double value)
{
    if (labels == NULL)
        line(out, "%s %.15g\n", name, value);
    else
        line(out, "%s{%s} %.15g\n", name, labels, value);
}

void metric_counter(struct buffer *out, const char *name, const char *help, double value)
{
    metric_head(out, METRIC_COUNTER, name, help);
    metric_sample(out, name, NULL, value);
}

void metric_gauge(struct buffer *out, const char *name, const char *help, double value)
{
    metric_head(out, METRIC_GAUGE, name, help);
    metric_sample(out, name, NULL, value);
}

void metric_histogram(struct buffer *out, const char *name, const char *help,
                      const struct histogram *histogram, double first, double unit)
{
    uint64_t below = 0;
    double bound = first;
    metric_head(out, METRIC_HISTOGRAM, name, help);
    for (unsigned i = 0; i + 1 < HISTOGRAM_BUCKETS; i++) {
        below += histogram->buckets[i];
        line(out, "%s_bucket{le=\"%.9g\"} %llu\n", name, bound, (unsigned long long)below);
        bound *= 2;
    }
    line(out, "%s_bucket{le=\"+Inf\"} %llu\n", name, (unsigned long long)histogram->count);
    line(out, "%s_sum %.15g\n", name, (double)histogram->sum / unit);
    line(out, "%s_count %llu\n", name, (unsigned long long)histogram->count);
}
