/* The commands of transcripts, taken apart and done; see doc/transcripts.md.
 *
 * The one invariant: a command that cannot be done as it stands is an error, never a no-op, so a
 * transcript cannot claim something by accident. */
#include "commands.h"

#include <stdlib.h>
#include <string.h>

#define WORDS_MAX 24
#define CAMPAIGN_TICKS_MAX 200
#define SETTLE_MAX 20000

struct command {
    struct host **host;
    FILE *out;
    char *words[WORDS_MAX];
    uint32_t count;
    bool quiet;
    const char *wrong; /* why it cannot be done */
};

static bool wrong(struct command *c, const char *why)
{
    if (c->wrong == NULL)
        c->wrong = why;
    return false;
}

static struct host *host_of(const struct command *c)
{
    return *c->host;
}

static bool number_of(const char *word, uint64_t *ret)
{
    char *end;
    *ret = strtoull(word, &end, 10);
    return word[0] >= '0' && word[0] <= '9' && *end == '\0';
}

static uint64_t number(struct command *c, uint32_t at)
{
    uint64_t value = 0;
    if (at >= c->count || !number_of(c->words[at], &value))
        wrong(c, "a number is missing");
    return value;
}

static uint16_t node(struct command *c, uint32_t at)
{
    uint64_t value = number(c, at);
    if (c->wrong == NULL && (value == 0 || value > host_of(c)->count))
        wrong(c, "no such member");
    return c->wrong == NULL ? (uint16_t)value : 1;
}

static uint16_t live(struct command *c, uint32_t at)
{
    uint16_t which = node(c, at);
    if (c->wrong == NULL && !host_up(host_of(c), which))
        wrong(c, "that member is down");
    return which;
}

/* The value of "name=value" among the words, or NULL. */
static const char *option(const struct command *c, const char *name)
{
    size_t size = strlen(name);
    for (uint32_t i = 1; i < c->count; i++)
        if (strncmp(c->words[i], name, size) == 0 && c->words[i][size] == '=')
            return c->words[i] + size + 1;
    return NULL;
}

static uint64_t option_number(struct command *c, const char *name, uint64_t otherwise)
{
    const char *value = option(c, name);
    uint64_t result = otherwise;
    if (value != NULL && !number_of(value, &result))
        wrong(c, "an option wants a number");
    return result;
}

/* "+150ms" */
static uint64_t duration(struct command *c, uint32_t at)
{
    char *end = NULL;
    if (at >= c->count || c->words[at][0] != '+') {
        wrong(c, "a duration like +150ms is missing");
        return 0;
    }
    uint64_t value = strtoull(c->words[at] + 1, &end, 10);
    if (strcmp(end, "ms") != 0)
        wrong(c, "durations are in ms");
    return value * MS;
}

static bool do_cluster(struct command *c)
{
    const char *name = option(c, "engine");
    const struct engine_ops *ops = engine_by_name(name == NULL ? "multipaxos" : name);
    uint64_t members = option_number(c, "members", 3);
    if (ops == NULL)
        return wrong(c, "no such engine");
    if (members == 0 || members > HOST_MEMBERS_MAX)
        return wrong(c, "too many members");
    if (*c->host != NULL)
        host_free(*c->host);
    struct host *h = host_new(ops, (uint32_t)members, c->out);
    *c->host = h;
    h->quiet = c->quiet;
    const char *hidden = option(c, "hide");
    if (hidden != NULL)
        snprintf(h->hidden[h->hidden_count++], sizeof h->hidden[0], "%s", hidden);
    h->config.window_slots = (uint32_t)option_number(c, "window", h->config.window_slots);
    h->config.tail_slots = (uint32_t)option_number(c, "tail", h->config.tail_slots);
    h->config.seed = option_number(c, "seed", h->config.seed);
    uint64_t phase1 = option_number(c, "phase1", 0);
    uint64_t phase2 = option_number(c, "phase2", 0);
    if (phase1 != 0 || phase2 != 0)
        h->configuration.quorums =
            quorum_flexible((uint32_t)members, (uint32_t)phase1, (uint32_t)phase2);
    if (!quorum_system_valid(&h->configuration.quorums, (uint32_t)members))
        return wrong(c, "these quorums do not meet");
    for (uint16_t i = 1; i <= members; i++)
        host_start(h, i);
    return true;
}

static bool do_hide(struct command *c)
{
    struct host *h = host_of(c);
    for (uint32_t i = 1; i < c->count; i++) {
        if (h->hidden_count == HOST_HIDDEN_MAX)
            return wrong(c, "too much is hidden");
        snprintf(h->hidden[h->hidden_count++], sizeof h->hidden[0], "%s", c->words[i]);
    }
    return true;
}

