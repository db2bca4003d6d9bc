/* Writing a history: one way only, so that equal histories are equal files. */
#include "check/history_file.h"

#include "check/utf8.h"

static void put_text(struct buffer *buffer, const char *text)
{
    buffer_append(buffer, bytes_text(text));
}

static void put_i64(struct buffer *buffer, int64_t value)
{
    char digits[24];
    struct text text = text_of(digits, sizeof digits);
    text_i64(&text, value);
    put_text(buffer, digits);
}

static void put_u64(struct buffer *buffer, uint64_t value)
{
    char digits[24];
    struct text text = text_of(digits, sizeof digits);
    text_u64(&text, value);
    put_text(buffer, digits);
}

static void put_hex(struct buffer *buffer, struct bytes bytes)
{
    put_text(buffer, "{\"hex\":\"");
    for (size_t i = 0; i < bytes.size; i++) {
        buffer_u8(buffer, (uint8_t) "0123456789abcdef"[bytes.data[i] >> 4]);
        buffer_u8(buffer, (uint8_t) "0123456789abcdef"[bytes.data[i] & 15]);
    }
    put_text(buffer, "\"}");
}

static void put_character(struct buffer *buffer, uint8_t byte)
{
    if (byte == '"' || byte == '\\') {
        buffer_u8(buffer, '\\');
        buffer_u8(buffer, byte);
    } else if (byte < 0x20) {
        put_text(buffer, "\\u00");
        buffer_u8(buffer, (uint8_t) "0123456789abcdef"[byte >> 4]);
        buffer_u8(buffer, (uint8_t) "0123456789abcdef"[byte & 15]);
    } else {
        buffer_u8(buffer, byte);
    }
}

static void put_string(const struct history *history, struct buffer *buffer, uint32_t string)
{
    struct bytes bytes = history->strings[string];
    if (!utf8_is(bytes)) {
        put_hex(buffer, bytes);
        return;
    }
    buffer_u8(buffer, '"');
    for (size_t i = 0; i < bytes.size; i++)
        put_character(buffer, bytes.data[i]);
    buffer_u8(buffer, '"');
}

static void put_pair(const struct history *history, struct buffer *buffer,
                     const struct history_pair *pair, bool with_key)
{
    buffer_u8(buffer, '{');
    if (with_key) {
        put_text(buffer, "\"key\":");
        put_string(history, buffer, pair->key);
        buffer_u8(buffer, ',');
    }
    put_text(buffer, "\"value\":");
    put_string(history, buffer, pair->value);
    put_text(buffer, ",\"create\":");
    put_i64(buffer, pair->create);
    put_text(buffer, ",\"mod\":");
    put_i64(buffer, pair->mod);
    put_text(buffer, ",\"version\":");
    put_i64(buffer, pair->version);
    buffer_u8(buffer, '}');
}

static void put_found(const struct history *history, struct buffer *buffer,
                      const struct history_op *op)
{
    put_text(buffer, ",\"found\":");
    if (op->kind == HISTORY_GET) {
        if (op->found_count == 0)
            put_text(buffer, "null");
        else
            put_pair(history, buffer, &op->found[0], false);
        return;
    }
    buffer_u8(buffer, '[');
    for (uint32_t i = 0; i < op->found_count; i++) {
        if (i > 0)
            buffer_u8(buffer, ',');
        put_pair(history, buffer, &op->found[i], true);
    }
    put_text(buffer, "],\"count\":");
    put_i64(buffer, op->count);
    put_text(buffer, op->more ? ",\"more\":true" : ",\"more\":false");
}

static void put_number_field(struct buffer *buffer, const char *before, int64_t value)
{
    if (value != 0) {
        put_text(buffer, before);
        put_i64(buffer, value);
    }
}

static void put_op(const struct history *history, struct buffer *buffer,
                   const struct history_op *op, bool answered)
{
    static const char *const names[] = {
        [HISTORY_PUT] = "{\"put\":",       [HISTORY_GET] = "{\"get\":",
        [HISTORY_RANGE] = "{\"range\":",   [HISTORY_DELETE] = "{\"delete\":",
        [HISTORY_REVOKE] = "{\"revoke\":",
    };
    put_text(buffer, names[op->kind]);
    if (op->kind == HISTORY_REVOKE)
        put_i64(buffer, op->lease);
    else
        put_string(history, buffer, op->key);
    if (op->end != 0) {
        put_text(buffer, ",\"end\":");
        put_string(history, buffer, op->end);
    }
    if (op->kind == HISTORY_PUT) {
        put_text(buffer, ",\"value\":");
        put_string(history, buffer, op->value);
        put_number_field(buffer, ",\"lease\":", op->lease);
    }
    put_number_field(buffer, ",\"limit\":", op->limit);
    put_number_field(buffer, ",\"at\":", op->at);
    if (answered && (op->kind == HISTORY_GET || op->kind == HISTORY_RANGE))
        put_found(history, buffer, op);
    if (answered && op->kind == HISTORY_DELETE) {
        put_text(buffer, ",\"deleted\":");
        put_i64(buffer, op->count);
    }
    buffer_u8(buffer, '}');
}

