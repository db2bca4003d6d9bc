/* How a removed file is made shorter; see disk_remains.h.
 *
 * The one invariant: a descriptor in the list is of a file that passed is_ours_alone. */
#include "world/disk_remains.h"

#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int disk_remains_open(int root, const char *name)
{
    int file = openat(root, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (file < 0)
        return -1;
    struct stat stat;
    if (fstat(file, &stat) == 0 && S_ISREG(stat.st_mode) &&
        (uint64_t)stat.st_size > DISK_REMAINS_PIECE)
        return file;
    close(file);
    return -1;
}

/* Another name, a hard link, may be somebody's copy. A lease for writing is granted only to the one
 * who has the file open; without a name, nobody else can open it after that. */
static bool is_ours_alone(int file, uint64_t *ret_size)
{
    struct stat stat;
    if (fstat(file, &stat) != 0 || stat.st_nlink != 0)
        return false;
    *ret_size = (uint64_t)stat.st_size;
    return fcntl(file, F_SETLEASE, F_WRLCK) == 0 && fcntl(file, F_SETLEASE, F_UNLCK) == 0;
}

void disk_remains_take(struct disk_remains *remains, int file)
{
    uint64_t size;
    if (file < 0)
        return;
    if (remains->count == DISK_REMAINS_MAX || !is_ours_alone(file, &size)) {
        close(file);
        return;
    }
    remains->list[remains->count++] = (struct disk_remnant){file, size};
}

uint64_t disk_remains_due(const struct disk_remains *remains)
{
    return remains->count > 0 ? remains->due_ns : UINT64_MAX;
}

static void remove_first(struct disk_remains *remains)
{
    close(remains->list[0].file);
    remains->count--;
    memmove(remains->list, remains->list + 1, remains->count * sizeof remains->list[0]);
}

void disk_remains_step(struct disk_remains *remains, uint64_t now_ns)
{
    struct disk_remnant *first = &remains->list[0];
    remains->due_ns = now_ns + DISK_REMAINS_PAUSE_NS;
    first->size -= first->size < DISK_REMAINS_PIECE ? first->size : DISK_REMAINS_PIECE;
    /* A file that cannot be made shorter goes in one piece, as any other. */
    if (ftruncate(first->file, (off_t)first->size) != 0 || first->size == 0)
        remove_first(remains);
}

void disk_remains_release(struct disk_remains *remains)
{
    while (remains->count > 0)
        remove_first(remains);
}
