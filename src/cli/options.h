/* Options: the one parser of command lines, driven by tables.
 *
 * A command describes itself by a struct options_spec: its arguments, its summary and examples, and
 * tables of flags. Flags are written --flag value or --flag=value, with one dash or two, before,
 * between or after arguments; "--" ends them. A boolean takes its value only after "=" (--json,
 * --json=false). Where a flag was not given its environment variable counts, then its default.
 * The one invariant: after OPTIONS_RUN every value has been checked against its kind and bounds, so
 * that reading one cannot fail.
 *
 *     static const struct option flags[] = {
 *         {.group = "Storage", .name = "data-dir", .kind = OPTION_STRING, .hint = "DIR",
 *          .help = "where the member keeps its log and snapshots"},
 *         {.name = "heartbeat-interval", .kind = OPTION_NUMBER, .preset = "100", .minimum = 1,
 *          .maximum = 50000, .help = "milliseconds between heartbeats"},
 *         {.name = NULL},
 *     };
 *     static const struct options_spec spec = {.command = "serve", .summary = "run one member",
 *         .env_prefix = "ETCD_", .env_is_exclusive = true, .tables = {flags}};
 *     ...
 *     struct options o;
 *     enum options_result result = options_parse(&o, &spec, argc, argv);
 *     if (result != OPTIONS_RUN)
 *         return options_exit_code(result);
 *     const char *dir = options_string(&o, "data-dir");
 *     ...
 *     options_release(&o); */
#ifndef SYNOD_CLI_OPTIONS_H
#define SYNOD_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

enum option_kind {
    OPTION_STRING,
    OPTION_BOOL,     /* true, false, 1, 0, t, f as Go's strconv.ParseBool takes them */
    OPTION_NUMBER,   /* a decimal integer of 64 bits, sign allowed */
    OPTION_DURATION, /* Go's notation: 100ms, 1m0s, 1.5h; nanoseconds inside; 0 needs no unit */
    OPTION_LIST,     /* parts between commas; a flag given again adds to the list */
};

struct option {
    const char *name;   /* without dashes; NULL ends a table */
    const char *alias;  /* an older name that is taken as well, or NULL */
    const char *help;   /* a phrase for --help; NULL hides the flag there */
    const char *hint;   /* the value's name in --help (URL, DIR, ...); NULL: by kind */
    const char *group;  /* a heading for this flag and those after it; NULL goes on */
    const char *preset; /* the default as text; NULL: empty, false, 0 */
    const char *env;    /* its variable; NULL: derived from env_prefix and the name */
    /* Of texts: the i-th value that is allowed, NULL behind the last; NULL: any text. */
    const char *(*choice)(size_t i);
    int64_t minimum; /* of numbers and durations (ns); both 0: any */
    int64_t maximum;
    enum option_kind kind;
};

#define OPTIONS_TABLES_MAX 6

struct options_spec {
    const char *command;     /* what follows the program's name: "put", "lease grant" */
    const char *arguments;   /* for the usage line: "KEY VALUE"; NULL: none */
    const char *summary;     /* one line */
    const char *description; /* further paragraphs, printed as they are; or NULL */
    const char *examples;    /* lines, printed as they are; or NULL */
    int arguments_min;
    int arguments_max;      /* -1: any number */
    const char *env_prefix; /* "ETCD_": every flag is also read from ETCD_<NAME>; NULL: only .env */
    bool env_is_exclusive;  /* a flag given together with its variable is an error, as for etcd */
    const struct option *tables[OPTIONS_TABLES_MAX]; /* in the order of --help; ends at NULL */
};

enum options_result {
    OPTIONS_RUN,      /* parsed: go on */
    OPTIONS_HELP,     /* help was asked for and printed to stdout */
    OPTIONS_BAD,      /* a message was printed to stderr */
    OPTIONS_CONFLICT, /* the same, for a flag given together with its variable */
};

enum option_source {
    OPTION_FROM_DEFAULT,
    OPTION_FROM_ENV,
    OPTION_FROM_FLAG,
    OPTION_FROM_CALLER, /* options_set: a configuration file, say */
};

struct option_value;

struct options {
    const struct options_spec *spec;
    struct option_value *values; /* one for each flag of the tables, in order */
    size_t values_count;
    char **arguments; /* those that are not flags; borrowed strings of argv */
    int arguments_count;
};

/* Parses argv[1..argc) (argv[0] is the command's own name). On anything but OPTIONS_RUN there is
 * nothing to release. The strings of argv and of the environment are borrowed. */
enum options_result options_parse(struct options *options, const struct options_spec *spec,
                                  int argc, char **argv);
void options_release(struct options *options);
/* 0 for OPTIONS_HELP, 2 for OPTIONS_BAD, 1 for OPTIONS_CONFLICT, as etcd exits. */
int options_exit_code(enum options_result result);
void options_print_help(const struct options_spec *spec, FILE *out);

/* Readers by name. Asking for a flag that is in no table, or as a wrong kind, is a panic. */
const char *options_string(const struct options *options, const char *name); /* never NULL */
bool options_bool(const struct options *options, const char *name);
int64_t options_number(const struct options *options, const char *name);
int64_t options_duration_ns(const struct options *options, const char *name);
const char *const *options_list(const struct options *options, const char *name, size_t *ret_count);
/* The value as it was written, whatever its kind ("" if it has none): for dumps of a configuration.
 */
const char *options_text(const struct options *options, const char *name);
enum option_source options_source(const struct options *options, const char *name);
/* True unless the value is the default. */
bool options_given(const struct options *options, const char *name);
/* Sets a value from elsewhere, replacing what is there; `text` must outlive the options. Returns
 * false, and a message in ret_error, if there is no such flag or the text does not suit it. */
bool options_set(struct options *options, const char *name, const char *text, char *ret_error,
                 size_t error_capacity);
/* Puts every value back to its default (etcd ignores flags when it is given a configuration file).
 */
void options_reset(struct options *options);
/* Variables that begin with env_prefix and belong to no flag: returns the next name into ret_name,
 * or false at the end. Start with *cursor == 0. */
bool options_env_unknown(const struct options_spec *spec, size_t *cursor, char *ret_name,
                         size_t name_capacity);

/* Prints "synod COMMAND: message" and a pointer to --help to stderr; returns OPTIONS_BAD. For
 * checks that span several flags. */
enum options_result options_complain(const struct options_spec *spec, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Go's durations: sign, then decimal numbers each with ns, us, ms, s, m or h. */
bool duration_parse(const char *text, int64_t *ret_ns);
bool number_parse(const char *text, int64_t *ret_number);
bool bool_parse(const char *text, bool *ret_bool);
/* The nearest of `count` names to what was typed, or NULL if none is near. */
const char *nearest_name(const char *typed, const char *const *names, size_t count);

#endif
