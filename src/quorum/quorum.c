/* Quorum systems: building the trees, evaluating them, and proving that they are safe.
 *
 * A tree's children always come after it in the array, so evaluation ends, whatever the contents:
 * systems may come from a log record or from a peer. */
#include "quorum/quorum.h"

#include "base/panic.h"

static uint64_t quorum_first_places(uint32_t members)
{
    ensure(members >= 1);
    ensure(members <= 64);
    return UINT64_MAX >> (64 - members);
}

static uint32_t quorum_set_size(uint64_t set)
{
    return (uint32_t)__builtin_popcountll(set);
}

static struct quorum_node quorum_count(uint64_t set, uint32_t threshold)
{
    return (struct quorum_node){.kind = QUORUM_COUNT, .threshold = threshold, .set = set};
}

static struct quorum_node quorum_children(uint32_t first, uint32_t count, uint32_t threshold)
{
    return (struct quorum_node){
        .kind = QUORUM_CHILDREN,
        .threshold = threshold,
        .child_first = (uint16_t)first,
        .child_count = (uint16_t)count,
    };
}

static uint16_t quorum_add(struct quorum_system *system, struct quorum_node node)
{
    ensure(system->count < QUORUM_NODES_MAX);
    system->nodes[system->count] = node;
    return system->count++;
}

struct quorum_system quorum_majority(uint32_t members)
{
    return quorum_flexible(members, members / 2 + 1, members / 2 + 1);
}

struct quorum_system quorum_flexible(uint32_t members, uint32_t phase1, uint32_t phase2)
{
    struct quorum_system system = {0};
    uint64_t all = quorum_first_places(members);
    system.phase1 = quorum_add(&system, quorum_count(all, phase1));
    system.phase2 =
        phase1 == phase2 ? system.phase1 : quorum_add(&system, quorum_count(all, phase2));
    return system;
}

struct quorum_system quorum_weighted(uint32_t members, const uint8_t *weights)
{
    ensure(members <= 32);
    struct quorum_system system = {0};
    struct quorum_node node = {.kind = QUORUM_WEIGHT, .set = quorum_first_places(members)};
    uint32_t total = 0;
    for (uint32_t i = 0; i < members; i++) {
        node.weights[i] = weights[i];
        total += weights[i];
    }
    node.threshold = total / 2 + 1;
    system.phase1 = system.phase2 = quorum_add(&system, node);
    return system;
}

struct quorum_system quorum_hierarchical(const uint64_t *groups, uint32_t groups_count)
{
    struct quorum_system system = {0};
    system.phase1 = system.phase2 =
        quorum_add(&system, quorum_children(1, groups_count, groups_count / 2 + 1));
    for (uint32_t i = 0; i < groups_count; i++)
        quorum_add(&system, quorum_count(groups[i], quorum_set_size(groups[i]) / 2 + 1));
    return system;
}

struct quorum_system quorum_grid(const uint64_t *rows, uint32_t rows_count)
{
    struct quorum_system system = {0};
    system.phase1 = quorum_add(&system, quorum_children(2, rows_count, 1));
    system.phase2 = quorum_add(&system, quorum_children(2 + rows_count, rows_count, rows_count));
    for (uint32_t i = 0; i < rows_count; i++)
        quorum_add(&system, quorum_count(rows[i], quorum_set_size(rows[i])));
    for (uint32_t i = 0; i < rows_count; i++)
        quorum_add(&system, quorum_count(rows[i], 1));
    return system;
}

/* A copy of a node of a system whose nodes were moved up by `offset`. */
static struct quorum_node quorum_moved(const struct quorum_node *node, uint32_t offset)
{
    struct quorum_node moved = *node;
    if (moved.kind == QUORUM_CHILDREN)
        moved.child_first = (uint16_t)(moved.child_first + offset);
    return moved;
}

