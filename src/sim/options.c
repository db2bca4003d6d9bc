/* What a seed draws. Swarm testing: most kinds of faults are absent from most seeds, so that each
 * combination comes up, and none drowns the others. Limits are tiny, so that their edges are met.
 *
 * The one invariant: the draws come from a stream of their own, so nothing that a run does can
 * change what was drawn. */
#include "sim/options.h"

#include "consensus/engine.h"
#include "sim/draw.h"

#include <string.h>

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define SECONDS (1000 * MS)

/* --- By name --------------------------------------------------------------------------------- */

enum field_kind {
    FIELD_BOOL,
    FIELD_U32,
    FIELD_U64,
};

struct field {
    const char *name;
    size_t at;
    enum field_kind kind;
    uint64_t minimum;
    uint64_t maximum;
};

#define FLAG(name)                                                                                 \
    {                                                                                              \
#name, offsetof(struct sim_options, name), FIELD_BOOL, 0, 1                                \
    }
#define RATE(name)                                                                                 \
    {                                                                                              \
#name, offsetof(struct sim_options, name), FIELD_U32, 0, SIM_MILLION                       \
    }
#define NUMBER(name, minimum, maximum)                                                             \
    {                                                                                              \
#name, offsetof(struct sim_options, name), FIELD_U32, minimum, maximum                     \
    }
#define WIDE(name, minimum, maximum)                                                               \
    {                                                                                              \
#name, offsetof(struct sim_options, name), FIELD_U64, minimum, maximum                     \
    }

static const struct field fields[] = {
    NUMBER(members, 1, SIM_MEMBERS_MAX),
    WIDE(safety_ns, 0, 1000000 * SECONDS),
    WIDE(liveness_ns, SECONDS, 1000000 * SECONDS),
    NUMBER(operations, 0, 100000000),
    WIDE(delay_ns, 1, 100 * SECONDS),
    RATE(loss),
    RATE(duplicate),
    RATE(reorder),
    RATE(late),
    RATE(clog),
    RATE(partition),
    FLAG(partition_one_way),
    RATE(swizzle),
    FLAG(hints),
    WIDE(disk_ns, 1, 100 * SECONDS),
    RATE(disk_keep),
    RATE(disk_slow),
    RATE(disk_error),
    RATE(disk_read_error),
    RATE(disk_full),
    RATE(rot),
    RATE(misdirect),
    RATE(lost_write),
    FLAG(damage_all_copies),
    RATE(crash),
    RATE(kill),
    RATE(blackout),
    RATE(crash_at_effect),
    RATE(crash_at_name),
    RATE(crash_at_boot),
    RATE(stop),
    RATE(pause),
    RATE(wipe),
    WIDE(down_ns, 1, 1000 * SECONDS),
    FLAG(production_log),
    NUMBER(drift, 0, 500000),
    RATE(jump),
    WIDE(turn_ns, 0, SECONDS),
    WIDE(heartbeat_ns, MS, 100 * SECONDS),
    WIDE(election_ns, 5 * MS, 1000 * SECONDS),
    WIDE(lease_ns, 0, 100 * SECONDS),
    FLAG(lease_reads),
    WIDE(snapshot_slots, 0, UINT64_MAX),
    WIDE(snapshot_bytes, 0, UINT64_MAX),
    WIDE(segment_bytes, 16384, 1 << 30),
    WIDE(record_bytes, 4096, 1 << 24),
    WIDE(pending_bytes, 0, UINT64_MAX),
    WIDE(log_keep_bytes, 0, UINT64_MAX),
    WIDE(quota_bytes, 0, UINT64_MAX),
    NUMBER(clients, 0, 1000),
    NUMBER(keys, 1, 100000),
    NUMBER(value_bytes, 0, 1 << 20),
    WIDE(think_ns, 0, 1000 * SECONDS),
    WIDE(timeout_ns, MS, 1000 * SECONDS),
    NUMBER(watchers, 0, 1000),
    NUMBER(weight_put, 0, 1000),
    NUMBER(weight_get, 0, 1000),
    NUMBER(weight_range, 0, 1000),
    NUMBER(weight_delete, 0, 1000),
    NUMBER(weight_txn, 0, 1000),
    NUMBER(weight_compact, 0, 1000),
    NUMBER(weight_lease, 0, 1000),
    NUMBER(weight_transfer, 0, 1000),
};

#define FIELDS_COUNT (sizeof fields / sizeof fields[0])

static uint64_t field_get(const struct sim_options *options, const struct field *field)
{
    const char *at = (const char *)options + field->at;
    if (field->kind == FIELD_BOOL)
        return *(const bool *)at;
    return field->kind == FIELD_U32 ? *(const uint32_t *)(const void *)at
                                    : *(const uint64_t *)(const void *)at;
}

