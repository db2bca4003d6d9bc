/* The HTTP front: the small pages that people, probes and Prometheus read (health, version,
 * metrics), over HTTP/1.1. It owns no socket: whoever does feeds it bytes and takes its output.
 *
 * The one invariant: requests of one session are answered one after the other, in order. */
#ifndef SYNOD_FRONT_HTTP_HTTP_H
#define SYNOD_FRONT_HTTP_HTTP_H

#include "base/buffer.h"
#include "replica/request.h"

struct http_front;
struct http_session;

struct http_front_config {
    struct replica *replica;
    struct mem *mem;
    const char *api_version; /* of etcd's API, for /version */
    /* Appends the metrics of the front that is asked on the same port. May be NULL. */
    void *metrics_owner;
    void (*metrics)(void *owner, struct buffer *out);
};

struct http_front *http_front_new(const struct http_front_config *config);
/* After its sessions. NULL is allowed. */
void http_front_free(struct http_front *front);

/* `on_output` is called when an answer is ready that had to wait. */
struct http_session *http_session_new(struct http_front *front, void *owner,
                                      void (*on_output)(void *owner));
void http_session_free(struct http_session *session);
/* Bytes came in. False: nothing more will be understood; close when the output is written. */
bool http_session_receive(struct http_session *session, struct bytes bytes);
/* What is to be sent; the caller empties it. */
struct buffer *http_session_output(struct http_session *session);
/* Between two requests? */
bool http_session_idle(const struct http_session *session);
/* Is an answer still to come? */
bool http_session_waiting(const struct http_session *session);
/* Was the last answer the last one, as the client or we said? */
bool http_session_ended(const struct http_session *session);

#endif
