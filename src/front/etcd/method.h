/* Methods: the calls that this server answers, by path. One table; everything that is not in it is
 * answered UNIMPLEMENTED in the words of etcd's own server. */
#ifndef SYNOD_FRONT_ETCD_METHOD_H
#define SYNOD_FRONT_ETCD_METHOD_H

#include "base/bytes.h"
#include "base/text.h"

struct call;

struct method {
    const char *service;
    const char *name;
    bool stream; /* more than one message in at least one direction */
    /* A message arrived. A unary call gets one at most; a call that is `busy` gets none. */
    void (*message)(struct call *call, struct bytes message);
    /* Streams: the client has said all that it had to say. NULL: the call ends well. */
    void (*half_closed)(struct call *call);
    /* The call asked to be woken, or its output has drained. May be NULL. */
    void (*woken)(struct call *call);
    /* The call is over, for whatever reason: give back what `state` holds. May be NULL. */
    void (*over)(struct call *call);
};

#define METHODS_COUNT 22
extern const struct method methods[METHODS_COUNT];

/* NULL, and the text of the refusal, for what is not offered. */
const struct method *method_find(struct bytes path, struct text *refusal);

#endif
