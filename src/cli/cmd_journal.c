/* synod journal: reads the log and the snapshots in a data directory, without a running member.
 *
 * The one invariant: nothing is changed, created or locked. So it may also look at a running
 * member's directory; what is being written meanwhile then looks like a torn end. */
#include "cli/commands.h"
#include "cli/json.h"
#include "cli/options.h"
#include "cli/session.h"
#include "journal/names.h"
#include "journal/scan.h"
#include "journal/snapshot_format.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

static const struct option flags[] = {
    {.group = "Flags", .name = "json", .kind = OPTION_BOOL, .help = "JSON: one value a line"},
    {.name = NULL},
};

static const struct options_spec spec = {
    .command = "journal",
    .summary = "read a member's log on disk",
    .arguments = "dump|verify DIR",
    .description = "dump prints one line for every record of the log in the data directory DIR.\n"
                   "verify checks every record of the log and every block of its snapshots.\n"
                   "Both change nothing. A torn end is not an error: power cuts leave them, and\n"
                   "nothing in it was ever acknowledged.\n"
                   "\n"
                   "Exit code: 0 all is well; 1 damaged or unreadable; 2 wrong command line;\n"
                   "3 there is no log in DIR.\n",
    .examples = "  synod journal verify /var/lib/synod\n"
                "  synod journal dump /var/lib/synod --json | jq .slot\n",
    .arguments_min = 2,
    .arguments_max = 2,
    .tables = {flags},
};

struct inspection {
    const char *directory;
    bool dump;
    bool json;
    bool failed;
    char error[1024];
    uint64_t segments;
    uint64_t snapshots;
    uint64_t snapshot_slot; /* of the newest whole one */
    uint64_t floor;         /* the log was trimmed up to this slot */
};

/* Calls `found` for each file of directory/sub with this suffix, in order of their numbers. */
static void each_file(struct inspection *inspection, const char *sub, const char *suffix,
                      void *context,
                      bool (*found)(struct inspection *inspection, void *context, uint64_t number,
                                    const char *path))
{
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/%s", inspection->directory, sub);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, alphasort);
    bool more = true;
    for (int i = 0; i < count; i++) {
        uint64_t number;
        if (more && name_number(entries[i]->d_name, suffix, &number)) {
            int length = snprintf(path, sizeof path, "%s/%s/%s", inspection->directory, sub,
                                  entries[i]->d_name);
            more = length > 0 && (size_t)length < sizeof path &&
                   found(inspection, context, number, path);
        }
        free(entries[i]);
    }
    free(entries);
}

static void complain(struct inspection *inspection, const char *path, const char *why)
{
    inspection->failed = true;
    snprintf(inspection->error, sizeof inspection->error, "%s: %s", path, why);
}

/* A file's bytes, mapped; false after a complaint. */
static bool file_map(struct inspection *inspection, const char *path, struct bytes *ret_bytes)
{
    *ret_bytes = BYTES_EMPTY;
    struct stat stat;
    int file = open(path, O_RDONLY | O_CLOEXEC);
    bool read = file >= 0 && fstat(file, &stat) == 0;
    if (read && stat.st_size > 0) {
        void *at = mmap(NULL, (size_t)stat.st_size, PROT_READ, MAP_PRIVATE, file, 0);
        read = at != MAP_FAILED;
        if (read)
            *ret_bytes = bytes_of(at, (size_t)stat.st_size);
    }
    if (!read)
        complain(inspection, path, strerror(errno));
    if (file >= 0)
        close(file);
    return read;
}

static void file_unmap(struct bytes bytes)
{
    if (bytes.size > 0)
        munmap((void *)(uintptr_t)bytes.data, bytes.size);
}

static void print_record(void *owner, const struct scan_record *record)
{
    const struct inspection *inspection = owner;
    const struct record_header *header = &record->header;
    if (!inspection->dump)
        return;
    bool located = header->flags & RECORD_LOCATED;
    if (!inspection->json) {
        printf("%10" PRIu64 "  %6" PRIu64 ":%-9" PRIu64 " type %-3u era %-4" PRIu32
               " slot %-10" PRIu64 " %s head %zu entry %zu%s\n",
               header->lsn, record->segment, record->offset, header->type, header->era,
               header->slot, located ? "value" : "     ", record->head.size, record->entry.size,
               header->batch == 0 ? "  (batch)" : "");
        return;
    }
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_u64(&json, "lsn", header->lsn);
    json_u64(&json, "segment", record->segment);
    json_u64(&json, "offset", record->offset);
    json_u64(&json, "type", header->type);
    json_u64(&json, "era", header->era);
    json_u64(&json, "slot", header->slot);
    json_bool(&json, "located", located);
    json_u64(&json, "place_in_batch", header->batch);
    json_u64(&json, "head_size", record->head.size);
    json_u64(&json, "entry_size", record->entry.size);
    json_object_end(&json);
    json_line(&json);
}

