/* Heads: what the members of a Multi-Paxos cluster write to each other and to their logs.
 *
 *     message: kind u8, era u32, flags u8, ballot 11, chosen_upto varint, then by kind and in this
 *              order, each a varint but the last: from, slot, id, lease, stamp, echo, vbal 11
 *     record:  flags u8, ballot 11, chosen_upto varint
 *
 * A head is valid when exactly these fields are there, nothing follows, rounds and slots are below
 * their maxima, and ballots are zero or classic. Everything else is dropped and counted. */
#include "consensus/multipaxos.h"

#include "base/panic.h"

enum {
    FIELD_FROM = 1,
    FIELD_SLOT = 2,
    FIELD_ID = 4,
    FIELD_TIMES = 8,
    FIELD_VBAL = 16,
    FIELD_LEASE = 32,
};

static const uint8_t message_fields[MESSAGE_KINDS] = {
    [MESSAGE_HEARTBEAT] = FIELD_TIMES,
    [MESSAGE_PRE_PREPARE] = FIELD_ID,
    [MESSAGE_PRE_PROMISE] = FIELD_ID | FIELD_FROM,
    [MESSAGE_PREPARE] = FIELD_SLOT,
    [MESSAGE_PROMISE] = FIELD_FROM | FIELD_SLOT | FIELD_VBAL,
    [MESSAGE_ACCEPT] = FIELD_SLOT,
    [MESSAGE_ACCEPTED] = FIELD_SLOT,
    [MESSAGE_READ_ROUND] = FIELD_ID | FIELD_LEASE,
    [MESSAGE_READ_ACK] = FIELD_ID | FIELD_LEASE,
    [MESSAGE_READ_INDEX] = FIELD_ID,
    [MESSAGE_READ_INDEX_OK] = FIELD_ID | FIELD_SLOT,
};

struct bytes multipaxos_message_encode(const struct multipaxos_message *message, uint32_t era,
                                       uint8_t buffer[MULTIPAXOS_HEAD_MAX])
{
    struct writer w = writer_of(buffer, MULTIPAXOS_HEAD_MAX);
    uint8_t fields = message_fields[message->kind];
    write_u8(&w, message->kind);
    write_u32(&w, era);
    write_u8(&w, message->flags);
    write_ballot(&w, message->ballot);
    write_varint(&w, message->chosen_upto);
    if (fields & FIELD_FROM)
        write_varint(&w, message->from);
    if (fields & FIELD_SLOT)
        write_varint(&w, message->slot);
    if (fields & FIELD_ID)
        write_varint(&w, message->id);
    if (fields & FIELD_LEASE)
        write_varint(&w, message->lease);
    if (fields & FIELD_TIMES) {
        write_varint(&w, message->stamp);
        write_varint(&w, message->echo);
    }
    if (fields & FIELD_VBAL)
        write_ballot(&w, message->vbal);
    ensure(!w.failed);
    return writer_bytes(&w);
}

static bool ballot_acceptable(struct ballot ballot)
{
    if (ballot_is_zero(ballot))
        return true;
    return ballot.round <= MULTIPAXOS_ROUND_MAX && ballot.kind == BALLOT_CLASSIC;
}

static bool slots_acceptable(uint64_t a, uint64_t b, uint64_t c)
{
    return a <= MULTIPAXOS_SLOT_MAX && b <= MULTIPAXOS_SLOT_MAX && c <= MULTIPAXOS_SLOT_MAX;
}

bool multipaxos_message_decode(struct bytes head, uint32_t era,
                               struct multipaxos_message *ret_message)
{
    struct reader r = reader_of(head);
    struct multipaxos_message message = {.kind = read_u8(&r)};
    if (message.kind < MESSAGE_HEARTBEAT || message.kind >= MESSAGE_KINDS || read_u32(&r) != era)
        return false;
    uint8_t fields = message_fields[message.kind];
    message.flags = read_u8(&r);
    message.ballot = read_ballot(&r);
    message.chosen_upto = read_varint(&r);
    if (fields & FIELD_FROM)
        message.from = read_varint(&r);
    if (fields & FIELD_SLOT)
        message.slot = read_varint(&r);
    if (fields & FIELD_ID)
        message.id = read_varint(&r);
    if (fields & FIELD_LEASE)
        message.lease = read_varint(&r);
    if (fields & FIELD_TIMES) {
        message.stamp = read_varint(&r);
        message.echo = read_varint(&r);
    }
    if (fields & FIELD_VBAL)
        message.vbal = read_ballot(&r);
    *ret_message = message;
    return reader_done(&r) && ballot_acceptable(message.ballot) &&
           ballot_acceptable(message.vbal) &&
           slots_acceptable(message.chosen_upto, message.from, message.slot);
}

struct bytes multipaxos_record_encode(const struct multipaxos_record *record,
                                      uint8_t buffer[MULTIPAXOS_HEAD_MAX])
{
    struct writer w = writer_of(buffer, MULTIPAXOS_HEAD_MAX);
    write_u8(&w, record->flags);
    write_ballot(&w, record->ballot);
    write_varint(&w, record->chosen_upto);
    ensure(!w.failed);
    return writer_bytes(&w);
}

bool multipaxos_record_decode(struct bytes head, struct multipaxos_record *ret_record)
{
    struct reader r = reader_of(head);
    struct multipaxos_record record = {.flags = read_u8(&r)};
    record.ballot = read_ballot(&r);
    record.chosen_upto = read_varint(&r);
    *ret_record = record;
    return reader_done(&r) && ballot_acceptable(record.ballot) &&
           record.chosen_upto <= MULTIPAXOS_SLOT_MAX;
}
