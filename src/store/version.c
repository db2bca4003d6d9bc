/* Making, reading and freeing versions and keys. The layout is known to this file alone. */
#include "store/version.h"

#include "base/panic.h"

#include <string.h>

static size_t version_words(uint32_t flags)
{
    return (flags & VERSION_TOMBSTONE ? 1u : 0u) + (flags & VERSION_REWRITE ? 2u : 0u) +
           (flags & VERSION_LEASED ? 1u : 0u);
}

static uint32_t version_flags(const struct version_spec *spec)
{
    if (spec->tombstone)
        return VERSION_TOMBSTONE;
    return (spec->create != spec->mod || spec->number != 1 ? VERSION_REWRITE : 0u) |
           (spec->lease != 0 ? VERSION_LEASED : 0u);
}

struct version *version_new(struct mem *mem, struct key *key, const struct version_spec *spec)
{
    ensure(spec->value.size < VERSION_VALUE_MAX);
    uint32_t flags = version_flags(spec);
    size_t words = version_words(flags);
    struct version *v = mem_alloc(mem, sizeof *v + words * sizeof v->words[0] + spec->value.size);
    v->prev = NULL;
    v->key = key;
    v->mod = spec->mod;
    v->sub = spec->sub;
    v->flags = flags & 0xf;
    v->size = (uint32_t)spec->value.size & (VERSION_VALUE_MAX - 1);
    uint64_t *word = v->words;
    if (flags & VERSION_TOMBSTONE)
        *word++ = 0;
    if (flags & VERSION_REWRITE) {
        *word++ = (uint64_t)spec->create;
        *word++ = (uint64_t)spec->number;
    }
    if (flags & VERSION_LEASED)
        *word++ = (uint64_t)spec->lease;
    if (spec->value.size > 0)
        memcpy(word, spec->value.data, spec->value.size);
    return v;
}

size_t version_size(const struct version *version)
{
    return sizeof *version + version_words(version->flags) * sizeof version->words[0] +
           version->size;
}

void version_free(struct mem *mem, struct version *version)
{
    mem_free(mem, version, version_size(version));
}

int64_t version_create(const struct version *version)
{
    return version->flags & VERSION_REWRITE ? (int64_t)version->words[0] : version->mod;
}

int64_t version_number(const struct version *version)
{
    return version->flags & VERSION_REWRITE ? (int64_t)version->words[1] : 1;
}

int64_t version_lease(const struct version *version)
{
    if ((version->flags & VERSION_LEASED) == 0)
        return 0;
    return (int64_t)version->words[version_words(version->flags) - 1];
}

struct bytes version_value(const struct version *version)
{
    return bytes_of(version->words + version_words(version->flags), version->size);
}

struct kv version_kv(const struct version *version)
{
    struct kv kv = {.key = key_bytes(version->key), .mod_revision = version->mod};
    if (version_tombstone(version))
        return kv;
    kv.value = version_value(version);
    kv.create_revision = version_create(version);
    kv.version = version_number(version);
    kv.lease = version_lease(version);
    return kv;
}

struct version *version_successor(const struct version *tombstone)
{
    ensure(version_tombstone(tombstone));
    return (struct version *)(uintptr_t)tombstone->words[0];
}

void version_set_successor(struct version *tombstone, struct version *successor)
{
    ensure(version_tombstone(tombstone));
    tombstone->words[0] = (uint64_t)(uintptr_t)successor;
}

const struct version *version_at(const struct version *newest, int64_t revision)
{
    while (newest != NULL && newest->mod > revision)
        newest = newest->prev;
    return newest;
}

size_t key_size(const struct key *key)
{
    return offsetof(struct key, bytes) + key->size;
}

struct key *key_new(struct mem *mem, struct bytes bytes)
{
    ensure(bytes.size > 0 && bytes.size < UINT32_MAX);
    struct key *key = mem_alloc(mem, offsetof(struct key, bytes) + bytes.size);
    key->newest = NULL;
    key->size = (uint32_t)bytes.size;
    memcpy(key->bytes, bytes.data, bytes.size);
    return key;
}

void key_free(struct mem *mem, struct key *key)
{
    mem_free(mem, key, key_size(key));
}
