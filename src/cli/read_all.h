/* Read all: whole files and standard input into memory, and the small texts that commands share.
 *
 * On failure the message has been printed and nothing is left to free. */
#ifndef SYNOD_CLI_READ_ALL_H
#define SYNOD_CLI_READ_ALL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The contents of a file ("-" is standard input), with a zero byte behind them that ret_size does
 * not count; free *ret_data. False after a message. */
bool read_all(const char *path, const char *command, uint8_t **ret_data, size_t *ret_size);
/* A lease's id: hexadecimal, with or without 0x. */
bool lease_parse(const char *text, int64_t *ret_id);

#endif