static bool do_show(struct command *c)
{
    host_of(c)->hidden_count = 0;
    return true;
}

static void fire(struct host *h, uint16_t which)
{
    for (uint32_t i = 0; i < 64 && host_up(h, which); i++) {
        if (h->ops->wake(h->members[which].engine) > h->now)
            return;
        host_step(h, which, (struct input){.kind = INPUT_TIME});
    }
}

static bool do_time(struct command *c)
{
    struct host *h = host_of(c);
    h->now += duration(c, 1);
    for (uint32_t i = 2; i < c->count; i++)
        fire(h, live(c, i));
    for (uint16_t i = 1; c->count == 2 && i <= h->count; i++)
        fire(h, i);
    return true;
}

static void tick(struct host *h, uint16_t which)
{
    uint64_t wake = h->ops->wake(h->members[which].engine);
    if (wake != TIME_NEVER && wake > h->now)
        h->now = wake;
    host_step(h, which, (struct input){.kind = INPUT_TIME});
}

static bool do_tick(struct command *c)
{
    uint16_t which = live(c, 1);
    if (c->wrong == NULL)
        tick(host_of(c), which);
    return true;
}

/* What the transcript hides arrives, where that member sent it or is to get it. */
static void settle_hidden(struct host *h, uint16_t which)
{
    for (struct host_message **at = &h->network; *at != NULL;) {
        char words[256];
        host_words(h, *at, words, sizeof words);
        if (!(*at)->delayed && host_hides(h, words) &&
            ((*at)->from == which || (*at)->to == which)) {
            host_deliver(h, at, false);
            at = &h->network;
        } else {
            at = &(*at)->next;
        }
    }
}

/* Its timers run, and hidden messages arrive, until it sends something that shows. */
static bool do_campaign(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    uint64_t before = h->shown;
    for (uint32_t i = 0; c->wrong == NULL && h->shown == before; i++) {
        if (i == CAMPAIGN_TICKS_MAX)
            return wrong(c, "it does not campaign");
        tick(h, which);
        if (h->shown == before)
            settle_hidden(h, which);
    }
    return true;
}

/* Timers run as they are due, and hidden messages arrive at once. */
static bool do_run(struct command *c)
{
    struct host *h = host_of(c);
    uint64_t end = h->now + duration(c, 1);
    bool included[HOST_MEMBERS_MAX + 1] = {false};
    for (uint32_t i = 2; i < c->count; i++)
        included[live(c, i)] = true;
    for (uint16_t i = 1; c->count == 2 && i <= h->count; i++)
        included[i] = true;
    for (uint32_t done = 0; c->wrong == NULL && done < SETTLE_MAX; done++) {
        uint16_t next = 0;
        uint64_t first = end + 1;
        for (uint16_t i = 1; i <= h->count; i++) {
            if (!included[i] || !host_up(h, i) || h->ops->wake(h->members[i].engine) >= first)
                continue;
            next = i;
            first = h->ops->wake(h->members[i].engine);
        }
        if (next == 0) {
            h->now = end;
            return true;
        }
        tick(h, next);
        for (uint16_t i = 1; i <= h->count; i++)
            if (included[i])
                settle_hidden(h, i);
    }
    return wrong(c, "time does not pass");
}

static struct host_message **named_message(struct command *c)
{
    uint16_t from = node(c, 1);
    uint16_t to = node(c, 2);
    if (c->wrong != NULL)
        return NULL;
    struct host_message **at = host_find(host_of(c), from, to, c->words + 3, c->count - 3);
    if (at == NULL)
        wrong(c, "no such message is under way");
    return at;
}

static bool do_deliver(struct command *c)
{
    struct host_message **at = named_message(c);
    if (at == NULL)
        return false;
    host_deliver(host_of(c), at, strcmp(c->words[0], "repeat") == 0);
    return true;
}

static bool do_delay(struct command *c)
{
    struct host_message **at = named_message(c);
    if (at != NULL)
        (*at)->delayed = true;
    return at != NULL;
}

static bool do_drop(struct command *c)
{
    struct host *h = host_of(c);
    if (c->count > 3) {
        struct host_message **at = named_message(c);
        if (at != NULL)
            host_drop(h, at);
        return at != NULL;
    }
    uint16_t from = c->count > 1 ? node(c, 1) : 0;
    uint16_t to = c->count > 1 ? node(c, 2) : 0;
    for (struct host_message **at = &h->network; c->wrong == NULL && *at != NULL;) {
        bool meant = from == 0 || ((*at)->from == from && (*at)->to == to);
        if (meant && !(*at)->delayed)
            host_drop(h, at);
        else
            at = &(*at)->next;
    }
    return true;
}

