/* What the files of the options parser share; nobody else includes it.
 *
 * A value's text and its parsed form are set together or not at all. */
#ifndef SYNOD_CLI_OPTIONS_INTERNAL_H
#define SYNOD_CLI_OPTIONS_INTERNAL_H

#include "cli/options.h"

struct option_value {
    const struct option *option;
    const char *text; /* as written; NULL if there is none. Borrowed */
    int64_t number;   /* numbers, durations in ns, booleans as 0 and 1 */
    char **parts;     /* of a list; owned, and each part too */
    size_t parts_count;
    enum option_source source;
};

/* Checks and takes a text; a list that already has parts from the same source grows. */
/* What an option with choices takes: "one, two or three". */
void choices_text(const struct option *option, char *ret_text, size_t capacity);
bool value_set(struct option_value *value, const char *text, enum option_source source,
               char *ret_error, size_t error_capacity);
void value_clear(struct option_value *value);

/* The flag at `index` over all tables; NULL past the end. */
const struct option *spec_option(const struct options_spec *spec, size_t index);
/* The variable that stands for a flag under `name` (its name or alias); "" if there is none. */
void option_env_name(const struct options_spec *spec, const struct option *option, const char *name,
                     char *ret_name, size_t capacity);

#endif
