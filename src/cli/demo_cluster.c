/* Demo cluster: starting, killing and stopping the member processes, and where they keep things.
 *
 * A member's pid is non-zero exactly while the process exists and has not been waited for; the
 * kernel kills it if this process dies. */
#include "cli/demo.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define STOP_LIMIT_MS 10000

extern char **environ;

/* A data directory that is used again must keep its cluster's token. */
static bool read_token(struct demo *demo)
{
    char path[600];
    snprintf(path, sizeof path, "%s/token", demo->directory);
    FILE *file = fopen(path, "r");
    bool had = file != NULL && fscanf(file, "%39s", demo->token) == 1;
    if (file != NULL)
        fclose(file);
    if (had)
        return true;
    uint64_t random = 0;
    if (getrandom(&random, sizeof random, 0) != sizeof random)
        return show_failed(demo, "no randomness for the cluster's token");
    snprintf(demo->token, sizeof demo->token, "demo-%016llx", (unsigned long long)random);
    file = fopen(path, "w");
    if (file == NULL || fprintf(file, "%s\n", demo->token) < 0 || fclose(file) != 0)
        return show_failed(demo, "cannot write %s: %s", path, strerror(errno));
    return true;
}

bool cluster_make_directory(struct demo *demo, const char *given)
{
    const char *temporary = getenv("TMPDIR");
    if (given[0] != '\0') {
        snprintf(demo->directory, sizeof demo->directory, "%s", given);
        if (mkdir(given, 0700) != 0 && errno != EEXIST)
            return show_failed(demo, "cannot make %s: %s", given, strerror(errno));
        return read_token(demo);
    }
    snprintf(demo->directory, sizeof demo->directory, "%s/synod-demo-XXXXXX",
             temporary != NULL && temporary[0] != '\0' ? temporary : "/tmp");
    if (mkdtemp(demo->directory) == NULL)
        return show_failed(demo, "cannot make %s: %s", demo->directory, strerror(errno));
    demo->directory_is_ours = true;
    return read_token(demo);
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

void cluster_remove_directory(struct demo *demo)
{
    if (demo->directory_is_ours)
        nftw(demo->directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    demo->directory_is_ours = false;
}

static bool port_free(unsigned port)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int on = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    bool free_port = bind(fd, (const struct sockaddr *)&address, sizeof address) == 0;
    close(fd);
    return free_port;
}

bool cluster_ports_free(struct demo *demo)
{
    for (size_t i = 0; i < demo->members_count; i++) {
        const struct demo_member *member = &demo->members[i];
        unsigned taken = !port_free(member->client_port) ? member->client_port
                         : !port_free(member->peer_port) ? member->peer_port
                                                         : 0;
        if (taken != 0)
            return show_failed(demo,
                               "port %u of 127.0.0.1 is in use: stop what uses it or choose "
                               "others with --port",
                               taken);
    }
    return true;
}

static void initial_cluster(const struct demo *demo, char *ret_text, size_t capacity)
{
    size_t size = 0;
    for (size_t i = 0; i < demo->members_count && size < capacity; i++)
        size +=
            (size_t)snprintf(ret_text + size, capacity - size, "%s%s=http://127.0.0.1:%u",
                             i > 0 ? "," : "", demo->members[i].name, demo->members[i].peer_port);
}

/* Variables meant for a member of the user's own must not reach these. */
static void drop_member_environment(void)
{
    for (size_t i = 0; environ[i] != NULL;) {
        char name[256];
        snprintf(name, sizeof name, "%.*s", (int)strcspn(environ[i], "="), environ[i]);
        if (strncmp(name, "ETCD_", 5) == 0 && unsetenv(name) == 0)
            i = 0;
        else
            i++;
    }
}

/* In the child; does not return. */
static void become_member(char *const *arguments, const char *log, pid_t parent)
{
    int null = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    /* A session of its own: Ctrl-C is for the demo, which then stops the members in order. */
    setsid();
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent || null < 0 || out < 0)
        _exit(126);
    dup2(null, STDIN_FILENO);
    dup2(out, STDOUT_FILENO);
    dup2(out, STDERR_FILENO);
    sigset_t none;
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    drop_member_environment();
    execv("/proc/self/exe", arguments);
    fprintf(stderr, "cannot execute /proc/self/exe: %s\n", strerror(errno));
    _exit(127);
}

