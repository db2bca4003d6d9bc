/* JSON: a writer for --json. Commas and nesting are kept by the writer; a key is NULL inside arrays
 * and for the outermost value.
 *
 * Bytes that are UTF-8 are written as a string under their key; others in base64 under key_base64,
 * so that every value survives exactly. Ids are hexadecimal strings (64 bits do not fit into the
 * numbers of JSON), revisions and counts are numbers. */
#ifndef SYNOD_CLI_JSON_H
#define SYNOD_CLI_JSON_H

#include "base/bytes.h"

#include <stdio.h>

#include "etcd_rpc.pb-c.h"

struct json {
    FILE *out;
    bool comma; /* the next value is not the first of its container */
};

struct json json_of(FILE *out);
void json_object(struct json *json, const char *key);
void json_object_end(struct json *json);
void json_array(struct json *json, const char *key);
void json_array_end(struct json *json);
void json_text(struct json *json, const char *key, const char *value);
void json_bytes(struct json *json, const char *key, struct bytes value);
void json_i64(struct json *json, const char *key, int64_t value);
void json_u64(struct json *json, const char *key, uint64_t value);
void json_double(struct json *json, const char *key, double value);
void json_id(struct json *json, const char *key, uint64_t value);
void json_bool(struct json *json, const char *key, bool value);
/* Ends the line after the outermost value. */
void json_line(struct json *json);

/* The parts that many answers share. NULL messages are left out. */
void json_header(struct json *json, const Etcdserverpb__ResponseHeader *header);
void json_key_value(struct json *json, const char *key, const Mvccpb__KeyValue *pair,
                    bool with_value);

static inline struct bytes bytes_pb(ProtobufCBinaryData data)
{
    return bytes_of(data.data, data.len);
}

#endif
