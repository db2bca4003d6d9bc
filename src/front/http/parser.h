/* The request parser: strict HTTP/1.1 heads, GET's half of the protocol. What it does not
 * understand for certain it rejects, so that no proxy before it can have understood it otherwise.
 */
#ifndef SYNOD_FRONT_HTTP_PARSER_H
#define SYNOD_FRONT_HTTP_PARSER_H

#include "base/bytes.h"

#define HTTP_HEAD_MAX 8192

/* Borrows from the input. */
struct http_request {
    struct bytes method;
    struct bytes path;
    struct bytes query; /* without the question mark */
    bool keep_alive;
    bool has_body;
};

enum http_parsed {
    HTTP_PARSED_MORE, /* the head is not complete */
    HTTP_PARSED_REQUEST,
    HTTP_PARSED_BAD,
    HTTP_PARSED_TOO_LARGE,
    HTTP_PARSED_VERSION, /* neither HTTP/1.0 nor HTTP/1.1 */
};

/* Parses the head at the beginning of the input; `ret_used` is its size. */
enum http_parsed http_parse(struct bytes input, struct http_request *ret_request, size_t *ret_used);
/* Does the query have the parameter, and if `value` is not NULL, with that value? */
bool http_query_has(struct bytes query, const char *name, const char *value);

#endif
