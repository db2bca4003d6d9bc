/* Lines of the log: their form, their limits, and a reader who does not read. */
#include "world/log.h"
#include "world/panic_hook.h"

#include "base/panic.h"

#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

static char room[LOG_LINE_MAX];

static const char *render(enum log_format format, const char *message, const char *fields)
{
    struct text line = text_of(room, sizeof room);
    log_render(&line, format, UINT64_C(1700000000000042), "info", "world/x", message, fields);
    assert_false(line.truncated);
    return room;
}

static void a_json_line_has_the_four_keys_and_the_fields(void **state)
{
    (void)state;
    assert_string_equal(render(LOG_JSON, "hello", ",\"n\":1"),
                        "{\"level\":\"info\",\"ts\":\"2023-11-14T22:13:20.000042Z\","
                        "\"caller\":\"world/x\",\"msg\":\"hello\",\"n\":1}\n");
    assert_string_equal(render(LOG_JSON, "", ""),
                        "{\"level\":\"info\",\"ts\":\"2023-11-14T22:13:20.000042Z\","
                        "\"caller\":\"world/x\",\"msg\":\"\"}\n");
}

static void a_console_line_is_made_of_columns(void **state)
{
    (void)state;
    assert_string_equal(render(LOG_CONSOLE, "hello", ",\"n\":1"),
                        "2023-11-14T22:13:20.000042Z\tINFO\tworld/x\thello\t{\"n\":1}\n");
    assert_string_equal(render(LOG_CONSOLE, "hello", ""),
                        "2023-11-14T22:13:20.000042Z\tINFO\tworld/x\thello\n");
}

static void field_is(const char *value, const char *wanted)
{
    struct text fields = text_of(room, sizeof room);
    log_field_text(&fields, "k", value);
    char line[256];
    snprintf(line, sizeof line, ",\"k\":\"%s\"", wanted);
    assert_string_equal(room, line);
}

static void text_in_fields_is_escaped(void **state)
{
    (void)state;
    field_is("a\"b\\c", "a\\\"b\\\\c");
    field_is("\n\x01\x1f", "\\u000a\\u0001\\u001f");
    field_is("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x88",
             "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x8e\x88");
}

static void what_is_not_utf8_is_replaced(void **state)
{
    (void)state;
    field_is("\x80", "\\ufffd");
    field_is("a\xff"
             "b",
             "a\\ufffdb");
    field_is("\xc3", "\\ufffd");                                  /* ends too early */
    field_is("\xc0\xaf", "\\ufffd\\ufffd");                       /* longer than needed */
    field_is("\xed\xa0\x80", "\\ufffd\\ufffd\\ufffd");            /* half of a pair */
    field_is("\xf5\x80\x80\x80", "\\ufffd\\ufffd\\ufffd\\ufffd"); /* past the last character */
    field_is("\xe2\x82", "\\ufffd\\ufffd");
    struct text fields = text_of(room, sizeof room);
    log_field_u64(&fields, "n", UINT64_MAX);
    assert_string_equal(room, ",\"n\":18446744073709551615");
}

static void what_does_not_fit_is_left_out_whole(void **state)
{
    (void)state;
    static char fields[LOG_LINE_MAX * 2];
    memset(fields, '1', sizeof fields - 1);
    memcpy(fields, ",\"n\":", 5);
    const char *line = render(LOG_JSON, "hello", fields);
    assert_non_null(strstr(line, "\"msg\":\"hello\",\"truncated\":true}\n"));
    static char message[LOG_LINE_MAX * 2];
    memset(message, '\n', sizeof message - 1); /* each becomes six characters */
    line = render(LOG_JSON, message, fields);
    assert_non_null(strstr(line, "\",\"truncated\":true}\n"));
}

static void lines_below_the_level_are_not_written(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct log log = {.fd = ends[1], .level = LOG_WARN};
    log_write(&log, LOG_INFO, "c", "no", "");
    log_write(&log, LOG_ERROR, "c", "yes", "");
    ssize_t size = read(ends[0], room, sizeof room);
    assert_true(size > 0);
    room[size] = '\0';
    assert_null(strstr(room, "\"no\""));
    assert_non_null(strstr(room, "{\"level\":\"error\""));
    assert_non_null(strstr(room, "\"msg\":\"yes\""));
    close(ends[0]);
    close(ends[1]);
}

static void a_reader_who_does_not_read_stops_nothing_and_is_told_later(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct log log = {.fd = ends[1], .level = LOG_INFO};
    for (int i = 0; i < 5000; i++)
        log_write(&log, LOG_INFO, "c", "a line of some length that fills the pipe", "");
    assert_true(log.dropped > 0);
    uint64_t dropped = log.dropped;
    static char all[1 << 20];
    ssize_t size = read(ends[0], all, sizeof all - 1);
    assert_true(size > 0);
    assert_int_equal(all[size - 1], '\n'); /* only whole lines */
    log_write(&log, LOG_INFO, "c", "again", "");
    assert_int_equal(log.dropped, 0);
    size = read(ends[0], all, sizeof all - 1);
    all[size] = '\0';
    char wanted[64];
    snprintf(wanted, sizeof wanted, "\"lines\":%llu}\n", (unsigned long long)dropped);
    assert_non_null(strstr(all, wanted));
    assert_non_null(strstr(all, "\"msg\":\"again\""));
    close(ends[0]);
    signal(SIGPIPE, SIG_IGN);
    log_write(&log, LOG_INFO, "c", "nobody is there", "");
    assert_int_equal(log.dropped, 1);
    close(ends[1]);
}

static void a_panic_is_one_line_and_an_abort(void **state)
{
    (void)state;
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        panic_hook_install(LOG_JSON);
        panic("the \"sky\" fell");
    }
    close(ends[1]);
    size_t size = 0;
    ssize_t more;
    while ((more = read(ends[0], room + size, sizeof room - 1 - size)) > 0)
        size += (size_t)more;
    room[size] = '\0';
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    assert_int_equal(strncmp(room, "{\"level\":\"fatal\",\"ts\":\"", 23), 0);
    assert_non_null(strstr(room, "log_test.c:"));
    assert_non_null(strstr(room, "\"msg\":\"the \\\"sky\\\" fell\"}\n"));
    assert_ptr_equal(strchr(room, '\n'), room + size - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_json_line_has_the_four_keys_and_the_fields),
        cmocka_unit_test(a_console_line_is_made_of_columns),
        cmocka_unit_test(text_in_fields_is_escaped),
        cmocka_unit_test(what_is_not_utf8_is_replaced),
        cmocka_unit_test(what_does_not_fit_is_left_out_whole),
        cmocka_unit_test(lines_below_the_level_are_not_written),
        cmocka_unit_test(a_reader_who_does_not_read_stops_nothing_and_is_told_later),
        cmocka_unit_test(a_panic_is_one_line_and_an_abort),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
