/* Snapshots of the machine: one record of its own (doc/formats/command.md), made whole at the
 * beginning because it is small, and then the store's records as they come. */
#include "base/panic.h"
#include "base/planted.h"
#include "service/machine_internal.h"

#define RECORD_MACHINE 16u
#define MACHINE_FORMAT 1u
#define MACHINE_RECORD_MAX ((size_t)64 * 1024 * 1024)

struct machine_saver {
    struct machine *machine;
    struct store_saver *store;
    struct buffer record; /* empty once it is out */
};

static void save_cluster(struct buffer *buffer, const struct cluster *cluster)
{
    buffer_u16(buffer, cluster->keeper);
    buffer_u64(buffer, cluster->keeper_round);
    buffer_u32(buffer, cluster->alarms_count);
    for (uint32_t i = 0; i < cluster->alarms_count; i++) {
        buffer_u64(buffer, cluster->alarms[i].member);
        buffer_u8(buffer, (uint8_t)cluster->alarms[i].kind);
    }
    buffer_u32(buffer, cluster->statements_count);
    for (uint32_t i = 0; i < cluster->statements_count; i++) {
        buffer_u64(buffer, cluster->statements[i].member);
        buffer_u64(buffer, cluster->statements[i].slot);
        buffer_u64(buffer, cluster->statements[i].digest);
    }
    buffer_u32(buffer, cluster->members_count);
    for (uint32_t i = 0; i < cluster->members_count; i++) {
        struct command command = {.kind = COMMAND_MEMBER, .member = cluster->members[i]};
        command_encode(buffer, &command);
    }
}

static void save_record(struct buffer *buffer, const struct machine *machine)
{
    buffer_u32(buffer, 0);
    buffer_u8(buffer, RECORD_MACHINE);
    buffer_u16(buffer, MACHINE_FORMAT);
    buffer_u64(buffer, machine->slot);
    buffer_u64(buffer, machine->digest);
    buffer_u64(buffer, machine->invalid_batches);
    buffer_u32(buffer, machine->sessions_count);
    for (uint32_t i = 0; i < machine->sessions_count; i++) {
        buffer_u16(buffer, machine->sessions[i].origin);
        buffer_u64(buffer, machine->sessions[i].incarnation);
        buffer_u64(buffer, planted(SERVICE_SESSION_NOT_SAVED) ? 0 : machine->sessions[i].sequence);
    }
    save_cluster(buffer, &machine->cluster);
    ensure(!buffer->failed);
    store_u32(buffer->data, (uint32_t)(buffer->size - 4));
}

struct machine_saver *machine_save(struct machine *machine)
{
    struct machine_saver *saver = mem_zero(machine->mem, sizeof *saver);
    saver->machine = machine;
    saver->store = store_save(machine->store);
    buffer_init(&saver->record, machine->mem, MACHINE_RECORD_MAX);
    save_record(&saver->record, machine);
    return saver;
}

bool machine_save_next(struct machine_saver *saver, struct buffer *slice)
{
    if (saver->record.size > 0) {
        buffer_append(slice, buffer_bytes(&saver->record));
        buffer_release(&saver->record);
    }
    return store_save_next(saver->store, slice);
}

void machine_save_end(struct machine_saver *saver)
{
    store_save_end(saver->store);
    buffer_release(&saver->record);
    mem_free(saver->machine->mem, saver, sizeof *saver);
}

/* --- Loading ------------------------------------------------------------------------------------
 */

struct machine_loader {
    struct machine *machine;
    struct store_loader *store;
    struct buffer record; /* until it is whole */
    bool begun;           /* the machine's record is taken: the rest is the store's */
    bool failed;
};

struct machine_loader *machine_load(struct machine *machine)
{
    ensure(machine->slot == 0);
    struct machine_loader *loader = mem_zero(machine->mem, sizeof *loader);
    loader->machine = machine;
    loader->store = store_load(machine->store);
    buffer_init(&loader->record, machine->mem, MACHINE_RECORD_MAX);
    return loader;
}

