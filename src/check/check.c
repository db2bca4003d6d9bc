#include "check/check.h"

#include "check/check_internal.h"

#define SHOWN_MAX 48

void check_verdict_release(struct check_verdict *verdict)
{
    mem_free(verdict->mem, verdict->prefix, verdict->prefix_count * sizeof *verdict->prefix);
    verdict->prefix = NULL;
    verdict->prefix_count = 0;
}

void check_describe_string(const struct history *h, uint32_t string, struct text *text)
{
    struct bytes bytes = h->strings[string];
    for (size_t i = 0; i < bytes.size && i < SHOWN_MAX; i++) {
        uint8_t byte = bytes.data[i];
        if (byte > 0x20 && byte != 0x7f && byte != '\\') {
            text_bytes(text, bytes_of(&byte, 1));
        } else {
            text_add(text, byte < 0x10 ? "\\x0" : "\\x");
            text_hex(text, byte);
        }
    }
    if (bytes.size == 0)
        text_add(text, "\"\"");
    if (bytes.size > SHOWN_MAX)
        text_add(text, "...");
}

static bool op_wrote(const struct history_op *op)
{
    return op->kind == HISTORY_PUT || (op->kind == HISTORY_DELETE && op->count > 0);
}

bool check_is_vacuous(const struct history *h)
{
    bool read = false;
    bool wrote = false;
    for (uint32_t i = 0; i < h->count && !(read && wrote); i++) {
        const struct history_operation *o = &h->operations[i];
        uint32_t count = 0;
        const struct history_op *ops = o->outcome == HISTORY_OK ? history_taken(o, &count) : NULL;
        for (uint32_t j = 0; j < count; j++) {
            wrote |= op_wrote(&ops[j]);
            read |= ops[j].kind == HISTORY_GET || ops[j].kind == HISTORY_RANGE;
        }
    }
    return !read || !wrote;
}

static void describe_number(struct text *text, const char *before, int64_t number)
{
    text_add(text, before);
    text_i64(text, number);
}

static void describe_pair(const struct history *h, struct text *text,
                          const struct history_pair *pair)
{
    check_describe_string(h, pair->key, text);
    text_add(text, "=");
    check_describe_string(h, pair->value, text);
    describe_number(text, " (create ", pair->create);
    describe_number(text, ", mod ", pair->mod);
    describe_number(text, ", version ", pair->version);
    text_add(text, ")");
}

static void describe_answer(const struct history *h, struct text *text, const struct history_op *op)
{
    if (op->kind == HISTORY_DELETE)
        describe_number(text, ": deleted ", op->count);
    if (op->kind != HISTORY_GET && op->kind != HISTORY_RANGE)
        return;
    text_add(text, op->found_count == 0 ? ": nothing" : ": ");
    for (uint32_t i = 0; i < op->found_count && i < 8; i++) {
        text_add(text, i > 0 ? ", " : "");
        describe_pair(h, text, &op->found[i]);
    }
    text_add(text, op->found_count > 8 ? ", ..." : "");
    if (op->kind == HISTORY_RANGE)
        describe_number(text, "; count ", op->count);
}

static void describe_op(const struct history *h, struct text *text, const struct history_op *op,
                        bool answered)
{
    static const char *const names[] = {[HISTORY_PUT] = "put ",
                                        [HISTORY_GET] = "get ",
                                        [HISTORY_RANGE] = "range ",
                                        [HISTORY_DELETE] = "delete ",
                                        [HISTORY_REVOKE] = "revoke lease "};
    text_add(text, names[op->kind]);
    if (op->kind == HISTORY_REVOKE) {
        text_i64(text, op->lease);
        return;
    }
    check_describe_string(h, op->key, text);
    if (op->end != 0) {
        text_add(text, "..");
        check_describe_string(h, op->end, text);
    }
    if (op->kind == HISTORY_PUT) {
        text_add(text, "=");
        check_describe_string(h, op->value, text);
    }
    if (op->lease != 0)
        describe_number(text, " lease ", op->lease);
    if (op->limit != 0)
        describe_number(text, " limit ", op->limit);
    if (op->at != 0)
        describe_number(text, " at revision ", op->at);
    if (answered)
        describe_answer(h, text, op);
}

static void describe_ops(const struct history *h, struct text *text, const struct history_op *ops,
                         uint32_t count, bool answered)
{
    for (uint32_t i = 0; i < count; i++) {
        text_add(text, i > 0 ? "; " : "");
        describe_op(h, text, &ops[i], answered);
    }
    text_add(text, count == 0 ? "nothing" : "");
}

static void describe_compares(const struct history *h, struct text *text,
                              const struct history_operation *o)
{
    for (uint32_t i = 0; i < o->compares_count; i++) {
        const struct history_compare *compare = &o->compares[i];
        text_add(text, i == 0 ? "if " : " and ");
        check_describe_string(h, compare->key, text);
        switch (compare->kind) {
        case HISTORY_COMPARE_VALUE:
            text_add(text, " is ");
            check_describe_string(h, compare->value, text);
            break;
        case HISTORY_COMPARE_EXISTS:
            text_add(text, compare->exists ? " exists" : " is missing");
            break;
        case HISTORY_COMPARE_MOD:
            describe_number(text, " has mod ", compare->mod);
            break;
        }
    }
}

void check_describe(const struct history *h, uint32_t number, struct text *text)
{
    const struct history_operation *o = &h->operations[number];
    text_add(text, "#");
    text_u64(text, number);
    text_add(text, " client ");
    text_u64(text, o->client);
    text_add(text, o->serializable ? " serializable " : " ");
    if (o->compares_count > 0) {
        describe_compares(h, text, o);
        text_add(text, " then ");
    }
    bool ok = o->outcome == HISTORY_OK;
    describe_ops(h, text, o->then, o->then_count, ok && o->succeeded);
    if (o->otherwise_count > 0) {
        text_add(text, " else ");
        describe_ops(h, text, o->otherwise, o->otherwise_count, ok && !o->succeeded);
    }
    if (ok && o->compares_count > 0)
        text_add(text, o->succeeded ? " -> held" : " -> did not hold");
    if (ok)
        describe_number(text, " -> revision ", o->revision);
    else
        text_add(text, o->outcome == HISTORY_FAILED ? " -> failed" : " -> unknown");
}
