/* The real world's table of functions and its life: opening, the turns of the loop, the timer,
 * stopping, and freeing when the last callback has come.
 *
 * The one invariant: every libuv handle and request is counted from its start to its callback, and
 * the memory goes when the count is zero, not before. */
#include "world/real.h"

#include "base/panic.h"
#include "world/mem_system.h"
#include "world/real_internal.h"

#include <signal.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

uint64_t real_world_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_BOOTTIME, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static struct real_world *real_of(struct world *world)
{
    return container_of(world, struct real_world, world);
}

/* The functions of the world */

static uint64_t real_now(struct world *world)
{
    (void)world;
    return real_world_now();
}

static uint64_t real_wall_ms(struct world *world)
{
    (void)world;
    return log_wall_us() / 1000;
}

static uint64_t real_random(struct world *world)
{
    return prng_next(&real_of(world)->prng);
}

static void real_timer(uv_timer_t *timer);

static void real_call_timer(struct real_world *real)
{
    const struct world_events *events = real->config.events;
    real->deadline = UINT64_MAX;
    if (events->on_timer != NULL)
        events->on_timer(events->owner);
}

static void real_overdue(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    real_call_timer(idle->data);
}

/* A deadline that has passed is served in the next turn, not by a timer of zero: that would run
 * again and again within this one, before any input is looked at. */
static void real_arm(struct world *world, uint64_t deadline)
{
    struct real_world *real = real_of(world);
    if (real->stopping || deadline == real->deadline)
        return;
    real->deadline = deadline;
    uv_timer_stop(&real->timer);
    uv_idle_stop(&real->overdue);
    if (deadline == UINT64_MAX)
        return;
    uint64_t now = real_world_now();
    if (deadline <= now)
        uv_idle_start(&real->overdue, real_overdue);
    else
        uv_timer_start(&real->timer, real_timer, (deadline - now - 1) / 1000000 + 1, 0);
}

/* The loop's clock is coarse and lags within a turn, so a timer may come a little early. */
static void real_timer(uv_timer_t *timer)
{
    struct real_world *real = timer->data;
    uint64_t deadline = real->deadline;
    real->deadline = UINT64_MAX;
    if (real_world_now() < deadline)
        real_arm(&real->world, deadline);
    else
        real_call_timer(real);
}

static void real_send(struct world *world, uint16_t to, struct bytes head, struct blob *entry)
{
    struct real_world *real = real_of(world);
    struct peer *peer = peer_find(real, to);
    if (peer != NULL && !real->stopping)
        send_add(peer, head, entry);
}

static void real_disk_ahead(struct world *world, struct disk_job *job)
{
    struct real_world *real = real_of(world);
    ensure(real->ahead == NULL && !real->finishing);
    real->ahead = job;
    disk_queue_submit(&real->workers[DISK_QUEUE_BULK], job);
}

static enum status real_disk_run(struct world *world, struct disk_job *job)
{
    struct real_world *real = real_of(world);
    if (real->ahead == job) {
        disk_queue_await(&real->workers[DISK_QUEUE_BULK], job);
        real->ahead = NULL;
    } else {
        disk_do(&real->disk, NULL, job);
    }
    return job->status;
}

static void real_disk_submit(struct world *world, enum disk_queue queue, struct disk_job *job)
{
    struct real_world *real = real_of(world);
    ensure(!real->finishing);
    disk_queue_submit(&real->workers[queue], job);
}

static void real_log(struct world *world, enum log_level level, const char *message,
                     const char *fields)
{
    log_write(&real_of(world)->log, level, "member", message, fields);
}

static const struct world_ops real_ops = {
    .now = real_now,
    .wall_ms = real_wall_ms,
    .random = real_random,
    .arm = real_arm,
    .send = real_send,
    .disk_run = real_disk_run,
    .disk_ahead = real_disk_ahead,
    .disk_submit = real_disk_submit,
    .log = real_log,
};

/* Life */