bool cluster_start(struct demo *demo, struct demo_member *member)
{
    char data[600];
    char log[600];
    char client_url[64];
    char peer_url[64];
    char cluster[DEMO_MEMBERS_MAX * 64];
    snprintf(data, sizeof data, "%s/%s", demo->directory, member->name);
    snprintf(log, sizeof log, "%s/%s.log", demo->directory, member->name);
    snprintf(client_url, sizeof client_url, "http://127.0.0.1:%u", member->client_port);
    snprintf(peer_url, sizeof peer_url, "http://127.0.0.1:%u", member->peer_port);
    initial_cluster(demo, cluster, sizeof cluster);
    const char *arguments[] = {
        "synod",
        "serve",
        "--name",
        member->name,
        "--data-dir",
        data,
        "--listen-client-urls",
        client_url,
        "--advertise-client-urls",
        client_url,
        "--listen-peer-urls",
        peer_url,
        "--initial-advertise-peer-urls",
        peer_url,
        "--initial-cluster",
        cluster,
        "--initial-cluster-token",
        demo->token,
        "--initial-cluster-state",
        "new",
        "--engine",
        demo->engine,
        NULL,
    };
    fflush(NULL);
    pid_t parent = getpid();
    pid_t pid = fork();
    if (pid == 0)
        become_member((char *const *)(uintptr_t)arguments, log, parent);
    if (pid < 0)
        return show_failed(demo, "cannot start %s: %s", member->name, strerror(errno));
    member->pid = pid;
    member->killed = false;
    return true;
}

void cluster_kill(struct demo *demo, struct demo_member *member, int number)
{
    member->killed = true;
    if (member->pid != 0)
        kill(member->pid, number);
    while (number == SIGKILL && member->pid != 0) {
        cluster_reap(demo);
        usleep(200);
    }
}

static void report_end(struct demo *demo, const struct demo_member *member, int status)
{
    if (member->killed || demo->stopping)
        return;
    if (WIFSIGNALED(status))
        show_line(demo, "%s was ended by signal %d; the others go on", member->name,
                  WTERMSIG(status));
    else
        show_line(demo, "%s ended with exit code %d; its log is %s/%s.log", member->name,
                  WEXITSTATUS(status), demo->directory, member->name);
}

void cluster_reap(struct demo *demo)
{
    for (size_t i = 0; i < demo->members_count; i++) {
        struct demo_member *member = &demo->members[i];
        int status = 0;
        if (member->pid == 0 || waitpid(member->pid, &status, WNOHANG) != member->pid)
            continue;
        member->pid = 0;
        report_end(demo, member, status);
    }
}

static size_t running_count(const struct demo *demo)
{
    size_t running = 0;
    for (size_t i = 0; i < demo->members_count; i++)
        running += demo->members[i].pid != 0 ? 1 : 0;
    return running;
}

bool cluster_stop(struct demo *demo)
{
    demo->stopping = true;
    for (size_t i = 0; i < demo->members_count; i++)
        if (demo->members[i].pid != 0)
            kill(demo->members[i].pid, SIGTERM);
    for (unsigned ms = 0; running_count(demo) > 0 && ms < STOP_LIMIT_MS; ms += 5) {
        cluster_reap(demo);
        usleep(5000);
    }
    bool obeyed = running_count(demo) == 0;
    for (size_t i = 0; i < demo->members_count; i++)
        if (demo->members[i].pid != 0)
            cluster_kill(demo, &demo->members[i], SIGKILL);
    return obeyed;
}

uint64_t member_memory(const struct demo_member *member)
{
    char path[64];
    unsigned long long size = 0;
    unsigned long long resident = 0;
    snprintf(path, sizeof path, "/proc/%d/statm", (int)member->pid);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return 0;
    if (fscanf(file, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(file);
    return resident * (uint64_t)sysconf(_SC_PAGESIZE);
}

void member_print_log(const struct demo *demo, const struct demo_member *member)
{
    char path[600];
    char tail[2001];
    snprintf(path, sizeof path, "%s/%s.log", demo->directory, member->name);
    FILE *file = fopen(path, "r");
    if (file == NULL)
        return;
    if (fseek(file, -2000, SEEK_END) != 0)
        rewind(file);
    size_t size = fread(tail, 1, sizeof tail - 1, file);
    tail[size] = '\0';
    fclose(file);
    const char *line =
        size == sizeof tail - 1 && strchr(tail, '\n') ? strchr(tail, '\n') + 1 : tail;
    fprintf(stderr, "--- the end of %s\n%s", path, line);
}
