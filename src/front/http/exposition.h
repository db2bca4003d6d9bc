/* Exposition: Prometheus' text form, one call a metric. */
#ifndef SYNOD_FRONT_HTTP_EXPOSITION_H
#define SYNOD_FRONT_HTTP_EXPOSITION_H

#include "base/buffer.h"
#include "replica/request.h"

enum metric_type {
    METRIC_COUNTER,
    METRIC_GAUGE,
    METRIC_HISTOGRAM,
};

/* The two lines that come before a metric's samples. */
void metric_head(struct buffer *out, enum metric_type type, const char *name, const char *help);
/* One sample; `labels` is what stands between the braces, or NULL. */
void metric_sample(struct buffer *out, const char *name, const char *labels, double value);
/* Head and sample of a metric without labels. */
void metric_counter(struct buffer *out, const char *name, const char *help, double value);
void metric_gauge(struct buffer *out, const char *name, const char *help, double value);
/* A whole histogram; `first` is the bound of the first bucket in the metric's unit, `unit` how much
 * of the sum makes one. */
void metric_histogram(struct buffer *out, const char *name, const char *help,
                      const struct histogram *histogram, double first, double unit);

#endif
