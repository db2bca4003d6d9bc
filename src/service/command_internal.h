/* What the files of the service room share about commands. */
#ifndef SYNOD_SERVICE_COMMAND_INTERNAL_H
#define SYNOD_SERVICE_COMMAND_INTERNAL_H

#include "service/command.h"

/* No key and no value is larger; far above what any front lets in. */
#define COMMAND_BYTES_MAX ((size_t)128 * 1024 * 1024)

/* command_check without the search for duplicate keys: what applying repeats, because the bytes of
 * an entry may come from a member that did not check. */
enum refusal command_check_fields(const struct command *command, uint32_t txn_ops_max);

#endif
