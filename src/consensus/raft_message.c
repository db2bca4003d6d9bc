/* Heads: what the members of a Raft cluster write to each other and to their logs.
 *
 *     message: kind u8, era u32, flags u8, term varint, chosen_upto varint, then by kind and in
 * this order, each a varint: slot, prev_term, log_term, first, asked, id, lease, stamp, echo
 * record: flags u8, term varint, vote varint, chosen_upto varint mark:    term u64
 *
 * A head is valid when exactly these fields are there, nothing follows, and terms and slots are
 * below their maxima. Everything else is dropped and counted. */
#include "consensus/raft.h"

#include "base/panic.h"

enum {
    FIELD_SLOT = 1,
    FIELD_PREV_TERM = 2,
    FIELD_LOG_TERM = 4,
    FIELD_FIRST = 8,
    FIELD_ASKED = 16,
    FIELD_ID = 32,
    FIELD_TIMES = 64,
    FIELD_LEASE = 128,
};

struct kind_info {
    const char *name;
    uint8_t fields;
};

static const struct kind_info kinds[RAFT_KINDS] = {
    [RAFT_BEAT] = {"BEAT", FIELD_SLOT | FIELD_PREV_TERM | FIELD_TIMES},
    [RAFT_PRE_VOTE] = {"PRE_VOTE", FIELD_SLOT | FIELD_LOG_TERM | FIELD_ID},
    [RAFT_PRE_VOTE_REPLY] = {"PRE_VOTE_REPLY", FIELD_ASKED | FIELD_ID},
    [RAFT_VOTE] = {"VOTE", FIELD_SLOT | FIELD_LOG_TERM | FIELD_ID},
    [RAFT_VOTE_REPLY] = {"VOTE_REPLY", FIELD_ID},
    [RAFT_APPEND] = {"APPEND", FIELD_SLOT | FIELD_PREV_TERM | FIELD_LOG_TERM},
    [RAFT_PROBE] = {"PROBE", FIELD_SLOT | FIELD_PREV_TERM},
    [RAFT_APPENDED] = {"APPENDED", FIELD_SLOT},
    [RAFT_REJECT] = {"REJECT", FIELD_SLOT | FIELD_LOG_TERM | FIELD_FIRST},
    [RAFT_BEHIND] = {"BEHIND", FIELD_SLOT},
    [RAFT_COMMIT] = {"COMMIT", 0},
    [RAFT_NACK] = {"NACK", 0},
    [RAFT_READ_ROUND] = {"READ_ROUND", FIELD_ID | FIELD_LEASE},
    [RAFT_READ_ACK] = {"READ_ACK", FIELD_ID | FIELD_LEASE},
    [RAFT_READ_INDEX] = {"READ_INDEX", FIELD_ID},
    [RAFT_READ_INDEX_OK] = {"READ_INDEX_OK", FIELD_SLOT | FIELD_ID},
    [RAFT_TRANSFER_NOW] = {"TRANSFER_NOW", 0},
};

struct bytes raft_message_encode(const struct raft_message *message, uint32_t era,
                                 uint8_t buffer[RAFT_HEAD_MAX])
{
    struct writer w = writer_of(buffer, RAFT_HEAD_MAX);
    uint8_t fields = kinds[message->kind].fields;
    write_u8(&w, message->kind);
    write_u32(&w, era);
    write_u8(&w, message->flags);
    write_varint(&w, message->term);
    write_varint(&w, message->chosen_upto);
    if (fields & FIELD_SLOT)
        write_varint(&w, message->slot);
    if (fields & FIELD_PREV_TERM)
        write_varint(&w, message->prev_term);
    if (fields & FIELD_LOG_TERM)
        write_varint(&w, message->log_term);
    if (fields & FIELD_FIRST)
        write_varint(&w, message->first);
    if (fields & FIELD_ASKED)
        write_varint(&w, message->asked);
    if (fields & FIELD_ID)
        write_varint(&w, message->id);
    if (fields & FIELD_LEASE)
        write_varint(&w, message->lease);
    if (fields & FIELD_TIMES) {
        write_varint(&w, message->stamp);
        write_varint(&w, message->echo);
    }
    ensure(!w.failed);
    return writer_bytes(&w);
}

/* Nobody correct says these things, whatever its state. */
static bool message_plausible(const struct raft_message *m)
{
    if (m->term > RAFT_TERM_MAX || m->prev_term > m->term || m->log_term > m->term ||
        m->asked > RAFT_TERM_MAX || m->slot > RAFT_SLOT_MAX || m->first > RAFT_SLOT_MAX ||
        m->chosen_upto > RAFT_SLOT_MAX)
        return false;
    switch (m->kind) {
    case RAFT_APPEND:
        return m->slot > 0 && m->log_term > 0 && m->prev_term <= m->log_term &&
               (m->slot > 1) == (m->prev_term > 0);
    case RAFT_PROBE:
        return (m->slot > 0) == (m->prev_term > 0);
    case RAFT_PRE_VOTE:
        return (m->slot > 0) == (m->log_term > 0);
    case RAFT_VOTE:
        return (m->slot > 0) == (m->log_term > 0) && m->log_term < m->term;
    case RAFT_REJECT:
        return m->slot > 0 && m->first > 0 && m->first <= m->slot;
    default:
        return true;
    }
}

