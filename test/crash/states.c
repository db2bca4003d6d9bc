/* Aftermaths of a power cut; see states.h.
 *
 * The one invariant: sizes stand before sectors in the list of cells, for a file that stayed short
 * has no sectors behind its end. */
#include "states.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

struct cell {
    enum pending_kind kind;
    int file;
    int name;
    uint64_t sector;
    uint32_t versions; /* beside the durable one */
    const struct pending *version[VERSIONS_MAX];
    uint64_t hash[VERSIONS_MAX + 1];
};

struct states {
    const struct disk *disk;
    struct cell cells[DISK_PENDING_MAX];
    uint32_t count;
    uint8_t choice[DISK_PENDING_MAX];   /* 0: durable */
    uint64_t file_hash[DISK_FILES_MAX]; /* of what is durable */
    uint64_t chosen_hash[DISK_FILES_MAX];
    uint64_t chosen_size[DISK_FILES_MAX];
    bool bound[DISK_FILES_MAX]; /* some name may lead to it */
    void *owner;
    void (*visit)(void *owner, uint64_t hash);
};

struct states *states_new(void)
{
    return calloc(1, sizeof(struct states));
}

void states_free(struct states *states)
{
    free(states);
}

static uint64_t sector_hash(uint64_t sector, const uint8_t *bytes)
{
    if (bytes[0] == 0 && memcmp(bytes, bytes + 1, SECTOR - 1) == 0)
        return 0;
    return hash_bytes(hash_u64(sector + 1), bytes_of(bytes, SECTOR));
}

static void hash_files(struct states *states)
{
    const struct disk *disk = states->disk;
    memset(states->bound, 0, sizeof states->bound);
    for (int i = 0; i < DISK_NAMES_MAX; i++)
        if (disk->names[i].text[0] != '\0' && disk->names[i].durable != NO_FILE)
            states->bound[disk->names[i].durable] = true;
    for (uint32_t i = 0; i < disk->pending_count; i++)
        if (disk->pending[i]->kind == PENDING_NAME && disk->pending[i]->file != NO_FILE)
            states->bound[disk->pending[i]->file] = true;
    for (int i = 0; i < disk->files_count; i++) {
        if (!states->bound[i])
            continue;
        const struct disk_file *file = &disk->files[i];
        states->file_hash[i] = 0;
        for (uint64_t s = 0; s < file->capacity / SECTOR; s++)
            states->file_hash[i] += sector_hash(s, file->durable + s * SECTOR);
    }
}

static struct cell *cell_of(struct states *states, const struct pending *pending)
{
    for (uint32_t i = 0; i < states->count; i++) {
        struct cell *cell = &states->cells[i];
        if (cell->kind != pending->kind)
            continue;
        if (pending->kind == PENDING_NAME
                ? cell->name == pending->name
                : cell->file == pending->file &&
                      (pending->kind == PENDING_SIZE || cell->sector == pending->sector))
            return cell;
    }
    struct cell *cell = &states->cells[states->count++];
    *cell = (struct cell){.kind = pending->kind,
                          .file = pending->file,
                          .name = pending->name,
                          .sector = pending->sector};
    if (pending->kind == PENDING_SECTOR)
        cell->hash[0] = sector_hash(pending->sector, states->disk->files[pending->file].durable +
                                                         pending->sector * SECTOR);
    return cell;
}

static void collect_kind(struct states *states, enum pending_kind kind)
{
    for (uint32_t i = 0; i < states->disk->pending_count; i++) {
        const struct pending *pending = states->disk->pending[i];
        if (pending->kind != kind || (kind != PENDING_NAME && !states->bound[pending->file]))
            continue;
        struct cell *cell = cell_of(states, pending);
        if (cell->versions == VERSIONS_MAX) /* the last ones count */
            memmove(cell->version, cell->version + 1, --cell->versions * sizeof cell->version[0]);
        cell->version[cell->versions++] = pending;
        if (kind == PENDING_SECTOR)
            cell->hash[cell->versions] = sector_hash(pending->sector, pending->bytes);
    }
}

