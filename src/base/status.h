/* Status codes: what the world can do to us. A broken invariant of our own is not a status, it is a
 * panic (panic.h). Every function that can fail returns one of these; STATUS_OK is zero. */
#ifndef SYNOD_BASE_STATUS_H
#define SYNOD_BASE_STATUS_H

/* X(name, text): the one list from which the codes and their texts are made. */
#define STATUS_MAP(X)                                                                              \
    X(OK, "ok")                                                                                    \
    X(INVALID, "malformed data")                                                                   \
    X(TRUNCATED, "data ends too early")                                                            \
    X(CORRUPT, "checksum mismatch: data was damaged")                                              \
    X(TOO_LARGE, "larger than the limit")                                                          \
    X(NOT_FOUND, "not found")                                                                      \
    X(EXISTS, "exists already")                                                                    \
    X(PERMISSION, "permission denied")                                                             \
    X(NO_SPACE, "no space left on the device")                                                     \
    X(NO_MEMORY, "out of memory")                                                                  \
    X(IO, "input/output error")                                                                    \
    X(BUSY, "too many requests in flight")                                                         \
    X(TIMEOUT, "timed out")                                                                        \
    X(NO_LEADER, "no leader")                                                                      \
    X(NOT_LEADER, "not the leader")                                                                \
    X(STOPPED, "stopping")                                                                         \
    X(UNSUPPORTED, "not supported")                                                                \
    X(MISMATCH, "belongs to another cluster or member")                                            \
    X(READ_ONLY, "the file system is read-only")

enum status {
#define STATUS_ENUM(name, text) STATUS_##name,
    STATUS_MAP(STATUS_ENUM)
#undef STATUS_ENUM
};

/* The text of a status, never NULL. Static storage. */
const char *status_text(enum status status);

#define MUST_CHECK __attribute__((warn_unused_result))

#endif
