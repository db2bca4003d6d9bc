/* Disk jobs, done with plain system calls on whatever thread calls.
 *
 * The one invariant: OK means that everything the job promises has happened: every byte written,
 * every sync returned. A failed sync is reported and never tried again, since after it the page
 * cache claims to hold what the disk does not. */
#include "world/disk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#define DISK_FLAGS (O_NOFOLLOW | O_CLOEXEC)

_Static_assert(DISK_PARTS_MAX <= IOV_MAX, "the parts of a job go in one system call");

enum status disk_status(int error)
{
    switch (error) {
    case 0:
        return STATUS_OK;
    case ENOENT:
    case ENOTDIR:
        return STATUS_NOT_FOUND;
    case EEXIST:
        return STATUS_EXISTS;
    case EACCES:
    case EPERM:
    case ELOOP: /* O_NOFOLLOW met a symbolic link */
        return STATUS_PERMISSION;
    case EROFS: /* also of an open file, when the system found an error in its file system */
        return STATUS_READ_ONLY;
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
        return STATUS_NO_SPACE;
    case ENOMEM:
        return STATUS_NO_MEMORY;
    case EINVAL:
    case ENAMETOOLONG:
        return STATUS_INVALID;
    default:
        return STATUS_IO;
    }
}

/* A relative path without "..", so that no job leaves the data directory. */
static bool disk_name_valid(const char name[DISK_NAME_MAX])
{
    size_t size = strnlen(name, DISK_NAME_MAX);
    if (size == 0 || size == DISK_NAME_MAX || name[0] == '/')
        return false;
    for (const char *part = name; part != NULL; part = strchr(part, '/')) {
        part += part[0] == '/';
        size_t length = strcspn(part, "/");
        if (length == 2 && part[0] == '.' && part[1] == '.')
            return false;
    }
    return true;
}

/* The functions below return an errno, 0 for success. */

static int disk_open_directory(const struct disk *disk, const char *name, int *ret_file)
{
    *ret_file = openat(disk->root, name, O_RDONLY | O_DIRECTORY | DISK_FLAGS);
    return *ret_file < 0 ? errno : 0;
}

static int disk_sync_directory(const struct disk *disk, const char *name)
{
    int file;
    int error = disk_open_directory(disk, name, &file);
    if (error != 0)
        return error;
    if (fsync(file) != 0)
        error = errno;
    close(file);
    return error;
}

/* The directory that the name is in. */
static void disk_parent(const char name[DISK_NAME_MAX], char ret_parent[DISK_NAME_MAX])
{
    const char *slash = strrchr(name, '/');
    size_t size = slash == NULL ? 0 : (size_t)(slash - name);
    memcpy(ret_parent, size == 0 ? "." : name, size == 0 ? 1 : size);
    ret_parent[size == 0 ? 1 : size] = '\0';
}

static int disk_sync_parent(const struct disk *disk, const char name[DISK_NAME_MAX])
{
    char parent[DISK_NAME_MAX];
    disk_parent(name, parent);
    return disk_sync_directory(disk, parent);
}

/* Drops `size` bytes from the front of a vector; returns how many of its elements are done with. */
static int disk_skip(struct iovec *iov, int count, uint64_t size)
{
    int done = 0;
    while (done < count && size >= iov[done].iov_len)
        size -= iov[done++].iov_len;
    if (done < count) {
        iov[done].iov_base = (uint8_t *)iov[done].iov_base + size;
        iov[done].iov_len -= size;
    }
    return done;
}

