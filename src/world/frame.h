/* Frame: what travels on a link between two members, as bytes. Format: doc/formats/link.md.
 *
 * Pure functions over bytes, no sockets. The one invariant: nothing is allocated or waited for by a
 * size that was not checked against its checksum and its limit first. */
#ifndef SYNOD_WORLD_FRAME_H
#define SYNOD_WORLD_FRAME_H

#include "base/blob.h"
#include "base/buffer.h"
#include "base/status.h"

#define LINK_VERSION 2
#define GREETING_SIZE 32
#define FRAME_HEADER_SIZE 20
#define FRAME_HEAD_MAX (256 * 1024)

/* A HELLO opens a link; one of the others answers it. */
enum greeting_kind {
    GREETING_HELLO,
    GREETING_WELCOME,
    GREETING_WRONG_VERSION,
    GREETING_WRONG_CLUSTER,
    GREETING_WRONG_MEMBER,   /* you reached somebody else than you asked for */
    GREETING_UNKNOWN_MEMBER, /* nobody told me of you */
};

struct greeting {
    uint16_t version;
    uint16_t kind;
    uint16_t from;
    uint16_t to;
    uint64_t cluster;
    uint32_t message_max; /* head and entry together, that its sender accepts */
};

void greeting_encode(const struct greeting *greeting, uint8_t ret_raw[GREETING_SIZE]);
/* INVALID: not a greeting at all. CORRUPT: its checksum differs. The fields are not judged. */
enum status greeting_decode(const uint8_t raw[GREETING_SIZE],
                            struct greeting *ret_greeting) MUST_CHECK;

struct frame {
    struct bytes head;
    struct blob *entry; /* NULL: empty */
};

/* The header that goes in front of head and entry. */
void frame_encode_header(struct bytes head, struct bytes entry, uint8_t ret_raw[FRAME_HEADER_SIZE]);

/* Takes a stream of bytes apart, however it is cut. */
struct frame_decoder {
    struct mem *mem;
    size_t message_max;
    struct buffer kept;  /* header and head, when they did not arrive in one piece */
    struct bytes head;   /* of the frame whose entry is under way */
    struct blob *entry;  /* under way, or handed out */
    uint32_t entry_used; /* bytes of it that have arrived */
    uint32_t entry_size;
    uint32_t entry_crc;
    bool head_done;
    bool given; /* the frame was handed out: the next call forgets it */
};

void frame_decoder_init(struct frame_decoder *decoder, struct mem *mem, size_t message_max);
void frame_decoder_release(struct frame_decoder *decoder);
/* Takes bytes from the front of `input`. With *ret_complete the frame is valid until the next call
 * (and its head not longer than the input); without, all input was taken and more is needed.
 * TOO_LARGE, CORRUPT: the stream is worthless from here on. */
enum status frame_decode(struct frame_decoder *decoder, struct bytes *input,
                         struct frame *ret_frame, bool *ret_complete) MUST_CHECK;
/* Where the next bytes of an entry that is under way may be put without another copy, and how many;
 * NULL when none is. Then frame_decoder_filled says how many were, and frame_decode goes on. */
uint8_t *frame_decoder_space(struct frame_decoder *decoder, size_t *ret_size);
void frame_decoder_filled(struct frame_decoder *decoder, size_t size);

#endif
