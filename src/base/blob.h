/* Blob: immutable bytes with a reference count; what travels in one slot of the log.
 *
 * The one thing in the house that is shared by reference: network, engine, journal and apply hold
 * the same blob. Counts are not atomic: a blob belongs to the core thread, and a thread that writes
 * its bytes is lent them for the duration of a job. A NULL blob is an empty entry (a no-op). */
#ifndef SYNOD_BASE_BLOB_H
#define SYNOD_BASE_BLOB_H

#include "base/bytes.h"
#include "base/mem.h"

struct blob {
    struct mem *mem;
    uint32_t references;
    uint32_t size;
    uint8_t data[];
};

/* A blob of `size` bytes to fill in, with one reference. */
struct blob *blob_new(struct mem *mem, size_t size);
/* A blob that holds a copy. */
struct blob *blob_copy(struct mem *mem, struct bytes bytes);
/* One more reference; NULL stays NULL. Returns its argument. */
struct blob *blob_keep(struct blob *blob);
/* One reference less; the last one frees. NULL is allowed. */
void blob_drop(struct blob *blob);
/* The bytes; empty for NULL. */
struct bytes blob_bytes(const struct blob *blob);

#endif
