/* Greetings and frames, to bytes and back.
 *
 * The decoder keeps at most one frame. Its parts are borrowed from the input when they arrived
 * whole, and gathered when they did not; which of the two happened shows in nothing but speed. */
#include "world/frame.h"

#include "base/crc32c.h"
#include "base/panic.h"

#include <string.h>

static const uint8_t greeting_magic[8] = {'S', 'Y', 'N', 'O', 'D', 'L', 'N', 'K'};

void greeting_encode(const struct greeting *greeting, uint8_t ret_raw[GREETING_SIZE])
{
    struct writer w = writer_of(ret_raw, GREETING_SIZE);
    write_bytes(&w, bytes_of(greeting_magic, sizeof greeting_magic));
    write_u16(&w, greeting->version);
    write_u16(&w, greeting->kind);
    write_u16(&w, greeting->from);
    write_u16(&w, greeting->to);
    write_u64(&w, greeting->cluster);
    write_u32(&w, greeting->message_max);
    write_u32(&w, crc32c(0, writer_bytes(&w)));
    ensure(!w.failed && writer_size(&w) == GREETING_SIZE);
}

enum status greeting_decode(const uint8_t raw[GREETING_SIZE], struct greeting *ret_greeting)
{
    struct reader r = reader_of(bytes_of(raw, GREETING_SIZE));
    struct bytes magic = read_bytes(&r, sizeof greeting_magic);
    if (!bytes_equal(magic, bytes_of(greeting_magic, sizeof greeting_magic)))
        return STATUS_INVALID;
    ret_greeting->version = read_u16(&r);
    ret_greeting->kind = read_u16(&r);
    ret_greeting->from = read_u16(&r);
    ret_greeting->to = read_u16(&r);
    ret_greeting->cluster = read_u64(&r);
    ret_greeting->message_max = read_u32(&r);
    uint32_t crc = crc32c(0, bytes_of(raw, GREETING_SIZE - 4));
    return read_u32(&r) == crc ? STATUS_OK : STATUS_CORRUPT;
}

/* The sizes have a checksum of their own: believed before it is checked, a damaged one would have
 * the receiver wait for bytes that nobody sends, on a connection that looks well. */
static uint32_t frame_sizes_crc(const uint8_t *raw)
{
    return crc32c(0, bytes_of(raw, 8));
}

void frame_encode_header(struct bytes head, struct bytes entry, uint8_t ret_raw[FRAME_HEADER_SIZE])
{
    store_u32(ret_raw, (uint32_t)head.size);
    store_u32(ret_raw + 4, (uint32_t)entry.size);
    store_u32(ret_raw + 8, frame_sizes_crc(ret_raw));
    store_u32(ret_raw + 12, crc32c(0, head));
    store_u32(ret_raw + 16, crc32c(0, entry));
}

void frame_decoder_init(struct frame_decoder *decoder, struct mem *mem, size_t message_max)
{
    *decoder = (struct frame_decoder){.mem = mem, .message_max = message_max};
    buffer_init(&decoder->kept, mem, FRAME_HEADER_SIZE + FRAME_HEAD_MAX);
}

void frame_decoder_release(struct frame_decoder *decoder)
{
    blob_drop(decoder->entry);
    decoder->entry = NULL;
    buffer_release(&decoder->kept);
}

static void frame_forget(struct frame_decoder *decoder)
{
    blob_drop(decoder->entry);
    decoder->entry = NULL;
    decoder->entry_used = 0;
    decoder->head_done = false;
    decoder->given = false;
    buffer_clear(&decoder->kept);
}

static struct bytes frame_take(struct bytes *input, size_t size)
{
    struct bytes taken = bytes_of(input->data, size);
    if (size > 0)
        *input = bytes_of(input->data + size, input->size - size);
    return taken;
}

/* The first `size` bytes of the frame in one piece: borrowed from the input when they all are
 * there, gathered otherwise; NULL while some are missing. Borrowed bytes stay in the input. */
static const uint8_t *frame_gather(struct frame_decoder *decoder, struct bytes *input, size_t size)
{
    struct buffer *kept = &decoder->kept;
    if (kept->size == 0 && input->size >= size)
        return input->data;
    size_t missing = size > kept->size ? size - kept->size : 0;
    buffer_append(kept, frame_take(input, missing < input->size ? missing : input->size));
    ensure(!kept->failed);
    return kept->size >= size ? kept->data : NULL;
}

static enum status frame_decode_head(struct frame_decoder *decoder, struct bytes *input)
{
    const uint8_t *raw = frame_gather(decoder, input, FRAME_HEADER_SIZE);
    if (raw == NULL)
        return STATUS_OK;
    uint32_t head_size = load_u32(raw);
    uint32_t entry_size = load_u32(raw + 4);
    if (load_u32(raw + 8) != frame_sizes_crc(raw))
        return STATUS_CORRUPT;
    if (head_size > FRAME_HEAD_MAX || (uint64_t)head_size + entry_size > decoder->message_max)
        return STATUS_TOO_LARGE;
    size_t size = FRAME_HEADER_SIZE + head_size;
    raw = frame_gather(decoder, input, size);
    if (raw == NULL)
        return STATUS_OK;
    struct bytes head = bytes_of(raw + FRAME_HEADER_SIZE, head_size);
    if (load_u32(raw + 12) != crc32c(0, head))
        return STATUS_CORRUPT;
    decoder->entry_size = entry_size;
    decoder->entry_crc = load_u32(raw + 16);
    if (decoder->kept.size == 0) {
        frame_take(input, size);
        if (entry_size > input->size) {
            /* The rest comes with a later input, and this one will be gone by then. */
            buffer_append(&decoder->kept, bytes_of(raw, size));
            head.data = decoder->kept.data + FRAME_HEADER_SIZE;
        }
    }
    decoder->head = head;
    decoder->head_done = true;
    if (entry_size > 0)
        decoder->entry = blob_new(decoder->mem, entry_size);
    return STATUS_OK;
}

enum status frame_decode(struct frame_decoder *decoder, struct bytes *input,
                         struct frame *ret_frame, bool *ret_complete)
{
    *ret_complete = false;
    if (decoder->given)
        frame_forget(decoder);
    if (!decoder->head_done) {
        enum status status = frame_decode_head(decoder, input);
        if (status != STATUS_OK || !decoder->head_done)
            return status;
    }
    size_t left = decoder->entry_size - decoder->entry_used;
    size_t taken = left < input->size ? left : input->size;
    if (taken > 0) {
        memcpy(decoder->entry->data + decoder->entry_used, input->data, taken);
        frame_take(input, taken);
        decoder->entry_used += (uint32_t)taken;
    }
    if (decoder->entry_used < decoder->entry_size)
        return STATUS_OK;
    if (crc32c(0, blob_bytes(decoder->entry)) != decoder->entry_crc)
        return STATUS_CORRUPT;
    decoder->given = true;
    *ret_frame = (struct frame){.head = decoder->head, .entry = decoder->entry};
    *ret_complete = true;
    return STATUS_OK;
}

uint8_t *frame_decoder_space(struct frame_decoder *decoder, size_t *ret_size)
{
    if (decoder->given || !decoder->head_done || decoder->entry == NULL)
        return NULL;
    *ret_size = decoder->entry_size - decoder->entry_used;
    return decoder->entry->data + decoder->entry_used;
}

void frame_decoder_filled(struct frame_decoder *decoder, size_t size)
{
    ensure(size <= decoder->entry_size - decoder->entry_used);
    decoder->entry_used += (uint32_t)size;
}
