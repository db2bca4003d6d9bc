/* One node at a time. The one invariant: prefixes are taken at `skip`, and every key of the node
 * agrees with the first in that many bytes; whoever brings in a key that does not, lowers it. */
#include "store/tree_node.h"

#include "base/panic.h"

#include <string.h>

static size_t node_size(uint32_t capacity, bool leaf)
{
    size_t slot =
        sizeof(struct tree_slot) + (leaf ? 0 : sizeof(struct tree_node *) + sizeof(uint64_t));
    return sizeof(struct tree_node) + capacity * slot;
}

struct tree_node *node_new_leaf(struct mem *mem, uint32_t capacity)
{
    struct tree_node *node = mem_alloc(mem, node_size(capacity, true));
    *node = (struct tree_node){.capacity = (uint16_t)capacity};
    return node;
}

struct tree_node *node_new_inner(struct mem *mem)
{
    struct tree_node *node = mem_alloc(mem, node_size(TREE_FANOUT, false));
    *node = (struct tree_node){.capacity = TREE_FANOUT};
    return node;
}

void node_free(struct mem *mem, struct tree_node *node, bool leaf)
{
    mem_free(mem, node, node_size(node->capacity, leaf));
}

struct tree_node **node_children(struct tree_node *node)
{
    return (struct tree_node **)(void *)(node->slots + TREE_FANOUT);
}

uint64_t *node_lives(struct tree_node *node)
{
    return (uint64_t *)(void *)(node_children(node) + TREE_FANOUT);
}

uint64_t node_live(struct tree_node *node, bool leaf)
{
    if (leaf)
        return (uint64_t)__builtin_popcountll(node->live);
    uint64_t sum = 0;
    const uint64_t *lives = node_lives(node);
    for (uint32_t i = 0; i < node->count; i++)
        sum += lives[i];
    return sum;
}

static uint64_t prefix_of(const uint8_t *data, size_t size)
{
    uint64_t prefix = 0;
    if (size >= 8) {
        memcpy(&prefix, data, 8);
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
        prefix = __builtin_bswap64(prefix);
#endif
        return prefix;
    }
    for (size_t i = 0; i < size; i++)
        prefix |= (uint64_t)data[i] << (56 - 8 * i);
    return prefix;
}

static struct tree_slot node_slot(const struct tree_node *node, struct key *key)
{
    return (struct tree_slot){prefix_of(key->bytes + node->skip, key->size - node->skip), key};
}

/* Leading bytes that two keys have in common, up to `most`. */
static uint32_t shared(const struct key *a, const struct key *b, uint32_t most)
{
    uint32_t size = a->size < b->size ? a->size : b->size;
    if (size > most)
        size = most;
    uint32_t i = 0;
    while (i < size && a->bytes[i] == b->bytes[i])
        i++;
    return i;
}

static void node_set_skip(struct tree_node *node, uint32_t skip, const struct key *key)
{
    node->skip = skip;
    memcpy(node->shared, key->bytes, skip < NODE_SHARED ? skip : NODE_SHARED);
}

static void node_refresh(struct tree_node *node, uint32_t skip)
{
    node_set_skip(node, skip, node->slots[0].key);
    for (uint32_t i = 0; i < node->count; i++)
        node->slots[i] = node_slot(node, node->slots[i].key);
}

/* Takes the shared prefix anew, for a node whose keys changed much. */
static void node_rebuild(struct tree_node *node)
{
    const struct key *first = node->slots[0].key;
    const struct key *last = node->slots[node->count - 1].key;
    node_refresh(node, shared(first, last, first->size));
}

/* The same after a split, but only when it pays: looking at every key costs more than a few bytes
 * of prefix that all slots have in common. */
static void node_narrow(struct tree_node *node)
{
    if (node->count == 0)
        return;
    uint64_t differing = node->slots[0].prefix ^ node->slots[node->count - 1].prefix;
    if (differing >> 32 == 0)
        node_rebuild(node);
}

/* Lowers the shared prefix so that `key` can come in, compared with any key `other` of the node. */
static void node_fit(struct tree_node *node, const struct key *key, const struct key *other)
{
    uint32_t skip = shared(key, other, node->skip);
    if (skip < node->skip)
        node_refresh(node, skip);
}

static int compare_rest(const struct key *a, struct bytes b, uint32_t skip)
{
    return bytes_compare(bytes_of(a->bytes + skip, a->size - skip),
                         bytes_of(b.data + skip, b.size - skip));
}

/* Is the key before (< 0) or behind (> 0) everything that begins with the shared bytes? */
static int compare_shared(const struct tree_node *node, struct bytes key)
{
    size_t common = key.size < node->skip ? key.size : node->skip;
    size_t near = common < NODE_SHARED ? common : NODE_SHARED;
    int order = near == 0 ? 0 : memcmp(key.data, node->shared, near);
    if (order == 0 && common > near)
        order = memcmp(key.data + near, node->slots[0].key->bytes + near, common - near);
    return order == 0 && key.size < node->skip ? -1 : order;
}

