/* The parts of `synod serve`: flags (serve_flags.c), the identity that they describe
 * (serve_bootstrap.c), automatic compaction (serve_compactor.c), and the process itself
 * (cmd_serve.c). */
#ifndef SYNOD_CLI_SERVE_H
#define SYNOD_CLI_SERVE_H

#include "cli/options.h"
#include "replica/replica.h"

#include <uv.h>

extern const struct option serve_flags[];
extern const struct option serve_flags_unused[];
extern const struct option serve_flags_refused[];
bool serve_flag_departs(const struct options *options, const struct option *flag);

#define HOST_MAX 256

struct address {
    char host[HOST_MAX]; /* a name or a number, without brackets */
    uint16_t port;
};

/* "http://host:port" and nothing behind it. False, and what is wrong with it. */
bool address_parse(const char *url, struct address *ret_address, struct text *error);

/* The identity of a new member, from --initial-cluster and its companions. Member and cluster ids
 * are made as etcd makes them, so that tools which compute them agree. False, and what is wrong. */
bool bootstrap_identity(const struct options *options, uint64_t disk, struct identity *ret_identity,
                        struct text *error);

struct compactor;

/* Compacts by itself while this member leads, as --auto-compaction-* say. NULL, and no text, when
 * that is switched off; NULL and a text for values that make no sense. */
struct compactor *compactor_open(uv_loop_t *loop, struct replica *replica, struct mem *mem,
                                 const struct options *options, struct text *error);
/* Frees it when the loop has let go of its timer. NULL is allowed. */
void compactor_close(struct compactor *compactor);

#endif
