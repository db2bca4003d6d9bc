/* Encoding and checking the parts of a snapshot; see snapshot_format.h.
 *
 * The one invariant: nothing is handed out of a block whose check does not hold. */
#include "journal/snapshot_format.h"

#include "base/crc32c.h"
#include "base/planted.h"

#include <string.h>

static const uint8_t header_magic[8] = {'S', 'Y', 'N', 'O', 'D', 'S', 'N', 'P'};
static const uint8_t footer_magic[8] = {'S', 'Y', 'N', 'O', 'D', 'E', 'N', 'D'};

void snapshot_header_encode(const struct snapshot_header *header, uint8_t *at,
                            struct snapshot_sums *sums)
{
    memset(at, 0, SNAPSHOT_HEADER_SIZE);
    struct writer w = writer_of(at, SNAPSHOT_HEADER_SIZE);
    write_bytes(&w, bytes_of(header_magic, sizeof header_magic));
    write_u32(&w, SNAPSHOT_VERSION);
    write_u32(&w, header->era);
    write_u64(&w, header->cluster);
    write_u64(&w, header->slot);
    write_u8(&w, header->mark.size);
    write_bytes(&w, bytes_of(header->mark.data, header->mark.size));
    uint32_t check = crc32c(0, bytes_of(at, SNAPSHOT_HEADER_SIZE - 4));
    store_u32(at + SNAPSHOT_HEADER_SIZE - 4, check);
    *sums = (struct snapshot_sums){.chain = check};
}

static void sums_add(struct snapshot_sums *sums, struct bytes content)
{
    sums->chain = crc32c(sums->chain, content);
    sums->blocks++;
    sums->bytes += content.size;
}

void snapshot_block_encode(struct bytes content, uint8_t *at, struct snapshot_sums *sums)
{
    sums_add(sums, content);
    store_u32(at, (uint32_t)content.size);
    store_u32(at + 4, sums->chain);
}

void snapshot_footer_encode(uint8_t *at, const struct snapshot_sums *sums)
{
    struct writer w = writer_of(at, SNAPSHOT_FOOTER_SIZE);
    write_u32(&w, 0); /* where a block would have its size */
    write_bytes(&w, bytes_of(footer_magic, sizeof footer_magic));
    write_u64(&w, sums->blocks);
    write_u64(&w, sums->bytes);
    write_u32(&w, crc32c(sums->chain, bytes_of(at, SNAPSHOT_FOOTER_SIZE - 4)));
}

static enum status take_header(struct snapshot_check *check, const uint8_t *at)
{
    if (memcmp(at, header_magic, sizeof header_magic) != 0)
        return STATUS_CORRUPT;
    uint32_t sum = crc32c(0, bytes_of(at, SNAPSHOT_HEADER_SIZE - 4));
    if (load_u32(at + SNAPSHOT_HEADER_SIZE - 4) != sum)
        return STATUS_CORRUPT;
    uint32_t version = load_u32(at + 8);
    if (version == 0 || version > SNAPSHOT_VERSION)
        return version == 0 ? STATUS_CORRUPT : STATUS_UNSUPPORTED;
    if (at[32] > SNAPSHOT_MARK_MAX)
        return STATUS_CORRUPT;
    check->header.era = load_u32(at + 12);
    check->header.cluster = load_u64(at + 16);
    check->header.slot = load_u64(at + 24);
    check->header.mark.size = at[32];
    memcpy(check->header.mark.data, at + 33, SNAPSHOT_MARK_MAX);
    check->sums = (struct snapshot_sums){.chain = sum};
    check->expected = SNAPSHOT_PART_BLOCK;
    return STATUS_OK;
}

static enum status take_footer(struct snapshot_check *check, const uint8_t *at)
{
    uint8_t expected[SNAPSHOT_FOOTER_SIZE];
    snapshot_footer_encode(expected, &check->sums);
    if (memcmp(at, expected, sizeof expected) != 0)
        return STATUS_CORRUPT;
    check->expected = SNAPSHOT_PART_END;
    return STATUS_OK;
}

static enum status take_block(struct snapshot_check *check, struct bytes bytes, size_t *ret_used,
                              struct bytes *ret_content)
{
    uint32_t size = load_u32(bytes.data);
    if (size > SNAPSHOT_BLOCK_MAX)
        return STATUS_CORRUPT;
    if (bytes.size - SNAPSHOT_BLOCK_HEADER_SIZE < size)
        return STATUS_OK;
    struct bytes content = bytes_of(bytes.data + SNAPSHOT_BLOCK_HEADER_SIZE, size);
    sums_add(&check->sums, content);
    if (planted(JOURNAL_BLOCK_UNCHECKED))
        check->sums.chain = load_u32(bytes.data + 4);
    if (check->sums.chain != load_u32(bytes.data + 4))
        return STATUS_CORRUPT;
    *ret_used = SNAPSHOT_BLOCK_HEADER_SIZE + size;
    *ret_content = content;
    return STATUS_OK;
}

enum status snapshot_check_take(struct snapshot_check *check, struct bytes bytes, size_t *ret_used,
                                struct bytes *ret_content)
{
    *ret_used = 0;
    *ret_content = BYTES_EMPTY;
    switch (check->expected) {
    case SNAPSHOT_PART_HEADER:
        if (bytes.size < SNAPSHOT_HEADER_SIZE)
            return STATUS_OK;
        *ret_used = SNAPSHOT_HEADER_SIZE;
        return take_header(check, bytes.data);
    case SNAPSHOT_PART_BLOCK:
        if (bytes.size < SNAPSHOT_BLOCK_HEADER_SIZE)
            return STATUS_OK;
        if (load_u32(bytes.data) != 0)
            return take_block(check, bytes, ret_used, ret_content);
        if (bytes.size < SNAPSHOT_FOOTER_SIZE)
            return STATUS_OK;
        *ret_used = SNAPSHOT_FOOTER_SIZE;
        return take_footer(check, bytes.data);
    case SNAPSHOT_PART_END:
        break;
    }
    return bytes.size > 0 ? STATUS_CORRUPT : STATUS_OK;
}
