/* The names of gRPC's status codes; see grpc_code.h. */
#include "front/etcd/grpc_code.h"

const char *grpc_code_name(unsigned code)
{
    static const char *const names[GRPC_CODES] = {
        "OK",
        "Canceled",
        "Unknown",
        "InvalidArgument",
        "DeadlineExceeded",
        "NotFound",
        "AlreadyExists",
        "PermissionDenied",
        "ResourceExhausted",
        "FailedPrecondition",
        "Aborted",
        "OutOfRange",
        "Unimplemented",
        "Internal",
        "Unavailable",
        "DataLoss",
        "Unauthenticated",
    };
    return code < GRPC_CODES ? names[code] : "Unknown";
}
