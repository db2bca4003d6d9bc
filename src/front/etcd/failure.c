/* etcd's error catalogue, as far as this server can fail: one table for refusals of the state
 * machine, one for what becomes of requests. The texts are facts of the wire. */
#include "front/etcd/failure.h"

#include "base/panic.h"

const struct failure failure_no_leader = {GRPC_UNAVAILABLE, "etcdserver: no leader"};
const struct failure failure_not_leader = {GRPC_FAILED_PRECONDITION, "etcdserver: not leader"};
const struct failure failure_bad_transferee = {GRPC_FAILED_PRECONDITION,
                                               "etcdserver: bad leader transferee"};
const struct failure failure_transfer_timeout = {
    GRPC_UNKNOWN, "etcdserver: request timed out, leader transfer took too long"};
const struct failure failure_stopped = {GRPC_UNAVAILABLE, "etcdserver: server stopped"};
const struct failure failure_deadline = {GRPC_DEADLINE_EXCEEDED, "context deadline exceeded"};
const struct failure failure_too_many_requests = {GRPC_RESOURCE_EXHAUSTED,
                                                  "etcdserver: too many requests"};

static const struct failure refusals[] = {
    [REFUSAL_COMPACTED] = {GRPC_OUT_OF_RANGE,
                           "etcdserver: mvcc: required revision has been compacted"},
    [REFUSAL_FUTURE_REVISION] = {GRPC_OUT_OF_RANGE,
                                 "etcdserver: mvcc: required revision is a future revision"},
    [REFUSAL_KEY_EMPTY] = {GRPC_INVALID_ARGUMENT, "etcdserver: key is not provided"},
    [REFUSAL_KEY_NOT_FOUND] = {GRPC_INVALID_ARGUMENT, "etcdserver: key not found"},
    [REFUSAL_VALUE_PROVIDED] = {GRPC_INVALID_ARGUMENT, "etcdserver: value is provided"},
    [REFUSAL_LEASE_PROVIDED] = {GRPC_INVALID_ARGUMENT, "etcdserver: lease is provided"},
    [REFUSAL_LEASE_NOT_FOUND] = {GRPC_NOT_FOUND, "etcdserver: requested lease not found"},
    [REFUSAL_LEASE_EXISTS] = {GRPC_FAILED_PRECONDITION, "etcdserver: lease already exists"},
    [REFUSAL_LEASE_TTL_TOO_LARGE] = {GRPC_OUT_OF_RANGE, "etcdserver: too large lease TTL"},
    [REFUSAL_TOO_MANY_OPS] = {GRPC_INVALID_ARGUMENT,
                              "etcdserver: too many operations in txn request"},
    [REFUSAL_DUPLICATE_KEY] = {GRPC_INVALID_ARGUMENT,
                               "etcdserver: duplicate key given in txn request"},
    [REFUSAL_INVALID_SORT] = {GRPC_INVALID_ARGUMENT, "etcdserver: invalid sort option"},
    [REFUSAL_TOO_LARGE] = {GRPC_INVALID_ARGUMENT, "etcdserver: request is too large"},
    [REFUSAL_NO_SPACE] = {GRPC_RESOURCE_EXHAUSTED, "etcdserver: mvcc: database space exceeded"},
    [REFUSAL_CORRUPT] = {GRPC_DATA_LOSS, "etcdserver: corrupt cluster"},
    [REFUSAL_UNKNOWN_COMMAND] = {GRPC_FAILED_PRECONDITION, "etcdserver: not capable"},
};

struct failure failure_of_refusal(enum refusal refusal)
{
    ensure(refusal != REFUSAL_NONE && refusal < sizeof refusals / sizeof refusals[0]);
    return refusals[refusal];
}

struct failure failure_of_status(enum status status)
{
    switch (status) {
    case STATUS_BUSY:
        return failure_too_many_requests;
    case STATUS_STOPPED:
        return failure_stopped;
    case STATUS_NO_SPACE:
        return failure_of_refusal(REFUSAL_NO_SPACE);
    case STATUS_CORRUPT:
        return failure_of_refusal(REFUSAL_CORRUPT);
    case STATUS_TOO_LARGE:
        return failure_of_refusal(REFUSAL_TOO_LARGE);
    case STATUS_NOT_LEADER:
        return failure_not_leader;
    default:
        /* No leader for as long as a request may wait is a timeout to etcd's clients as well. */
        return (struct failure){GRPC_UNAVAILABLE, "etcdserver: request timed out"};
    }
}
