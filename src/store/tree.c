/* The tree over its nodes: descents, splits on the way in, merges on the way out.
 *
 * Nodes are merged lazily, when one is a quarter full and its neighbour has room: keys that come
 * and go at one place do not make nodes come and go. */
#include "store/tree.h"

#include "base/panic.h"
#include "store/tree_node.h"

#define LEAF_CAPACITY_FIRST 4u
#define MERGE_BELOW (TREE_FANOUT / 4)
#define MERGE_INTO (TREE_FANOUT * 3 / 4)

void tree_init(struct tree *tree, struct mem *mem)
{
    *tree = (struct tree){.mem = mem};
}

static void tree_free_below(struct tree *tree, struct tree_node *node, uint32_t level)
{
    bool leaf = level + 1 == tree->depth;
    for (uint32_t i = 0; !leaf && i < node->count; i++)
        tree_free_below(tree, node_children(node)[i], level + 1);
    node_free(tree->mem, node, leaf);
}

void tree_release(struct tree *tree)
{
    if (tree->root != NULL)
        tree_free_below(tree, tree->root, 0);
    tree_init(tree, tree->mem);
}

struct key *tree_find(const struct tree *tree, struct bytes key, struct tree_path *ret_path)
{
    struct tree_node *node = tree->root;
    for (uint32_t level = 0; level < tree->depth; level++) {
        if (level + 1 == tree->depth) {
            bool equal;
            uint32_t index = node_search(node, key, &equal);
            ret_path->steps[level] = (struct tree_step){node, index};
            return equal ? node->slots[index].key : NULL;
        }
        uint32_t index = node_child(node, key);
        ret_path->steps[level] = (struct tree_step){node, index};
        node = node_children(node)[index];
        node_prefetch(node);
    }
    return NULL;
}

/* Makes room in a leaf that is the root and still small. */
static void tree_grow_root(struct tree *tree, struct tree_path *path)
{
    struct tree_node *old = tree->root;
    struct tree_node *leaf = node_new_leaf(tree->mem, old->capacity * 2u);
    node_append(leaf, old, true);
    node_free(tree->mem, old, true);
    tree->root = leaf;
    path->steps[0].node = leaf;
}

/* Splits a full node for an insertion at `index`; returns the new right one. Keys that arrive in
 * order leave full nodes behind: at the right end the new node begins empty. */
static struct tree_node *node_split(struct tree *tree, struct tree_node *node, uint32_t index,
                                    bool leaf)
{
    struct tree_node *right =
        leaf ? node_new_leaf(tree->mem, TREE_FANOUT) : node_new_inner(tree->mem);
    bool at_end = index == node->count && node->next == NULL;
    node_move(node, at_end ? node->count : node->count / 2u, right, leaf);
    /* Inner nodes are linked as well: a node without a right neighbour is the right end. */
    right->next = node->next;
    right->prev = node;
    node->next = right;
    if (right->next != NULL)
        right->next->prev = right;
    return right;
}

/* The new first key of a leaf is the slot of every ancestor that it is the first below. */
static void tree_renew_first(struct tree *tree, const struct tree_path *path)
{
    for (uint32_t level = tree->depth - 1; level > 0; level--) {
        const struct tree_step *step = &path->steps[level - 1];
        node_renew_slot(step->node, step->index);
        if (step->index != 0)
            return;
    }
}

static void tree_new_root(struct tree *tree, struct tree_node *right)
{
    ensure(tree->depth < TREE_DEPTH_MAX);
    bool leaf = tree->depth == 1;
    struct tree_node *left = tree->root;
    tree->root = node_new_inner(tree->mem);
    node_insert_inner(tree->root, 0, left, node_live(left, leaf));
    node_insert_inner(tree->root, 1, right, node_live(right, leaf));
    tree->depth++;
}

/* Puts `right`, split off the child at the step, beside it. Returns what the parent split off. */
static struct tree_node *tree_add_child(struct tree *tree, const struct tree_step *step,
                                        struct tree_node *right, bool leaf)
{
    struct tree_node *node = step->node;
    uint32_t index = step->index + 1;
    struct tree_node *split = NULL;
    node_renew(node, step->index, leaf);
    if (node->count == node->capacity) {
        split = node_split(tree, node, index, false);
        if (index > node->count || node->count == node->capacity) {
            index -= node->count;
            node = split;
        }
    }
    node_insert_inner(node, index, right, node_live(right, leaf));
    return split;
}

