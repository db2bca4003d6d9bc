/* The host's messages; see message.h. Each kind lists its fields once, in `fields`, and both
 * directions walk that list: an encoder that forgets what its decoder expects cannot be written. */
#include "wire/message.h"

#include "base/planted.h"

enum field {
    FIELD_END,
    FIELD_ID,
    FIELD_SLOT,
    FIELD_OFFSET,
    FIELD_SIZE,
    FIELD_MORE,
    FIELD_RENEW,
    FIELD_FOUND,
    FIELD_LEASE,
    FIELD_TTL,
    FIELD_TTL_GRANTED,
    FIELD_INNER,
};

#define FIELDS_MAX 6

static const uint8_t fields[][FIELDS_MAX] = {
    [MESSAGE_ENGINE] = {FIELD_INNER},
    [MESSAGE_FORWARD] = {FIELD_END},
    [MESSAGE_FETCH] = {FIELD_ID, FIELD_SLOT},
    [MESSAGE_LOG] = {FIELD_ID, FIELD_SLOT, FIELD_INNER},
    [MESSAGE_LOG_END] = {FIELD_ID, FIELD_SLOT, FIELD_MORE},
    [MESSAGE_NOTHING] = {FIELD_ID},
    [MESSAGE_SNAPSHOT] = {FIELD_ID, FIELD_SLOT, FIELD_SIZE},
    [MESSAGE_SNAPSHOT_READ] = {FIELD_ID, FIELD_SLOT, FIELD_OFFSET},
    [MESSAGE_SNAPSHOT_CHUNK] = {FIELD_ID, FIELD_SLOT, FIELD_OFFSET},
    [MESSAGE_LEASE_ASK] = {FIELD_ID, FIELD_LEASE, FIELD_RENEW},
    [MESSAGE_LEASE_TELL] = {FIELD_ID, FIELD_LEASE, FIELD_FOUND, FIELD_TTL, FIELD_TTL_GRANTED},
};

#define KINDS (sizeof fields / sizeof fields[0])

static void write_field(struct writer *w, enum field field, const struct message *m)
{
    switch (field) {
    case FIELD_END:
        break;
    case FIELD_ID:
        write_u64(w, m->id);
        break;
    case FIELD_SLOT:
        write_u64(w, m->slot);
        break;
    case FIELD_OFFSET:
        write_u64(w, m->offset);
        break;
    case FIELD_SIZE:
        write_u64(w, m->size);
        break;
    case FIELD_MORE:
        write_u8(w, m->more);
        break;
    case FIELD_RENEW:
        write_u8(w, m->renew);
        break;
    case FIELD_FOUND:
        write_u8(w, m->found);
        break;
    case FIELD_LEASE:
        write_u64(w, (uint64_t)m->lease);
        break;
    case FIELD_TTL:
        write_u64(w, (uint64_t)m->ttl);
        break;
    case FIELD_TTL_GRANTED:
        write_u64(w, (uint64_t)m->ttl_granted);
        break;
    case FIELD_INNER:
        write_bytes(w, m->inner);
        break;
    }
}

static bool read_flag(struct reader *r)
{
    uint8_t value = read_u8(r);
    if (value > 1 && !planted(WIRE_FLAG_UNCHECKED))
        r->failed = true;
    return value == 1;
}

static void read_field(struct reader *r, enum field field, struct message *m)
{
    switch (field) {
    case FIELD_END:
        break;
    case FIELD_ID:
        m->id = read_u64(r);
        break;
    case FIELD_SLOT:
        m->slot = read_u64(r);
        break;
    case FIELD_OFFSET:
        m->offset = read_u64(r);
        break;
    case FIELD_SIZE:
        m->size = read_u64(r);
        break;
    case FIELD_MORE:
        m->more = read_flag(r);
        break;
    case FIELD_RENEW:
        m->renew = read_flag(r);
        break;
    case FIELD_FOUND:
        m->found = read_flag(r);
        break;
    case FIELD_LEASE:
        m->lease = (int64_t)read_u64(r);
        break;
    case FIELD_TTL:
        m->ttl = (int64_t)read_u64(r);
        break;
    case FIELD_TTL_GRANTED:
        m->ttl_granted = (int64_t)read_u64(r);
        break;
    case FIELD_INNER:
        m->inner = read_bytes(r, reader_left(r));
        break;
    }
}

void message_encode(struct writer *w, const struct message *message)
{
    write_u8(w, (uint8_t)message->kind);
    write_u64(w, message->disk);
    for (int i = 0; i < FIELDS_MAX && fields[message->kind][i] != FIELD_END; i++)
        write_field(w, fields[message->kind][i], message);
}

enum status message_decode(struct bytes head, struct message *ret_message)
{
    struct reader r = reader_of(head);
    uint8_t kind = read_u8(&r);
    if (r.failed)
        return STATUS_INVALID;
    if (kind == 0 || kind >= KINDS)
        return STATUS_UNSUPPORTED;
    struct message message = {.kind = kind, .disk = read_u64(&r)};
    for (int i = 0; i < FIELDS_MAX && fields[kind][i] != FIELD_END; i++)
        read_field(&r, fields[kind][i], &message);
    if (!reader_done(&r))
        return STATUS_INVALID;
    *ret_message = message;
    return STATUS_OK;
}
