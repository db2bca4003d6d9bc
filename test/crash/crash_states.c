/* Every crash of a member's disk: tells the story of a member (script.c), and at each moment of it
 * lets the power go in all the ways that states.h lists. Each distinct aftermath must boot, find
 * what was durable and nothing else, and go on; then the power goes again.
 *
 *     crash_states [STATES [FIRST-SEED [LIMIT]]]
 *
 * Runs stories until that many distinct states were seen (100000). The one invariant: a state that
 * was seen before is not tried again unless more has been claimed since. */
#include "states.h"
#include "story.h"

#include "base/hash.h"
#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define LIMIT 600 /* aftermaths of one moment, besides the edges */
#define ROUNDS 60
#define SECOND_POINTS 24 /* a boot and three records are about so many moments */

struct campaign {
    uint64_t wanted;
    uint32_t limit;
    uint64_t seed;
    uint64_t points;
    uint64_t boots;
    uint64_t second; /* of the boots: after a crash during or behind another boot */
    uint64_t distinct;
    uint64_t violations;
    struct seen seen;
    struct prng prng;
    struct states *states;
    struct states *states_again;
    struct disk disk;
    struct disk after;
    struct disk after_again;
    struct story story;
    struct story sequel;
    struct story sequel_again;
    uint32_t countdown; /* moments until the sequel's power goes */
    /* What the stories told. */
    uint64_t records;
    uint64_t written;
    uint64_t received;
    uint64_t trimmed;
    uint64_t restarts;
};

static uint64_t claims_tag(const struct claims *claims)
{
    uint64_t tag = hash_fold(claims->durable, claims->snapshot);
    tag = hash_fold(tag, claims->trim_lsn);
    return hash_fold(tag, claims->digest[claims->appended]);
}

static bool is_new(struct campaign *c, const struct claims *claims, uint64_t hash)
{
    bool distinct;
    bool wanted = seen_add(&c->seen, hash, claims_tag(claims), &distinct);
    c->distinct += distinct ? 1 : 0;
    return wanted;
}

static void complain(struct campaign *c, const struct story *story, const char *which)
{
    c->violations++;
    if (c->violations > 20)
        return;
    printf("VIOLATION seed %llu, moment %llu, %s: %s\n", (unsigned long long)c->seed,
           (unsigned long long)c->points, which, story->wrong);
}

static void sequel_init(struct story *sequel, const struct story *story, struct disk *disk,
                        uint64_t seed)
{
    story_init(sequel, disk, seed);
    sequel->claims = story->claims;
    sequel->segment_size = story->segment_size;
}

static void go_on(struct story *sequel)
{
    if (!story_boot(sequel))
        return;
    static const uint32_t sizes[] = {10, 1500, 2500};
    uint64_t slot = sequel->found_snapshot + 1;
    for (uint32_t i = 0; i < 3 && sequel->claims.appended + 1 < STORY_LSN_MAX; i++) {
        story_append(sequel, slot, sizes[i]);
        journal_flush(sequel->journal);
    }
    story_finish(sequel);
}

/* An aftermath of the sequel. */
static void visit_again(void *owner, uint64_t hash)
{
    struct campaign *c = owner;
    if (!is_new(c, &c->sequel.claims, hash))
        return;
    c->boots++;
    c->second++;
    states_make(c->states_again, &c->after_again, hash);
    sequel_init(&c->sequel_again, &c->sequel, &c->after_again, hash);
    go_on(&c->sequel_again);
    if (c->sequel_again.wrong[0] != '\0')
        complain(c, &c->sequel_again, "after a second crash");
    disk_release(&c->after_again);
}

static void on_point_again(void *owner)
{
    struct campaign *c = owner;
    if (c->countdown == 0 || --c->countdown > 0)
        return;
    states_one(c->states_again, &c->after, &c->prng, c, visit_again);
}

/* An aftermath of the story. */
static void visit(void *owner, uint64_t hash)
{
    struct campaign *c = owner;
    if (!is_new(c, &c->story.claims, hash))
        return;
    c->boots++;
    states_make(c->states, &c->after, hash);
    sequel_init(&c->sequel, &c->story, &c->after, hash);
    c->countdown = 1 + (uint32_t)prng_below(&c->prng, SECOND_POINTS);
    c->after.on_point = on_point_again;
    c->after.owner = c;
    go_on(&c->sequel);
    if (c->sequel.wrong[0] != '\0')
        complain(c, &c->sequel, "after a crash");
    disk_release(&c->after);
}

static void on_point(void *owner)
{
    struct campaign *c = owner;
    c->points++;
    states_each(c->states, &c->disk, c->limit, &c->prng, c, visit);
}

static void tell(struct campaign *c)
{
    disk_init(&c->disk, c->seed);
    story_init(&c->story, &c->disk, c->seed);
    c->prng = prng_seed(c->seed);
    c->disk.on_point = on_point;
    c->disk.owner = c;
    story_tell(&c->story, ROUNDS);
    if (c->story.wrong[0] != '\0')
        complain(c, &c->story, "without a crash");
    c->records += c->story.claims.appended;
    c->written += c->story.snapshots_written;
    c->received += c->story.snapshots_received;
    c->trimmed += c->story.segments_trimmed;
    c->restarts += c->story.restarts;
    disk_release(&c->disk);
}

static void on_panic(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "panic at %s:%d: %s\n", file, line, what);
    exit(1);
}

int main(int count, char **arguments)
{
    struct campaign *c = calloc(1, sizeof *c);
    panic_set_hook(on_panic);
    c->wanted = count > 1 ? strtoull(arguments[1], NULL, 10) : 100000;
    c->seed = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    c->limit = count > 3 ? (uint32_t)strtoull(arguments[3], NULL, 10) : LIMIT;
    c->states = states_new();
    c->states_again = states_new();
    uint64_t first = c->seed;
    for (; c->distinct < c->wanted && c->violations == 0; c->seed++)
        tell(c);
    printf("%llu stories, %llu moments, %llu boots (%llu after a second crash), %.1f s\n",
           (unsigned long long)(c->seed - first), (unsigned long long)c->points,
           (unsigned long long)c->boots, (unsigned long long)c->second,
           (double)clock() / CLOCKS_PER_SEC);
    printf("told: %llu records, %llu snapshots written and %llu received, %llu segments trimmed, "
           "%llu restarts\n",
           (unsigned long long)c->records, (unsigned long long)c->written,
           (unsigned long long)c->received, (unsigned long long)c->trimmed,
           (unsigned long long)c->restarts);
    printf("%llu states, %llu violations\n", (unsigned long long)c->distinct,
           (unsigned long long)c->violations);
    /* A few stories may be all alike. */
    bool told = c->seed - first < 5 ||
                (c->written > 0 && c->received > 0 && c->trimmed > 0 && c->restarts > 0);
    if (c->violations == 0 && !told)
        puts("too few stories: something was never told");
    bool passed = c->violations == 0 && told;
    puts(passed ? "[       OK ] crash_states" : "[  FAILED  ] crash_states");
    states_free(c->states);
    states_free(c->states_again);
    seen_free(&c->seen);
    free(c);
    return passed ? 0 : 1;
}
