/* Text: a bounded writer of characters over a caller's array, for lines, JSON and metrics in rooms
 * that have no stdio. The result is always terminated; what does not fit latches `truncated`. */
#ifndef SYNOD_BASE_TEXT_H
#define SYNOD_BASE_TEXT_H

#include "base/bytes.h"

struct text {
    char *data;
    size_t size;
    size_t capacity; /* of the array, terminator included; at least 1 */
    bool truncated;
};

struct text text_of(char *data, size_t capacity);
void text_add(struct text *text, const char *more);
void text_bytes(struct text *text, struct bytes more);
void text_u64(struct text *text, uint64_t value);
void text_i64(struct text *text, int64_t value);
/* Lower-case hexadecimal without padding. */
void text_hex(struct text *text, uint64_t value);

#endif
