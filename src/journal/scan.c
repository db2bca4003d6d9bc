/* Reading a log and finding its end; see scan.h for the rule it applies.
 *
 * The one invariant: a batch is handed out whole or not at all, and only when it continues the
 * chain of everything handed out before. */
#include "journal/scan.h"

#include "base/crc32c.h"
#include "base/planted.h"
#include "journal/names.h"

#include <string.h>

const char scan_remedy[] =
    " This member may have promised what it can no longer read, so it does not start. Keep a copy "
    "of its data directory, remove the member from the cluster, and add it again with an empty "
    "directory: it will copy everything from its peers.";

void scan_init(struct scan *scan, void *owner,
               void (*on_record)(void *owner, const struct scan_record *record), struct text *error)
{
    *scan = (struct scan){.owner = owner, .on_record = on_record, .error = error, .lsn_next = 1};
}

static void explain_place(struct scan *scan, uint64_t segment, uint64_t offset)
{
    char name[DISK_NAME_MAX];
    name_format(name, "log", segment, ".log");
    text_add(scan->error, name);
    text_add(scan->error, ", byte ");
    text_u64(scan->error, offset);
}

static enum status refuse(struct scan *scan, enum status status, uint64_t segment, const char *why)
{
    explain_place(scan, segment, 0);
    text_add(scan->error, ": ");
    text_add(scan->error, why);
    text_add(scan->error, status == STATUS_CORRUPT ? scan_remedy : "");
    return status;
}

static bool is_zero(const uint8_t *at, uint64_t size)
{
    /* Equal to itself moved by one and starting with zero. */
    return size == 0 || (at[0] == 0 && memcmp(at, at + 1, size - 1) == 0);
}

/* One record of a segment's image. */
struct found {
    struct record_header header;
    uint64_t end;
    bool header_whole; /* the header can be trusted; the rest perhaps not */
};

static bool record_whole(struct bytes image, uint32_t seed, uint64_t offset, struct found *found)
{
    found->header_whole = false;
    if (offset > image.size || image.size - offset < RECORD_HEADER_SIZE)
        return false;
    const uint8_t *at = image.data + offset;
    if (!record_header_decode(at, seed, &found->header))
        return false;
    found->end = record_end(&found->header, offset);
    if (found->end > image.size)
        return false;
    found->header_whole = true;
    uint32_t length = found->header.length;
    struct bytes body = bytes_of(at + RECORD_HEADER_SIZE, length - RECORD_HEADER_SIZE);
    return crc32c(0, body) == found->header.body_check &&
           is_zero(at + length, found->end - offset - length);
}

/* Does the record continue a log whose next lsn and last check are these? The first record that is
 * left of a trimmed log has nothing to continue: it stands at the start of the first segment, and
 * nowhere else. */
static bool record_continues(const struct scan *scan, const struct record_header *header,
                             uint64_t lsn, uint32_t chain, uint32_t batch)
{
    if (header->batch != batch)
        return false;
    bool front = scan->number == scan->first || planted(JOURNAL_FRONT_SKIPPED);
    if (!scan->started && batch == 0 && scan->first > 1 && front)
        return true;
    return header->lsn == lsn && header->previous == chain;
}

/* Verifies one batch. False: ret_bad is its first record that is not whole and in place. */
static bool batch_whole(const struct scan *scan, struct bytes image, uint32_t seed, uint64_t offset,
                        uint64_t *ret_end, uint64_t *ret_bad)
{
    uint64_t lsn = scan->lsn_next;
    uint32_t chain = scan->chain;
    struct found found;
    for (uint32_t batch = 0;; batch++) {
        *ret_bad = offset;
        if (!record_whole(image, seed, offset, &found) ||
            !record_continues(scan, &found.header, lsn, chain, batch))
            return false;
        lsn = found.header.lsn + 1;
        chain = found.header.check;
        offset = found.end;
        if (found.header.flags & RECORD_LAST)
            break;
    }
    *ret_end = offset;
    return true;
}

