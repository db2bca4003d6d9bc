/* One member of the explored cluster: an engine, and the smallest host that keeps the contract.
 *
 * Effects are executed in order. A SEND waits until every record persisted before it is durable, a
 * SEND_EARLY leaves at once; a crash keeps a prefix of the log that is at least what was durable,
 * and loses what was held back. Catch-up is the host's, as in production: entries come out of the
 * part of the log that was applied here, otherwise the snapshot comes.
 *
 * The one invariant: a step is a function of the member's image and the action, of nothing else. */
#include "sim/explore_internal.h"

#include "base/hash.h"
#include "base/panic.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#define HEARTBEAT_NS UINT64_C(100000000)
#define ELECTION_NS UINT64_C(1000000000)
#define LIFE_NS (UINT64_C(1) << 44) /* each life of a member has a stretch of time of its own */
#define REFERENCES (1u << 30)       /* values are immortal: counts are put back before each step */
#define WAKES_MAX 3
#define AGAIN_MAX 64

static struct explore *catcher; /* whose step may panic */

static noreturn void host_panic(const char *file, int line, const char *what)
{
    struct explore *x = catcher;
    if (x == NULL || !x->may_panic) {
        fprintf(stderr, "%s:%d: %s\n", file, line, what);
        abort();
    }
    x->may_panic = false;
    const char *name = strrchr(file, '/');
    explore_violate(x, "member %u panicked at %s:%d: %s", x->place + 1,
                    name == NULL ? file : name + 1, line, what);
    longjmp(x->panic, 1);
}

void explore_violate(struct explore *x, const char *format, ...)
{
    if (x->violation[0] != '\0')
        return; /* the first one counts */
    va_list list;
    va_start(list, format);
    vsnprintf(x->violation, sizeof x->violation, format, list);
    va_end(list);
}