bool raft_message_decode(struct bytes head, uint32_t era, struct raft_message *ret_message)
{
    struct reader r = reader_of(head);
    struct raft_message message = {.kind = read_u8(&r)};
    if (message.kind < RAFT_BEAT || message.kind >= RAFT_KINDS || read_u32(&r) != era)
        return false;
    uint8_t fields = kinds[message.kind].fields;
    message.flags = read_u8(&r);
    message.term = read_varint(&r);
    message.chosen_upto = read_varint(&r);
    if (fields & FIELD_SLOT)
        message.slot = read_varint(&r);
    if (fields & FIELD_PREV_TERM)
        message.prev_term = read_varint(&r);
    if (fields & FIELD_LOG_TERM)
        message.log_term = read_varint(&r);
    if (fields & FIELD_FIRST)
        message.first = read_varint(&r);
    if (fields & FIELD_ASKED)
        message.asked = read_varint(&r);
    if (fields & FIELD_ID)
        message.id = read_varint(&r);
    if (fields & FIELD_LEASE)
        message.lease = read_varint(&r);
    if (fields & FIELD_TIMES) {
        message.stamp = read_varint(&r);
        message.echo = read_varint(&r);
    }
    *ret_message = message;
    return reader_done(&r) && message_plausible(&message);
}

static void describe_number(struct text *text, const char *name, uint64_t value)
{
    text_add(text, " ");
    text_add(text, name);
    text_add(text, "=");
    text_u64(text, value);
}

static void describe_flags(struct text *text, uint8_t flags)
{
    static const struct {
        uint8_t flag;
        const char *name;
    } names[] = {
        {RAFT_FLAG_LEADING, " leading"}, {RAFT_FLAG_HEARS_YOU, " hears-you"},
        {RAFT_FLAG_ANSWER, " answer"},   {RAFT_FLAG_TRANSFER, " transfer"},
        {RAFT_FLAG_GRANTED, " granted"},
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (flags & names[i].flag)
            text_add(text, names[i].name);
}

void raft_message_describe(struct bytes head, struct text *text)
{
    struct raft_message m;
    uint32_t era = head.size >= 5 ? load_u32(head.data + 1) : 0;
    if (!raft_message_decode(head, era, &m)) {
        text_add(text, "malformed");
        return;
    }
    uint8_t fields = kinds[m.kind].fields;
    bool empty_append = m.kind != RAFT_BEAT || (m.flags & RAFT_FLAG_LEADING) != 0;
    text_add(text, kinds[m.kind].name);
    describe_number(text, "term", m.term);
    describe_number(text, "chosen", m.chosen_upto);
    if ((fields & FIELD_SLOT) && empty_append)
        describe_number(text, "slot", m.slot);
    if ((fields & FIELD_PREV_TERM) && empty_append)
        describe_number(text, "prev-term", m.prev_term);
    if (fields & FIELD_LOG_TERM)
        describe_number(text, "log-term", m.log_term);
    if (fields & FIELD_FIRST)
        describe_number(text, "first", m.first);
    if (fields & FIELD_ASKED)
        describe_number(text, "asked", m.asked);
    if (fields & FIELD_ID)
        describe_number(text, "id", m.id);
    describe_flags(text, m.flags);
}

struct bytes raft_record_encode(const struct raft_record *record, uint8_t buffer[RAFT_HEAD_MAX])
{
    struct writer w = writer_of(buffer, RAFT_HEAD_MAX);
    write_u8(&w, record->flags);
    write_varint(&w, record->term);
    write_varint(&w, record->vote);
    write_varint(&w, record->chosen_upto);
    ensure(!w.failed);
    return writer_bytes(&w);
}

bool raft_record_decode(struct bytes head, struct raft_record *ret_record)
{
    struct reader r = reader_of(head);
    struct raft_record record = {.flags = read_u8(&r)};
    record.term = read_varint(&r);
    uint64_t vote = read_varint(&r);
    record.vote = (uint16_t)vote;
    record.chosen_upto = read_varint(&r);
    *ret_record = record;
    return reader_done(&r) && record.term <= RAFT_TERM_MAX && vote <= UINT16_MAX &&
           record.chosen_upto <= RAFT_SLOT_MAX;
}

struct bytes raft_mark_encode(uint64_t term, uint8_t buffer[RAFT_MARK_SIZE])
{
    store_u64(buffer, term);
    return bytes_of(buffer, RAFT_MARK_SIZE);
}

bool raft_mark_decode(struct bytes mark, uint64_t *ret_term)
{
    if (mark.size != RAFT_MARK_SIZE)
        return false;
    *ret_term = load_u64(mark.data);
    return *ret_term > 0 && *ret_term <= RAFT_TERM_MAX;
}
