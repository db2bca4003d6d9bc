#include "check/json_in.h"

#include "check/utf8.h"

#include <string.h>

void json_in_fail(struct json_in *in, const char *why)
{
    if (!in->failed)
        text_add(in->error, why);
    in->failed = true;
    in->at = in->end;
}

void json_in_fail_field(struct json_in *in, const char *name, const char *why)
{
    if (!in->failed) {
        text_add(in->error, "\"");
        text_add(in->error, name);
        text_add(in->error, "\" ");
    }
    json_in_fail(in, why);
}

uint8_t json_in_peek(struct json_in *in)
{
    while (in->at < in->end && (*in->at == ' ' || *in->at == '\t' || *in->at == '\r'))
        in->at++;
    return in->at < in->end ? *in->at : 0;
}

bool json_in_took(struct json_in *in, char character)
{
    if (in->failed || json_in_peek(in) != (uint8_t)character)
        return false;
    in->at++;
    return true;
}

void json_in_take(struct json_in *in, char character)
{
    if (in->failed || json_in_took(in, character))
        return;
    char why[] = "expected '?'";
    why[10] = character;
    json_in_fail(in, why);
}

bool json_in_more(struct json_in *in, char close, bool *first)
{
    bool was_first = *first;
    *first = false;
    if (in->failed || json_in_took(in, close))
        return false;
    if (!was_first)
        json_in_take(in, ',');
    return !in->failed;
}

static int hex_digit(uint8_t byte)
{
    if (byte >= '0' && byte <= '9')
        return byte - '0';
    if (byte >= 'a' && byte <= 'f')
        return byte - 'a' + 10;
    if (byte >= 'A' && byte <= 'F')
        return byte - 'A' + 10;
    return -1;
}

/* The four digits behind \u. */
static uint32_t json_in_code(struct json_in *in)
{
    uint32_t code = 0;
    for (int i = 0; i < 4; i++) {
        int digit = in->at < in->end ? hex_digit(*in->at) : -1;
        if (digit < 0) {
            json_in_fail(in, "an escape \\u without four hexadecimal digits");
            return 0;
        }
        code = code << 4 | (uint32_t)digit;
        in->at++;
    }
    return code;
}

static void json_in_unicode(struct json_in *in)
{
    uint32_t code = json_in_code(in);
    if (code >= 0xd800 && code < 0xdc00) {
        uint32_t low = 0;
        if (in->end - in->at >= 2 && in->at[0] == '\\' && in->at[1] == 'u') {
            in->at += 2;
            low = json_in_code(in);
        }
        if (low < 0xdc00 || low > 0xdfff) {
            json_in_fail(in, "half of a surrogate pair");
            return;
        }
        code = 0x10000 + ((code - 0xd800) << 10) + (low - 0xdc00);
    } else if (code >= 0xdc00 && code < 0xe000) {
        json_in_fail(in, "half of a surrogate pair");
        return;
    }
    uint8_t bytes[4];
    size_t length = utf8_encode(code, bytes);
    buffer_append(in->scratch, bytes_of(bytes, length));
}

static void json_in_escape(struct json_in *in)
{
    static const char escapes[] = "\"\\/bfnrt";
    static const char meanings[] = "\"\\/\b\f\n\r\t";
    uint8_t escape = in->at < in->end ? *in->at++ : 0;
    const char *found = escape == 0 ? NULL : strchr(escapes, escape);
    if (escape == 'u')
        json_in_unicode(in);
    else if (found != NULL)
        buffer_u8(in->scratch, (uint8_t)meanings[found - escapes]);
    else
        json_in_fail(in, "an unknown escape in a string");
}

struct bytes json_in_string(struct json_in *in)
{
    json_in_take(in, '"');
    buffer_clear(in->scratch);
    while (!in->failed) {
        uint8_t byte = in->at < in->end ? *in->at : 0;
        size_t length = utf8_length(bytes_of(in->at, (size_t)(in->end - in->at)));
        if (in->at == in->end) {
            json_in_fail(in, "a string without an end");
        } else if (byte == '"') {
            in->at++;
            return buffer_bytes(in->scratch);
        } else if (byte == '\\') {
            in->at++;
            json_in_escape(in);
        } else if (byte < 0x20 || length == 0) {
            json_in_fail(in, "a string with a byte that is no text");
        } else {
            buffer_append(in->scratch, bytes_of(in->at, length));
            in->at += length;
        }
    }
    return BYTES_EMPTY;
}

struct bytes json_in_string_or_hex(struct json_in *in)
{
    if (json_in_peek(in) != '{')
        return json_in_string(in);
    json_in_take(in, '{');
    if (!bytes_equal(json_in_name(in), bytes_text("hex"))) {
        json_in_fail(in, "expected a string or {\"hex\":\"...\"}");
        return BYTES_EMPTY;
    }
    struct bytes digits = json_in_string(in);
    json_in_take(in, '}');
    uint8_t *out = in->scratch->data;
    for (size_t i = 0; i + 1 < digits.size; i += 2) {
        int high = hex_digit(digits.data[i]);
        int low = hex_digit(digits.data[i + 1]);
        if (high < 0 || low < 0)
            json_in_fail(in, "\"hex\" holds something else");
        out[i / 2] = (uint8_t)((unsigned)high << 4 | (unsigned)low);
    }
    if (digits.size % 2 != 0)
        json_in_fail(in, "\"hex\" has an odd number of digits");
    return in->failed ? BYTES_EMPTY : bytes_of(out, digits.size / 2);
}

struct bytes json_in_name(struct json_in *in)
{
    struct bytes name = json_in_string(in);
    json_in_take(in, ':');
    return in->failed ? BYTES_EMPTY : name;
}

uint64_t json_in_u64(struct json_in *in)
{
    uint8_t first = json_in_peek(in);
    if (in->failed || first < '0' || first > '9') {
        json_in_fail(in, "expected a whole number");
        return 0;
    }
    uint64_t value = 0;
    const uint8_t *begin = in->at;
    for (; in->at < in->end && *in->at >= '0' && *in->at <= '9'; in->at++) {
        if (__builtin_mul_overflow(value, 10u, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*in->at - '0'), &value)) {
            json_in_fail(in, "a number that is too large");
            return 0;
        }
    }
    uint8_t next = in->at < in->end ? *in->at : 0;
    if ((first == '0' && in->at - begin > 1) || next == '.' || next == 'e' || next == 'E')
        json_in_fail(in, "expected a whole number");
    return in->failed ? 0 : value;
}

int64_t json_in_i64(struct json_in *in)
{
    bool negative = json_in_took(in, '-');
    uint64_t value = json_in_u64(in);
    if (value > (uint64_t)INT64_MAX + negative) {
        json_in_fail(in, "a number that is too large");
        return 0;
    }
    return negative ? (int64_t)(0 - value) : (int64_t)value;
}

static bool json_in_took_word(struct json_in *in, const char *word)
{
    size_t size = strlen(word);
    if (in->failed || json_in_peek(in) != (uint8_t)word[0] || (size_t)(in->end - in->at) < size ||
        memcmp(in->at, word, size) != 0)
        return false;
    in->at += size;
    return true;
}

bool json_in_bool(struct json_in *in)
{
    if (json_in_took_word(in, "true"))
        return true;
    if (!json_in_took_word(in, "false"))
        json_in_fail(in, "expected true or false");
    return false;
}

bool json_in_took_null(struct json_in *in)
{
    return json_in_took_word(in, "null");
}
