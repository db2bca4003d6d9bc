/* Demo show: what the user reads, on a terminal with marks, elsewhere plain.
 *
 * Progress goes to stdout, failures to stderr; --quiet silences the first only. */
#include "cli/demo.h"
#include "cli/json.h"
#include "cli/print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <unistd.h>

static void clear_waiting(const struct demo *demo)
{
    if (!demo->quiet && terminal_stdout())
        fputs("\r\033[K", stdout);
}

void show_line(const struct demo *demo, const char *format, ...)
{
    if (demo->quiet)
        return;
    clear_waiting(demo);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

void show_done(const struct demo *demo, const char *format, ...)
{
    if (demo->quiet)
        return;
    clear_waiting(demo);
    fputs(demo->unicode ? "\033[32m\xe2\x9c\x93\033[0m " : "ok  ", stdout);
    va_list arguments;
    va_start(arguments, format);
    vprintf(format, arguments);
    va_end(arguments);
    putchar('\n');
    fflush(stdout);
}

void show_waiting(const struct demo *demo, const char *text)
{
    if (demo->quiet || !terminal_stdout())
        return;
    printf("\r\033[K  %s", text);
    fflush(stdout);
}

bool show_failed(struct demo *demo, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(demo->failure, sizeof demo->failure, format, arguments);
    va_end(arguments);
    clear_waiting(demo);
    fflush(stdout);
    fprintf(stderr, "%s%s\n", demo->unicode ? "\xe2\x9c\x97 " : "FAILED: ", demo->failure);
    return false;
}

void show_members(struct demo *demo)
{
    static const char *const titles[] = {"MEMBER", "ID",        "CLIENTS", ">PID", "ROLE",
                                         ">TERM",  ">REVISION", ">MEMORY", NULL};
    struct table table;
    if (demo->quiet)
        return;
    clear_waiting(demo);
    table_init(&table, titles);
    for (size_t i = 0; i < demo->members_count; i++) {
        const struct demo_member *member = &demo->members[i];
        char memory[32];
        format_size(member->memory, memory, sizeof memory);
        table_cell(&table, "%s", member->name);
        table_cell(&table, "%" PRIx64, member->id);
        table_cell(&table, "http://127.0.0.1:%u", member->client_port);
        table_cell(&table, "%d", (int)member->pid);
        table_cell(&table, "%s",
                   !member->answers               ? "down"
                   : member->id == member->leader ? "leader"
                                                  : "follower");
        table_cell(&table, "%" PRIu64, member->term);
        table_cell(&table, "%" PRId64, member->revision);
        table_cell(&table, "%s", memory);
    }
    putchar('\n');
    table_print(&table, stdout);
    putchar('\n');
    fflush(stdout);
    table_release(&table);
}

void show_connect(const struct demo *demo)
{
    char endpoints[DEMO_MEMBERS_MAX * 24] = "";
    size_t size = 0;
    for (size_t i = 0; i < demo->members_count; i++)
        size += (size_t)snprintf(endpoints + size, sizeof endpoints - size, "%s127.0.0.1:%u",
                                 i > 0 ? "," : "", demo->members[i].client_port);
    show_line(demo, "\nThe cluster keeps running. In another terminal:\n");
    show_line(demo, "  export SYNOD_ENDPOINTS=%s", endpoints);
    show_line(demo, "  synod status");
    show_line(demo, "  synod put greeting hello && synod get greeting");
    show_line(demo, "  synod watch demo/ --prefix        changes as they happen\n");
    show_line(demo, "  etcdctl --endpoints %s put a 1        etcd's own client", endpoints);
    show_line(demo, "  curl http://127.0.0.1:%u/health\n", demo->members[0].client_port);
    show_line(demo, "Kill a member (kill -9 %d) and see what 'synod status' says.",
              (int)demo->members[0].pid);
    show_line(demo, "Logs and data: %s%s", demo->directory,
              demo->directory_is_ours ? " (removed at the end)" : "");
    show_line(demo, "Ctrl-C stops all members.");
}

void show_json(const struct demo *demo)
{
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_bool(&json, "ok", demo->failure[0] == '\0');
    if (demo->failure[0] != '\0')
        json_text(&json, "failure", demo->failure);
    json_text(&json, "engine", demo->engine);
    json_double(&json, "leader_after_ms", demo->leader_ms);
    json_double(&json, "writes_stood_still_ms", demo->outage_ms);
    json_double(&json, "caught_up_after_ms", demo->catch_up_ms);
    json_double(&json, "writes_per_second", demo->writes_per_second);
    json_u64(&json, "writes_acknowledged", demo->writes);
    json_array(&json, "members");
    for (size_t i = 0; i < demo->members_count; i++) {
        const struct demo_member *member = &demo->members[i];
        json_object(&json, NULL);
        json_text(&json, "name", member->name);
        json_id(&json, "id", member->id);
        json_text(&json, "endpoint", member->endpoint.text);
        json_i64(&json, "pid", member->pid);
        json_bool(&json, "leader", member->answers && member->id == member->leader);
        json_u64(&json, "term", member->term);
        json_i64(&json, "revision", member->revision);
        json_u64(&json, "memory", member->memory);
        json_object_end(&json);
    }
    json_array_end(&json);
    json_object_end(&json);
    json_line(&json);
    fflush(stdout);
}
