/* Any bytes as a member's message: no crash, and what is taken encodes to the same bytes again. */
#include "base/panic.h"
#include "wire/message.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static uint8_t raw[1 << 16];
    struct message message;
    if (size > sizeof raw || message_decode(bytes_of(data, size), &message) != STATUS_OK)
        return 0;
    struct writer w = writer_of(raw, sizeof raw);
    message_encode(&w, &message);
    ensure(!w.failed);
    ensure(bytes_equal(writer_bytes(&w), bytes_of(data, size)));
    return 0;
}
