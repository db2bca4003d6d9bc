/* Any bytes as what peers say to an engine: a sequence of messages, proposals and passing time. No
 * crash, every invariant holds after every step, and the effects stay within their bounds. */
#include "consensus/engine.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void *mem_libc(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

struct run {
    struct mem mem;
    void *engine;
    struct effects *effects;
    uint64_t now;
};

static void step(struct run *run, struct input input)
{
    input.now = run->now;
    engine_multipaxos.step(run->engine, &input, run->effects);
    struct lsn durable = run->effects->lsn_last;
    effects_clear(run->effects);
    engine_multipaxos.check(run->engine);
    if (input.kind != INPUT_DURABLE && durable.value > 0)
        step(run, (struct input){.kind = INPUT_DURABLE, .lsn = durable});
}

static void feed(struct run *run, struct reader *r)
{
    uint8_t what = read_u8(r);
    struct bytes head = read_bytes(r, what >> 2 & 0x3f);
    struct bytes body = read_bytes(r, read_u8(r) & 15);
    struct blob *entry = body.size == 0 ? NULL : blob_copy(&run->mem, body);
    if (r->failed) {
        blob_drop(entry);
        return;
    }
    run->now += (uint64_t)body.size * 10000000;
    if ((what & 3) == 0)
        step(run, (struct input){.kind = INPUT_TIME});
    else if ((what & 3) == 3 && engine_multipaxos.room(run->engine) > 0)
        step(run, (struct input){.kind = INPUT_PROPOSE, .entry = entry});
    else
        step(run, (struct input){
                      .kind = INPUT_MESSAGE, .from = 1 + (what & 3), .head = head, .entry = entry});
    blob_drop(entry);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct configuration configuration = {.count = 3, .quorums = quorum_majority(3)};
    for (uint16_t i = 0; i < 3; i++)
        configuration.members[i] = (struct member){.id = 10u + i, .node = (uint16_t)(i + 1)};
    struct engine_config config = {.era = 1,
                                   .self = 1,
                                   .configuration = &configuration,
                                   .heartbeat_ns = 100000000,
                                   .election_ns = 1000000000,
                                   .window_slots = 16,
                                   .window_bytes = 4096,
                                   .tail_slots = 16,
                                   .tail_bytes = 4096,
                                   .seed = 1};
    struct run run = {.mem.resize = mem_libc, .now = 1};
    run.engine = calloc(1, engine_multipaxos.size(&config));
    run.effects = calloc(1, sizeof *run.effects);
    engine_multipaxos.init(run.engine, &config);
    effects_init(run.effects, (struct lsn){0});
    step(&run, (struct input){.kind = INPUT_START});
    struct reader r = reader_of(bytes_of(data, size));
    while (!r.failed && reader_left(&r) > 0)
        feed(&run, &r);
    engine_multipaxos.release(run.engine);
    free(run.engine);
    free(run.effects);
    return 0;
}
