/* Range: which keys the arguments of a command name: KEY alone, KEY RANGE_END, or KEY with --prefix
 * or
 * --from-key. */
#ifndef SYNOD_CLI_RANGE_H
#define SYNOD_CLI_RANGE_H

#include "cli/session.h"

struct range {
    ProtobufCBinaryData key;
    ProtobufCBinaryData end;
    uint8_t space[4096]; /* where a prefix's end is kept */
};

/* The flags --prefix and --from-key, for the tables of a command. */
extern const struct option range_flags[];
/* Fills the range from the first two arguments. */
enum exit_code range_read(const struct options *options, struct range *ret_range);
/* The end of the range of all keys that begin with `key`, written to ret_end, which has room for
 * the key and at least 1 byte; returns its size. */
size_t prefix_end(const uint8_t *key, size_t size, uint8_t *ret_end);

#endif
