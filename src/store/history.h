/* History: all versions in the order of revision and sub-revision, in chunks of pointers. Appended
 * at the end; compaction takes out anywhere, and thin neighbours are merged afterwards.
 *
 * The one invariant: walking it from front to back, (mod, sub) grows strictly. */
#ifndef SYNOD_STORE_HISTORY_H
#define SYNOD_STORE_HISTORY_H

#include "store/version.h"

#define HISTORY_CHUNK 508u

struct history_chunk {
    int64_t first_mod; /* nothing in this chunk or behind it is before (first_mod, first_sub) */
    uint32_t first_sub;
    uint32_t count;
    struct version *versions[HISTORY_CHUNK];
};

struct history {
    struct mem *mem;
    struct history_chunk **chunks;
    size_t count; /* chunks */
    size_t capacity;
    uint64_t versions;
};

/* A place before a version, or at the end. Chunks between places may be empty. */
struct history_place {
    size_t chunk;
    uint32_t index;
};

void history_init(struct history *history, struct mem *mem);
/* Frees chunks and versions. */
void history_release(struct history *history);
void history_append(struct history *history, struct version *version);
/* The place before the first version that is not before (mod, sub). */
struct history_place history_seek(const struct history *history, int64_t mod, uint32_t sub);
/* The version behind the place, which then moves past it; NULL at the end. */
struct version *history_next(const struct history *history, struct history_place *place);
/* The version before the place, which then moves before it; NULL at the front. */
struct version *history_prev(const struct history *history, struct history_place *place);
/* Takes out the version behind the place. */
void history_remove(struct history *history, const struct history_place *place);
/* Frees the chunk if it is empty, or joins it with the next if both are thin. True if there is now
 * one chunk less. */
bool history_tidy(struct history *history, size_t chunk);

#endif
