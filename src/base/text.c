#include "base/text.h"

#include "base/panic.h"

#include <string.h>

struct text text_of(char *data, size_t capacity)
{
    ensure(capacity > 0);
    data[0] = '\0';
    return (struct text){.data = data, .capacity = capacity};
}

void text_bytes(struct text *text, struct bytes more)
{
    size_t room = text->capacity - 1 - text->size;
    size_t taken = more.size < room ? more.size : room;
    if (taken < more.size)
        text->truncated = true;
    if (taken > 0)
        memcpy(text->data + text->size, more.data, taken);
    text->size += taken;
    text->data[text->size] = '\0';
}

void text_add(struct text *text, const char *more)
{
    text_bytes(text, bytes_text(more));
}

static void text_number(struct text *text, uint64_t value, unsigned radix)
{
    char digits[20];
    size_t at = sizeof digits;
    do {
        digits[--at] = "0123456789abcdef"[value % radix];
        value /= radix;
    } while (value > 0);
    text_bytes(text, bytes_of(digits + at, sizeof digits - at));
}

void text_u64(struct text *text, uint64_t value)
{
    text_number(text, value, 10);
}

void text_i64(struct text *text, int64_t value)
{
    if (value < 0)
        text_add(text, "-");
    text_number(text, value < 0 ? 0 - (uint64_t)value : (uint64_t)value, 10);
}

void text_hex(struct text *text, uint64_t value)
{
    text_number(text, value, 16);
}
