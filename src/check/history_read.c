/* Reading a history: a line is parsed into `struct parsed`, checked as a whole, and only then
 * recorded; so a bad line leaves nothing behind. Nothing here calls itself: the format has a fixed
 * depth, and so has its reader. */
#include "check/history_file.h"

#include "check/json_in.h"

#include <string.h>

/* What one line holds, before it is recorded. Ops name their pairs by place, for the array moves
 * while it grows. */
struct parsed_op {
    struct history_op op;
    size_t pairs_begin;
    uint32_t seen; /* its fields, by bit */
    bool array;    /* what it found is one */
};

struct parsed {
    struct history *history;
    struct json_in in;
    struct buffer pairs;     /* of struct history_pair */
    struct buffer compares;  /* of struct history_compare */
    struct buffer branch[4]; /* of struct parsed_op: do, else_do, then, else */
    struct buffer copies[2]; /* of struct history_op: the two branches of the request */
    uint32_t seen;           /* fields of the operation, by bit */
    uint64_t client;
    uint64_t call;
    uint64_t end;
    int64_t revision;
    enum history_outcome outcome;
    bool end_null;
    bool serializable;
    bool succeeded;
};

enum branch {
    BRANCH_DO,
    BRANCH_ELSE_DO,
    BRANCH_THEN,
    BRANCH_ELSE,
};

/* Reads a field's name; returns its place in `names` and notes its bit, or fails and returns -1. */
static int read_field(struct json_in *in, const char *const *names, uint32_t *seen)
{
    struct bytes name = json_in_name(in);
    for (int i = 0; !in->failed && names[i] != NULL; i++) {
        if (!bytes_equal(name, bytes_text(names[i])))
            continue;
        if (*seen & 1u << i)
            json_in_fail_field(in, names[i], "is there twice");
        *seen |= 1u << i;
        return in->failed ? -1 : i;
    }
    if (!in->failed) {
        text_add(in->error, "unknown field \"");
        text_bytes(in->error, name);
        json_in_fail(in, "\"");
    }
    return -1;
}

/* Every field of `needed` must be among `seen`, and none outside `needed` and `allowed`. */
static void read_require(struct json_in *in, const char *const *names, uint32_t seen,
                         uint32_t needed, uint32_t allowed)
{
    for (int i = 0; names[i] != NULL; i++) {
        if (needed & ~seen & 1u << i)
            json_in_fail_field(in, names[i], "is missing");
        if (seen & ~(needed | allowed) & 1u << i)
            json_in_fail_field(in, names[i], "does not belong here");
    }
}

static uint32_t read_string(struct parsed *p)
{
    struct bytes bytes = json_in_string_or_hex(&p->in);
    return p->in.failed ? 0 : history_string(p->history, bytes);
}

static int64_t read_positive(struct json_in *in, const char *name)
{
    int64_t value = json_in_i64(in);
    if (!in->failed && value < 1)
        json_in_fail_field(in, name, "must be 1 or more");
    return value;
}

static void read_pair(struct parsed *p, bool with_key)
{
    static const char *const names[] = {"key", "value", "create", "mod", "version", NULL};
    struct history_pair pair = {0};
    uint32_t seen = 0;
    bool first = true;
    json_in_take(&p->in, '{');
    while (json_in_more(&p->in, '}', &first)) {
        switch (read_field(&p->in, names, &seen)) {
        case 0:
            pair.key = read_string(p);
            break;
        case 1:
            pair.value = read_string(p);
            break;
        case 2:
            pair.create = read_positive(&p->in, "create");
            break;
        case 3:
            pair.mod = read_positive(&p->in, "mod");
            break;
        case 4:
            pair.version = read_positive(&p->in, "version");
            break;
        default:
            break;
        }
    }
    read_require(&p->in, names, seen, with_key ? 0x1f : 0x1e, 0);
    buffer_append(&p->pairs, bytes_of(&pair, sizeof pair));
}

enum op_field {
    OP_PUT,
    OP_GET,
    OP_RANGE,
    OP_DELETE,
    OP_REVOKE,
    OP_VALUE,
    OP_END,
    OP_LEASE,
    OP_LIMIT,
    OP_AT,
    OP_FOUND,
    OP_COUNT,
    OP_MORE,
    OP_DELETED,
};

static const char *const op_names[] = {"put",   "get",   "range", "delete",  "revoke",
                                       "value", "end",   "lease", "limit",   "at",
                                       "found", "count", "more",  "deleted", NULL};

