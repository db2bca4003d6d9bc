/* The request parser: what it takes, what it refuses, wherever the input is cut. */
#include "front/http/parser.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static enum http_parsed parse(const char *text, struct http_request *request)
{
    size_t used = 0;
    enum http_parsed parsed = http_parse(bytes_text(text), request, &used);
    if (parsed == HTTP_PARSED_REQUEST)
        assert_true(used <= strlen(text));
    return parsed;
}

static void assert_text(struct bytes bytes, const char *text)
{
    assert_true(bytes_equal(bytes, bytes_text(text)));
}

static void a_request_has_a_method_a_path_and_a_query(void **state)
{
    (void)state;
    struct http_request request;
    assert_int_equal(parse("GET /health?serializable=true&x HTTP/1.1\r\nHost: a\r\n\r\n", &request),
                     HTTP_PARSED_REQUEST);
    assert_text(request.method, "GET");
    assert_text(request.path, "/health");
    assert_true(http_query_has(request.query, "serializable", "true"));
    assert_false(http_query_has(request.query, "serializable", "false"));
    assert_true(http_query_has(request.query, "x", NULL));
    assert_false(http_query_has(request.query, "y", NULL));
    assert_true(request.keep_alive);
    assert_false(request.has_body);
}

static void every_prefix_of_a_request_asks_for_more(void **state)
{
    (void)state;
    static const char text[] = "GET / HTTP/1.1\r\nHost: a\r\nX: y\r\n\r\n";
    struct http_request request;
    size_t used;
    for (size_t size = 0; size < sizeof text - 1; size++)
        assert_int_equal(http_parse(bytes_of(text, size), &request, &used), HTTP_PARSED_MORE);
    assert_int_equal(http_parse(bytes_of(text, sizeof text - 1), &request, &used),
                     HTTP_PARSED_REQUEST);
    assert_int_equal(used, sizeof text - 1);
}

static void connections_are_kept_as_the_client_says(void **state)
{
    (void)state;
    struct http_request request;
    assert_int_equal(parse("GET / HTTP/1.0\r\n\r\n", &request), HTTP_PARSED_REQUEST);
    assert_false(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", &request),
                     HTTP_PARSED_REQUEST);
    assert_true(request.keep_alive);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n", &request),
                     HTTP_PARSED_REQUEST);
    assert_false(request.keep_alive);
    assert_int_equal(parse("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n", &request),
                     HTTP_PARSED_REQUEST);
    assert_true(request.has_body);
    assert_int_equal(parse("GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", &request),
                     HTTP_PARSED_REQUEST);
    assert_false(request.has_body);
}

static void what_is_not_certain_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "GET  / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1 \r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\nX: y\r\n\r\n",
        "GET nowhere HTTP/1.1\r\nHost: a\r\n\r\n",
        "G(T / HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET /\r\n\r\n",
        " GET / HTTP/1.1\r\nHost: a\r\n\r\n",
        "\r\n\r\n",
        "GET / HTTP/1.1\r\nHost: a\x01\r\n\r\n",
        "GET /\x80 HTTP/1.1\r\nHost: a\r\n\r\n",
        "GET / HTTP/1.1\r\n: a\r\n\r\n",
    };
    struct http_request request;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum http_parsed parsed = parse(bad[i], &request);
        if (parsed != HTTP_PARSED_BAD && parsed != HTTP_PARSED_VERSION)
            fail_msg("accepted: %s", bad[i]);
    }
    assert_int_equal(parse("GET / HTTP/2.0\r\nHost: a\r\n\r\n", &request), HTTP_PARSED_VERSION);
}

static void a_head_without_an_end_is_too_large(void **state)
{
    (void)state;
    char text[HTTP_HEAD_MAX];
    struct http_request request;
    size_t used;
    memset(text, 'x', sizeof text);
    assert_int_equal(http_parse(bytes_of(text, sizeof text - 1), &request, &used),
                     HTTP_PARSED_MORE);
    assert_int_equal(http_parse(bytes_of(text, sizeof text), &request, &used),
                     HTTP_PARSED_TOO_LARGE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_request_has_a_method_a_path_and_a_query),
        cmocka_unit_test(every_prefix_of_a_request_asks_for_more),
        cmocka_unit_test(connections_are_kept_as_the_client_says),
        cmocka_unit_test(what_is_not_certain_is_refused),
        cmocka_unit_test(a_head_without_an_end_is_too_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
