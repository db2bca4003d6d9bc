/* Print: escaping, human units, and tables; see print.h.
 *
 * A table is kept as texts until it is printed, because the width of a column is that of its widest
 * cell. */
#include "cli/print.h"

#include "base/panic.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The size of the well-formed UTF-8 character at the start of `bytes`; 0 if there is none. Overlong
 * forms, surrogates and what is beyond U+10FFFF are not well formed. */
static size_t utf8_size(struct bytes bytes)
{
    uint8_t first = bytes.data[0];
    if (first < 0x80)
        return 1;
    size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4 || bytes.size < size)
        return 0;
    for (size_t i = 1; i < size; i++)
        if ((bytes.data[i] & 0xc0) != 0x80)
            return 0;
    uint8_t second = bytes.data[1];
    if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second >= 0xa0) ||
        (first == 0xf0 && second < 0x90) || (first == 0xf4 && second >= 0x90))
        return 0;
    return size;
}

/* C0 and C1 controls and DEL. */
static bool is_control(struct bytes bytes)
{
    return bytes.data[0] < 0x20 || bytes.data[0] == 0x7f ||
           (bytes.data[0] == 0xc2 && bytes.size > 1 && bytes.data[1] < 0xa0);
}

static bool check_text(struct bytes bytes, bool allow_control)
{
    while (bytes.size > 0) {
        size_t size = utf8_size(bytes);
        if (size == 0 || (!allow_control && is_control(bytes)))
            return false;
        bytes = bytes_of(bytes.data + size, bytes.size - size);
    }
    return true;
}

bool bytes_printable(struct bytes bytes)
{
    return check_text(bytes, false);
}

bool bytes_utf8(struct bytes bytes)
{
    return check_text(bytes, true);
}

void print_escaped(FILE *out, struct bytes bytes)
{
    while (bytes.size > 0) {
        size_t size = utf8_size(bytes);
        if (size > 0 && !is_control(bytes) && bytes.data[0] != '\\') {
            fwrite(bytes.data, 1, size, out);
        } else {
            size = 1;
            switch (bytes.data[0]) {
            case '\\':
                fputs("\\\\", out);
                break;
            case '\n':
                fputs("\\n", out);
                break;
            case '\t':
                fputs("\\t", out);
                break;
            case '\r':
                fputs("\\r", out);
                break;
            default:
                fprintf(out, "\\x%02x", bytes.data[0]);
            }
        }
        bytes = bytes_of(bytes.data + size, bytes.size - size);
    }
}

char *escape_bytes(struct bytes bytes)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    if (out == NULL)
        panic("out of memory");
    print_escaped(out, bytes);
    fclose(out);
    return text;
}

