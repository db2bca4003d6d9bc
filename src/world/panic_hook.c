/* What the real program does on a panic: says where and why in one line of the log's format, and
 * aborts, so that a core can be kept and a supervisor sees an abnormal end. */
#include "world/panic_hook.h"

#include "base/panic.h"

#include <stdlib.h>
#include <unistd.h>

static enum log_format panic_format;

static void panic_hook(const char *file, int line, const char *what)
{
    char caller_room[256];
    struct text caller = text_of(caller_room, sizeof caller_room);
    text_add(&caller, file);
    text_add(&caller, ":");
    text_i64(&caller, line);

    char line_room[LOG_LINE_MAX];
    struct text out = text_of(line_room, sizeof line_room);
    log_render(&out, panic_format, log_wall_us(), "fatal", caller.data, what, "");
    ssize_t written = write(STDERR_FILENO, out.data, out.size);
    (void)written; /* there is nobody left to tell */
    abort();
}

void panic_hook_install(enum log_format format)
{
    panic_format = format;
    panic_set_hook(panic_hook);
}
