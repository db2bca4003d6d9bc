/* Options: parsing and reading of flags; options_help.c prints them, options_value.c converts them.
 *
 * A value keeps both its text and what it was parsed to. Every text, wherever it came from (flag,
 * variable, default, caller), goes through value_set: there is no second way in. */
#include "cli/options_internal.h"

#include "base/panic.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

extern char **environ;

static size_t tables_count(const struct options_spec *spec)
{
    size_t count = 0;
    for (size_t t = 0; t < OPTIONS_TABLES_MAX && spec->tables[t] != NULL; t++)
        for (const struct option *o = spec->tables[t]; o->name != NULL; o++)
            count++;
    return count;
}

const struct option *spec_option(const struct options_spec *spec, size_t index)
{
    for (size_t t = 0; t < OPTIONS_TABLES_MAX && spec->tables[t] != NULL; t++) {
        for (const struct option *o = spec->tables[t]; o->name != NULL; o++)
            if (index-- == 0)
                return o;
    }
    return NULL;
}

void option_env_name(const struct options_spec *spec, const struct option *option, const char *name,
                     char *ret_name, size_t capacity)
{
    ret_name[0] = '\0';
    if (option->env != NULL) {
        snprintf(ret_name, capacity, "%s", option->env);
    } else if (spec->env_prefix != NULL) {
        snprintf(ret_name, capacity, "%s%s", spec->env_prefix, name);
        for (char *at = ret_name; *at != '\0'; at++)
            *at = *at == '-' ? '_' : (char)toupper((unsigned char)*at);
    }
}

enum options_result options_complain(const struct options_spec *spec, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fprintf(stderr, "synod %s: ", spec->command);
    vfprintf(stderr, format, arguments);
    fprintf(stderr, "\nRun 'synod %s --help' for usage.\n", spec->command);
    va_end(arguments);
    return OPTIONS_BAD;
}

int options_exit_code(enum options_result result)
{
    if (result == OPTIONS_CONFLICT)
        return 1;
    return result == OPTIONS_BAD ? 2 : 0;
}

static struct option_value *value_find(const struct options *options, const char *name,
                                       size_t length)
{
    for (size_t i = 0; i < options->values_count; i++) {
        const struct option *o = options->values[i].option;
        if (strlen(o->name) == length && memcmp(o->name, name, length) == 0)
            return &options->values[i];
        if (o->alias != NULL && strlen(o->alias) == length && memcmp(o->alias, name, length) == 0)
            return &options->values[i];
    }
    return NULL;
}

static enum options_result complain_unknown(const struct options *options, const char *typed)
{
    const char **names = calloc(options->values_count + 1, sizeof *names);
    size_t count = 0;
    for (size_t i = 0; names != NULL && i < options->values_count; i++)
        if (options->values[i].option->help != NULL)
            names[count++] = options->values[i].option->name;
    const char *near = names != NULL ? nearest_name(typed, names, count) : NULL;
    if (near != NULL)
        options_complain(options->spec, "unknown flag --%s (did you mean --%s?)", typed, near);
    else
        options_complain(options->spec, "unknown flag --%s", typed);
    free(names);
    return OPTIONS_BAD;
}

/* One flag at argv[*at], which begins with a dash; advances *at over its value. */
static enum options_result parse_flag(struct options *options, int argc, char **argv, int *at)
{
    const char *typed = argv[*at] + (argv[*at][1] == '-' ? 2 : 1);
    const char *equals = strchr(typed, '=');
    size_t length = equals != NULL ? (size_t)(equals - typed) : strlen(typed);
    char name[128];
    snprintf(name, sizeof name, "%.*s", (int)length, typed);
    if (strcmp(name, "h") == 0 || strcmp(name, "help") == 0) {
        options_print_help(options->spec, stdout);
        return OPTIONS_HELP;
    }
    struct option_value *value = value_find(options, typed, length);
    if (value == NULL)
        return complain_unknown(options, name);
    const char *text = equals != NULL ? equals + 1 : "true";
    if (equals == NULL && value->option->kind != OPTION_BOOL) {
        if (*at + 1 >= argc)
            return options_complain(options->spec, "flag --%s needs a value", name);
        text = argv[++*at];
    }
    char error[256];
    if (!value_set(value, text, OPTION_FROM_FLAG, error, sizeof error)) {
        return options_complain(options->spec, "invalid value \"%s\" for --%s: %s", text, name,
                                error);
    }
    return OPTIONS_RUN;
}