/* Is the message one of those that are named, if any are? */
static bool has_name(const struct host *h, const struct host_message *message,
                     const struct command *c)
{
    bool any = false;
    char words[256];
    host_words(h, message, words, sizeof words);
    words[strcspn(words, " ")] = '\0';
    for (uint32_t i = 1; i < c->count; i++) {
        uint64_t ignored;
        if (number_of(c->words[i], &ignored))
            continue;
        any = true;
        if (strcmp(words, c->words[i]) == 0)
            return true;
    }
    return !any;
}

static bool do_settle(struct command *c)
{
    struct host *h = host_of(c);
    bool included[HOST_MEMBERS_MAX + 1] = {false};
    bool all = true;
    for (uint32_t i = 1; i < c->count; i++) {
        uint64_t member;
        if (!number_of(c->words[i], &member))
            continue;
        included[node(c, i)] = true;
        all = false;
    }
    for (uint32_t done = 0; c->wrong == NULL; done++) {
        if (done == SETTLE_MAX)
            return wrong(c, "it does not settle");
        struct host_message **at = &h->network;
        while (*at != NULL && ((*at)->delayed || !has_name(h, *at, c) ||
                               (!all && (!included[(*at)->from] || !included[(*at)->to]))))
            at = &(*at)->next;
        if (*at == NULL)
            return true;
        host_deliver(h, at, false);
    }
    return true;
}

/* It campaigns, and all messages arrive, until it leads. */
static bool do_elect(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    struct command settle = {.host = c->host, .out = c->out, .count = 1};
    for (uint32_t i = 0; c->wrong == NULL && do_settle(&settle); i++) {
        struct engine_status status;
        h->ops->status(h->members[which].engine, &status);
        if (status.role == ROLE_LEADER)
            return true;
        if (i == CAMPAIGN_TICKS_MAX)
            return wrong(c, "it does not get to lead");
        tick(h, which);
    }
    return wrong(c, settle.wrong);
}

static bool do_cut(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t a = node(c, 1);
    if (strcmp(c->words[0], "isolate") == 0) {
        for (uint16_t i = 1; c->wrong == NULL && i <= h->count; i++)
            h->cut[a][i] = h->cut[i][a] = true;
        return true;
    }
    uint16_t b = node(c, 2);
    if (c->wrong == NULL)
        h->cut[a][b] = true;
    return true;
}

static bool do_heal(struct command *c)
{
    memset(host_of(c)->cut, 0, sizeof host_of(c)->cut);
    return true;
}

static bool do_sync(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    if (c->count != 3 || (strcmp(c->words[2], "on") != 0 && strcmp(c->words[2], "off") != 0))
        return wrong(c, "sync N on|off");
    h->members[which].manual = strcmp(c->words[2], "off") == 0;
    if (!h->members[which].manual && h->members[which].durable < h->members[which].written)
        host_sync(h, which, h->members[which].written);
    return true;
}

static bool do_durable(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    uint64_t lsn = c->count > 2 ? number(c, 2) : h->members[which].written;
    if (c->wrong == NULL && (lsn > h->members[which].written || lsn <= h->members[which].durable))
        wrong(c, "nothing becomes durable by this");
    if (c->wrong == NULL)
        host_sync(h, which, lsn);
    return true;
}

static bool do_crash(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    const struct host_member *m = &h->members[which];
    uint64_t keep = option_number(c, "keep", m->durable);
    if (c->wrong == NULL && (keep < m->durable || keep > m->written))
        return wrong(c, "it keeps what is durable, and at most what is written");
    if (c->wrong == NULL)
        host_crash(h, which, keep);
    return true;
}

static bool do_restart(struct command *c)
{
    uint16_t which = node(c, 1);
    if (c->wrong == NULL && host_up(host_of(c), which))
        return wrong(c, "that member is up");
    if (c->wrong == NULL)
        host_start(host_of(c), which);
    return true;
}

static bool do_propose(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    if (c->count != 3)
        return wrong(c, "propose N VALUE");
    struct blob *entry = blob_copy(&h->mem, bytes_text(c->words[2]));
    if (c->wrong == NULL)
        host_step(h, which, (struct input){.kind = INPUT_PROPOSE, .entry = entry, .token = 1});
    blob_drop(entry);
    return true;
}