static void collect(struct states *states, const struct disk *disk)
{
    states->disk = disk;
    states->count = 0;
    hash_files(states);
    collect_kind(states, PENDING_SIZE);
    collect_kind(states, PENDING_SECTOR);
    collect_kind(states, PENDING_NAME);
}

static int chosen_file(const struct states *states, int name)
{
    for (uint32_t i = 0; i < states->count; i++) {
        const struct cell *cell = &states->cells[i];
        if (cell->kind == PENDING_NAME && cell->name == name && states->choice[i] > 0)
            return cell->version[states->choice[i] - 1]->file;
    }
    return states->disk->names[name].durable;
}

/* The hash of the aftermath; also works out sizes. */
static uint64_t choice_hash(struct states *states)
{
    const struct disk *disk = states->disk;
    for (int i = 0; i < disk->files_count; i++) {
        states->chosen_hash[i] = states->file_hash[i];
        states->chosen_size[i] = disk->files[i].size_durable;
    }
    for (uint32_t i = 0; i < states->count; i++) {
        const struct cell *cell = &states->cells[i];
        uint32_t choice = states->choice[i];
        if (choice == 0)
            continue;
        if (cell->kind == PENDING_SIZE)
            states->chosen_size[cell->file] = cell->version[choice - 1]->size;
        else if (cell->kind == PENDING_SECTOR &&
                 cell->sector * SECTOR < states->chosen_size[cell->file])
            states->chosen_hash[cell->file] += cell->hash[choice] - cell->hash[0];
    }
    uint64_t hash = 0;
    for (int i = 0; i < DISK_NAMES_MAX; i++) {
        const struct disk_name *name = &disk->names[i];
        int file = name->text[0] == '\0' ? NO_FILE : chosen_file(states, i);
        if (file != NO_FILE)
            hash += hash_fold(
                hash_fold(hash_bytes(7, bytes_text(name->text)), states->chosen_hash[file]),
                states->chosen_size[file]);
    }
    return hash_u64(hash);
}

static void try(struct states *states)
{
    states->visit(states->owner, choice_hash(states));
}

static void try_all(struct states *states)
{
    memset(states->choice, 0, states->count);
    for (;;) {
        try(states);
        uint32_t i = 0;
        while (i < states->count && states->choice[i] == states->cells[i].versions)
            states->choice[i++] = 0;
        if (i == states->count)
            return;
        states->choice[i]++;
    }
}

static void choose_newest(struct states *states)
{
    for (uint32_t i = 0; i < states->count; i++)
        states->choice[i] = (uint8_t)states->cells[i].versions;
}

/* The first `count` things that were done survive. */
static void choose_prefix(struct states *states, uint32_t count)
{
    memset(states->choice, 0, states->count);
    for (uint32_t i = 0; i < states->count; i++)
        for (uint32_t v = 0; v < states->cells[i].versions; v++)
            for (uint32_t p = 0; p < count; p++)
                if (states->disk->pending[p] == states->cells[i].version[v])
                    states->choice[i] = (uint8_t)(v + 1);
}

static void try_edges(struct states *states)
{
    for (uint32_t count = 0; count <= states->disk->pending_count; count++) {
        choose_prefix(states, count);
        try(states);
    }
    for (uint32_t i = 0; i < states->count; i++) {
        choose_newest(states);
        states->choice[i] = 0;
        try(states);
        memset(states->choice, 0, states->count);
        states->choice[i] = (uint8_t)states->cells[i].versions;
        try(states);
    }
}

/* Most survives, little does, or half. */
static void choose_random(struct states *states, struct prng *prng)
{
    static const uint8_t odds[] = {1, 4, 7};
    uint8_t odd = odds[prng_below(prng, 3)];
    for (uint32_t i = 0; i < states->count; i++) {
        bool old = prng_below(prng, 8) < odd;
        uint32_t versions = states->cells[i].versions;
        states->choice[i] = (uint8_t)(old ? 0 : versions - prng_below(prng, versions));
    }
}