uint32_t node_search(const struct tree_node *node, struct bytes key, bool *ret_equal)
{
    *ret_equal = false;
    uint32_t skip = node->skip;
    if (node->count == 0)
        return 0;
    int side = compare_shared(node, key);
    if (side != 0)
        return side < 0 ? 0 : node->count;
    uint64_t prefix = key.size > skip ? prefix_of(key.data + skip, key.size - skip) : 0;
    uint32_t low = 0;
    uint32_t high = node->count;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        const struct tree_slot *slot = &node->slots[middle];
        int order = slot->prefix < prefix   ? -1
                    : slot->prefix > prefix ? 1
                    : key.size == 0         ? 1
                                            : compare_rest(slot->key, key, skip);
        if (order == 0) {
            *ret_equal = true;
            return middle;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

void node_prefetch(const struct tree_node *node)
{
    __builtin_prefetch(node);
    for (uint32_t i = 4; i < TREE_FANOUT; i += 8)
        __builtin_prefetch(&node->slots[i]);
}

uint32_t node_child(const struct tree_node *node, struct bytes key)
{
    bool equal;
    uint32_t index = node_search(node, key, &equal);
    return equal || index == 0 ? index : index - 1;
}

static void node_put_slot(struct tree_node *node, uint32_t index, struct key *key)
{
    ensure(node->count < node->capacity && index <= node->count);
    if (node->count == 0)
        node_set_skip(node, key->size, key);
    else
        node_fit(node, key, node->slots[0].key);
    memmove(node->slots + index + 1, node->slots + index,
            (node->count - index) * sizeof node->slots[0]);
    node->slots[index] = node_slot(node, key);
}

/* The bits below `index`; index is at most 64. */
static uint64_t bits_below(uint32_t index)
{
    return index >= 64 ? UINT64_MAX : ((uint64_t)1 << index) - 1;
}

void node_insert_leaf(struct tree_node *node, uint32_t index, struct key *key, bool live)
{
    node_put_slot(node, index, key);
    uint64_t below = node->live & bits_below(index);
    uint64_t above = (node->live & ~bits_below(index)) << 1;
    node->live = below | above | (uint64_t)live << index;
    node->count++;
}

void node_insert_inner(struct tree_node *node, uint32_t index, struct tree_node *child,
                       uint64_t live)
{
    node_put_slot(node, index, child->slots[0].key);
    struct tree_node **children = node_children(node);
    uint64_t *lives = node_lives(node);
    size_t behind = node->count - index;
    memmove(children + index + 1, children + index, behind * sizeof *children);
    memmove(lives + index + 1, lives + index, behind * sizeof *lives);
    children[index] = child;
    lives[index] = live;
    node->count++;
}

void node_remove(struct tree_node *node, uint32_t index, bool leaf)
{
    ensure(index < node->count);
    node->count--;
    size_t behind = node->count - index;
    memmove(node->slots + index, node->slots + index + 1, behind * sizeof node->slots[0]);
    if (leaf) {
        uint64_t below = node->live & bits_below(index);
        node->live = below | ((node->live & ~bits_below(index + 1)) >> 1);
        return;
    }
    struct tree_node **children = node_children(node);
    uint64_t *lives = node_lives(node);
    memmove(children + index, children + index + 1, behind * sizeof *children);
    memmove(lives + index, lives + index + 1, behind * sizeof *lives);
}

void node_renew_slot(struct tree_node *node, uint32_t index)
{
    struct key *key = node_children(node)[index]->slots[0].key;
    if (node->slots[index].key == key)
        return;
    if (node->count == 1)
        node_set_skip(node, key->size, key);
    else
        node_fit(node, key, node->slots[index == 0 ? 1 : 0].key);
    node->slots[index] = node_slot(node, key);
}

void node_renew(struct tree_node *node, uint32_t index, bool child_leaf)
{
    node_renew_slot(node, index);
    node_lives(node)[index] = node_live(node_children(node)[index], child_leaf);
}

void node_move(struct tree_node *node, uint32_t index, struct tree_node *to, bool leaf)
{
    size_t count = node->count - index;
    to->skip = node->skip;
    memcpy(to->shared, node->shared, sizeof to->shared);
    memcpy(to->slots, node->slots + index, count * sizeof to->slots[0]);
    if (leaf) {
        to->live = index >= 64 ? 0 : node->live >> index;
        node->live &= bits_below(index);
    } else {
        memcpy(node_children(to), node_children(node) + index, count * sizeof(struct tree_node *));
        memcpy(node_lives(to), node_lives(node) + index, count * sizeof(uint64_t));
    }
    to->count = (uint16_t)count;
    node->count = (uint16_t)index;
    node_narrow(node);
    node_narrow(to);
}

void node_append(struct tree_node *node, struct tree_node *from, bool leaf)
{
    uint32_t at = node->count;
    ensure(at + from->count <= node->capacity);
    memcpy(node->slots + at, from->slots, from->count * sizeof from->slots[0]);
    if (leaf) {
        node->live |= at >= 64 ? 0 : from->live << at;
    } else {
        memcpy(node_children(node) + at, node_children(from),
               from->count * sizeof(struct tree_node *));
        memcpy(node_lives(node) + at, node_lives(from), from->count * sizeof(uint64_t));
    }
    node->count = (uint16_t)(at + from->count);
    node_rebuild(node);
}
