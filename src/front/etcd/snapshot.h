/* The end of a snapshot file; its whole layout is in doc/formats/snapshot-file.md. */
#ifndef SYNOD_FRONT_ETCD_SNAPSHOT_H
#define SYNOD_FRONT_ETCD_SNAPSHOT_H

#include "base/buffer.h"

#define SNAPSHOT_BLOCK 512U
#define SNAPSHOT_MAGIC "synodsnp"
#define SNAPSHOT_TRAILER_SIZE 16U

/* Appends what follows `content_size` bytes of state: zeros, the size and the magic, so that the
 * whole is a multiple of SNAPSHOT_BLOCK. */
void snapshot_trailer_make(uint64_t content_size, struct buffer *out);

#endif
