#include "base/map.h"

#include "base/hash.h"
#include "base/panic.h"

void map_init(struct map *map, struct mem *mem)
{
    *map = (struct map){.mem = mem};
}

void map_release(struct map *map)
{
    mem_free(map->mem, map->cells, map->capacity * sizeof *map->cells);
    map_init(map, map->mem);
}

/* The cell that holds the key, or the free one where it would go. */
static size_t map_find(const struct map *map, uint64_t key)
{
    size_t mask = map->capacity - 1;
    size_t at = (size_t)hash_u64(key) & mask;
    while (map->cells[at].value != NULL && map->cells[at].key != key)
        at = (at + 1) & mask;
    return at;
}

void *map_get(const struct map *map, uint64_t key)
{
    return map->count == 0 ? NULL : map->cells[map_find(map, key)].value;
}

static void map_grow(struct map *map)
{
    struct map old = *map;
    map->capacity = old.capacity == 0 ? 4 : old.capacity * 2;
    map->cells = mem_zero(map->mem, map->capacity * sizeof *map->cells);
    for (size_t i = 0; i < old.capacity; i++) {
        if (old.cells[i].value != NULL)
            map->cells[map_find(map, old.cells[i].key)] = old.cells[i];
    }
    mem_free(map->mem, old.cells, old.capacity * sizeof *old.cells);
}

void map_put(struct map *map, uint64_t key, void *value)
{
    ensure(value != NULL);
    if ((map->count + 1) * 4 > map->capacity * 3)
        map_grow(map);
    struct map_cell *cell = &map->cells[map_find(map, key)];
    if (cell->value == NULL)
        map->count++;
    *cell = (struct map_cell){key, value};
}

void *map_take(struct map *map, uint64_t key)
{
    if (map->count == 0)
        return NULL;
    size_t mask = map->capacity - 1;
    size_t hole = map_find(map, key);
    void *value = map->cells[hole].value;
    if (value == NULL)
        return NULL;
    /* Backward-shift deletion: close the hole with the next cell that may move into it. */
    for (size_t at = (hole + 1) & mask; map->cells[at].value != NULL; at = (at + 1) & mask) {
        size_t home = (size_t)hash_u64(map->cells[at].key) & mask;
        if (((at - home) & mask) >= ((at - hole) & mask)) {
            map->cells[hole] = map->cells[at];
            hole = at;
        }
    }
    map->cells[hole].value = NULL;
    map->count--;
    return value;
}