/* Writes the vector at the offset, whatever pieces the system takes it in. */
static int disk_write_all(int file, struct iovec *iov, int count, uint64_t offset)
{
    for (int done = disk_skip(iov, count, 0); done < count;) {
        ssize_t written = pwritev(file, iov + done, count - done, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : EIO;
        offset += (uint64_t)written;
        done += disk_skip(iov + done, count - done, (uint64_t)written);
    }
    return 0;
}

static int disk_sync(int file)
{
    while (fdatasync(file) != 0) {
        if (errno != EINTR)
            return errno;
    }
    return 0;
}

static int disk_fill_zeros(int file, uint64_t size)
{
    static uint8_t zeros[DISK_PIECE_SIZE];
    uint64_t at;
    int error = disk_direct_zeros(file, size, &at);
    while (error == 0 && at < size) {
        uint64_t left = size - at;
        struct iovec iov = {zeros, left < DISK_PIECE_SIZE ? (size_t)left : DISK_PIECE_SIZE};
        error = disk_write_all(file, &iov, 1, at);
        at += left < DISK_PIECE_SIZE ? left : DISK_PIECE_SIZE;
    }
    return error != 0 ? error : disk_sync(file);
}

static int disk_do_create(const struct disk *disk, struct disk_job *job)
{
    int file = openat(disk->root, job->name, O_RDWR | O_CREAT | O_EXCL | DISK_FLAGS, 0600);
    if (file < 0)
        return errno;
    int error = disk_fill_zeros(file, job->size);
    if (error != 0) {
        /* Half a file would only be in the way of the next attempt. */
        close(file);
        unlinkat(disk->root, job->name, 0);
        return error;
    }
    job->file = file;
    return 0;
}

static int disk_do_open(const struct disk *disk, struct disk_job *job)
{
    /* O_NONBLOCK: a pipe somebody put there must not make us wait; files do not care. */
    int file = openat(disk->root, job->name, O_RDWR | O_NONBLOCK | DISK_FLAGS);
    if (file < 0)
        return errno;
    struct stat stat;
    int error = fstat(file, &stat) != 0 ? errno : 0;
    if (error == 0 && (!S_ISREG(stat.st_mode) || stat.st_uid != geteuid() || stat.st_mode & 022))
        error = EACCES;
    if (error != 0) {
        close(file);
        return error;
    }
    job->file = file;
    job->size = (uint64_t)stat.st_size;
    return 0;
}

static int disk_do_close(struct disk_job *job)
{
    int error = close(job->file) != 0 && errno != EINTR ? errno : 0;
    job->file = -1;
    return error;
}

static int disk_do_read(struct disk_job *job)
{
    int error = job->direct ? disk_direct_read(job) : 0;
    if (error != 0)
        return error;
    while (job->moved < job->size) {
        ssize_t size = pread(job->file, (uint8_t *)job->into + job->moved,
                             (size_t)(job->size - job->moved), (off_t)(job->offset + job->moved));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0)
            return errno;
        if (size == 0)
            break;
        job->moved += (uint64_t)size;
    }
    return 0;
}

/* From job->moved on until before `to`, through the page cache. */
static int disk_write_cached(struct disk_job *job, uint64_t to)
{
    struct iovec iov[DISK_PARTS_MAX];
    if (job->moved >= to)
        return 0;
    int count = disk_vector(job, job->moved, to, iov);
    int error = disk_write_all(job->file, iov, count, job->offset + job->moved);
    if (error == 0)
        job->moved = to;
    return error;
}

static int disk_do_write(const struct disk *disk, struct disk_direct *direct, struct disk_job *job)
{
    if (job->parts_count > DISK_PARTS_MAX)
        return EINVAL;
    uint64_t size = 0;
    for (uint32_t i = 0; i < job->parts_count; i++)
        size += job->parts[i].size;
    int error = 0;
    if (direct != NULL) {
        uint64_t begin;
        uint64_t end;
        disk_direct_span(job, size, &begin, &end);
        error = disk_write_cached(job, begin);
        if (error == 0)
            error = disk_direct_write(direct, disk->root, job, end);
    }
    if (error == 0)
        error = disk_write_cached(job, size);
    return error == 0 && job->sync ? disk_sync(job->file) : error;
}

static int disk_do_rename(const struct disk *disk, struct disk_job *job)
{
    if (!disk_name_valid(job->to))
        return EINVAL;
    if (renameat(disk->root, job->name, disk->root, job->to) != 0)
        return errno;
    char from[DISK_NAME_MAX];
    char to[DISK_NAME_MAX];
    disk_parent(job->name, from);
    disk_parent(job->to, to);
    int error = disk_sync_directory(disk, to);
    return error == 0 && strcmp(from, to) != 0 ? disk_sync_directory(disk, from) : error;
}

