/* A host for the journal under test: it appends records whose content follows from their number and
 * the life of the process that wrote them, so that any record found again can be compared.
 *
 * The one invariant: lives[lsn] says what was appended last under that number. */
#ifndef TEST_SUPPORT_HOST_H
#define TEST_SUPPORT_HOST_H

#include "journal/journal.h"
#include "support_disk.h"

#define HOST_LSN_MAX 4096
#define HOST_HEAD_MAX 64
#define HOST_ENTRY_MAX 9000
#define HOST_CLUSTER 77
#define HOST_MEMBER 3

struct host {
    struct fake_disk disk;
    struct journal *journal;
    struct journal_config config;
    uint64_t seed;
    uint32_t life;
    uint32_t lives[HOST_LSN_MAX]; /* by lsn */
    uint64_t appended;
    uint64_t durable;  /* the last report, over all lives */
    uint64_t replayed; /* the last lsn of the last recovery */
    uint64_t replayed_first;
    uint32_t failures;
    bool foreign; /* a record came back that was never appended, or not as it was */
    char error[1024];
};

void host_init(struct host *host, uint64_t seed);
void host_release(struct host *host);
enum status host_open(struct host *host);
/* Drains the disk and closes. */
void host_close(struct host *host);
void host_append(struct host *host, uint32_t count);
/* The record number lsn as it was appended; the entry is new. */
struct journal_record host_record(struct host *host, uint64_t lsn, uint8_t head[HOST_HEAD_MAX]);

/* A log of three batches, closed: three records, one large record, two records. How many
 * bytes; 0: it could not be opened. */
uint64_t host_small_log(struct host *host, uint64_t seed);

#endif
