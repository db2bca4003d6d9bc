/* The HTTP front's own shape, shared by its files. */
#ifndef SYNOD_FRONT_HTTP_INTERNAL_H
#define SYNOD_FRONT_HTTP_INTERNAL_H

#include "front/http/http.h"
#include "front/http/parser.h"

struct http_front {
    struct http_front_config config;
};

struct http_session {
    struct http_front *front;
    void *owner;
    void (*on_output)(void *owner);
    struct buffer input;
    struct buffer output;
    struct request request;   /* the linearizable read that a page waits for */
    struct http_request head; /* of the request that waits; borrows from `input` */
    size_t head_size;
    bool waiting;
    bool ended;
};

struct http_answer {
    unsigned status;
    const char *type;
    struct bytes body;
};

void http_answer(struct http_session *session, const struct http_answer *answer);

/* --- Health pages -----------------------------------------------------------------------------*/

/* Whether the path is one of /health, /livez, /readyz and their parts. */
bool http_health_is(struct bytes path);
/* Must the answer wait for a linearizable read? */
bool http_health_needs_read(struct http_front *front, const struct http_request *request);
/* `read` is how the linearizable read went, if there was one. */
void http_health_answer(struct http_session *session, const struct http_request *request,
                        enum status read);

/* --- Metrics ----------------------------------------------------------------------------------*/

/* Appends all metrics in Prometheus' text form. */
void http_metrics_write(struct http_front *front, struct buffer *out);

#endif