bool quorum_joint(const struct quorum_system *a, const struct quorum_system *b,
                  struct quorum_system *ret_joint)
{
    /* Children are consecutive, so each pair of roots is copied side by side in front. */
    enum {
        ROOTS = 6
    };
    if (ROOTS + a->count + b->count > QUORUM_NODES_MAX)
        return false;
    uint32_t a_at = ROOTS;
    uint32_t b_at = ROOTS + (uint32_t)a->count;
    struct quorum_system joint = {0};
    joint.phase1 = quorum_add(&joint, quorum_children(2, 2, 2));
    joint.phase2 = quorum_add(&joint, quorum_children(4, 2, 2));
    quorum_add(&joint, quorum_moved(&a->nodes[a->phase1], a_at));
    quorum_add(&joint, quorum_moved(&b->nodes[b->phase1], b_at));
    quorum_add(&joint, quorum_moved(&a->nodes[a->phase2], a_at));
    quorum_add(&joint, quorum_moved(&b->nodes[b->phase2], b_at));
    for (uint32_t i = 0; i < a->count; i++)
        quorum_add(&joint, quorum_moved(&a->nodes[i], a_at));
    for (uint32_t i = 0; i < b->count; i++)
        quorum_add(&joint, quorum_moved(&b->nodes[i], b_at));
    *ret_joint = joint;
    return true;
}

static uint32_t quorum_weight(const struct quorum_node *node, uint64_t set)
{
    uint32_t weight = 0;
    for (uint32_t i = 0; i < 32; i++)
        if ((node->set & set) >> i & 1)
            weight += node->weights[i];
    return weight;
}

static bool quorum_holds(const struct quorum_system *system, uint32_t index, uint64_t set)
{
    const struct quorum_node *node = &system->nodes[index];
    uint32_t reached = 0;
    switch (node->kind) {
    case QUORUM_COUNT:
        reached = quorum_set_size(node->set & set);
        break;
    case QUORUM_WEIGHT:
        reached = quorum_weight(node, set);
        break;
    case QUORUM_CHILDREN:
        for (uint32_t i = 0; i < node->child_count; i++)
            reached += quorum_holds(system, node->child_first + i, set) ? 1 : 0;
        break;
    }
    return reached >= node->threshold;
}

bool quorum_phase1(const struct quorum_system *system, uint64_t set)
{
    return quorum_holds(system, system->phase1, set);
}

bool quorum_phase2(const struct quorum_system *system, uint64_t set)
{
    return quorum_holds(system, system->phase2, set);
}

static bool quorum_node_well_formed(const struct quorum_system *system, uint32_t index,
                                    uint64_t all)
{
    const struct quorum_node *node = &system->nodes[index];
    switch (node->kind) {
    case QUORUM_COUNT:
        return (node->set & ~all) == 0;
    case QUORUM_WEIGHT:
        return (node->set & ~all) == 0 && node->set <= UINT32_MAX;
    case QUORUM_CHILDREN:
        return node->child_first > index && node->child_count >= 1 &&
               (uint32_t)node->child_first + node->child_count <= system->count;
    }
    return false; /* a number that came from a disk or a wire */
}

static bool quorum_well_formed(const struct quorum_system *system, uint64_t all)
{
    if (system->count < 1 || system->count > QUORUM_NODES_MAX)
        return false;
    if (system->phase1 >= system->count || system->phase2 >= system->count)
        return false;
    for (uint32_t i = 0; i < system->count; i++)
        if (!quorum_node_well_formed(system, i, all))
            return false;
    return true;
}

/* Too many members to try every subset: only flat systems, where arithmetic proves that any two
 * quorums overlap. */
static bool quorum_overlaps_by_counting(const struct quorum_system *system, uint64_t all)
{
    const struct quorum_node *a = &system->nodes[system->phase1];
    const struct quorum_node *b = &system->nodes[system->phase2];
    if (a->kind != b->kind || a->kind == QUORUM_CHILDREN || a->set != b->set)
        return false;
    uint64_t total = quorum_set_size(a->set);
    if (a->kind == QUORUM_WEIGHT) {
        for (uint32_t i = 0; i < 32; i++)
            if (a->weights[i] != b->weights[i])
                return false;
        total = quorum_weight(a, all);
    }
    return (uint64_t)a->threshold + b->threshold > total;
}

static bool quorum_overlaps(const struct quorum_system *system, uint64_t all)
{
    for (uint64_t set = 0; set <= all; set++)
        if (quorum_phase1(system, set) && quorum_phase2(system, all & ~set))
            return false;
    return true;
}

bool quorum_system_valid(const struct quorum_system *system, uint32_t members)
{
    if (members < 1 || members > 32)
        return false;
    uint64_t all = quorum_first_places(members);
    if (!quorum_well_formed(system, all))
        return false;
    if (!quorum_phase1(system, all) || !quorum_phase2(system, all))
        return false;
    return members <= QUORUM_CHECKED_MEMBERS_MAX ? quorum_overlaps(system, all)
                                                 : quorum_overlaps_by_counting(system, all);
}