static bool inspect_segment(struct inspection *inspection, void *context, uint64_t number,
                            const char *path)
{
    struct scan *scan = context;
    struct bytes image;
    if (!file_map(inspection, path, &image))
        return false;
    struct segment_header header;
    inspection->failed = scan_segment(scan, number, image, &header) != STATUS_OK;
    inspection->segments++;
    file_unmap(image);
    return !inspection->failed;
}

/* Why a snapshot is not whole; NULL if it is. */
static const char *snapshot_flaw(struct bytes bytes, uint64_t slot)
{
    struct snapshot_check check = {0};
    size_t used = 1;
    while (used > 0) {
        struct bytes content;
        enum status status = snapshot_check_take(&check, bytes, &used, &content);
        if (status != STATUS_OK)
            return status_text(status);
        bytes = bytes_of(bytes.data + used, bytes.size - used);
    }
    if (check.expected != SNAPSHOT_PART_END)
        return "ends too early";
    return check.header.slot == slot ? NULL : "was renamed: its header disagrees";
}

static bool inspect_snapshot(struct inspection *inspection, void *context, uint64_t slot,
                             const char *path)
{
    (void)context;
    struct bytes bytes;
    if (!file_map(inspection, path, &bytes))
        return false;
    const char *flaw = bytes.size == 0 ? "empty" : snapshot_flaw(bytes, slot);
    file_unmap(bytes);
    inspection->snapshots++;
    if (flaw != NULL)
        complain(inspection, path, flaw);
    else
        inspection->snapshot_slot = slot;
    return flaw == NULL;
}

static bool inspect_floor(struct inspection *inspection, void *context, uint64_t slot,
                          const char *path)
{
    (void)context;
    (void)path;
    inspection->floor = slot;
    return true;
}

static void inspect_snapshots(struct inspection *inspection)
{
    each_file(inspection, "log", ".floor", NULL, inspect_floor);
    each_file(inspection, "snap", ".snap", NULL, inspect_snapshot);
    if (!inspection->failed && inspection->floor > inspection->snapshot_slot)
        complain(inspection, inspection->directory,
                 "the log was trimmed, and the snapshot of what went is gone");
}

static const char *end_text(const struct scan *scan)
{
    return scan->ended && scan->end == SCAN_END_TORN ? "torn" : "clean";
}

static void print_verdict(const struct inspection *inspection, const struct scan *scan)
{
    if (!inspection->json) {
        if (!inspection->failed)
            printf("whole: %" PRIu64 " segments, %" PRIu64 " records in %" PRIu64
                   " batches up to number %" PRIu64 ", %s end, %" PRIu64 " snapshots\n",
                   inspection->segments, scan->records, scan->batches, scan->lsn_next - 1,
                   end_text(scan), inspection->snapshots);
        return;
    }
    struct json json = json_of(stdout);
    json_object(&json, NULL);
    json_bool(&json, "whole", !inspection->failed);
    if (inspection->failed)
        json_text(&json, "error", inspection->error);
    json_u64(&json, "segments", inspection->segments);
    json_u64(&json, "records", scan->records);
    json_u64(&json, "batches", scan->batches);
    json_u64(&json, "bytes", scan->bytes);
    json_u64(&json, "last_lsn", scan->lsn_next - 1);
    json_text(&json, "end", end_text(scan));
    json_u64(&json, "snapshots", inspection->snapshots);
    json_id(&json, "cluster", scan->cluster);
    json_id(&json, "member", scan->member);
    json_object_end(&json);
    json_line(&json);
}

static int inspect(struct inspection *inspection)
{
    struct text error = text_of(inspection->error, sizeof inspection->error);
    struct scan scan;
    scan_init(&scan, inspection, print_record, &error);
    scan.any_identity = true;
    each_file(inspection, "log", ".log", &scan, inspect_segment);
    if (inspection->segments == 0 && !inspection->failed) {
        fprintf(stderr, "synod journal: there is no log in %s\n", inspection->directory);
        return EXIT_CODE_NOTHING;
    }
    if (!inspection->failed)
        inspection->failed = scan_finish(&scan) != STATUS_OK;
    if (!inspection->failed && !inspection->dump)
        inspect_snapshots(inspection);
    if (!inspection->dump)
        print_verdict(inspection, &scan);
    if (inspection->failed)
        fprintf(stderr, "synod journal: %s\n", inspection->error);
    return inspection->failed ? EXIT_CODE_FAILED : EXIT_CODE_OK;
}

int cmd_journal(int argc, char **argv)
{
    struct options options;
    enum options_result result = options_parse(&options, &spec, argc, argv);
    if (result != OPTIONS_RUN)
        return options_exit_code(result);
    struct inspection inspection = {
        .directory = options.arguments[1],
        .dump = strcmp(options.arguments[0], "dump") == 0,
        .json = options_bool(&options, "json"),
    };
    int code;
    if (inspection.dump || strcmp(options.arguments[0], "verify") == 0)
        code = inspect(&inspection);
    else
        code = options_exit_code(
            options_complain(&spec, "\"%s\" is neither dump nor verify", options.arguments[0]));
    options_release(&options);
    return code;
}
