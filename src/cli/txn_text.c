/* Txn text: lines to words, words to messages.
 *
 * Words are unquoted in their own place, which is never longer than what was written; so the
 * messages point into the text and own only themselves. */
#include "cli/txn_text.h"

#include "cli/options.h"
#include "cli/range.h"
#include "cli/read_all.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 8

struct words {
    ProtobufCBinaryData word[WORDS_MAX];
    size_t count;
};

static bool fail(struct txn_text *txn, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool fail(struct txn_text *txn, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(txn->error, sizeof txn->error, format, arguments);
    va_end(arguments);
    return false;
}

static void *keep(struct txn_text *txn, size_t size)
{
    void *at = calloc(1, size);
    void **owned = realloc(txn->owned, (txn->owned_count + 1) * sizeof *owned);
    if (at == NULL || owned == NULL)
        panic("out of memory");
    txn->owned = owned;
    txn->owned[txn->owned_count++] = at;
    return at;
}

static bool is_word(ProtobufCBinaryData word, const char *text)
{
    return word.len == strlen(text) && memcmp(word.data, text, word.len) == 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that the escape at `at` (behind the backslash) stands for; moves past it; -1 if bad. */
static int unescape(const char **at, const char *end)
{
    if (*at == end)
        return -1;
    char c = *(*at)++;
    switch (c) {
    case 'n':
        return '\n';
    case 't':
        return '\t';
    case 'r':
        return '\r';
    case '"':
    case '\\':
        return c;
    case 'x':
        if (end - *at < 2 || hex_digit((*at)[0]) < 0 || hex_digit((*at)[1]) < 0)
            return -1;
        *at += 2;
        return hex_digit((*at)[-2]) * 16 + hex_digit((*at)[-1]);
    default:
        return -1;
    }
}

/* A quoted word beginning at *at, unquoted into its own place. */
static bool quoted_word(struct txn_text *txn, const char **at, const char *end,
                        ProtobufCBinaryData *ret_word)
{
    uint8_t *out = (uint8_t *)(uintptr_t)*at;
    *ret_word = (ProtobufCBinaryData){0, out};
    for (++*at; *at < end && **at != '"';) {
        int byte = (uint8_t) * (*at)++;
        if (byte == '\\')
            byte = unescape(at, end);
        if (byte < 0)
            return fail(txn, "unknown escape in quotes");
        out[ret_word->len++] = (uint8_t)byte;
    }
    if (*at == end)
        return fail(txn, "quotes are not closed");
    ++*at;
    return true;
}

static bool split_words(struct txn_text *txn, const char *at, const char *end,
                        struct words *ret_words)
{
    ret_words->count = 0;
    for (;;) {
        while (at < end && (*at == ' ' || *at == '\t' || *at == '\r'))
            at++;
        if (at == end || (*at == '#' && ret_words->count == 0))
            return true;
        if (ret_words->count == WORDS_MAX)
            return fail(txn, "too many words");
        ProtobufCBinaryData *word = &ret_words->word[ret_words->count++];
        if (*at == '"') {
            if (!quoted_word(txn, &at, end, word))
                return false;
            continue;
        }
        *word = (ProtobufCBinaryData){0, (uint8_t *)(uintptr_t)at};
        while (at < end && *at != ' ' && *at != '\t' && *at != '\r')
            at++;
        word->len = (size_t)((const uint8_t *)at - word->data);
    }
}

static bool read_number(struct txn_text *txn, ProtobufCBinaryData word, int64_t *ret_number)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)word.len, (const char *)word.data);
    if (word.len < sizeof text && number_parse(text, ret_number))
        return true;
    return fail(txn, "\"%s\" is not a number", text);
}

static bool read_lease(struct txn_text *txn, ProtobufCBinaryData word, int64_t *ret_id)
{
    char text[32];
    snprintf(text, sizeof text, "%.*s", (int)word.len, (const char *)word.data);
    if (word.len < sizeof text && lease_parse(text, ret_id))
        return true;
    return fail(txn, "\"%s\" is not a lease's id", text);
}

static bool read_operand(struct txn_text *txn, Etcdserverpb__Compare *compare,
                         ProtobufCBinaryData operand)
{
    switch (compare->target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
        return read_number(txn, operand, &compare->version);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION;
        return read_number(txn, operand, &compare->create_revision);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION;
        return read_number(txn, operand, &compare->mod_revision);
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE;
        return read_lease(txn, operand, &compare->lease);
    default:
        compare->target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE;
        compare->value = operand;
        return true;
    }
}