/* null, one pair, or several: which one is right is known when the whole operation is read. */
static void read_found(struct parsed *p, struct parsed_op *parsed)
{
    parsed->pairs_begin = p->pairs.size / sizeof(struct history_pair);
    parsed->array = json_in_peek(&p->in) == '[';
    bool first = true;
    if (json_in_took_null(&p->in))
        return;
    if (!parsed->array) {
        read_pair(p, false);
        parsed->op.found_count = 1;
        return;
    }
    json_in_take(&p->in, '[');
    while (json_in_more(&p->in, ']', &first)) {
        read_pair(p, true);
        parsed->op.found_count++;
    }
}

static void read_op_field(struct parsed *p, struct parsed_op *parsed, int field)
{
    struct history_op *op = &parsed->op;
    switch ((enum op_field)field) {
    case OP_PUT:
    case OP_GET:
    case OP_RANGE:
    case OP_DELETE:
        op->key = read_string(p);
        break;
    case OP_REVOKE:
    case OP_LEASE:
        op->lease = json_in_i64(&p->in);
        if (op->lease == 0)
            json_in_fail(&p->in, "lease 0 is none");
        break;
    case OP_VALUE:
        op->value = read_string(p);
        break;
    case OP_END:
        op->end = read_string(p);
        break;
    case OP_LIMIT:
        op->limit = read_positive(&p->in, "limit");
        break;
    case OP_AT:
        op->at = read_positive(&p->in, "at");
        break;
    case OP_FOUND:
        read_found(p, parsed);
        break;
    case OP_COUNT:
    case OP_DELETED:
        op->count = json_in_i64(&p->in);
        if (op->count < 0)
            json_in_fail_field(&p->in, op_names[field], "must be 0 or more");
        break;
    case OP_MORE:
        op->more = json_in_bool(&p->in);
        break;
    }
}

#define BIT(field) (1u << (field))

static const struct {
    enum op_field name;
    enum history_op_kind kind;
    uint32_t needed;
    uint32_t allowed;
    uint32_t answer;
} op_kinds[] = {
    {OP_PUT, HISTORY_PUT, BIT(OP_VALUE), BIT(OP_LEASE), 0},
    {OP_GET, HISTORY_GET, 0, BIT(OP_AT), BIT(OP_FOUND)},
    {OP_RANGE, HISTORY_RANGE, 0, BIT(OP_END) | BIT(OP_LIMIT) | BIT(OP_AT),
     BIT(OP_FOUND) | BIT(OP_COUNT) | BIT(OP_MORE)},
    {OP_DELETE, HISTORY_DELETE, 0, BIT(OP_END), BIT(OP_DELETED)},
    {OP_REVOKE, HISTORY_REVOKE, 0, 0, 0},
};

/* Which operation it is, and whether its fields are those of one that was (not) answered. */
static void read_op_close(struct parsed *p, struct parsed_op *parsed, bool answered)
{
    for (size_t i = 0; i < sizeof op_kinds / sizeof op_kinds[0]; i++) {
        if (!(parsed->seen & BIT(op_kinds[i].name)))
            continue;
        parsed->op.kind = op_kinds[i].kind;
        uint32_t needed =
            BIT(op_kinds[i].name) | op_kinds[i].needed | (answered ? op_kinds[i].answer : 0);
        read_require(&p->in, op_names, parsed->seen, needed, op_kinds[i].allowed);
        if (parsed->seen & BIT(OP_FOUND) && parsed->array != (parsed->op.kind == HISTORY_RANGE))
            json_in_fail_field(&p->in, "found",
                               parsed->array ? "of a get is null or one pair"
                                             : "of a range is an array");
        return;
    }
    json_in_fail(&p->in, "an operation without put, get, range, delete or revoke");
}

/* Answers belong to what was done, and only where the outcome is ok. */
static void read_close_branches(struct parsed *p)
{
    for (int b = 0; b < 4; b++) {
        struct parsed_op *ops = (void *)p->branch[b].data;
        size_t count = p->branch[b].size / sizeof *ops;
        for (size_t i = 0; i < count && !p->in.failed; i++)
            read_op_close(p, &ops[i], b == BRANCH_DO && p->outcome == HISTORY_OK);
    }
}

