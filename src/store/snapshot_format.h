/* The records of a store's snapshot, as bytes; doc/formats/command.md describes them. */
#ifndef SYNOD_STORE_SNAPSHOT_FORMAT_H
#define SYNOD_STORE_SNAPSHOT_FORMAT_H

#include "base/buffer.h"
#include "base/status.h"
#include "store/store.h"
#include "store/version.h"

enum record_kind {
    RECORD_HEADER = 1,
    RECORD_LEASE = 2,
    RECORD_VERSION = 3,
    RECORD_END = 4,
};

#define STORE_FORMAT 2

struct store_header {
    int64_t revision;
    int64_t compacted;
    int64_t floor; /* of squeezing: nothing older can be freed any more */
    uint64_t digest;
    uint64_t leases_granted; /* ever */
};

struct store_record {
    enum record_kind kind;
    union {
        struct store_header header;
        struct lease_info lease;
        struct {
            struct bytes key;
            struct version_spec spec;
        } version;
        uint64_t versions; /* END */
    };
};

/* All of them append a whole record: length, then content. */
void store_record_header(struct buffer *buffer, const struct store_header *header);
void store_record_lease(struct buffer *buffer, const struct lease_info *lease);
void store_record_version(struct buffer *buffer, const struct version *version);
void store_record_end(struct buffer *buffer, uint64_t versions);
/* Decodes the content of a record; bytes are borrowed. Checks it for itself, not against others. */
enum status store_record_decode(struct bytes content, struct store_record *ret_record) MUST_CHECK;

#endif
