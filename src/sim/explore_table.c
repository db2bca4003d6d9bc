/* What the explorer has seen: names for messages, records, ledgers and members' states, the steps
 * that were made, the fingerprints of cluster states, and the states that are still to be looked
 * at.
 *
 * The one invariant: all but the fingerprints is compared byte by byte, so a name never stands for
 * two things. A fingerprint can: with n states the odds that any two of them share one are about
 * n * n / 2^65. */
#include "sim/explore_internal.h"

#include "base/hash.h"
#include "base/panic.h"

#include <stdlib.h>
#include <string.h>

#define NAMES_FIRST 1024
#define VISITED_FIRST ((uint64_t)1 << 16)
#define CHUNK_SIZE ((size_t)1 << 20)

struct explore_chunk {
    struct explore_chunk *next;
    uint32_t size;
    uint32_t taken;
    uint8_t data[];
};

void *explore_memory(void *at, size_t size)
{
    void *result = realloc(at, size);
    if (result == NULL)
        panic("out of memory: fewer states, please");
    return result;
}

void *explore_array_add(struct explore_array *array, uint64_t count)
{
    if (array->count + count > array->capacity || array->items == NULL) {
        array->capacity = (array->count + count) * 3 / 2 + 64;
        array->items = explore_memory(array->items, array->capacity * array->size);
    }
    array->count += count;
    return explore_array_at(array, array->count - count);
}

static void names_grow(struct explore_names *names)
{
    uint64_t capacity = names->capacity == 0 ? NAMES_FIRST : names->capacity * 2;
    free(names->cells);
    names->cells = explore_memory(NULL, capacity * sizeof *names->cells);
    memset(names->cells, 0, capacity * sizeof *names->cells);
    names->capacity = capacity;
    const uint64_t *hashes = names->hashes.items;
    for (uint64_t name = 0; name < names->hashes.count; name++) {
        uint64_t at = hashes[name] & (capacity - 1);
        while (names->cells[at] != 0)
            at = (at + 1) & (capacity - 1);
        names->cells[at] = (uint32_t)name + 1;
    }
}

/* The name of something with this hash for which `same` holds; otherwise a new name, and true. */
static bool names_add(struct explore *x, struct explore_names *names, uint64_t hash,
                      bool (*same)(const struct explore *x, uint32_t name, const void *what),
                      const void *what, uint32_t *ret_name)
{
    if ((names->hashes.count + 1) * 2 > names->capacity)
        names_grow(names);
    const uint64_t *hashes = names->hashes.items;
    uint64_t at = hash & (names->capacity - 1);
    for (; names->cells[at] != 0; at = (at + 1) & (names->capacity - 1)) {
        *ret_name = names->cells[at] - 1;
        if (hashes[*ret_name] == hash && same(x, *ret_name, what))
            return false;
    }
    ensure(names->hashes.count < UINT32_MAX - 1);
    *ret_name = (uint32_t)names->hashes.count;
    names->cells[at] = *ret_name + 1;
    *(uint64_t *)explore_array_add(&names->hashes, 1) = hash;
    return true;
}

static bool same_message(const struct explore *x, uint32_t name, const void *what)
{
    return memcmp(explore_message_at(x, name), what, sizeof(struct explore_message)) == 0;
}

uint32_t explore_name_message(struct explore *x, const struct explore_message *message)
{
    uint32_t name;
    uint64_t hash = hash_bytes(0, bytes_of(message, sizeof *message));
    if (names_add(x, &x->message_names, hash, same_message, message, &name)) {
        ensure(name < 1u << 24);
        *(struct explore_message *)explore_array_add(&x->messages, 1) = *message;
    }
    return name;
}

static bool same_record(const struct explore *x, uint32_t name, const void *what)
{
    return memcmp(explore_array_at(&x->records, name), what, sizeof(struct explore_record)) == 0;
}

uint32_t explore_name_record(struct explore *x, const struct explore_record *record)
{
    uint32_t name;
    uint64_t hash = hash_bytes(0, bytes_of(record, sizeof *record));
    if (names_add(x, &x->record_names, hash, same_record, record, &name))
        *(struct explore_record *)explore_array_add(&x->records, 1) = *record;
    return name;
}