static void batch_deliver(struct scan *scan, struct bytes image, uint32_t seed, uint64_t offset,
                          uint64_t end)
{
    while (offset < end) {
        struct scan_record record = {.segment = scan->number, .offset = offset};
        const uint8_t *at = image.data + offset;
        if (!record_header_decode(at, seed, &record.header))
            return; /* cannot be: the batch was verified */
        uint32_t head_size = record.header.head_size;
        uint32_t body_size = record.header.length - RECORD_HEADER_SIZE;
        record.head = bytes_of(at + RECORD_HEADER_SIZE, head_size);
        record.entry = bytes_of(at + RECORD_HEADER_SIZE + head_size, body_size - head_size);
        scan->started = true;
        scan->lsn_next = record.header.lsn + 1;
        scan->chain = record.header.check;
        scan->records++;
        scan->on_record(scan->owner, &record);
        offset = record_end(&record.header, offset);
    }
    scan->batches++;
}

/* Where the last sector with anything in it ends; at least `from`. */
static uint64_t nonzero_end(struct bytes image, uint64_t from)
{
    uint64_t end = record_align(image.size, SECTOR_SIZE);
    while (end > from) {
        uint64_t begin = end - SECTOR_SIZE;
        uint64_t size = image.size - begin < SECTOR_SIZE ? image.size - begin : SECTOR_SIZE;
        if (!is_zero(image.data + begin, size))
            return end;
        end = begin;
    }
    return from;
}

/* May this record stand here although the batch that begins at `from` is torn? Only as a part of
 * that batch: it was written with it. The first record of the batch has one place only. Elsewhere
 * it shows that the disk put the batch there, and told that it was durable: what looks torn is what
 * was there before. */
static bool of_torn_batch(const struct scan *scan, const struct record_header *header, uint64_t at,
                          uint64_t from)
{
    if (header->lsn - header->batch != scan->lsn_next)
        return false;
    return header->batch != 0 || at == from || planted(JOURNAL_ASTRAY_IS_TORN);
}

/* Looks for a record that was written after everything before lsn_next was durable, although
 * lsn_next cannot be read. Behind the end in the same segment, records of the very batch that is
 * torn are expected; so are they at the start of the next one. */
static void find_later(struct scan *scan, struct bytes image, uint32_t seed, uint64_t from)
{
    struct record_header header;
    for (uint64_t at = record_align(from, RECORD_ALIGNMENT);
         at <= image.size && image.size - at >= RECORD_HEADER_SIZE && scan->later_segment == 0;
         at += RECORD_ALIGNMENT) {
        if (!record_header_decode(image.data + at, seed, &header) ||
            of_torn_batch(scan, &header, at, from))
            continue;
        scan->later_segment = scan->number;
        scan->later_offset = at;
        scan->later_lsn = header.lsn;
    }
}

/* What kind of end is it, judged by the first record that is not whole: a sector of a torn record
 * is as it was before the write, and that is zeros. */
static enum scan_end judge_end(struct bytes image, uint32_t seed, uint64_t offset, uint64_t bad)
{
    uint64_t used = nonzero_end(image, offset);
    if (used <= offset)
        return SCAN_END_CLEAN;
    struct found found;
    (void)record_whole(image, seed, bad, &found);
    uint64_t end = found.header_whole ? found.end : bad + RECORD_HEADER_SIZE;
    if (end > image.size)
        end = image.size;
    for (uint64_t at = bad / SECTOR_SIZE * SECTOR_SIZE; at < end; at += SECTOR_SIZE) {
        uint64_t size = image.size - at < SECTOR_SIZE ? image.size - at : SECTOR_SIZE;
        if (is_zero(image.data + at, size) && !planted(JOURNAL_TORN_IS_DAMAGE))
            return SCAN_END_TORN;
    }
    return SCAN_END_DAMAGED;
}

/* The log ends, as far as is known, in this segment at `offset`; or it ended in an earlier one, and
 * this one ought to be unused. */
static void note_end(struct scan *scan, struct bytes image, uint32_t seed, uint64_t offset,
                     uint64_t bad)
{
    enum scan_end end = judge_end(image, seed, offset, bad);
    /* The expected batch is damaged here if another one is not what stands here. */
    struct record_header header;
    bool other = image.size - offset >= RECORD_HEADER_SIZE &&
                 record_header_decode(image.data + offset, seed, &header) &&
                 header.lsn - header.batch != scan->lsn_next;
    if (!scan->ended || (end > scan->end && !other && scan->later_segment == 0)) {
        scan->end = end;
        scan->bad_segment = scan->number;
        scan->bad_offset = bad;
    }
    if (end != SCAN_END_CLEAN)
        find_later(scan, image, seed, offset);
    if (!scan->ended) {
        scan->tail_segment = scan->number;
        scan->tail_offset = offset;
        scan->tail_nonzero = nonzero_end(image, offset);
    }
    scan->ended = true;
}