static void field_set(struct sim_options *options, const struct field *field, uint64_t value)
{
    char *at = (char *)options + field->at;
    if (field->kind == FIELD_BOOL)
        *(bool *)at = value != 0;
    else if (field->kind == FIELD_U32)
        *(uint32_t *)(void *)at = (uint32_t)value;
    else
        *(uint64_t *)(void *)at = value;
}

static bool parse(const char *text, uint64_t *ret_value)
{
    uint64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        uint64_t digit = (uint64_t)(*text - '0');
        if (digit > 9 || value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    *ret_value = value;
    return true;
}

bool sim_options_set(struct sim_options *options, const char *name, const char *value)
{
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        uint64_t number;
        if (strcmp(fields[i].name, name) != 0)
            continue;
        if (!parse(value, &number) || number < fields[i].minimum || number > fields[i].maximum)
            return false;
        field_set(options, &fields[i], number);
        return true;
    }
    return false;
}

const char *sim_options_next(const struct sim_options *options, uint32_t *cursor,
                             uint64_t *ret_value)
{
    if (*cursor >= FIELDS_COUNT)
        return NULL;
    const struct field *field = &fields[(*cursor)++];
    *ret_value = field_get(options, field);
    return field->name;
}

void sim_options_command(const struct sim_options *options, struct text *text)
{
    struct sim_options drawn;
    const struct engine_ops *engine = engine_by_id(options->engine);
    sim_options_draw(&drawn, options->engine, options->seed);
    text_add(text, "synod sim --engine ");
    text_add(text, engine == NULL ? "?" : engine->name);
    text_add(text, " --seed ");
    text_u64(text, options->seed);
    for (size_t i = 0; i < FIELDS_COUNT; i++) {
        uint64_t value = field_get(options, &fields[i]);
        if (value == field_get(&drawn, &fields[i]))
            continue;
        text_add(text, " --set ");
        text_add(text, fields[i].name);
        text_add(text, "=");
        text_u64(text, value);
    }
    if (options->without != NULL) {
        text_add(text, " --without ");
        text_add(text, options->without);
    }
}

/* --- Drawing --------------------------------------------------------------------------------- */

/* Present in `percent` of the seeds, then between 1 and `most` parts per million, small ones as
 * likely as large ones. */
static uint32_t rate(struct prng *prng, uint32_t percent, uint32_t most)
{
    uint32_t drawn = (uint32_t)draw_logarithmic(prng, most / 50 + 1, most);
    return draw_percent(prng, percent) ? drawn : 0;
}

static void draw_cluster(struct prng *prng, struct sim_options *o)
{
    static const uint8_t sizes[] = {1, 1, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3,
                                    3, 4, 4, 5, 5, 5, 5, 5, 6, 7, 7, 3};
    o->members = sizes[prng_below(prng, sizeof sizes)];
    o->safety_ns = draw_between(prng, 3 * SECONDS, 8 * SECONDS);
    o->liveness_ns = 200 * SECONDS;
    o->heartbeat_ns = draw_between(prng, 40 * MS, 150 * MS);
    o->election_ns = o->heartbeat_ns * draw_between(prng, 5, 10);
    o->turn_ns = draw_percent(prng, 50) ? 0 : draw_logarithmic(prng, 5 * US, MS);
    o->drift = rate(prng, 50, 10000);
}

static void draw_network(struct prng *prng, struct sim_options *o)
{
    o->delay_ns = draw_logarithmic(prng, 50 * US, o->election_ns / 30);
    o->loss = rate(prng, 40, 200000);
    o->duplicate = rate(prng, 40, 200000);
    o->reorder = rate(prng, 40, 200000);
    o->late = rate(prng, 25, 200000);
    o->clog = rate(prng, 30, 50000);
    o->partition = rate(prng, 50, 60000);
    o->partition_one_way = draw_percent(prng, 40);
    o->swizzle = rate(prng, 20, 20000);
    o->hints = draw_percent(prng, 80);
}

static void draw_disk(struct prng *prng, struct sim_options *o)
{
    static const uint32_t keeps[] = {0, 100000, 500000, 500000, 900000, SIM_MILLION};
    uint64_t slowest = draw_percent(prng, 20) ? o->election_ns / 10 : o->election_ns / 50;
    o->disk_ns = draw_logarithmic(prng, 20 * US, slowest);
    o->disk_keep = keeps[prng_below(prng, sizeof keeps / sizeof keeps[0])];
    o->disk_slow = rate(prng, 25, 10000);
    o->disk_error = rate(prng, 20, 5000);
    o->disk_read_error = rate(prng, 15, 50000);
    o->disk_full = rate(prng, 15, 10000);
    o->rot = rate(prng, 15, 300000);
    o->misdirect = rate(prng, 10, 20000);
    o->lost_write = rate(prng, 10, 20000);
    o->damage_all_copies = draw_percent(prng, 4);
}

