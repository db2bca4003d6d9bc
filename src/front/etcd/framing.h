/* Framing: gRPC's messages inside a stream of bytes. Each is preceded by five bytes: whether it is
 * compressed, and its length, big-endian. Messages arrive cut at any place.
 *
 * The one invariant: what is held is never larger than what has arrived, whatever the length says,
 * and never larger than the limit. */
#ifndef SYNOD_FRONT_ETCD_FRAMING_H
#define SYNOD_FRONT_ETCD_FRAMING_H

#include "base/buffer.h"

#define FRAMING_HEAD_SIZE 5

struct framing {
    uint8_t head[FRAMING_HEAD_SIZE];
    uint8_t head_size;
    bool delivered;        /* the message in the buffer was handed out */
    uint32_t size;         /* of the message, when the head is complete */
    struct buffer message; /* a message of which the first part arrived earlier */
};

enum framing_event {
    FRAMING_MORE,       /* the input is used up */
    FRAMING_MESSAGE,    /* a message, borrowed until the next call */
    FRAMING_COMPRESSED, /* a message that claims to be compressed */
    FRAMING_TOO_LARGE,  /* framing->size says how large it would have been */
};

void framing_init(struct framing *framing, struct mem *mem, size_t size_max);
void framing_release(struct framing *framing);
/* Takes bytes from the front of `input`. After COMPRESSED or TOO_LARGE it is of no use any more. */
enum framing_event framing_next(struct framing *framing, struct bytes *input,
                                struct bytes *ret_message);
/* Is a message only half there? */
bool framing_partial(const struct framing *framing);
/* Writes a head for an uncompressed message. */
void framing_head_store(uint8_t at[FRAMING_HEAD_SIZE], uint32_t size);

/* Writes `text` as grpc-message wants it: bytes outside of printable ASCII, and '%', as %XX.
 * Returns its length; cuts the text where `size` is too small. */
size_t percent_encode(const char *text, char *at, size_t size);
/* The value of a grpc-timeout header in nanoseconds; false if it is not one. */
bool grpc_timeout_parse(struct bytes text, uint64_t *ret_ns);

#endif