static int disk_do_remove(const struct disk *disk, struct disk_thread *thread,
                          const struct disk_job *job)
{
    int file = thread != NULL ? disk_remains_open(disk->root, job->name) : -1;
    int error = unlinkat(disk->root, job->name, 0) != 0 ? errno : 0;
    if (error == 0)
        error = disk_sync_parent(disk, job->name);
    /* A name that may come back keeps its file whole. */
    if (error == 0 && file >= 0)
        disk_remains_take(&thread->remains, file);
    else if (file >= 0)
        close(file);
    return error;
}

static int disk_do_make_directory(const struct disk *disk, const struct disk_job *job)
{
    /* Synced even if it is there: whoever made it may have been cut off before the sync. */
    if (mkdirat(disk->root, job->name, 0700) != 0 && errno != EEXIST)
        return errno;
    int file;
    int error = disk_open_directory(disk, job->name, &file);
    if (error != 0)
        return error;
    close(file);
    return disk_sync_parent(disk, job->name);
}

static int disk_listed(const struct dirent *entry)
{
    return strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0;
}

static int disk_compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int disk_do_list(const struct disk *disk, struct disk_job *job)
{
    int directory;
    int error = disk_open_directory(disk, job->name, &directory);
    if (error != 0)
        return error;
    struct dirent **entries = NULL;
    int count = scandirat(directory, ".", &entries, disk_listed, disk_compare_names);
    error = count < 0 ? errno : 0;
    for (int i = 0; i < count; i++) {
        struct stat stat;
        if (fstatat(directory, entries[i]->d_name, &stat, AT_SYMLINK_NOFOLLOW) == 0 &&
            S_ISREG(stat.st_mode))
            job->listed(job->owner, entries[i]->d_name);
        free(entries[i]);
    }
    free(entries);
    close(directory);
    return error;
}

static bool disk_op_names(enum disk_op op)
{
    return op != DISK_CLOSE && op != DISK_READ && op != DISK_WRITE && op != DISK_SYNC;
}

static int disk_dispatch(const struct disk *disk, struct disk_thread *thread, struct disk_job *job)
{
    if (disk->root < 0)
        return EBADF;
    if (disk_op_names(job->op) && !disk_name_valid(job->name))
        return EINVAL;
    switch (job->op) {
    case DISK_CREATE:
        return disk_do_create(disk, job);
    case DISK_OPEN:
        return disk_do_open(disk, job);
    case DISK_CLOSE:
        return disk_do_close(job);
    case DISK_READ:
        return disk_do_read(job);
    case DISK_WRITE:
        return disk_do_write(disk, thread != NULL ? &thread->direct : NULL, job);
    case DISK_SYNC:
        return disk_sync(job->file);
    case DISK_RENAME:
        return disk_do_rename(disk, job);
    case DISK_REMOVE:
        return disk_do_remove(disk, thread, job);
    case DISK_SYNC_DIRECTORY:
        return disk_sync_directory(disk, job->name);
    case DISK_MAKE_DIRECTORY:
        return disk_do_make_directory(disk, job);
    case DISK_LIST:
        return disk_do_list(disk, job);
    }
    return EINVAL;
}

uint64_t disk_clock_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* Where a disk is full, what this thread has not given back yet may be all that is missing. */
static bool disk_finds_room(struct disk_thread *thread, const struct disk_job *job)
{
    if (disk_status(job->error) != STATUS_NO_SPACE || thread == NULL || thread->remains.count == 0)
        return false;
    disk_remains_release(&thread->remains);
    return true;
}

void disk_do(const struct disk *disk, struct disk_thread *thread, struct disk_job *job)
{
    uint64_t began = disk_clock_ns();
    if (thread != NULL && job->op != DISK_WRITE)
        disk_direct_close(&thread->direct);
    do {
        job->moved = 0;
        job->error = disk_dispatch(disk, thread, job);
    } while (disk_finds_room(thread, job));
    job->status = disk_status(job->error);
    job->took_ns = disk_clock_ns() - began;
}

void disk_thread_release(struct disk_thread *thread)
{
    disk_direct_release(&thread->direct);
    disk_remains_release(&thread->remains);
}
