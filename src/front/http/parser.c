/* One pass over a complete head. Lines end in CR LF, names are tokens, nothing is folded, a body is
 * only noticed. See doc/decisions/0003-http1-parser.md for why it is written here. */
#include "front/http/parser.h"

#include <string.h>

static bool is_token(uint8_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9'))
        return true;
    return c != 0 && strchr("!#$%&'*+-.^_`|~", c) != NULL;
}

static bool is_visible(uint8_t c)
{
    return c > 0x20 && c < 0x7f;
}

static bool is_field_content(uint8_t c)
{
    return c == '\t' || (c >= 0x20 && c != 0x7f);
}

static bool all(struct bytes bytes, bool (*is)(uint8_t c))
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (!is(bytes.data[i]))
            return false;
    }
    return true;
}

static uint8_t lower(uint8_t c)
{
    return c >= 'A' && c <= 'Z' ? (uint8_t)(c + 32) : c;
}

static bool equal_ignoring_case(struct bytes bytes, const char *text)
{
    if (bytes.size != strlen(text))
        return false;
    for (size_t i = 0; i < bytes.size; i++) {
        if (lower(bytes.data[i]) != (uint8_t)text[i])
            return false;
    }
    return true;
}

/* Takes up to the first `c`, which is dropped; false if there is none. */
static bool take_until(struct bytes *input, uint8_t c, struct bytes *ret)
{
    const uint8_t *at = input->size > 0 ? memchr(input->data, c, input->size) : NULL;
    if (at == NULL)
        return false;
    size_t size = (size_t)(at - input->data);
    *ret = bytes_of(input->data, size);
    *input = bytes_of(at + 1, input->size - size - 1);
    return true;
}

static bool take_line(struct bytes *input, struct bytes *ret)
{
    if (!take_until(input, '\n', ret) || ret->size == 0 || ret->data[ret->size - 1] != '\r')
        return false;
    ret->size--;
    return true;
}

static enum http_parsed parse_version(struct bytes version, struct http_request *request)
{
    if (bytes_equal(version, bytes_text("HTTP/1.1")))
        request->keep_alive = true;
    else if (bytes_equal(version, bytes_text("HTTP/1.0")))
        request->keep_alive = false;
    else
        return HTTP_PARSED_VERSION;
    return HTTP_PARSED_REQUEST;
}

static enum http_parsed parse_request_line(struct bytes line, struct http_request *request)
{
    struct bytes target;
    if (!take_until(&line, ' ', &request->method) || !take_until(&line, ' ', &target) ||
        request->method.size == 0 || !all(request->method, is_token) || target.size == 0 ||
        target.data[0] != '/' || !all(target, is_visible))
        return HTTP_PARSED_BAD;
    request->query = BYTES_EMPTY;
    struct bytes rest = target;
    if (take_until(&rest, '?', &request->path))
        request->query = rest;
    else
        request->path = target;
    return parse_version(line, request);
}

static struct bytes trim(struct bytes bytes)
{
    while (bytes.size > 0 && (bytes.data[0] == ' ' || bytes.data[0] == '\t'))
        bytes = bytes_of(bytes.data + 1, bytes.size - 1);
    while (bytes.size > 0 &&
           (bytes.data[bytes.size - 1] == ' ' || bytes.data[bytes.size - 1] == '\t'))
        bytes.size--;
    return bytes;
}

static bool parse_field(struct bytes line, struct http_request *request, unsigned *hosts)
{
    struct bytes name;
    if (!take_until(&line, ':', &name) || name.size == 0 || !all(name, is_token) ||
        !all(line, is_field_content))
        return false;
    struct bytes value = trim(line);
    if (equal_ignoring_case(name, "host"))
        ++*hosts;
    else if (equal_ignoring_case(name, "transfer-encoding"))
        request->has_body = true;
    else if (equal_ignoring_case(name, "content-length"))
        request->has_body = request->has_body || !equal_ignoring_case(value, "0");
    else if (equal_ignoring_case(name, "connection") && equal_ignoring_case(value, "close"))
        request->keep_alive = false;
    else if (equal_ignoring_case(name, "connection") && equal_ignoring_case(value, "keep-alive"))
        request->keep_alive = true;
    return true;
}

static enum http_parsed parse_head(struct bytes head, struct http_request *request)
{
    struct bytes line;
    unsigned hosts = 0;
    if (!take_line(&head, &line))
        return HTTP_PARSED_BAD;
    enum http_parsed parsed = parse_request_line(line, request);
    if (parsed != HTTP_PARSED_REQUEST)
        return parsed;
    bool modern = request->keep_alive;
    while (take_line(&head, &line) && line.size > 0) {
        if (!parse_field(line, request, &hosts))
            return HTTP_PARSED_BAD;
    }
    if (line.size > 0 || head.size > 0)
        return HTTP_PARSED_BAD; /* a line that ends in a bare LF */
    return hosts == 1 || (hosts == 0 && !modern) ? HTTP_PARSED_REQUEST : HTTP_PARSED_BAD;
}

enum http_parsed http_parse(struct bytes input, struct http_request *ret_request, size_t *ret_used)
{
    size_t searched = input.size < HTTP_HEAD_MAX ? input.size : HTTP_HEAD_MAX;
    const uint8_t *end = searched > 0 ? memmem(input.data, searched, "\r\n\r\n", 4) : NULL;
    if (end == NULL)
        return input.size >= HTTP_HEAD_MAX ? HTTP_PARSED_TOO_LARGE : HTTP_PARSED_MORE;
    *ret_request = (struct http_request){.has_body = false};
    *ret_used = (size_t)(end - input.data) + 4;
    return parse_head(bytes_of(input.data, *ret_used), ret_request);
}

bool http_query_has(struct bytes query, const char *name, const char *value)
{
    while (query.size > 0) {
        struct bytes pair;
        if (!take_until(&query, '&', &pair)) {
            pair = query;
            query.size = 0;
        }
        struct bytes key;
        if (!take_until(&pair, '=', &key)) {
            key = pair;
            pair = BYTES_EMPTY;
        }
        if (bytes_equal(key, bytes_text(name)) &&
            (value == NULL || bytes_equal(pair, bytes_text(value))))
            return true;
    }
    return false;
}
