/* The direct writes themselves, and when they are possible.
 *
 * The one invariant: a piece is either written whole through the direct descriptor or reported;
 * what was refused (EINVAL) or came back short is left to the caller and its buffered write. */
#include "world/disk_direct.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

/* Memory and lengths that every disk takes: its page. Offsets may be finer, as the log's are: most
 * disks take a sector of 512 bytes, and the one that does not says EINVAL. */
#define DIRECT_MEMORY DISK_PAGE
#define DIRECT_SECTOR 512u
/* A write that begins or ends within a sector goes directly if its whole pages are worth it. */
#define DIRECT_BROKEN_MIN (64u << 10)
/* Smaller reads gain nothing. */
#define DIRECT_READ_MIN (256u << 10)

void disk_direct_close(struct disk_direct *direct)
{
    if (direct->open)
        close(direct->file);
    direct->open = false;
}

void disk_direct_release(struct disk_direct *direct)
{
    disk_direct_close(direct);
    free(direct->bounce);
    *direct = (struct disk_direct){.refused = true};
}

/* Which inode a descriptor is of. Times are not asked for: a system that keeps them finely writes
 * the inode anew at the sync after somebody has looked at them, one more request to the disk. */
static bool direct_identify(int file, struct disk_inode *ret_inode)
{
    struct statx found;
    if (statx(file, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &found) != 0)
        return false;
    *ret_inode = (struct disk_inode){found.stx_dev_major, found.stx_dev_minor, found.stx_ino};
    return true;
}

static bool same_inode(struct disk_inode a, struct disk_inode b)
{
    return a.number == b.number && a.major == b.major && a.minor == b.minor;
}

/* Whether the descriptor is that of the job's file; opens it if it is not. */
static bool direct_open(struct disk_direct *direct, int root, const struct disk_job *job)
{
    struct disk_inode wanted;
    if (!direct_identify(job->file, &wanted))
        return false;
    if (direct->open && same_inode(direct->inode, wanted))
        return true;
    disk_direct_close(direct);
    direct->file = openat(root, job->name, O_WRONLY | O_DIRECT | O_NOFOLLOW | O_CLOEXEC);
    if (direct->file < 0) {
        direct->refused = errno == EINVAL;
        return false;
    }
    direct->open = true;
    if (direct_identify(direct->file, &direct->inode) && same_inode(direct->inode, wanted))
        return true;
    disk_direct_close(direct);
    return false;
}

int disk_vector(const struct disk_job *job, uint64_t from, uint64_t to, struct iovec *iov)
{
    int count = 0;
    uint64_t at = 0;
    for (uint32_t i = 0; i < job->parts_count && at < to; i++) {
        struct bytes part = job->parts[i];
        uint64_t skip = from > at ? from - at : 0;
        uint64_t size = to - at < part.size ? to - at : part.size;
        if (skip < size)
            iov[count++] = (struct iovec){(void *)(uintptr_t)(part.data + skip), size - skip};
        at += part.size;
    }
    return count;
}

void disk_direct_span(const struct disk_job *job, uint64_t size, uint64_t *ret_begin,
                      uint64_t *ret_end)
{
    uint64_t last = job->offset + size;
    *ret_begin = 0;
    *ret_end = size;
    if (job->offset % DIRECT_SECTOR == 0 && size % DIRECT_SECTOR == 0)
        return;
    if (size < DIRECT_BROKEN_MIN) {
        *ret_end = 0;
        return;
    }
    *ret_begin = (DIRECT_MEMORY - job->offset % DIRECT_MEMORY) % DIRECT_MEMORY;
    *ret_end = size - last % DIRECT_MEMORY;
}

/* Copies the next piece to where the device wants it; returns its size. */
static size_t direct_gather(const struct disk_direct *direct, const struct disk_job *job,
                            uint64_t end)
{
    struct iovec iov[DISK_PARTS_MAX];
    uint64_t until = end - job->moved < DISK_PIECE_SIZE ? end : job->moved + DISK_PIECE_SIZE;
    int count = disk_vector(job, job->moved, until, iov);
    size_t size = 0;
    for (int i = 0; i < count; i++) {
        memcpy(direct->bounce + size, iov[i].iov_base, iov[i].iov_len);
        size += iov[i].iov_len;
    }
    return size;
}

