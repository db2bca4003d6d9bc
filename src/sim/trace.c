/* The trace: every event of a run, folded into one number, and printed in columns for people who
 * ask: the time, a column for each member (its role and the slot that it has applied), and what
 * happens, at the member that is marked.
 *
 * The one invariant: what is folded does not depend on whether it is printed. */
#include "sim/internal.h"

#include "base/hash.h"
#include "replica/internal.h"
#include "wire/message.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const char *const message_names[] = {
    "?",       "engine",   "forward",       "fetch",          "log",       "log end",
    "nothing", "snapshot", "snapshot read", "snapshot chunk", "lease ask", "lease tell"};

static void fold(struct sim *sim, uint64_t what, uint32_t place, uint64_t a, uint64_t b)
{
    uint64_t hash = hash_fold(sim->hash, sim->now ^ what << 48);
    hash = hash_fold(hash, a + ((uint64_t)place << 56));
    sim->hash = hash_fold(hash, b);
}

/* --- For people ------------------------------------------------------------------------------ */

static void print_member(const struct sim_member *m, bool acts)
{
    char mark = acts ? '*' : ' ';
    if (m->state == MEMBER_DOWN) {
        printf("%c%-8s", mark, m->halted ? "halted" : "-");
        return;
    }
    if (m->replica == NULL || m->state == MEMBER_BOOTING) {
        printf("%cboot    ", mark);
        return;
    }
    char role = m->replica->role == ROLE_LEADER      ? 'L'
                : m->replica->role == ROLE_CANDIDATE ? 'C'
                                                     : 'F';
    if (m->state != MEMBER_UP)
        role = 'S';
    uint64_t slot = m->replica->machine == NULL ? 0 : machine_slot(m->replica->machine);
    printf("%c%c%c%6" PRIu64, mark, role, m->paused ? 'p' : ' ', slot);
}

static void line_begin(struct sim *sim, uint32_t place)
{
    printf("%6" PRIu64 ".%06" PRIu64 " ", sim->now / MS, sim->now % MS);
    for (uint32_t i = 0; i < sim->options.members; i++) {
        printf("|");
        print_member(&sim->members[i], i == place);
    }
    printf("| ");
}

void trace_begin(struct sim *sim)
{
    if (!sim->options.columns)
        return;
    printf("%13s ", "milliseconds");
    for (uint32_t i = 0; i < sim->options.members; i++)
        printf("| m%-7u", i + 1);
    printf("| what\n");
}

static void print_message(struct sim *sim, struct bytes head)
{
    struct message m;
    if (message_decode(head, &m) != STATUS_OK) {
        printf("malformed");
        return;
    }
    const struct engine_ops *ops = engine_by_id(sim->options.engine);
    if (m.kind != MESSAGE_ENGINE || ops->describe == NULL) {
        uint32_t kind = (uint32_t)m.kind;
        printf("%s id=%" PRIu64 " slot=%" PRIu64 " offset=%" PRIu64,
               message_names[kind < sizeof message_names / sizeof message_names[0] ? kind : 0],
               m.id, m.slot, m.offset);
        return;
    }
    char line[256];
    struct text text = text_of(line, sizeof line);
    ops->describe(m.inner, &text);
    printf("%s", line);
}

static const char *const disk_names[] = {"create",         "open",           "close",  "read",
                                         "write",          "sync",           "rename", "remove",
                                         "sync directory", "make directory", "list"};

static void print_fold(enum trace_kind kind, uint64_t a, uint64_t b)
{
    if (kind == TRACE_TIMER)
        printf("timer");
    else if (kind == TRACE_DISK)
        printf("disk: %s at %" PRIu64 ": %s", disk_names[a >> 8], b,
               status_text((enum status)(a & 0xff)));
    else if (kind == TRACE_APPLIED)
        printf("applied %" PRIu64 ", digest %016" PRIx64, a, b);
    printf("\n");
}

/* --- What is traced -------------------------------------------------------------------------- */

void trace_fold(struct sim *sim, enum trace_kind kind, uint32_t place, uint64_t a, uint64_t b)
{
    fold(sim, kind, place, a, b);
    if (sim->options.columns) {
        line_begin(sim, place);
        print_fold(kind, a, b);
    }
}

void trace_message(struct sim *sim, enum trace_kind kind, uint32_t place, uint32_t peer,
                   struct bytes head, uint64_t entry_size)
{
    /* The sizes, and the bytes at both ends, tell one message from another well enough. */
    uint64_t ends = head.size < 8 ? 0 : load_u64(head.data + head.size - 8);
    if (head.size >= 24)
        ends = hash_fold(ends, load_u64(head.data + 16));
    fold(sim, (uint64_t)kind | (uint64_t)peer << 8, place, entry_size << 16 | head.size, ends);
    if (!sim->options.columns)
        return;
    line_begin(sim, place);
    printf("m%u %s m%u ", place + 1, kind == TRACE_SEND ? "->" : "<-", peer + 1);
    print_message(sim, head);
    if (entry_size > 0)
        printf(" +%" PRIu64, entry_size);
    printf("\n");
}

void trace_note(struct sim *sim, uint32_t place, const char *what, const char *more)
{
    if (!sim->options.columns)
        return;
    line_begin(sim, place);
    printf("m%u: %s %s\n", place + 1, what, more);
}

void sim_trace(struct sim *sim, uint32_t place, const char *what, uint64_t a, uint64_t b)
{
    fold(sim, hash_bytes(TRACE_KINDS, bytes_text(what)), place, a, b);
    if (!sim->options.columns)
        return;
    line_begin(sim, place);
    printf("m%u: %s %" PRIu64 " %" PRIu64 "\n", place + 1, what, a, b);
}
