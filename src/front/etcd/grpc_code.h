/* gRPC's status codes, and their names as Go prints them and metrics use them. */
#ifndef SYNOD_FRONT_ETCD_GRPC_CODE_H
#define SYNOD_FRONT_ETCD_GRPC_CODE_H

enum grpc_code {
    GRPC_OK = 0,
    GRPC_CANCELED = 1,
    GRPC_UNKNOWN = 2,
    GRPC_INVALID_ARGUMENT = 3,
    GRPC_DEADLINE_EXCEEDED = 4,
    GRPC_NOT_FOUND = 5,
    GRPC_RESOURCE_EXHAUSTED = 8,
    GRPC_FAILED_PRECONDITION = 9,
    GRPC_OUT_OF_RANGE = 11,
    GRPC_UNIMPLEMENTED = 12,
    GRPC_INTERNAL = 13,
    GRPC_UNAVAILABLE = 14,
    GRPC_DATA_LOSS = 15,
};
#define GRPC_CODES 17

/* "DeadlineExceeded" and so on; "Unknown" for what is no code. Static storage. */
const char *grpc_code_name(unsigned code);

#endif