/* Before the loop waits and after it has read, so that nothing that was collected waits with it. */
static void real_turn(struct real_world *real)
{
    const struct world_events *events = real->config.events;
    if (real->stopping)
        return;
    if (events->on_turn != NULL)
        events->on_turn(events->owner);
    for (uint32_t i = 0; i < real->peers_count; i++)
        send_flush(&real->peers[i]);
}

static void real_before_poll(uv_prepare_t *handle)
{
    real_turn(handle->data);
}

static void real_after_poll(uv_check_t *handle)
{
    real_turn(handle->data);
}

void real_world_hold(struct real_world *real)
{
    real->handles_open++;
}

void real_world_unhold(struct real_world *real)
{
    ensure(real->handles_open > 0);
    if (--real->handles_open > 0)
        return;
    void (*closed)(void *owner) = real->closed;
    void *owner = real->closed_owner;
    struct mem *mem = real->world.mem;
    disk_close(&real->disk);
    for (uint32_t i = 0; i < real->peers_count; i++) {
        outbox_release(&real->peers[i].filling);
        outbox_release(&real->peers[i].writing);
    }
    mem_free(mem, real->receive, RECEIVE_SIZE);
    mem_free(mem, real, sizeof *real);
    if (closed != NULL)
        closed(owner);
}

static void real_handle_closed(uv_handle_t *handle)
{
    real_world_unhold(handle->data);
}

static void real_finish(struct real_world *real)
{
    real->finishing = true;
    if (real->drained != NULL)
        real->drained(real->closed_owner);
    disk_queue_release(&real->workers[DISK_QUEUE_LOG]);
    disk_queue_release(&real->workers[DISK_QUEUE_BULK]);
    uv_close((uv_handle_t *)&real->before_poll, real_handle_closed);
    uv_close((uv_handle_t *)&real->after_poll, real_handle_closed);
    uv_close((uv_handle_t *)&real->timer, real_handle_closed);
    uv_close((uv_handle_t *)&real->overdue, real_handle_closed);
    uv_close((uv_handle_t *)&real->disk_finished, real_handle_closed);
}

static void real_disk_finished(uv_async_t *async)
{
    struct real_world *real = async->data;
    uint32_t open = 0;
    for (size_t i = 0; i < 2; i++)
        disk_queue_collect(&real->workers[i]);
    for (size_t i = 0; i < 2; i++)
        open += real->workers[i].jobs_open;
    if (real->closing && open == 0)
        real_finish(real);
}

static void real_adopt(struct real_world *real, uv_handle_t *handle)
{
    handle->data = real;
    real_world_hold(real);
}

/* The one handle whose making can fail (it needs a descriptor) comes first. */
static int real_init_handles(struct real_world *real)
{
    uv_loop_t *loop = real->config.loop;
    int error = uv_async_init(loop, &real->disk_finished, real_disk_finished);
    if (error != 0)
        return error;
    uv_prepare_init(loop, &real->before_poll);
    uv_check_init(loop, &real->after_poll);
    uv_timer_init(loop, &real->timer);
    uv_idle_init(loop, &real->overdue);
    real_adopt(real, (uv_handle_t *)&real->disk_finished);
    real_adopt(real, (uv_handle_t *)&real->before_poll);
    real_adopt(real, (uv_handle_t *)&real->after_poll);
    real_adopt(real, (uv_handle_t *)&real->timer);
    real_adopt(real, (uv_handle_t *)&real->overdue);
    uv_prepare_start(&real->before_poll, real_before_poll);
    uv_check_start(&real->after_poll, real_after_poll);
    return 0;
}

static struct real_world *real_new(const struct real_world_config *config)
{
    struct mem *mem = config->mem != NULL ? config->mem : mem_system();
    struct real_world *real = mem_zero(mem, sizeof *real);
    real->world = (struct world){.ops = &real_ops, .mem = mem};
    real->config = *config;
    if (config->message_bytes_max == 0)
        real->config.message_bytes_max = REAL_WORLD_MESSAGE_BYTES_MAX;
    if (config->queue_bytes_max == 0)
        real->config.queue_bytes_max = REAL_WORLD_QUEUE_BYTES_MAX;
    real->log = (struct log){.fd = 2, .level = config->log_level, .format = config->log_format};
    real->deadline = UINT64_MAX;
    real->disk = DISK_CLOSED;
    real->receive = mem_alloc(mem, RECEIVE_SIZE);
    list_init(&real->incoming);
    return real;
}

