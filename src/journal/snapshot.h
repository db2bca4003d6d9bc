/* Snapshots: the state after one slot, in a file of checksummed blocks, published by rename.
 * Format: doc/formats/snapshot.md. The content is opaque here.
 *
 * The one invariant: a file with a snapshot's final name is whole. It is written beside
 * ("snap/<slot>.tmp"), synced, renamed to "snap/<slot>.snap", and the directory is synced; only
 * then is `done` called. All work runs on the bulk queue. */
#ifndef SYNOD_JOURNAL_SNAPSHOT_H
#define SYNOD_JOURNAL_SNAPSHOT_H

#include "base/buffer.h"
#include "base/text.h"
#include "journal/snapshot_format.h"
#include "world/world.h"

struct snapshot_writer;

struct snapshot_info {
    uint64_t slot; /* 0: none */
    uint32_t era;
    uint64_t size;             /* of the file */
    struct snapshot_mark mark; /* as it was given to snapshot_write, here or at its sender */
};

struct snapshot_config {
    struct world *world;
    struct mem *mem;
    uint64_t cluster;
};

/* Starts writing; of the header, the cluster is filled in here. `produce` is called on the core
 * thread whenever the disk can take more: it appends the next slice of content (about 128 KiB) to
 * the buffer and returns false with the last slice. `done` is called once, at the end or with an
 * error. Both get `owner`. */
struct snapshot_writer *
snapshot_write(const struct snapshot_config *config, const struct snapshot_header *header,
               void *owner, bool (*produce)(void *owner, struct buffer *slice),
               void (*done)(void *owner, enum status status, uint64_t size));

/* Held, it asks for no further slice; let go, it goes on. May be called inside `produce`. */
void snapshot_write_hold(struct snapshot_writer *writer, bool hold);
/* No further slice is asked for: `done` comes soon, with STOPPED and nothing left behind, or as if
 * nothing had been said when all was written already. */
void snapshot_write_cancel(struct snapshot_writer *writer);

/* Who gets the content of a snapshot while it is read. `begin` is called first, and again if a file
 * turns out to be damaged and an older one is tried: what came before it is void. `consume` gets
 * pieces that need not match those of the writer; a status other than OK from it ends the reading.
 */
struct snapshot_reader {
    void *owner;
    void (*begin)(void *owner, uint64_t slot);
    enum status (*consume)(void *owner, struct bytes piece);
};

/* The newest whole snapshot, found, checked and read at boot; leftovers (*.tmp) are removed. slot
 * 0: none. `reader` may be NULL. A damaged newest file falls back to an older one if there is one;
 * if a damaged file is all there is: CORRUPT and a text. */
enum status snapshot_newest(const struct snapshot_config *config,
                            const struct snapshot_reader *reader, struct text *error,
                            struct snapshot_info *ret_info) MUST_CHECK;
/* Removes all published snapshots but the newest `keep`. In the background. */
void snapshot_prune(const struct snapshot_config *config, uint32_t keep);

/* Sending: reads raw bytes of the published file. `done` gets bytes that are borrowed for the call;
 * it may be called from inside for errors that are known at once. */
struct snapshot_read {
    uint64_t slot;
    uint64_t offset;
    uint32_t size;
    void *owner;
    void (*done)(struct snapshot_read *read, enum status status, struct bytes bytes);
    /* Used inside while the read is under way. */
    struct disk_job job;
    struct world *world;
    struct mem *mem;
};
void snapshot_read(const struct snapshot_config *config, struct snapshot_read *read);

/* Receiving: raw bytes in order of offset into "snap/<slot>.part". snapshot_receive_end reads the
 * file back through every check, hands its content to `consume` on the way, and publishes it. */
struct snapshot_receiver;
struct snapshot_receiver *snapshot_receive(const struct snapshot_config *config, uint64_t slot,
                                           uint64_t size);
uint64_t snapshot_receive_offset(const struct snapshot_receiver *receiver);
/* Bytes taken and not written yet: ask for more when they are few. 0 after a failure. */
uint64_t snapshot_receive_unwritten(const struct snapshot_receiver *receiver);
/* A write failed: nothing that comes can help any more. */
bool snapshot_receive_failed(const struct snapshot_receiver *receiver);
/* Copies the bytes; written in the background. */
void snapshot_receive_chunk(struct snapshot_receiver *receiver, struct bytes bytes);
/* Consumes the receiver. `consume` gets the content in pieces, one a disk job, before all of it is
 * known to be whole; a status other than OK from it ends it. NULL: none. `done` may be called from
 * inside for errors that are known at once; `info` is that of the published file, borrowed, and
 * means nothing after an error. */
void snapshot_receive_end(struct snapshot_receiver *receiver, void *owner,
                          enum status (*consume)(void *owner, struct bytes piece),
                          void (*done)(void *owner, enum status status,
                                       const struct snapshot_info *info));
void snapshot_receive_cancel(struct snapshot_receiver *receiver);

#endif
