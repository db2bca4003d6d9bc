/* Bytes: borrowed spans, and cursors that read and write little-endian fields with bounds.
 *
 * A cursor latches its first failure: decode a whole structure, then ask once. A failed read yields
 * zeros and empty spans, so code after it stays defined. */
#ifndef SYNOD_BASE_BYTES_H
#define SYNOD_BASE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A borrowed span; data may be NULL when size is 0. */
struct bytes {
    const uint8_t *data;
    size_t size;
};

#define BYTES_EMPTY ((struct bytes){NULL, 0})

static inline struct bytes bytes_of(const void *data, size_t size)
{
    return (struct bytes){data, size};
}

/* The span of a C string, without its terminator. */
struct bytes bytes_text(const char *text);
/* Lexicographic order of unsigned bytes: negative, zero or positive; a prefix comes first. */
int bytes_compare(struct bytes a, struct bytes b);
bool bytes_equal(struct bytes a, struct bytes b);

struct reader {
    const uint8_t *at;
    const uint8_t *end;
    bool failed;
};

struct reader reader_of(struct bytes bytes);
size_t reader_left(const struct reader *r);
/* True when nothing failed and nothing is left over. */
bool reader_done(const struct reader *r);
uint8_t read_u8(struct reader *r);
uint16_t read_u16(struct reader *r);
uint32_t read_u32(struct reader *r);
uint64_t read_u64(struct reader *r);
/* LEB128, at most 10 bytes; longer or overflowing fails. */
uint64_t read_varint(struct reader *r);
/* `size` bytes, borrowed from the input. */
struct bytes read_bytes(struct reader *r, size_t size);
/* A varint length and that many bytes. */
struct bytes read_sized(struct reader *r);

struct writer {
    uint8_t *at;
    uint8_t *end;
    uint8_t *begin;
    bool failed; /* something did not fit; what was written is a prefix */
};

struct writer writer_of(void *data, size_t size);
size_t writer_size(const struct writer *w);
struct bytes writer_bytes(const struct writer *w);
void write_u8(struct writer *w, uint8_t value);
void write_u16(struct writer *w, uint16_t value);
void write_u32(struct writer *w, uint32_t value);
void write_u64(struct writer *w, uint64_t value);
void write_varint(struct writer *w, uint64_t value);
void write_bytes(struct writer *w, struct bytes bytes);
void write_sized(struct writer *w, struct bytes bytes);

/* Fixed little-endian fields at an address. */
static inline uint32_t load_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static inline uint64_t load_u64(const uint8_t *at)
{
    return (uint64_t)load_u32(at) | (uint64_t)load_u32(at + 4) << 32;
}

static inline void store_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static inline void store_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

#define VARINT_SIZE_MAX 10
/* Encoded size of a varint, 1 to 10. */
size_t varint_size(uint64_t value);

#endif
