/* The KV service but for Range (range.c). Writes become commands; transactions that only read are
 * done here, over the local state, once the replica says that it is fresh enough. */
#include "front/etcd/call.h"
#include "front/etcd/convert.h"
#include "front/etcd/handlers.h"

#include <string.h>

/* --- Put, DeleteRange, Compact ----------------------------------------------------------------*/

/* The call of a write that was carried out; NULL if it was not, and the call has failed. */
static struct call *call_written(struct request *request, enum status status,
                                 const struct result *result)
{
    struct call *call = call_done(request, status);
    if (call == NULL || result->refusal == REFUSAL_NONE)
        return call;
    call_refuse(call, result->refusal);
    return NULL;
}

static void on_put(struct request *request, enum status status, const struct result *result)
{
    struct call *call = call_written(request, status, result);
    if (call == NULL)
        return;
    struct etcd_front *front = call_front(call);
    Etcdserverpb__PutResponse reply;
    arena_reset(&front->reply);
    convert_put_result(result, &front->reply, &reply);
    Etcdserverpb__ResponseHeader header = message_header(front, result->revision);
    reply.header = &header;
    call_reply(call, &reply.base);
}

void call_put(struct call *call, struct bytes message)
{
    const Etcdserverpb__PutRequest *request =
        call_decode(call, &etcdserverpb__put_request__descriptor, message);
    if (request == NULL)
        return;
    struct command command = convert_put(request);
    call_submit(call, &command, on_put);
}

static void on_delete(struct request *request, enum status status, const struct result *result)
{
    struct call *call = call_written(request, status, result);
    if (call == NULL)
        return;
    struct etcd_front *front = call_front(call);
    Etcdserverpb__DeleteRangeResponse reply;
    arena_reset(&front->reply);
    convert_delete_result(result, &front->reply, &reply);
    Etcdserverpb__ResponseHeader header = message_header(front, result->revision);
    reply.header = &header;
    call_reply(call, &reply.base);
    arena_reset(&front->reply);
}

void call_delete_range(struct call *call, struct bytes message)
{
    const Etcdserverpb__DeleteRangeRequest *request =
        call_decode(call, &etcdserverpb__delete_range_request__descriptor, message);
    if (request == NULL)
        return;
    struct command command = convert_delete(request);
    call_submit(call, &command, on_delete);
}

static void on_compacted(struct request *request, enum status status, const struct result *result)
{
    struct call *call = call_written(request, status, result);
    if (call == NULL)
        return;
    Etcdserverpb__CompactionResponse reply = ETCDSERVERPB__COMPACTION_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(call_front(call));
    reply.header = &header;
    call_reply(call, &reply.base);
}

/* `physical` asks to wait until the old versions are gone. Here they are gone for every reader when
 * the command is applied; only their memory comes back in slices. */
void call_compact(struct call *call, struct bytes message)
{
    const Etcdserverpb__CompactionRequest *request =
        call_decode(call, &etcdserverpb__compaction_request__descriptor, message);
    if (request == NULL)
        return;
    struct command command = {.kind = COMMAND_COMPACT, .compact = {.revision = request->revision}};
    call_submit(call, &command, on_compacted);
}

/* --- Txn --------------------------------------------------------------------------------------*/

static void txn_reply(struct call *call, const struct result *result)
{
    struct etcd_front *front = call_front(call);
    Etcdserverpb__TxnResponse reply;
    convert_txn_result(result, &front->reply, &reply);
    Etcdserverpb__ResponseHeader header = message_header(front, result->revision);
    reply.header = &header;
    call_reply(call, &reply.base);
    arena_reset(&front->reply);
}

static void on_txn(struct request *request, enum status status, const struct result *result)
{
    struct call *call = call_written(request, status, result);
    if (call == NULL)
        return;
    arena_reset(&call_front(call)->reply);
    txn_reply(call, result);
}

/* A transaction that only reads is done over the local state, as a range is. */
static void txn_read(struct call *call, const struct txn *txn, bool fresh)
{
    struct etcd_front *front = call_front(call);
    struct result result;
    arena_reset(&front->reply);
    machine_txn_read(replica_machine(front->replica), txn, &front->reply, &result);
    if (fresh && !call_read_holds(call))
        return;
    if (result.refusal != REFUSAL_NONE)
        call_refuse(call, result.refusal);
    else
        txn_reply(call, &result);
}

/* The message that is decoded again when the state is fresh: reading transactions are rare. */
struct txn_wait {
    size_t size;
    uint8_t message[];
};

static bool txn_decode(struct call *call, struct bytes message, struct command *ret_command)
{
    const struct etcd_front *front = call_front(call);
    if (convert_txn_scan(message, front->config.txn_ops_max) != STATUS_OK) {
        call_refuse(call, REFUSAL_TOO_MANY_OPS);
        return false;
    }
    const Etcdserverpb__TxnRequest *request =
        call_decode(call, &etcdserverpb__txn_request__descriptor, message);
    if (request == NULL)
        return false;
    convert_txn(request, &call_front(call)->arena, ret_command);
    return true;
}

static void on_txn_read(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call == NULL)
        return;
    struct etcd_front *front = call_front(call);
    const struct txn_wait *wait = call->state;
    struct command command;
    front->arena_users++;
    if (txn_decode(call, bytes_of(wait->message, wait->size), &command))
        txn_read(call, &command.txn, true);
    if (--front->arena_users == 0)
        arena_reset(&front->arena);
}

static void txn_wait(struct call *call, struct bytes message)
{
    struct txn_wait *wait = call_state(call, sizeof *wait + message.size);
    wait->size = message.size;
    if (message.size > 0)
        memcpy(wait->message, message.data, message.size);
    call_read(call, on_txn_read);
}

void call_txn(struct call *call, struct bytes message)
{
    struct command command;
    if (!txn_decode(call, message, &command))
        return;
    if (!command_txn_read_only(&command.txn)) {
        call_submit(call, &command, on_txn);
        return;
    }
    enum refusal refusal = command_check(&command, call_front(call)->config.txn_ops_max);
    if (refusal == REFUSAL_NONE)
        refusal = call_standing(call);
    if (refusal != REFUSAL_NONE)
        call_refuse(call, refusal);
    else if (command_txn_serializable(&command.txn))
        txn_read(call, &command.txn, false);
    else
        txn_wait(call, message);
}