static bool parse_compare(struct txn_text *txn, const struct words *words)
{
    static const char *const targets[] = {"version", "create", "mod", "value", "lease"};
    static const char *const results[] = {"=", ">", "<", "!="};
    size_t target = 0;
    size_t result = 0;
    if (words->count != 5)
        return fail(txn, "a comparison is: if TARGET KEY OPERATOR OPERAND");
    while (target < 5 && !is_word(words->word[1], targets[target]))
        target++;
    while (result < 4 && !is_word(words->word[3], results[result]))
        result++;
    if (target == 5)
        return fail(txn, "compare value, version, create, mod or lease of a key");
    if (result == 4)
        return fail(txn, "the operators are = != < >");
    Etcdserverpb__Compare *compare = keep(txn, sizeof *compare);
    etcdserverpb__compare__init(compare);
    compare->target = (Etcdserverpb__Compare__CompareTarget)target;
    compare->result = (Etcdserverpb__Compare__CompareResult)result;
    compare->key = words->word[2];
    txn->request.compare[txn->request.n_compare++] = compare;
    return read_operand(txn, compare, words->word[4]);
}

/* KEY [RANGE_END] [--prefix] from word 2 on. */
static bool parse_range(struct txn_text *txn, const struct words *words,
                        ProtobufCBinaryData *ret_key, ProtobufCBinaryData *ret_end)
{
    if (words->count < 3 || words->count > 4)
        return fail(txn, "this is: get|del KEY [RANGE_END] [--prefix]");
    *ret_key = words->word[2];
    if (words->count == 3)
        return true;
    *ret_end = words->word[3];
    if (is_word(words->word[3], "--prefix")) {
        ret_end->data = keep(txn, ret_key->len + 1);
        ret_end->len = prefix_end(ret_key->data, ret_key->len, ret_end->data);
    }
    return true;
}

static bool parse_put(struct txn_text *txn, const struct words *words,
                      Etcdserverpb__RequestOp *operation)
{
    Etcdserverpb__PutRequest *put = keep(txn, sizeof *put);
    etcdserverpb__put_request__init(put);
    operation->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    operation->request_put = put;
    bool has_lease = words->count == 6 && is_word(words->word[4], "--lease");
    if (words->count != 4 && !has_lease)
        return fail(txn, "this is: put KEY VALUE [--lease ID]");
    put->key = words->word[2];
    put->value = words->word[3];
    return !has_lease || read_lease(txn, words->word[5], &put->lease);
}

static bool parse_operation(struct txn_text *txn, const struct words *words,
                            Etcdserverpb__RequestOp *operation)
{
    ProtobufCBinaryData verb = words->count > 1 ? words->word[1] : (ProtobufCBinaryData){0, NULL};
    if (is_word(verb, "put"))
        return parse_put(txn, words, operation);
    if (is_word(verb, "get")) {
        Etcdserverpb__RangeRequest *range = keep(txn, sizeof *range);
        etcdserverpb__range_request__init(range);
        operation->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
        operation->request_range = range;
        return parse_range(txn, words, &range->key, &range->range_end);
    }
    if (is_word(verb, "del")) {
        Etcdserverpb__DeleteRangeRequest *del = keep(txn, sizeof *del);
        etcdserverpb__delete_range_request__init(del);
        operation->request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE;
        operation->request_delete_range = del;
        return parse_range(txn, words, &del->key, &del->range_end);
    }
    return fail(txn, "the operations are put, get and del");
}

static bool parse_line(struct txn_text *txn, const char *at, const char *end)
{
    struct words words;
    if (!split_words(txn, at, end, &words))
        return false;
    if (words.count == 0)
        return true;
    if (is_word(words.word[0], "if"))
        return parse_compare(txn, &words);
    bool then = is_word(words.word[0], "then");
    if (!then && !is_word(words.word[0], "else"))
        return fail(txn, "a line begins with if, then or else");
    Etcdserverpb__RequestOp *operation = keep(txn, sizeof *operation);
    etcdserverpb__request_op__init(operation);
    if (then)
        txn->request.success[txn->request.n_success++] = operation;
    else
        txn->request.failure[txn->request.n_failure++] = operation;
    return parse_operation(txn, &words, operation);
}

bool txn_text_parse(struct txn_text *txn, char *text, size_t size)
{
    const char *at = text;
    const char *end = text + size;
    size_t lines = 1;
    *txn = (struct txn_text){0};
    etcdserverpb__txn_request__init(&txn->request);
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n' ? 1 : 0;
    txn->request.compare = keep(txn, lines * sizeof *txn->request.compare);
    txn->request.success = keep(txn, lines * sizeof *txn->request.success);
    txn->request.failure = keep(txn, lines * sizeof *txn->request.failure);
    while (at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        const char *line_end = newline != NULL ? newline : end;
        txn->line++;
        if (!parse_line(txn, at, line_end))
            return false;
        at = newline != NULL ? newline + 1 : end;
    }
    if (txn->request.n_compare + txn->request.n_success + txn->request.n_failure == 0)
        return fail(txn, "nothing to do");
    return true;
}

void txn_text_release(struct txn_text *txn)
{
    for (size_t i = 0; i < txn->owned_count; i++)
        free(txn->owned[i]);
    free(txn->owned);
    txn->owned = NULL;
    txn->owned_count = 0;
}
