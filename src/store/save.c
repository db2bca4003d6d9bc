/* Saving: the store as records, each a 32-bit length and so many bytes (doc/formats/command.md):
 * a header, the leases, the versions in the order of their making, an end.
 *
 * The walk remembers a place by revision, not by address. What is written after it began has a
 * higher revision and is left out; compaction's squeezing does not begin while it lasts. */
#include "base/panic.h"
#include "store/snapshot_format.h"
#include "store/store_internal.h"

#define SLICE_BYTES ((size_t)128 * 1024)
#define SQUEEZE_SLICE 16384u

struct store_saver {
    struct store *store;
    struct store_header header;
    struct lease_info *leases;
    uint64_t leases_count;
    bool begun; /* header and leases are out */
    uint64_t versions;
    int64_t mod; /* the walk goes on at this place */
    uint32_t sub;
};

/* The leases as they are now: they are few and small, and unlike versions they do go away. */
static void saver_take_leases(struct store_saver *saver)
{
    struct store *store = saver->store;
    saver->leases_count = store->leases.count;
    saver->leases = mem_alloc(store->parent, saver->leases_count * sizeof *saver->leases);
    uint64_t filled = 0;
    list_each (at, &store->leases_list)
        saver->leases[filled++] = container_of(at, struct lease, link)->info;
}

struct store_saver *store_save(struct store *store)
{
    ensure(!store->open);
    struct store_saver *saver = mem_zero(store->parent, sizeof *saver);
    saver->store = store;
    saver->header = (struct store_header){
        .revision = store->revision,
        .compacted = store->compacted,
        .digest = store->digest,
        .leases_granted = store->leases_granted,
    };
    saver_take_leases(saver);
    store->savers++;
    return saver;
}

static void save_leases(struct store_saver *saver, struct buffer *slice)
{
    for (uint64_t i = 0; i < saver->leases_count; i++)
        store_record_lease(slice, &saver->leases[i]);
}

bool store_save_next(struct store_saver *saver, struct buffer *slice)
{
    struct store *store = saver->store;
    /* A pass that had begun is finished first: in its middle, chains are half cut. */
    if (!saver->begun && store->squeeze.active && squeeze_slice(store, SQUEEZE_SLICE))
        return true;
    if (!saver->begun) {
        saver->header.floor = store->squeeze.floor;
        store_record_header(slice, &saver->header);
        save_leases(saver, slice);
        saver->begun = true;
    }
    size_t size = slice->size;
    struct history_place place = history_seek(&store->history, saver->mod, saver->sub);
    while (slice->size - size < SLICE_BYTES && !slice->failed) {
        const struct version *v = history_next(&store->history, &place);
        if (v == NULL || v->mod > saver->header.revision) {
            store_record_end(slice, saver->versions);
            return false;
        }
        store_record_version(slice, v);
        saver->versions++;
        saver->mod = v->mod;
        saver->sub = v->sub + 1;
    }
    return true;
}

void store_save_end(struct store_saver *saver)
{
    struct store *store = saver->store;
    store->savers--;
    mem_free(store->parent, saver->leases, saver->leases_count * sizeof *saver->leases);
    mem_free(store->parent, saver, sizeof *saver);
}
