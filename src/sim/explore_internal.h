/* The explorer to its own parts.
 *
 *     explore.c          breadth-first search; the first state; paths
 *     explore_cluster.c  a state of the whole cluster, its successors, what must hold in it
 *     explore_host.c     one member: a step of its engine, executed as the contract says
 *     explore_table.c    what was seen before: messages, members' states, steps, cluster states
 *     explore_print.c    actions in words, and back
 *
 * A cluster's state is a few numbers, each of which names something that is kept once: the exact
 * state of a member (its engine's memory, its log, its clock), a message, the ledger of what was
 * chosen. A step concerns one member and depends on nothing else, so it is made once for each state
 * of a member and each cause, and remembered.
 *
 * The one invariant: what a number names never changes, and was reached by real steps. */
#ifndef SYNOD_SIM_EXPLORE_INTERNAL_H
#define SYNOD_SIM_EXPLORE_INTERNAL_H

#include "sim/explore.h"

#include <setjmp.h>

#define EXPLORE_RECORDS_MAX 48
#define EXPLORE_HELD_MAX 32
#define EXPLORE_MESSAGES_MAX 63 /* in flight */
#define EXPLORE_HEAD_MAX 128
#define EXPLORE_SLOTS_MAX 15
#define EXPLORE_READS_MAX 4
#define EXPLORE_LEADERS_MAX 8
#define EXPLORE_VALUES_MAX 8
#define EXPLORE_ITEMS_MAX 96
#define EXPLORE_ARRIVALS_MAX 32
#define HOLDS_SNAPSHOT 255

enum explore_message_kind {
    CARRIES_ENGINE,   /* the engine's own */
    CARRIES_FETCH,    /* hosts: send me what was chosen at `slot` */
    CARRIES_CHOSEN,   /* slot, head, value */
    CARRIES_SNAPSHOT, /* slot; the head is its mark */
};

struct explore_message {
    uint64_t fingerprint; /* without clocks */
    uint8_t kind;
    uint8_t from; /* places */
    uint8_t to;
    uint8_t value;
    uint8_t slot;
    uint8_t head_size;
    bool heartbeat;
    uint8_t unused;
    uint8_t head[EXPLORE_HEAD_MAX];
};

struct explore_record {
    uint8_t type;
    uint8_t slot;
    uint8_t value;
    uint8_t head_size;
    uint8_t head[EXPLORE_HEAD_MAX];
};

/* One member, all of it, in flat memory. */
struct explore_image {
    uint64_t now;
    uint64_t lsn_first; /* of records[0] */
    uint64_t durable;
    uint64_t trim_lsn; /* the log before it goes when it is durable; 0: nothing to trim */
    uint8_t lives;
    uint8_t applied;
    uint8_t snapshot;
    uint8_t log_from; /* slots from here on were applied out of the log */
    uint8_t mark_size;
    uint8_t snapshot_mark_size;
    uint8_t mark[MARK_MAX]; /* of the slot that was applied last */
    uint8_t snapshot_mark[MARK_MAX];
    uint16_t records_count;
    uint16_t held_count;
    uint32_t records[EXPLORE_RECORDS_MAX]; /* names; the lsn grows by one each */
    uint32_t held[EXPLORE_HELD_MAX];       /* names of messages */
    uint64_t held_lsn[EXPLORE_HELD_MAX];
    uint64_t engine[];
};

/* A member's state by name: what the search asks about it, and its image as a difference. */
struct explore_component {
    uint64_t fingerprint; /* of all that decides what the member will do, but clocks */
    uint64_t delta_first;
    uint32_t delta_count;
    uint8_t place;
    uint8_t pending; /* records that are not durable */
    uint8_t applied;
    uint8_t snapshot;
    bool room;
    bool leads;
    /* By slot, what its disk says: value + 1 of the last durable ENTRY, HOLDS_SNAPSHOT, or 0. */
    uint8_t holds[EXPLORE_SLOTS_MAX + 1];
};

enum explore_action {
    ACTION_DELIVER, /* argument: the message */
    ACTION_DUPLICATE,
    ACTION_DROP,
    ACTION_TIMEOUT,
    ACTION_TIMEOUT_UNHEARD, /* and what it says about being alive is lost */
    ACTION_SYNC,            /* one more record is durable */
    ACTION_CRASH,           /* argument: so many records more than were known to be durable stay */
    ACTION_PROPOSE,         /* argument: the value */
    ACTION_READ,            /* argument: the token */
    ACTION_SNAPSHOT,
    ACTION_TRANSFER, /* argument: place of the successor */
    ACTION_BREAK,    /* of this member's connections, as its peers hear */
    ACTION_PAUSE,
    ACTIONS,
    STEP_MEET = ACTIONS, /* part of a crash: it hears that its connection to argument is up */
};

