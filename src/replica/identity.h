/* Identity: who this member is, on its disk, decided at bootstrap and never changed by flags again.
 * The file "identity" in the data directory; format: doc/formats/identity.md.
 *
 * `disk` is a random number made with the directory: a member that comes back with another one has
 * lost its memory, and with it its promises; the others do not listen to it. */
#ifndef SYNOD_REPLICA_IDENTITY_H
#define SYNOD_REPLICA_IDENTITY_H

#include "base/text.h"
#include "quorum/members.h"
#include "world/world.h"

#define IDENTITY_NAME_MAX 128
#define IDENTITY_URL_MAX 256
#define IDENTITY_URLS_MAX 4

struct identity_member {
    uint64_t id;
    uint16_t node;
    char name[IDENTITY_NAME_MAX];
    uint32_t peer_urls_count;
    char peer_urls[IDENTITY_URLS_MAX][IDENTITY_URL_MAX];
};

struct identity {
    uint64_t cluster;
    uint64_t disk;
    uint32_t era;
    uint16_t engine; /* engine_ops.id */
    uint16_t self;   /* node number */
    uint32_t members_count;
    struct identity_member members[MEMBERS_MAX];
};

/* NOT_FOUND if the directory has none yet. CORRUPT, UNSUPPORTED or INVALID with a text. */
enum status identity_load(struct world *world, struct text *error,
                          struct identity *ret_identity) MUST_CHECK;
/* Written beside, synced, renamed: there is a whole file or none. */
enum status identity_create(struct world *world, struct mem *mem, const struct identity *identity,
                            struct text *error) MUST_CHECK;
/* The member with this node number; never NULL for identity->self. */
const struct identity_member *identity_member(const struct identity *identity, uint16_t node);
/* By what the links of members know each other: of one cluster, over one engine. */
uint64_t identity_link(const struct identity *identity);
/* The configuration that the engine runs with: majority quorums over all members. */
struct configuration identity_configuration(const struct identity *identity);

#endif
