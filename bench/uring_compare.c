/* What io_uring would save: the two things that a member's loop does all day, done once as libuv
 * and the disk's thread do them and once through a ring. Decision 0012 has the figures.
 *
 *   uring_compare disk FILE [OPERATIONS]       one write of 10 KiB and its sync after the other
 *   uring_compare echo [CONNECTIONS] [SECONDS] small requests, one in flight on each connection
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SEGMENT_SIZE ((off_t)16 * 1024 * 1024)
#define WRITE_SIZE 10240
#define REQUEST_SIZE 300
#define REPLY_SIZE 60
#define BUFFERS 512
#define BUFFER_SIZE 2048
#define CONNECTIONS_MAX 1000

static void must(bool holds, const char *what)
{
    if (holds)
        return;
    perror(what);
    exit(1);
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static double cpu_seconds(int who)
{
    struct rusage usage;
    getrusage(who, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

/* --- Disk -------------------------------------------------------------------------------------*/

struct disk {
    int file;
    uint8_t *block;
    off_t at;
    int finished; /* eventfd */
    pthread_mutex_t mutex;
    pthread_cond_t submitted;
    int waiting;
    bool stopping;
};

static void disk_open(struct disk *disk, const char *path)
{
    static uint8_t zeros[1 << 20];
    *disk = (struct disk){.file = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600)};
    must(disk->file >= 0, path);
    for (off_t at = 0; at < SEGMENT_SIZE; at += (off_t)sizeof zeros)
        must(pwrite(disk->file, zeros, sizeof zeros, at) == (ssize_t)sizeof zeros, "pwrite");
    must(fsync(disk->file) == 0, "fsync");
    close(disk->file);
    disk->file = open(path, O_RDWR | O_DIRECT);
    must(disk->file >= 0, "O_DIRECT");
    must(posix_memalign((void **)&disk->block, 4096, WRITE_SIZE) == 0, "posix_memalign");
    memset(disk->block, 1, WRITE_SIZE);
}

static off_t disk_next(struct disk *disk)
{
    off_t at = disk->at;
    disk->at = at + 2 * WRITE_SIZE > SEGMENT_SIZE ? 0 : at + WRITE_SIZE;
    return at;
}

static void *disk_thread(void *argument)
{
    struct disk *disk = argument;
    pthread_mutex_lock(&disk->mutex);
    for (;;) {
        while (disk->waiting == 0 && !disk->stopping)
            pthread_cond_wait(&disk->submitted, &disk->mutex);
        if (disk->stopping)
            break;
        disk->waiting--;
        pthread_mutex_unlock(&disk->mutex);
        must(pwrite(disk->file, disk->block, WRITE_SIZE, disk_next(disk)) == WRITE_SIZE, "pwrite");
        must(fdatasync(disk->file) == 0, "fdatasync");
        must(eventfd_write(disk->finished, 1) == 0, "eventfd");
        pthread_mutex_lock(&disk->mutex);
    }
    pthread_mutex_unlock(&disk->mutex);
    return NULL;
}

static void disk_by_thread(struct disk *disk, int operations)
{
    pthread_t thread;
    pthread_mutex_init(&disk->mutex, NULL);
    pthread_cond_init(&disk->submitted, NULL);
    disk->finished = eventfd(0, EFD_NONBLOCK);
    int poll = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN};
    epoll_ctl(poll, EPOLL_CTL_ADD, disk->finished, &event);
    pthread_create(&thread, NULL, disk_thread, disk);
    for (int i = 0; i < operations; i++) {
        pthread_mutex_lock(&disk->mutex);
        disk->waiting++;
        pthread_cond_signal(&disk->submitted);
        pthread_mutex_unlock(&disk->mutex);
        eventfd_t value;
        while (eventfd_read(disk->finished, &value) != 0)
            must(epoll_wait(poll, &event, 1, -1) >= 0 || errno == EINTR, "epoll_wait");
    }
    pthread_mutex_lock(&disk->mutex);
    disk->stopping = true;
    pthread_cond_signal(&disk->submitted);
    pthread_mutex_unlock(&disk->mutex);
    pthread_join(thread, NULL);
}

static void ring_open(struct io_uring *ring)
{
    struct io_uring_params params = {.flags = IORING_SETUP_SINGLE_ISSUER |
                                              IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_CQSIZE,
                                     .cq_entries = 4096};
    int failed = io_uring_queue_init_params(1024, ring, &params);
    errno = -failed;
    must(failed == 0, "io_uring is not to be had here");
}

