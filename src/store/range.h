/* What reading a range at once and walking it share. */
#ifndef SYNOD_STORE_RANGE_H
#define SYNOD_STORE_RANGE_H

#include "store/kv.h"

struct store;

/* Whether the query can be answered now: KEY_EMPTY, INVALID_SORT, FUTURE_REVISION, COMPACTED; NONE.
 */
enum refusal range_check(const struct store *store, const struct range_query *query);
/* Whether the pair is within the query's bounds of revisions. */
bool range_passes(const struct range_query *query, const struct kv *kv);

#endif