static const char *value_env(const struct options_spec *spec, const struct option *option,
                             char *ret_name, size_t capacity)
{
    option_env_name(spec, option, option->name, ret_name, capacity);
    const char *text = ret_name[0] != '\0' ? getenv(ret_name) : NULL;
    if (text == NULL && option->alias != NULL) {
        option_env_name(spec, option, option->alias, ret_name, capacity);
        text = ret_name[0] != '\0' ? getenv(ret_name) : NULL;
    }
    return text != NULL && text[0] != '\0' ? text : NULL;
}

static enum options_result parse_env(struct options *options)
{
    for (size_t i = 0; i < options->values_count; i++) {
        struct option_value *value = &options->values[i];
        char env[160];
        const char *text = value_env(options->spec, value->option, env, sizeof env);
        if (text == NULL)
            continue;
        if (value->source == OPTION_FROM_FLAG) {
            if (options->spec->env_is_exclusive) {
                (void)options_complain(options->spec,
                                       "conflicting environment variable %s is shadowed by "
                                       "corresponding command-line flag --%s (either unset the "
                                       "variable or drop the flag)",
                                       env, value->option->name);
                return OPTIONS_CONFLICT;
            }
            continue;
        }
        char error[256];
        if (!value_set(value, text, OPTION_FROM_ENV, error, sizeof error)) {
            return options_complain(options->spec, "invalid value \"%s\" in %s: %s", text, env,
                                    error);
        }
    }
    return OPTIONS_RUN;
}

static enum options_result check_arguments(const struct options *options)
{
    const struct options_spec *spec = options->spec;
    if (options->arguments_count < spec->arguments_min)
        return options_complain(spec, "missing argument: %s", spec->arguments);
    if (spec->arguments_max >= 0 && options->arguments_count > spec->arguments_max) {
        return options_complain(spec, "unexpected argument \"%s\"",
                                options->arguments[spec->arguments_max]);
    }
    return OPTIONS_RUN;
}

static enum options_result parse_words(struct options *options, int argc, char **argv)
{
    bool only_arguments = false;
    for (int i = 1; i < argc; i++) {
        if (only_arguments || argv[i][0] != '-' || argv[i][1] == '\0') {
            options->arguments[options->arguments_count++] = argv[i];
        } else if (strcmp(argv[i], "--") == 0) {
            only_arguments = true;
        } else {
            enum options_result result = parse_flag(options, argc, argv, &i);
            if (result != OPTIONS_RUN)
                return result;
        }
    }
    return OPTIONS_RUN;
}

void options_reset(struct options *options)
{
    for (size_t i = 0; i < options->values_count; i++) {
        struct option_value *value = &options->values[i];
        const char *preset = value->option->preset;
        char error[256];
        value_clear(value);
        if (preset != NULL && !value_set(value, preset, OPTION_FROM_DEFAULT, error, sizeof error))
            panic("a flag's default does not suit its kind");
    }
}

enum options_result options_parse(struct options *options, const struct options_spec *spec,
                                  int argc, char **argv)
{
    *options = (struct options){.spec = spec, .values_count = tables_count(spec)};
    options->values = calloc(options->values_count + 1, sizeof *options->values);
    options->arguments = calloc((size_t)(argc > 0 ? argc : 1), sizeof *options->arguments);
    if (options->values == NULL || options->arguments == NULL)
        panic("out of memory");
    for (size_t i = 0; i < options->values_count; i++)
        options->values[i].option = spec_option(spec, i);
    options_reset(options);
    enum options_result result = parse_words(options, argc, argv);
    if (result == OPTIONS_RUN)
        result = parse_env(options);
    if (result == OPTIONS_RUN)
        result = check_arguments(options);
    if (result != OPTIONS_RUN)
        options_release(options);
    return result;
}

