/* Commands to and from bytes (doc/formats/command.md). The decoder believes nothing: lengths are
 * checked against what is left before memory is asked for, unknown flags and left-over bytes make
 * a command INVALID, and transactions nest only so deep. */
#include "base/panic.h"
#include "base/planted.h"
#include "service/command.h"
#include "service/command_internal.h"

enum put_flag {
    PUT_IGNORE_VALUE = 1,
    PUT_IGNORE_LEASE = 2,
    PUT_WANT_PREVIOUS = 4,
    PUT_LEASED = 8,
};

enum range_flag {
    RANGE_KEYS_ONLY = 1,
    RANGE_COUNT_ONLY = 2,
    RANGE_SERIALIZABLE = 4,
};

/* The least bytes that one compare, and one operation with its length, take. */
#define COMPARE_SIZE_MIN 5u
#define OPERATION_SIZE_MIN 6u

/* --- Encoding -----------------------------------------------------------------------------------
 */

static void encode_i64(struct buffer *buffer, int64_t value)
{
    buffer_varint(buffer, (uint64_t)value);
}

static void encode_put(struct buffer *buffer, const struct put *put)
{
    unsigned flags =
        (put->ignore_value ? PUT_IGNORE_VALUE : 0u) | (put->ignore_lease ? PUT_IGNORE_LEASE : 0u) |
        (put->want_previous ? PUT_WANT_PREVIOUS : 0u) | (put->lease != 0 ? PUT_LEASED : 0u);
    buffer_u8(buffer, (uint8_t)flags);
    if (put->lease != 0)
        buffer_u64(buffer, (uint64_t)put->lease);
    buffer_sized(buffer, put->key);
    buffer_sized(buffer, put->value);
}

static void encode_range_keys(struct buffer *buffer, const struct key_range *range)
{
    buffer_sized(buffer, range->key);
    buffer_sized(buffer, range->end);
}

static void encode_range(struct buffer *buffer, const struct range_query *query)
{
    unsigned flags = (query->keys_only ? RANGE_KEYS_ONLY : 0u) |
                     (query->count_only ? RANGE_COUNT_ONLY : 0u) |
                     (query->serializable ? RANGE_SERIALIZABLE : 0u);
    buffer_u8(buffer, (uint8_t)flags);
    encode_range_keys(buffer, &query->range);
    encode_i64(buffer, query->revision);
    encode_i64(buffer, query->limit);
    buffer_varint(buffer, (uint32_t)query->order);
    buffer_varint(buffer, (uint32_t)query->target);
    encode_i64(buffer, query->min_mod_revision);
    encode_i64(buffer, query->max_mod_revision);
    encode_i64(buffer, query->min_create_revision);
    encode_i64(buffer, query->max_create_revision);
}

static void encode_compare(struct buffer *buffer, const struct compare *compare)
{
    buffer_varint(buffer, (uint32_t)compare->result);
    buffer_varint(buffer, (uint32_t)compare->target);
    encode_range_keys(buffer, &compare->range);
    if (compare->target == COMPARE_VALUE)
        buffer_sized(buffer, compare->value);
    else
        encode_i64(buffer, compare->number);
}

static void encode_txn(struct buffer *buffer, const struct txn *txn)
{
    buffer_varint(buffer, txn->compares_count);
    buffer_varint(buffer, txn->success_count);
    buffer_varint(buffer, txn->failure_count);
    for (uint32_t i = 0; i < txn->compares_count; i++)
        encode_compare(buffer, &txn->compares[i]);
    for (uint32_t i = 0; i < txn->success_count; i++)
        command_encode(buffer, &txn->success[i]);
    for (uint32_t i = 0; i < txn->failure_count; i++)
        command_encode(buffer, &txn->failure[i]);
}

static void encode_urls(struct buffer *buffer, const struct bytes *urls, uint32_t count)
{
    buffer_u8(buffer, (uint8_t)count);
    for (uint32_t i = 0; i < count; i++)
        buffer_sized(buffer, urls[i]);
}

