/* Option help: --help as people read it, and the guess at what a mistyped name should have been.
 *
 * Help goes to stdout when it was asked for; nothing else of the parser writes there. */
#include "cli/options_internal.h"

#include "base/panic.h"

#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define COLUMN_MAX 30 /* flags longer than this get a line of their own */

static size_t help_width(FILE *out)
{
    struct winsize size;
    if (isatty(fileno(out)) && ioctl(fileno(out), TIOCGWINSZ, &size) == 0 && size.ws_col > 40)
        return size.ws_col < 110 ? size.ws_col : 110;
    return 90;
}

/* Words of `text` from `column` on, broken at `width`. */
static void print_wrapped(FILE *out, const char *text, size_t column, size_t width)
{
    size_t at = column;
    while (*text != '\0') {
        size_t length = strcspn(text, " ");
        if (at > column && at + 1 + length > width) {
            fprintf(out, "\n%*s", (int)column, "");
            at = column;
        } else if (at > column) {
            fputc(' ', out);
            at++;
        }
        fwrite(text, 1, length, out);
        at += length;
        text += length;
        text += strspn(text, " ");
    }
    fputc('\n', out);
}

static const char *kind_hint(const struct option *option)
{
    if (option->hint != NULL)
        return option->hint;
    switch (option->kind) {
    case OPTION_STRING:
        return "TEXT";
    case OPTION_BOOL:
        return "";
    case OPTION_NUMBER:
        return "N";
    case OPTION_DURATION:
        return "DURATION";
    case OPTION_LIST:
        return "A,B,...";
    }
    return "";
}

static void option_label(const struct option *option, char *ret_label, size_t capacity)
{
    const char *hint = kind_hint(option);
    snprintf(ret_label, capacity, "--%s%s%s", option->name, hint[0] != '\0' ? " " : "", hint);
}

static void print_option(const struct options_spec *spec, const struct option *option, FILE *out,
                         size_t column, size_t width)
{
    char label[160];
    char text[1024];
    char env[160] = "";
    char choices[128] = "";
    option_label(option, label, sizeof label);
    if (option->env != NULL)
        option_env_name(spec, option, option->name, env, sizeof env);
    if (option->choice != NULL)
        choices_text(option, choices, sizeof choices);
    bool has_preset = option->preset != NULL && option->preset[0] != '\0' &&
                      !(option->kind == OPTION_BOOL && strcmp(option->preset, "false") == 0);
    snprintf(text, sizeof text, "%s%s%s%s%s%s%s%s%s", option->help, choices[0] != '\0' ? ": " : "",
             choices, has_preset ? " (default " : "", has_preset ? option->preset : "",
             has_preset ? ")" : "", env[0] != '\0' ? " [$" : "", env, env[0] != '\0' ? "]" : "");
    if (strlen(label) + 4 > column)
        fprintf(out, "  %s\n%*s", label, (int)column, "");
    else
        fprintf(out, "  %-*s", (int)column - 2, label);
    print_wrapped(out, text, column, width);
}

static size_t label_column(const struct options_spec *spec)
{
    size_t longest = 0;
    const struct option *option;
    for (size_t i = 0; (option = spec_option(spec, i)) != NULL; i++) {
        char label[160];
        option_label(option, label, sizeof label);
        size_t length = strlen(label);
        if (option->help != NULL && length > longest && length <= COLUMN_MAX)
            longest = length;
    }
    return longest + 4;
}

void options_print_help(const struct options_spec *spec, FILE *out)
{
    size_t width = help_width(out);
    size_t column = label_column(spec);
    bool has_options = spec_option(spec, 0) != NULL;
    fprintf(out, "synod %s - %s\n\nUsage:\n  synod %s%s%s%s\n", spec->command, spec->summary,
            spec->command, has_options ? " [flags]" : "", spec->arguments != NULL ? " " : "",
            spec->arguments != NULL ? spec->arguments : "");
    if (spec->description != NULL)
        fprintf(out, "\n%s", spec->description);
    if (spec->examples != NULL)
        fprintf(out, "\nExamples:\n%s", spec->examples);
    const struct option *option;
    for (size_t i = 0; (option = spec_option(spec, i)) != NULL; i++) {
        if (option->group != NULL || i == 0)
            fprintf(out, "\n%s:\n", option->group != NULL ? option->group : "Flags");
        if (option->help != NULL)
            print_option(spec, option, out, column, width);
    }
    if (spec->env_prefix != NULL) {
        fprintf(out,
                "\nEvery flag can also be given as an environment variable, --data-dir as "
                "%sDATA_DIR.\n",
                spec->env_prefix);
    }
}

/* Levenshtein's distance over two rows; names longer than the rows count as far. */
static size_t distance(const char *a, const char *b)
{
    size_t row[65];
    size_t length = strlen(b);
    if (length > 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= length; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1] != '\0'; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= length; j++) {
            size_t above = row[j];
            size_t best = diagonal + (a[i - 1] == b[j - 1] ? 0 : 1);
            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            row[j] = best;
            diagonal = above;
        }
    }
    return row[length];
}

const char *nearest_name(const char *typed, const char *const *names, size_t count)
{
    const char *best = NULL;
    size_t best_distance = strlen(typed) / 3 + 2;
    for (size_t i = 0; i < count; i++) {
        size_t d = distance(typed, names[i]);
        if (d < best_distance) {
            best = names[i];
            best_distance = d;
        }
    }
    if (best != NULL || strlen(typed) < 3)
        return best;
    for (size_t i = 0; i < count; i++) {
        ensure(names[i] != NULL);
        if (strncmp(typed, names[i], strlen(typed)) == 0)
            return names[i];
    }
    return NULL;
}
