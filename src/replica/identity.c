/* The identity file: a fixed header, the members, and a CRC-32C over all before it. It is small
 * enough to be read and written whole. The one invariant: what is read is exactly what was written,
 * or an error. */
#include "replica/identity.h"

#include "base/crc32c.h"
#include "base/hash.h"
#include "base/panic.h"

#include <string.h>

#define IDENTITY_MAGIC UINT64_C(0x314449444f4e5953) /* "SYNODID1" */
#define IDENTITY_VERSION 1
#define IDENTITY_SIZE_MAX                                                                          \
    (64 + MEMBERS_MAX * (16 + IDENTITY_NAME_MAX + IDENTITY_URLS_MAX * (2 + IDENTITY_URL_MAX)))

static void write_string(struct writer *w, const char *string)
{
    write_sized(w, bytes_text(string));
}

static void read_string(struct reader *r, char *into, size_t capacity)
{
    struct bytes bytes = read_sized(r);
    if (r->failed || bytes.size >= capacity) {
        r->failed = true;
        return;
    }
    if (bytes.size > 0)
        memcpy(into, bytes.data, bytes.size);
    into[bytes.size] = '\0';
}

static void identity_encode(struct writer *w, const struct identity *identity)
{
    write_u64(w, IDENTITY_MAGIC);
    write_u32(w, IDENTITY_VERSION);
    write_u64(w, identity->cluster);
    write_u64(w, identity->disk);
    write_u32(w, identity->era);
    write_u16(w, identity->engine);
    write_u16(w, identity->self);
    write_u32(w, identity->members_count);
    for (uint32_t i = 0; i < identity->members_count; i++) {
        const struct identity_member *member = &identity->members[i];
        write_u64(w, member->id);
        write_u16(w, member->node);
        write_string(w, member->name);
        write_u32(w, member->peer_urls_count);
        for (uint32_t u = 0; u < member->peer_urls_count; u++)
            write_string(w, member->peer_urls[u]);
    }
    write_u32(w, crc32c(0, writer_bytes(w)));
    ensure(!w->failed);
}

static void decode_member(struct reader *r, struct identity_member *member)
{
    member->id = read_u64(r);
    member->node = read_u16(r);
    read_string(r, member->name, sizeof member->name);
    member->peer_urls_count = read_u32(r);
    if (member->peer_urls_count > IDENTITY_URLS_MAX)
        r->failed = true;
    for (uint32_t u = 0; !r->failed && u < member->peer_urls_count; u++)
        read_string(r, member->peer_urls[u], sizeof member->peer_urls[u]);
}

static enum status identity_decode(struct bytes file, struct identity *identity)
{
    if (file.size < 16 || load_u64(file.data) != IDENTITY_MAGIC)
        return STATUS_INVALID;
    if (load_u32(file.data + file.size - 4) != crc32c(0, bytes_of(file.data, file.size - 4)))
        return STATUS_CORRUPT;
    struct reader r = reader_of(bytes_of(file.data, file.size - 4));
    read_u64(&r);
    if (read_u32(&r) != IDENTITY_VERSION)
        return STATUS_UNSUPPORTED;
    memset(identity, 0, sizeof *identity);
    identity->cluster = read_u64(&r);
    identity->disk = read_u64(&r);
    identity->era = read_u32(&r);
    identity->engine = read_u16(&r);
    identity->self = read_u16(&r);
    identity->members_count = read_u32(&r);
    if (identity->members_count == 0 || identity->members_count > MEMBERS_MAX)
        return STATUS_INVALID;
    for (uint32_t i = 0; !r.failed && i < identity->members_count; i++)
        decode_member(&r, &identity->members[i]);
    if (!reader_done(&r))
        return STATUS_INVALID;
    for (uint32_t i = 0; i < identity->members_count; i++) {
        if (identity->members[i].node == identity->self)
            return STATUS_OK;
    }
    return STATUS_INVALID;
}

static enum status disk_op(struct world *world, struct disk_job *job, enum disk_op op)
{
    job->op = op;
    return world->ops->disk_run(world, job);
}

enum status identity_load(struct world *world, struct text *error, struct identity *ret_identity)
{
    uint8_t file[IDENTITY_SIZE_MAX];
    struct disk_job job = {.name = "identity"};
    enum status status = disk_op(world, &job, DISK_OPEN);
    if (status == STATUS_NOT_FOUND)
        return status;
    if (status == STATUS_OK) {
        job.offset = 0;
        job.size = sizeof file;
        job.into = file;
        status = disk_op(world, &job, DISK_READ);
        size_t size = (size_t)job.moved;
        disk_op(world, &job, DISK_CLOSE);
        if (status == STATUS_OK)
            status = identity_decode(bytes_of(file, size), ret_identity);
    }
    if (status != STATUS_OK) {
        text_add(error, "the file \"identity\" in the data directory cannot be used: ");
        text_add(error, status_text(status));
        text_add(error, status == STATUS_UNSUPPORTED
                            ? "; it was written by another version of synod: use that one"
                            : "; restore the whole data directory from a backup, or remove it and "
                              "let this member join again under a new name");
    }
    return status;
}

enum status identity_create(struct world *world, struct mem *mem, const struct identity *identity,
                            struct text *error)
{
    uint8_t *file = mem_alloc(mem, IDENTITY_SIZE_MAX);
    struct writer w = writer_of(file, IDENTITY_SIZE_MAX);
    identity_encode(&w, identity);
    struct bytes bytes = writer_bytes(&w);

    struct disk_job job = {.name = "identity.tmp"};
    disk_op(world, &job, DISK_REMOVE); /* what an interrupted bootstrap left */
    enum status status = disk_op(world, &job, DISK_CREATE);
    if (status == STATUS_OK) {
        job.parts = &bytes;
        job.parts_count = 1;
        job.sync = true;
        status = disk_op(world, &job, DISK_WRITE);
        disk_op(world, &job, DISK_CLOSE);
    }
    if (status == STATUS_OK) {
        memcpy(job.to, "identity", sizeof "identity");
        status = disk_op(world, &job, DISK_RENAME);
    }
    if (status != STATUS_OK) {
        text_add(error, "cannot write the file \"identity\" in the data directory: ");
        text_add(error, status_text(status));
    }
    mem_free(mem, file, IDENTITY_SIZE_MAX);
    return status;
}

const struct identity_member *identity_member(const struct identity *identity, uint16_t node)
{
    for (uint32_t i = 0; i < identity->members_count; i++) {
        if (identity->members[i].node == node)
            return &identity->members[i];
    }
    ensure(node != identity->self);
    return NULL;
}

uint64_t identity_link(const struct identity *identity)
{
    return hash_fold(identity->cluster, identity->engine);
}

struct configuration identity_configuration(const struct identity *identity)
{
    struct configuration configuration = {.count = identity->members_count};
    for (uint32_t i = 0; i < identity->members_count; i++) {
        configuration.members[i] =
            (struct member){.id = identity->members[i].id, .node = identity->members[i].node};
    }
    configuration.quorums = quorum_majority(identity->members_count);
    return configuration;
}
