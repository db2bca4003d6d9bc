/* Map: from a 64-bit number to a pointer. Open addressing with linear probing.
 *
 * Iteration order depends on the insertion history: nothing deterministic may depend on it, so
 * there is no iterator here; keep a list beside the map where an order is wanted. */
#ifndef SYNOD_BASE_MAP_H
#define SYNOD_BASE_MAP_H

#include "base/mem.h"

#include <stdint.h>

struct map_cell {
    uint64_t key;
    void *value; /* NULL: free */
};

struct map {
    struct mem *mem;
    struct map_cell *cells;
    size_t count;
    size_t capacity; /* a power of two, or 0 */
};

void map_init(struct map *map, struct mem *mem);
void map_release(struct map *map);
/* The value, or NULL. */
void *map_get(const struct map *map, uint64_t key);
/* Inserts or replaces; `value` is not NULL. */
void map_put(struct map *map, uint64_t key, void *value);
/* Removes and returns the value; NULL if there was none. */
void *map_take(struct map *map, uint64_t key);

#endif
