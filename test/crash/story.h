/* A member's life with its disk: what it wrote, and what it was told is durable.
 *
 * The one invariant: `claims` says what any boot from now on has to find. */
#ifndef TEST_CRASH_STORY_H
#define TEST_CRASH_STORY_H

#include "disk.h"
#include "journal/journal.h"
#include "journal/snapshot.h"

#define STORY_LSN_MAX 512
#define STORY_CLUSTER 77
#define STORY_MEMBER 3
#define STORY_RECORD_MAX 3000

struct claims {
    uint64_t appended;  /* the last record that may be found */
    uint64_t durable;   /* the last that must be */
    uint64_t trim_slot; /* records of slots up to here, */
    uint64_t trim_lsn;  /* and from before this one, may be gone */
    uint64_t snapshot;  /* this one or a newer one must be found */
    uint64_t snapshot_begun;
    uint64_t digest[STORY_LSN_MAX]; /* of the record appended last under that number */
    uint64_t slot[STORY_LSN_MAX];
};

struct story {
    struct disk *disk;
    struct journal *journal;
    uint64_t segment_size;
    struct claims claims;
    struct prng prng;
    /* Of the last boot. */
    uint64_t found_first;
    uint64_t found_last;
    uint64_t found_snapshot;
    bool refused; /* it is damaged, and says so */
    char error[512];
    char wrong[768]; /* what no boot may do; empty: nothing */
    /* Of the script. */
    uint64_t slot;                      /* of the last record */
    uint64_t restate_lsn;               /* 0: nothing is to be trimmed */
    bool trimming;                      /* segments are on their way out, perhaps */
    bool writing;                       /* a snapshot */
    struct snapshot_receiver *receiver; /* while there is more to send */
    uint64_t receiving;                 /* until it is published; 0: nothing */
    uint64_t sent;
    /* What happened in it, for the summary. */
    uint32_t snapshots_written;
    uint32_t snapshots_received;
    uint32_t segments_trimmed;
    uint32_t restarts;
};

void story_init(struct story *story, struct disk *disk, uint64_t seed);
void story_wrong(struct story *story, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* As a replica boots: snapshots, then the log. Checks all claims; what was found is durable then.
 * False: wrong. */
bool story_boot(struct story *story);
/* One record; its content follows from the story's prng. */
void story_append(struct story *story, uint64_t slot, uint32_t size);
/* Everything appended so far becomes durable, or something is wrong. */
void story_finish(struct story *story);
/* The process goes on no more; the files stay as reads see them. */
void story_stop(struct story *story);
/* The whole script: appends, group commits, segments, snapshots written and received, trims,
 * prunes, restarts. */
void story_tell(struct story *story, uint32_t rounds);

struct snapshot_config story_snapshots(struct story *story);
/* What a snapshot of that slot holds. */
uint64_t story_snapshot_size(uint64_t slot);
uint8_t story_snapshot_byte(uint64_t slot, uint64_t at);

#endif
