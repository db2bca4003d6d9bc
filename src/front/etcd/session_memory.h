/* Session memory: what nghttp2 allocates for a session. It asks for 26 KiB at the beginning, of
 * which an idle connection uses less than five: those, and no more, are to be resident. So the
 * first blocks lie side by side in a few pages of their own, what is used in front, and what is
 * only reserved (the table of streams, the rest of the frame to be) in pages that nobody touches.
 * Later blocks come from the lane's allocator.
 *
 * The one invariant: a block inside the pages is given back with all of them, and not before. */
#ifndef SYNOD_FRONT_ETCD_SESSION_MEMORY_H
#define SYNOD_FRONT_ETCD_SESSION_MEMORY_H

#include "base/mem.h"

#include <nghttp2/nghttp2.h>
#include <stdbool.h>
#include <stdint.h>

struct session_memory {
    struct mem *mem;
    uint8_t *pages; /* NULL: the system gave none, and everything comes from `mem` */
    size_t front;   /* used from their beginning, */
    size_t back;    /* and from here to their end */
    bool opening;   /* new blocks go there */
};

/* Stays where it is as long as the session lives. */
void session_memory_open(struct session_memory *memory, struct mem *mem);
/* The session has what it begins with. */
void session_memory_opened(struct session_memory *memory);
/* After the session is gone. */
void session_memory_close(struct session_memory *memory);
/* For nghttp2_session_server_new3, which copies it. */
nghttp2_mem session_memory_functions(struct session_memory *memory);

#endif