static void encode_lease(struct buffer *buffer, const struct command *command)
{
    if (command->kind == COMMAND_LEASE_EXPIRE) {
        buffer_u16(buffer, command->expire.node);
        buffer_u64(buffer, command->expire.round);
        buffer_varint(buffer, command->expire.count);
        for (uint32_t i = 0; i < command->expire.count; i++) {
            buffer_u64(buffer, (uint64_t)command->expire.ids[i]);
            buffer_u64(buffer, command->expire.generations[i]);
        }
        return;
    }
    buffer_u64(buffer, (uint64_t)command->lease.id);
    if (command->kind == COMMAND_LEASE_GRANT)
        encode_i64(buffer, command->lease.ttl);
}

static void encode_cluster(struct buffer *buffer, const struct command *command)
{
    if (command->kind == COMMAND_KEEPER) {
        buffer_u16(buffer, command->keeper.node);
        buffer_u64(buffer, command->keeper.round);
    } else if (command->kind == COMMAND_MEMBER) {
        const struct command_member *member = &command->member;
        ensure(member->peer_urls_count <= ADDRESSES_MAX);
        ensure(member->client_urls_count <= ADDRESSES_MAX);
        buffer_u64(buffer, member->id);
        buffer_sized(buffer, member->name);
        encode_urls(buffer, member->peer_urls, member->peer_urls_count);
        encode_urls(buffer, member->client_urls, member->client_urls_count);
    } else if (command->kind == COMMAND_ALARM) {
        buffer_u8(buffer, command->alarm.activate);
        buffer_u64(buffer, command->alarm.member);
        buffer_u8(buffer, (uint8_t)command->alarm.alarm);
    } else {
        buffer_u64(buffer, command->digest.member);
        buffer_u64(buffer, command->digest.slot);
        buffer_u64(buffer, command->digest.digest);
    }
}

static void encode_body(struct buffer *buffer, const struct command *command)
{
    switch (command->kind) {
    case COMMAND_PUT:
        encode_put(buffer, &command->put);
        break;
    case COMMAND_DELETE:
        buffer_u8(buffer, command->delete.want_previous);
        encode_range_keys(buffer, &command->delete.range);
        break;
    case COMMAND_TXN:
        encode_txn(buffer, &command->txn);
        break;
    case COMMAND_COMPACT:
        encode_i64(buffer, command->compact.revision);
        break;
    case COMMAND_RANGE:
        encode_range(buffer, &command->range);
        break;
    case COMMAND_LEASE_GRANT:
    case COMMAND_LEASE_REVOKE:
    case COMMAND_LEASE_EXPIRE:
        encode_lease(buffer, command);
        break;
    case COMMAND_KEEPER:
    case COMMAND_MEMBER:
    case COMMAND_ALARM:
    case COMMAND_DIGEST:
        encode_cluster(buffer, command);
        break;
    }
}

void command_encode(struct buffer *buffer, const struct command *command)
{
    size_t at = buffer->size;
    buffer_u32(buffer, 0);
    buffer_u16(buffer, (uint16_t)command->kind);
    encode_body(buffer, command);
    if (!buffer->failed)
        store_u32(buffer->data + at, (uint32_t)(buffer->size - at - 4));
}

/* --- Decoding -----------------------------------------------------------------------------------
 */

/* One command being decoded: `unsupported` is kept apart from plain damage. */
struct decoder {
    struct reader r;
    struct arena *arena;
    uint32_t depth; /* of the transaction around it */
    bool unsupported;
};

static void decode_command(struct decoder *d, struct command *command);

static int64_t decode_i64(struct decoder *d)
{
    return (int64_t)read_varint(&d->r);
}

static uint32_t decode_u32(struct decoder *d)
{
    uint64_t value = read_varint(&d->r);
    if (value > UINT32_MAX)
        d->r.failed = true;
    return (uint32_t)value;
}

static uint8_t decode_flags(struct decoder *d, unsigned known)
{
    uint8_t flags = read_u8(&d->r);
    if ((flags & ~known) != 0)
        d->r.failed = true;
    return flags;
}

