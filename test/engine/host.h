/* The host of a transcript: a few engines, the messages between them, and their logs, all of which
 * move only when a command says so.
 *
 * The one invariant: everything an engine does is either in `out`, in words, or it was sent as a
 * message that the transcript hides. What no engine may ever do (two values at one slot, a slot
 * left out, a read of the past) is a violation, whatever the transcript expects. */
#ifndef TEST_ENGINE_HOST_H
#define TEST_ENGINE_HOST_H

#include "consensus/engine.h"

#include <stdio.h>

#define HOST_MEMBERS_MAX 7
#define HOST_SLOTS_MAX 512
#define HOST_READS_MAX 64
#define HOST_HEAD_MAX 128
#define HOST_HIDDEN_MAX 4
#define HOST_SNAPSHOTS_MAX 8
#define HOST_VALUE_MAX 40
#define MS 1000000ull

struct host_record {
    uint8_t type;
    uint64_t lsn;
    uint64_t slot;
    size_t head_size;
    uint8_t head[HOST_HEAD_MAX];
    struct blob *entry;
};

/* Under way, or held back by its sender until a record is durable. */
struct host_message {
    struct host_message *next;
    uint16_t from;
    uint16_t to;
    uint64_t lsn; /* held until this is durable */
    bool delayed; /* arrives when it is named, not before */
    size_t head_size;
    uint8_t head[HOST_HEAD_MAX];
    struct blob *entry;
};

struct host_mark {
    uint64_t slot;
    size_t size;
    uint8_t bytes[MARK_MAX];
};

struct host_member {
    void *engine; /* NULL: down */
    struct effects *fx;
    bool manual; /* records become durable by command only */
    struct host_record *log;
    uint32_t log_count;
    uint64_t written;
    uint64_t durable;
    struct host_message *held;
    uint64_t applied;
    struct host_mark marks[HOST_SLOTS_MAX]; /* by slot */
    struct host_mark snapshots[HOST_SNAPSHOTS_MAX];
    uint32_t snapshots_count;
    uint64_t trim_lsn; /* the first record that must outlive the newest snapshot */
};

struct host {
    struct mem mem;
    const struct engine_ops *ops;
    struct configuration configuration;
    struct engine_config config;
    uint64_t now;
    uint32_t count;
    struct host_member members[HOST_MEMBERS_MAX + 1]; /* by node */
    bool cut[HOST_MEMBERS_MAX + 1][HOST_MEMBERS_MAX + 1];
    struct host_message *network; /* oldest first */
    char hidden[HOST_HIDDEN_MAX][24];
    uint32_t hidden_count;
    FILE *out;
    bool quiet;
    uint64_t shown; /* messages sent that are not hidden */
    uint32_t violations;
    /* What was delivered anywhere, ever. */
    bool chosen[HOST_SLOTS_MAX];
    char values[HOST_SLOTS_MAX][HOST_VALUE_MAX];
    uint64_t chosen_max;
    uint64_t read_floor[HOST_READS_MAX]; /* by token */
};

struct host *host_new(const struct engine_ops *ops, uint32_t count, FILE *out);
void host_free(struct host *h);
bool host_up(const struct host *h, uint16_t node);
/* A line of the transcript, unless it is quiet. */
void host_say(struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
void host_violation(struct host *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hands an input to a member and does what it wants done. */
void host_step(struct host *h, uint16_t node, struct input input);
/* Makes what a member has written durable, up to and including that record. */
void host_sync(struct host *h, uint16_t node, uint64_t lsn);
/* Boots a member from its newest snapshot and its log. */
void host_start(struct host *h, uint16_t node);
/* The process ends; its log ends behind record `keep`. */
void host_crash(struct host *h, uint16_t node, uint64_t keep);

/* network.c */
void host_send(struct host *h, struct host_member *m, uint16_t from, const struct effect *effect);
/* What a member holds back and may say by now. */
void host_release_held(struct host *h, uint16_t node);
/* The first message under way on that link whose words include all of `words`; the link before it
 * in *ret_at. NULL: none. */
struct host_message **host_find(struct host *h, uint16_t from, uint16_t to, char *const *words,
                                uint32_t words_count);
void host_deliver(struct host *h, struct host_message **at, bool keep);
void host_drop(struct host *h, struct host_message **at);
void host_free_messages(struct host_message **first);
bool host_hides(const struct host *h, const char *words);
void host_words(const struct host *h, const struct host_message *message, char *into, size_t size);

/* records.c */
void host_record_words(const struct host *h, const struct host_record *record, char *into,
                       size_t size);
/* 'value', or "no-op". */
const char *host_value(const struct blob *entry, char into[HOST_VALUE_MAX]);

#endif
