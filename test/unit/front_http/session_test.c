/* The pages, as bytes in and bytes out. */
#include "front/http/http.h"
#include "front_etcd/support_replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

struct page {
    struct replica *replica;
    struct http_front *front;
    struct http_session *session;
    unsigned told; /* how often output was announced */
    char text[65536];
};

static void on_output(void *owner)
{
    ((struct page *)owner)->told++;
}

static struct page *page_open(void)
{
    struct page *page = calloc(1, sizeof *page);
    page->replica = fake_replica_new(fake_mem());
    page->front = http_front_new(&(struct http_front_config){
        .replica = page->replica, .mem = fake_mem(), .api_version = "3.6.0"});
    page->session = http_session_new(page->front, page, on_output);
    return page;
}

static void page_close(struct page *page)
{
    http_session_free(page->session);
    http_front_free(page->front);
    fake_replica_free(page->replica);
    assert_int_equal(fake_mem()->used, 0);
    free(page);
}

/* What has come out since the last call. */
static const char *page_output(struct page *page)
{
    struct buffer *output = http_session_output(page->session);
    assert_true(output->size < sizeof page->text);
    if (output->size > 0)
        memcpy(page->text, output->data, output->size);
    page->text[output->size] = '\0';
    buffer_release(output);
    return page->text;
}

static const char *page_get(struct page *page, const char *target)
{
    char request[256];
    snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: a\r\n\r\n", target);
    assert_true(http_session_receive(page->session, bytes_text(request)));
    return page_output(page);
}

static void assert_answer(const char *answer, int status, const char *body)
{
    assert_true(strncmp(answer, "HTTP/1.1 ", 9) == 0);
    assert_int_equal(atoi(answer + 9), status);
    const char *end = strstr(answer, "\r\n\r\n");
    assert_non_null(end);
    if (body != NULL)
        assert_string_equal(end + 4, body);
}

static void a_sound_member_is_healthy_on_every_page(void **state)
{
    (void)state;
    struct page *page = page_open();
    assert_answer(page_get(page, "/health"), 200, "{\"health\":\"true\",\"reason\":\"\"}");
    assert_answer(page_get(page, "/livez"), 200, "ok\n");
    assert_answer(page_get(page, "/readyz"), 200, "ok\n");
    assert_answer(page_get(page, "/livez?verbose"), 200, "[+]serializable_read ok\nok\n");
    assert_answer(page_get(page, "/readyz?verbose&exclude=non_learner&exclude=data_corruption"),
                  200, "[+]serializable_read ok\n[+]linearizable_read ok\nok\n");
    assert_answer(page_get(page, "/readyz/linearizable_read"), 200, "ok\n");
    page_close(page);
}

static void a_member_without_a_leader_lives_but_is_not_ready(void **state)
{
    (void)state;
    struct page *page = page_open();
    page->replica->leaderless = true;
    page->replica->fail = STATUS_TIMEOUT;
    assert_answer(page_get(page, "/health"), 503,
                  "{\"health\":\"false\",\"reason\":\"RAFT NO LEADER\"}\n");
    assert_answer(page_get(page, "/health?serializable=true"), 200,
                  "{\"health\":\"true\",\"reason\":\"\"}");
    assert_answer(page_get(page, "/livez"), 200, "ok\n");
    assert_answer(page_get(page, "/readyz"), 503,
                  "[+]data_corruption ok\n[+]serializable_read ok\n"
                  "[-]linearizable_read failed: etcdserver: request timed out\n"
                  "[+]non_learner ok\n");
    page_close(page);
}

static void alarms_make_a_member_unhealthy_unless_excluded(void **state)
{
    (void)state;
    struct page *page = page_open();
    struct command alarm = {.kind = COMMAND_ALARM,
                            .alarm = {.activate = true, .member = 0xa1, .alarm = ALARM_NO_SPACE}};
    fake_replica_apply(page->replica, &alarm);
    assert_answer(page_get(page, "/health"), 503,
                  "{\"health\":\"false\",\"reason\":\"ALARM NOSPACE\"}\n");
    assert_answer(page_get(page, "/health?exclude=NOSPACE"), 200, NULL);
    assert_answer(page_get(page, "/readyz"), 200, "ok\n");
    alarm.alarm.alarm = ALARM_CORRUPT;
    fake_replica_apply(page->replica, &alarm);
    assert_answer(page_get(page, "/readyz/data_corruption"), 503,
                  "[-]data_corruption failed: alarm activated: CORRUPT\n");
    page_close(page);
}

