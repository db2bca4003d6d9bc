/* The host of the journal under test; see support_host.h.
 *
 * The one invariant: host_record is a function of seed, lsn and life alone. */
#include "support_host.h"

#include <string.h>

static void on_durable(void *owner, uint64_t lsn)
{
    struct host *host = owner;
    if (host->failures > 0 || lsn <= host->durable || lsn > host->appended)
        host->foreign = true;
    host->durable = lsn;
}

static void on_failure(void *owner, enum status status, const char *what)
{
    struct host *host = owner;
    host->failures++;
    if (status == STATUS_OK || what == NULL || what[0] == '\0')
        host->foreign = true;
}

static uint32_t entry_size(struct prng *prng)
{
    switch (prng_below(prng, 8)) {
    case 0:
        return 0;
    case 1:
        return (uint32_t)prng_below(prng, HOST_ENTRY_MAX - HOST_HEAD_MAX);
    case 2:
        return 2048 + (uint32_t)prng_below(prng, 3);
    default:
        return (uint32_t)prng_below(prng, 300);
    }
}

struct journal_record host_record(struct host *host, uint64_t lsn, uint8_t head[HOST_HEAD_MAX])
{
    struct prng prng = prng_seed(host->seed ^ lsn << 20 ^ (uint64_t)host->lives[lsn] << 50);
    struct journal_record record = {.lsn = lsn};
    record.type = (uint8_t)prng_below(&prng, 250);
    record.era = (uint32_t)prng_next(&prng);
    record.located = prng_below(&prng, 4) != 0;
    /* Mostly rising, sometimes a slot again, sometimes one that has none. */
    record.slot = lsn + 10 - prng_below(&prng, 4);
    if (!record.located && prng_below(&prng, 2) == 0)
        record.slot = 0;
    record.head.data = head;
    record.head.size = prng_below(&prng, HOST_HEAD_MAX);
    for (size_t i = 0; i < record.head.size; i++)
        head[i] = (uint8_t)prng_next(&prng);
    uint32_t size = entry_size(&prng);
    if (size > 0)
        record.entry = blob_new(&host->disk.mem, size);
    for (uint32_t i = 0; i < size; i++)
        record.entry->data[i] = (uint8_t)(prng_next(&prng) | 1);
    return record;
}

static void replay(void *owner, const struct journal_record *found)
{
    struct host *host = owner;
    if (host->replayed_first == 0)
        host->replayed_first = found->lsn;
    bool expected = host->replayed == 0 || found->lsn == host->replayed + 1;
    if (!expected || found->lsn > host->appended) {
        host->foreign = true;
        return;
    }
    host->replayed = found->lsn;
    uint8_t head[HOST_HEAD_MAX];
    struct journal_record wanted = host_record(host, found->lsn, head);
    if (found->type != wanted.type || found->era != wanted.era || found->slot != wanted.slot ||
        found->located != wanted.located || !bytes_equal(found->head, wanted.head) ||
        !bytes_equal(blob_bytes(found->entry), blob_bytes(wanted.entry)) ||
        (found->entry == NULL) != (wanted.entry == NULL))
        host->foreign = true;
    blob_drop(wanted.entry);
}

void host_init(struct host *host, uint64_t seed)
{
    memset(host, 0, sizeof *host);
    host->seed = seed;
    fake_init(&host->disk, seed);
    host->config = (struct journal_config){
        .world = &host->disk.world,
        .mem = &host->disk.mem,
        .cluster = HOST_CLUSTER,
        .member = HOST_MEMBER,
        .segment_size = 32768,
        .record_size_max = HOST_ENTRY_MAX,
        .snapshot_slot = UINT64_MAX,
        .owner = host,
        .on_durable = on_durable,
        .on_failure = on_failure,
    };
}

void host_release(struct host *host)
{
    fake_release(&host->disk);
}

enum status host_open(struct host *host)
{
    host->replayed = 0;
    host->replayed_first = 0;
    host->failures = 0;
    host->error[0] = '\0';
    struct text error = text_of(host->error, sizeof host->error);
    enum status status = journal_open(&host->config, replay, &error, &host->journal);
    if (status == STATUS_OK) {
        host->life++;
        host->appended = journal_last(host->journal);
        if (host->appended != host->replayed || host->appended < host->durable)
            host->foreign = true;
        host->durable = host->appended;
    }
    return status;
}

void host_close(struct host *host)
{
    fake_drain(&host->disk);
    journal_close(host->journal);
    host->journal = NULL;
}

void host_append(struct host *host, uint32_t count)
{
    for (uint32_t i = 0; i < count && host->appended + 1 < HOST_LSN_MAX; i++) {
        uint64_t lsn = host->appended + 1;
        host->lives[lsn] = host->life;
        uint8_t head[HOST_HEAD_MAX];
        struct journal_record record = host_record(host, lsn, head);
        record.lsn = 0;
        host->appended = journal_append(host->journal, &record);
        blob_drop(record.entry);
        if (host->appended != lsn)
            host->foreign = true;
    }
}

uint64_t host_small_log(struct host *host, uint64_t seed)
{
    static const uint32_t batches[] = {3, 1, 2};
    host_init(host, seed);
    if (host_open(host) != STATUS_OK)
        return 0;
    fake_drain(&host->disk);
    for (size_t i = 0; i < 3; i++) {
        host_append(host, batches[i]);
        journal_flush(host->journal);
        fake_drain(&host->disk);
    }
    struct journal_stats stats;
    journal_stats(host->journal, &stats);
    host_close(host);
    return stats.bytes;
}