static void disk_by_ring(struct disk *disk, int operations)
{
    struct io_uring ring;
    ring_open(&ring);
    for (int i = 0; i < operations; i++) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(&ring);
        io_uring_prep_write(sqe, disk->file, disk->block, WRITE_SIZE, (uint64_t)disk_next(disk));
        sqe->flags |= IOSQE_IO_LINK;
        sqe = io_uring_get_sqe(&ring);
        io_uring_prep_fsync(sqe, disk->file, IORING_FSYNC_DATASYNC);
        must(io_uring_submit_and_wait(&ring, 2) >= 0, "io_uring_submit_and_wait");
        struct io_uring_cqe *cqe;
        for (int done = 0; done < 2; done++) {
            must(io_uring_wait_cqe(&ring, &cqe) == 0 && cqe->res >= 0, "cqe");
            io_uring_cqe_seen(&ring, cqe);
        }
    }
    io_uring_queue_exit(&ring);
}

static void disk_run(const char *path, int operations)
{
    static const struct {
        const char *name;
        void (*run)(struct disk *disk, int operations);
    } ways[] = {{"thread", disk_by_thread}, {"ring", disk_by_ring}};
    for (int round = 0; round < 6; round++) {
        struct disk disk;
        disk_open(&disk, path);
        double began = seconds();
        double cpu = cpu_seconds(RUSAGE_SELF);
        ways[round % 2].run(&disk, operations);
        printf("disk %-7s %6.1f us each, %5.1f us of processor\n", ways[round % 2].name,
               (seconds() - began) * 1e6 / operations,
               (cpu_seconds(RUSAGE_SELF) - cpu) * 1e6 / operations);
        close(disk.file);
        free(disk.block);
    }
    unlink(path);
}

/* --- Echo -------------------------------------------------------------------------------------*/

struct connection {
    int socket;
    size_t received;
};

static uint8_t reply[REPLY_SIZE];
static uint8_t request[REQUEST_SIZE];

static void serve_by_epoll(struct connection *connections, int count)
{
    int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
    }
    static uint8_t into[65536];
    struct epoll_event events[CONNECTIONS_MAX];
    for (;;) {
        int ready = epoll_wait(poll, events, CONNECTIONS_MAX, -1);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            ssize_t size = read(connection->socket, into, sizeof into);
            if (size <= 0)
                _exit(0);
            connection->received += (size_t)size;
            for (; connection->received >= REQUEST_SIZE; connection->received -= REQUEST_SIZE)
                must(write(connection->socket, reply, sizeof reply) > 0, "write");
        }
    }
}

static void ring_receive(struct io_uring *ring, struct connection *connection)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_recv_multishot(sqe, connection->socket, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = 0;
    io_uring_sqe_set_data(sqe, connection);
}

static void ring_completed(struct io_uring *ring, struct io_uring_buf_ring *buffers,
                           uint8_t (*memory)[BUFFER_SIZE], const struct io_uring_cqe *cqe)
{
    struct connection *connection = io_uring_cqe_get_data(cqe);
    if (connection == NULL)
        return; /* a reply was sent */
    if (cqe->res == 0 || (cqe->res < 0 && cqe->res != -ENOBUFS))
        _exit(0);
    if (cqe->res > 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        io_uring_buf_ring_add(buffers, memory[id], BUFFER_SIZE, (unsigned short)id,
                              io_uring_buf_ring_mask(BUFFERS), 0);
        io_uring_buf_ring_advance(buffers, 1);
        connection->received += (size_t)cqe->res;
    }
    for (; connection->received >= REQUEST_SIZE; connection->received -= REQUEST_SIZE) {
        struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
        io_uring_prep_send(sqe, connection->socket, reply, sizeof reply, 0);
        sqe->flags |= IOSQE_CQE_SKIP_SUCCESS;
        io_uring_sqe_set_data(sqe, NULL);
    }
    if (!(cqe->flags & IORING_CQE_F_MORE))
        ring_receive(ring, connection);
}

