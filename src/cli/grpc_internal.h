/* What the files of the gRPC client share; nobody else includes it.
 *
 * A connection knows its calls, a call its connection; the session between them is touched by both.
 */
#ifndef SYNOD_CLI_GRPC_INTERNAL_H
#define SYNOD_CLI_GRPC_INTERNAL_H

#include "cli/grpc_client.h"

#include <nghttp2/nghttp2.h>

#define GRPC_MESSAGE_MAX (64u << 20) /* of one message; more is an error of the server */
#define GRPC_PREFIX_SIZE 5           /* before each message: compressed flag, length */

/* --- grpc_connection.c ----------------------------------------------------------------------- */
void connection_tick(struct grpc_connection *connection, uint64_t now_ms);
/* Writes what the session has, as far as the socket takes it. */
void connection_flush(struct grpc_connection *connection);
/* Marks a connection as having something to write. */
void connection_touch(struct grpc_connection *connection);
void connection_fail(struct grpc_connection *connection, const char *why);

/* --- grpc_call.c ----------------------------------------------------------------------------- */
/* Ends an active call with its status: unlinks it, then tells its owner. */
void call_end(struct grpc_call *call);
/* The same with a status of our own making. */
void call_end_with(struct grpc_call *call, int code, const char *message);
/* Takes a call off its connection and lists; it may be begun again. */
void call_detach(struct grpc_call *call);
/* The server has ended its side of a stream. */
void call_on_last_frame(nghttp2_session *session, int32_t stream);
/* nghttp2's callbacks that concern one stream. */
void call_set_callbacks(nghttp2_session_callbacks *callbacks);

#endif