static bool do_read(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    uint64_t token = number(c, 2);
    if (c->wrong != NULL || token >= HOST_READS_MAX)
        return wrong(c, "a read has a small number");
    h->read_floor[token] = h->chosen_max;
    host_step(h, which, (struct input){.kind = INPUT_READ, .token = token});
    return true;
}

static bool do_transfer(struct command *c)
{
    uint16_t which = live(c, 1);
    uint16_t to = c->count > 2 ? node(c, 2) : NODE_NONE;
    if (c->wrong == NULL)
        host_step(host_of(c), which, (struct input){.kind = INPUT_TRANSFER, .node = to});
    return true;
}

static bool do_peer(struct command *c)
{
    uint16_t which = live(c, 1);
    uint16_t from = node(c, 2);
    if (c->count != 4)
        return wrong(c, "peer N M up|down");
    bool up = strcmp(c->words[3], "up") == 0;
    if (c->wrong == NULL)
        host_step(host_of(c), which, (struct input){.kind = INPUT_PEER, .from = from, .up = up});
    return true;
}

static bool do_snapshot(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    struct host_member *m = &h->members[which];
    if (c->wrong == NULL && (m->applied == 0 || m->snapshots_count == HOST_SNAPSHOTS_MAX))
        return wrong(c, "there is nothing to take a snapshot of");
    if (c->wrong != NULL)
        return false;
    struct host_mark *snapshot = &m->snapshots[m->snapshots_count++];
    *snapshot = m->marks[m->applied];
    snapshot->slot = m->applied;
    m->trim_lsn = m->written + 1;
    host_say(h, "%u has a snapshot at %llu", which, (unsigned long long)snapshot->slot);
    host_step(h, which,
              (struct input){.kind = INPUT_SNAPSHOT,
                             .slot = snapshot->slot,
                             .head = bytes_of(snapshot->bytes, snapshot->size)});
    return true;
}

/* The records in front that only concern slots of the snapshot, and are older than what the engine
 * wrote again for it. */
static bool do_trim(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = node(c, 1);
    struct host_member *m = &h->members[which];
    if (c->wrong == NULL && (m->snapshots_count == 0 || m->trim_lsn == 0))
        return wrong(c, "there is no snapshot since the start");
    if (c->wrong != NULL)
        return false;
    uint64_t slot = m->snapshots[m->snapshots_count - 1].slot;
    uint32_t gone = 0;
    while (gone < m->log_count && m->log[gone].lsn < m->trim_lsn && m->log[gone].slot <= slot &&
           m->log[gone].lsn <= m->durable)
        blob_drop(m->log[gone++].entry);
    m->log_count -= gone;
    memmove(m->log, m->log + gone, m->log_count * sizeof *m->log);
    host_say(h, "%u drops %u records", which, gone);
    return true;
}

static bool do_install(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t to = live(c, 1);
    uint16_t from = node(c, 2);
    const struct host_member *source = &h->members[from];
    struct host_member *m = &h->members[to];
    if (c->wrong == NULL &&
        (source->snapshots_count == 0 || m->snapshots_count == HOST_SNAPSHOTS_MAX))
        return wrong(c, "there is no snapshot to install");
    if (c->wrong != NULL)
        return false;
    struct host_mark *snapshot = &m->snapshots[m->snapshots_count++];
    *snapshot = source->snapshots[source->snapshots_count - 1];
    m->trim_lsn = m->written + 1;
    if (snapshot->slot > m->applied) {
        m->applied = snapshot->slot;
        m->marks[m->applied] = *snapshot;
    }
    host_say(h, "%u has the snapshot at %llu", to, (unsigned long long)snapshot->slot);
    host_step(h, to,
              (struct input){.kind = INPUT_SNAPSHOT,
                             .slot = snapshot->slot,
                             .head = bytes_of(snapshot->bytes, snapshot->size)});
    return true;
}

/* A snapshot file is damaged: the one before it counts. */
static bool do_forget(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = node(c, 1);
    struct host_member *m = &h->members[which];
    if (c->wrong == NULL && (m->snapshots_count == 0 || m->engine != NULL))
        return wrong(c, "only a member that is down loses a snapshot");
    if (c->wrong == NULL)
        m->snapshots_count--;
    return true;
}

static const struct host_record *value_record(const struct host_member *m, uint64_t slot)
{
    for (uint32_t i = m->log_count; i > 0; i--)
        if (m->log[i - 1].type == RECORD_ENTRY && m->log[i - 1].slot == slot)
            return &m->log[i - 1];
    return NULL;
}