static void draw_processes(struct prng *prng, struct sim_options *o)
{
    o->crash = rate(prng, 50, 50000);
    o->kill = rate(prng, 40, 50000);
    o->blackout = rate(prng, 25, 30000);
    o->crash_at_effect = rate(prng, 25, 3000);
    o->crash_at_name = rate(prng, 20, 100000);
    o->crash_at_boot = rate(prng, 25, 50000);
    o->stop = rate(prng, 25, 20000);
    o->pause = rate(prng, 40, 50000);
    o->wipe = rate(prng, 15, 300000);
    o->down_ns = draw_logarithmic(prng, 2 * MS, 3 * SECONDS);
    o->production_log = draw_percent(prng, 10);
}

static void draw_limits(struct prng *prng, struct sim_options *o)
{
    o->record_bytes = (uint64_t)16384 << prng_below(prng, 3);
    o->segment_bytes = o->record_bytes * draw_between(prng, 2, 8);
    o->snapshot_slots = draw_percent(prng, 20) ? 0 : draw_logarithmic(prng, 5, 1000);
    o->snapshot_bytes = draw_percent(prng, 80) ? 0 : draw_logarithmic(prng, 2000, 200000);
    o->pending_bytes = draw_percent(prng, 50) ? 0 : draw_logarithmic(prng, 20000, 400000);
    o->log_keep_bytes = draw_logarithmic(prng, 1, 500000);
    o->quota_bytes = draw_percent(prng, 85) ? UINT64_MAX : draw_logarithmic(prng, 20000, 400000);
}

static void draw_workload(struct prng *prng, struct sim_options *o)
{
    o->operations = (uint32_t)draw_between(prng, 200, 1000);
    o->clients = (uint32_t)draw_between(prng, 1, 12);
    if (draw_percent(prng, 2)) { /* more slots than a window has */
        o->operations *= 8;
        o->clients += 20;
    }
    o->keys = (uint32_t)draw_logarithmic(prng, 2, 100);
    o->value_bytes = (uint32_t)draw_logarithmic(prng, 16, 1000);
    o->think_ns = o->safety_ns * o->clients / (o->operations + o->operations / 4);
    /* A client that waits for less than a few round trips never hears anything. */
    uint64_t patience = 200 * MS + 40 * (o->delay_ns + o->disk_ns);
    o->timeout_ns = draw_logarithmic(prng, patience, patience + 5 * SECONDS);
    o->watchers = (uint32_t)prng_below(prng, 5);
    o->weight_put = (uint32_t)draw_between(prng, 10, 100);
    o->weight_get = (uint32_t)draw_between(prng, 10, 60);
    o->weight_range = (uint32_t)draw_between(prng, 0, 20);
    o->weight_delete = (uint32_t)draw_between(prng, 0, 20);
    o->weight_txn = (uint32_t)draw_between(prng, 0, 60);
    o->weight_compact = draw_percent(prng, 40) ? 0 : (uint32_t)draw_between(prng, 1, 10);
    o->weight_lease = draw_percent(prng, 40) ? 0 : (uint32_t)draw_between(prng, 1, 30);
    o->weight_transfer = draw_percent(prng, 60) ? 0 : (uint32_t)draw_between(prng, 1, 5);
}

/* Some seeds are calm: what happens without any fault must be right too, and fast. */
static void draw_calm(struct prng *prng, struct sim_options *o)
{
    if (!draw_percent(prng, 5))
        return;
    o->loss = o->duplicate = o->reorder = o->late = o->clog = o->partition = o->swizzle = 0;
    o->disk_slow = o->disk_error = o->disk_read_error = o->disk_full = 0;
    o->rot = o->misdirect = o->lost_write = 0;
    o->crash = o->kill = o->blackout = o->stop = 0;
    o->crash_at_effect = o->crash_at_name = o->crash_at_boot = 0;
    o->pause = o->wipe = 0;
    o->damage_all_copies = false;
}

/* Half of the clusters read by leases, short and long ones; some grant them and do not use them. */
static void draw_leases(struct prng *prng, struct sim_options *o)
{
    o->lease_ns = draw_percent(prng, 75) ? draw_logarithmic(prng, 5 * MS, o->election_ns) : 0;
    o->lease_reads = o->lease_ns > 0 && draw_percent(prng, 70);
}

void sim_options_draw(struct sim_options *options, uint16_t engine, uint64_t seed)
{
    struct prng prng = draw_stream(seed, 0);
    memset(options, 0, sizeof *options);
    options->seed = seed;
    options->engine = engine;
    draw_cluster(&prng, options);
    draw_network(&prng, options);
    draw_disk(&prng, options);
    draw_processes(&prng, options);
    draw_limits(&prng, options);
    draw_workload(&prng, options);
    draw_calm(&prng, options);
    draw_leases(&prng, options);
}
