/* Random commands and the feeding of machines. */
#include "service/support_machine.h"

#include <stdlib.h>
#include <string.h>

static void *test_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

void test_mem_init(struct mem *mem)
{
    *mem = (struct mem){.resize = test_resize};
}

struct bytes random_key(struct prng *prng)
{
    static const char *const keys[] = {"a", "aa", "ab", "b", "b/1", "b/2", "b/20", "c", "zz"};
    return bytes_text(keys[prng_below(prng, sizeof keys / sizeof keys[0])]);
}

static struct key_range random_range(struct prng *prng)
{
    struct key_range range = {.key = random_key(prng)};
    uint64_t kind = prng_below(prng, 4);
    if (kind == 0)
        range.end = random_key(prng);
    else if (kind == 1)
        range.end = bytes_of("\0", 1);
    return range;
}

static struct put random_put(struct prng *prng, struct arena *arena)
{
    uint8_t *value = arena_zero(arena, 40);
    memset(value, (int)prng_below(prng, 4), 40);
    struct put put = {
        .key = random_key(prng),
        .value = bytes_of(value, (size_t)prng_below(prng, 40)),
        .lease = prng_below(prng, 3) == 0 ? 1 + (int64_t)prng_below(prng, 5) : 0,
        .want_previous = prng_below(prng, 2) == 0,
    };
    if (prng_below(prng, 8) == 0) {
        put.ignore_value = true;
        put.value = BYTES_EMPTY;
    }
    if (prng_below(prng, 8) == 0) {
        put.ignore_lease = true;
        put.lease = 0;
    }
    return put;
}

static struct range_query random_query(struct prng *prng)
{
    struct range_query query = {
        .range = random_range(prng),
        .revision = prng_below(prng, 3) == 0 ? (int64_t)prng_below(prng, 60) : 0,
        .limit = (int64_t)prng_below(prng, 4),
        .order = (enum sort_order)prng_below(prng, 3),
        .target = (enum sort_target)prng_below(prng, 5),
        .keys_only = prng_below(prng, 4) == 0,
        .count_only = prng_below(prng, 4) == 0,
        .serializable = prng_below(prng, 4) == 0,
        .max_mod_revision = (int64_t)prng_below(prng, 2) * 100,
    };
    return query;
}

static struct compare random_compare(struct prng *prng)
{
    struct compare compare = {
        .range = random_range(prng),
        .result = (enum compare_result)prng_below(prng, 4),
        .target = (enum compare_target)prng_below(prng, 5),
    };
    if (compare.target == COMPARE_VALUE)
        compare.value = bytes_of("\1\1\1\1", (size_t)prng_below(prng, 5));
    else
        compare.number = (int64_t)prng_below(prng, 4);
    return compare;
}

static const struct command *random_branch(struct prng *prng, struct arena *arena, uint32_t depth,
                                           uint32_t count)
{
    struct command *commands = arena_zero(arena, count * sizeof *commands);
    for (uint32_t i = 0; i < count; i++) {
        uint64_t kind = prng_below(prng, 10);
        if (kind < 4)
            commands[i] = (struct command){.kind = COMMAND_PUT, .put = random_put(prng, arena)};
        else if (kind < 5) {
            commands[i].kind = COMMAND_DELETE;
            commands[i].delete.range = random_range(prng);
            commands[i].delete.want_previous = prng_below(prng, 2) == 0;
        } else if (kind < 8 || depth >= 3)
            commands[i] = (struct command){.kind = COMMAND_RANGE, .range = random_query(prng)};
        else
            commands[i] = random_txn(prng, arena, depth + 1);
    }
    return commands;
}

