/* Nodes of the tree: an array of slots in order, searched and changed in place. Leaves and inner
 * nodes are the same thing; behind the slots of an inner node lie its children and their counts. */
#ifndef SYNOD_STORE_TREE_NODE_H
#define SYNOD_STORE_TREE_NODE_H

#include "store/tree.h"

#define NODE_SHARED 32u

struct tree_slot {
    uint64_t prefix; /* eight bytes behind the shared ones, big-endian, padded with zeros */
    struct key *key;
};

struct tree_node {
    uint32_t skip; /* leading bytes that all keys of the node share, or fewer */
    uint16_t count;
    uint16_t capacity; /* a leaf that is the root grows up to TREE_FANOUT */
    uint64_t live;     /* leaf: bit i is set if the key in slot i lives */
    struct tree_node *prev;
    struct tree_node *next;      /* leaves in order */
    uint8_t shared[NODE_SHARED]; /* the first of the shared bytes, so that no key need be fetched */
    struct tree_slot slots[];
};

struct tree_node *node_new_leaf(struct mem *mem, uint32_t capacity);
struct tree_node *node_new_inner(struct mem *mem);
void node_free(struct mem *mem, struct tree_node *node, bool leaf);
struct tree_node **node_children(struct tree_node *node);
uint64_t *node_lives(struct tree_node *node);
/* Living keys below the node. */
uint64_t node_live(struct tree_node *node, bool leaf);

/* Begins to fetch what a search will look at: all at once instead of one after the other. */
void node_prefetch(const struct tree_node *node);
/* The first slot that is not less than the key; `ret_equal` tells whether it is the key. */
uint32_t node_search(const struct tree_node *node, struct bytes key, bool *ret_equal);
/* The child of an inner node in which the key is or would be. */
uint32_t node_child(const struct tree_node *node, struct bytes key);

/* There must be room for one more. */
void node_insert_leaf(struct tree_node *node, uint32_t index, struct key *key, bool live);
void node_insert_inner(struct tree_node *node, uint32_t index, struct tree_node *child,
                       uint64_t live);
void node_remove(struct tree_node *node, uint32_t index, bool leaf);
/* Renews the slot of a child, and its count. */
void node_renew_slot(struct tree_node *node, uint32_t index);
void node_renew(struct tree_node *node, uint32_t index, bool child_leaf);
/* Moves the slots from `index` on to an empty node. */
void node_move(struct tree_node *node, uint32_t index, struct tree_node *to, bool leaf);
/* Appends all slots of `from`, which comes next in order. */
void node_append(struct tree_node *node, struct tree_node *from, bool leaf);

#endif