static void read_ops(struct parsed *p, enum branch branch)
{
    bool first = true;
    json_in_take(&p->in, '[');
    while (json_in_more(&p->in, ']', &first)) {
        struct parsed_op parsed = {0};
        bool first_field = true;
        json_in_take(&p->in, '{');
        while (json_in_more(&p->in, '}', &first_field)) {
            int field = read_field(&p->in, op_names, &parsed.seen);
            if (field >= 0)
                read_op_field(p, &parsed, field);
        }
        buffer_append(&p->branch[branch], bytes_of(&parsed, sizeof parsed));
    }
}

static void read_compare(struct parsed *p)
{
    static const char *const names[] = {"key", "value", "exists", "mod", NULL};
    struct history_compare compare = {0};
    uint32_t seen = 0;
    bool first = true;
    json_in_take(&p->in, '{');
    while (json_in_more(&p->in, '}', &first)) {
        switch (read_field(&p->in, names, &seen)) {
        case 0:
            compare.key = read_string(p);
            break;
        case 1:
            compare.value = read_string(p);
            compare.kind = HISTORY_COMPARE_VALUE;
            break;
        case 2:
            compare.exists = json_in_bool(&p->in);
            compare.kind = HISTORY_COMPARE_EXISTS;
            break;
        case 3:
            compare.mod = json_in_i64(&p->in);
            compare.kind = HISTORY_COMPARE_MOD;
            break;
        default:
            break;
        }
    }
    read_require(&p->in, names, seen, 1, 0xe);
    if (!p->in.failed && (seen & 0xe) != 2 && (seen & 0xe) != 4 && (seen & 0xe) != 8)
        json_in_fail(&p->in, "a compare needs one of \"value\", \"exists\" and \"mod\"");
    if (!p->in.failed && compare.mod < 0)
        json_in_fail_field(&p->in, "mod", "must be 0 or more");
    buffer_append(&p->compares, bytes_of(&compare, sizeof compare));
}

enum field {
    FIELD_CLIENT,
    FIELD_CALL,
    FIELD_RETURN,
    FIELD_OUTCOME,
    FIELD_REVISION,
    FIELD_SERIALIZABLE,
    FIELD_IF,
    FIELD_SUCCEEDED,
    FIELD_DO,
    FIELD_ELSE_DO,
    FIELD_THEN,
    FIELD_ELSE,
};

static const char *const field_names[] = {
    "client", "call",    "return", "outcome", "revision", "serializable", "if", "succeeded",
    "do",     "else_do", "then",   "else",    NULL};

static void read_outcome(struct parsed *p)
{
    static const char *const outcomes[] = {
        [HISTORY_UNKNOWN] = "unknown", [HISTORY_OK] = "ok", [HISTORY_FAILED] = "failed"};
    struct bytes name = json_in_string(&p->in);
    for (int i = 0; i < 3; i++) {
        if (bytes_equal(name, bytes_text(outcomes[i]))) {
            p->outcome = (enum history_outcome)i;
            return;
        }
    }
    json_in_fail_field(&p->in, "outcome", "is neither ok, failed nor unknown");
}

static void read_operation_field(struct parsed *p, int field)
{
    bool first = true;
    switch ((enum field)field) {
    case FIELD_CLIENT:
        p->client = json_in_u64(&p->in);
        if (p->client > UINT32_MAX)
            json_in_fail_field(&p->in, "client", "is too large");
        break;
    case FIELD_CALL:
        p->call = json_in_u64(&p->in);
        break;
    case FIELD_RETURN:
        p->end_null = json_in_took_null(&p->in);
        p->end = p->end_null ? UINT64_MAX : json_in_u64(&p->in);
        break;
    case FIELD_OUTCOME:
        read_outcome(p);
        break;
    case FIELD_REVISION:
        p->revision = read_positive(&p->in, "revision");
        break;
    case FIELD_SERIALIZABLE:
        p->serializable = json_in_bool(&p->in);
        break;
    case FIELD_IF:
        json_in_take(&p->in, '[');
        while (json_in_more(&p->in, ']', &first))
            read_compare(p);
        break;
    case FIELD_SUCCEEDED:
        p->succeeded = json_in_bool(&p->in);
        break;
    case FIELD_DO:
    case FIELD_ELSE_DO:
    case FIELD_THEN:
    case FIELD_ELSE:
        read_ops(p, (enum branch)(field - FIELD_DO));
        break;
    }
}

