/* Opening the data directory: making it, judging its owner and mode, and locking it.
 *
 * The one invariant: a directory that others could read or write is refused, not repaired; changing
 * modes behind its owner's back would hide that it stood open. */
#include "world/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define DISK_LOCK_NAME "lock"

static enum status disk_complain(struct text *error, const char *before, const char *path,
                                 const char *after, int number)
{
    text_add(error, before);
    text_add(error, path);
    text_add(error, after);
    if (number != 0) {
        text_add(error, ": ");
        text_add(error, strerror(number));
    }
    return disk_status(number);
}

/* A directory that was just made is only there after a power cut if its parent was synced. */
static enum status disk_sync_parent(int root, struct text *error, const char *path)
{
    int parent = openat(root, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int failed = parent < 0 || fsync(parent) != 0 ? errno : 0;
    if (parent >= 0)
        close(parent);
    if (failed == 0)
        return STATUS_OK;
    return disk_complain(error, "cannot sync the parent of data directory ", path, "", failed);
}

static enum status disk_judge(int root, struct text *error, const char *path)
{
    struct stat stat;
    if (fstat(root, &stat) != 0)
        return disk_complain(error, "cannot examine data directory ", path, "", errno);
    if (stat.st_uid != geteuid()) {
        disk_complain(error, "data directory ", path, " belongs to user ", 0);
        text_u64(error, stat.st_uid);
        text_add(error, ", but this process runs as user ");
        text_u64(error, geteuid());
        text_add(error, ": run it as the owner, or chown the directory");
        return STATUS_PERMISSION;
    }
    if ((stat.st_mode & 077) != 0) {
        disk_complain(error, "data directory ", path,
                      " can be reached by other users of this machine: run chmod 700 ", 0);
        text_add(error, path);
        return STATUS_PERMISSION;
    }
    return STATUS_OK;
}

static void disk_name_holder(int lock, struct text *error)
{
    char pid[16];
    ssize_t size = pread(lock, pid, sizeof pid, 0);
    if (size <= 0)
        return;
    text_add(error, " (process ");
    for (ssize_t i = 0; i < size && pid[i] >= '0' && pid[i] <= '9'; i++)
        text_bytes(error, bytes_of(&pid[i], 1));
    text_add(error, ")");
}

/* A member that was killed holds its lock until the system has taken its memory back: a supervisor
 * that starts the next one at once must not find the directory busy. */
static int disk_lock_patiently(int lock)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    for (int i = 0; i < 200; i++) {
        if (flock(lock, LOCK_EX | LOCK_NB) == 0)
            return 0;
        if (errno != EWOULDBLOCK)
            return -1;
        nanosleep(&pause, NULL);
    }
    errno = EWOULDBLOCK;
    return flock(lock, LOCK_EX | LOCK_NB);
}

/* The lock is the system's, bound to our open file: it goes when the process does, however that
 * ends. The number in the file is for people: a disk too full to hold it is no reason not to start,
 * since a member that starts may well free some space. */
static enum status disk_take_lock(struct disk *disk, struct text *error, const char *path)
{
    disk->lock =
        openat(disk->root, DISK_LOCK_NAME, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (disk->lock < 0)
        return disk_complain(error, "cannot open the lock in data directory ", path, "", errno);
    if (disk_lock_patiently(disk->lock) != 0) {
        if (errno != EWOULDBLOCK)
            return disk_complain(error, "cannot lock data directory ", path, "", errno);
        disk_complain(error, "data directory ", path, " is in use by another process", 0);
        disk_name_holder(disk->lock, error);
        return STATUS_BUSY;
    }
    char room[24];
    struct text pid = text_of(room, sizeof room);
    text_u64(&pid, (uint64_t)getpid());
    text_add(&pid, "\n");
    if (ftruncate(disk->lock, 0) == 0)
        (void)!pwrite(disk->lock, pid.data, pid.size, 0);
    return STATUS_OK;
}

enum status disk_open(const char *path, struct text *error, struct disk *ret_disk)
{
    struct disk disk = DISK_CLOSED;
    enum status status = STATUS_OK;
    bool made = mkdir(path, 0700) == 0;
    if (!made && errno != EEXIST) {
        status = disk_complain(error, "cannot make data directory ", path, "", errno);
        goto out;
    }
    /* The path itself may be a link: people put data on another disk that way. */
    disk.root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (disk.root < 0) {
        status = disk_complain(error, "cannot open data directory ", path, "", errno);
        goto out;
    }
    status = disk_judge(disk.root, error, path);
    if (status == STATUS_OK)
        status = disk_take_lock(&disk, error, path);
    if (status == STATUS_OK && made)
        status = disk_sync_parent(disk.root, error, path);
out:
    if (status != STATUS_OK)
        disk_close(&disk);
    *ret_disk = disk;
    return status;
}

void disk_close(struct disk *disk)
{
    if (disk->lock >= 0)
        close(disk->lock);
    if (disk->root >= 0)
        close(disk->root);
    *disk = DISK_CLOSED;
}