static void real_free(struct real_world *real)
{
    struct mem *mem = real->world.mem;
    disk_close(&real->disk);
    mem_free(mem, real->receive, RECEIVE_SIZE);
    mem_free(mem, real, sizeof *real);
}

enum status real_world_open(const struct real_world_config *config, struct text *error,
                            struct real_world **ret_real)
{
    ensure(config->peers_count <= REAL_WORLD_PEERS_MAX);
    ensure(config->listen_count <= REAL_WORLD_LISTEN_MAX);
    struct real_world *real = real_new(config);
    uint64_t seed = 0;
    enum status status = STATUS_OK;
    if (config->root != NULL)
        status = disk_open(config->root, error, &real->disk);
    if (status == STATUS_OK && getrandom(&seed, sizeof seed, 0) != (ssize_t)sizeof seed) {
        text_add(error, "the system has no randomness");
        status = STATUS_IO;
    }
    if (status == STATUS_OK && real_init_handles(real) != 0) {
        text_add(error, "cannot start: too many open files");
        status = STATUS_IO;
    }
    if (status != STATUS_OK) {
        real_free(real);
        return status;
    }
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    real->prng = prng_seed(seed);
    for (size_t i = 0; i < 2; i++)
        disk_queue_init(&real->workers[i], &real->disk, &real->disk_finished);
    real_world_set_members(real, config->cluster, config->self, config->peers, config->peers_count);
    *ret_real = real;
    return STATUS_OK;
}

void real_world_set_members(struct real_world *real, uint64_t cluster, uint16_t self,
                            const struct real_world_peer *peers, uint32_t peers_count)
{
    ensure(!real->started && real->peers_count == 0 && peers_count <= REAL_WORLD_PEERS_MAX);
    real->config.cluster = cluster;
    real->config.self = self;
    for (uint32_t i = 0; i < peers_count; i++) {
        if (peers[i].node != self)
            dial_init(&real->peers[real->peers_count++], real, &peers[i]);
    }
}

struct world *real_world_world(struct real_world *real)
{
    return &real->world;
}

enum status real_world_start_links(struct real_world *real, struct text *error)
{
    ensure(!real->started && !real->stopping);
    real->started = true;
    enum status status = listen_start(real, error);
    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < real->peers_count; i++)
        dial_start(&real->peers[i]);
    return STATUS_OK;
}

void real_world_stop(struct real_world *real)
{
    if (real->stopping)
        return;
    real->stopping = true;
    uv_timer_stop(&real->timer);
    uv_idle_stop(&real->overdue);
    listen_stop(real);
    for (uint32_t i = 0; i < real->peers_count; i++)
        dial_stop(&real->peers[i]);
    list_each (link, &real->incoming)
        incoming_close(container_of(link, struct incoming, link), NULL);
}

void real_world_close(struct real_world *real, void (*drained)(void *owner),
                      void (*closed)(void *owner), void *owner)
{
    ensure(!real->closing);
    real_world_stop(real);
    real->closing = true;
    real->drained = drained;
    real->closed = closed;
    real->closed_owner = owner;
    /* Never from inside this call: a job's done may be what calls us. */
    uv_async_send(&real->disk_finished);
}

bool real_world_link(const struct real_world *real, uint16_t node, struct real_world_link *ret_link)
{
    for (uint32_t i = 0; i < real->peers_count; i++) {
        const struct peer *peer = &real->peers[i];
        if (peer->node == node) {
            *ret_link = peer->counters;
            ret_link->up = peer->reported_up;
            ret_link->bytes_queued = send_queued(peer);
            return true;
        }
    }
    return false;
}

void real_world_log(struct real_world *real, enum log_level level, const char *caller,
                    const char *message, const char *fields)
{
    log_write(&real->log, level, caller, message, fields);
}
