/* Names of the journal's files: a directory, sixteen hexadecimal digits, a suffix, so that the
 * order of names is the order of numbers. And the few lines that every user of disk jobs shares.
 *
 * The one invariant: name_number accepts exactly what name_format writes. */
#ifndef SYNOD_JOURNAL_NAMES_H
#define SYNOD_JOURNAL_NAMES_H

#include "base/text.h"
#include "world/world.h"

/* "log/00000000000000a1.log" */
void name_format(char name[DISK_NAME_MAX], const char *directory, uint64_t number,
                 const char *suffix);
/* The number in a name as the world lists it, with or without a directory in front; false if it is
 * not one of ours with this suffix. */
bool name_number(const char *name, const char *suffix, uint64_t *ret_number);
bool name_has_suffix(const char *name, const char *suffix);
/* Copies a name into a job. */
void name_copy(char name[DISK_NAME_MAX], const char *from);

/* "log/….log: no space left on the device (errno 28)" */
void disk_explain(struct text *text, const struct disk_job *job);
/* Closes a file behind whatever was submitted to the queue before; nobody waits for it. */
void disk_close_later(struct world *world, struct mem *mem, enum disk_queue queue, int file);
/* Removes a file in the same way; a failure is logged. */
void disk_remove_later(struct world *world, struct mem *mem, const char *name);
/* The synchronous forms, for boot. */
enum status disk_run(struct world *world, struct disk_job *job) MUST_CHECK;
/* Lets the world begin a job that will be run. Until then the job and its memory stay as they are.
 */
void disk_ahead(struct world *world, struct disk_job *job);
void disk_close_now(struct world *world, int file);
/* Memory for direct reads: it begins at a multiple of DISK_PAGE. */
uint8_t *disk_pages_alloc(struct mem *mem, uint64_t size);
void disk_pages_free(struct mem *mem, uint8_t *pages, uint64_t size);
/* Lists a directory; one that does not exist is empty. */
enum status disk_list(struct world *world, const char *directory, void *owner,
                      void (*listed)(void *owner, const char *name), struct text *error) MUST_CHECK;

#endif
