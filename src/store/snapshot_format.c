/* Records of a snapshot to and from bytes. Lengths are written behind the content that they count:
 * first a gap of four bytes, then the content, then the gap is filled. */
#include "store/snapshot_format.h"

#include "base/planted.h"

static size_t record_begin(struct buffer *buffer, enum record_kind kind)
{
    size_t at = buffer->size;
    buffer_u32(buffer, 0);
    buffer_u8(buffer, (uint8_t)kind);
    return at;
}

static void record_end(struct buffer *buffer, size_t at)
{
    if (!buffer->failed)
        store_u32(buffer->data + at, (uint32_t)(buffer->size - at - 4));
}

void store_record_header(struct buffer *buffer, const struct store_header *header)
{
    size_t at = record_begin(buffer, RECORD_HEADER);
    buffer_u16(buffer, STORE_FORMAT);
    buffer_u64(buffer, (uint64_t)header->revision);
    buffer_u64(buffer, (uint64_t)header->compacted);
    buffer_u64(buffer, (uint64_t)header->floor);
    buffer_u64(buffer, header->digest);
    buffer_u64(buffer, header->leases_granted);
    record_end(buffer, at);
}

void store_record_lease(struct buffer *buffer, const struct lease_info *lease)
{
    size_t at = record_begin(buffer, RECORD_LEASE);
    buffer_u64(buffer, (uint64_t)lease->id);
    buffer_u64(buffer, (uint64_t)lease->ttl);
    buffer_u64(buffer, lease->generation);
    record_end(buffer, at);
}

#define VERSION_RECORD_FLAGS (VERSION_TOMBSTONE | VERSION_REWRITE | VERSION_LEASED)

void store_record_version(struct buffer *buffer, const struct version *version)
{
    uint32_t flags = version->flags & VERSION_RECORD_FLAGS;
    if (planted(STORE_SAVE_LOSES_LEASE))
        flags &= ~(uint32_t)VERSION_LEASED;
    struct bytes value = version_value(version);
    uint8_t head[16 + 5 * VARINT_SIZE_MAX];
    struct writer w = writer_of(head, sizeof head);
    write_u32(&w, 0);
    write_u8(&w, RECORD_VERSION);
    write_u8(&w, (uint8_t)flags);
    write_varint(&w, (uint64_t)version->mod);
    write_varint(&w, version->sub);
    if (flags & VERSION_REWRITE) {
        write_varint(&w, (uint64_t)version_create(version));
        write_varint(&w, (uint64_t)version_number(version));
    }
    if (flags & VERSION_LEASED)
        write_u64(&w, (uint64_t)version_lease(version));
    write_varint(&w, version->key->size);
    store_u32(head, (uint32_t)(writer_size(&w) - 4 + version->key->size + value.size));
    buffer_append(buffer, writer_bytes(&w));
    buffer_append(buffer, key_bytes(version->key));
    buffer_append(buffer, value);
}

void store_record_end(struct buffer *buffer, uint64_t versions)
{
    size_t at = record_begin(buffer, RECORD_END);
    buffer_u64(buffer, versions);
    record_end(buffer, at);
}

static bool decode_header(struct reader *r, struct store_header *header)
{
    uint16_t format = read_u16(r);
    header->revision = (int64_t)read_u64(r);
    header->compacted = (int64_t)read_u64(r);
    header->floor = (int64_t)read_u64(r);
    header->digest = read_u64(r);
    header->leases_granted = read_u64(r);
    return format == STORE_FORMAT && header->revision >= 1 && header->compacted >= 0 &&
           header->compacted <= header->revision && header->floor >= 0 &&
           header->floor <= header->compacted;
}

static bool decode_lease(struct reader *r, struct lease_info *lease)
{
    lease->id = (int64_t)read_u64(r);
    lease->ttl = (int64_t)read_u64(r);
    lease->generation = read_u64(r);
    return lease->id != 0 && lease->ttl <= LEASE_TTL_MAX;
}

static bool decode_version(struct reader *r, struct bytes *ret_key, struct version_spec *spec)
{
    uint8_t flags = read_u8(r);
    uint64_t mod = read_varint(r);
    uint64_t sub = read_varint(r);
    uint64_t create = mod;
    uint64_t number = 1;
    if (flags & VERSION_REWRITE) {
        create = read_varint(r);
        number = read_varint(r);
    }
    uint64_t lease = flags & VERSION_LEASED ? read_u64(r) : 0;
    *ret_key = read_sized(r);
    struct bytes value = read_bytes(r, reader_left(r));
    *spec = (struct version_spec){(int64_t)mod,
                                  (uint32_t)sub,
                                  (flags & VERSION_TOMBSTONE) != 0,
                                  (int64_t)create,
                                  (int64_t)number,
                                  (int64_t)lease,
                                  value};
    bool tombstone_bare = !spec->tombstone || (flags == VERSION_TOMBSTONE && value.size == 0);
    bool rewrite_needed =
        (flags & VERSION_REWRITE) == 0 || (create <= mod && create > 1 && number > 1);
    return (flags & ~VERSION_RECORD_FLAGS) == 0 && mod > 1 && mod <= INT64_MAX &&
           sub < UINT32_MAX && number <= INT64_MAX && ret_key->size > 0 &&
           ret_key->size < UINT32_MAX && value.size < VERSION_VALUE_MAX && tombstone_bare &&
           rewrite_needed && ((flags & VERSION_LEASED) == 0 || lease != 0);
}

enum status store_record_decode(struct bytes content, struct store_record *ret_record)
{
    struct reader r = reader_of(content);
    uint8_t kind = read_u8(&r);
    bool sound = false;
    ret_record->kind = (enum record_kind)kind;
    if (kind == RECORD_HEADER) {
        sound = decode_header(&r, &ret_record->header);
    } else if (kind == RECORD_LEASE) {
        sound = decode_lease(&r, &ret_record->lease);
    } else if (kind == RECORD_VERSION) {
        sound = decode_version(&r, &ret_record->version.key, &ret_record->version.spec);
    } else if (kind == RECORD_END) {
        ret_record->versions = read_u64(&r);
        sound = true;
    }
    return sound && reader_done(&r) ? STATUS_OK : STATUS_INVALID;
}
