/* Histogram: see histogram.h for the layout of the buckets.
 *
 * A quantile is told as the top of its bucket, so it is never less than the truth. */
#include "cli/histogram.h"

#include "cli/print.h"

#include <string.h>

#define ROWS 16
#define BAR_WIDTH 50

static size_t bucket_of(uint64_t value)
{
    if (value < 2 * HISTOGRAM_HALF)
        return (size_t)value;
    unsigned shift = 63u - (unsigned)__builtin_clzll(value) - 7u;
    size_t bucket = (size_t)HISTOGRAM_HALF * shift + (size_t)(value >> shift);
    return bucket < HISTOGRAM_BUCKETS ? bucket : HISTOGRAM_BUCKETS - 1;
}

/* The greatest value that falls into a bucket. */
static uint64_t bucket_top(size_t bucket)
{
    if (bucket < 2 * HISTOGRAM_HALF)
        return bucket;
    size_t shift = bucket / HISTOGRAM_HALF - 1;
    return (((uint64_t)bucket - HISTOGRAM_HALF * shift + 1) << shift) - 1;
}

void histogram_clear(struct histogram *histogram)
{
    memset(histogram, 0, sizeof *histogram);
}

void histogram_record(struct histogram *histogram, uint64_t value)
{
    histogram->counts[bucket_of(value)]++;
    if (histogram->count == 0 || value < histogram->least)
        histogram->least = value;
    if (value > histogram->most)
        histogram->most = value;
    histogram->count++;
    histogram->sum += (double)value;
}

void histogram_merge(struct histogram *histogram, const struct histogram *more)
{
    if (more->count == 0)
        return;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++)
        histogram->counts[i] += more->counts[i];
    if (histogram->count == 0 || more->least < histogram->least)
        histogram->least = more->least;
    if (more->most > histogram->most)
        histogram->most = more->most;
    histogram->count += more->count;
    histogram->sum += more->sum;
}

double histogram_mean(const struct histogram *histogram)
{
    return histogram->count > 0 ? histogram->sum / (double)histogram->count : 0;
}

uint64_t histogram_quantile(const struct histogram *histogram, double share)
{
    uint64_t rank = (uint64_t)(share * (double)histogram->count + 0.5);
    uint64_t seen = 0;
    if (rank < 1)
        rank = 1;
    for (size_t i = 0; i < HISTOGRAM_BUCKETS; i++) {
        seen += histogram->counts[i];
        if (seen >= rank)
            return bucket_top(i) < histogram->most ? bucket_top(i) : histogram->most;
    }
    return histogram->most;
}

/* Values up to `top`, from bucket *at on. */
static uint64_t count_to(const struct histogram *histogram, uint64_t top, size_t *at)
{
    uint64_t count = 0;
    for (; *at < HISTOGRAM_BUCKETS && bucket_top(*at) <= top; ++*at)
        count += histogram->counts[*at];
    return count;
}

void histogram_print(const struct histogram *histogram, FILE *out)
{
    uint64_t rows[ROWS];
    uint64_t tops[ROWS];
    uint64_t most = 1;
    size_t at = 0;
    if (histogram->count == 0)
        return;
    /* Equal rows up to the 99th percentile; the last row takes the tail. */
    uint64_t low = histogram->least;
    uint64_t step = (histogram_quantile(histogram, 0.99) - low) / (ROWS - 1) + 1;
    for (size_t i = 0; i < ROWS; i++) {
        tops[i] = i + 1 < ROWS ? low + step * (i + 1) : histogram->most;
        rows[i] = count_to(histogram, i + 1 < ROWS ? tops[i] : UINT64_MAX, &at);
        most = rows[i] > most ? rows[i] : most;
    }
    for (size_t i = 0; i < ROWS; i++) {
        char text[32];
        char count[32];
        format_ns((double)tops[i], text, sizeof text);
        format_count(rows[i], count, sizeof count);
        fprintf(out, "  %10s  %12s  ", text, count);
        for (uint64_t bar = 0; bar < rows[i] * BAR_WIDTH / most; bar++)
            fputs(terminal_unicode() ? "\xe2\x96\x88" : "#", out);
        fputc('\n', out);
    }
}
