/* Runs transcripts: files of commands, each followed by what the engines are expected to do. See
 * doc/transcripts.md.
 *
 *     engine_transcript [--rewrite] FILE|DIRECTORY...
 *
 * The one invariant: --rewrite changes expectations and nothing else, and makes neither an error
 * nor a violation pass. */
#include "commands.h"

#include "base/panic.h"

#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LINES_MAX 4096
#define DIFF_MAX 400

struct lines {
    char **at;
    uint32_t count;
};

static const char *current_file = "";
static uint32_t current_line;

static void lines_add(struct lines *lines, const char *text, size_t size)
{
    lines->at = realloc(lines->at, (lines->count + 1) * sizeof *lines->at);
    lines->at[lines->count++] = strndup(text, size);
}

static void lines_split(struct lines *lines, const char *text)
{
    while (*text != '\0') {
        size_t size = strcspn(text, "\n");
        lines_add(lines, text, size);
        text += text[size] == '\n' ? size + 1 : size;
    }
}

static void lines_free(struct lines *lines)
{
    for (uint32_t i = 0; i < lines->count; i++)
        free(lines->at[i]);
    free(lines->at);
    *lines = (struct lines){0};
}

static char *read_all(const char *path)
{
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return NULL;
    char *text = NULL;
    size_t size = 0;
    ssize_t got = getdelim(&text, &size, '\0', file);
    fclose(file);
    if (got >= 0)
        return text;
    free(text);
    return strdup("");
}

/* What is common to both keeps its place; the rest is marked by the side that has it. */
static void diff_print(const struct lines *wanted, const struct lines *found)
{
    static uint16_t common[DIFF_MAX + 1][DIFF_MAX + 1];
    uint32_t a = wanted->count < DIFF_MAX ? wanted->count : DIFF_MAX;
    uint32_t b = found->count < DIFF_MAX ? found->count : DIFF_MAX;
    memset(common, 0, sizeof common);
    for (uint32_t i = a; i > 0; i--)
        for (uint32_t j = b; j > 0; j--) {
            uint16_t down = common[i][j - 1];
            uint16_t right = common[i - 1][j];
            common[i - 1][j - 1] = down > right ? down : right;
            if (strcmp(wanted->at[i - 1], found->at[j - 1]) == 0)
                common[i - 1][j - 1] = (uint16_t)(common[i][j] + 1);
        }
    for (uint32_t i = 0, j = 0; i < a || j < b;) {
        if (i < a && j < b && strcmp(wanted->at[i], found->at[j]) == 0) {
            printf("      %s\n", wanted->at[i]);
            i++;
            j++;
        } else if (j == b || (i < a && common[i + 1][j] >= common[i][j + 1])) {
            printf("    - %s\n", wanted->at[i++]);
        } else {
            printf("    + %s\n", found->at[j++]);
        }
    }
}

static bool lines_equal(const struct lines *a, const struct lines *b)
{
    for (uint32_t i = 0; i < a->count && i < b->count; i++)
        if (strcmp(a->at[i], b->at[i]) != 0)
            return false;
    return a->count == b->count;
}

/* One transcript under way. */
struct run {
    const char *path;
    struct lines file;
    uint32_t at; /* the next line of the file */
    struct host *host;
    FILE *rewritten;
    bool failed;
    uint32_t blocks;
};

static bool is_command(const char *line)
{
    return line[0] != '\0' && line[0] != '#';
}

/* Runs the commands up to "----"; returns all that happened. */
static void run_commands(struct run *run, struct lines *ret_found)
{
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    bool fine = true;
    while (run->at < run->file.count && strcmp(run->file.at[run->at], "----") != 0) {
        const char *line = run->file.at[run->at++];
        current_line = run->at;
        fprintf(run->rewritten, "%s\n", line);
        if (!is_command(line))
            continue;
        if (fine) {
            if (run->host != NULL)
                run->host->out = out;
            fine = command_run(&run->host, line, out);
        }
        if (run->at == run->file.count || run->file.at[run->at][0] == '\0')
            break; /* "----" is missing: nothing is expected */
    }
    fclose(out);
    lines_split(ret_found, text);
    free(text);
    if (ret_found->count == 0)
        lines_add(ret_found, "ok", 2);
    if (!fine || (run->host != NULL && run->host->violations > 0))
        run->failed = true;
}