static void put_branch(const struct history *history, struct buffer *buffer, const char *name,
                       const struct history_op *ops, uint32_t count, bool answered)
{
    put_text(buffer, ",\"");
    put_text(buffer, name);
    put_text(buffer, "\":[");
    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            buffer_u8(buffer, ',');
        put_op(history, buffer, &ops[i], answered);
    }
    buffer_u8(buffer, ']');
}

static void put_compares(const struct history *history, struct buffer *buffer,
                         const struct history_operation *operation)
{
    for (uint32_t i = 0; i < operation->compares_count; i++) {
        const struct history_compare *compare = &operation->compares[i];
        put_text(buffer, i == 0 ? ",\"if\":[" : ",");
        put_text(buffer, "{\"key\":");
        put_string(history, buffer, compare->key);
        switch (compare->kind) {
        case HISTORY_COMPARE_VALUE:
            put_text(buffer, ",\"value\":");
            put_string(history, buffer, compare->value);
            break;
        case HISTORY_COMPARE_EXISTS:
            put_text(buffer, compare->exists ? ",\"exists\":true" : ",\"exists\":false");
            break;
        case HISTORY_COMPARE_MOD:
            put_text(buffer, ",\"mod\":");
            put_i64(buffer, compare->mod);
            break;
        }
        buffer_u8(buffer, '}');
    }
    put_text(buffer, "]");
}

static void put_branches(const struct history *history, struct buffer *buffer,
                         const struct history_operation *o)
{
    bool ok = o->outcome == HISTORY_OK;
    if (o->compares_count == 0) {
        put_branch(history, buffer, "do", o->then, o->then_count, ok);
        return;
    }
    put_compares(history, buffer, o);
    if (!ok) {
        put_branch(history, buffer, "then", o->then, o->then_count, false);
        put_branch(history, buffer, "else", o->otherwise, o->otherwise_count, false);
        return;
    }
    put_text(buffer, o->succeeded ? ",\"succeeded\":true" : ",\"succeeded\":false");
    uint32_t taken;
    const struct history_op *ops = history_taken(o, &taken);
    put_branch(history, buffer, "do", ops, taken, true);
    put_branch(history, buffer, "else_do", o->succeeded ? o->otherwise : o->then,
               o->succeeded ? o->otherwise_count : o->then_count, false);
}

void history_write_operation(const struct history *history, uint32_t number, struct buffer *buffer)
{
    static const char *const outcomes[] = {
        [HISTORY_UNKNOWN] = "unknown", [HISTORY_OK] = "ok", [HISTORY_FAILED] = "failed"};
    const struct history_operation *o = &history->operations[number];
    put_text(buffer, "{\"client\":");
    put_u64(buffer, o->client);
    put_text(buffer, ",\"call\":");
    put_u64(buffer, o->call);
    put_text(buffer, ",\"return\":");
    if (o->outcome == HISTORY_UNKNOWN)
        put_text(buffer, "null");
    else
        put_u64(buffer, o->end);
    put_text(buffer, ",\"outcome\":\"");
    put_text(buffer, outcomes[o->outcome]);
    buffer_u8(buffer, '"');
    if (o->outcome == HISTORY_OK) {
        put_text(buffer, ",\"revision\":");
        put_i64(buffer, o->revision);
    }
    if (o->serializable)
        put_text(buffer, ",\"serializable\":true");
    put_branches(history, buffer, o);
    buffer_u8(buffer, '}');
}

void history_write(const struct history *history, struct buffer *buffer)
{
    put_text(buffer, "{\"format\":\"synod-history\",\"version\":1}\n");
    for (uint32_t i = 0; i < history->count; i++) {
        history_write_operation(history, i, buffer);
        buffer_u8(buffer, '\n');
    }
}
