#include "check/history.h"

#include "base/hash.h"
#include "base/panic.h"

#include <string.h>

#define HISTORY_SEED 0x68697374

struct history *history_new(struct mem *mem)
{
    struct history *history = mem_zero(mem, sizeof *history);
    history->mem = mem;
    history->strings_count = 1;
    arena_init(&history->arena, mem);
    return history;
}

void history_free(struct history *history)
{
    struct mem *mem = history->mem;
    arena_release(&history->arena);
    mem_free(mem, history->operations, history->capacity * sizeof *history->operations);
    mem_free(mem, history->strings, history->strings_capacity * sizeof *history->strings);
    mem_free(mem, history->hashes, history->strings_capacity * sizeof *history->hashes);
    mem_free(mem, history->table, history->table_capacity * sizeof *history->table);
    mem_free(mem, history, sizeof *history);
}

/* The cell of the table with these bytes, or the free one where they would go. */
static uint32_t *history_cell(const struct history *history, uint64_t hash, struct bytes bytes)
{
    uint32_t mask = history->table_capacity - 1;
    uint32_t at = (uint32_t)hash & mask;
    for (;; at = (at + 1) & mask) {
        uint32_t *cell = &history->table[at];
        if (*cell == 0 ||
            (history->hashes[*cell] == hash && bytes_equal(history->strings[*cell], bytes)))
            return cell;
    }
}

static void history_grow_strings(struct history *history)
{
    uint32_t old = history->strings_capacity;
    uint32_t new = old == 0 ? 64 : old * 2;
    ensure(new > old);
    history->strings = mem_resize(history->mem, history->strings, old * sizeof *history->strings,
                                  new * sizeof *history->strings);
    history->hashes = mem_resize(history->mem, history->hashes, old * sizeof *history->hashes,
                                 new * sizeof *history->hashes);
    history->strings_capacity = new;
    history->strings[0] = BYTES_EMPTY;
    history->hashes[0] = 0;
    mem_free(history->mem, history->table, history->table_capacity * sizeof *history->table);
    history->table_capacity = new * 2;
    history->table = mem_zero(history->mem, history->table_capacity * sizeof *history->table);
    for (uint32_t i = 1; i < history->strings_count; i++)
        *history_cell(history, history->hashes[i], history->strings[i]) = i;
}

uint32_t history_string(struct history *history, struct bytes bytes)
{
    if (history->strings_count >= history->strings_capacity)
        history_grow_strings(history);
    uint64_t hash = hash_bytes(HISTORY_SEED, bytes);
    uint32_t *cell = history_cell(history, hash, bytes);
    if (*cell == 0) {
        *cell = history->strings_count++;
        history->strings[*cell] = arena_copy(&history->arena, bytes);
        history->hashes[*cell] = hash;
    }
    return *cell;
}

static void *history_copy(struct history *history, const void *items, size_t size)
{
    if (size == 0)
        return NULL;
    void *copy = arena_alloc(&history->arena, size);
    memcpy(copy, items, size);
    return copy;
}

uint32_t history_call(struct history *history, uint32_t client, uint64_t now,
                      const struct history_request *request)
{
    if (history->count == history->capacity) {
        uint32_t capacity = history->capacity == 0 ? 64 : history->capacity * 2;
        ensure(capacity > history->capacity);
        history->operations = mem_resize(history->mem, history->operations,
                                         history->capacity * sizeof *history->operations,
                                         capacity * sizeof *history->operations);
        history->capacity = capacity;
    }
    ensure(history->count == 0 || history->operations[history->count - 1].call <= now);
    history->operations[history->count] = (struct history_operation){
        .client = client,
        .outcome = HISTORY_UNKNOWN,
        .serializable = request->serializable,
        .call = now,
        .end = UINT64_MAX,
        .compares_count = request->compares_count,
        .then_count = request->then_count,
        .otherwise_count = request->otherwise_count,
        .compares = history_copy(history, request->compares,
                                 request->compares_count * sizeof *request->compares),
        .then = history_copy(history, request->then, request->then_count * sizeof *request->then),
        .otherwise = history_copy(history, request->otherwise,
                                  request->otherwise_count * sizeof *request->otherwise),
    };
    return history->count++;
}

/* Ends an operation that has not ended yet. */
static struct history_operation *history_end(struct history *history, uint32_t number, uint64_t now,
                                             enum history_outcome outcome)
{
    ensure(number < history->count);
    struct history_operation *operation = &history->operations[number];
    ensure(operation->outcome == HISTORY_UNKNOWN);
    ensure(now >= operation->call);
    operation->outcome = outcome;
    operation->end = now;
    return operation;
}

struct history_op *history_ok(struct history *history, uint32_t number, uint64_t now,
                              int64_t revision, bool succeeded)
{
    struct history_operation *operation = history_end(history, number, now, HISTORY_OK);
    ensure(succeeded || operation->compares_count > 0);
    operation->revision = revision;
    operation->succeeded = succeeded;
    return succeeded ? operation->then : operation->otherwise;
}

void history_found(struct history *history, struct history_op *op, const struct history_pair *pairs,
                   uint32_t pairs_count, int64_t total, bool more)
{
    ensure(op->kind == HISTORY_GET || op->kind == HISTORY_RANGE);
    op->found = history_copy(history, pairs, pairs_count * sizeof *pairs);
    op->found_count = pairs_count;
    op->count = total;
    op->more = more;
}

void history_failed(struct history *history, uint32_t number, uint64_t now)
{
    history_end(history, number, now, HISTORY_FAILED);
}

const struct history_op *history_taken(const struct history_operation *operation,
                                       uint32_t *ret_count)
{
    *ret_count = operation->succeeded ? operation->then_count : operation->otherwise_count;
    return operation->succeeded ? operation->then : operation->otherwise;
}
