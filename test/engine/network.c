/* Messages of a transcript: those under way, and those that wait for their sender's disk.
 *
 * The one invariant: a message leaves the list only by a command. */
#include "host.h"

#include <stdlib.h>
#include <string.h>

void host_words(const struct host *h, const struct host_message *message, char *into, size_t size)
{
    struct text text = text_of(into, size);
    if (h->ops->describe == NULL)
        text_add(&text, "message");
    else
        h->ops->describe(bytes_of(message->head, message->head_size), &text);
    if (message->entry != NULL) {
        char value[HOST_VALUE_MAX];
        text_add(&text, " ");
        text_add(&text, host_value(message->entry, value));
    }
}

bool host_hides(const struct host *h, const char *words)
{
    for (uint32_t i = 0; i < h->hidden_count; i++) {
        size_t size = strlen(h->hidden[i]);
        if (strncmp(words, h->hidden[i], size) == 0 && (words[size] == ' ' || words[size] == 0))
            return true;
    }
    return false;
}

static void network_add(struct host *h, struct host_message *message, const char *arrow)
{
    char words[256];
    host_words(h, message, words, sizeof words);
    bool lost = h->cut[message->from][message->to] || message->to == 0 || message->to > h->count;
    if (!host_hides(h, words)) {
        h->shown++;
        host_say(h, "%u %s %u %s%s", message->from, arrow, message->to, words,
                 lost ? " (lost)" : "");
    }
    if (lost) {
        blob_drop(message->entry);
        free(message);
        return;
    }
    struct host_message **end = &h->network;
    while (*end != NULL)
        end = &(*end)->next;
    message->next = NULL;
    *end = message;
}

void host_send(struct host *h, struct host_member *m, uint16_t from, const struct effect *effect)
{
    struct host_message *message = calloc(1, sizeof *message);
    message->from = from;
    message->to = effect->to;
    message->head_size = effect->head.size;
    memcpy(message->head, effect->head.data, effect->head.size);
    message->entry = blob_keep(effect->entry);
    if (effect->kind == EFFECT_SEND_EARLY) {
        network_add(h, message, "->");
        return;
    }
    message->lsn = m->written;
    struct host_message **end = &m->held;
    while (*end != NULL)
        end = &(*end)->next;
    *end = message;
    if (m->durable >= m->written) {
        host_release_held(h, from);
        return;
    }
    if (!m->manual)
        return; /* it is released with the step */
    char words[256];
    host_words(h, message, words, sizeof words);
    host_say(h, "%u holds for #%llu: %u %s", from, (unsigned long long)message->lsn, message->to,
             words);
}

void host_release_held(struct host *h, uint16_t node)
{
    struct host_member *m = &h->members[node];
    while (m->held != NULL && m->held->lsn <= m->durable) {
        struct host_message *message = m->held;
        m->held = message->next;
        network_add(h, message, "=>");
    }
}

static bool says(const char *message, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = message; (at = strstr(at, word)) != NULL; at++)
        if ((at == message || at[-1] == ' ') && (at[size] == ' ' || at[size] == '\0'))
            return true;
    return false;
}

struct host_message **host_find(struct host *h, uint16_t from, uint16_t to, char *const *words,
                                uint32_t words_count)
{
    for (struct host_message **at = &h->network; *at != NULL; at = &(*at)->next) {
        if ((*at)->from != from || (*at)->to != to)
            continue;
        char text[256];
        host_words(h, *at, text, sizeof text);
        bool all = words_count > 0 || !host_hides(h, text);
        for (uint32_t i = 0; i < words_count; i++)
            all = all && says(text, words[i]);
        if (all)
            return at;
    }
    return NULL;
}

static void message_free(struct host_message *message)
{
    blob_drop(message->entry);
    free(message);
}

void host_drop(struct host *h, struct host_message **at)
{
    (void)h;
    struct host_message *message = *at;
    *at = message->next;
    message_free(message);
}

void host_deliver(struct host *h, struct host_message **at, bool keep)
{
    struct host_message *message = *at;
    struct host_message copy = *message;
    copy.entry = blob_keep(message->entry);
    if (!keep)
        host_drop(h, at);
    if (host_up(h, copy.to))
        host_step(h, copy.to,
                  (struct input){.kind = INPUT_MESSAGE,
                                 .from = copy.from,
                                 .head = bytes_of(copy.head, copy.head_size),
                                 .entry = copy.entry});
    blob_drop(copy.entry);
}

void host_free_messages(struct host_message **first)
{
    while (*first != NULL) {
        struct host_message *message = *first;
        *first = message->next;
        message_free(message);
    }
}