struct command random_txn(struct prng *prng, struct arena *arena, uint32_t depth)
{
    struct command command = {.kind = COMMAND_TXN};
    struct txn *txn = &command.txn;
    txn->compares_count = (uint32_t)prng_below(prng, 3);
    struct compare *compares = arena_zero(arena, txn->compares_count * sizeof *compares);
    for (uint32_t i = 0; i < txn->compares_count; i++)
        compares[i] = random_compare(prng);
    txn->compares = compares;
    txn->success_count = (uint32_t)prng_below(prng, 4);
    txn->success = random_branch(prng, arena, depth, txn->success_count);
    txn->failure_count = (uint32_t)prng_below(prng, 4);
    txn->failure = random_branch(prng, arena, depth, txn->failure_count);
    return command;
}

static struct command random_lease(struct prng *prng, struct arena *arena)
{
    struct command command = {.kind = COMMAND_LEASE_GRANT};
    uint64_t kind = prng_below(prng, 4);
    if (kind == 0) {
        int64_t *ids = arena_alloc(arena, 2 * sizeof *ids);
        ids[0] = 1 + (int64_t)prng_below(prng, 5);
        ids[1] = 1 + (int64_t)prng_below(prng, 5);
        uint64_t *generations = arena_alloc(arena, 2 * sizeof *generations);
        generations[0] = 1 + prng_below(prng, 20);
        generations[1] = 1 + prng_below(prng, 20);
        command.kind = COMMAND_LEASE_EXPIRE;
        command.expire.ids = ids;
        command.expire.generations = generations;
        command.expire.count = 2;
        command.expire.node = (uint16_t)prng_below(prng, 3);
        command.expire.round = prng_below(prng, 5);
        return command;
    }
    command.kind = kind == 1 ? COMMAND_LEASE_REVOKE : COMMAND_LEASE_GRANT;
    command.lease.id = 1 + (int64_t)prng_below(prng, 5);
    command.lease.ttl = kind == 1 ? 0 : 60;
    return command;
}

static struct command random_cluster(struct prng *prng)
{
    struct command command = {.kind = COMMAND_KEEPER};
    uint64_t kind = prng_below(prng, 4);
    if (kind == 0) {
        command.kind = COMMAND_MEMBER;
        command.member.id = prng_below(prng, 4);
        command.member.name = random_key(prng);
        command.member.peer_urls[0] = random_key(prng);
        command.member.peer_urls_count = (uint32_t)prng_below(prng, 2);
        command.member.client_urls[0] = random_key(prng);
        command.member.client_urls_count = (uint32_t)prng_below(prng, 2);
    } else if (kind == 1) {
        command.kind = COMMAND_ALARM;
        command.alarm.activate = prng_below(prng, 4) == 0;
        command.alarm.member = prng_below(prng, 3);
        command.alarm.alarm = (enum alarm_kind)prng_below(prng, 3);
    } else if (kind == 2) {
        command.kind = COMMAND_DIGEST;
        command.digest.member = prng_below(prng, 3);
        command.digest.slot = prng_below(prng, 3) * MACHINE_DIGEST_INTERVAL;
        command.digest.digest = prng_below(prng, 2);
    } else {
        command.keeper.node = (uint16_t)prng_below(prng, 3);
        command.keeper.round = prng_below(prng, 5);
    }
    return command;
}

struct command random_command(struct prng *prng, struct arena *arena)
{
    uint64_t kind = prng_below(prng, 100);
    if (kind < 40)
        return (struct command){.kind = COMMAND_PUT, .put = random_put(prng, arena)};
    if (kind < 50) {
        struct command command = {.kind = COMMAND_DELETE};
        command.delete.range = random_range(prng);
        command.delete.want_previous = prng_below(prng, 2) == 0;
        return command;
    }
    if (kind < 80)
        return random_txn(prng, arena, 0);
    if (kind < 84) {
        struct command command = {.kind = COMMAND_COMPACT};
        command.compact.revision = (int64_t)prng_below(prng, 300);
        return command;
    }
    return kind < 94 ? random_lease(prng, arena) : random_cluster(prng);
}

