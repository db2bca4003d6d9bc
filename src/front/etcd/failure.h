/* Failures: what a call that was not carried out is answered with. The text is part of the API:
 * clients compare it letter by letter, and look at the code second. */
#ifndef SYNOD_FRONT_ETCD_FAILURE_H
#define SYNOD_FRONT_ETCD_FAILURE_H

#include "base/status.h"
#include "front/etcd/grpc_code.h"
#include "store/refusal.h"

struct failure {
    enum grpc_code code;
    const char *text; /* static */
};

/* Why the state machine refused. Not for REFUSAL_NONE. */
struct failure failure_of_refusal(enum refusal refusal);
/* Why the replica did not bring a request to an end. Not for STATUS_OK. */
struct failure failure_of_status(enum status status);

extern const struct failure failure_no_leader;
extern const struct failure failure_not_leader;
extern const struct failure failure_bad_transferee;
extern const struct failure failure_transfer_timeout;
extern const struct failure failure_stopped;
extern const struct failure failure_deadline;
extern const struct failure failure_too_many_requests;

#endif
