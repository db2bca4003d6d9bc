/* JSON: the writer; see json.h for how bytes and ids are written.
 *
 * Whatever the bytes, the output is well formed: strings are UTF-8, controls are escaped, and
 * numbers are finite. */
#include "cli/json.h"

#include "cli/print.h"

#include <inttypes.h>
#include <math.h>

struct json json_of(FILE *out)
{
    return (struct json){.out = out};
}

static void put_string(FILE *out, struct bytes text)
{
    fputc('"', out);
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = text.data[i];
        if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c == '\n')
            fputs("\\n", out);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\u%04x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

static void put_key(struct json *json, const char *key)
{
    if (json->comma)
        fputc(',', json->out);
    json->comma = true;
    if (key != NULL) {
        put_string(json->out, bytes_text(key));
        fputc(':', json->out);
    }
}

void json_object(struct json *json, const char *key)
{
    put_key(json, key);
    fputc('{', json->out);
    json->comma = false;
}

void json_object_end(struct json *json)
{
    fputc('}', json->out);
    json->comma = true;
}

void json_array(struct json *json, const char *key)
{
    put_key(json, key);
    fputc('[', json->out);
    json->comma = false;
}

void json_array_end(struct json *json)
{
    fputc(']', json->out);
    json->comma = true;
}

void json_text(struct json *json, const char *key, const char *value)
{
    put_key(json, key);
    struct bytes text = bytes_text(value != NULL ? value : "");
    put_string(json->out, bytes_utf8(text) ? text : bytes_text("?"));
}

static void put_base64(FILE *out, struct bytes bytes)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < bytes.size; i += 3) {
        size_t left = bytes.size - i;
        uint32_t group = (uint32_t)bytes.data[i] << 16;
        group |= left > 1 ? (uint32_t)bytes.data[i + 1] << 8 : 0;
        group |= left > 2 ? bytes.data[i + 2] : 0;
        fputc(digits[group >> 18], out);
        fputc(digits[group >> 12 & 63], out);
        fputc(left > 1 ? digits[group >> 6 & 63] : '=', out);
        fputc(left > 2 ? digits[group & 63] : '=', out);
    }
}

void json_bytes(struct json *json, const char *key, struct bytes value)
{
    if (bytes_utf8(value)) {
        put_key(json, key);
        put_string(json->out, value);
        return;
    }
    char name[64];
    snprintf(name, sizeof name, "%s_base64", key != NULL ? key : "");
    if (key == NULL)
        json_object(json, NULL);
    put_key(json, key != NULL ? name : "base64");
    fputc('"', json->out);
    put_base64(json->out, value);
    fputc('"', json->out);
    if (key == NULL)
        json_object_end(json);
}

void json_i64(struct json *json, const char *key, int64_t value)
{
    put_key(json, key);
    fprintf(json->out, "%" PRId64, value);
}

void json_u64(struct json *json, const char *key, uint64_t value)
{
    put_key(json, key);
    fprintf(json->out, "%" PRIu64, value);
}

void json_double(struct json *json, const char *key, double value)
{
    put_key(json, key);
    fprintf(json->out, "%.6g", isfinite(value) ? value : 0.0);
}

void json_id(struct json *json, const char *key, uint64_t value)
{
    put_key(json, key);
    fprintf(json->out, "\"%" PRIx64 "\"", value);
}

void json_bool(struct json *json, const char *key, bool value)
{
    put_key(json, key);
    fputs(value ? "true" : "false", json->out);
}

void json_line(struct json *json)
{
    fputc('\n', json->out);
    json->comma = false;
}

void json_header(struct json *json, const Etcdserverpb__ResponseHeader *header)
{
    if (header == NULL)
        return;
    json_object(json, "header");
    json_id(json, "cluster_id", header->cluster_id);
    json_id(json, "member_id", header->member_id);
    json_i64(json, "revision", header->revision);
    json_u64(json, "term", header->raft_term);
    json_object_end(json);
}

void json_key_value(struct json *json, const char *key, const Mvccpb__KeyValue *pair,
                    bool with_value)
{
    if (pair == NULL)
        return;
    json_object(json, key);
    json_bytes(json, "key", bytes_pb(pair->key));
    if (with_value)
        json_bytes(json, "value", bytes_pb(pair->value));
    json_i64(json, "create_revision", pair->create_revision);
    json_i64(json, "mod_revision", pair->mod_revision);
    json_i64(json, "version", pair->version);
    if (pair->lease != 0)
        json_id(json, "lease", (uint64_t)pair->lease);
    json_object_end(json);
}