static enum status check_identity(struct scan *scan, uint64_t number, uint64_t image_size,
                                  const struct segment_header *header)
{
    if (scan->any_identity && scan->number == 0) {
        scan->cluster = header->cluster;
        scan->member = header->member;
    }
    if (header->cluster != scan->cluster)
        return refuse(scan, STATUS_MISMATCH, number,
                      "this log belongs to another cluster: the data directory is not this one's");
    if (header->member != scan->member)
        return refuse(scan, STATUS_MISMATCH, number,
                      "this log belongs to another member: the data directory is not this one's");
    if (header->number != number || number == 0 || number > UINT32_MAX)
        return refuse(scan, STATUS_CORRUPT, number, "the file was renamed: its header disagrees.");
    if (header->size != image_size)
        return refuse(scan, STATUS_CORRUPT, number, "the file is not as long as its header says.");
    if (scan->number != 0 && number != scan->number + 1) {
        return refuse(scan, STATUS_CORRUPT, scan->number + 1,
                      "this segment is missing, and later ones exist.");
    }
    return STATUS_OK;
}

enum status scan_segment(struct scan *scan, uint64_t number, struct bytes image,
                         struct segment_header *ret_header)
{
    enum status status = segment_header_decode(image, ret_header);
    if (status == STATUS_UNSUPPORTED)
        return refuse(scan, status, number,
                      "written by a newer version of synod in a format that this one cannot read");
    if (status != STATUS_OK)
        return refuse(scan, status, number, "the header of the segment is damaged.");
    status = check_identity(scan, number, image.size, ret_header);
    if (status != STATUS_OK)
        return status;
    scan->first = scan->number == 0 ? number : scan->first;
    scan->number = number;

    uint32_t seed = ret_header->seed;
    uint64_t offset = SEGMENT_RECORDS_AT;
    uint64_t last = offset;
    uint64_t end;
    uint64_t bad;
    while (batch_whole(scan, image, seed, offset, &end, &bad)) {
        /* Whatever lies behind the end of the segment before, the chain shows it was not a record.
         */
        scan->ended = false;
        scan->later_segment = 0;
        batch_deliver(scan, image, seed, offset, end);
        scan->bytes += end - offset;
        last = offset;
        offset = end;
    }
    if (!scan->ended)
        scan->tail_batch = last;
    note_end(scan, image, seed, offset, bad);
    return STATUS_OK;
}

enum status scan_finish(struct scan *scan)
{
    if (scan->number == 0)
        return STATUS_OK;
    /* A segment is removed from the front only when a later one holds a durable record. */
    bool all_lost = !scan->started && scan->first > 1;
    if (scan->later_segment == 0 && scan->end != SCAN_END_DAMAGED && !all_lost)
        return STATUS_OK;
    if (planted(JOURNAL_DAMAGE_IS_TORN))
        return STATUS_OK;
    explain_place(scan, scan->bad_segment, scan->bad_offset);
    text_add(scan->error, all_lost ? ": the first record that is left" : ": the record ");
    if (!all_lost)
        text_u64(scan->error, scan->lsn_next);
    text_add(scan->error, scan->end == SCAN_END_CLEAN
                              ? " is missing, here or at the start of the next segment"
                              : " or one written together with it is damaged");
    if (scan->later_segment != 0) {
        text_add(scan->error, ", but record ");
        text_u64(scan->error, scan->later_lsn);
        text_add(scan->error, " behind it is intact (");
        explain_place(scan, scan->later_segment, scan->later_offset);
        text_add(scan->error, ")");
    } else {
        text_add(scan->error, ", and not by a power cut");
    }
    text_add(scan->error, ".");
    text_add(scan->error, scan_remedy);
    return STATUS_CORRUPT;
}