static void narrate(struct explore *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void narrate(struct explore *x, const char *format, ...)
{
    if (x->narration == NULL)
        return;
    va_list list;
    va_start(list, format);
    fprintf(x->narration, "        %u ", x->place + 1);
    vfprintf(x->narration, format, list);
    fprintf(x->narration, "\n");
    va_end(list);
}

static const char *value_text(uint32_t value, char buffer[24])
{
    if (value == 0)
        return "no-op";
    snprintf(buffer, 24, "value %u", value);
    return buffer;
}

/* --- What a step brings about ----------------------------------------------------------------- */

static void host_item(struct explore *x, enum explore_item_kind kind, uint32_t argument)
{
    if (x->items_count == EXPLORE_ITEMS_MAX - 1)
        kind = ITEM_CUT;
    if (x->items_count < EXPLORE_ITEMS_MAX)
        x->items[x->items_count++] = item_of(kind, argument);
}

static uint8_t host_value(const struct explore *x, const struct blob *entry)
{
    if (entry == NULL)
        return 0;
    ensure(entry->size == 1 && entry->data[0] <= EXPLORE_VALUES_MAX);
    ensure(x->values[entry->data[0]] == entry);
    return entry->data[0];
}

/* Names a message from the member at work. */
static uint32_t host_message(struct explore *x, enum explore_message_kind kind, uint32_t to,
                             uint64_t slot, struct bytes head, uint8_t value)
{
    char buffer[256];
    struct text words = text_of(buffer, sizeof buffer);
    struct explore_message message;
    memset(&message, 0, sizeof message);
    ensure(head.size <= EXPLORE_HEAD_MAX);
    message.kind = (uint8_t)kind;
    message.from = (uint8_t)x->place;
    message.to = (uint8_t)to;
    message.value = value;
    message.slot = (uint8_t)slot;
    message.head_size = (uint8_t)head.size;
    if (head.size > 0)
        memcpy(message.head, head.data, head.size);
    if (kind == CARRIES_ENGINE)
        x->options.engine->describe(head, &words);
    else
        text_bytes(&words, head);
    size_t name = strcspn(buffer, " ");
    message.heartbeat =
        kind == CARRIES_ENGINE && name >= 4 && strncmp(buffer + name - 4, "BEAT", 4) == 0;
    uint64_t hash = hash_u64((uint64_t)kind << 32 | x->place << 24 | to << 16 | value);
    hash = hash_fold(hash_bytes(hash, bytes_of(words.data, words.size)), slot);
    message.fingerprint = hash_u64(hash);
    return explore_name_message(x, &message);
}

static void narrate_message(struct explore *x, const char *verb, uint32_t name)
{
    if (x->narration == NULL)
        return;
    char buffer[256];
    struct text words = text_of(buffer, sizeof buffer);
    const struct explore_message *message = explore_message_at(x, name);
    explore_describe_message(x, message, &words);
    narrate(x, "%s to %u: %s", verb, message->to + 1, buffer);
}

static void host_send(struct explore *x, uint32_t name)
{
    narrate_message(x, "sends", name);
    host_item(x, ITEM_SEND, name);
}

static uint64_t image_last(const struct explore_image *image)
{
    return image->lsn_first + image->records_count - 1;
}

/* The engine numbers its records itself: both must mean the same. */
static void host_append(struct explore *x, const struct explore_record *record, struct lsn lsn)
{
    struct explore_image *image = x->image;
    x->persisted++;
    if (image->records_count == EXPLORE_RECORDS_MAX) {
        host_item(x, ITEM_CUT, 0);
        return;
    }
    image->records[image->records_count++] = explore_name_record(x, record);
    ensure(lsn.value == image_last(image));
}

static void host_persist(struct explore *x, const struct effect *effect)
{
    struct explore_record record;
    memset(&record, 0, sizeof record);
    ensure(effect->head.size <= EXPLORE_HEAD_MAX);
    record.type = effect->type;
    record.slot = (uint8_t)effect->slot;
    record.value = host_value(x, effect->entry);
    record.head_size = (uint8_t)effect->head.size;
    memcpy(record.head, effect->head.data, effect->head.size);
    host_append(x, &record, effect->lsn);
    static const char *const types[] = {"?", "ENTRY", "HARD", "ACCEPT"};
    char buffer[24];
    narrate(x, "writes record %llu: %s slot %u%s%s", (unsigned long long)effect->lsn.value,
            types[record.type < 4 ? record.type : 0], record.slot,
            record.type == RECORD_ENTRY ? ", " : "",
            record.type == RECORD_ENTRY ? value_text(record.value, buffer) : "");
}

static void host_gate(struct explore *x, const struct effect *effect)
{
    struct explore_image *image = x->image;
    int to = configuration_place(&x->configuration, effect->to);
    ensure(to >= 0);
    uint32_t name = host_message(x, CARRIES_ENGINE, (uint32_t)to, 0, effect->head,
                                 host_value(x, effect->entry));
    uint64_t lsn = image_last(image);
    if (effect->kind == EFFECT_SEND_EARLY || (image->held_count == 0 && lsn <= image->durable)) {
        host_send(x, name);
        return;
    }
    if (image->held_count == EXPLORE_HELD_MAX) {
        host_item(x, ITEM_CUT, 0);
        return;
    }
    narrate_message(x, "holds", name);
    image->held[image->held_count] = name;
    image->held_lsn[image->held_count++] = lsn;
}

static void host_open_gate(struct explore *x)
{
    struct explore_image *image = x->image;
    uint16_t gone = 0;
    while (gone < image->held_count && image->held_lsn[gone] <= image->durable)
        host_send(x, image->held[gone++]);
    image->held_count = (uint16_t)(image->held_count - gone);
    for (uint16_t i = 0; i < EXPLORE_HELD_MAX; i++) {
        bool left = i < image->held_count;
        image->held[i] = left ? image->held[i + gone] : 0;
        image->held_lsn[i] = left ? image->held_lsn[i + gone] : 0;
    }
}

static void host_deliver(struct explore *x, const struct effect *effect)
{
    struct explore_image *image = x->image;
    char buffer[24];
    uint8_t value = host_value(x, effect->entry);
    narrate(x, "delivers slot %llu: %s", (unsigned long long)effect->slot,
            value_text(value, buffer));
    if (effect->slot != (uint64_t)image->applied + 1)
        explore_violate(x, "member %u delivered slot %llu after slot %u", x->place + 1,
                        (unsigned long long)effect->slot, image->applied);
    if (effect->slot > EXPLORE_SLOTS_MAX) {
        host_item(x, ITEM_CUT, 0);
        return;
    }
    image->applied = (uint8_t)effect->slot;
    memset(image->mark, 0, sizeof image->mark);
    image->mark_size = (uint8_t)effect->head.size;
    memcpy(image->mark, effect->head.data, effect->head.size);
    host_item(x, ITEM_DELIVER, (uint32_t)effect->slot << 8 | value);
}

static void host_role(struct explore *x, const struct effect *effect)
{
    static const char *const roles[] = {"follower", "candidate", "leader"};
    narrate(x, "is %s in ballot %llu.%u; the leader that it knows: %u (0: none)",
            roles[effect->role], (unsigned long long)effect->ballot.round, effect->ballot.node,
            effect->to);
    if (effect->role != ROLE_LEADER)
        return;
    /* Multi-Paxos: members may lead in the same round, for a ballot names its owner. Elsewhere a
     * round is a term, which has one leader. */
    uint32_t owner = x->options.engine->id == engine_multipaxos.id ? effect->ballot.node : 0;
    if (effect->ballot.round >= 1u << 16)
        host_item(x, ITEM_CUT, 0);
    else
        host_item(x, ITEM_LEADER, (uint32_t)effect->ballot.round << 8 | owner);
}

static void host_execute(struct explore *x, const struct effect *effect)
{
    int to;
    switch (effect->kind) {
    case EFFECT_PERSIST:
        host_persist(x, effect);
        break;
    case EFFECT_SEND:
    case EFFECT_SEND_EARLY:
        host_gate(x, effect);
        break;
    case EFFECT_DELIVER:
        host_deliver(x, effect);
        break;
    case EFFECT_READ_OK:
        narrate(x, "may serve read %llu at slot %llu", (unsigned long long)effect->token,
                (unsigned long long)effect->slot);
        host_item(x, ITEM_READ_OK, (uint32_t)effect->token << 8 | (uint32_t)effect->slot);
        break;
    case EFFECT_READ_FAIL:
        narrate(x, "gives up read %llu", (unsigned long long)effect->token);
        host_item(x, ITEM_READ_FAIL, (uint32_t)effect->token);
        break;
    case EFFECT_REJECT:
        explore_violate(x, "member %u rejected a proposal that it had room for", x->place + 1);
        break;
    case EFFECT_FETCH:
        to = configuration_place(&x->configuration, effect->to);
        ensure(to >= 0);
        host_send(x,
                  host_message(x, CARRIES_FETCH, (uint32_t)to, effect->slot, (struct bytes){0}, 0));
        break;
    case EFFECT_ROLE:
        host_role(x, effect);
        break;
    }
}

/* --- Steps of the engine ---------------------------------------------------------------------- */

static void host_input_once(struct explore *x, struct input input)
{
    for (uint32_t i = 1; i <= EXPLORE_VALUES_MAX; i++)
        x->values[i]->references = REFERENCES;
    input.now = x->image->now;
    effects_clear(x->fx);
    effects_init(x->fx, (struct lsn){image_last(x->image)});
    x->options.engine->step(x->image->engine, &input, x->fx);
    x->options.engine->check(x->image->engine);
    x->engine_steps++;
    for (uint32_t i = 0; i < x->fx->count; i++)
        host_execute(x, &x->fx->items[i]);
}

/* The input, and all that the engine still wants to do at once. */
static void host_input(struct explore *x, struct input input)
{
    host_input_once(x, input);
    for (uint32_t i = 0; i < AGAIN_MAX; i++) {
        if (x->options.engine->wake(x->image->engine) != x->image->now)
            return;
        host_input_once(x, (struct input){.kind = INPUT_TIME});
    }
    explore_violate(x, "member %u is busy without time passing", x->place + 1);
}

static bool host_only_heartbeats(const struct explore *x)
{
    for (uint32_t i = 0; i < x->items_count; i++)
        if (x->items[i] >> 28 != ITEM_SEND ||
            !explore_message_at(x, x->items[i] & 0xfffffff)->heartbeat)
            return false;
    return true;
}

/* The clock runs on until the member does more than say that it is alive; not for ever. Of several
 * heartbeats the last is sent: the others were lost. */
static void host_timeout(struct explore *x)
{
    for (uint32_t i = 0; i < WAKES_MAX && x->persisted == 0 && host_only_heartbeats(x); i++) {
        uint64_t wake = x->options.engine->wake(x->image->engine);
        if (wake == TIME_NEVER)
            return;
        if (wake > x->image->now)
            x->image->now = wake;
        x->items_count = 0;
        host_input(x, (struct input){.kind = INPUT_TIME});
    }
}

/* The log before the restated hard state goes, as far as the snapshot covers it. */
static void host_trim_log(struct explore *x)
{
    struct explore_image *image = x->image;
    uint16_t gone = 0;
    if (image->trim_lsn == 0 || image->trim_lsn > image->durable)
        return;
    while (image->lsn_first + gone < image->trim_lsn) {
        const struct explore_record *record = explore_array_at(&x->records, image->records[gone]);
        if (record->slot > image->snapshot)
            break;
        gone++;
    }
    image->trim_lsn = 0;
    if (gone == 0)
        return;
    image->lsn_first += gone;
    narrate(x, "drops the records before %llu", (unsigned long long)image->lsn_first);
    image->records_count = (uint16_t)(image->records_count - gone);
    for (uint16_t i = 0; i < EXPLORE_RECORDS_MAX; i++)
        image->records[i] = i < image->records_count ? image->records[i + gone] : 0;
}

static void host_sync(struct explore *x)
{
    struct explore_image *image = x->image;
    image->durable++;
    narrate(x, "has record %llu on disk", (unsigned long long)image->durable);
    host_open_gate(x);
    host_input(x, (struct input){.kind = INPUT_DURABLE, .lsn = {image->durable}});
    host_trim_log(x);
}

static void host_start(struct explore *x)
{
    struct explore_image *image = x->image;
    struct engine_config config = {
        .era = 1,
        .self = x->configuration.members[x->place].node,
        .configuration = &x->configuration,
        .heartbeat_ns = HEARTBEAT_NS,
        .election_ns = ELECTION_NS,
        .window_slots = x->options.window_slots,
        .window_bytes = 4096,
        .tail_slots = x->options.tail_slots,
        .tail_bytes = 4096,
        .seed = (uint64_t)image->lives << 8 | x->place,
    };
    image->now = image->lives * LIFE_NS;
    memset(image->engine, 0, x->image_size - sizeof *image);
    x->options.engine->init(image->engine, &config);
    image->applied = image->snapshot;
    image->log_from = (uint8_t)(image->snapshot + 1);
    image->mark_size = image->snapshot_mark_size;
    memcpy(image->mark, image->snapshot_mark, sizeof image->mark);
    if (image->snapshot > 0)
        host_input_once(
            x, (struct input){.kind = INPUT_SNAPSHOT,
                              .slot = image->snapshot,
                              .head = bytes_of(image->snapshot_mark, image->snapshot_mark_size)});
    for (uint16_t i = 0; i < image->records_count; i++) {
        const struct explore_record *record = explore_array_at(&x->records, image->records[i]);
        if (record->type >= RECORD_HOST)
            continue;
        host_input_once(x, (struct input){.kind = INPUT_RECORD,
                                          .type = record->type,
                                          .lsn = {image->lsn_first + i},
                                          .slot = record->slot,
                                          .head = bytes_of(record->head, record->head_size),
                                          .entry = x->values[record->value]});
    }
    host_input(x, (struct input){.kind = INPUT_START});
}

static void host_crash(struct explore *x, uint32_t kept)
{
    struct explore_image *image = x->image;
    uint64_t last = image->durable + kept;
    ensure(last <= image_last(image));
    image->records_count = (uint16_t)(last + 1 - image->lsn_first);
    for (uint16_t i = image->records_count; i < EXPLORE_RECORDS_MAX; i++)
        image->records[i] = 0;
    image->durable = last;
    image->held_count = 0;
    memset(image->held, 0, sizeof image->held);
    memset(image->held_lsn, 0, sizeof image->held_lsn);
    image->trim_lsn = 0;
    image->lives++;
    host_start(x);
}

/* --- Snapshots and catch-up ------------------------------------------------------------------- */

static void host_snapshot(struct explore *x, uint8_t slot, struct bytes mark)
{
    struct explore_image *image = x->image;
    image->snapshot = slot;
    image->snapshot_mark_size = (uint8_t)mark.size;
    uint8_t copy[MARK_MAX] = {0};
    memcpy(copy, mark.data, mark.size);
    memcpy(image->snapshot_mark, copy, sizeof copy);
    if (slot > image->applied) {
        narrate(x, "installs a snapshot of slot %u", slot);
        image->applied = slot;
        image->log_from = (uint8_t)(slot + 1);
        image->mark_size = image->snapshot_mark_size;
        memcpy(image->mark, copy, sizeof copy);
        host_item(x, ITEM_INSTALL, slot);
    }
    host_input(x, (struct input){.kind = INPUT_SNAPSHOT,
                                 .slot = slot,
                                 .head = bytes_of(image->snapshot_mark, mark.size)});
    /* The host writes down its own state as well; when that is durable, all before it may go. */
    struct explore_record own;
    memset(&own, 0, sizeof own);
    own.type = RECORD_HOST;
    host_append(x, &own, (struct lsn){image_last(image) + 1});
    image->trim_lsn = image_last(image);
    host_trim_log(x);
}

/* The last record of the slot, durable or not: one before it may hold a value that lost. */
static const struct explore_record *host_find_entry(const struct explore *x, uint8_t slot)
{
    const struct explore_image *image = x->image;
    for (uint16_t i = image->records_count; i > 0; i--) {
        const struct explore_record *record = explore_array_at(&x->records, image->records[i - 1]);
        if (record->type == RECORD_ENTRY && record->slot == slot)
            return image->lsn_first + i - 1 <= image->durable ? record : NULL;
    }
    return NULL;
}

static void host_serve(struct explore *x, const struct explore_message *message)
{
    const struct explore_image *image = x->image;
    if (message->slot > image->applied)
        return;
    const struct explore_record *record =
        message->slot >= image->log_from ? host_find_entry(x, message->slot) : NULL;
    if (record != NULL)
        host_send(x, host_message(x, CARRIES_CHOSEN, message->from, message->slot,
                                  bytes_of(record->head, record->head_size), record->value));
    else if (image->snapshot >= message->slot)
        host_send(x, host_message(x, CARRIES_SNAPSHOT, message->from, image->snapshot,
                                  bytes_of(image->snapshot_mark, image->snapshot_mark_size), 0));
}

static void host_receive(struct explore *x, uint32_t name)
{
    struct explore_message message = *explore_message_at(x, name); /* the table may move */
    struct input input = {
        .from = x->configuration.members[message.from].node,
        .slot = message.slot,
        .head = bytes_of(message.head, message.head_size),
        .entry = x->values[message.value],
    };
    switch ((enum explore_message_kind)message.kind) {
    case CARRIES_ENGINE:
        input.kind = INPUT_MESSAGE;
        host_input(x, input);
        break;
    case CARRIES_FETCH:
        host_serve(x, &message);
        break;
    case CARRIES_CHOSEN:
        input.kind = INPUT_CHOSEN;
        if (message.slot == x->image->applied + 1)
            host_input(x, input);
        break;
    case CARRIES_SNAPSHOT:
        if (message.slot > x->image->applied)
            host_snapshot(x, message.slot, input.head);
        break;
    }
}

/* --- Steps of the host ------------------------------------------------------------------------ */

static void host_drop_heartbeats(struct explore *x)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < x->items_count; i++)
        if (x->items[i] >> 28 != ITEM_SEND ||
            !explore_message_at(x, x->items[i] & 0xfffffff)->heartbeat)
            x->items[count++] = x->items[i];
    x->items_count = count;
}