static void pages_that_wait_keep_the_order_of_requests(void **state)
{
    (void)state;
    struct page *page = page_open();
    static const char both[] = "GET /health HTTP/1.1\r\nHost: a\r\n\r\n"
                               "GET /version HTTP/1.1\r\nHost: a\r\n\r\n";
    page->replica->hold = true;
    assert_true(http_session_receive(page->session, bytes_text(both)));
    assert_string_equal(page_output(page), "");
    assert_true(http_session_waiting(page->session));
    fake_replica_release(page->replica);
    assert_int_equal(page->told, 1);
    const char *answers = page_output(page);
    const char *second = strstr(answers, "\"etcdserver\":\"3.6.0\"");
    assert_non_null(second);
    assert_true(strstr(answers, "\"health\":\"true\"") < second);
    assert_true(http_session_idle(page->session));
    page_close(page);
}

static void a_session_that_is_freed_forgets_its_read(void **state)
{
    (void)state;
    struct page *page = page_open();
    page->replica->hold = true;
    (void)page_get(page, "/health");
    http_session_free(page->session);
    fake_replica_release(page->replica);
    page->session = http_session_new(page->front, page, on_output);
    page_close(page);
}

static void only_get_is_allowed_and_only_known_paths_exist(void **state)
{
    (void)state;
    struct page *page = page_open();
    assert_answer(page_get(page, "/nothing"), 404, "404 page not found\n");
    static const char post[] = "POST /health HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n";
    assert_true(http_session_receive(page->session, bytes_text(post)));
    const char *answer = page_output(page);
    assert_answer(answer, 405, "Method Not Allowed\n");
    assert_non_null(strstr(answer, "\r\nAllow: GET\r\n"));
    static const char body[] = "POST /x HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nGET /";
    assert_false(http_session_receive(page->session, bytes_text(body)));
    assert_non_null(strstr(page_output(page), "Connection: close"));
    page_close(page);
}

static void nonsense_ends_the_conversation(void **state)
{
    (void)state;
    struct page *page = page_open();
    assert_false(http_session_receive(page->session, bytes_text("\x16\x03\x01 hello\r\n\r\n")));
    assert_answer(page_output(page), 400, NULL);
    assert_true(http_session_ended(page->session));
    page_close(page);
}

static void an_endless_head_ends_the_conversation(void **state)
{
    (void)state;
    struct page *page = page_open();
    char junk[1000];
    memset(junk, 'j', sizeof junk);
    bool open = true;
    for (int i = 0; i < 20 && open; i++)
        open = http_session_receive(page->session, bytes_of(junk, sizeof junk));
    assert_false(open);
    assert_answer(page_output(page), 431, NULL);
    page_close(page);
}

static void metrics_have_a_type_for_every_name(void **state)
{
    (void)state;
    struct page *page = page_open();
    const char *answer = page_get(page, "/metrics");
    assert_answer(answer, 200, NULL);
    assert_non_null(strstr(answer, "\netcd_server_has_leader 1\n"));
    assert_non_null(strstr(answer, "\n# TYPE etcd_disk_wal_fsync_duration_seconds histogram\n"));
    assert_non_null(strstr(answer, "etcd_network_peer_round_trip_time_seconds{To=\"b2\"}"));
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    const char *line = strstr(answer, "\r\n\r\n") + 4;
    while (*line != '\0') {
        char type[300];
        size_t size = strcspn(line, "{ \n");
        const char *end = strchr(line, '\n');
        assert_non_null(end);
        for (int i = 0; i < 3; i++) {
            size_t cut = strlen(suffixes[i]);
            if (size > cut && memcmp(line + size - cut, suffixes[i], cut) == 0)
                size -= cut;
        }
        snprintf(type, sizeof type, "# TYPE %.*s", (int)size, line);
        if (*line != '#' && strstr(answer, type) == NULL)
            fail_msg("no type for %.*s", (int)size, line);
        line = end + 1;
    }
    page_close(page);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_member_is_healthy_on_every_page),
        cmocka_unit_test(a_member_without_a_leader_lives_but_is_not_ready),
        cmocka_unit_test(alarms_make_a_member_unhealthy_unless_excluded),
        cmocka_unit_test(pages_that_wait_keep_the_order_of_requests),
        cmocka_unit_test(a_session_that_is_freed_forgets_its_read),
        cmocka_unit_test(only_get_is_allowed_and_only_known_paths_exist),
        cmocka_unit_test(nonsense_ends_the_conversation),
        cmocka_unit_test(an_endless_head_ends_the_conversation),
        cmocka_unit_test(metrics_have_a_type_for_every_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
