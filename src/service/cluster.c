/* Members, alarms, the keeper of leases, and the comparison of digests. All of it changes by
 * commands alone, so every member judges the same statements in the same order and raises the same
 * alarms. */
#include "service/cluster.h"

#include <string.h>

void cluster_init(struct cluster *cluster, struct mem *mem)
{
    *cluster = (struct cluster){.mem = mem};
}

/* --- Members ------------------------------------------------------------------------------------
 */

static void copy_bytes(struct mem *mem, struct bytes *bytes)
{
    uint8_t *copy = mem_alloc(mem, bytes->size + 1);
    if (bytes->size > 0)
        memcpy(copy, bytes->data, bytes->size);
    bytes->data = copy;
}

static void free_bytes(struct mem *mem, const struct bytes *bytes)
{
    mem_free(mem, (void *)(uintptr_t)bytes->data, bytes->size + 1);
}

static void member_copy(struct mem *mem, struct command_member *member)
{
    copy_bytes(mem, &member->name);
    for (uint32_t i = 0; i < member->peer_urls_count; i++)
        copy_bytes(mem, &member->peer_urls[i]);
    for (uint32_t i = 0; i < member->client_urls_count; i++)
        copy_bytes(mem, &member->client_urls[i]);
}

static void member_release(struct mem *mem, const struct command_member *member)
{
    free_bytes(mem, &member->name);
    for (uint32_t i = 0; i < member->peer_urls_count; i++)
        free_bytes(mem, &member->peer_urls[i]);
    for (uint32_t i = 0; i < member->client_urls_count; i++)
        free_bytes(mem, &member->client_urls[i]);
}

void cluster_release(struct cluster *cluster)
{
    for (uint32_t i = 0; i < cluster->members_count; i++)
        member_release(cluster->mem, &cluster->members[i]);
    mem_free(cluster->mem, cluster->members, cluster->members_count * sizeof *cluster->members);
    mem_free(cluster->mem, cluster->alarms, cluster->alarms_count * sizeof *cluster->alarms);
    cluster_init(cluster, cluster->mem);
}

void cluster_publish(struct cluster *cluster, const struct command_member *member)
{
    struct command_member copy = *member;
    member_copy(cluster->mem, &copy);
    uint32_t count = cluster->members_count;
    uint32_t at = 0;
    while (at < count && cluster->members[at].id < member->id)
        at++;
    if (at < count && cluster->members[at].id == member->id) {
        member_release(cluster->mem, &cluster->members[at]);
        cluster->members[at] = copy;
        return;
    }
    cluster->members =
        mem_resize(cluster->mem, cluster->members, count * sizeof copy, (count + 1) * sizeof copy);
    memmove(cluster->members + at + 1, cluster->members + at, (count - at) * sizeof copy);
    cluster->members[at] = copy;
    cluster->members_count++;
}

/* --- Alarms -------------------------------------------------------------------------------------
 */

static bool alarm_before(const struct alarm *a, const struct alarm *b)
{
    return a->member != b->member ? a->member < b->member : a->kind < b->kind;
}

static void alarm_raise(struct cluster *cluster, const struct alarm *alarm)
{
    uint32_t count = cluster->alarms_count;
    uint32_t at = 0;
    while (at < count && alarm_before(&cluster->alarms[at], alarm))
        at++;
    if (at < count && !alarm_before(alarm, &cluster->alarms[at]))
        return;
    cluster->alarms = mem_resize(cluster->mem, cluster->alarms, count * sizeof *alarm,
                                 (count + 1) * sizeof *alarm);
    memmove(cluster->alarms + at + 1, cluster->alarms + at, (count - at) * sizeof *alarm);
    cluster->alarms[at] = *alarm;
    cluster->alarms_count++;
}