/* Fields fit together, and times to the operation before. */
static void read_operation_close(struct parsed *p)
{
    uint32_t needed = BIT(FIELD_CLIENT) | BIT(FIELD_CALL) | BIT(FIELD_RETURN) | BIT(FIELD_OUTCOME);
    uint32_t allowed = BIT(FIELD_SERIALIZABLE);
    bool conditional = p->seen & BIT(FIELD_IF);
    if (p->outcome == HISTORY_OK) {
        needed |= BIT(FIELD_REVISION) | BIT(FIELD_DO);
        needed |= conditional ? BIT(FIELD_SUCCEEDED) : 0;
        allowed |= conditional ? BIT(FIELD_IF) | BIT(FIELD_ELSE_DO) : 0;
    } else {
        needed |= conditional ? BIT(FIELD_THEN) : BIT(FIELD_DO);
        allowed |= conditional ? BIT(FIELD_IF) | BIT(FIELD_ELSE) : 0;
    }
    read_require(&p->in, field_names, p->seen, needed, allowed);
    if (p->in.failed)
        return;
    const struct history *h = p->history;
    if (conditional && p->compares.size == 0)
        json_in_fail_field(&p->in, "if", "is empty");
    if (p->end_null != (p->outcome == HISTORY_UNKNOWN))
        json_in_fail_field(&p->in, "return",
                           p->end_null ? "is null only where the outcome is unknown"
                                       : "is null where the outcome is unknown");
    if (p->end < p->call)
        json_in_fail_field(&p->in, "return", "is before the call");
    if (h->count > 0 && h->operations[h->count - 1].call > p->call)
        json_in_fail_field(&p->in, "call", "is before that of the line above");
    if (json_in_peek(&p->in) != 0)
        json_in_fail(&p->in, "something behind the operation");
}

/* A revocation stands alone: leases are no part of transactions. */
static void read_check_revoke(struct parsed *p)
{
    for (int b = 0; b < 4; b++) {
        const struct parsed_op *ops = (const void *)p->branch[b].data;
        size_t count = p->branch[b].size / sizeof *ops;
        for (size_t i = 0; i < count; i++) {
            if (ops[i].op.kind == HISTORY_REVOKE && (count > 1 || p->compares.size > 0))
                json_in_fail_field(&p->in, "revoke", "must be the only operation");
        }
    }
}

static uint32_t collect(const struct parsed *p, enum branch branch, struct buffer *copies)
{
    const struct parsed_op *ops = (const void *)p->branch[branch].data;
    uint32_t count = (uint32_t)(p->branch[branch].size / sizeof *ops);
    for (uint32_t i = 0; i < count; i++) {
        struct history_op op = ops[i].op;
        op.found_count = 0;
        op.count = 0;
        op.more = false;
        buffer_append(copies, bytes_of(&op, sizeof op));
    }
    return count;
}

static void record(struct parsed *p)
{
    bool ok = p->outcome == HISTORY_OK;
    bool conditional = p->compares.size > 0;
    bool then_taken = !conditional || p->succeeded;
    enum branch then = !ok && conditional ? BRANCH_THEN : then_taken ? BRANCH_DO : BRANCH_ELSE_DO;
    enum branch otherwise = !ok ? BRANCH_ELSE : then_taken ? BRANCH_ELSE_DO : BRANCH_DO;
    uint32_t then_count = collect(p, then, &p->copies[0]);
    uint32_t otherwise_count = conditional ? collect(p, otherwise, &p->copies[1]) : 0;
    struct history_request request = {
        .serializable = p->serializable,
        .compares = (const void *)p->compares.data,
        .compares_count = (uint32_t)(p->compares.size / sizeof(struct history_compare)),
        .then = (const void *)p->copies[0].data,
        .then_count = then_count,
        .otherwise = (const void *)p->copies[1].data,
        .otherwise_count = otherwise_count,
    };
    uint32_t number = history_call(p->history, (uint32_t)p->client, p->call, &request);
    if (p->outcome == HISTORY_FAILED)
        history_failed(p->history, number, p->end);
    if (!ok)
        return;
    struct history_op *ops = history_ok(p->history, number, p->end, p->revision, then_taken);
    const struct parsed_op *parsed = (const void *)p->branch[BRANCH_DO].data;
    struct history_pair *pairs = (void *)p->pairs.data;
    uint32_t count = (uint32_t)(p->branch[BRANCH_DO].size / sizeof *parsed);
    for (uint32_t i = 0; i < count; i++) {
        struct history_op *op = &ops[i];
        const struct history_op *answer = &parsed[i].op;
        if (op->kind == HISTORY_DELETE)
            op->count = answer->count;
        if (op->kind != HISTORY_GET && op->kind != HISTORY_RANGE)
            continue;
        struct history_pair *found = answer->found_count > 0 ? pairs + parsed[i].pairs_begin : NULL;
        if (op->kind == HISTORY_GET && found != NULL)
            found->key = op->key;
        history_found(p->history, op, found, answer->found_count, answer->count, answer->more);
    }
}