/* A number of things of which each takes at least `least` bytes of what is left. */
static uint32_t decode_count(struct decoder *d, size_t least)
{
    uint64_t count = read_varint(&d->r);
    if (count > reader_left(&d->r) / least && !planted(SERVICE_COUNT_UNCHECKED)) {
        d->r.failed = true;
        return 0;
    }
    return (uint32_t)count;
}

static void decode_put(struct decoder *d, struct put *put)
{
    uint8_t flags =
        decode_flags(d, PUT_IGNORE_VALUE | PUT_IGNORE_LEASE | PUT_WANT_PREVIOUS | PUT_LEASED);
    put->ignore_value = (flags & PUT_IGNORE_VALUE) != 0;
    put->ignore_lease = (flags & PUT_IGNORE_LEASE) != 0;
    put->want_previous = (flags & PUT_WANT_PREVIOUS) != 0;
    if (flags & PUT_LEASED) {
        put->lease = (int64_t)read_u64(&d->r);
        d->r.failed |= put->lease == 0;
    }
    put->key = read_sized(&d->r);
    put->value = read_sized(&d->r);
    d->r.failed |= put->key.size > COMMAND_BYTES_MAX || put->value.size > COMMAND_BYTES_MAX;
}

static void decode_range_keys(struct decoder *d, struct key_range *range)
{
    range->key = read_sized(&d->r);
    range->end = read_sized(&d->r);
}

static void decode_range(struct decoder *d, struct range_query *query)
{
    uint8_t flags = decode_flags(d, RANGE_KEYS_ONLY | RANGE_COUNT_ONLY | RANGE_SERIALIZABLE);
    query->keys_only = (flags & RANGE_KEYS_ONLY) != 0;
    query->count_only = (flags & RANGE_COUNT_ONLY) != 0;
    query->serializable = (flags & RANGE_SERIALIZABLE) != 0;
    decode_range_keys(d, &query->range);
    query->revision = decode_i64(d);
    query->limit = decode_i64(d);
    query->order = (enum sort_order)decode_u32(d);
    query->target = (enum sort_target)decode_u32(d);
    query->min_mod_revision = decode_i64(d);
    query->max_mod_revision = decode_i64(d);
    query->min_create_revision = decode_i64(d);
    query->max_create_revision = decode_i64(d);
}

static void decode_compare(struct decoder *d, struct compare *compare)
{
    *compare = (struct compare){0};
    compare->result = (enum compare_result)decode_u32(d);
    compare->target = (enum compare_target)decode_u32(d);
    decode_range_keys(d, &compare->range);
    if (compare->target == COMPARE_VALUE)
        compare->value = read_sized(&d->r);
    else
        compare->number = decode_i64(d);
}

static const struct command *decode_operations(struct decoder *d, uint32_t count)
{
    struct command *commands = arena_alloc(d->arena, count * sizeof *commands);
    for (uint32_t i = 0; i < count && !d->r.failed; i++) {
        uint32_t size = read_u32(&d->r);
        if (size > reader_left(&d->r)) {
            d->r.failed = true;
            break;
        }
        struct decoder inner = {reader_of(read_bytes(&d->r, size)), d->arena, d->depth + 1, false};
        decode_command(&inner, &commands[i]);
        d->r.failed |= !reader_done(&inner.r);
        d->unsupported |= inner.unsupported;
    }
    return commands;
}

static void decode_txn(struct decoder *d, struct txn *txn)
{
    if (d->depth >= COMMAND_TXN_DEPTH_MAX) {
        d->r.failed = true;
        return;
    }
    txn->compares_count = decode_count(d, COMPARE_SIZE_MIN);
    txn->success_count = decode_count(d, OPERATION_SIZE_MIN);
    txn->failure_count = decode_count(d, OPERATION_SIZE_MIN);
    struct compare *compares = arena_alloc(d->arena, txn->compares_count * sizeof *compares);
    for (uint32_t i = 0; i < txn->compares_count && !d->r.failed; i++)
        decode_compare(d, &compares[i]);
    txn->compares = compares;
    txn->success = decode_operations(d, txn->success_count);
    txn->failure = decode_operations(d, txn->failure_count);
}