static bool same_ledger(const struct explore *x, uint32_t name, const void *what)
{
    return memcmp(explore_ledger_at(x, name), what, sizeof(struct explore_ledger)) == 0;
}

uint32_t explore_name_ledger(struct explore *x, const struct explore_ledger *ledger)
{
    uint32_t name;
    uint64_t hash = hash_bytes(0, bytes_of(ledger, sizeof *ledger));
    if (names_add(x, &x->ledger_names, hash, same_ledger, ledger, &name))
        *(struct explore_ledger *)explore_array_add(&x->ledgers, 1) = *ledger;
    return name;
}

/* --- Members ---------------------------------------------------------------------------------- */

struct delta {
    uint32_t place;
    uint32_t count;
    uint16_t *places;
    uint64_t *words;
};

static bool same_component(const struct explore *x, uint32_t name, const void *what)
{
    const struct delta *delta = what;
    const struct explore_component *component = explore_component_at(x, name);
    return component->place == delta->place && component->delta_count == delta->count &&
           memcmp(explore_array_at(&x->delta_places, component->delta_first), delta->places,
                  delta->count * sizeof *delta->places) == 0 &&
           memcmp(explore_array_at(&x->delta_words, component->delta_first), delta->words,
                  delta->count * sizeof *delta->words) == 0;
}

/* The words in which the member at work differs from its first state. */
static struct delta component_delta(struct explore *x, uint64_t *ret_hash)
{
    const uint64_t *base = (const uint64_t *)x->bases[x->place];
    const uint64_t *image = (const uint64_t *)x->image;
    struct delta delta = {
        .place = x->place, .places = x->delta_spare_places, .words = x->delta_spare_words};
    uint64_t hash = x->place;
    for (size_t i = 0; i < x->image_size / 8; i++) {
        if (image[i] == base[i])
            continue;
        delta.places[delta.count] = (uint16_t)i;
        delta.words[delta.count++] = image[i];
        hash = hash_fold(hash_fold(hash, i), image[i]);
    }
    *ret_hash = hash;
    return delta;
}

static void component_hold(const struct explore *x, struct explore_component *component)
{
    const struct explore_image *image = x->image;
    for (uint16_t i = 0; i < image->records_count; i++) {
        const struct explore_record *record = explore_array_at(&x->records, image->records[i]);
        bool durable = image->lsn_first + i <= image->durable;
        if (durable && record->type == RECORD_ENTRY && record->slot <= EXPLORE_SLOTS_MAX)
            component->holds[record->slot] = (uint8_t)(record->value + 1);
    }
    for (uint32_t slot = 1; slot <= image->snapshot && slot <= EXPLORE_SLOTS_MAX; slot++)
        component->holds[slot] = HOLDS_SNAPSHOT;
}

uint32_t explore_name_component(struct explore *x, uint64_t fingerprint)
{
    uint32_t name;
    uint64_t hash;
    struct delta delta = component_delta(x, &hash);
    if (!names_add(x, &x->component_names, hash, same_component, &delta, &name))
        return name;
    const struct explore_image *image = x->image;
    struct engine_status status;
    x->options.engine->status(image->engine, &status);
    struct explore_component *component = explore_array_add(&x->components, 1);
    *component = (struct explore_component){
        .fingerprint = fingerprint,
        .delta_first = x->delta_words.count,
        .delta_count = delta.count,
        .place = (uint8_t)x->place,
        .pending = (uint8_t)(image->lsn_first + image->records_count - 1 - image->durable),
        .applied = image->applied,
        .snapshot = image->snapshot,
        .room = x->options.engine->room(image->engine) > 0,
        .leads = status.role == ROLE_LEADER,
    };
    component_hold(x, component);
    memcpy(explore_array_add(&x->delta_places, delta.count), delta.places,
           delta.count * sizeof *delta.places);
    memcpy(explore_array_add(&x->delta_words, delta.count), delta.words,
           delta.count * sizeof *delta.words);
    return name;
}