/* ALARM_NONE: of every kind; member 0: of everybody. */
static void alarm_clear(struct cluster *cluster, const struct alarm *alarm)
{
    uint32_t kept = 0;
    for (uint32_t i = 0; i < cluster->alarms_count; i++) {
        const struct alarm *at = &cluster->alarms[i];
        bool match = (alarm->kind == ALARM_NONE || alarm->kind == at->kind) &&
                     (alarm->member == 0 || alarm->member == at->member);
        if (!match)
            cluster->alarms[kept++] = *at;
    }
    cluster->alarms = mem_resize(cluster->mem, cluster->alarms,
                                 cluster->alarms_count * sizeof *alarm, kept * sizeof *alarm);
    cluster->alarms_count = kept;
}

void cluster_alarm(struct cluster *cluster, bool activate, const struct alarm *alarm)
{
    if (!activate && cluster->alarms_count > 0)
        alarm_clear(cluster, alarm);
    else if (activate && alarm->kind != ALARM_NONE)
        alarm_raise(cluster, alarm);
}

bool cluster_alarmed(const struct cluster *cluster, enum alarm_kind kind)
{
    for (uint32_t i = 0; i < cluster->alarms_count; i++) {
        if (cluster->alarms[i].kind == kind)
            return true;
    }
    return false;
}

bool cluster_keep(struct cluster *cluster, uint16_t node, uint64_t round)
{
    bool newer =
        round != cluster->keeper_round ? round > cluster->keeper_round : node > cluster->keeper;
    if (newer) {
        cluster->keeper = node;
        cluster->keeper_round = round;
    }
    return newer;
}

/* --- Digests ------------------------------------------------------------------------------------
 */

static void statement_drop(struct cluster *cluster, uint32_t at)
{
    cluster->statements_count--;
    memmove(cluster->statements + at, cluster->statements + at + 1,
            (cluster->statements_count - at) * sizeof cluster->statements[0]);
}

/* Makes room: a newer word of a member replaces its word on the same slot, or its oldest. */
static void statement_add(struct cluster *cluster, const struct statement *statement)
{
    uint32_t oldest = STATEMENTS_MAX;
    uint32_t same = STATEMENTS_MAX;
    uint32_t held = 0;
    for (uint32_t i = cluster->statements_count; i-- > 0;) {
        const struct statement *at = &cluster->statements[i];
        if (at->member != statement->member)
            continue;
        held++;
        oldest = i;
        if (at->slot == statement->slot)
            same = i;
    }
    if (same != STATEMENTS_MAX)
        statement_drop(cluster, same);
    else if (held == STATEMENTS_PER_MEMBER)
        statement_drop(cluster, oldest);
    else if (cluster->statements_count == STATEMENTS_MAX)
        statement_drop(cluster, 0);
    cluster->statements[cluster->statements_count++] = *statement;
}

static uint32_t count_agreeing(const struct cluster *cluster, uint64_t slot, uint64_t digest)
{
    uint32_t agreeing = 0;
    for (uint32_t i = 0; i < cluster->statements_count; i++) {
        const struct statement *at = &cluster->statements[i];
        agreeing += at->slot == slot && at->digest == digest;
    }
    return agreeing;
}

struct verdict cluster_state_digest(struct cluster *cluster, const struct statement *statement,
                                    uint32_t voters)
{
    statement_add(cluster, statement);
    struct verdict verdict = {.slot = statement->slot};
    for (uint32_t i = 0; i < cluster->statements_count && !verdict.reached; i++) {
        const struct statement *at = &cluster->statements[i];
        if (at->slot != verdict.slot)
            continue;
        verdict.digest = at->digest;
        verdict.reached = count_agreeing(cluster, at->slot, at->digest) > voters / 2;
    }
    for (uint32_t i = 0; i < cluster->statements_count && verdict.reached; i++) {
        const struct statement *at = &cluster->statements[i];
        struct alarm alarm = {at->member, ALARM_CORRUPT};
        if (at->slot == verdict.slot && at->digest != verdict.digest)
            alarm_raise(cluster, &alarm);
    }
    return verdict;
}