/* An action of a path: kind, place, argument. */
static inline uint32_t action_of(enum explore_action kind, uint32_t place, uint32_t argument)
{
    return (uint32_t)kind << 27 | place << 24 | argument;
}

static inline enum explore_action action_kind(uint32_t action)
{
    return (enum explore_action)(action >> 27);
}

static inline uint32_t action_place(uint32_t action)
{
    return action >> 24 & 7;
}

static inline uint32_t action_argument(uint32_t action)
{
    return action & 0xffffff;
}

/* What a member's step brings about, in order. */
enum explore_item_kind {
    ITEM_SEND,    /* message */
    ITEM_DELIVER, /* slot << 8 | value */
    ITEM_INSTALL, /* slot */
    ITEM_READ_OK, /* token << 8 | slot */
    ITEM_READ_FAIL,
    ITEM_LEADER, /* (round << 8 | ballot's node) << 1 | kind */
    ITEM_CUT,    /* a table was too small: not a state to go on from */
};

static inline uint32_t item_of(enum explore_item_kind kind, uint32_t argument)
{
    return (uint32_t)kind << 28 | argument;
}

struct explore_outcome {
    uint32_t component;
    uint32_t count;
    uint32_t items[];
};

/* What the whole cluster has done, which no member knows. Kept by name, too. */
struct explore_ledger {
    uint8_t chosen[EXPLORE_SLOTS_MAX + 1]; /* value + 1; 0: nobody delivered the slot */
    uint8_t highest;                       /* of the slots that were delivered */
    uint8_t floors[EXPLORE_READS_MAX];     /* of reads under way: + 1; 0: not asked, or over */
    uint8_t leaders_count;
    uint8_t unused[2];
    struct {
        uint32_t ballot; /* as in ITEM_LEADER */
        uint32_t place;
    } leaders[EXPLORE_LEADERS_MAX];
};

/* A state of the cluster. Fields up to `messages` are kept; so is the part of it that is used. */
struct explore_state {
    uint32_t components[EXPLORE_MEMBERS_MAX];
    uint32_t ledger;
    uint8_t used[LIMITS]; /* of each limit */
    uint8_t count;
    uint32_t messages[EXPLORE_MESSAGES_MAX];
};

/* Growing arrays. */
struct explore_array {
    void *items;
    uint64_t count;
    uint64_t capacity;
    size_t size; /* of one */
};

/* Names for values: the values are with their owner, in an array. */
struct explore_names {
    uint32_t *cells; /* name + 1; 0: free */
    uint64_t capacity;
    struct explore_array hashes; /* by name */
};

/* States of one layer, in the order in which they were found. */
struct explore_layer {
    struct explore_chunk *first;
    struct explore_chunk *last;
    uint64_t count;
    uint64_t bytes;
};

/* A step that was made: which, and where in `outcomes` what came of it begins. */
struct explore_step {
    uint64_t key; /* 0: free */
    uint64_t outcome;
};

struct explore_twin {
    uint64_t fingerprint;
    uint32_t component;
};

/* A state that was reached a moment ago, and is perhaps known: the look into the big table waits
 * until it is in the processor's cache. */
struct explore_arrival {
    uint64_t fingerprint;
    uint32_t parent;
    uint32_t action;
    struct explore_state state;
};

/* How a state was first reached. */
struct explore_parent {
    uint32_t state; /* its number */
    uint32_t action;
};

struct explore {
    struct explore_options options;
    struct configuration configuration;
    struct blob *values[EXPLORE_VALUES_MAX + 1]; /* the first is NULL */
    struct effects *fx;
    size_t image_size;
    struct explore_image *image; /* the member at work */
    struct explore_image *bases[EXPLORE_MEMBERS_MAX];
    uint16_t *delta_spare_places;
    uint64_t *delta_spare_words;

    struct explore_names message_names;
    struct explore_array messages;
    struct explore_names record_names;
    struct explore_array records;
    struct explore_names ledger_names;
    struct explore_array ledgers;
    struct explore_names component_names;
    struct explore_array components;
    struct explore_array delta_places; /* which word */
    struct explore_array delta_words;  /* is what */
    struct explore_array outcomes;     /* 32-bit words */
    struct {
        struct explore_step *cells;
        uint64_t capacity;
        uint64_t count;
    } steps;
    struct {
        uint64_t *cells; /* fingerprints; 0: free */
        uint64_t capacity;
        uint64_t count;
    } visited;
    struct explore_array parents; /* by number of the state: (parent, action) */
    struct explore_layer current;
    struct explore_layer next;
    struct explore_arrival arrivals[EXPLORE_ARRIVALS_MAX];
    uint32_t arrivals_count;

