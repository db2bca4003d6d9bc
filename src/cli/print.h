/* Print: bytes, sizes and tables for people.
 *
 * Keys and values are arbitrary bytes: what is not printable UTF-8 is shown escaped (\n, \xff), so
 * that no value can break a line or drive the terminal. */
#ifndef SYNOD_CLI_PRINT_H
#define SYNOD_CLI_PRINT_H

#include "base/bytes.h"

#include <stdio.h>

/* Well-formed UTF-8 without control characters. */
bool bytes_printable(struct bytes bytes);
/* Well-formed UTF-8 (control characters allowed): fits into a JSON string. */
bool bytes_utf8(struct bytes bytes);
void print_escaped(FILE *out, struct bytes bytes);
/* The same into a new string; free it. */
char *escape_bytes(struct bytes bytes);
/* "1.5 MiB" */
void format_size(uint64_t size, char *ret_text, size_t capacity);
/* "850 us", "1.25 ms", "3.4 s": three digits that matter. */
void format_ns(double ns, char *ret_text, size_t capacity);
/* "12,345,678" */
void format_count(uint64_t count, char *ret_text, size_t capacity);
/* Whether the terminal of stdout may be given UTF-8 beyond ASCII. */
bool terminal_unicode(void);
bool terminal_stdout(void);

#define TABLE_COLUMNS_MAX 12

/* A table that is measured before it is printed. */
struct table {
    const char *titles[TABLE_COLUMNS_MAX];
    bool right[TABLE_COLUMNS_MAX]; /* numbers */
    size_t columns;
    char **cells; /* row by row; owned */
    size_t cells_count;
    size_t cells_capacity;
};

/* Titles end at NULL; one that begins with '>' is of a column aligned to the right. */
void table_init(struct table *table, const char *const *titles);
void table_release(struct table *table);
/* Adds the next cell, of the next row when one is full. */
void table_cell(struct table *table, const char *format, ...) __attribute__((format(printf, 2, 3)));
void table_bytes(struct table *table, struct bytes bytes);
/* Aligned, with titles. */
void table_print(const struct table *table, FILE *out);
/* Cells between tabs, no titles: for cut and awk. */
void table_print_tabs(const struct table *table, FILE *out);

#endif