static void host_act(struct explore *x, enum explore_action kind, uint32_t argument)
{
    struct explore_image *image = x->image;
    switch (kind) {
    case ACTION_DELIVER:
    case ACTION_DUPLICATE:
        host_receive(x, argument);
        break;
    case ACTION_TIMEOUT:
        host_timeout(x);
        break;
    case ACTION_TIMEOUT_UNHEARD:
        host_timeout(x);
        host_drop_heartbeats(x);
        break;
    case ACTION_SYNC:
        host_sync(x);
        break;
    case ACTION_CRASH:
        host_crash(x, argument);
        break;
    case ACTION_PROPOSE:
        host_input(x, (struct input){
                          .kind = INPUT_PROPOSE, .token = argument, .entry = x->values[argument]});
        break;
    case ACTION_READ:
        host_input(x, (struct input){.kind = INPUT_READ, .token = argument});
        break;
    case ACTION_SNAPSHOT:
        host_snapshot(x, image->applied, bytes_of(image->mark, image->mark_size));
        break;
    case ACTION_TRANSFER:
        host_input(x, (struct input){.kind = INPUT_TRANSFER,
                                     .node = x->configuration.members[argument].node});
        break;
    case ACTION_BREAK:
        host_input(
            x, (struct input){.kind = INPUT_PEER, .from = x->configuration.members[argument].node});
        break;
    case ACTION_PAUSE:
        image->now += 2 * ELECTION_NS + 1;
        break;
    case STEP_MEET:
        host_input(x, (struct input){.kind = INPUT_PEER,
                                     .from = x->configuration.members[argument].node,
                                     .up = true});
        break;
    case ACTION_DROP:
        break;
    }
}

