/* What both tiers need besides the history: words, not models. */
#ifndef SYNOD_CHECK_CHECK_INTERNAL_H
#define SYNOD_CHECK_CHECK_INTERNAL_H

#include "check/check.h"

/* A string for people: what is no text is escaped, what is long is cut. */
void check_describe_string(const struct history *history, uint32_t string, struct text *text);
/* No successful read, or no successful write. */
bool check_is_vacuous(const struct history *history);

#endif
