/* Histories from a file nobody can vouch for: they are read or refused; what is read is written and
 * read back as the same; and both checkers come to a verdict within their budget. */
#include "base/panic.h"
#include "check/check.h"
#include "check/history_file.h"

#include <stdlib.h>

#define FILE_MAX ((size_t)1 << 20)

static void *fuzz_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

static void fuzz_round(const struct history *history)
{
    char why[256];
    struct text error = text_of(why, sizeof why);
    struct buffer once;
    struct buffer twice;
    buffer_init(&once, history->mem, FILE_MAX * 16);
    buffer_init(&twice, history->mem, FILE_MAX * 16);
    history_write(history, &once);
    struct history *copy = history_new(history->mem);
    ensure(history_read(copy, buffer_bytes(&once), &error) == STATUS_OK);
    history_write(copy, &twice);
    ensure(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
    history_free(copy);
    buffer_release(&once);
    buffer_release(&twice);
}

static void fuzz_check(const struct history *history)
{
    struct check_options options = {.steps = 2000};
    struct check_verdict verdict;
    check_general(history, history->mem, &options, &verdict);
    enum check_outcome general = verdict.outcome;
    check_verdict_release(&verdict);
    check_revisions(history, history->mem, &options, &verdict);
    /* What values alone refute, no revision can save. */
    ensure(general != CHECK_VIOLATION || verdict.outcome == CHECK_VIOLATION ||
           verdict.outcome == CHECK_UNDECIDED);
    char line[512];
    struct text text = text_of(line, sizeof line);
    if (verdict.culprit != CHECK_NOBODY)
        check_describe(history, verdict.culprit, &text);
    check_verdict_release(&verdict);
    options.partial = true;
    check_revisions(history, history->mem, &options, &verdict);
    check_verdict_release(&verdict);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char header[] = "{\"format\":\"synod-history\",\"version\":1}\n";
    struct mem mem = {.resize = fuzz_resize};
    char why[256];
    struct text error = text_of(why, sizeof why);
    struct buffer file;
    buffer_init(&file, &mem, FILE_MAX);
    /* The first byte says whether the header is the input's own affair. */
    if (size > 0 && data[0] != '{')
        buffer_append(&file, bytes_text(header));
    buffer_append(&file, bytes_of(data, size));
    struct history *history = history_new(&mem);
    enum status status = history_read(history, buffer_bytes(&file), &error);
    ensure(status == STATUS_OK || error.size > 0);
    if (status == STATUS_OK)
        fuzz_round(history);
    fuzz_check(history);
    history_free(history);
    buffer_release(&file);
    ensure(mem.used == 0);
    return 0;
}
