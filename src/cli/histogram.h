/* Histogram: latencies counted in buckets whose width grows with the value, so that any percentile
 * is known to better than one percent from nanoseconds to hours, in fixed memory (after
 * HdrHistogram).
 *
 * A value below 2 * HISTOGRAM_HALF has a bucket of its own; above, each power of two is divided
 * into HISTOGRAM_HALF buckets. */
#ifndef SYNOD_CLI_HISTOGRAM_H
#define SYNOD_CLI_HISTOGRAM_H

#include <stdint.h>
#include <stdio.h>

#define HISTOGRAM_HALF 128
#define HISTOGRAM_BUCKETS (HISTOGRAM_HALF * 48)

struct histogram {
    uint64_t counts[HISTOGRAM_BUCKETS];
    uint64_t count;
    uint64_t least;
    uint64_t most;
    double sum;
};

void histogram_clear(struct histogram *histogram);
void histogram_record(struct histogram *histogram, uint64_t value);
void histogram_merge(struct histogram *histogram, const struct histogram *more);
double histogram_mean(const struct histogram *histogram);
/* The value that a share (0 to 1) of all values does not exceed; 0 when empty. */
uint64_t histogram_quantile(const struct histogram *histogram, double share);
/* Bars for people, values being nanoseconds. */
void histogram_print(const struct histogram *histogram, FILE *out);

#endif
