/* Commands: what enters the log. A request of any protocol becomes one of these; its encoded form
 * is what is replicated (doc/formats/command.md). Encoding is canonical; decoding checks every
 * bound, for the bytes may come from a damaged or newer peer. */
#ifndef SYNOD_SERVICE_COMMAND_H
#define SYNOD_SERVICE_COMMAND_H

#include "base/arena.h"
#include "base/buffer.h"
#include "base/status.h"
#include "store/store.h"

enum command_kind {
    /* service 1: kv */
    COMMAND_PUT = 0x0101,
    COMMAND_DELETE = 0x0102,
    COMMAND_TXN = 0x0103,
    COMMAND_COMPACT = 0x0104,
    COMMAND_RANGE = 0x0105, /* only inside a transaction */
    /* service 2: lease */
    COMMAND_LEASE_GRANT = 0x0201,
    COMMAND_LEASE_REVOKE = 0x0202,
    COMMAND_LEASE_EXPIRE = 0x0203, /* by the keeper */
    /* service 3: cluster */
    COMMAND_KEEPER = 0x0301, /* a leader begins to keep the leases */
    COMMAND_MEMBER = 0x0302, /* a member publishes its name and addresses */
    COMMAND_ALARM = 0x0303,
    COMMAND_DIGEST = 0x0304, /* a member states its digest at a slot */
};

enum compare_result {
    COMPARE_EQUAL,
    COMPARE_GREATER,
    COMPARE_LESS,
    COMPARE_NOT_EQUAL,
};

enum compare_target {
    COMPARE_VERSION,
    COMPARE_CREATE,
    COMPARE_MOD,
    COMPARE_VALUE,
    COMPARE_LEASE,
};

struct compare {
    struct key_range range;
    enum compare_result result;
    enum compare_target target;
    int64_t number;     /* VERSION, CREATE, MOD, LEASE */
    struct bytes value; /* VALUE */
};

struct command;

struct txn {
    const struct compare *compares;
    uint32_t compares_count;
    const struct command *success; /* PUT, DELETE, RANGE or TXN */
    uint32_t success_count;
    const struct command *failure;
    uint32_t failure_count;
};

#define ADDRESSES_MAX 8

struct command_member {
    uint64_t id;
    struct bytes name;
    struct bytes peer_urls[ADDRESSES_MAX];
    uint32_t peer_urls_count;
    struct bytes client_urls[ADDRESSES_MAX];
    uint32_t client_urls_count;
};

enum alarm_kind {
    ALARM_NONE, /* all, when deactivating */
    ALARM_NO_SPACE,
    ALARM_CORRUPT,
};

/* An enum command_kind of 0 stands for an operation that was left out (refused with KEY_NOT_FOUND).
 */
struct command {
    enum command_kind kind;
    union {
        struct put put;
        struct {
            struct key_range range;
            bool want_previous;
        } delete;
        struct range_query range;
        struct txn txn;
        struct {
            int64_t revision;
        } compact;
        struct {
            int64_t id;
            int64_t ttl;
        } lease; /* GRANT; REVOKE: id */
        struct {
            const int64_t *ids;
            const uint64_t *generations; /* one for each id: ignored if it was granted anew since */
            uint32_t count;
            uint16_t node;  /* the keeper that says so, */
            uint64_t round; /* and the round of its ballot: ignored if it is the keeper no more */
        } expire;
        struct {
            uint16_t node;
            uint64_t round;
        } keeper;
        struct command_member member;
        struct {
            bool activate;
            uint64_t member;
            enum alarm_kind alarm;
        } alarm;
        struct {
            uint64_t member;
            uint64_t slot;
            uint64_t digest;
        } digest;
    };
};

#define COMMAND_TXN_DEPTH_MAX 8

/* Appends the encoded command, preceded by its length. */
void command_encode(struct buffer *buffer, const struct command *command);
/* Decodes one, without the length before it; what it points to lives in the arena or is borrowed
 * from the input. INVALID for bytes that no encoder made; UNSUPPORTED for a kind that is not known.
 */
enum status command_decode(struct bytes encoded, struct arena *arena,
                           struct command *ret_command) MUST_CHECK;
/* What can be refused before anything is replicated, with etcd's rules and in its order: empty
 * keys, too many operations (nested ones counted as etcd does), duplicate keys, sort options,
 * ignore_*. */
enum refusal command_check(const struct command *command, uint32_t txn_ops_max);
/* Bytes that it would add to the store at most: what the quota is asked about. 0 for reads,
 * deletes, compaction and alarms. */
uint64_t command_cost(const struct command *command);
/* Only ranges (at top level), so it need not be replicated. */
bool command_txn_read_only(const struct txn *txn);
/* Every range of it is serializable. */
bool command_txn_serializable(const struct txn *txn);

#endif