void options_release(struct options *options)
{
    for (size_t i = 0; i < options->values_count; i++)
        value_clear(&options->values[i]);
    free(options->values);
    free(options->arguments);
    *options = (struct options){0};
}

static const struct option_value *value_of(const struct options *options, const char *name)
{
    const struct option_value *value = value_find(options, name, strlen(name));
    if (value == NULL)
        panic(name);
    return value;
}

const char *options_string(const struct options *options, const char *name)
{
    const struct option_value *value = value_of(options, name);
    ensure(value->option->kind == OPTION_STRING);
    return value->text != NULL ? value->text : "";
}

bool options_bool(const struct options *options, const char *name)
{
    const struct option_value *value = value_of(options, name);
    ensure(value->option->kind == OPTION_BOOL);
    return value->number != 0;
}

int64_t options_number(const struct options *options, const char *name)
{
    const struct option_value *value = value_of(options, name);
    ensure(value->option->kind == OPTION_NUMBER);
    return value->number;
}

int64_t options_duration_ns(const struct options *options, const char *name)
{
    const struct option_value *value = value_of(options, name);
    ensure(value->option->kind == OPTION_DURATION);
    return value->number;
}

const char *const *options_list(const struct options *options, const char *name, size_t *ret_count)
{
    const struct option_value *value = value_of(options, name);
    ensure(value->option->kind == OPTION_LIST);
    *ret_count = value->parts_count;
    return (const char *const *)value->parts;
}

const char *options_text(const struct options *options, const char *name)
{
    const struct option_value *value = value_of(options, name);
    return value->text != NULL ? value->text : "";
}

enum option_source options_source(const struct options *options, const char *name)
{
    return value_of(options, name)->source;
}

bool options_given(const struct options *options, const char *name)
{
    return options_source(options, name) != OPTION_FROM_DEFAULT;
}

bool options_set(struct options *options, const char *name, const char *text, char *ret_error,
                 size_t error_capacity)
{
    struct option_value *value = value_find(options, name, strlen(name));
    if (value == NULL) {
        snprintf(ret_error, error_capacity, "there is no flag --%s", name);
        return false;
    }
    value_clear(value);
    return value_set(value, text, OPTION_FROM_CALLER, ret_error, error_capacity);
}

/* Whether `name` (of `length`) is the variable of some flag, or of its alias. */
static bool env_is_known(const struct options_spec *spec, const char *name, size_t length)
{
    const struct option *option;
    for (size_t i = 0; (option = spec_option(spec, i)) != NULL; i++) {
        char env[160];
        option_env_name(spec, option, option->name, env, sizeof env);
        if (strlen(env) == length && memcmp(env, name, length) == 0)
            return true;
        if (option->alias != NULL) {
            option_env_name(spec, option, option->alias, env, sizeof env);
            if (strlen(env) == length && memcmp(env, name, length) == 0)
                return true;
        }
    }
    return false;
}

bool options_env_unknown(const struct options_spec *spec, size_t *cursor, char *ret_name,
                         size_t name_capacity)
{
    size_t prefix = spec->env_prefix != NULL ? strlen(spec->env_prefix) : 0;
    if (prefix == 0)
        return false;
    for (; environ[*cursor] != NULL; ++*cursor) {
        const char *variable = environ[*cursor];
        size_t length = strcspn(variable, "=");
        if (strncmp(variable, spec->env_prefix, prefix) == 0 &&
            !env_is_known(spec, variable, length)) {
            snprintf(ret_name, name_capacity, "%.*s", (int)length, variable);
            ++*cursor;
            return true;
        }
    }
    return false;
}