static struct tree_node *tree_insert_leaf(struct tree *tree, const struct tree_step *step,
                                          struct key *key, bool live)
{
    struct tree_node *node = step->node;
    uint32_t index = step->index;
    struct tree_node *right = NULL;
    if (node->count == node->capacity) {
        right = node_split(tree, node, index, true);
        if (index > node->count || node->count == node->capacity) {
            index -= node->count;
            node = right;
        }
    }
    node_insert_leaf(node, index, key, live);
    return right;
}

void tree_insert(struct tree *tree, struct tree_path *path, struct key *key, bool live)
{
    tree->count++;
    tree->live += live;
    if (tree->root == NULL) {
        tree->root = node_new_leaf(tree->mem, LEAF_CAPACITY_FIRST);
        tree->depth = 1;
        path->steps[0] = (struct tree_step){tree->root, 0};
    }
    struct tree_step *last = &path->steps[tree->depth - 1];
    if (last->node->count == last->node->capacity && last->node->capacity < TREE_FANOUT)
        tree_grow_root(tree, path);
    struct tree_node *right = tree_insert_leaf(tree, last, key, live);
    if (last->index == 0)
        tree_renew_first(tree, path);
    for (uint32_t level = tree->depth - 1; level > 0; level--) {
        const struct tree_step *step = &path->steps[level - 1];
        if (right != NULL)
            right = tree_add_child(tree, step, right, level + 1 == tree->depth);
        else
            node_lives(step->node)[step->index] += live;
    }
    if (right != NULL)
        tree_new_root(tree, right);
}

void tree_set_live(struct tree *tree, const struct tree_path *path, bool live)
{
    const struct tree_step *last = &path->steps[tree->depth - 1];
    uint64_t bit = (uint64_t)1 << last->index;
    ensure(last->index < last->node->count);
    if (((last->node->live & bit) != 0) == live)
        return;
    last->node->live ^= bit;
    uint64_t change = live ? 1 : UINT64_MAX;
    tree->live += change;
    for (uint32_t level = 0; level + 1 < tree->depth; level++)
        node_lives(path->steps[level].node)[path->steps[level].index] += change;
}

static void node_unlink(struct tree_node *node)
{
    if (node->prev != NULL)
        node->prev->next = node->next;
    if (node->next != NULL)
        node->next->prev = node->prev;
}

/* Merges the child behind `index` into the one at it, if together they are not too full. */
static void tree_merge(struct tree *tree, struct tree_node *parent, uint32_t index, bool leaf)
{
    struct tree_node *left = node_children(parent)[index];
    struct tree_node *right = node_children(parent)[index + 1];
    if ((uint32_t)left->count + right->count > MERGE_INTO)
        return;
    node_append(left, right, leaf);
    node_unlink(right);
    node_free(tree->mem, right, leaf);
    node_remove(parent, index + 1, false);
    node_renew(parent, index, leaf);
}

/* After a removal below: the child at the step may be empty, small, or begin with another key. */
static void tree_mend(struct tree *tree, const struct tree_step *step, bool leaf)
{
    struct tree_node *parent = step->node;
    uint32_t index = step->index;
    struct tree_node *child = node_children(parent)[index];
    if (child->count == 0) {
        node_unlink(child);
        node_free(tree->mem, child, leaf);
        node_remove(parent, index, false);
        return;
    }
    node_renew(parent, index, leaf);
    if (child->count >= MERGE_BELOW)
        return;
    if (index + 1u < parent->count)
        tree_merge(tree, parent, index, leaf);
    else if (index > 0)
        tree_merge(tree, parent, index - 1, leaf);
}

void tree_remove(struct tree *tree, const struct key *key)
{
    struct tree_path path;
    const struct key *found = tree_find(tree, key_bytes(key), &path);
    ensure(found == key);
    tree_set_live(tree, &path, false);
    struct tree_step *last = &path.steps[tree->depth - 1];
    node_remove(last->node, last->index, true);
    tree->count--;
    for (uint32_t level = tree->depth - 1; level > 0; level--)
        tree_mend(tree, &path.steps[level - 1], level + 1 == tree->depth);
    while (tree->depth > 1 && tree->root->count == 1) {
        struct tree_node *root = tree->root;
        tree->root = node_children(root)[0];
        tree->depth--;
        node_free(tree->mem, root, false);
    }
    if (tree->count == 0)
        tree_release(tree);
}

