/* Heap: an intrusive binary min-heap of deadlines. Elements know their place, so one can be moved
 * or removed in O(log n). Ties are broken by insertion order of the caller's `key2`. */
#ifndef SYNOD_BASE_HEAP_H
#define SYNOD_BASE_HEAP_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

#define HEAP_NOWHERE UINT32_MAX

struct heap_item {
    uint64_t key;  /* the deadline */
    uint64_t key2; /* decides between equal deadlines */
    uint32_t place;
};

struct heap {
    struct mem *mem;
    struct heap_item **items;
    uint32_t count;
    uint32_t capacity;
};

void heap_init(struct heap *heap, struct mem *mem);
void heap_release(struct heap *heap);
/* Marks an item as being in no heap; do this once before its first use. */
void heap_item_init(struct heap_item *item);
bool heap_contains(const struct heap_item *item);
/* Inserts the item, or moves it if it is in already. */
void heap_set(struct heap *heap, struct heap_item *item, uint64_t key, uint64_t key2);
void heap_remove(struct heap *heap, struct heap_item *item);
/* The item with the least key; NULL when empty. */
struct heap_item *heap_top(const struct heap *heap);

#endif
