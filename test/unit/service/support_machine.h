/* What the tests of the service share: counted memory, random commands, and a machine that one
 * feeds command by command. */
#ifndef SYNOD_TEST_SUPPORT_MACHINE_H
#define SYNOD_TEST_SUPPORT_MACHINE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "service/machine.h"

void test_mem_init(struct mem *mem);

/* Any command that an honest member may propose, in the arena. Keys come from a small universe. */
struct command random_command(struct prng *prng, struct arena *arena);
struct command random_txn(struct prng *prng, struct arena *arena, uint32_t depth);
struct bytes random_key(struct prng *prng);

/* A batch of commands as an entry of the log, in the buffer. */
void encode_batch(struct buffer *buffer, const struct batch_header *header,
                  const struct command *commands);

/* A machine with one session of its own, and what it said last. */
struct feed {
    struct mem mem;
    struct arena arena;
    struct buffer buffer;
    struct machine *machine;
    uint64_t slot;
    uint64_t sequence;
    struct result result; /* of the last command */
    uint32_t results;
    enum batch_outcome outcome;
    uint32_t outcomes;
    uint64_t diverged_slot; /* 0: never */
    uint64_t keeper_round;
};

void feed_init(struct feed *feed);
void feed_release(struct feed *feed);
/* Applies one command. What the result points to is copied no deeper than the result itself. */
const struct result *feed_apply(struct feed *feed, const struct command *command);
enum refusal feed_put(struct feed *feed, const char *key, const char *value);
bool feed_get(struct feed *feed, const char *key, struct kv *ret_kv);
/* The machine from the snapshot of another, pieces of random sizes. */
struct machine *machine_copy(struct machine *machine, const struct machine_config *config,
                             struct prng *prng);

#endif
