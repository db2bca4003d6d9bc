/* gRPC's framing, its percent-encoding and its way to write a duration: the pure half of the
 * protocol, which knows no connection. See framing.h for the invariant. */
#include "front/etcd/framing.h"

#include <string.h>

void framing_init(struct framing *framing, struct mem *mem, size_t size_max)
{
    *framing = (struct framing){.head_size = 0};
    buffer_init(&framing->message, mem, size_max);
}

void framing_release(struct framing *framing)
{
    buffer_release(&framing->message);
}

bool framing_partial(const struct framing *framing)
{
    return framing->head_size > 0 && !framing->delivered;
}

static struct bytes take(struct bytes *input, size_t size)
{
    struct bytes taken = bytes_of(input->data, size);
    input->data += size;
    input->size -= size;
    return taken;
}

/* Completes the head; false if the input ends before. */
static bool framing_read_head(struct framing *framing, struct bytes *input)
{
    size_t missing = FRAMING_HEAD_SIZE - framing->head_size;
    struct bytes part = take(input, missing < input->size ? missing : input->size);
    if (part.size > 0)
        memcpy(framing->head + framing->head_size, part.data, part.size);
    framing->head_size = (uint8_t)(framing->head_size + part.size);
    const uint8_t *head = framing->head;
    framing->size = (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 |
                    (uint32_t)head[4];
    return framing->head_size == FRAMING_HEAD_SIZE;
}

static void framing_restart(struct framing *framing)
{
    if (framing->message.size > 0)
        buffer_release(&framing->message);
    framing->head_size = 0;
    framing->delivered = false;
}

enum framing_event framing_next(struct framing *framing, struct bytes *input,
                                struct bytes *ret_message)
{
    if (framing->delivered)
        framing_restart(framing);
    if (framing->head_size < FRAMING_HEAD_SIZE && !framing_read_head(framing, input))
        return FRAMING_MORE;
    if (framing->head[0] != 0)
        return FRAMING_COMPRESSED;
    if (framing->size > framing->message.limit)
        return FRAMING_TOO_LARGE;
    size_t missing = framing->size - framing->message.size;
    if (input->size < missing) {
        buffer_append(&framing->message, take(input, input->size));
        return FRAMING_MORE;
    }
    struct bytes rest = take(input, missing);
    framing->delivered = true;
    if (framing->message.size == 0) {
        *ret_message = rest; /* whole, in the input: no copy */
        return FRAMING_MESSAGE;
    }
    buffer_append(&framing->message, rest);
    *ret_message = buffer_bytes(&framing->message);
    return FRAMING_MESSAGE;
}

void framing_head_store(uint8_t at[FRAMING_HEAD_SIZE], uint32_t size)
{
    at[0] = 0;
    at[1] = (uint8_t)(size >> 24);
    at[2] = (uint8_t)(size >> 16);
    at[3] = (uint8_t)(size >> 8);
    at[4] = (uint8_t)size;
}

size_t percent_encode(const char *text, char *at, size_t size)
{
    static const char digits[] = "0123456789ABCDEF";
    size_t used = 0;
    for (; *text != '\0'; text++) {
        uint8_t byte = (uint8_t)*text;
        bool plain = byte >= 0x20 && byte <= 0x7e && byte != '%';
        if (size - used < (plain ? 1U : 3U))
            break;
        if (plain) {
            at[used++] = (char)byte;
            continue;
        }
        at[used++] = '%';
        at[used++] = digits[byte >> 4];
        at[used++] = digits[byte & 15];
    }
    return used;
}

static uint64_t timeout_unit_ns(uint8_t unit)
{
    switch (unit) {
    case 'H':
        return UINT64_C(3600000000000);
    case 'M':
        return UINT64_C(60000000000);
    case 'S':
        return UINT64_C(1000000000);
    case 'm':
        return UINT64_C(1000000);
    case 'u':
        return UINT64_C(1000);
    case 'n':
        return 1;
    default:
        return 0;
    }
}

bool grpc_timeout_parse(struct bytes text, uint64_t *ret_ns)
{
    /* At most eight digits, so nothing overflows before the unit is applied. */
    if (text.size < 2 || text.size > 9)
        return false;
    uint64_t value = 0;
    for (size_t i = 0; i + 1 < text.size; i++) {
        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(text.data[i] - '0');
    }
    uint64_t unit = timeout_unit_ns(text.data[text.size - 1]);
    if (unit == 0)
        return false;
    if (__builtin_mul_overflow(value, unit, ret_ns))
        *ret_ns = UINT64_MAX;
    return true;
}
