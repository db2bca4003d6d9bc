/* Records in words: what each engine writes to its log.
 *
 * The one invariant: a head that its engine would not accept is called unreadable. */
#include "host.h"

#include "consensus/multipaxos.h"
#include "consensus/raft.h"

#include <string.h>

const char *host_value(const struct blob *entry, char into[HOST_VALUE_MAX])
{
    if (entry == NULL)
        return "no-op";
    snprintf(into, HOST_VALUE_MAX, "'%.*s'", (int)entry->size, (const char *)entry->data);
    return into;
}

static void ballot_words(struct ballot ballot, char into[32])
{
    if (ballot_is_zero(ballot))
        snprintf(into, 32, "0");
    else
        snprintf(into, 32, "%llu.%u", (unsigned long long)ballot.round, ballot.node);
}

static void multipaxos_words(const struct host_record *record, char *into, size_t size)
{
    struct multipaxos_record r;
    if (!multipaxos_record_decode(bytes_of(record->head, record->head_size), &r)) {
        snprintf(into, size, "unreadable");
        return;
    }
    char ballot[32];
    ballot_words(r.ballot, ballot);
    unsigned long long slot = record->slot;
    char value[HOST_VALUE_MAX];
    if (record->type == RECORD_HARD)
        snprintf(into, size, "promised %s", ballot);
    else if (record->type == RECORD_ACCEPT)
        snprintf(into, size, "accept slot=%llu vbal=%s as before", slot, ballot);
    else if (r.flags & FLAG_CHOSEN)
        snprintf(into, size, "chosen slot=%llu %s", slot, host_value(record->entry, value));
    else
        snprintf(into, size, "accept slot=%llu vbal=%s %s", slot, ballot,
                 host_value(record->entry, value));
}

static void raft_words(const struct host_record *record, char *into, size_t size)
{
    struct raft_record r;
    if (!raft_record_decode(bytes_of(record->head, record->head_size), &r)) {
        snprintf(into, size, "unreadable");
        return;
    }
    char value[HOST_VALUE_MAX];
    unsigned long long slot = record->slot;
    unsigned long long term = r.term;
    if (record->type == RECORD_ENTRY)
        snprintf(into, size, "entry slot=%llu term=%llu %s", slot, term,
                 host_value(record->entry, value));
    else if (r.flags & RAFT_FLAG_JUMP)
        snprintf(into, size, "term=%llu vote=%u, anew behind slot=%llu", term, r.vote, slot);
    else
        snprintf(into, size, "term=%llu vote=%u", term, r.vote);
}

void host_record_words(const struct host *h, const struct host_record *record, char *into,
                       size_t size)
{
    static const struct {
        const char *engine;
        void (*words)(const struct host_record *record, char *into, size_t size);
    } engines[] = {{"multipaxos", multipaxos_words}, {"raft", raft_words}};
    snprintf(into, size, "record");
    for (size_t i = 0; i < sizeof engines / sizeof engines[0]; i++)
        if (strcmp(h->ops->name, engines[i].engine) == 0)
            engines[i].words(record, into, size);
}