    struct explore_state root;
    uint32_t depth;
    uint64_t transitions;
    uint64_t engine_steps;
    uint64_t cut;
    uint64_t violation_parent;
    uint32_t violation_action;
    char violation[512];

    /* The step that is being made. */
    uint32_t items[EXPLORE_ITEMS_MAX];
    uint32_t items_count;
    uint32_t place;
    uint64_t persisted;
    FILE *narration; /* NULL: none; otherwise steps are made anew, and told */
    bool may_panic;
    jmp_buf panic;
};

/* explore_table.c */
void *explore_memory(void *at, size_t size); /* realloc that does not fail */
void *explore_array_add(struct explore_array *array, uint64_t count);
static inline void *explore_array_at(const struct explore_array *array, uint64_t index)
{
    return (char *)array->items + index * array->size;
}
uint32_t explore_name_message(struct explore *x, const struct explore_message *message);
uint32_t explore_name_record(struct explore *x, const struct explore_record *record);
uint32_t explore_name_ledger(struct explore *x, const struct explore_ledger *ledger);
/* The member at work, as it stands. */
uint32_t explore_name_component(struct explore *x, uint64_t fingerprint);
/* Makes that member the one at work. */
void explore_load_component(struct explore *x, uint32_t component);
/* A step that was made before, or NULL. */
const struct explore_outcome *explore_step_find(const struct explore *x, uint64_t key);
const struct explore_outcome *explore_step_keep(struct explore *x, uint64_t key,
                                                uint32_t component);
/* It will be asked about soon. */
void explore_visit_soon(const struct explore *x, uint64_t fingerprint);
/* True if it is new. */
bool explore_visit(struct explore *x, uint64_t fingerprint);
/* The bytes of a state that are used. */
uint32_t explore_state_size(const struct explore_state *state);
void explore_layer_add(struct explore_layer *layer, const struct explore_state *state);
/* Takes the states out in order; false at the end. */
bool explore_layer_take(struct explore_layer *layer, struct explore_state *ret_state);
void explore_layer_clear(struct explore_layer *layer);
uint64_t explore_bytes(const struct explore *x);
void explore_tables_init(struct explore *x);
void explore_tables_free(struct explore *x);

static inline const struct explore_message *explore_message_at(const struct explore *x,
                                                               uint32_t name)
{
    return explore_array_at(&x->messages, name);
}

static inline const struct explore_component *explore_component_at(const struct explore *x,
                                                                   uint32_t name)
{
    return explore_array_at(&x->components, name);
}

static inline const struct explore_ledger *explore_ledger_at(const struct explore *x, uint32_t name)
{
    return explore_array_at(&x->ledgers, name);
}

/* explore_host.c */
void explore_host_init(struct explore *x);
void explore_host_free(struct explore *x);
/* The first state of a member; its items are in x->items. */
uint32_t explore_host_boot(struct explore *x, uint32_t place);
/* What an action does to a member in that state; NULL: a violation. */
const struct explore_outcome *explore_host_step(struct explore *x, uint32_t component,
                                                enum explore_action kind, uint32_t argument);
void explore_violate(struct explore *x, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* explore_cluster.c */
uint64_t explore_state_fingerprint(const struct explore *x, const struct explore_state *state);
enum explore_applied {
    APPLIED,          /* a new state */
    APPLIED_NOTHING,  /* nothing changed */
    APPLIED_CUT,      /* beyond the tables */
    APPLIED_VIOLATED, /* see x->violation */
};
enum explore_applied explore_apply(struct explore *x, struct explore_state *state, uint32_t action);
/* All actions that are possible; returns how many. */
uint32_t explore_actions(struct explore *x, const struct explore_state *state,
                         uint32_t *ret_actions, uint32_t capacity);
/* The state from which the search begins; false: a violation on the way. */
bool explore_begin(struct explore *x);

/* explore_print.c */
void explore_describe_message(const struct explore *x, const struct explore_message *message,
                              struct text *text);
void explore_describe_action(const struct explore *x, uint32_t action, struct text *text);
/* As a word of a path. */
void explore_write_action(const struct explore *x, uint32_t action, struct text *text);
/* Finds the action of that word among those possible; false if there is none. */
bool explore_read_action(struct explore *x, const struct explore_state *state, const char *word,
                         uint32_t *ret_action);

#endif