void format_size(uint64_t size, char *ret_text, size_t capacity)
{
    static const char *const units[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    double value = (double)size;
    size_t unit = 0;
    while (value >= 1024 && unit + 1 < sizeof units / sizeof units[0]) {
        value /= 1024;
        unit++;
    }
    snprintf(ret_text, capacity, unit == 0 || value >= 100 ? "%.0f %s" : "%.1f %s", value,
             units[unit]);
}

void format_ns(double ns, char *ret_text, size_t capacity)
{
    static const char *const units[] = {"ns", "us", "ms", "s"};
    size_t unit = 0;
    while (ns >= 999.5 && unit + 1 < sizeof units / sizeof units[0]) {
        ns /= 1000;
        unit++;
    }
    snprintf(ret_text, capacity, "%.*f %s",
             ns >= 99.95 || unit == 0 ? 0
             : ns >= 9.995            ? 1
                                      : 2,
             ns, units[unit]);
}

void format_count(uint64_t count, char *ret_text, size_t capacity)
{
    char digits[32];
    size_t size = (size_t)snprintf(digits, sizeof digits, "%llu", (unsigned long long)count);
    size_t out = 0;
    for (size_t i = 0; i < size && out + 2 < capacity; i++) {
        if (i > 0 && (size - i) % 3 == 0)
            ret_text[out++] = ',';
        ret_text[out++] = digits[i];
    }
    ret_text[out] = '\0';
}

bool terminal_stdout(void)
{
    return isatty(STDOUT_FILENO) == 1;
}

bool terminal_unicode(void)
{
    const char *term = getenv("TERM");
    if (!terminal_stdout() || (term != NULL && strcmp(term, "dumb") == 0))
        return false;
    static const char *const variables[] = {"LC_ALL", "LC_CTYPE", "LANG"};
    for (size_t i = 0; i < sizeof variables / sizeof variables[0]; i++) {
        const char *value = getenv(variables[i]);
        if (value != NULL && value[0] != '\0')
            return strcasestr(value, "utf-8") != NULL || strcasestr(value, "utf8") != NULL;
    }
    return false;
}

void table_init(struct table *table, const char *const *titles)
{
    *table = (struct table){0};
    for (; titles[table->columns] != NULL; table->columns++) {
        ensure(table->columns < TABLE_COLUMNS_MAX);
        const char *title = titles[table->columns];
        table->right[table->columns] = title[0] == '>';
        table->titles[table->columns] = title + (title[0] == '>' ? 1 : 0);
    }
}

void table_release(struct table *table)
{
    for (size_t i = 0; i < table->cells_count; i++)
        free(table->cells[i]);
    free(table->cells);
    *table = (struct table){0};
}

static void table_take(struct table *table, char *cell)
{
    if (table->cells_count == table->cells_capacity) {
        table->cells_capacity = table->cells_capacity < 32 ? 64 : table->cells_capacity * 2;
        table->cells = realloc(table->cells, table->cells_capacity * sizeof *table->cells);
    }
    if (table->cells == NULL || cell == NULL)
        panic("out of memory");
    table->cells[table->cells_count++] = cell;
}

void table_cell(struct table *table, const char *format, ...)
{
    char *cell = NULL;
    va_list arguments;
    va_start(arguments, format);
    int size = vasprintf(&cell, format, arguments);
    va_end(arguments);
    table_take(table, size >= 0 ? cell : NULL);
}

void table_bytes(struct table *table, struct bytes bytes)
{
    table_take(table, escape_bytes(bytes));
}

/* Characters, not bytes. */
static size_t text_width(const char *text)
{
    size_t width = 0;
    for (; *text != '\0'; text++)
        width += ((uint8_t)*text & 0xc0) != 0x80 ? 1 : 0;
    return width;
}

static void print_row(const struct table *table, const size_t *widths, const char *const *cells,
                      FILE *out)
{
    for (size_t c = 0; c < table->columns; c++) {
        size_t pad = widths[c] - text_width(cells[c]);
        bool last = c + 1 == table->columns;
        fprintf(out, "%*s%s%*s%s", table->right[c] ? (int)pad : 0, "", cells[c],
                table->right[c] || last ? 0 : (int)pad, "", last ? "\n" : "  ");
    }
}

void table_print(const struct table *table, FILE *out)
{
    size_t widths[TABLE_COLUMNS_MAX];
    ensure(table->columns > 0);
    for (size_t c = 0; c < table->columns; c++)
        widths[c] = text_width(table->titles[c]);
    for (size_t i = 0; i < table->cells_count; i++) {
        size_t width = text_width(table->cells[i]);
        if (width > widths[i % table->columns])
            widths[i % table->columns] = width;
    }
    print_row(table, widths, table->titles, out);
    for (size_t i = 0; i + table->columns <= table->cells_count; i += table->columns)
        print_row(table, widths, (const char *const *)table->cells + i, out);
}

void table_print_tabs(const struct table *table, FILE *out)
{
    for (size_t i = 0; i < table->cells_count; i++)
        fprintf(out, "%s%s", table->cells[i], (i + 1) % table->columns == 0 ? "\n" : "\t");
}
