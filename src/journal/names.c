/* File names and the shared lines around disk jobs; see names.h.
 *
 * The one invariant: a job whose memory is allocated here is freed by its own completion, so a
 * caller can forget it. */
#include "journal/names.h"

#include <string.h>

#define NAME_DIGITS 16u

void name_copy(char name[DISK_NAME_MAX], const char *from)
{
    struct text text = text_of(name, DISK_NAME_MAX);
    text_add(&text, from);
}

void name_format(char name[DISK_NAME_MAX], const char *directory, uint64_t number,
                 const char *suffix)
{
    struct text text = text_of(name, DISK_NAME_MAX);
    text_add(&text, directory);
    text_add(&text, "/");
    for (unsigned digit = NAME_DIGITS; digit-- > 0;)
        text_hex(&text, number >> (4 * digit) & 15);
    text_add(&text, suffix);
}

bool name_has_suffix(const char *name, const char *suffix)
{
    size_t size = strlen(name);
    size_t tail = strlen(suffix);
    return size >= tail && memcmp(name + size - tail, suffix, tail) == 0;
}

static const char *name_base(const char *name)
{
    const char *base = name;
    for (const char *at = name; *at != '\0'; at++)
        if (*at == '/')
            base = at + 1;
    return base;
}

bool name_number(const char *name, const char *suffix, uint64_t *ret_number)
{
    const char *base = name_base(name);
    if (strlen(base) != NAME_DIGITS + strlen(suffix) || !name_has_suffix(base, suffix))
        return false;
    uint64_t number = 0;
    for (unsigned i = 0; i < NAME_DIGITS; i++) {
        char c = base[i];
        if (c >= '0' && c <= '9')
            number = number << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f')
            number = number << 4 | (uint64_t)(c - 'a' + 10);
        else
            return false;
    }
    *ret_number = number;
    return true;
}

void disk_explain(struct text *text, const struct disk_job *job)
{
    if (job->name[0] != '\0') {
        text_add(text, job->name);
        text_add(text, ": ");
    }
    text_add(text, status_text(job->status));
    if (job->error != 0) {
        text_add(text, " (errno ");
        text_i64(text, job->error);
        text_add(text, ")");
    }
}

/* A job that nobody waits for. */
struct errand {
    struct disk_job job;
    struct world *world;
    struct mem *mem;
};

static void on_errand_done(struct disk_job *job)
{
    struct errand *errand = job->owner;
    if (job->status != STATUS_OK && job->status != STATUS_NOT_FOUND) {
        char line[256];
        struct text text = text_of(line, sizeof line);
        text_add(&text, job->op == DISK_REMOVE ? "cannot remove " : "cannot close ");
        disk_explain(&text, job);
        errand->world->ops->log(errand->world, LOG_WARN, line, "");
    }
    mem_free(errand->mem, errand, sizeof *errand);
}

static struct errand *errand_new(struct world *world, struct mem *mem, enum disk_op op)
{
    struct errand *errand = mem_zero(mem, sizeof *errand);
    errand->world = world;
    errand->mem = mem;
    errand->job.op = op;
    errand->job.done = on_errand_done;
    errand->job.owner = errand;
    return errand;
}

void disk_close_later(struct world *world, struct mem *mem, enum disk_queue queue, int file)
{
    struct errand *errand = errand_new(world, mem, DISK_CLOSE);
    errand->job.file = file;
    world->ops->disk_submit(world, queue, &errand->job);
}

void disk_remove_later(struct world *world, struct mem *mem, const char *name)
{
    struct errand *errand = errand_new(world, mem, DISK_REMOVE);
    name_copy(errand->job.name, name);
    world->ops->disk_submit(world, DISK_QUEUE_BULK, &errand->job);
}

enum status disk_run(struct world *world, struct disk_job *job)
{
    return world->ops->disk_run(world, job);
}

void disk_ahead(struct world *world, struct disk_job *job)
{
    if (world->ops->disk_ahead != NULL)
        world->ops->disk_ahead(world, job);
}

void disk_close_now(struct world *world, int file)
{
    struct disk_job job = {.op = DISK_CLOSE, .file = file};
    /* Nothing is lost by a failed close: whatever matters was synced before. */
    (void)!disk_run(world, &job);
}

/* The block that the pages are in stands in front of them. */
uint8_t *disk_pages_alloc(struct mem *mem, uint64_t size)
{
    uint8_t *block = mem_alloc(mem, size + DISK_PAGE + sizeof block);
    uintptr_t first = (uintptr_t)block + sizeof block;
    uint8_t *pages = block + sizeof block + (DISK_PAGE - first % DISK_PAGE) % DISK_PAGE;
    memcpy(pages - sizeof block, &block, sizeof block);
    return pages;
}

void disk_pages_free(struct mem *mem, uint8_t *pages, uint64_t size)
{
    if (pages == NULL)
        return;
    uint8_t *block;
    memcpy(&block, pages - sizeof block, sizeof block);
    mem_free(mem, block, size + DISK_PAGE + sizeof block);
}

enum status disk_list(struct world *world, const char *directory, void *owner,
                      void (*listed)(void *owner, const char *name), struct text *error)
{
    struct disk_job job = {.op = DISK_LIST, .listed = listed, .owner = owner};
    name_copy(job.name, directory);
    enum status status = disk_run(world, &job);
    if (status == STATUS_NOT_FOUND)
        return STATUS_OK;
    if (status != STATUS_OK) {
        text_add(error, "cannot list ");
        disk_explain(error, &job);
    }
    return status;
}
