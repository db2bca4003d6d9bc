#include "base/blob.h"

#include "base/panic.h"

#include <string.h>

struct blob *blob_new(struct mem *mem, size_t size)
{
    ensure(size <= UINT32_MAX);
    struct blob *blob = mem_alloc(mem, sizeof *blob + size);
    blob->mem = mem;
    blob->references = 1;
    blob->size = (uint32_t)size;
    return blob;
}

struct blob *blob_copy(struct mem *mem, struct bytes bytes)
{
    struct blob *blob = blob_new(mem, bytes.size);
    if (bytes.size > 0)
        memcpy(blob->data, bytes.data, bytes.size);
    return blob;
}

struct blob *blob_keep(struct blob *blob)
{
    if (blob != NULL) {
        ensure(blob->references > 0);
        blob->references++;
    }
    return blob;
}

void blob_drop(struct blob *blob)
{
    if (blob == NULL)
        return;
    ensure(blob->references > 0);
    if (--blob->references == 0)
        mem_free(blob->mem, blob, sizeof *blob + blob->size);
}

struct bytes blob_bytes(const struct blob *blob)
{
    return blob == NULL ? BYTES_EMPTY : bytes_of(blob->data, blob->size);
}