void explore_load_component(struct explore *x, uint32_t name)
{
    const struct explore_component *component = explore_component_at(x, name);
    x->place = component->place;
    memcpy(x->image, x->bases[x->place], x->image_size);
    const uint16_t *places = explore_array_at(&x->delta_places, component->delta_first);
    const uint64_t *words = explore_array_at(&x->delta_words, component->delta_first);
    uint64_t *image = (uint64_t *)x->image;
    for (uint32_t i = 0; i < component->delta_count; i++)
        image[places[i]] = words[i];
}

/* --- Steps ------------------------------------------------------------------------------------ */

static void steps_grow(struct explore *x)
{
    struct explore_step *old = x->steps.cells;
    uint64_t old_capacity = x->steps.capacity;
    x->steps.capacity = old_capacity == 0 ? NAMES_FIRST : old_capacity * 2;
    x->steps.cells = explore_memory(NULL, x->steps.capacity * sizeof *x->steps.cells);
    memset(x->steps.cells, 0, x->steps.capacity * sizeof *x->steps.cells);
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (old[i].key == 0)
            continue;
        uint64_t at = hash_u64(old[i].key) & (x->steps.capacity - 1);
        while (x->steps.cells[at].key != 0)
            at = (at + 1) & (x->steps.capacity - 1);
        x->steps.cells[at] = old[i];
    }
    free(old);
}

const struct explore_outcome *explore_step_find(const struct explore *x, uint64_t key)
{
    if (x->steps.capacity == 0)
        return NULL;
    uint64_t at = hash_u64(key) & (x->steps.capacity - 1);
    for (; x->steps.cells[at].key != 0; at = (at + 1) & (x->steps.capacity - 1))
        if (x->steps.cells[at].key == key)
            return explore_array_at(&x->outcomes, x->steps.cells[at].outcome);
    return NULL;
}

const struct explore_outcome *explore_step_keep(struct explore *x, uint64_t key, uint32_t component)
{
    uint64_t first = x->outcomes.count;
    struct explore_outcome *outcome = explore_array_add(&x->outcomes, 2 + x->items_count);
    outcome->component = component;
    outcome->count = x->items_count;
    memcpy(outcome->items, x->items, x->items_count * sizeof *x->items);
    if (x->narration != NULL)
        return outcome; /* steps that are told are made every time */
    if ((x->steps.count + 1) * 3 > x->steps.capacity * 2)
        steps_grow(x);
    uint64_t at = hash_u64(key) & (x->steps.capacity - 1);
    while (x->steps.cells[at].key != 0)
        at = (at + 1) & (x->steps.capacity - 1);
    x->steps.cells[at] = (struct explore_step){.key = key, .outcome = first};
    x->steps.count++;
    return outcome;
}

/* --- Cluster states --------------------------------------------------------------------------- */

static void visited_grow(struct explore *x)
{
    uint64_t *old = x->visited.cells;
    uint64_t old_capacity = x->visited.capacity;
    x->visited.capacity = old_capacity == 0 ? VISITED_FIRST : old_capacity * 2;
    x->visited.cells = explore_memory(NULL, x->visited.capacity * sizeof *x->visited.cells);
    memset(x->visited.cells, 0, x->visited.capacity * sizeof *x->visited.cells);
    for (uint64_t i = 0; i < old_capacity; i++) {
        if (old[i] == 0)
            continue;
        uint64_t at = old[i] & (x->visited.capacity - 1);
        while (x->visited.cells[at] != 0)
            at = (at + 1) & (x->visited.capacity - 1);
        x->visited.cells[at] = old[i];
    }
    free(old);
}

void explore_visit_soon(const struct explore *x, uint64_t fingerprint)
{
    if (x->visited.capacity > 0)
        __builtin_prefetch(&x->visited.cells[fingerprint & (x->visited.capacity - 1)]);
}

bool explore_visit(struct explore *x, uint64_t fingerprint)
{
    if (fingerprint == 0)
        fingerprint = 1;
    if ((x->visited.count + 1) * 4 > x->visited.capacity * 3)
        visited_grow(x);
    uint64_t at = fingerprint & (x->visited.capacity - 1);
    for (; x->visited.cells[at] != 0; at = (at + 1) & (x->visited.capacity - 1))
        if (x->visited.cells[at] == fingerprint)
            return false;
    x->visited.cells[at] = fingerprint;
    x->visited.count++;
    return true;
}

