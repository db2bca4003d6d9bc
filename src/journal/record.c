/* Encoding and checking of segment and record headers; see record.h.
 *
 * The one invariant: decode accepts only what encode can have written; there is one encoding. */
#include "journal/record.h"

#include "base/crc32c.h"

#include <string.h>

static const uint8_t segment_magic[8] = {'S', 'Y', 'N', 'O', 'D', 'L', 'O', 'G'};

#define SEGMENT_CHECK_AT (SEGMENT_HEADER_SIZE - 4)

void segment_header_encode(struct segment_header *header, uint8_t *at)
{
    struct writer w = writer_of(at, SEGMENT_HEADER_SIZE);
    write_bytes(&w, bytes_of(segment_magic, sizeof segment_magic));
    write_u32(&w, header->version);
    write_u32(&w, 0);
    write_u64(&w, header->cluster);
    write_u64(&w, header->member);
    write_u64(&w, header->number);
    write_u64(&w, header->size);
    write_u64(&w, header->nonce);
    write_u32(&w, 0);
    write_u32(&w, crc32c(0, bytes_of(at, SEGMENT_CHECK_AT)));
    header->seed = crc32c(0, bytes_of(at, SEGMENT_HEADER_SIZE));
}

/* The magic, the version and the check keep their places in every later version, so that an old
 * program can tell "newer" from "damaged". */
enum status segment_header_decode(struct bytes bytes, struct segment_header *ret_header)
{
    memset(ret_header, 0, sizeof *ret_header);
    if (bytes.size < SEGMENT_HEADER_SIZE ||
        memcmp(bytes.data, segment_magic, sizeof segment_magic) != 0)
        return STATUS_CORRUPT;
    if (load_u32(bytes.data + SEGMENT_CHECK_AT) !=
        crc32c(0, bytes_of(bytes.data, SEGMENT_CHECK_AT)))
        return STATUS_CORRUPT;
    struct reader r = reader_of(bytes_of(bytes.data, SEGMENT_HEADER_SIZE));
    read_bytes(&r, sizeof segment_magic);
    ret_header->version = read_u32(&r);
    read_u32(&r);
    ret_header->cluster = read_u64(&r);
    ret_header->member = read_u64(&r);
    ret_header->number = read_u64(&r);
    ret_header->size = read_u64(&r);
    ret_header->nonce = read_u64(&r);
    ret_header->seed = crc32c(0, bytes_of(bytes.data, SEGMENT_HEADER_SIZE));
    if (ret_header->version != SEGMENT_VERSION)
        return ret_header->version > SEGMENT_VERSION ? STATUS_UNSUPPORTED : STATUS_CORRUPT;
    bool sane = ret_header->size >= 2 * SEGMENT_RECORDS_AT &&
                ret_header->size <= SEGMENT_SIZE_MAX && ret_header->size % SECTOR_SIZE == 0;
    return sane ? STATUS_OK : STATUS_CORRUPT;
}

static uint32_t record_check(const uint8_t *at, uint32_t seed)
{
    return crc32c(seed, bytes_of(at + 4, RECORD_HEADER_SIZE - 4));
}

void record_header_encode(struct record_header *header, uint32_t seed, uint8_t *at)
{
    store_u32(at + 4, header->body_check);
    store_u32(at + 8, header->previous);
    store_u32(at + 12, header->length);
    store_u32(at + 16, header->head_size);
    store_u32(at + 20, header->era);
    store_u64(at + 24, header->lsn);
    store_u64(at + 32, header->slot);
    store_u32(at + 40, header->batch);
    at[44] = header->type;
    at[45] = header->flags;
    at[46] = 0;
    at[47] = 0;
    header->check = record_check(at, seed);
    store_u32(at, header->check);
}

bool record_header_decode(const uint8_t *at, uint32_t seed, struct record_header *ret_header)
{
    /* Zeros are by far the most common non-record: tell them apart before the checksum. */
    uint32_t length = load_u32(at + 12);
    if (length < RECORD_HEADER_SIZE || load_u32(at) != record_check(at, seed))
        return false;
    *ret_header = (struct record_header){
        .check = load_u32(at),
        .body_check = load_u32(at + 4),
        .previous = load_u32(at + 8),
        .length = length,
        .head_size = load_u32(at + 16),
        .era = load_u32(at + 20),
        .lsn = load_u64(at + 24),
        .slot = load_u64(at + 32),
        .batch = load_u32(at + 40),
        .type = at[44],
        .flags = at[45],
    };
    return ret_header->head_size <= length - RECORD_HEADER_SIZE &&
           ret_header->lsn > ret_header->batch && (ret_header->flags & ~RECORD_FLAGS_ALL) == 0;
}

uint64_t record_align(uint64_t offset, uint64_t alignment)
{
    return (offset + alignment - 1) / alignment * alignment;
}

uint64_t record_end(const struct record_header *header, uint64_t offset)
{
    uint64_t alignment = header->flags & RECORD_LAST ? SECTOR_SIZE : RECORD_ALIGNMENT;
    return record_align(offset + header->length, alignment);
}
