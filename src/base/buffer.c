#include "base/buffer.h"

#include "base/panic.h"

#include <string.h>

void buffer_init(struct buffer *buffer, struct mem *mem, size_t limit)
{
    *buffer = (struct buffer){.mem = mem, .limit = limit};
}

void buffer_release(struct buffer *buffer)
{
    mem_free(buffer->mem, buffer->data, buffer->capacity);
    buffer_init(buffer, buffer->mem, buffer->limit);
}

void buffer_clear(struct buffer *buffer)
{
    buffer->size = 0;
    buffer->failed = false;
}

struct bytes buffer_bytes(const struct buffer *buffer)
{
    return bytes_of(buffer->data, buffer->size);
}

uint8_t *buffer_extend(struct buffer *buffer, size_t size)
{
    if (buffer->failed || size > buffer->limit - buffer->size) {
        buffer->failed = true;
        return NULL;
    }
    size_t needed = buffer->size + size;
    if (needed > buffer->capacity || buffer->data == NULL) {
        size_t capacity = buffer->capacity < 256 ? 256 : buffer->capacity * 2;
        if (capacity < needed)
            capacity = needed;
        buffer->data = mem_resize(buffer->mem, buffer->data, buffer->capacity, capacity);
        buffer->capacity = capacity;
    }
    uint8_t *at = buffer->data + buffer->size;
    buffer->size = needed;
    return at;
}

void buffer_consume(struct buffer *buffer, size_t size)
{
    ensure(size <= buffer->size);
    buffer->size -= size;
    if (buffer->size > 0 && size > 0)
        memmove(buffer->data, buffer->data + size, buffer->size);
}

void buffer_append(struct buffer *buffer, struct bytes bytes)
{
    if (bytes.size == 0)
        return;
    uint8_t *at = buffer_extend(buffer, bytes.size);
    if (at != NULL)
        memcpy(at, bytes.data, bytes.size);
}

void buffer_u8(struct buffer *buffer, uint8_t value)
{
    buffer_append(buffer, bytes_of(&value, 1));
}

void buffer_u16(struct buffer *buffer, uint16_t value)
{
    uint8_t raw[2] = {(uint8_t)value, (uint8_t)(value >> 8)};
    buffer_append(buffer, bytes_of(raw, sizeof raw));
}

void buffer_u32(struct buffer *buffer, uint32_t value)
{
    uint8_t raw[4];
    store_u32(raw, value);
    buffer_append(buffer, bytes_of(raw, sizeof raw));
}

void buffer_u64(struct buffer *buffer, uint64_t value)
{
    uint8_t raw[8];
    store_u64(raw, value);
    buffer_append(buffer, bytes_of(raw, sizeof raw));
}

void buffer_varint(struct buffer *buffer, uint64_t value)
{
    uint8_t raw[VARINT_SIZE_MAX];
    struct writer w = writer_of(raw, sizeof raw);
    write_varint(&w, value);
    buffer_append(buffer, writer_bytes(&w));
}

void buffer_sized(struct buffer *buffer, struct bytes bytes)
{
    buffer_varint(buffer, bytes.size);
    buffer_append(buffer, bytes);
}