uint32_t explore_state_size(const struct explore_state *state)
{
    return (uint32_t)(offsetof(struct explore_state, messages) +
                      state->count * sizeof state->messages[0]);
}

void explore_layer_add(struct explore_layer *layer, const struct explore_state *state)
{
    uint32_t size = explore_state_size(state);
    if (layer->last == NULL || layer->last->size + size > CHUNK_SIZE) {
        struct explore_chunk *chunk = explore_memory(NULL, sizeof *chunk + CHUNK_SIZE);
        chunk->next = NULL;
        chunk->size = chunk->taken = 0;
        if (layer->last == NULL)
            layer->first = chunk;
        else
            layer->last->next = chunk;
        layer->last = chunk;
        layer->bytes += CHUNK_SIZE;
    }
    memcpy(layer->last->data + layer->last->size, state, size);
    layer->last->size += size;
    layer->count++;
}

bool explore_layer_take(struct explore_layer *layer, struct explore_state *ret_state)
{
    struct explore_chunk *chunk = layer->first;
    if (chunk != NULL && chunk->taken == chunk->size) {
        layer->first = chunk->next;
        if (layer->first == NULL)
            layer->last = NULL;
        layer->bytes -= CHUNK_SIZE;
        free(chunk);
        chunk = layer->first;
    }
    if (chunk == NULL)
        return false;
    const uint8_t *at = chunk->data + chunk->taken;
    memcpy(ret_state, at, offsetof(struct explore_state, messages));
    uint32_t size = explore_state_size(ret_state);
    memcpy(ret_state, at, size);
    chunk->taken += size;
    layer->count--;
    return true;
}

void explore_layer_clear(struct explore_layer *layer)
{
    while (layer->first != NULL) {
        struct explore_chunk *chunk = layer->first;
        layer->first = chunk->next;
        free(chunk);
    }
    *layer = (struct explore_layer){0};
}

/* --- All of it -------------------------------------------------------------------------------- */

static void names_init(struct explore_names *names)
{
    names->hashes.size = sizeof(uint64_t);
}

static void names_free(struct explore_names *names)
{
    free(names->cells);
    free(names->hashes.items);
}

void explore_tables_init(struct explore *x)
{
    names_init(&x->message_names);
    names_init(&x->record_names);
    names_init(&x->ledger_names);
    names_init(&x->component_names);
    x->messages.size = sizeof(struct explore_message);
    x->records.size = sizeof(struct explore_record);
    x->ledgers.size = sizeof(struct explore_ledger);
    x->components.size = sizeof(struct explore_component);
    x->delta_places.size = sizeof(uint16_t);
    x->delta_words.size = sizeof(uint64_t);
    x->outcomes.size = sizeof(uint32_t);
    x->parents.size = sizeof(struct explore_parent);
}

void explore_tables_free(struct explore *x)
{
    struct explore_array *arrays[] = {&x->messages,     &x->records,     &x->ledgers,
                                      &x->components,   &x->delta_words, &x->outcomes,
                                      &x->delta_places, &x->parents};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]->items);
    names_free(&x->message_names);
    names_free(&x->record_names);
    names_free(&x->ledger_names);
    names_free(&x->component_names);
    free(x->steps.cells);
    free(x->visited.cells);
    explore_layer_clear(&x->current);
    explore_layer_clear(&x->next);
}

static uint64_t array_bytes(const struct explore_array *array)
{
    return array->capacity * array->size;
}

static uint64_t names_bytes(const struct explore_names *names)
{
    return names->capacity * sizeof *names->cells + array_bytes(&names->hashes);
}

uint64_t explore_bytes(const struct explore *x)
{
    return names_bytes(&x->message_names) + names_bytes(&x->record_names) +
           names_bytes(&x->ledger_names) + names_bytes(&x->component_names) +
           array_bytes(&x->messages) + array_bytes(&x->records) + array_bytes(&x->ledgers) +
           array_bytes(&x->components) + array_bytes(&x->delta_places) +
           array_bytes(&x->delta_words) + array_bytes(&x->outcomes) + array_bytes(&x->parents) +
           x->steps.capacity * sizeof *x->steps.cells +
           x->visited.capacity * sizeof *x->visited.cells + x->current.bytes + x->next.bytes;
}