static void load_sessions(struct reader *r, struct machine *machine)
{
    uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        uint16_t origin = read_u16(r);
        struct session session = {origin, read_u64(r), read_u64(r)};
        if (i > 0 && origin <= machine->sessions[machine->sessions_count - 1].origin)
            r->failed = true;
        if (!r->failed)
            *machine_session_open(machine, origin) = session;
    }
}

static void load_alarms(struct reader *r, struct cluster *cluster)
{
    uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct alarm alarm = {.member = read_u64(r)};
        uint8_t kind = read_u8(r);
        if (kind == ALARM_NONE || kind > ALARM_CORRUPT)
            r->failed = true;
        alarm.kind = (enum alarm_kind)kind;
        if (!r->failed)
            cluster_alarm(cluster, true, &alarm);
    }
}

static void load_statements(struct reader *r, struct cluster *cluster)
{
    uint32_t count = read_u32(r);
    if (count > STATEMENTS_MAX)
        r->failed = true;
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct statement *statement = &cluster->statements[cluster->statements_count++];
        statement->member = read_u64(r);
        statement->slot = read_u64(r);
        statement->digest = read_u64(r);
    }
}

static void load_members(struct reader *r, struct machine *machine)
{
    uint32_t count = read_u32(r);
    for (uint32_t i = 0; i < count && !r->failed; i++) {
        struct command command;
        struct bytes encoded = read_bytes(r, read_u32(r));
        if (r->failed || command_decode(encoded, &machine->scratch, &command) != STATUS_OK ||
            command.kind != COMMAND_MEMBER) {
            r->failed = true;
            return;
        }
        cluster_publish(&machine->cluster, &command.member);
        arena_reset(&machine->scratch);
    }
}

static bool load_machine(struct machine *machine, struct bytes content)
{
    struct reader r = reader_of(content);
    if (read_u8(&r) != RECORD_MACHINE || read_u16(&r) != MACHINE_FORMAT)
        return false;
    machine->slot = read_u64(&r);
    machine->digest = read_u64(&r);
    machine->invalid_batches = read_u64(&r);
    load_sessions(&r, machine);
    machine->cluster.keeper = read_u16(&r);
    machine->cluster.keeper_round = read_u64(&r);
    load_alarms(&r, &machine->cluster);
    load_statements(&r, &machine->cluster);
    load_members(&r, machine);
    return reader_done(&r);
}

/* Collects the machine's record; returns how much of the piece belongs to it. */
static size_t load_collect(struct machine_loader *loader, struct bytes piece)
{
    struct buffer *record = &loader->record;
    size_t used = 0;
    while (used < piece.size && record->size < 4)
        buffer_u8(record, piece.data[used++]);
    if (record->size < 4)
        return used;
    uint64_t whole = 4 + (uint64_t)load_u32(record->data);
    if (whole > MACHINE_RECORD_MAX) {
        loader->failed = true;
        return used;
    }
    size_t missing = (size_t)whole - record->size;
    size_t more = missing < piece.size - used ? missing : piece.size - used;
    buffer_append(record, bytes_of(piece.data + used, more));
    if (record->size == whole) {
        loader->begun = true;
        loader->failed =
            !load_machine(loader->machine, bytes_of(record->data + 4, record->size - 4));
        buffer_release(record);
    }
    return used + more;
}

enum status machine_load_piece(struct machine_loader *loader, struct bytes piece)
{
    size_t used = 0;
    if (!loader->failed && !loader->begun)
        used = load_collect(loader, piece);
    if (!loader->failed && loader->begun && used < piece.size) {
        struct bytes rest = bytes_of(piece.data + used, piece.size - used);
        loader->failed = store_load_piece(loader->store, rest) != STATUS_OK;
    }
    return loader->failed ? STATUS_INVALID : STATUS_OK;
}

enum status machine_load_end(struct machine_loader *loader)
{
    struct machine *machine = loader->machine;
    bool whole = store_load_end(loader->store) == STATUS_OK && !loader->failed && loader->begun;
    buffer_release(&loader->record);
    mem_free(machine->mem, loader, sizeof *loader);
    return whole ? STATUS_OK : STATUS_INVALID;
}