static uint64_t fold_record(const struct explore *x, uint64_t hash, uint32_t name)
{
    return hash_fold(hash, *(const uint64_t *)explore_array_at(&x->record_names.hashes, name));
}

/* All that decides what the member will do, but clocks and how long its log ever was. */
static uint64_t host_fingerprint(const struct explore *x)
{
    const struct explore_image *image = x->image;
    uint64_t hash = x->options.engine->fingerprint(image->engine);
    hash = hash_fold(hash, x->place);
    for (uint16_t i = 0; i < image->records_count; i++)
        hash = fold_record(x, hash, image->records[i]);
    hash = hash_fold(hash, image_last(image) - image->durable);
    for (uint16_t i = 0; i < image->held_count; i++) {
        hash = hash_fold(hash, explore_message_at(x, image->held[i])->fingerprint);
        hash = hash_fold(hash, image->held_lsn[i] - image->durable);
    }
    hash = hash_fold(hash, (uint64_t)image->applied | (uint64_t)image->snapshot << 8 |
                               (uint64_t)image->log_from << 16);
    hash = hash_fold(hash, image->trim_lsn != 0 ? image->trim_lsn - image->durable : 0);
    hash = hash_bytes(hash, bytes_of(image->mark, image->mark_size));
    return hash_bytes(hash, bytes_of(image->snapshot_mark, image->snapshot_mark_size));
}