void states_each(struct states *states, const struct disk *disk, uint32_t limit, struct prng *prng,
                 void *owner, void (*visit)(void *owner, uint64_t hash))
{
    states->owner = owner;
    states->visit = visit;
    collect(states, disk);
    uint64_t all = 1;
    for (uint32_t i = 0; i < states->count && all <= limit; i++)
        all *= states->cells[i].versions + 1;
    if (all <= limit) {
        try_all(states);
        return;
    }
    try_edges(states);
    for (uint32_t i = 0; i < limit; i++) {
        choose_random(states, prng);
        try(states);
    }
}

void states_one(struct states *states, const struct disk *disk, struct prng *prng, void *owner,
                void (*visit)(void *owner, uint64_t hash))
{
    states->owner = owner;
    states->visit = visit;
    collect(states, disk);
    choose_random(states, prng);
    try(states);
}

static void make_file(const struct states *states, struct disk *to, const char *name, int file)
{
    const struct disk_file *from = &states->disk->files[file];
    int made = disk_put(to, name, BYTES_EMPTY);
    struct disk_file *copy = &to->files[made];
    uint64_t size = states->chosen_size[file];
    disk_reserve(copy, size);
    uint64_t whole = copy->capacity < from->capacity ? copy->capacity : from->capacity;
    if (whole > 0)
        memcpy(copy->live, from->durable, whole);
    for (uint32_t i = 0; i < states->count; i++) {
        const struct cell *cell = &states->cells[i];
        if (cell->kind == PENDING_SECTOR && cell->file == file && states->choice[i] > 0 &&
            cell->sector * SECTOR < size)
            memcpy(copy->live + cell->sector * SECTOR, cell->version[states->choice[i] - 1]->bytes,
                   SECTOR);
    }
    if (copy->capacity > 0) {
        memset(copy->live + size, 0, copy->capacity - size);
        memcpy(copy->durable, copy->live, copy->capacity);
    }
    copy->size = copy->size_durable = size;
}

void states_make(const struct states *states, struct disk *to, uint64_t seed)
{
    disk_init(to, seed);
    for (int i = 0; i < DISK_NAMES_MAX; i++) {
        if (states->disk->names[i].text[0] == '\0')
            continue;
        int file = chosen_file(states, i);
        if (file != NO_FILE)
            make_file(states, to, states->disk->names[i].text, file);
    }
}

static uint64_t *seen_slot(const struct seen *seen, uint64_t hash)
{
    uint64_t at = hash & (seen->capacity - 1);
    while (seen->slots[2 * at] != 0 && seen->slots[2 * at] != hash)
        at = (at + 1) & (seen->capacity - 1);
    return &seen->slots[2 * at];
}

static void seen_grow(struct seen *seen)
{
    struct seen old = *seen;
    seen->capacity = old.capacity == 0 ? 1 << 16 : old.capacity * 2;
    seen->slots = calloc(seen->capacity, 2 * sizeof(uint64_t));
    for (uint64_t i = 0; i < old.capacity; i++)
        if (old.slots[2 * i] != 0)
            memcpy(seen_slot(seen, old.slots[2 * i]), &old.slots[2 * i], 2 * sizeof(uint64_t));
    free(old.slots);
}

bool seen_add(struct seen *seen, uint64_t hash, uint64_t tag, bool *ret_new)
{
    if (seen->count * 4 >= seen->capacity * 3)
        seen_grow(seen);
    hash = hash == 0 ? 1 : hash;
    uint64_t *slot = seen_slot(seen, hash);
    *ret_new = slot[0] == 0;
    if (!*ret_new && slot[1] == tag)
        return false;
    seen->count += *ret_new ? 1 : 0;
    slot[0] = hash;
    slot[1] = tag;
    return true;
}

void seen_free(struct seen *seen)
{
    free(seen->slots);
    *seen = (struct seen){0};
}
