/* Hash: a fast 64-bit hash for digests of state and for tables. Not for secrets: whoever chooses
 * the input can make it collide. The same on every machine and compiler. */
#ifndef SYNOD_BASE_HASH_H
#define SYNOD_BASE_HASH_H

#include "base/bytes.h"

/* Mixes one number. */
uint64_t hash_u64(uint64_t value);
/* Folds a number into a running hash; order matters. */
uint64_t hash_fold(uint64_t hash, uint64_t value);
/* Folds bytes, and their length, into a running hash. */
uint64_t hash_bytes(uint64_t hash, struct bytes bytes);

#endif
