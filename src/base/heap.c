#include "base/heap.h"

#include "base/panic.h"

#include <stddef.h>

void heap_init(struct heap *heap, struct mem *mem)
{
    *heap = (struct heap){.mem = mem};
}

void heap_release(struct heap *heap)
{
    mem_free(heap->mem, heap->items, heap->capacity * sizeof *heap->items);
    heap_init(heap, heap->mem);
}

void heap_item_init(struct heap_item *item)
{
    *item = (struct heap_item){.place = HEAP_NOWHERE};
}

bool heap_contains(const struct heap_item *item)
{
    return item->place != HEAP_NOWHERE;
}

static bool heap_before(const struct heap_item *a, const struct heap_item *b)
{
    return a->key != b->key ? a->key < b->key : a->key2 < b->key2;
}

static void heap_put(struct heap *heap, uint32_t place, struct heap_item *item)
{
    heap->items[place] = item;
    item->place = place;
}

static void heap_up(struct heap *heap, struct heap_item *item)
{
    while (item->place > 0) {
        struct heap_item *parent = heap->items[(item->place - 1) / 2];
        if (!heap_before(item, parent))
            return;
        uint32_t place = parent->place;
        heap_put(heap, item->place, parent);
        heap_put(heap, place, item);
    }
}

static void heap_down(struct heap *heap, struct heap_item *item)
{
    for (;;) {
        uint32_t child = item->place * 2 + 1;
        if (child >= heap->count)
            return;
        if (child + 1 < heap->count && heap_before(heap->items[child + 1], heap->items[child]))
            child++;
        struct heap_item *least = heap->items[child];
        if (!heap_before(least, item))
            return;
        uint32_t place = item->place;
        heap_put(heap, child, item);
        heap_put(heap, place, least);
    }
}

void heap_set(struct heap *heap, struct heap_item *item, uint64_t key, uint64_t key2)
{
    item->key = key;
    item->key2 = key2;
    if (!heap_contains(item)) {
        if (heap->count == heap->capacity) {
            uint32_t capacity = heap->capacity == 0 ? 16 : heap->capacity * 2;
            heap->items = mem_resize(heap->mem, heap->items, heap->capacity * sizeof *heap->items,
                                     capacity * sizeof *heap->items);
            heap->capacity = capacity;
        }
        heap_put(heap, heap->count++, item);
    }
    heap_up(heap, item);
    heap_down(heap, item);
}

void heap_remove(struct heap *heap, struct heap_item *item)
{
    if (!heap_contains(item))
        return;
    ensure(item->place < heap->count && heap->items[item->place] == item);
    struct heap_item *last = heap->items[--heap->count];
    uint32_t place = item->place;
    item->place = HEAP_NOWHERE;
    if (last == item)
        return;
    heap_put(heap, place, last);
    heap_up(heap, last);
    heap_down(heap, last);
}

struct heap_item *heap_top(const struct heap *heap)
{
    return heap->count == 0 ? NULL : heap->items[0];
}
