/* Fuzz target: what arrives on a link. The bytes are decoded twice, in one piece and in pieces that
 * the first byte decides; both must agree on every frame, and on where the stream went bad. */
#include "world/frame.h"

#include "base/hash.h"
#include "base/panic.h"
#include "world/mem_system.h"

#include <stdlib.h>
#include <string.h>

#define LIMIT ((size_t)64 * 1024)

struct outcome {
    uint64_t digest; /* of all frames */
    uint32_t frames;
    enum status status;
};

static void take_frame(struct outcome *outcome, const struct frame *frame)
{
    struct bytes entry = blob_bytes(frame->entry);
    ensure(frame->head.size <= FRAME_HEAD_MAX && frame->head.size + entry.size <= LIMIT);
    outcome->frames++;
    outcome->digest = hash_bytes(hash_bytes(outcome->digest, frame->head), entry);
}

static struct outcome decode(struct bytes stream, size_t piece_max)
{
    struct outcome outcome = {0, 0, STATUS_OK};
    struct frame_decoder decoder;
    frame_decoder_init(&decoder, mem_system(), LIMIT);
    while (outcome.status == STATUS_OK && stream.size > 0) {
        size_t piece = piece_max < stream.size ? piece_max : stream.size;
        size_t space_size = 0;
        uint8_t *space = frame_decoder_space(&decoder, &space_size);
        struct bytes input = BYTES_EMPTY;
        uint8_t *copy = NULL;
        if (space != NULL && piece % 2 == 1) {
            piece = piece < space_size ? piece : space_size;
            memcpy(space, stream.data, piece);
            frame_decoder_filled(&decoder, piece);
        } else {
            copy = malloc(piece); /* of its own size: a read past it is seen */
            memcpy(copy, stream.data, piece);
            input = bytes_of(copy, piece);
        }
        stream = bytes_of(stream.data + piece, stream.size - piece);
        for (bool complete = true; complete && outcome.status == STATUS_OK;) {
            struct frame frame;
            outcome.status = frame_decode(&decoder, &input, &frame, &complete);
            if (complete)
                take_frame(&outcome, &frame);
        }
        free(copy);
    }
    frame_decoder_release(&decoder);
    ensure(mem_system()->used == 0);
    return outcome;
}

/* Half of the inputs get their checksums put right, so that the fuzzer comes behind them. */
static void mend(uint8_t *data, size_t size)
{
    while (size >= FRAME_HEADER_SIZE) {
        size_t head = load_u32(data) % (size - FRAME_HEADER_SIZE + 1);
        size_t entry = load_u32(data + 4) % (size - FRAME_HEADER_SIZE - head + 1);
        struct bytes head_bytes = bytes_of(data + FRAME_HEADER_SIZE, head);
        frame_encode_header(head_bytes, bytes_of(data + FRAME_HEADER_SIZE + head, entry), data);
        data += FRAME_HEADER_SIZE + head + entry;
        size -= FRAME_HEADER_SIZE + head + entry;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    size_t piece_max = (size_t)(data[0] >> 1) + 1;
    struct bytes stream = bytes_of(data + 1, size - 1);
    uint8_t *mended = NULL;
    if (data[0] & 1 && stream.size > 0) {
        mended = malloc(stream.size);
        memcpy(mended, stream.data, stream.size);
        mend(mended, stream.size);
        stream.data = mended;
    }
    struct outcome whole = decode(stream, SIZE_MAX - 1);
    struct outcome pieces = decode(stream, piece_max);
    ensure(whole.frames == pieces.frames && whole.digest == pieces.digest);
    ensure(whole.status == pieces.status);

    uint8_t raw[GREETING_SIZE] = {0};
    memcpy(raw, data, size < sizeof raw ? size : sizeof raw);
    struct greeting greeting;
    if (greeting_decode(raw, &greeting) == STATUS_OK) {
        uint8_t again[GREETING_SIZE];
        greeting_encode(&greeting, again);
        ensure(memcmp(raw, again, sizeof raw) == 0);
    }
    free(mended);
    return 0;
}
