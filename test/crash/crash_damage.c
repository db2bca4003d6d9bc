/* Every sector damaged: takes the files that a member's story left, all of them durable, and
 * damages one sector of one file in each way: zeros, junk, single bits, the contents of its
 * neighbour. A member that boots from that must find everything, or say that a file is damaged. It
 * must never find less, or something else, and call that whole.
 *
 *     crash_damage [STORIES [FIRST-SEED]]
 *
 * Two exceptions are known, both in the newest batch alone (doc/formats/journal.md): a sector of
 * it that holds only zeros cannot be told from one that was never written, whether it was zeroed or
 * holds zeros anyway and another one is damaged. Then that batch is lost, and nothing else. They
 * are counted; anything beyond them fails. */
#include "story.h"

#include "base/panic.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS 30
#define FLIPS 8 /* of each sector */

struct tally {
    uint64_t tried;
    uint64_t whole;
    uint64_t refused;
    uint64_t zeroed; /* the newest batch is taken for one that was never written */
    uint64_t holding_zeros;
    uint64_t wrong;
};

/* What a story left. */
struct base {
    struct disk disk;
    struct story story;
    uint64_t seed;
    uint64_t newest_lsn; /* the first record of the newest batch */
};

static struct base base;
static struct disk damaged;
static struct story boot;
static struct tally tally;

