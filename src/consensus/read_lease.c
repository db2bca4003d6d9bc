/* The two clocks of a lease. The one invariant: held_until is over in true time before any
 * granted_until that it stands on. */
#include "consensus/read_lease.h"

#include "base/planted.h"

/* What a grantor adds, and a holder takes off: with all clocks within `drift` of true time, length
 * * (1 - drift) on the slowest is over before length * (1 + drift) on the fastest. */
static uint64_t margin(const struct read_lease *lease, uint64_t length_ns)
{
    return planted(LEASE_WITHOUT_MARGIN) ? 0 : length_ns / 1000000 * lease->drift + lease->drift;
}

void read_lease_init(struct read_lease *lease, const struct engine_config *config)
{
    *lease = (struct read_lease){
        .length_ns = config->lease_ns, .drift = config->lease_drift, .reads = config->lease_reads};
}

void read_lease_start(struct read_lease *lease, uint64_t now)
{
    if (!planted(LEASE_FORGOTTEN_AT_START))
        read_lease_grant(lease, now, NODE_NONE, lease->length_ns);
}

bool read_lease_lets(const struct read_lease *lease, uint64_t now, uint16_t node)
{
    return now >= lease->granted_until || lease->granted_to == node || planted(LEASE_NOT_KEPT);
}

uint64_t read_lease_free_at(const struct read_lease *lease, uint16_t self)
{
    return lease->granted_to == self || planted(LEASE_NOT_KEPT) ? 0 : lease->granted_until;
}

uint64_t read_lease_grant(struct read_lease *lease, uint64_t now, uint16_t node, uint64_t length_ns)
{
    if (length_ns == 0 || length_ns > lease->length_ns)
        return 0;
    uint64_t until = now + length_ns + margin(lease, length_ns);
    lease->granted_to = node;
    if (lease->granted_until < until)
        lease->granted_until = until;
    return length_ns;
}

uint64_t read_lease_ask(struct read_lease *lease, uint64_t now, uint16_t self)
{
    lease->asked = false;
    return lease->reads ? read_lease_grant(lease, now, self, lease->length_ns) : 0;
}

void read_lease_hold(struct read_lease *lease, uint64_t now, uint64_t sent)
{
    uint64_t less = margin(lease, lease->length_ns);
    uint64_t from = planted(LEASE_FROM_ANSWER) ? now : sent;
    if (less < lease->length_ns && lease->held_until < from + lease->length_ns - less)
        lease->held_until = from + lease->length_ns - less;
}

uint64_t read_lease_use(struct read_lease *lease, uint64_t now)
{
    if (!lease->reads)
        return 0;
    lease->asked = true;
    return now < lease->held_until ? lease->held_until : 0;
}

bool read_lease_ends(const struct read_lease *lease, uint64_t now)
{
    return lease->asked && now + lease->length_ns / 2 >= lease->held_until;
}

void read_lease_drop(struct read_lease *lease)
{
    lease->held_until = 0;
    lease->asked = false;
}
