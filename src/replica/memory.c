/* What the replica itself must remember over a restart, in one small record of the log: its
 * incarnation, and which disk each peer had when they first met. Written whole whenever it changes,
 * and again behind each snapshot; the last one counts.
 *
 * The one invariant: a peer is listened to only while it has the disk that it had at first, and
 * only after that is durable here. A member whose data directory was lost has forgotten its
 * promises; without this, it could vote a second time and undo what was decided. */
#include "replica/internal.h"

#include "base/panic.h"
#include "base/planted.h"

#define MEMORY_SIZE_MAX (8 + 1 + MEMBERS_MAX * (2 + 8))

uint64_t memory_write(struct replica *r)
{
    uint8_t raw[MEMORY_SIZE_MAX];
    struct writer w = writer_of(raw, sizeof raw);
    write_u64(&w, r->proposals.incarnation);
    write_u8(&w, (uint8_t)r->configuration.count);
    for (uint32_t i = 0; i < r->configuration.count; i++) {
        write_u16(&w, r->configuration.members[i].node);
        write_u64(&w, r->memory.disks[i]);
    }
    ensure(!w.failed);
    struct journal_record record = {
        .type = RECORD_HOST, .era = r->config.identity->era, .head = writer_bytes(&w)};
    return journal_append(r->journal, &record);
}

void memory_replay(struct replica *r, struct bytes head)
{
    struct reader reader = reader_of(head);
    r->proposals.incarnation = read_u64(&reader);
    uint32_t count = read_u8(&reader);
    for (uint32_t i = 0; i < count && !reader.failed; i++) {
        int place = configuration_place(&r->configuration, read_u16(&reader));
        uint64_t disk = read_u64(&reader);
        if (place >= 0)
            r->memory.disks[place] = disk;
    }
}

static void log_amnesia(struct replica *r, int place)
{
    char line[64];
    struct text fields = text_of(line, sizeof line);
    text_add(&fields, ",\"member\":\"");
    text_hex(&fields, r->configuration.members[place].id);
    text_add(&fields, "\"");
    replica_log(
        r, LOG_ERROR,
        "a member came back without its data directory: it has forgotten what it promised and "
        "is not listened to; give it its data back",
        line);
}

bool memory_trusts(struct replica *r, int place, uint64_t disk)
{
    struct memory *memory = &r->memory;
    if (disk != 0 && memory->disks[place] == 0) {
        memory->disks[place] = disk;
        memory->met_lsn = memory_write(r);
    }
    if (planted(REPLICA_STRANGER_TRUSTED))
        return true;
    if (memory->disks[place] != disk && memory->stranger[place] != disk) {
        memory->stranger[place] = disk;
        log_amnesia(r, place);
    }
    return disk != 0 && memory->disks[place] == disk &&
           journal_durable(r->journal) >= memory->met_lsn;
}
