/* Postboxes: how two threads of the front tell each other things. One thread posts letters, the
 * other empties the box, all at once; what a letter carries is copied into the box, so that neither
 * ever frees what the other allocated.
 *
 * The one invariant: letters come out once each, in the order in which they were posted. */
#ifndef SYNOD_FRONT_ETCD_POSTBOX_H
#define SYNOD_FRONT_ETCD_POSTBOX_H

#include "base/buffer.h"
#include "base/status.h"

#include <uv.h>

struct letter {
    void *about;
    const char *text; /* static, or NULL */
    uint32_t size;    /* of the bytes that follow */
    uint8_t kind;
    uint8_t code;
};

struct postbox {
    uv_mutex_t mutex; /* guards all the rest */
    struct mem mem;
    struct buffer waiting;
    struct buffer opened; /* being read; only its reader looks in without the mutex */
};

/* `mem` is a template: the box works with a copy of its own. Its functions may be called by any
 * thread. */
enum status postbox_init(struct postbox *box, const struct mem *mem) MUST_CHECK;
void postbox_release(struct postbox *box);
/* Returns how many bytes wait, this letter included. */
size_t postbox_post(struct postbox *box, const struct letter *letter, struct bytes bytes);
/* Hands every letter that waits to `read`, whose bytes are borrowed for the call; returns how many
 * bytes there were. Letters that are posted meanwhile are for the next time. */
size_t postbox_empty(struct postbox *box,
                     void (*read)(void *owner, const struct letter *letter, struct bytes bytes),
                     void *owner);

#endif
