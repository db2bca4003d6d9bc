#include "check/utf8.h"

static bool utf8_continues(uint8_t byte)
{
    return (byte & 0xc0) == 0x80;
}

size_t utf8_length(struct bytes bytes)
{
    if (bytes.size == 0)
        return 0;
    const uint8_t *at = bytes.data;
    if (at[0] < 0x80)
        return 1;
    size_t length = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4 || bytes.size < length)
        return 0;
    for (size_t i = 1; i < length; i++) {
        if (!utf8_continues(at[i]))
            return 0;
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool outside = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || outside ? 0 : length;
}

bool utf8_is(struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t length = utf8_length(bytes);
        if (length == 0)
            return false;
        bytes = bytes_of(bytes.data + length, bytes.size - length);
    }
    return true;
}

size_t utf8_encode(uint32_t character, uint8_t ret_bytes[4])
{
    if (character < 0x80) {
        ret_bytes[0] = (uint8_t)character;
        return 1;
    }
    size_t length = character < 0x800 ? 2 : character < 0x10000 ? 3 : 4;
    for (size_t i = length - 1; i > 0; i--) {
        ret_bytes[i] = (uint8_t)(0x80 | (character & 0x3f));
        character >>= 6;
    }
    static const uint8_t lead[] = {0, 0, 0xc0, 0xe0, 0xf0};
    ret_bytes[0] = (uint8_t)(lead[length] | character);
    return length;
}
