/* How a line of the log looks and how it gets out.
 *
 * The one invariant: what is written is valid JSON whatever the arguments hold: text is escaped,
 * bytes that are not UTF-8 are replaced, and fields that would be cut are left out. */
#include "world/log.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* How long one line may wait for a reader that is slow; after a drop lines do not wait at all. */
#define LOG_PATIENCE_MS 20
/* A message longer than this is cut: escaped at its worst it still fits with all the rest. */
#define LOG_MESSAGE_MAX 512

uint64_t log_wall_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

/* Length of the UTF-8 sequence at the start of the bytes; 0 if there is none. */
static size_t log_utf8(struct bytes bytes)
{
    static const uint32_t least[5] = {0, 0, 0x80, 0x800, 0x10000};
    uint8_t first = bytes.data[0];
    size_t size = first < 0x80             ? 1
                  : (first & 0xe0) == 0xc0 ? 2
                  : (first & 0xf0) == 0xe0 ? 3
                  : (first & 0xf8) == 0xf0 ? 4
                                           : 0;
    if (size <= 1 || size > bytes.size)
        return size == 1;
    uint32_t point = first & (0xffu >> (size + 1));
    for (size_t i = 1; i < size; i++) {
        if ((bytes.data[i] & 0xc0) != 0x80)
            return 0;
        point = point << 6 | (bytes.data[i] & 0x3f);
    }
    bool surrogate = point >= 0xd800 && point <= 0xdfff;
    return point < least[size] || point > 0x10ffff || surrogate ? 0 : size;
}

static void log_quote(struct text *text, struct bytes value)
{
    text_add(text, "\"");
    while (value.size > 0) {
        size_t size = log_utf8(value);
        uint8_t c = value.data[0];
        if (size == 0) {
            text_add(text, "\\ufffd");
            size = 1;
        } else if (c < 0x20) {
            text_add(text, c < 0x10 ? "\\u000" : "\\u00");
            text_hex(text, c);
        } else {
            if (c == '"' || c == '\\')
                text_add(text, "\\");
            text_bytes(text, bytes_of(value.data, size));
        }
        value = bytes_of(value.data + size, value.size - size);
    }
    text_add(text, "\"");
}

static struct bytes log_message(const char *message)
{
    return bytes_of(message, strnlen(message, LOG_MESSAGE_MAX));
}

static void log_digits(struct text *text, uint64_t value, unsigned width)
{
    uint64_t ceiling = 1;
    for (unsigned i = 1; i < width; i++)
        ceiling *= 10;
    for (; ceiling > 1 && value < ceiling; ceiling /= 10)
        text_add(text, "0");
    text_u64(text, value);
}

static void log_time(struct text *text, uint64_t wall_us)
{
    time_t seconds = (time_t)(wall_us / 1000000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    log_digits(text, (uint64_t)tm.tm_year + 1900, 4);
    const int fields[5] = {tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec};
    for (int i = 0; i < 5; i++) {
        text_bytes(text, bytes_of(&"--T::"[i], 1));
        log_digits(text, (uint64_t)fields[i], 2);
    }
    text_add(text, ".");
    log_digits(text, wall_us % 1000000, 6);
    text_add(text, "Z");
}

static void log_render_json(struct text *line, uint64_t wall_us, const char *level,
                            const char *caller, const char *message, const char *fields)
{
    text_add(line, "{\"level\":\"");
    text_add(line, level);
    text_add(line, "\",\"ts\":\"");
    log_time(line, wall_us);
    text_add(line, "\",\"caller\":\"");
    text_add(line, caller);
    text_add(line, "\",\"msg\":");
    log_quote(line, log_message(message));
    text_add(line, fields);
    text_add(line, "}\n");
}

static void log_render_console(struct text *line, uint64_t wall_us, const char *level,
                               const char *caller, const char *message, const char *fields)
{
    log_time(line, wall_us);
    text_add(line, "\t");
    for (const char *c = level; *c != '\0'; c++) {
        char upper = (char)(*c - ('a' - 'A'));
        text_bytes(line, bytes_of(&upper, 1));
    }
    text_add(line, "\t");
    text_add(line, caller);
    text_add(line, "\t");
    text_bytes(line, log_message(message));
    if (fields[0] != '\0') {
        text_add(line, "\t{");
        text_add(line, fields + 1);
        text_add(line, "}");
    }
    text_add(line, "\n");
}

void log_render(struct text *line, enum log_format format, uint64_t wall_us, const char *level,
                const char *caller, const char *message, const char *fields)
{
    struct text begin = *line;
    for (int attempt = 0; attempt < 2; attempt++) {
        *line = begin;
        if (format == LOG_CONSOLE)
            log_render_console(line, wall_us, level, caller, message, fields);
        else
            log_render_json(line, wall_us, level, caller, message, fields);
        if (!line->truncated)
            return;
        fields = ",\"truncated\":true";
    }
}

static bool log_put(struct log *log, struct bytes line)
{
    struct pollfd ready = {.fd = log->fd, .events = POLLOUT};
    int patience = log->dropped > 0 ? 0 : LOG_PATIENCE_MS;
    if (poll(&ready, 1, patience) != 1 || (ready.revents & POLLOUT) == 0)
        return false;
    ssize_t written;
    do
        written = write(log->fd, line.data, line.size);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)line.size;
}

void log_write(struct log *log, enum log_level level, const char *caller, const char *message,
               const char *fields)
{
    static const char *const words[] = {"debug", "info", "warn", "error"};
    if (level < log->level)
        return;
    char room[LOG_LINE_MAX];
    if (log->dropped > 0) {
        char count[64];
        struct text counted = text_of(count, sizeof count);
        log_field_u64(&counted, "lines", log->dropped);
        struct text line = text_of(room, sizeof room);
        log_render(&line, log->format, log_wall_us(), "warn", "world/log",
                   "log lines were dropped because nobody read them", count);
        if (log_put(log, bytes_of(line.data, line.size)))
            log->dropped = 0;
    }
    struct text line = text_of(room, sizeof room);
    log_render(&line, log->format, log_wall_us(), words[level], caller, message, fields);
    if (!log_put(log, bytes_of(line.data, line.size)))
        log->dropped++;
}

static void log_key(struct text *fields, const char *key)
{
    text_add(fields, ",\"");
    text_add(fields, key);
    text_add(fields, "\":");
}

void log_field_text(struct text *fields, const char *key, const char *value)
{
    log_key(fields, key);
    log_quote(fields, bytes_text(value));
}

void log_field_u64(struct text *fields, const char *key, uint64_t value)
{
    log_key(fields, key);
    text_u64(fields, value);
}