static void decode_expire(struct decoder *d, struct command *command)
{
    command->expire.node = read_u16(&d->r);
    command->expire.round = read_u64(&d->r);
    uint32_t count = decode_count(d, 2 * sizeof(uint64_t));
    int64_t *ids = arena_alloc(d->arena, count * sizeof *ids);
    uint64_t *generations = arena_alloc(d->arena, count * sizeof *generations);
    for (uint32_t i = 0; i < count; i++) {
        ids[i] = (int64_t)read_u64(&d->r);
        generations[i] = read_u64(&d->r);
    }
    command->expire.ids = ids;
    command->expire.generations = generations;
    command->expire.count = count;
}

static uint32_t decode_urls(struct decoder *d, struct bytes *urls)
{
    uint8_t count = read_u8(&d->r);
    if (count > ADDRESSES_MAX) {
        d->r.failed = true;
        return 0;
    }
    for (uint32_t i = 0; i < count; i++)
        urls[i] = read_sized(&d->r);
    return count;
}

static void decode_member(struct decoder *d, struct command_member *member)
{
    member->id = read_u64(&d->r);
    member->name = read_sized(&d->r);
    member->peer_urls_count = decode_urls(d, member->peer_urls);
    member->client_urls_count = decode_urls(d, member->client_urls);
}

static void decode_alarm(struct decoder *d, struct command *command)
{
    command->alarm.activate = decode_flags(d, 1) != 0;
    command->alarm.member = read_u64(&d->r);
    uint8_t alarm = read_u8(&d->r);
    d->r.failed |= alarm > ALARM_CORRUPT;
    command->alarm.alarm = (enum alarm_kind)alarm;
}

/* Everything that stands alone; false for a kind that is none of these. */
static bool decode_service(struct decoder *d, struct command *command)
{
    switch (command->kind) {
    case COMMAND_COMPACT:
        command->compact.revision = decode_i64(d);
        return true;
    case COMMAND_LEASE_GRANT:
        command->lease.id = (int64_t)read_u64(&d->r);
        command->lease.ttl = decode_i64(d);
        return true;
    case COMMAND_LEASE_REVOKE:
        command->lease.id = (int64_t)read_u64(&d->r);
        return true;
    case COMMAND_LEASE_EXPIRE:
        decode_expire(d, command);
        return true;
    case COMMAND_KEEPER:
        command->keeper.node = read_u16(&d->r);
        command->keeper.round = read_u64(&d->r);
        return true;
    case COMMAND_MEMBER:
        decode_member(d, &command->member);
        return true;
    case COMMAND_ALARM:
        decode_alarm(d, command);
        return true;
    case COMMAND_DIGEST:
        command->digest.member = read_u64(&d->r);
        command->digest.slot = read_u64(&d->r);
        command->digest.digest = read_u64(&d->r);
        return true;
    case COMMAND_PUT:
    case COMMAND_DELETE:
    case COMMAND_TXN:
    case COMMAND_RANGE:
        break;
    }
    return false;
}

static void decode_command(struct decoder *d, struct command *command)
{
    uint16_t kind = read_u16(&d->r);
    bool nested = d->depth > 0;
    *command = (struct command){.kind = (enum command_kind)kind};
    if (kind == COMMAND_PUT) {
        decode_put(d, &command->put);
    } else if (kind == COMMAND_DELETE) {
        command->delete.want_previous = decode_flags(d, 1) != 0;
        decode_range_keys(d, &command->delete.range);
    } else if (kind == COMMAND_TXN) {
        decode_txn(d, &command->txn);
    } else if (nested && kind == COMMAND_RANGE) {
        decode_range(d, &command->range);
    } else if (nested && kind == 0) {
        return;
    } else if (nested || !decode_service(d, command)) {
        d->unsupported = true;
        d->r.failed = true;
    }
}

enum status command_decode(struct bytes encoded, struct arena *arena, struct command *ret_command)
{
    struct decoder d = {reader_of(encoded), arena, 0, false};
    decode_command(&d, ret_command);
    if (reader_done(&d.r))
        return STATUS_OK;
    return d.unsupported && encoded.size >= 2 ? STATUS_UNSUPPORTED : STATUS_INVALID;
}
