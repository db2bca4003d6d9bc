/* History file: a history as lines of JSON (doc/formats/history.md), to keep one and to check what
 * programs in other languages recorded.
 *
 * The one invariant: what was written is read back as the same history; and what is read is exactly
 * the format: a field too many, too few or twice is an error, not a guess. */
#ifndef SYNOD_CHECK_HISTORY_FILE_H
#define SYNOD_CHECK_HISTORY_FILE_H

#include "base/buffer.h"
#include "base/status.h"
#include "base/text.h"
#include "check/history.h"

/* Appends the whole file. The buffer's limit is the caller's; ask it whether all fitted. */
void history_write(const struct history *history, struct buffer *buffer);
/* Appends one operation, without the end of the line. */
void history_write_operation(const struct history *history, uint32_t number, struct buffer *buffer);
/* Reads a whole file into an empty history. INVALID: `error` says which line is wrong and why; the
 * history then holds the operations before it. */
enum status history_read(struct history *history, struct bytes input,
                         struct text *error) MUST_CHECK;

#endif
