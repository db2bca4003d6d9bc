/* Buffer: a growable run of bytes. No buffer without a stated maximum: a write past it latches
 * `failed` and changes nothing. */
#ifndef SYNOD_BASE_BUFFER_H
#define SYNOD_BASE_BUFFER_H

#include "base/bytes.h"
#include "base/mem.h"

struct buffer {
    struct mem *mem;
    uint8_t *data;
    size_t size;
    size_t capacity;
    size_t limit;
    bool failed;
};

void buffer_init(struct buffer *buffer, struct mem *mem, size_t limit);
void buffer_release(struct buffer *buffer);
/* Empties it; keeps the memory; forgets a failure. */
void buffer_clear(struct buffer *buffer);
struct bytes buffer_bytes(const struct buffer *buffer);
/* Room for `size` bytes at the end, counted as written; NULL past the limit. */
uint8_t *buffer_extend(struct buffer *buffer, size_t size);
/* Drops the first `size` bytes. */
void buffer_consume(struct buffer *buffer, size_t size);
void buffer_u8(struct buffer *buffer, uint8_t value);
void buffer_u16(struct buffer *buffer, uint16_t value);
void buffer_u32(struct buffer *buffer, uint32_t value);
void buffer_u64(struct buffer *buffer, uint64_t value);
void buffer_varint(struct buffer *buffer, uint64_t value);
void buffer_append(struct buffer *buffer, struct bytes bytes);
/* A varint length, then the bytes. */
void buffer_sized(struct buffer *buffer, struct bytes bytes);

#endif