static bool do_fetch(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t to = live(c, 1);
    uint16_t from = node(c, 2);
    uint64_t first = number(c, 3);
    uint64_t last = c->count > 4 ? number(c, 4) : first;
    for (uint64_t slot = first; c->wrong == NULL && slot <= last; slot++) {
        const struct host_record *record = value_record(&h->members[from], slot);
        if (record == NULL || slot > h->members[from].applied)
            return wrong(c, "it does not have that");
        host_step(h, to,
                  (struct input){.kind = INPUT_CHOSEN,
                                 .slot = slot,
                                 .head = bytes_of(record->head, record->head_size),
                                 .entry = record->entry});
    }
    return true;
}

static bool do_status(struct command *c)
{
    static const char *const roles[] = {"follower", "candidate", "leader"};
    struct host *h = host_of(c);
    uint16_t which = live(c, 1);
    if (c->wrong != NULL)
        return false;
    struct engine_status s;
    h->ops->status(h->members[which].engine, &s);
    host_say(h, "%u %s leader=%u ballot=%llu.%u delivered=%llu next=%llu room=%u", which,
             roles[s.role], s.leader, (unsigned long long)s.ballot.round, s.ballot.node,
             (unsigned long long)s.chosen_upto, (unsigned long long)s.next_slot,
             h->ops->room(h->members[which].engine));
    return true;
}

static bool do_pending(struct command *c)
{
    struct host *h = host_of(c);
    for (const struct host_message *at = h->network; at != NULL; at = at->next) {
        char words[256];
        host_words(h, at, words, sizeof words);
        if (!host_hides(h, words))
            host_say(h, "%u to %u: %s", at->from, at->to, words);
    }
    return true;
}

static bool do_log(struct command *c)
{
    struct host *h = host_of(c);
    uint16_t which = node(c, 1);
    const struct host_member *m = &h->members[which];
    for (uint32_t i = 0; c->wrong == NULL && i < m->log_count; i++) {
        char words[256];
        host_record_words(h, &m->log[i], words, sizeof words);
        host_say(h, "%u has #%llu: %s", which, (unsigned long long)m->log[i].lsn, words);
    }
    return true;
}

static const struct {
    const char *name;
    bool (*run)(struct command *c);
} commands[] = {
    {"cluster", do_cluster},   {"hide", do_hide},         {"show", do_show},
    {"time", do_time},         {"run", do_run},           {"tick", do_tick},
    {"campaign", do_campaign}, {"deliver", do_deliver},   {"repeat", do_deliver},
    {"drop", do_drop},         {"delay", do_delay},       {"settle", do_settle},
    {"elect", do_elect},       {"cut", do_cut},           {"isolate", do_cut},
    {"heal", do_heal},         {"sync", do_sync},         {"durable", do_durable},
    {"crash", do_crash},       {"restart", do_restart},   {"propose", do_propose},
    {"read", do_read},         {"transfer", do_transfer}, {"peer", do_peer},
    {"snapshot", do_snapshot}, {"trim", do_trim},         {"install", do_install},
    {"forget", do_forget},     {"fetch", do_fetch},       {"status", do_status},
    {"pending", do_pending},   {"log", do_log},
};

static bool command_do(struct command *c)
{
    if (*c->host == NULL && strcmp(c->words[0], "cluster") != 0)
        return wrong(c, "a transcript begins with a cluster");
    for (size_t i = 0; i < sizeof commands / sizeof commands[0]; i++)
        if (strcmp(c->words[0], commands[i].name) == 0)
            return commands[i].run(c);
    return wrong(c, "no such command");
}

bool command_run(struct host **host, const char *line, FILE *out)
{
    char copy[512];
    snprintf(copy, sizeof copy, "%s", line);
    struct command c = {.host = host, .out = out};
    char *save = NULL;
    for (char *word = strtok_r(copy, " ", &save); word != NULL; word = strtok_r(NULL, " ", &save)) {
        if (c.count == 0 && strcmp(word, "quiet") == 0)
            c.quiet = true;
        else if (c.count < WORDS_MAX)
            c.words[c.count++] = word;
    }
    if (c.count == 0)
        return true;
    if (*host != NULL)
        (*host)->quiet = c.quiet;
    if (command_do(&c) && c.wrong == NULL)
        return true;
    fprintf(out, "ERROR: %s: %s\n", line, c.wrong == NULL ? "?" : c.wrong);
    return false;
}
