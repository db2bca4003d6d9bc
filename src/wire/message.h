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
    MESSAGE_ENGINE = 1,          /* inner: the engine's head; payload: its entry */
    MESSAGE_IDENTITY = 2,        /* disk: first on a link; the sender's disk */
    MESSAGE_FORWARD = 3,         /* payload: a batch for the leader to propose */
    MESSAGE_FETCH = 4,           /* id, slot: please send chosen entries from here on */
    MESSAGE_LOG = 5,             /* id, slot; payload: the entry chosen there */
    MESSAGE_LOG_END = 6,         /* id, slot: the answer ends before this slot; more: ask again */
    MESSAGE_NOTHING = 7,         /* id: cannot help */
    MESSAGE_SNAPSHOT = 8,        /* id, slot, size: the log begins later; take this snapshot */
    MESSAGE_SNAPSHOT_READ = 9,   /* id, slot, offset */
    MESSAGE_SNAPSHOT_CHUNK = 10, /* id, slot, offset; payload: bytes of the file */
    MESSAGE_LEASE_ASK = 11,      /* id, lease, renew */
    MESSAGE_LEASE_TELL = 12,     /* id, lease, found, ttl, ttl_granted */
};

struct message {
    enum message_kind kind;
    uint64_t id;
    uint64_t slot;
    uint64_t offset;
    uint64_t size;
    uint64_t disk;
    bool more;
    bool renew;
    bool found; /* the keeper answered; otherwise it is no keeper: ask again */
    int64_t lease;
    int64_t ttl;
    int64_t ttl_granted;
    struct bytes inner;
};

/* Of every head but ENGINE's, whose size is that of `inner` and one. */
#define MESSAGE_HEAD_MAX 64

/* Writes the head; w->failed if it does not fit. */
void message_encode(struct writer *w, const struct message *message);
/* `inner` borrows from the head. INVALID or UNSUPPORTED (a kind that is not known). */
enum status message_decode(struct bytes head, struct message *ret_message) MUST_CHECK;

#endif
