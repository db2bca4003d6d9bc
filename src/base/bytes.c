#include "base/bytes.h"

#include <string.h>

struct bytes bytes_text(const char *text)
{
    return bytes_of(text, strlen(text));
}

int bytes_compare(struct bytes a, struct bytes b)
{
    size_t common = a.size < b.size ? a.size : b.size;
    int order = common == 0 ? 0 : memcmp(a.data, b.data, common);
    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

bool bytes_equal(struct bytes a, struct bytes b)
{
    return a.size == b.size && (a.size == 0 || memcmp(a.data, b.data, a.size) == 0);
}

/* Even adding zero to NULL is undefined, so a cursor over nothing starts here. */
static uint8_t nothing[1];

struct reader reader_of(struct bytes bytes)
{
    if (bytes.data == NULL)
        bytes = bytes_of(nothing, 0);
    return (struct reader){bytes.data, bytes.data + bytes.size, false};
}

size_t reader_left(const struct reader *r)
{
    return (size_t)(r->end - r->at);
}

bool reader_done(const struct reader *r)
{
    return !r->failed && r->at == r->end;
}

static const uint8_t *reader_take(struct reader *r, size_t size)
{
    if (r->failed || reader_left(r) < size) {
        r->failed = true;
        return NULL;
    }
    const uint8_t *at = r->at;
    r->at += size;
    return at;
}

uint8_t read_u8(struct reader *r)
{
    const uint8_t *at = reader_take(r, 1);
    return at == NULL ? 0 : at[0];
}

uint16_t read_u16(struct reader *r)
{
    const uint8_t *at = reader_take(r, 2);
    return (uint16_t)(at == NULL ? 0u : at[0] | (unsigned)at[1] << 8);
}

uint32_t read_u32(struct reader *r)
{
    const uint8_t *at = reader_take(r, 4);
    return at == NULL ? 0 : load_u32(at);
}

uint64_t read_u64(struct reader *r)
{
    const uint8_t *at = reader_take(r, 8);
    return at == NULL ? 0 : load_u64(at);
}

uint64_t read_varint(struct reader *r)
{
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte = read_u8(r);
        if (r->failed)
            return 0;
        if (shift == 63 && byte > 1)
            break;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if ((byte & 0x80) == 0)
            return value;
    }
    r->failed = true;
    return 0;
}

struct bytes read_bytes(struct reader *r, size_t size)
{
    const uint8_t *at = reader_take(r, size);
    return at == NULL ? BYTES_EMPTY : bytes_of(at, size);
}

struct bytes read_sized(struct reader *r)
{
    uint64_t size = read_varint(r);
    if (size > reader_left(r)) {
        r->failed = true;
        return BYTES_EMPTY;
    }
    return read_bytes(r, (size_t)size);
}

struct writer writer_of(void *data, size_t size)
{
    uint8_t *at = data == NULL ? nothing : data;
    return (struct writer){at, at + size, at, false};
}

size_t writer_size(const struct writer *w)
{
    return (size_t)(w->at - w->begin);
}

struct bytes writer_bytes(const struct writer *w)
{
    return bytes_of(w->begin, writer_size(w));
}

static uint8_t *writer_take(struct writer *w, size_t size)
{
    if (w->failed || (size_t)(w->end - w->at) < size) {
        w->failed = true;
        return NULL;
    }
    uint8_t *at = w->at;
    w->at += size;
    return at;
}

void write_u8(struct writer *w, uint8_t value)
{
    uint8_t *at = writer_take(w, 1);
    if (at != NULL)
        at[0] = value;
}

void write_u16(struct writer *w, uint16_t value)
{
    uint8_t *at = writer_take(w, 2);
    if (at != NULL) {
        at[0] = (uint8_t)value;
        at[1] = (uint8_t)(value >> 8);
    }
}

void write_u32(struct writer *w, uint32_t value)
{
    uint8_t *at = writer_take(w, 4);
    if (at != NULL)
        store_u32(at, value);
}

void write_u64(struct writer *w, uint64_t value)
{
    uint8_t *at = writer_take(w, 8);
    if (at != NULL)
        store_u64(at, value);
}

void write_varint(struct writer *w, uint64_t value)
{
    while (value >= 0x80) {
        write_u8(w, (uint8_t)(value | 0x80));
        value >>= 7;
    }
    write_u8(w, (uint8_t)value);
}

void write_bytes(struct writer *w, struct bytes bytes)
{
    uint8_t *at = writer_take(w, bytes.size);
    if (at != NULL && bytes.size > 0)
        memcpy(at, bytes.data, bytes.size);
}

void write_sized(struct writer *w, struct bytes bytes)
{
    write_varint(w, bytes.size);
    write_bytes(w, bytes);
}

size_t varint_size(uint64_t value)
{
    size_t size = 1;
    while (value >= 0x80) {
        value >>= 7;
        size++;
    }
    return size;
}
