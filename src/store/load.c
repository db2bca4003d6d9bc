/* Loading: records in any pieces, each checked for itself and against what came before it, so that
 * no sequence of bytes makes a store that could not have grown by itself. */
#include "base/panic.h"
#include "store/snapshot_format.h"
#include "store/store_internal.h"

/* More than a key and a value can be. */
#define RECORD_MAX (VERSION_VALUE_MAX * 2)

struct store_loader {
    struct store *store;
    struct buffer partial; /* a record that is cut by the end of a piece */
    bool failed;
    bool begun;
    bool versions_begun;
    bool ended;
    uint64_t generation; /* of the last lease */
    uint64_t versions;
    int64_t mod; /* of the last version */
    uint32_t sub;
};

struct store_loader *store_load(struct store *store)
{
    ensure(store->revision == 1 && store->history.versions == 0 && store->leases.count == 0);
    struct store_loader *loader = mem_zero(store->parent, sizeof *loader);
    loader->store = store;
    buffer_init(&loader->partial, store->parent, RECORD_MAX);
    return loader;
}

static bool load_header(struct store_loader *loader, const struct store_header *header)
{
    struct store *store = loader->store;
    if (loader->begun)
        return false;
    loader->begun = true;
    store->revision = header->revision;
    store->compacted = header->compacted;
    store->squeeze.floor = header->floor;
    store->digest = header->digest;
    store->leases_granted = header->leases_granted;
    return true;
}

static bool load_lease(struct store_loader *loader, const struct lease_info *info)
{
    if (!loader->begun || loader->versions_begun || lease_find(loader->store, info->id) != NULL ||
        info->generation <= loader->generation || info->generation > loader->store->leases_granted)
        return false;
    loader->generation = info->generation;
    lease_add(loader->store, info);
    return true;
}

/* May this version follow the newest of its key (NULL: it has none)? */
static bool load_fits(const struct store *store, const struct version *before,
                      const struct version_spec *spec)
{
    bool lives = before != NULL && !version_tombstone(before);
    if (spec->mod < store->squeeze.floor)
        return before == NULL && !spec->tombstone;
    if (spec->tombstone)
        return lives;
    if (!lives)
        return spec->number == 1;
    return spec->create == version_create(before) && spec->number == version_number(before) + 1;
}

static bool load_version(struct store_loader *loader, struct bytes bytes,
                         const struct version_spec *spec)
{
    struct store *store = loader->store;
    bool behind = spec->mod > loader->mod || (spec->mod == loader->mod && spec->sub > loader->sub);
    if (!loader->begun || spec->mod > store->revision || (loader->versions > 0 && !behind))
        return false;
    loader->versions_begun = true;
    struct tree_path path;
    struct key *key = tree_find(&store->keys, bytes, &path);
    if (!load_fits(store, key == NULL ? NULL : key->newest, spec))
        return false;
    if (key == NULL) {
        key = key_new(&store->mem, bytes);
        tree_insert(&store->keys, &path, key, true);
        key->newest = version_new(&store->mem, key, spec);
        history_append(&store->history, key->newest);
    } else {
        store_append(store, key, &path, version_new(&store->mem, key, spec));
    }
    loader->versions++;
    loader->mod = spec->mod;
    loader->sub = spec->sub;
    return true;
}

/* Hangs the living keys on their leases, when it is clear which version of each is the last. */
static bool load_attach(struct store *store)
{
    for (struct tree_cursor at = tree_first(&store->keys); at.node != NULL; tree_next(&at)) {
        struct key *key = tree_key(&at);
        int64_t lease = version_lease(key->newest);
        if (!tree_live(&at) || lease == 0)
            continue;
        if (lease_find(store, lease) == NULL)
            return false;
        lease_attach(store, lease, key);
    }
    return true;
}

static bool load_record(struct store_loader *loader, struct bytes content)
{
    struct store_record record;
    if (loader->ended || store_record_decode(content, &record) != STATUS_OK)
        return false;
    switch (record.kind) {
    case RECORD_HEADER:
        return load_header(loader, &record.header);
    case RECORD_LEASE:
        return load_lease(loader, &record.lease);
    case RECORD_VERSION:
        return load_version(loader, record.version.key, &record.version.spec);
    case RECORD_END:
        loader->ended = loader->begun && record.versions == loader->versions;
        return loader->ended && load_attach(loader->store);
    }
    return false;
}

/* Takes whole records off the front; false if one is wrong. */
static bool load_records(struct store_loader *loader, struct bytes bytes, size_t *ret_used)
{
    size_t used = 0;
    while (bytes.size - used >= 4) {
        uint32_t size = load_u32(bytes.data + used);
        if (size > RECORD_MAX - 4)
            return false;
        if (bytes.size - used - 4 < size)
            break;
        if (!load_record(loader, bytes_of(bytes.data + used + 4, size)))
            return false;
        used += 4 + (size_t)size;
    }
    *ret_used = used;
    return true;
}

/* Completes the record that the last piece cut. Returns how much of the piece that took. */
static size_t load_complete(struct store_loader *loader, struct bytes piece)
{
    struct buffer *partial = &loader->partial;
    size_t used = 0;
    while (used < piece.size && partial->size < 4)
        buffer_u8(partial, piece.data[used++]);
    if (partial->size < 4)
        return used;
    uint64_t whole = 4 + (uint64_t)load_u32(partial->data);
    if (whole > RECORD_MAX) {
        loader->failed = true;
        return used;
    }
    size_t missing = (size_t)whole - partial->size;
    size_t more = missing < piece.size - used ? missing : piece.size - used;
    buffer_append(partial, bytes_of(piece.data + used, more));
    if (partial->size == whole) {
        size_t taken;
        loader->failed = !load_records(loader, buffer_bytes(partial), &taken);
        buffer_clear(partial);
    }
    return used + more;
}

enum status store_load_piece(struct store_loader *loader, struct bytes piece)
{
    size_t used = 0;
    if (!loader->failed && loader->partial.size > 0)
        used = load_complete(loader, piece);
    if (!loader->failed && used < piece.size) {
        struct bytes rest = bytes_of(piece.data + used, piece.size - used);
        size_t taken = 0;
        loader->failed = !load_records(loader, rest, &taken);
        if (!loader->failed && taken < rest.size)
            buffer_append(&loader->partial, bytes_of(rest.data + taken, rest.size - taken));
    }
    return loader->failed ? STATUS_INVALID : STATUS_OK;
}

enum status store_load_end(struct store_loader *loader)
{
    struct store *store = loader->store;
    bool whole = !loader->failed && loader->ended && loader->partial.size == 0;
    buffer_release(&loader->partial);
    mem_free(store->parent, loader, sizeof *loader);
    return whole ? STATUS_OK : STATUS_INVALID;
}
