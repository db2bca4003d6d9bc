/* The history's chunks. An empty chunk is harmless: its first_* still bounds its neighbours, so
 * that searches need no special case and tidying can wait for a convenient moment. */
#include "store/history.h"

#include "base/panic.h"

#include <string.h>

void history_init(struct history *history, struct mem *mem)
{
    *history = (struct history){.mem = mem};
}

void history_release(struct history *history)
{
    for (size_t i = 0; i < history->count; i++) {
        struct history_chunk *chunk = history->chunks[i];
        for (uint32_t j = 0; j < chunk->count; j++)
            version_free(history->mem, chunk->versions[j]);
        mem_free(history->mem, chunk, sizeof *chunk);
    }
    mem_free(history->mem, history->chunks, history->capacity * sizeof *history->chunks);
    history_init(history, history->mem);
}

static struct history_chunk *history_add_chunk(struct history *history, const struct version *first)
{
    if (history->count == history->capacity) {
        size_t capacity = history->capacity == 0 ? 16 : history->capacity * 2;
        history->chunks =
            mem_resize(history->mem, history->chunks, history->capacity * sizeof *history->chunks,
                       capacity * sizeof *history->chunks);
        history->capacity = capacity;
    }
    struct history_chunk *chunk = mem_alloc(history->mem, sizeof *chunk);
    chunk->first_mod = first->mod;
    chunk->first_sub = first->sub;
    chunk->count = 0;
    history->chunks[history->count++] = chunk;
    return chunk;
}

void history_append(struct history *history, struct version *version)
{
    struct history_chunk *last = history->count == 0 ? NULL : history->chunks[history->count - 1];
    if (last == NULL || last->count == HISTORY_CHUNK)
        last = history_add_chunk(history, version);
    last->versions[last->count++] = version;
    history->versions++;
}

static bool before(int64_t mod_a, uint32_t sub_a, int64_t mod_b, uint32_t sub_b)
{
    return mod_a != mod_b ? mod_a < mod_b : sub_a < sub_b;
}

/* The last chunk that begins before (mod, sub); 0 if none does. */
static size_t history_seek_chunk(const struct history *history, int64_t mod, uint32_t sub)
{
    size_t low = 0;
    size_t high = history->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct history_chunk *chunk = history->chunks[middle];
        if (before(chunk->first_mod, chunk->first_sub, mod, sub))
            low = middle + 1;
        else
            high = middle;
    }
    return low == 0 ? 0 : low - 1;
}

struct history_place history_seek(const struct history *history, int64_t mod, uint32_t sub)
{
    struct history_place place = {history_seek_chunk(history, mod, sub), 0};
    if (history->count == 0)
        return place;
    const struct history_chunk *chunk = history->chunks[place.chunk];
    uint32_t high = chunk->count;
    while (place.index < high) {
        uint32_t middle = (place.index + high) / 2;
        if (before(chunk->versions[middle]->mod, chunk->versions[middle]->sub, mod, sub))
            place.index = middle + 1;
        else
            high = middle;
    }
    return place;
}

struct version *history_next(const struct history *history, struct history_place *place)
{
    while (place->chunk < history->count) {
        const struct history_chunk *chunk = history->chunks[place->chunk];
        if (place->index < chunk->count)
            return chunk->versions[place->index++];
        *place = (struct history_place){place->chunk + 1, 0};
    }
    return NULL;
}

struct version *history_prev(const struct history *history, struct history_place *place)
{
    while (place->index == 0) {
        if (place->chunk == 0)
            return NULL;
        place->chunk--;
        place->index = history->chunks[place->chunk]->count;
    }
    return history->chunks[place->chunk]->versions[--place->index];
}

void history_remove(struct history *history, const struct history_place *place)
{
    struct history_chunk *chunk = history->chunks[place->chunk];
    ensure(place->index < chunk->count);
    chunk->count--;
    history->versions--;
    memmove(chunk->versions + place->index, chunk->versions + place->index + 1,
            (chunk->count - place->index) * sizeof chunk->versions[0]);
}

bool history_tidy(struct history *history, size_t chunk)
{
    struct history_chunk *at = history->chunks[chunk];
    size_t gone = chunk;
    if (at->count > 0) {
        if (chunk + 1 >= history->count)
            return false;
        struct history_chunk *next = history->chunks[chunk + 1];
        if (at->count + next->count > HISTORY_CHUNK / 2)
            return false;
        memcpy(at->versions + at->count, next->versions, next->count * sizeof at->versions[0]);
        at->count += next->count;
        gone = chunk + 1;
    }
    mem_free(history->mem, history->chunks[gone], sizeof *at);
    history->count--;
    memmove(history->chunks + gone, history->chunks + gone + 1,
            (history->count - gone) * sizeof history->chunks[0]);
    return true;
}
