/* What a power cut may leave: every choice of what survives of the things that are not durable.
 *
 * Sectors, sizes and names are cells. Each holds what is durable, or one of the versions that were
 * made since. Where the combinations are few all of them are tried; else every prefix of what was
 * done, everything but one cell, one cell alone, and a stated number of random choices.
 *
 * The one invariant: an aftermath is a function of the disk and of the choice alone. */
#ifndef TEST_CRASH_STATES_H
#define TEST_CRASH_STATES_H

#include "disk.h"

#define VERSIONS_MAX 7

struct states;

/* Tries about `limit` aftermaths of what the disk is now; each distinct one is handed to `visit`
 * as a hash, and can be made by states_make from inside. */
struct states *states_new(void);
void states_free(struct states *states);
void states_each(struct states *states, const struct disk *disk, uint32_t limit, struct prng *prng,
                 void *owner, void (*visit)(void *owner, uint64_t hash));
/* One of them, at random. */
void states_one(struct states *states, const struct disk *disk, struct prng *prng, void *owner,
                void (*visit)(void *owner, uint64_t hash));
/* From inside visit: a disk on which this is all there is, durable. `to` is initialised here. */
void states_make(const struct states *states, struct disk *to, uint64_t seed);

/* A set of hashes, each with a tag. */
struct seen {
    uint64_t *slots; /* pairs */
    uint64_t capacity;
    uint64_t count;
};
/* True if the hash was not there or had another tag. *ret_new: it was not there. */
bool seen_add(struct seen *seen, uint64_t hash, uint64_t tag, bool *ret_new);
void seen_free(struct seen *seen);

#endif
