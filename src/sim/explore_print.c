/* Actions in words, for people and for the command that walks a path again.
 *
 * A word of a path does not depend on what the search saw before: members by number, messages by a
 * hash of what they say. The one invariant: explore_read_action finds what explore_write_action
 * wrote, in the state in which it was possible. */
#include "sim/explore_internal.h"

#include <string.h>

#define ACTIONS_MAX 1024

const char *const explore_limit_names[LIMITS] = {
    [LIMIT_PROPOSALS] = "proposals", [LIMIT_TIMEOUTS] = "timeouts",     [LIMIT_CRASHES] = "crashes",
    [LIMIT_DROPS] = "drops",         [LIMIT_DUPLICATES] = "duplicates", [LIMIT_READS] = "reads",
    [LIMIT_SNAPSHOTS] = "snapshots", [LIMIT_TRANSFERS] = "transfers",   [LIMIT_BREAKS] = "breaks",
    [LIMIT_PAUSES] = "pauses",
};

static const char *const action_words[ACTIONS] = {
    [ACTION_DELIVER] = "d",  [ACTION_DUPLICATE] = "dd",       [ACTION_DROP] = "x",
    [ACTION_TIMEOUT] = "t",  [ACTION_TIMEOUT_UNHEARD] = "tu", [ACTION_SYNC] = "s",
    [ACTION_CRASH] = "c",    [ACTION_PROPOSE] = "p",          [ACTION_READ] = "r",
    [ACTION_SNAPSHOT] = "w", [ACTION_TRANSFER] = "h",         [ACTION_BREAK] = "b",
    [ACTION_PAUSE] = "z",
};

static bool about_message(uint32_t action)
{
    return action_kind(action) <= ACTION_DROP;
}

void explore_describe_message(const struct explore *x, const struct explore_message *message,
                              struct text *text)
{
    static const char *const names[] = {
        [CARRIES_FETCH] = "fetch", [CARRIES_CHOSEN] = "chosen", [CARRIES_SNAPSHOT] = "snapshot"};
    if (message->kind == CARRIES_ENGINE) {
        x->options.engine->describe(bytes_of(message->head, message->head_size), text);
    } else {
        text_add(text, names[message->kind]);
        text_add(text, " slot=");
        text_u64(text, message->slot);
    }
    if (message->value != 0) {
        text_add(text, " (value ");
        text_u64(text, message->value);
        text_add(text, ")");
    }
}

void explore_describe_action(const struct explore *x, uint32_t action, struct text *text)
{
    static const char *const what[ACTIONS] = {
        [ACTION_TIMEOUT] = "'s clock runs on",
        [ACTION_TIMEOUT_UNHEARD] = "'s clock runs on, its heartbeats are lost",
        [ACTION_SYNC] = "'s disk gets one record further",
        [ACTION_CRASH] = " crashes and starts again; records kept beyond the durable ones: ",
        [ACTION_PROPOSE] = " is asked to propose value ",
        [ACTION_READ] = " is asked to read; token ",
        [ACTION_SNAPSHOT] = " writes a snapshot",
        [ACTION_TRANSFER] = " is told to hand over to member ",
        [ACTION_BREAK] = "'s connections break",
        [ACTION_PAUSE] = " stands still for two election timeouts",
    };
    enum explore_action kind = action_kind(action);
    uint32_t argument = action_argument(action);
    if (about_message(action)) {
        const struct explore_message *message = explore_message_at(x, argument);
        text_add(text, kind == ACTION_DROP ? "lost on the way to member " : "member ");
        text_u64(text, message->to + 1u);
        text_add(text, kind == ACTION_DROP        ? ", from "
                       : kind == ACTION_DUPLICATE ? " gets a copy from "
                                                  : " gets from ");
        text_u64(text, message->from + 1u);
        text_add(text, ": ");
        explore_describe_message(x, message, text);
        return;
    }
    text_add(text, "member ");
    text_u64(text, action_place(action) + 1);
    text_add(text, what[kind]);
    if (kind == ACTION_TRANSFER)
        text_u64(text, argument + 1);
    else if (kind == ACTION_CRASH || kind == ACTION_PROPOSE || kind == ACTION_READ)
        text_u64(text, argument);
}

void explore_write_action(const struct explore *x, uint32_t action, struct text *text)
{
    enum explore_action kind = action_kind(action);
    text_add(text, action_words[kind]);
    if (about_message(action)) {
        uint64_t hash = explore_message_at(x, action_argument(action))->fingerprint;
        text_hex(text, hash & 0xffffffff);
        return;
    }
    text_u64(text, action_place(action) + 1);
    if (kind == ACTION_CRASH || kind == ACTION_TRANSFER) {
        text_add(text, ".");
        text_u64(text, action_argument(action) + (kind == ACTION_TRANSFER ? 1 : 0));
    }
}

bool explore_read_action(struct explore *x, const struct explore_state *state, const char *word,
                         uint32_t *ret_action)
{
    uint32_t actions[ACTIONS_MAX];
    uint32_t count = explore_actions(x, state, actions, ACTIONS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        char buffer[32];
        struct text text = text_of(buffer, sizeof buffer);
        explore_write_action(x, actions[i], &text);
        if (strcmp(buffer, word) == 0) {
            *ret_action = actions[i];
            return true;
        }
    }
    return false;
}

static void print_step(const struct explore *x, uint32_t number, uint32_t action, FILE *out)
{
    char buffer[512];
    struct text text = text_of(buffer, sizeof buffer);
    explore_describe_action(x, action, &text);
    fprintf(out, "%4u  %s\n", number, buffer);
}

bool explore_replay(struct explore *x, const char *path, FILE *out)
{
    struct explore_state state = x->root;
    uint32_t number = 0;
    bool ok = true;
    x->narration = out;
    while (ok && *path != '\0' && x->violation[0] == '\0') {
        char word[32];
        size_t size = strcspn(path, ",");
        uint32_t action;
        ok = size < sizeof word;
        if (!ok)
            break;
        memcpy(word, path, size);
        word[size] = '\0';
        path += size + (path[size] == ',' ? 1 : 0);
        ok = explore_read_action(x, &state, word, &action);
        if (!ok)
            break;
        print_step(x, ++number, action, out);
        enum explore_applied applied = explore_apply(x, &state, action);
        ok = applied == APPLIED || applied == APPLIED_VIOLATED;
    }
    x->narration = NULL;
    return ok;
}