static bool is_zero(const uint8_t *at, uint64_t size)
{
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

static bool in_newest(const char *name, uint64_t sector)
{
    const struct disk_job *newest = &base.disk.written;
    return strcmp(name, newest->name) == 0 && (sector + 1) * SECTOR > newest->offset &&
           sector * SECTOR < newest->offset + newest->moved;
}

/* A copy of all files; returns the one of that name. */
static struct disk_file *copy_files(const char *name)
{
    struct disk_file *found = NULL;
    disk_init(&damaged, base.seed);
    for (int i = 0; i < DISK_NAMES_MAX; i++) {
        const struct disk_name *from = &base.disk.names[i];
        if (from->text[0] == '\0' || from->live == NO_FILE)
            continue;
        const struct disk_file *file = &base.disk.files[from->live];
        int made = disk_put(&damaged, from->text, bytes_of(file->live, file->size));
        if (strcmp(from->text, name) == 0)
            found = &damaged.files[made];
    }
    return found;
}

static void complain(const char *name, uint64_t sector, const char *how, const char *what)
{
    if (tally.wrong++ < 20)
        printf("VIOLATION seed %llu, %s, sector %llu, %s: %s\n", (unsigned long long)base.seed,
               name, (unsigned long long)sector, how, what);
}

/* It did not find everything and did not refuse. */
static void judge_loss(const char *name, uint64_t sector, const char *how, bool newest)
{
    bool only_newest = newest && boot.found_last + 1 == base.newest_lsn;
    if (only_newest && strcmp(how, "zero") == 0)
        tally.zeroed++;
    else if (only_newest)
        tally.holding_zeros++;
    else
        complain(name, sector, how, boot.wrong);
}

static void judge(const char *name, uint64_t sector, const char *how, bool newest)
{
    tally.tried++;
    story_init(&boot, &damaged, base.seed);
    boot.segment_size = base.story.segment_size;
    boot.claims = base.story.claims;
    boot.claims.snapshot = 0; /* an older one will do, if the log reaches back to it */
    if (story_boot(&boot)) {
        story_append(&boot, boot.claims.slot[boot.claims.appended] + 1, 700);
        story_finish(&boot);
    }
    if (boot.wrong[0] == '\0') {
        tally.whole++;
    } else if (boot.refused) {
        tally.refused++;
        bool says = strncmp(name, "log/", 4) != 0 || strstr(boot.error, ", byte ") != NULL;
        if (!says)
            complain(name, sector, how, "it does not say which byte");
    } else {
        judge_loss(name, sector, how, newest);
    }
    disk_release(&damaged);
}

static void swap_sectors(struct disk_file *file, uint64_t a, uint64_t b)
{
    uint8_t kept[SECTOR];
    memcpy(kept, file->live + a * SECTOR, SECTOR);
    memcpy(file->live + a * SECTOR, file->live + b * SECTOR, SECTOR);
    memcpy(file->live + b * SECTOR, kept, SECTOR);
}

static void damage_sector(const char *name, uint64_t sector, uint64_t size, struct prng *prng)
{
    uint64_t begin = sector * SECTOR;
    uint64_t length = size - begin < SECTOR ? size - begin : SECTOR;
    bool newest = in_newest(name, sector);
    memset(copy_files(name)->live + begin, 0, length);
    judge(name, sector, "zero", newest);
    struct disk_file *file = copy_files(name);
    for (uint64_t i = 0; i < length; i++)
        file->live[begin + i] = (uint8_t)prng_next(prng);
    judge(name, sector, "junk", newest);
    for (uint32_t i = 0; i < FLIPS; i++) {
        uint64_t bit = prng_below(prng, length * 8);
        copy_files(name)->live[begin + bit / 8] ^= (uint8_t)(1 << bit % 8);
        judge(name, sector, "bit", newest);
    }
    if (begin + 2 * (uint64_t)SECTOR > size)
        return;
    file = copy_files(name);
    const uint8_t *next = file->live + begin + SECTOR;
    bool half = is_zero(file->live + begin, SECTOR) || is_zero(next, SECTOR);
    swap_sectors(file, sector, sector + 1);
    judge(name, sector, half ? "zero" : "swap", newest || in_newest(name, sector + 1));
}

static void tell(uint64_t seed)
{
    base.seed = seed;
    disk_init(&base.disk, seed);
    story_init(&base.story, &base.disk, seed);
    story_tell(&base.story, ROUNDS);
    if (base.story.wrong[0] != '\0')
        complain("", 0, "none", base.story.wrong);
    base.newest_lsn = base.story.claims.durable + 1;
    story_append(&base.story, base.story.slot + 1, 100 + (uint32_t)(seed % 3) * 900);
    story_append(&base.story, base.story.slot + 2, 100);
    story_finish(&base.story);
    struct prng prng = prng_seed(seed);
    for (int i = 0; i < DISK_NAMES_MAX; i++) {
        const struct disk_name *name = &base.disk.names[i];
        if (name->text[0] == '\0' || name->live == NO_FILE)
            continue;
        uint64_t size = base.disk.files[name->live].size;
        for (uint64_t sector = 0; sector * SECTOR < size; sector++)
            damage_sector(name->text, sector, size, &prng);
    }
    disk_release(&base.disk);
}

static void on_panic(const char *file, int line, const char *what)
{
    fflush(stdout);
    fprintf(stderr, "panic at %s:%d: %s\n", file, line, what);
    exit(1);
}

int main(int count, char **arguments)
{
    uint64_t stories = count > 1 ? strtoull(arguments[1], NULL, 10) : 12;
    uint64_t first = count > 2 ? strtoull(arguments[2], NULL, 10) : 1;
    panic_set_hook(on_panic);
    for (uint64_t seed = first; seed < first + stories; seed++)
        tell(seed);
    printf("%llu damages: %llu harmless, %llu refused\n", (unsigned long long)tally.tried,
           (unsigned long long)tally.whole, (unsigned long long)tally.refused);
    printf("the newest batch taken for a torn one: %llu zeroed, %llu holding zeros\n",
           (unsigned long long)tally.zeroed, (unsigned long long)tally.holding_zeros);
    printf("%llu damages, %llu violations\n", (unsigned long long)tally.tried,
           (unsigned long long)tally.wrong);
    bool passed = tally.wrong == 0 && tally.refused > 0 && tally.whole > 0;
    puts(passed ? "[       OK ] crash_damage" : "[  FAILED  ] crash_damage");
    return passed ? 0 : 1;
}
