/* Option values: texts to numbers, durations, booleans and lists, each checked when it is set.
 *
 * The notations are Go's, because the flags of etcd are written in them. Nothing here prints. */
#include "cli/options_internal.h"

#include "base/panic.h"
#include "base/text.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

bool number_parse(const char *text, int64_t *ret_number)
{
    char *end = NULL;
    if (text[0] != '-' && text[0] != '+' && (text[0] < '0' || text[0] > '9'))
        return false;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (end == text || *end != '\0' || errno != 0)
        return false;
    *ret_number = number;
    return true;
}

bool bool_parse(const char *text, bool *ret_bool)
{
    static const char *const yes[] = {"1", "t", "T", "true", "TRUE", "True"};
    static const char *const no[] = {"0", "f", "F", "false", "FALSE", "False"};
    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *ret_bool = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

struct duration_unit {
    const char *name;
    double ns;
};

/* Longer names first, so that "ms" is not read as "m". */
static const struct duration_unit units[] = {
    {"ns", 1},   {"us", 1e3}, {"\xc2\xb5s", 1e3}, {"\xce\xbcs", 1e3},
    {"ms", 1e6}, {"s", 1e9},  {"m", 60e9},        {"h", 3600e9},
};

static const struct duration_unit *unit_at(const char *text)
{
    for (size_t i = 0; i < sizeof units / sizeof units[0]; i++)
        if (strncmp(text, units[i].name, strlen(units[i].name)) == 0)
            return &units[i];
    return NULL;
}

bool duration_parse(const char *text, int64_t *ret_ns)
{
    double total = 0;
    const char *at = text + (text[0] == '-' || text[0] == '+' ? 1 : 0);
    if (strcmp(at, "0") == 0) {
        *ret_ns = 0;
        return true;
    }
    if (*at == '\0')
        return false;
    while (*at != '\0') {
        size_t digits = strspn(at, "0123456789.");
        char *end = NULL;
        double number = strtod(at, &end);
        if (digits == 0 || end != at + digits)
            return false;
        const struct duration_unit *unit = unit_at(end);
        if (unit == NULL)
            return false;
        total += number * unit->ns;
        at = end + strlen(unit->name);
    }
    if (total >= 9.2e18)
        return false;
    *ret_ns = text[0] == '-' ? -(int64_t)(total + 0.5) : (int64_t)(total + 0.5);
    return true;
}

static bool check_bounds(const struct option_value *value, int64_t number, char *ret_error,
                         size_t error_capacity)
{
    const struct option *option = value->option;
    if ((option->minimum == 0 && option->maximum == 0) ||
        (number >= option->minimum && number <= option->maximum))
        return true;
    if (option->kind == OPTION_DURATION) {
        snprintf(ret_error, error_capacity, "must be between %gs and %gs",
                 (double)option->minimum / 1e9, (double)option->maximum / 1e9);
    } else {
        snprintf(ret_error, error_capacity, "must be between %" PRId64 " and %" PRId64,
                 option->minimum, option->maximum);
    }
    return false;
}

static void list_add(struct option_value *value, const char *text)
{
    for (const char *at = text; *at != '\0';) {
        size_t length = strcspn(at, ",");
        if (length > 0) {
            char **parts = realloc(value->parts, (value->parts_count + 1) * sizeof *parts);
            if (parts == NULL)
                panic("out of memory");
            value->parts = parts;
            char *part = strndup(at, length);
            if (part == NULL)
                panic("out of memory");
            value->parts[value->parts_count++] = part;
        }
        at += length + (at[length] == ',' ? 1 : 0);
    }
}

void choices_text(const struct option *option, char *ret_text, size_t capacity)
{
    struct text text = text_of(ret_text, capacity);
    const char *name;
    for (size_t i = 0; (name = option->choice(i)) != NULL; i++) {
        if (i > 0)
            text_add(&text, option->choice(i + 1) == NULL ? " or " : ", ");
        text_add(&text, name);
    }
}

static bool check_choice(const struct option *option, const char *text, char *ret_error,
                         size_t error_capacity)
{
    const char *name;
    for (size_t i = 0; (name = option->choice(i)) != NULL; i++)
        if (strcmp(name, text) == 0)
            return true;
    char choices[128];
    choices_text(option, choices, sizeof choices);
    snprintf(ret_error, error_capacity, "must be %s", choices);
    return false;
}

bool value_set(struct option_value *value, const char *text, enum option_source source,
               char *ret_error, size_t error_capacity)
{
    int64_t number = 0;
    bool boolean = false;
    switch (value->option->kind) {
    case OPTION_STRING:
        if (value->option->choice != NULL &&
            !check_choice(value->option, text, ret_error, error_capacity))
            return false;
        break;
    case OPTION_LIST:
        if (value->source != source || source == OPTION_FROM_DEFAULT)
            value_clear(value);
        list_add(value, text);
        break;
    case OPTION_BOOL:
        if (!bool_parse(text, &boolean)) {
            snprintf(ret_error, error_capacity, "must be true or false");
            return false;
        }
        number = boolean ? 1 : 0;
        break;
    case OPTION_NUMBER:
        if (!number_parse(text, &number)) {
            snprintf(ret_error, error_capacity, "must be a whole number");
            return false;
        }
        break;
    case OPTION_DURATION:
        if (!duration_parse(text, &number)) {
            snprintf(ret_error, error_capacity, "must be a duration with units, as 100ms or 1m30s");
            return false;
        }
        break;
    }
    if ((value->option->kind == OPTION_NUMBER || value->option->kind == OPTION_DURATION) &&
        !check_bounds(value, number, ret_error, error_capacity))
        return false;
    value->text = text;
    value->number = number;
    value->source = source;
    return true;
}

void value_clear(struct option_value *value)
{
    for (size_t i = 0; i < value->parts_count; i++)
        free(value->parts[i]);
    free(value->parts);
    const struct option *option = value->option;
    memset(value, 0, sizeof *value);
    value->option = option;
}
