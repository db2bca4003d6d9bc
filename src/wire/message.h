/* Messages between members: encode and decode, nothing else. What an engine says to its peers
 * travels opaquely inside ENGINE; the others are the hosts': forwarding, catching up, leases. The
 * head is described here; a payload (an entry, a chunk) travels beside it. Format:
 * doc/formats/message.md.
 *
 * Decoding trusts nothing: a peer's bytes may be damaged, or from another version. */
#ifndef SYNOD_WIRE_MESSAGE_H
#define SYNOD_WIRE_MESSAGE_H

#include "base/bytes.h"
#include "base/status.h"

enum message_kind {
    MESSAGE_ENGINE = 1,         /* inner: the engine's head; payload: its entry */
    MESSAGE_FORWARD = 2,        /* payload: a batch for the leader to propose */
    MESSAGE_FETCH = 3,          /* id, slot: please send chosen entries from here on */
    MESSAGE_LOG = 4,            /* id, slot, inner: the head of its record; payload: the entry
                                 * chosen there */
    MESSAGE_LOG_END = 5,        /* id, slot: the answer ends before this slot; more: ask again */
    MESSAGE_NOTHING = 6,        /* id: cannot help */
    MESSAGE_SNAPSHOT = 7,       /* id, slot, size: the log begins later; take this snapshot */
    MESSAGE_SNAPSHOT_READ = 8,  /* id, slot, offset */
    MESSAGE_SNAPSHOT_CHUNK = 9, /* id, slot, offset; payload: bytes of the file */
    MESSAGE_LEASE_ASK = 10,     /* id, lease, renew */
    MESSAGE_LEASE_TELL = 11,    /* id, lease, found, ttl, ttl_granted */
};

struct message {
    enum message_kind kind;
    uint64_t disk; /* on every message: the number of the sender's data directory */
    uint64_t id;
    uint64_t slot;
    uint64_t offset;
    uint64_t size;
    bool more;
    bool renew;
    bool found; /* the keeper answered; otherwise it is no keeper: ask again */
    int64_t lease;
    int64_t ttl;
    int64_t ttl_granted;
    struct bytes inner;
};

/* Of every head, without what is in `inner`. */
#define MESSAGE_HEAD_MAX 64
/* Of ENGINE's, without `inner`. */
#define MESSAGE_ENGINE_OVERHEAD 9

/* Writes the head; w->failed if it does not fit. */
void message_encode(struct writer *w, const struct message *message);
/* `inner` borrows from the head. INVALID or UNSUPPORTED (a kind that is not known). */
enum status message_decode(struct bytes head, struct message *ret_message) MUST_CHECK;

#endif