uint64_t tree_rank(const struct tree *tree, struct bytes key)
{
    struct tree_path path;
    uint64_t rank = 0;
    if (tree->root == NULL)
        return 0;
    tree_find(tree, key, &path);
    for (uint32_t level = 0; level + 1 < tree->depth; level++) {
        const uint64_t *lives = node_lives(path.steps[level].node);
        for (uint32_t i = 0; i < path.steps[level].index; i++)
            rank += lives[i];
    }
    const struct tree_step *last = &path.steps[tree->depth - 1];
    uint64_t below = last->index >= 64 ? UINT64_MAX : ((uint64_t)1 << last->index) - 1;
    return rank + (uint64_t)__builtin_popcountll(last->node->live & below);
}

struct tree_cursor tree_seek(const struct tree *tree, struct bytes key)
{
    struct tree_path path;
    if (tree->root == NULL)
        return (struct tree_cursor){NULL, 0};
    tree_find(tree, key, &path);
    ensure(tree->depth > 0);
    const struct tree_step *last = &path.steps[tree->depth - 1];
    struct tree_cursor cursor = {last->node, last->index};
    if (cursor.index == cursor.node->count)
        cursor = (struct tree_cursor){cursor.node->next, 0};
    return cursor;
}

struct tree_cursor tree_first(const struct tree *tree)
{
    struct tree_node *node = tree->root;
    for (uint32_t level = 1; level < tree->depth; level++)
        node = node_children(node)[0];
    return (struct tree_cursor){node, 0};
}

struct tree_cursor tree_last(const struct tree *tree)
{
    struct tree_node *node = tree->root;
    for (uint32_t level = 1; level < tree->depth; level++)
        node = node_children(node)[node->count - 1];
    return (struct tree_cursor){node, node == NULL ? 0 : node->count - 1u};
}

void tree_next(struct tree_cursor *cursor)
{
    if (++cursor->index == cursor->node->count)
        *cursor = (struct tree_cursor){cursor->node->next, 0};
}

void tree_prev(struct tree_cursor *cursor)
{
    if (cursor->index-- > 0)
        return;
    cursor->node = cursor->node->prev;
    cursor->index = cursor->node == NULL ? 0 : cursor->node->count - 1u;
}

struct key *tree_key(const struct tree_cursor *cursor)
{
    return cursor->node->slots[cursor->index].key;
}

bool tree_live(const struct tree_cursor *cursor)
{
    return (cursor->node->live >> cursor->index & 1) != 0;
}

static void tree_check_below(const struct tree *tree, struct tree_node *node, uint32_t level)
{
    bool leaf = level + 1 == tree->depth;
    ensure(node->count > 0 && node->count <= node->capacity);
    for (uint32_t i = 0; i < node->count; i++) {
        bool equal;
        ensure(node_search(node, key_bytes(node->slots[i].key), &equal) == i);
        ensure(equal);
        if (leaf)
            continue;
        struct tree_node *child = node_children(node)[i];
        ensure(child->slots[0].key == node->slots[i].key);
        ensure(node_lives(node)[i] == node_live(child, level + 2 == tree->depth));
        tree_check_below(tree, child, level + 1);
    }
}

void tree_check(const struct tree *tree)
{
    if (tree->root == NULL) {
        ensure(tree->count == 0 && tree->live == 0 && tree->depth == 0);
        return;
    }
    tree_check_below(tree, tree->root, 0);
    uint64_t count = 0;
    uint64_t live = 0;
    const struct key *before = NULL;
    for (struct tree_cursor at = tree_first(tree); at.node != NULL; tree_next(&at)) {
        ensure(before == NULL || bytes_compare(key_bytes(before), key_bytes(tree_key(&at))) < 0);
        before = tree_key(&at);
        count++;
        live += tree_live(&at);
    }
    ensure(count == tree->count && live == tree->live);
}
