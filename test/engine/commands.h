/* The commands of transcripts: doc/transcripts.md lists them. */
#ifndef TEST_ENGINE_COMMANDS_H
#define TEST_ENGINE_COMMANDS_H

#include "host.h"

/* Runs one command line; *host is made by "cluster". What happens is written to `out`. False, and a
 * line in `out`, if the line makes no sense. */
bool command_run(struct host **host, const char *line, FILE *out);

#endif
