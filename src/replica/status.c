/* What the replica tells about itself: for metrics, health checks and status requests. Reading it
 * changes nothing. */
#include "replica/internal.h"

#include <string.h>

void histogram_add(struct histogram *histogram, uint64_t first, uint64_t value)
{
    uint32_t bucket = 0;
    for (uint64_t bound = first; bucket < HISTOGRAM_BUCKETS - 1 && value >= bound; bound *= 2)
        bucket++;
    histogram->buckets[bucket]++;
    histogram->count++;
    histogram->sum += value;
}

static uint64_t member_id(const struct replica *r, uint16_t node)
{
    const struct identity_member *member =
        node == NODE_NONE ? NULL : identity_member(r->config.identity, node);
    return member == NULL ? 0 : member->id;
}

static void status_peers(const struct replica *r, const struct engine_status *engine,
                         struct replica_status *status)
{
    status->peers_count = engine->peers_count;
    for (uint32_t i = 0; i < engine->peers_count; i++) {
        const struct engine_peer *peer = &engine->peers[i];
        status->peers[i] = (struct replica_peer){.id = member_id(r, peer->node),
                                                 .node = peer->node,
                                                 .up = peer->up,
                                                 .slot = peer->chosen_upto,
                                                 .round_trip_ns = peer->round_trip_ns};
    }
}

void replica_status(struct replica *r, struct replica_status *ret_status)
{
    struct engine_status engine;
    r->ops->status(r->engine, &engine);
    const struct identity *identity = r->config.identity;
    *ret_status = (struct replica_status){
        .cluster = identity->cluster,
        .member = member_id(r, identity->self),
        .leader = member_id(r, r->leader),
        .term = r->ballot.round,
        .leading = r->role == ROLE_LEADER,
        .serving = replica_serving(r) == STATUS_OK,
        .diverged = r->diverged,
        .engine = r->ops->name,
        .slot_proposed = engine.next_slot > 0 ? engine.next_slot - 1 : 0,
        .slot_chosen = engine.chosen_upto,
        .slot_applied = machine_slot(r->machine),
        .snapshot_slot = r->snapshots.slot,
        .proposals_pending = r->proposals.batches_count,
        .proposals_failed = r->requests_failed,
        .batches = r->batches_applied,
        .commands = r->commands_applied,
        .reads = r->reads_served,
        .read_rounds = r->read_rounds,
        .leader_changes = engine.leader_changes,
        .elections = engine.elections,
        .ballots_burned = engine.ballots_burned,
        .leaderless_ns = r->leaderless_since == 0 ? 0 : replica_clock(r) - r->leaderless_since,
        .quota_bytes = r->config.quota_bytes,
        .batch_commands = r->batch_commands,
        .commit_ns = r->commit_ns,
        .stages = r->stages,
    };
    journal_stats(r->journal, &ret_status->journal);
    status_peers(r, &engine, ret_status);
}

struct machine *replica_machine(struct replica *r)
{
    return r->machine;
}

int64_t replica_lease_ttl_min(const struct replica *r)
{
    /* One and a half election timeouts: a lease must survive a change of leader. */
    return (int64_t)((r->config.election_ns * 3 / 2 + SECOND - 1) / SECOND);
}

uint64_t replica_now(const struct replica *r)
{
    return replica_clock(r);
}

uint64_t replica_random(struct replica *r)
{
    return r->world->ops->random(r->world);
}

static const struct command_member *published(struct replica *r, uint64_t id)
{
    uint32_t count;
    const struct command_member *members = machine_members(r->machine, &count);
    for (uint32_t i = 0; i < count; i++) {
        if (members[i].id == id)
            return &members[i];
    }
    return NULL;
}

struct command_member *replica_members(struct replica *r, struct arena *arena, uint32_t *ret_count)
{
    const struct identity *identity = r->config.identity;
    struct command_member *members = arena_zero(arena, identity->members_count * sizeof *members);
    for (uint32_t i = 0; i < identity->members_count; i++) {
        const struct identity_member *known = &identity->members[i];
        const struct command_member *told = published(r, known->id);
        if (told != NULL) {
            members[i] = *told;
            continue;
        }
        members[i].id = known->id;
        members[i].name = bytes_text(known->name);
        members[i].peer_urls_count = known->peer_urls_count;
        for (uint32_t u = 0; u < known->peer_urls_count; u++)
            members[i].peer_urls[u] = bytes_text(known->peer_urls[u]);
    }
    *ret_count = identity->members_count;
    return members;
}
