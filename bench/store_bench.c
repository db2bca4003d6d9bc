/* Bench: the state machine alone, on one core, without log or network: puts applied a second, bytes
 * a key, save and load, ranges, watchers, compaction. Prints a line each; wall time beside the
 * processor's, because what memory costs for the first time is the kernel's doing. */
#include "service/machine.h"
#include "store/watch.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define KEYS 1000000u
#define BATCH 100u

static void *bench_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

struct stopwatch {
    double wall;
    double user;
};

static struct stopwatch stopwatch_now(void)
{
    struct timespec t;
    struct rusage usage;
    clock_gettime(CLOCK_MONOTONIC, &t);
    getrusage(RUSAGE_SELF, &usage);
    return (struct stopwatch){
        (double)t.tv_sec + (double)t.tv_nsec / 1e9,
        (double)usage.ru_utime.tv_sec + (double)usage.ru_utime.tv_usec / 1e6,
    };
}

/* Prints what went by since `from`, as a rate of `count`. */
static void report(const char *what, struct stopwatch from, double count)
{
    struct stopwatch to = stopwatch_now();
    double wall = to.wall - from.wall;
    printf("%-34s %8.3f s wall %8.3f s user %12.0f /s\n", what, wall, to.user - from.user,
           count / wall);
    fflush(stdout);
}

static size_t resident(void)
{
    long total = 0;
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    if (file == NULL || fscanf(file, "%ld %ld", &total, &pages) != 2)
        pages = 0;
    if (file != NULL)
        fclose(file);
    return (size_t)pages * (size_t)sysconf(_SC_PAGESIZE);
}

static struct bytes bench_key(char *at, uint64_t number)
{
    snprintf(at, 40, "/bench/key/%021llu", (unsigned long long)number);
    return bytes_of(at, 32);
}

static void bench_puts(struct machine *machine, struct mem *mem, const char *what, bool random)
{
    uint8_t value[256];
    double wall = 0;
    double user = 0;
    memset(value, 'x', sizeof value);
    struct buffer buffer;
    buffer_init(&buffer, mem, (size_t)1 << 24);
    for (uint64_t i = 0; i < KEYS; i += BATCH) {
        struct batch_header header = {.origin = 1, .incarnation = 1, .count = BATCH};
        header.sequence = machine_session(machine, 1, 1) + 1;
        buffer_clear(&buffer);
        batch_header_store(buffer_extend(&buffer, BATCH_HEADER_SIZE), &header);
        for (uint64_t j = i; j < i + BATCH; j++) {
            char key[40];
            uint64_t number = random ? j * 2654435761u % KEYS : j;
            struct command put = {
                .kind = COMMAND_PUT,
                .put = {.key = bench_key(key, number), .value = bytes_of(value, sizeof value)}};
            command_encode(&buffer, &put);
        }
        struct stopwatch from = stopwatch_now();
        machine_apply(machine, machine_slot(machine) + 1, buffer_bytes(&buffer));
        struct stopwatch to = stopwatch_now();
        wall += to.wall - from.wall;
        user += to.user - from.user;
    }
    printf("%-34s %8.3f s wall %8.3f s user %12.0f /s\n", what, wall, user, KEYS / wall);
    buffer_release(&buffer);
}

static void bench_snapshot(struct machine *machine, const struct machine_config *config)
{
    struct buffer slices[2048];
    size_t count = 0;
    struct stopwatch from = stopwatch_now();
    struct machine_saver *saver = machine_save(machine);
    bool more = true;
    while (more && count < 2048) {
        buffer_init(&slices[count], config->mem, (size_t)1 << 24);
        more = machine_save_next(saver, &slices[count++]);
    }
    machine_save_end(saver);
    report("save", from, KEYS);
    struct machine *copy = machine_new(config);
    from = stopwatch_now();
    struct machine_loader *loader = machine_load(copy);
    for (size_t i = 0; i < count; i++) {
        if (machine_load_piece(loader, buffer_bytes(&slices[i])) != STATUS_OK)
            abort();
    }
    if (machine_load_end(loader) != STATUS_OK)
        abort();
    report("load", from, KEYS);
    for (size_t i = 0; i < count; i++)
        buffer_release(&slices[i]);
    machine_free(copy);
}