/* Does it, and names what has become of the member; false: a violation. */
static bool host_make_step(struct explore *x, enum explore_action kind, uint32_t argument,
                           uint32_t *ret_component)
{
    catcher = x;
    if (setjmp(x->panic) != 0)
        return false;
    x->may_panic = true;
    host_act(x, kind, argument);
    *ret_component = explore_name_component(x, host_fingerprint(x));
    x->may_panic = false;
    return x->violation[0] == '\0';
}

const struct explore_outcome *explore_host_step(struct explore *x, uint32_t component,
                                                enum explore_action kind, uint32_t argument)
{
    uint64_t key = (uint64_t)component << 32 | (uint64_t)kind << 27 | argument;
    key++; /* never 0 */
    if (x->narration == NULL) {
        const struct explore_outcome *known = explore_step_find(x, key);
        if (known != NULL)
            return known;
    }
    x->items_count = 0;
    x->persisted = 0;
    explore_load_component(x, component);
    uint32_t after;
    if (!host_make_step(x, kind, argument, &after))
        return NULL;
    return explore_step_keep(x, key, after);
}

uint32_t explore_host_boot(struct explore *x, uint32_t place)
{
    x->place = place;
    x->items_count = 0;
    x->persisted = 0;
    memset(x->image, 0, x->image_size);
    x->image->lsn_first = 1;
    x->image->lives = 1;
    host_start(x);
    x->bases[place] = explore_memory(NULL, x->image_size);
    memcpy(x->bases[place], x->image, x->image_size);
    return explore_name_component(x, host_fingerprint(x));
}