static void serve_by_ring(struct connection *connections, int count)
{
    static uint8_t memory[BUFFERS][BUFFER_SIZE];
    struct io_uring ring;
    ring_open(&ring);
    struct io_uring_buf_ring *buffers;
    must(posix_memalign((void **)&buffers, 4096, BUFFERS * sizeof(struct io_uring_buf)) == 0,
         "posix_memalign");
    struct io_uring_buf_reg registration = {
        .ring_addr = (uintptr_t)buffers, .ring_entries = BUFFERS, .bgid = 0};
    must(io_uring_register_buf_ring(&ring, &registration, 0) == 0, "register_buf_ring");
    io_uring_buf_ring_init(buffers);
    for (unsigned i = 0; i < BUFFERS; i++)
        io_uring_buf_ring_add(buffers, memory[i], BUFFER_SIZE, (unsigned short)i,
                              io_uring_buf_ring_mask(BUFFERS), (int)i);
    io_uring_buf_ring_advance(buffers, BUFFERS);
    for (int i = 0; i < count; i++)
        ring_receive(&ring, &connections[i]);
    for (;;) {
        must(io_uring_submit_and_wait(&ring, 1) >= 0, "io_uring_submit_and_wait");
        struct io_uring_cqe *cqe;
        unsigned head;
        unsigned seen = 0;
        io_uring_for_each_cqe(&ring, head, cqe)
        {
            seen++;
            ring_completed(&ring, buffers, memory, cqe);
        }
        io_uring_cq_advance(&ring, seen);
    }
}

static void connect_pairs(struct connection *ours, struct connection *theirs, int count)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0);
    must(bind(listener, (struct sockaddr *)&address, sizeof address) == 0, "bind");
    must(listen(listener, CONNECTIONS_MAX) == 0, "listen");
    getsockname(listener, (struct sockaddr *)&address, &size);
    for (int i = 0; i < count; i++) {
        int yes = 1;
        ours[i] = (struct connection){.socket = socket(AF_INET, SOCK_STREAM, 0)};
        must(connect(ours[i].socket, (struct sockaddr *)&address, sizeof address) == 0, "connect");
        theirs[i] = (struct connection){.socket = accept(listener, NULL, NULL)};
        setsockopt(ours[i].socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
        setsockopt(theirs[i].socket, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    close(listener);
}

/* One request in flight on each connection, for so many seconds; returns how many were answered. */
static uint64_t client_run(struct connection *connections, int count, double length)
{
    int poll = epoll_create1(0);
    uint64_t answered = 0;
    for (int i = 0; i < count; i++) {
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = &connections[i]};
        epoll_ctl(poll, EPOLL_CTL_ADD, connections[i].socket, &event);
        must(write(connections[i].socket, request, sizeof request) > 0, "write");
    }
    static uint8_t into[65536];
    struct epoll_event events[CONNECTIONS_MAX];
    for (double end = seconds() + length; seconds() < end;) {
        int ready = epoll_wait(poll, events, CONNECTIONS_MAX, 1000);
        for (int i = 0; i < ready; i++) {
            struct connection *connection = events[i].data.ptr;
            ssize_t size = read(connection->socket, into, sizeof into);
            must(size > 0, "read");
            answered++;
            must(write(connection->socket, request, sizeof request) > 0, "write");
        }
    }
    close(poll);
    return answered;
}

static void echo_run(int count, double length)
{
    static const struct {
        const char *name;
        void (*serve)(struct connection *connections, int count);
    } ways[] = {{"epoll", serve_by_epoll}, {"ring", serve_by_ring}};
    static struct connection ours[CONNECTIONS_MAX];
    static struct connection theirs[CONNECTIONS_MAX];
    for (int round = 0; round < 6; round++) {
        connect_pairs(ours, theirs, count);
        pid_t server = fork();
        if (server == 0) {
            for (int i = 0; i < count; i++)
                close(ours[i].socket);
            ways[round % 2].serve(theirs, count);
        }
        for (int i = 0; i < count; i++)
            close(theirs[i].socket);
        double cpu = cpu_seconds(RUSAGE_CHILDREN);
        uint64_t answered = client_run(ours, count, length);
        for (int i = 0; i < count; i++)
            close(ours[i].socket);
        waitpid(server, NULL, 0);
        printf("echo %-7s %9.0f/s, server %5.2f us of processor each\n", ways[round % 2].name,
               (double)answered / length,
               (cpu_seconds(RUSAGE_CHILDREN) - cpu) * 1e6 / (double)answered);
    }
}

int main(int count, char **words)
{
    signal(SIGPIPE, SIG_IGN);
    if (count > 2 && strcmp(words[1], "disk") == 0) {
        disk_run(words[2], count > 3 ? atoi(words[3]) : 5000);
    } else if (count > 1 && strcmp(words[1], "echo") == 0) {
        int connections = count > 2 ? atoi(words[2]) : 33;
        echo_run(connections < CONNECTIONS_MAX ? connections : CONNECTIONS_MAX - 1,
                 count > 3 ? atof(words[3]) : 2);
    } else {
        fputs("usage: uring_compare disk FILE [OPERATIONS] | echo [CONNECTIONS] [SECONDS]\n",
              stderr);
        return 2;
    }
    return 0;
}
