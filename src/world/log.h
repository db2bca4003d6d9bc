/* Log: one line per event on stderr, as JSON or as columns for people.
 *
 * The one invariant: a line is written whole or not at all, and writing never waits for a reader
 * longer than a moment. A line is at most PIPE_BUF bytes, so a pipe that polls writable takes it
 * at once; what a stuck reader makes us drop is counted and reported by the next line that goes
 * through. Core thread only. */
#ifndef SYNOD_WORLD_LOG_H
#define SYNOD_WORLD_LOG_H

#include "base/text.h"
#include "world/world.h"

enum log_format {
    LOG_JSON,
    LOG_CONSOLE,
};

#define LOG_LINE_MAX 4096

struct log {
    int fd;
    enum log_level level;
    enum log_format format;
    uint64_t dropped; /* lines that found no reader since the last one that did */
};

/* `fields`: JSON members, each with a comma before it, or "". A line below the log's level is
 * nothing. */
void log_write(struct log *log, enum log_level level, const char *caller, const char *message,
               const char *fields);
/* The line for a given time, newline included. Fields that do not fit are left out, whole, and
 * "truncated":true stands for them. `level` is a word: "debug", "info", "warn", "error", "fatal".
 */
void log_render(struct text *line, enum log_format format, uint64_t wall_us, const char *level,
                const char *caller, const char *message, const char *fields);

/* ,"key":"value" with the value escaped; bytes that are not UTF-8 become U+FFFD. */
void log_field_text(struct text *fields, const char *key, const char *value);
/* ,"key":value */
void log_field_u64(struct text *fields, const char *key, uint64_t value);
/* Microseconds since 1970. */
uint64_t log_wall_us(void);

#endif