static void *no_memory(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)at;
    (void)size_old;
    (void)size_new;
    return NULL;
}

static struct mem values_mem = {.resize = no_memory};

void explore_host_init(struct explore *x)
{
    panic_set_hook(host_panic);
    for (uint32_t i = 0; i < x->options.members; i++)
        x->configuration.members[i] = (struct member){.id = 100 + i, .node = (uint16_t)(i + 1)};
    x->configuration.count = x->options.members;
    x->configuration.quorums = quorum_majority(x->options.members);
    for (uint32_t i = 1; i <= EXPLORE_VALUES_MAX; i++) {
        struct blob *value = explore_memory(NULL, sizeof *value + 1);
        *value = (struct blob){.mem = &values_mem, .references = REFERENCES, .size = 1};
        value->data[0] = (uint8_t)i;
        x->values[i] = value;
    }
    struct engine_config config = {
        .self = 1,
        .configuration = &x->configuration,
        .window_slots = x->options.window_slots,
        .tail_slots = x->options.tail_slots,
    };
    size_t engine_size = (x->options.engine->size(&config) + 7) / 8 * 8;
    x->image_size = sizeof *x->image + engine_size;
    ensure(x->image_size / 8 <= UINT16_MAX);
    x->image = explore_memory(NULL, x->image_size);
    x->delta_spare_places = explore_memory(NULL, x->image_size / 8 * sizeof(uint16_t));
    x->delta_spare_words = explore_memory(NULL, x->image_size / 8 * sizeof(uint64_t));
    x->fx = explore_memory(NULL, sizeof *x->fx);
    effects_init(x->fx, (struct lsn){0});
}

void explore_host_free(struct explore *x)
{
    effects_clear(x->fx);
    for (uint32_t i = 1; i <= EXPLORE_VALUES_MAX; i++)
        free(x->values[i]);
    for (uint32_t i = 0; i < x->options.members; i++)
        free(x->bases[i]);
    free(x->image);
    free(x->delta_spare_places);
    free(x->delta_spare_words);
    free(x->fx);
    catcher = NULL;
}
