/* The machine: the replicated state machine, one deterministic object. It takes the entries of the
 * log in slot order and carries out their commands over the store; it also keeps what makes that
 * exactly-once and attributable: the sessions of the members that proposed them, the keeper of
 * leases, alarms, members, and everybody's digest.
 *
 * An entry is a batch: a header {origin, incarnation, sequence, wall clock} and commands. The one
 * invariant: of the batches of one (origin, incarnation), exactly those with sequence 1, 2, 3, ...
 * take effect, in that order and once each, wherever and however often they stand in the log. */
#ifndef SYNOD_SERVICE_MACHINE_H
#define SYNOD_SERVICE_MACHINE_H

#include "service/command.h"

struct machine;

struct batch_header {
    uint16_t origin;      /* node number of the member that took the requests */
    uint64_t incarnation; /* grows with each start of that member */
    uint64_t sequence;    /* from 1 in each incarnation */
    uint64_t wall_ms;     /* the proposer's clock, for people */
    uint32_t count;       /* commands */
};

#define BATCH_HEADER_SIZE 34

/* Writes the header; the encoded commands (command_encode) follow it. */
void batch_header_store(uint8_t at[BATCH_HEADER_SIZE], const struct batch_header *header);
enum status batch_header_load(struct bytes entry, struct batch_header *ret_header) MUST_CHECK;

/* The result of one command. Pointers live in the machine's scratch arena or borrow from the store:
 * valid only during the call that hands the result over. */
struct result {
    enum command_kind kind; /* of the command that it answers */
    enum refusal refusal;
    int64_t revision; /* for the header; of an operation in a transaction: what it saw */
    union {
        struct {
            bool has_previous;
            struct kv previous;
        } put;
        struct {
            int64_t deleted;
            struct kv *previous; /* NULL unless asked for */
            uint32_t previous_count;
        } delete;
        struct range_result range;
        struct {
            bool succeeded;
            const struct result *operations;
            uint32_t count;
        } txn;
        struct {
            int64_t id;
            int64_t ttl;
        } lease;
    };
};

enum batch_outcome {
    BATCH_APPLIED,
    BATCH_DUPLICATE, /* its effects are already there, from another slot */
    BATCH_GAP,       /* an earlier one of its session is missing: the origin must send both again */
    BATCH_INVALID,   /* bytes that no member writes: skipped by every member alike, and counted */
};

/* What the host wants to know of applying. */
struct machine_events {
    void *owner;
    /* Results are only made for batches of this origin and incarnation. */
    uint16_t node;
    uint64_t incarnation;
    void (*on_result)(void *owner, uint64_t sequence, uint32_t index, const struct result *result);
    /* After the results of an own batch, or instead of them. */
    void (*on_batch)(void *owner, uint64_t sequence, enum batch_outcome outcome);
    /* This member's digest at a slot differs from what a majority has: stop serving. */
    void (*on_divergence)(void *owner, uint64_t slot, uint64_t own, uint64_t others);
    void (*on_keeper)(void *owner, uint16_t node, uint64_t round);
};

struct machine_config {
    struct mem *mem;
    uint32_t members; /* how many vote: a majority of them decides which digest is right */
    uint64_t self;    /* this member's id */
};

struct machine *machine_new(const struct machine_config *config);
void machine_free(struct machine *machine);
/* May be called again, to change incarnation after boot. Until the first call nothing is reported.
 */
void machine_listen(struct machine *machine, const struct machine_events *events);

/* Applies the entry of a slot (slots come without gaps; an empty entry is a no-op). */
void machine_apply(struct machine *machine, uint64_t slot, struct bytes entry);
/* The slot applied last. */
uint64_t machine_slot(const struct machine *machine);
struct store *machine_store(struct machine *machine);
/* The sequence of the last batch applied of that origin and incarnation; 0: none. */
uint64_t machine_session(const struct machine *machine, uint16_t origin, uint64_t incarnation);
/* Runs a read-only transaction on the current state; the result lives in the arena. */
void machine_txn_read(struct machine *machine, const struct txn *txn, struct arena *arena,
                      struct result *ret_result);

/* The running digest: over entries, outcomes and the store's changes. */
uint64_t machine_digest(const struct machine *machine);
/* Every how many slots a digest is remembered for comparison. */
#define MACHINE_DIGEST_INTERVAL 256
/* The newest remembered slot and its digest; slot 0: none yet. The host proposes it
 * (COMMAND_DIGEST). */
void machine_digest_point(const struct machine *machine, uint64_t *ret_slot, uint64_t *ret_digest);

struct alarm {
    uint64_t member;
    enum alarm_kind kind;
};
/* Active alarms, ordered; borrowed until the next apply. */
const struct alarm *machine_alarms(const struct machine *machine, uint32_t *ret_count);
/* Published members, ordered by id; borrowed until the next apply. */
const struct command_member *machine_members(const struct machine *machine, uint32_t *ret_count);
uint64_t machine_invalid_batches(const struct machine *machine);

/* Snapshots: as for the store, which is part of it. The saver is taken at the current slot. */
struct machine_saver;
struct machine_saver *machine_save(struct machine *machine);
bool machine_save_next(struct machine_saver *saver, struct buffer *slice);
void machine_save_end(struct machine_saver *saver);
/* Into a new machine. After the end, machine_slot is that of the snapshot. */
struct machine_loader;
struct machine_loader *machine_load(struct machine *machine);
enum status machine_load_piece(struct machine_loader *loader, struct bytes piece) MUST_CHECK;
enum status machine_load_end(struct machine_loader *loader) MUST_CHECK;

#endif