static void bench_ranges(struct machine *machine, struct mem *mem)
{
    struct arena arena;
    struct range_result result;
    arena_init(&arena, mem);
    struct range_query query = {.range = {bytes_of("\0", 1), bytes_of("\0", 1)}, .limit = 10};
    struct stopwatch from = stopwatch_now();
    for (int i = 0; i < 10000; i++) {
        store_range(machine_store(machine), &query, &arena, &result);
        arena_reset(&arena);
    }
    report("range over all, limit 10", from, 10000);
    query.order = SORT_DESCEND;
    from = stopwatch_now();
    for (int i = 0; i < 10000; i++) {
        store_range(machine_store(machine), &query, &arena, &result);
        arena_reset(&arena);
    }
    report("the same, descending", from, 10000);
    from = stopwatch_now();
    struct kv kv;
    for (uint64_t i = 0; i < KEYS; i++) {
        char key[40];
        if (!store_get(machine_store(machine), bench_key(key, i * 40503u % KEYS), &kv))
            abort();
    }
    report("get of random keys", from, KEYS);
    uint32_t hash;
    from = stopwatch_now();
    store_hash(machine_store(machine), 0, &hash);
    report("hash of everything", from, KEYS);
    arena_release(&arena);
}

static void on_ready(void *owner, struct watcher *watcher)
{
    (void)watcher;
    (**(uint64_t **)owner)++;
}

static void bench_watchers(struct machine *machine, struct mem *mem)
{
    struct watcher **watchers = malloc(KEYS * sizeof *watchers);
    uint64_t woken = 0;
    size_t before = mem->used;
    struct stopwatch from = stopwatch_now();
    for (uint64_t i = 0; i < KEYS; i++) {
        char key[40];
        uint64_t *counter = &woken;
        struct watch_spec spec = {.range = {.key = bench_key(key, i)},
                                  .owner = &counter,
                                  .owner_size = sizeof counter,
                                  .on_ready = on_ready};
        watchers[i] = watch_open(machine_store(machine), &spec);
    }
    report("watchers opened", from, KEYS);
    printf("%-34s %8.1f\n", "bytes a watcher", (double)(mem->used - before) / KEYS);
    bench_puts(machine, mem, "puts, each with a watcher", false);
    for (uint64_t i = 0; i < KEYS; i++)
        watch_close(machine_store(machine), watchers[i]);
    if (woken != KEYS)
        abort();
    free(watchers);
}

static void bench_compaction(struct machine *machine)
{
    struct store *store = machine_store(machine);
    double longest = 0;
    struct stopwatch from = stopwatch_now();
    if (store_compact(store, store_revision(store)) != REFUSAL_NONE)
        abort();
    bool more = true;
    while (more) {
        struct stopwatch slice = stopwatch_now();
        more = store_work(store, 1000);
        double took = stopwatch_now().wall - slice.wall;
        longest = took > longest ? took : longest;
    }
    report("compaction of a million versions", from, KEYS);
    printf("%-34s %8.3f ms\n", "its longest slice of 1000", longest * 1e3);
}

int main(int argc, char **argv)
{
    (void)argv;
    struct mem mem = {.resize = bench_resize};
    struct machine_config config = {.mem = &mem, .members = 3, .self = 1};
    size_t before = resident();
    struct machine *machine = machine_new(&config);
    bool random = argc > 1;
    bench_puts(machine, &mem, random ? "puts of new keys, random order" : "puts of new keys",
               random);
    printf("%-34s %8.1f resident, %.1f counted\n", "bytes a key",
           (double)(resident() - before) / KEYS, (double)store_size(machine_store(machine)) / KEYS);
    bench_snapshot(machine, &config);
    bench_ranges(machine, &mem);
    bench_watchers(machine, &mem);
    bench_compaction(machine);
    machine_free(machine);
    return 0;
}
