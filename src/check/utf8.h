/* UTF-8: is a run of bytes text that JSON can hold? Well-formed only: no overlong forms, no
 * surrogates, nothing above U+10FFFF. */
#ifndef SYNOD_CHECK_UTF8_H
#define SYNOD_CHECK_UTF8_H

#include "base/bytes.h"

/* Bytes of the character that the span begins with; 0: it begins with none. */
size_t utf8_length(struct bytes bytes);
bool utf8_is(struct bytes bytes);
/* Writes a character's bytes, 1 to 4; returns how many. */
size_t utf8_encode(uint32_t character, uint8_t ret_bytes[4]);

#endif