static bool direct_ready(struct disk_direct *direct, int root, const struct disk_job *job)
{
    if (direct->refused || !direct_open(direct, root, job))
        return false;
    if (direct->bounce == NULL)
        direct->bounce = aligned_alloc(DIRECT_MEMORY, DISK_PIECE_SIZE);
    return direct->bounce != NULL;
}

/* -1: an error, in errno. */
static ssize_t direct_pwrite(int file, const void *from, size_t size, uint64_t offset)
{
    ssize_t written;
    do {
        written = pwrite(file, from, size, (off_t)offset);
    } while (written < 0 && errno == EINTR);
    return written;
}

int disk_direct_write(struct disk_direct *direct, int root, struct disk_job *job, uint64_t end)
{
    if (job->moved >= end || !direct_ready(direct, root, job))
        return 0;
    while (job->moved < end) {
        size_t size = direct_gather(direct, job, end);
        ssize_t written =
            direct_pwrite(direct->file, direct->bounce, size, job->offset + job->moved);
        if (written < 0 && errno == EINVAL) {
            direct->refused = true;
            break;
        }
        if (written < 0)
            return errno;
        job->moved += (uint64_t)written;
        if ((size_t)written < size)
            break;
    }
    return 0;
}

/* Makes the descriptor a direct one, if it can be one. */
static bool direct_on(int file, int *ret_flags)
{
    *ret_flags = fcntl(file, F_GETFL);
    return *ret_flags >= 0 && fcntl(file, F_SETFL, *ret_flags | O_DIRECT) == 0;
}

/* Makes it what it was; returns an errno. */
static int direct_off(int file, int flags)
{
    return fcntl(file, F_SETFL, flags) != 0 ? errno : 0;
}

int disk_direct_zeros(int file, uint64_t size, uint64_t *ret_offset)
{
    static _Alignas(DIRECT_MEMORY) const uint8_t zeros[DISK_PIECE_SIZE];
    *ret_offset = 0;
    int flags;
    if (!direct_on(file, &flags))
        return 0;
    int error = 0;
    while (size - *ret_offset >= DIRECT_MEMORY) {
        uint64_t left = (size - *ret_offset) / DIRECT_MEMORY * DIRECT_MEMORY;
        size_t piece = left < DISK_PIECE_SIZE ? (size_t)left : DISK_PIECE_SIZE;
        ssize_t written = direct_pwrite(file, zeros, piece, *ret_offset);
        if (written <= 0) {
            error = written == 0 ? EIO : errno;
            break;
        }
        *ret_offset += (uint64_t)written;
        if (written % DIRECT_MEMORY != 0)
            break;
    }
    int error_off = direct_off(file, flags);
    if (error == 0)
        error = error_off;
    return error == EINVAL ? 0 : error;
}

/* Reads pieces until the end, or until anything but a piece comes. */
static void direct_read_pages(struct disk_job *job, uint64_t end)
{
    uint64_t moved = 0;
    while (job->moved < end && moved % DIRECT_MEMORY == 0) {
        uint64_t left = end - job->moved;
        ssize_t read = pread(job->file, (uint8_t *)job->into + job->moved,
                             left < DISK_PIECE_SIZE ? (size_t)left : DISK_PIECE_SIZE,
                             (off_t)(job->offset + job->moved));
        if (read <= 0)
            break;
        moved = (uint64_t)read;
        job->moved += moved;
    }
}

int disk_direct_read(struct disk_job *job)
{
    uint64_t end = job->size - job->size % DIRECT_MEMORY;
    if (end < DIRECT_READ_MIN || job->offset % DIRECT_MEMORY != 0 ||
        (uintptr_t)job->into % DIRECT_MEMORY != 0)
        return 0;
    int flags;
    if (!direct_on(job->file, &flags))
        return 0;
    /* What the cache holds may be what a failed sync left there, and later reads and writes of
     * parts of a page would go by it. */
    (void)posix_fadvise(job->file, (off_t)job->offset, (off_t)end, POSIX_FADV_DONTNEED);
    direct_read_pages(job, end);
    return direct_off(job->file, flags);
}
