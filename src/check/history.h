/* History: what concurrent clients asked and what they heard, in memory. Whoever runs clients (the
 * simulator, a program of the tests) records into it; the checkers (check/check.h) read it;
 * check/history_file.h writes it down and reads it back (doc/formats/history.md).
 *
 * Every operation is a transaction: compares, operations if all of them hold, operations if not. A
 * plain put, get, range, delete or revoke is one without compares and with one operation.
 *
 *     uint32_t id = history_call(h, client, now, &(struct history_request){
 *         .then = &(struct history_op){.kind = HISTORY_PUT, .key = k, .value = v},
 *         .then_count = 1});
 *     ...
 *     struct history_op *ops = history_ok(h, id, now, header_revision, true);
 *     ops[0].count = deleted;                                     (of a delete)
 *     history_found(h, &ops[0], pairs, pairs_count, total, more); (of a get or a range)
 *
 * The one invariant: an operation is unknown until its end is told: whoever forgets to tell it, or
 * dies, weakens what the checkers find, but never makes them cry wolf.
 *
 * Strings are interned: equal bytes, equal number, and 0 is no string. Times may be of any clock
 * that all clients share; A is before B if A.end < B.call. Where several things happen at the same
 * instant of a virtual clock, a counter of events tells more. */
#ifndef SYNOD_CHECK_HISTORY_H
#define SYNOD_CHECK_HISTORY_H

#include "base/arena.h"
#include "base/bytes.h"

enum history_outcome {
    HISTORY_UNKNOWN, /* may take effect at any time after the call, or never */
    HISTORY_OK,
    HISTORY_FAILED, /* surely without effect, now and later */
};

enum history_op_kind {
    HISTORY_PUT,
    HISTORY_GET,   /* one key: no range, so there is no count */
    HISTORY_RANGE, /* [key, end), or one key if end is 0; end "\0": every key from key on */
    HISTORY_DELETE,
    HISTORY_REVOKE, /* ends a lease: its keys are deleted. An expiry is one with an unknown outcome
                     * (and the time of the grant as its call, if no better one is known) */
};

/* A key as it was found. Of the revisions of a key, only tier A believes anything. */
struct history_pair {
    uint32_t key;
    uint32_t value;
    int64_t create;
    int64_t mod;
    int64_t version;
};

struct history_op {
    enum history_op_kind kind;
    /* What was asked. */
    uint32_t key;
    uint32_t end;   /* range, delete */
    uint32_t value; /* put */
    int64_t lease;  /* put: hangs on it (0: on none); revoke: which one */
    int64_t limit;  /* range: at most so many pairs; 0: all */
    int64_t at;     /* get, range: in the state of this revision; 0: the current one */
    /* What was answered; only in the branch taken by an operation that is HISTORY_OK. */
    const struct history_pair *found; /* get, range: in order of the keys */
    uint32_t found_count;
    bool more;
    int64_t count; /* range: keys in it, whatever the limit; delete: keys deleted */
};

enum history_compare_kind {
    HISTORY_COMPARE_VALUE,  /* the key exists and has this value */
    HISTORY_COMPARE_EXISTS, /* it exists, or not */
    HISTORY_COMPARE_MOD,    /* its mod_revision is this; 0: it does not exist */
};

struct history_compare {
    enum history_compare_kind kind;
    uint32_t key;
    uint32_t value;
    bool exists;
    int64_t mod;
};

struct history_request {
    bool serializable; /* a read that may be answered with a past state */
    const struct history_compare *compares;
    uint32_t compares_count;
    const struct history_op *then;
    uint32_t then_count;
    const struct history_op *otherwise;
    uint32_t otherwise_count;
};

struct history_operation {
    uint32_t client;
    enum history_outcome outcome;
    bool serializable;
    bool succeeded; /* OK: the compares held, `then` was done; true without compares */
    uint64_t call;
    uint64_t end;     /* UINT64_MAX while it is unknown */
    int64_t revision; /* of the header of the reply; OK only */
    uint32_t compares_count;
    uint32_t then_count;
    uint32_t otherwise_count;
    const struct history_compare *compares;
    struct history_op *then;
    struct history_op *otherwise;
};

/* Open to readers; changed only by the functions below. */
struct history {
    struct mem *mem;
    struct arena arena;
    struct history_operation *operations; /* their place in it is their number */
    uint32_t count;
    uint32_t capacity;
    struct bytes *strings; /* [0] stands for no string */
    uint64_t *hashes;
    uint32_t strings_count;
    uint32_t strings_capacity;
    uint32_t *table; /* of numbers of strings, 0: free */
    uint32_t table_capacity;
};

struct history *history_new(struct mem *mem);
void history_free(struct history *history);
/* The number of these bytes; the same for equal ones, never 0. They are copied. */
uint32_t history_string(struct history *history, struct bytes bytes);
/* A client begins an operation, at or after every call recorded before. The request is copied.
 * Returns the operation's number, 0, 1, 2, ... */
uint32_t history_call(struct history *history, uint32_t client, uint64_t now,
                      const struct history_request *request);
/* It was answered. Returns the operations of the branch taken, for the caller to state what each
 * of them answered. */
struct history_op *history_ok(struct history *history, uint32_t number, uint64_t now,
                              int64_t revision, bool succeeded);
/* What a get or a range found; the pairs are copied. `total` and `more` are of ranges. */
void history_found(struct history *history, struct history_op *op, const struct history_pair *pairs,
                   uint32_t pairs_count, int64_t total, bool more);
/* It was refused, or surely never arrived. */
void history_failed(struct history *history, uint32_t number, uint64_t now);
/* The operations of the branch that an OK operation took. */
const struct history_op *history_taken(const struct history_operation *operation,
                                       uint32_t *ret_count);

#endif
