/* Leader leases: reads at the leader without asking anybody (Gray and Cheriton 1989; Chandra et al.
 * 2007, section 5.2). Shared by the engines that have a leader.
 *
 * A member that confirms a leader's read round *grants* it a lease: until its own clock has moved
 * on by the length of the lease and what clocks may drift, it helps nobody else to lead. A leader
 * *holds* the lease while no phase 1 quorum can do without its grantors, counted on its own clock
 * from when it sent the round, less the drift. The grantor counts from later and counts longer, so
 * the leader stops first, whatever the messages took. A leader whose clients read asks for a new
 * lease when half of the last has passed; one that nobody reads from asks for none, and then
 * nothing stands in the way of its successor. Handing over needs no exception: the leader stops
 * reading by its lease, and its successor is heard when the grants have run out.
 *
 * The one assumption: no clock of a member runs faster or slower than true time by more than
 * `lease_drift` (in millionths). Clocks need not agree on the time of day. A member that was
 * started does not know what it granted before: it helps nobody for the length of the longest
 * lease. */
#ifndef SYNOD_CONSENSUS_READ_LEASE_H
#define SYNOD_CONSENSUS_READ_LEASE_H

#include "consensus/engine.h"

struct read_lease {
    uint64_t length_ns; /* the longest that is granted, and what is asked for; 0: none */
    uint32_t drift;     /* millionths */
    bool reads;         /* this member reads by leases when it leads */
    /* Grantor. */
    uint64_t granted_until;
    uint16_t granted_to; /* NODE_NONE: to somebody, before the start */
    /* Leader. */
    uint64_t held_until;
    bool asked; /* somebody read since the last round: the lease is worth a new one */
};

void read_lease_init(struct read_lease *lease, const struct engine_config *config);
/* The member has started, and may have granted anything before. */
void read_lease_start(struct read_lease *lease, uint64_t now);
/* May this member help `node` to lead? */
bool read_lease_lets(const struct read_lease *lease, uint64_t now, uint16_t node);
/* When it may help itself; at most `now` if it may already. */
uint64_t read_lease_free_at(const struct read_lease *lease, uint16_t self);
/* Grants `node` a lease of that length; returns it, or 0 for none that may be. */
uint64_t read_lease_grant(struct read_lease *lease, uint64_t now, uint16_t node,
                          uint64_t length_ns);

/* Leader. The length to ask for with a round that is sent now, 0: none. Grants it to itself. */
uint64_t read_lease_ask(struct read_lease *lease, uint64_t now, uint16_t self);
/* A round that was first sent at `sent` came back from enough grantors. */
void read_lease_hold(struct read_lease *lease, uint64_t now, uint64_t sent);
/* Until when a read needs no round; 0: it needs one. Remembers that there was a use for it. */
uint64_t read_lease_use(struct read_lease *lease, uint64_t now);
/* Is it time for a new round, though no read waits for one? */
bool read_lease_ends(const struct read_lease *lease, uint64_t now);
/* It does not lead any more. */
void read_lease_drop(struct read_lease *lease);

#endif