static void read_operation(struct parsed *p)
{
    bool first = true;
    json_in_take(&p->in, '{');
    while (json_in_more(&p->in, '}', &first)) {
        int field = read_field(&p->in, field_names, &p->seen);
        if (field >= 0)
            read_operation_field(p, field);
    }
    if (!p->in.failed)
        read_operation_close(p);
    if (!p->in.failed)
        read_close_branches(p);
    if (!p->in.failed)
        read_check_revoke(p);
    if (!p->in.failed)
        record(p);
}

static void read_header(struct parsed *p)
{
    static const char *const names[] = {"format", "version", NULL};
    uint32_t seen = 0;
    bool first = true;
    json_in_take(&p->in, '{');
    while (json_in_more(&p->in, '}', &first)) {
        int field = read_field(&p->in, names, &seen);
        if (field == 0 && !bytes_equal(json_in_string(&p->in), bytes_text("synod-history")))
            json_in_fail_field(&p->in, "format", "is not synod-history");
        if (field == 1 && json_in_u64(&p->in) != 1)
            json_in_fail_field(&p->in, "version", "is not 1");
    }
    read_require(&p->in, names, seen, 3, 0);
    if (!p->in.failed && json_in_peek(&p->in) != 0)
        json_in_fail(&p->in, "something behind the header");
}

static void parsed_clear(struct parsed *p)
{
    buffer_clear(&p->pairs);
    buffer_clear(&p->compares);
    for (int i = 0; i < 4; i++)
        buffer_clear(&p->branch[i]);
    for (int i = 0; i < 2; i++)
        buffer_clear(&p->copies[i]);
    p->seen = 0;
    p->serializable = false;
    p->succeeded = false;
}

static void parsed_release(struct parsed *p)
{
    buffer_release(p->in.scratch);
    buffer_release(&p->pairs);
    buffer_release(&p->compares);
    for (int i = 0; i < 4; i++)
        buffer_release(&p->branch[i]);
    for (int i = 0; i < 2; i++)
        buffer_release(&p->copies[i]);
}

static void parsed_init(struct parsed *p, struct history *history, struct buffer *scratch,
                        struct text *error)
{
    *p = (struct parsed){.history = history, .in = {.scratch = scratch, .error = error}};
    /* What a line becomes is bounded by the line: no buffer can outgrow it by more than this. */
    size_t limit = SIZE_MAX / 2;
    buffer_init(scratch, history->mem, limit);
    buffer_init(&p->pairs, history->mem, limit);
    buffer_init(&p->compares, history->mem, limit);
    for (int i = 0; i < 4; i++)
        buffer_init(&p->branch[i], history->mem, limit);
    for (int i = 0; i < 2; i++)
        buffer_init(&p->copies[i], history->mem, limit);
}

enum status history_read(struct history *history, struct bytes input, struct text *error)
{
    char why_text[192];
    struct text why = text_of(why_text, sizeof why_text);
    struct buffer scratch;
    struct parsed p;
    parsed_init(&p, history, &scratch, &why);
    const uint8_t *at = input.data;
    const uint8_t *end = input.size > 0 ? at + input.size : at;
    uint64_t line = 0;
    do {
        const uint8_t *stop = at < end ? memchr(at, '\n', (size_t)(end - at)) : NULL;
        p.in.at = at;
        p.in.end = stop != NULL ? stop : end;
        at = stop != NULL ? stop + 1 : end;
        parsed_clear(&p);
        if (++line == 1)
            read_header(&p);
        else
            read_operation(&p);
    } while (at < end && !p.in.failed);
    parsed_release(&p);
    if (!p.in.failed)
        return STATUS_OK;
    text_add(error, "line ");
    text_u64(error, line);
    text_add(error, ": ");
    text_add(error, why_text);
    return STATUS_INVALID;
}
