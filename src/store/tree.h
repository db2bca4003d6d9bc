/* Tree: a B+ tree of keys in order, which knows how many of them live.
 *
 * A slot is a key and eight bytes of it, taken behind the prefix that all keys of its node share,
 * so that a search rarely looks at keys themselves. Wide nodes that split at the right end when
 * keys arrive in order stay full. A leaf has one bit for each key that lives (a deleted key stays
 * until compaction), an inner node has the number below each child: counting a range is two
 * descents.
 *
 * The one invariant: the slot of an inner node is the first key of the child beside it. */
#ifndef SYNOD_STORE_TREE_H
#define SYNOD_STORE_TREE_H

#include "store/version.h"

#define TREE_FANOUT 64u
#define TREE_DEPTH_MAX 16u

struct tree_node;

struct tree {
    struct mem *mem;
    struct tree_node *root;
    uint32_t depth; /* levels; 0: empty */
    uint64_t count; /* keys */
    uint64_t live;  /* of them, living */
};

struct tree_step {
    struct tree_node *node;
    uint32_t index;
};

/* The way from the root to a place in a leaf. Valid until the tree changes. */
struct tree_path {
    struct tree_step steps[TREE_DEPTH_MAX];
};

/* A place in the order; node NULL: past the end. Valid until keys come or go. */
struct tree_cursor {
    struct tree_node *node;
    uint32_t index;
};

void tree_init(struct tree *tree, struct mem *mem);
/* Frees the nodes; the keys are the caller's. */
void tree_release(struct tree *tree);
/* Where the key is, or where it would go. NULL if it is not there. */
struct key *tree_find(const struct tree *tree, struct bytes key, struct tree_path *ret_path);
/* Inserts a key where tree_find did not find it. */
void tree_insert(struct tree *tree, struct tree_path *path, struct key *key, bool live);
/* Changes whether the key at the path lives. */
void tree_set_live(struct tree *tree, const struct tree_path *path, bool live);
/* Takes out a key that is there. */
void tree_remove(struct tree *tree, const struct key *key);
/* Living keys that are less than `key`. */
uint64_t tree_rank(const struct tree *tree, struct bytes key);

/* The first key that is not less than `key`. */
struct tree_cursor tree_seek(const struct tree *tree, struct bytes key);
struct tree_cursor tree_first(const struct tree *tree);
struct tree_cursor tree_last(const struct tree *tree);
void tree_next(struct tree_cursor *cursor);
void tree_prev(struct tree_cursor *cursor);
struct key *tree_key(const struct tree_cursor *cursor);
bool tree_live(const struct tree_cursor *cursor);

/* Walks everything and ensures every invariant; for tests. */
void tree_check(const struct tree *tree);

#endif