void encode_batch(struct buffer *buffer, const struct batch_header *header,
                  const struct command *commands)
{
    buffer_clear(buffer);
    batch_header_store(buffer_extend(buffer, BATCH_HEADER_SIZE), header);
    for (uint32_t i = 0; i < header->count; i++)
        command_encode(buffer, &commands[i]);
}

static void on_result(void *owner, uint64_t sequence, uint32_t index, const struct result *result)
{
    struct feed *feed = owner;
    assert_int_equal(sequence, feed->sequence);
    assert_int_equal(index, 0);
    feed->result = *result;
    feed->results++;
}

static void on_batch(void *owner, uint64_t sequence, enum batch_outcome outcome)
{
    struct feed *feed = owner;
    (void)sequence;
    feed->outcome = outcome;
    feed->outcomes++;
}

static void on_divergence(void *owner, uint64_t slot, uint64_t own, uint64_t others)
{
    struct feed *feed = owner;
    assert_true(own != others);
    feed->diverged_slot = slot;
}

static void on_keeper(void *owner, uint16_t node, uint64_t round)
{
    struct feed *feed = owner;
    (void)node;
    feed->keeper_round = round;
}

void feed_init(struct feed *feed)
{
    memset(feed, 0, sizeof *feed);
    test_mem_init(&feed->mem);
    arena_init(&feed->arena, &feed->mem);
    buffer_init(&feed->buffer, &feed->mem, (size_t)1 << 24);
    struct machine_config config = {.mem = &feed->mem, .members = 3, .self = 1};
    feed->machine = machine_new(&config);
    struct machine_events events = {
        .owner = feed,
        .node = 1,
        .incarnation = 1,
        .on_result = on_result,
        .on_batch = on_batch,
        .on_divergence = on_divergence,
        .on_keeper = on_keeper,
    };
    machine_listen(feed->machine, &events);
}

void feed_release(struct feed *feed)
{
    machine_free(feed->machine);
    buffer_release(&feed->buffer);
    arena_release(&feed->arena);
    assert_int_equal(feed->mem.used, 0);
}

const struct result *feed_apply(struct feed *feed, const struct command *command)
{
    struct batch_header header = {
        .origin = 1, .incarnation = 1, .sequence = ++feed->sequence, .count = 1};
    uint32_t results = feed->results;
    encode_batch(&feed->buffer, &header, command);
    machine_apply(feed->machine, ++feed->slot, buffer_bytes(&feed->buffer));
    assert_int_equal(feed->results, results + 1);
    assert_int_equal(feed->outcome, BATCH_APPLIED);
    return &feed->result;
}

enum refusal feed_put(struct feed *feed, const char *key, const char *value)
{
    struct command command = {.kind = COMMAND_PUT,
                              .put = {.key = bytes_text(key), .value = bytes_text(value)}};
    return feed_apply(feed, &command)->refusal;
}

bool feed_get(struct feed *feed, const char *key, struct kv *ret_kv)
{
    return store_get(machine_store(feed->machine), bytes_text(key), ret_kv);
}

struct machine *machine_copy(struct machine *machine, const struct machine_config *config,
                             struct prng *prng)
{
    struct buffer buffer;
    buffer_init(&buffer, config->mem, (size_t)1 << 30);
    struct machine_saver *saver = machine_save(machine);
    while (machine_save_next(saver, &buffer))
        continue;
    machine_save_end(saver);
    struct machine *copy = machine_new(config);
    struct machine_loader *loader = machine_load(copy);
    for (size_t at = 0; at < buffer.size;) {
        size_t size = 1 + (size_t)prng_below(prng, 100);
        if (size > buffer.size - at)
            size = buffer.size - at;
        assert_int_equal(machine_load_piece(loader, bytes_of(buffer.data + at, size)), STATUS_OK);
        at += size;
    }
    assert_int_equal(machine_load_end(loader), STATUS_OK);
    buffer_release(&buffer);
    return copy;
}
