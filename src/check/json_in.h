/* JSON in: a cursor over one line of JSON, for a reader that knows what must come next. It builds
 * no tree: whoever reads asks for an object, a name, a number, and is told when it is not there.
 *
 * The one invariant: the first failure stays, with its reason; after it every call returns at once
 * with zero or empty, so a reader may go on to the end of what it reads and ask once. */
#ifndef SYNOD_CHECK_JSON_IN_H
#define SYNOD_CHECK_JSON_IN_H

#include "base/buffer.h"
#include "base/text.h"

struct json_in {
    const uint8_t *at;
    const uint8_t *end;
    struct buffer *scratch; /* strings are unescaped here: a string is valid until the next one */
    struct text *error;
    bool failed;
};

/* Notes why; the first time only. */
void json_in_fail(struct json_in *in, const char *why);
/* The same, with the name of a field in it: `"name" why`. */
void json_in_fail_field(struct json_in *in, const char *name, const char *why);
/* The next character that is no blank; 0 at the end. It is not taken. */
uint8_t json_in_peek(struct json_in *in);
/* Takes this character, or fails. */
void json_in_take(struct json_in *in, char character);
/* Takes it if it is there. */
bool json_in_took(struct json_in *in, char character);
/* For loops over an object or an array: `first` starts true. False at its end (which is taken), and
 * after a failure; otherwise the comma between two items was taken. */
bool json_in_more(struct json_in *in, char close, bool *first);
/* A string, and what a string in hexadecimal stands for: {"hex":"00ff"}. */
struct bytes json_in_string(struct json_in *in);
struct bytes json_in_string_or_hex(struct json_in *in);
/* The name of a field and its colon. */
struct bytes json_in_name(struct json_in *in);
/* Whole numbers only: no fraction, no exponent. */
int64_t json_in_i64(struct json_in *in);
uint64_t json_in_u64(struct json_in *in);
bool json_in_bool(struct json_in *in);
bool json_in_took_null(struct json_in *in);

#endif
