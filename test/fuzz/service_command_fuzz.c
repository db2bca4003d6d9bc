/* Fuzz: any bytes as a command, as an entry of the log, as a snapshot. The input is cut by its own
 * first bytes; what applies must leave a state that saves, loads and digests alike. */
#include "base/panic.h"
#include "service/machine.h"

#include <stdlib.h>
#include <string.h>

static void *fuzz_resize(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)size_old;
    if (size_new == 0) {
        free(at);
        return NULL;
    }
    return realloc(at, size_new);
}

static void fuzz_decode(struct mem *mem, struct bytes input)
{
    struct arena arena;
    struct command command;
    arena_init(&arena, mem);
    if (command_decode(input, &arena, &command) == STATUS_OK) {
        struct buffer buffer;
        buffer_init(&buffer, mem, (size_t)1 << 26);
        command_check(&command, 128);
        command_encode(&buffer, &command);
        struct command again;
        ensure(command_decode(bytes_of(buffer.data + 4, buffer.size - 4), &arena, &again) ==
               STATUS_OK);
        buffer_release(&buffer);
    }
    arena_release(&arena);
}

/* One command of the input, wrapped as an honest member would: most fuzzed bytes get past the
 * header this way. */
static void fuzz_apply_wrapped(struct machine *machine, struct mem *mem, struct bytes command)
{
    struct buffer buffer;
    struct batch_header header = {.origin = 1, .incarnation = 1, .sequence = 1, .count = 1};
    header.sequence += machine_session(machine, 1, 1);
    buffer_init(&buffer, mem, (size_t)1 << 26);
    batch_header_store(buffer_extend(&buffer, BATCH_HEADER_SIZE), &header);
    buffer_u32(&buffer, (uint32_t)command.size);
    buffer_append(&buffer, command);
    machine_apply(machine, machine_slot(machine) + 1, buffer_bytes(&buffer));
    buffer_release(&buffer);
}

static void fuzz_copy(struct machine *machine, const struct machine_config *config)
{
    struct buffer buffer;
    buffer_init(&buffer, config->mem, (size_t)1 << 28);
    struct machine_saver *saver = machine_save(machine);
    while (machine_save_next(saver, &buffer))
        continue;
    machine_save_end(saver);
    struct machine *copy = machine_new(config);
    struct machine_loader *loader = machine_load(copy);
    ensure(machine_load_piece(loader, buffer_bytes(&buffer)) == STATUS_OK);
    ensure(machine_load_end(loader) == STATUS_OK);
    ensure(machine_digest(copy) == machine_digest(machine));
    machine_free(copy);
    buffer_release(&buffer);
}

static void fuzz_load(const struct machine_config *config, struct bytes input)
{
    struct machine *machine = machine_new(config);
    struct machine_loader *loader = machine_load(machine);
    enum status piece = machine_load_piece(loader, input);
    enum status end = machine_load_end(loader);
    ensure(piece == STATUS_OK || end != STATUS_OK);
    while (store_work(machine_store(machine), 100))
        continue;
    machine_free(machine);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct mem mem = {.resize = fuzz_resize};
    struct machine_config config = {.mem = &mem, .members = 3, .self = 1};
    struct machine *machine = machine_new(&config);
    struct bytes input = bytes_of(data, size);
    fuzz_decode(&mem, input);
    machine_apply(machine, 1, input);
    struct reader r = reader_of(input);
    while (reader_left(&r) > 0 && !r.failed) {
        uint8_t length = read_u8(&r);
        fuzz_apply_wrapped(machine, &mem, read_bytes(&r, length));
        store_work(machine_store(machine), length);
    }
    fuzz_copy(machine, &config);
    fuzz_load(&config, input);
    machine_free(machine);
    ensure(mem.used == 0);
    return 0;
}
