/* The watches of one stream, by their ids: a hash table whose chains run through the watches, so
 * that a million of them cost a million pointers and not a million entries. */
#ifndef SYNOD_FRONT_ETCD_WATCH_IDS_H
#define SYNOD_FRONT_ETCD_WATCH_IDS_H

#include "base/mem.h"

#include <stdbool.h>
#include <stdint.h>

struct watch_id {
    struct watch_id *next; /* in its chain */
    int64_t id;
};

struct watch_ids {
    struct mem *mem;
    struct watch_id **chains;
    size_t chains_count; /* a power of two, or 0 */
    size_t count;
};

void watch_ids_init(struct watch_ids *ids, struct mem *mem);
/* When it is empty. */
void watch_ids_release(struct watch_ids *ids);
/* NULL: there is none. */
struct watch_id *watch_ids_find(const struct watch_ids *ids, int64_t id);
/* `watch->id` is not in the table yet. */
void watch_ids_add(struct watch_ids *ids, struct watch_id *watch);
void watch_ids_remove(struct watch_ids *ids, struct watch_id *watch);
/* All of them, in no order: begins with NULL, ends with NULL. None is added meanwhile; one that was
 * passed may be removed. */
struct watch_id *watch_ids_next(const struct watch_ids *ids, const struct watch_id *after);

#endif
