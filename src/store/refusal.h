/* Refusals: why a request of a client was not carried out. Deterministic results of the state
 * machine, or checks made before a command enters the log; fronts turn them into their protocol's
 * codes and texts. */
#ifndef SYNOD_STORE_REFUSAL_H
#define SYNOD_STORE_REFUSAL_H

enum refusal {
    REFUSAL_NONE,
    REFUSAL_COMPACTED,
    REFUSAL_FUTURE_REVISION,
    REFUSAL_KEY_EMPTY,      /* no key given */
    REFUSAL_KEY_NOT_FOUND,  /* ignore_value or ignore_lease on a missing key, or an empty operation
                             */
    REFUSAL_VALUE_PROVIDED, /* with ignore_value */
    REFUSAL_LEASE_PROVIDED, /* with ignore_lease */
    REFUSAL_LEASE_NOT_FOUND,
    REFUSAL_LEASE_EXISTS,
    REFUSAL_LEASE_TTL_TOO_LARGE,
    REFUSAL_TOO_MANY_OPS,
    REFUSAL_DUPLICATE_KEY,
    REFUSAL_INVALID_SORT,
    REFUSAL_TOO_LARGE,
    REFUSAL_NO_SPACE,
    REFUSAL_CORRUPT,         /* this member's state differs from the others': it does not serve */
    REFUSAL_UNKNOWN_COMMAND, /* written by a newer version */
};

#endif
