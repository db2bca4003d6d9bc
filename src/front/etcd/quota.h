/* Admission: what is checked before a write may enter the log, and what stops a member from
 * serving. */
#ifndef SYNOD_FRONT_ETCD_QUOTA_H
#define SYNOD_FRONT_ETCD_QUOTA_H

#include "front/etcd/internal.h"

/* This member's state is not what the others agreed on, or somebody said so. */
bool front_corrupt(struct etcd_front *front);
/* NONE if the command may be submitted. `size` is that of the request that it came in. Raises the
 * NOSPACE alarm when the command would not fit. */
enum refusal front_admit(struct etcd_front *front, const struct command *command, size_t size);

#endif