static void run_block(struct run *run)
{
    struct lines found = {0};
    struct lines wanted = {0};
    uint32_t first = run->at + 1;
    run_commands(run, &found);
    if (run->at < run->file.count && strcmp(run->file.at[run->at], "----") == 0)
        run->at++;
    while (run->at < run->file.count && run->file.at[run->at][0] != '\0') {
        const char *line = run->file.at[run->at++];
        lines_add(&wanted, line, strlen(line));
    }
    fputs("----\n", run->rewritten);
    for (uint32_t i = 0; i < found.count; i++)
        fprintf(run->rewritten, "%s\n", found.at[i]);
    if (!lines_equal(&wanted, &found)) {
        run->failed = true;
        printf("  %s:%u: expected (-), happened (+)\n", run->path, first);
        diff_print(&wanted, &found);
    }
    run->blocks++;
    lines_free(&found);
    lines_free(&wanted);
}

/* Returns true if it passed, or could be rewritten so that it does. */
static bool transcript_run(const char *path, bool rewrite)
{
    char *text = read_all(path);
    if (text == NULL) {
        printf("%s: cannot be read\n", path);
        return false;
    }
    struct run run = {.path = path};
    char *rewritten = NULL;
    size_t size = 0;
    run.rewritten = open_memstream(&rewritten, &size);
    lines_split(&run.file, text);
    current_file = path;
    while (run.at < run.file.count) {
        const char *line = run.file.at[run.at];
        if (is_command(line)) {
            run_block(&run);
        } else {
            fprintf(run.rewritten, "%s\n", line);
            run.at++;
        }
    }
    fclose(run.rewritten);
    bool sound = run.host == NULL || run.host->violations == 0;
    if (run.blocks == 0)
        printf("%s: says nothing\n", path);
    if (rewrite && strcmp(rewritten, text) != 0) {
        FILE *file = fopen(path, "w");
        if (file == NULL || fputs(rewritten, file) < 0 || fclose(file) != 0)
            sound = false;
    }
    if (rewrite && sound && strstr(rewritten, "\nERROR: ") == NULL)
        run.failed = false;
    if (run.host != NULL)
        host_free(run.host);
    lines_free(&run.file);
    free(rewritten);
    free(text);
    return !run.failed && run.blocks > 0;
}

struct tally {
    bool rewrite;
    uint32_t passed;
    uint32_t failed;
};

static int only_transcripts(const struct dirent *entry)
{
    size_t size = strlen(entry->d_name);
    return entry->d_name[0] != '.' && (size < 4 || strchr(entry->d_name, '.') == NULL ||
                                       strcmp(entry->d_name + size - 4, ".txt") == 0);
}

static void run_path(struct tally *tally, const char *path)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        struct dirent **entries = NULL;
        int count = scandir(path, &entries, only_transcripts, alphasort);
        for (int i = 0; i < count; i++) {
            char inside[4096];
            snprintf(inside, sizeof inside, "%s/%s", path, entries[i]->d_name);
            run_path(tally, inside);
            free(entries[i]);
        }
        free(entries);
        return;
    }
    bool passed = transcript_run(path, tally->rewrite);
    printf("%s %s\n", passed ? "[       OK ]" : "[  FAILED  ]", path);
    tally->passed += passed ? 1 : 0;
    tally->failed += passed ? 0 : 1;
}

static void on_panic(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "%s:%u: panic at %s:%d: %s\n", current_file, current_line, file, line, what);
    exit(1);
}

int main(int count, char **arguments)
{
    struct tally tally = {0};
    panic_set_hook(on_panic);
    for (int i = 1; i < count; i++) {
        if (strcmp(arguments[i], "--rewrite") == 0)
            tally.rewrite = true;
        else
            run_path(&tally, arguments[i]);
    }
    printf("%u passed, %u failed\n", tally.passed, tally.failed);
    return tally.failed == 0 && tally.passed > 0 ? 0 : 1;
}
