/* Sort: a stable merge sort over items of any size, for rooms that have no qsort. Stable, so that
 * equal items keep their order and a sorted answer is the same on every member. */
#ifndef SYNOD_BASE_SORT_H
#define SYNOD_BASE_SORT_H

#include <stddef.h>

/* Negative, zero or positive, as memcmp. `context` is what was given to sort_stable. */
typedef int (*sort_compare_fn)(const void *a, const void *b, const void *context);

/* Sorts `count` items of `size` bytes. `scratch` has room for as many. */
void sort_stable(void *items, void *scratch, size_t count, size_t size, sort_compare_fn compare,
                 const void *context);

#endif
