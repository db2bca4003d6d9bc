/* Requests into commands, results into answers. Transactions nest, in both directions; their depth
 * is checked on the encoded bytes, before anything recursive looks at them. */
#include "front/etcd/convert.h"

/* --- Requests ---------------------------------------------------------------------------------*/

static struct key_range convert_key_range(ProtobufCBinaryData key, ProtobufCBinaryData end)
{
    return (struct key_range){message_bytes(key), message_bytes(end)};
}

struct range_query convert_range(const Etcdserverpb__RangeRequest *request)
{
    return (struct range_query){
        .range = convert_key_range(request->key, request->range_end),
        .revision = request->revision,
        .limit = request->limit,
        .order = (enum sort_order)request->sort_order,
        .target = (enum sort_target)request->sort_target,
        .keys_only = request->keys_only,
        .count_only = request->count_only,
        .serializable = request->serializable,
        .min_mod_revision = request->min_mod_revision,
        .max_mod_revision = request->max_mod_revision,
        .min_create_revision = request->min_create_revision,
        .max_create_revision = request->max_create_revision,
    };
}

struct command convert_put(const Etcdserverpb__PutRequest *request)
{
    return (struct command){.kind = COMMAND_PUT,
                            .put = {.key = message_bytes(request->key),
                                    .value = message_bytes(request->value),
                                    .lease = request->lease,
                                    .ignore_value = request->ignore_value,
                                    .ignore_lease = request->ignore_lease,
                                    .want_previous = request->prev_kv}};
}

struct command convert_delete(const Etcdserverpb__DeleteRangeRequest *request)
{
    return (struct command){.kind = COMMAND_DELETE,
                            .delete = {.range = convert_key_range(request->key, request->range_end),
                                       .want_previous = request->prev_kv}};
}

/* A comparison that names a target but carries the value of another compares with zero. Targets and
 * operators that are not known are passed on: what they mean is the transaction's business. */
static void convert_compare(const Etcdserverpb__Compare *request, struct compare *ret)
{
    int64_t value = 0;
    struct bytes bytes = BYTES_EMPTY;
    switch (request->target) {
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION:
        if (request->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION)
            value = request->version;
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__CREATE:
        if (request->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_CREATE_REVISION)
            value = request->create_revision;
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD:
        if (request->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_MOD_REVISION)
            value = request->mod_revision;
        break;
    case ETCDSERVERPB__COMPARE__COMPARE_TARGET__LEASE:
        if (request->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_LEASE)
            value = request->lease;
        break;
    default:
        if (request->target_union_case == ETCDSERVERPB__COMPARE__TARGET_UNION_VALUE)
            bytes = message_bytes(request->value);
        break;
    }
    *ret = (struct compare){.range = convert_key_range(request->key, request->range_end),
                            .result = (enum compare_result)request->result,
                            .target = (enum compare_target)request->target,
                            .number = value,
                            .value = bytes};
}

static void convert_operation(const Etcdserverpb__RequestOp *request, struct arena *arena,
                              struct command *ret)
{
    *ret = (struct command){.kind = 0};
    switch (request->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        ret->kind = COMMAND_RANGE;
        ret->range = convert_range(request->request_range);
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        *ret = convert_put(request->request_put);
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        *ret = convert_delete(request->request_delete_range);
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN:
        convert_txn(request->request_txn, arena, ret);
        break;
    default:
        break;
    }
}

static const struct command *convert_operations(Etcdserverpb__RequestOp **requests, size_t count,
                                                struct arena *arena)
{
    struct command *commands = arena_alloc(arena, count * sizeof *commands);
    for (size_t i = 0; i < count; i++)
        convert_operation(requests[i], arena, &commands[i]);
    return commands;
}

void convert_txn(const Etcdserverpb__TxnRequest *request, struct arena *arena,
                 struct command *ret_command)
{
    struct compare *compares = arena_alloc(arena, request->n_compare * sizeof *compares);
    for (size_t i = 0; i < request->n_compare; i++)
        convert_compare(request->compare[i], &compares[i]);
    struct txn txn = {.compares = compares,
                      .compares_count = (uint32_t)request->n_compare,
                      .success_count = (uint32_t)request->n_success,
                      .failure_count = (uint32_t)request->n_failure};
    txn.success = convert_operations(request->success, request->n_success, arena);
    txn.failure = convert_operations(request->failure, request->n_failure, arena);
    *ret_command = (struct command){.kind = COMMAND_TXN, .txn = txn};
}

/* --- Looking before unfolding -----------------------------------------------------------------*/

#define WIRE_VARINT 0
#define WIRE_FIXED64 1
#define WIRE_BYTES 2
#define WIRE_FIXED32 5
#define TXN_FIELDS 4 /* 1 compare, 2 success, 3 failure */
#define OPERATION_TXN 4

/* One field: its number, and its content if it has a length. False at the end or for nonsense. */
static bool field_next(struct reader *r, uint64_t *ret_number, bool *ret_sized,
                       struct bytes *ret_content)
{
    if (reader_left(r) == 0)
        return false;
    uint64_t tag = read_varint(r);
    *ret_number = tag >> 3;
    *ret_sized = (tag & 7) == WIRE_BYTES;
    *ret_content = BYTES_EMPTY;
    switch (tag & 7) {
    case WIRE_VARINT:
        (void)read_varint(r);
        break;
    case WIRE_FIXED64:
        (void)read_bytes(r, 8);
        break;
    case WIRE_BYTES:
        *ret_content = read_sized(r);
        break;
    case WIRE_FIXED32:
        (void)read_bytes(r, 4);
        break;
    default:
        return false;
    }
    return !r->failed;
}

static enum status scan_txn(struct bytes message, uint32_t ops_max, unsigned depth);

static enum status scan_operation(struct bytes message, uint32_t ops_max, unsigned depth)
{
    struct reader r = reader_of(message);
    uint64_t number;
    bool sized;
    struct bytes content;
    enum status status = STATUS_OK;
    while (status == STATUS_OK && field_next(&r, &number, &sized, &content)) {
        if (sized && number == OPERATION_TXN)
            status = scan_txn(content, ops_max, depth + 1);
    }
    return status;
}

static enum status scan_txn(struct bytes message, uint32_t ops_max, unsigned depth)
{
    struct reader r = reader_of(message);
    uint32_t counts[TXN_FIELDS] = {0};
    uint64_t number;
    bool sized;
    struct bytes content;
    if (depth > COMMAND_TXN_DEPTH_MAX)
        return STATUS_TOO_LARGE;
    while (field_next(&r, &number, &sized, &content)) {
        if (!sized || number == 0 || number >= TXN_FIELDS)
            continue;
        if (++counts[number] > ops_max)
            return STATUS_TOO_LARGE;
        if (number == 1)
            continue;
        enum status status = scan_operation(content, ops_max, depth);
        if (status != STATUS_OK)
            return status;
    }
    return STATUS_OK;
}

enum status convert_txn_scan(struct bytes message, uint32_t ops_max)
{
    return scan_txn(message, ops_max, 1);
}

/* --- Results ----------------------------------------------------------------------------------*/

void convert_range_result(const struct range_result *result, struct arena *arena,
                          Etcdserverpb__RangeResponse *ret_reply)
{
    etcdserverpb__range_response__init(ret_reply);
    ret_reply->n_kvs = result->kvs_count;
    ret_reply->kvs = message_kvs(arena, result->kvs, result->kvs_count);
    ret_reply->more = result->more;
    ret_reply->count = result->count;
}

void convert_put_result(const struct result *result, struct arena *arena,
                        Etcdserverpb__PutResponse *ret_reply)
{
    etcdserverpb__put_response__init(ret_reply);
    if (!result->put.has_previous)
        return;
    ret_reply->prev_kv = arena_alloc(arena, sizeof *ret_reply->prev_kv);
    message_kv(ret_reply->prev_kv, &result->put.previous);
}

void convert_delete_result(const struct result *result, struct arena *arena,
                           Etcdserverpb__DeleteRangeResponse *ret_reply)
{
    etcdserverpb__delete_range_response__init(ret_reply);
    ret_reply->deleted = result->delete.deleted;
    if (result->delete.previous == NULL)
        return;
    ret_reply->n_prev_kvs = result->delete.previous_count;
    ret_reply->prev_kvs =
        message_kvs(arena, result->delete.previous, result->delete.previous_count);
}

/* Inside a transaction a header has the revision and nothing else; it is never absent. */
static Etcdserverpb__ResponseHeader *inner_header(struct arena *arena, int64_t revision)
{
    Etcdserverpb__ResponseHeader *header = arena_alloc(arena, sizeof *header);
    etcdserverpb__response_header__init(header);
    header->revision = revision;
    return header;
}

static void convert_operation_range(const struct result *result, struct arena *arena,
                                    Etcdserverpb__ResponseOp *op)
{
    op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_RANGE;
    op->response_range = arena_alloc(arena, sizeof *op->response_range);
    convert_range_result(&result->range, arena, op->response_range);
    op->response_range->header = inner_header(arena, result->revision);
}

static void convert_operation_result(const struct result *result, struct arena *arena,
                                     Etcdserverpb__ResponseOp *op)
{
    etcdserverpb__response_op__init(op);
    switch (result->kind) {
    case COMMAND_RANGE:
        convert_operation_range(result, arena, op);
        break;
    case COMMAND_PUT:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_PUT;
        op->response_put = arena_alloc(arena, sizeof *op->response_put);
        convert_put_result(result, arena, op->response_put);
        op->response_put->header = inner_header(arena, result->revision);
        break;
    case COMMAND_DELETE:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_DELETE_RANGE;
        op->response_delete_range = arena_alloc(arena, sizeof *op->response_delete_range);
        convert_delete_result(result, arena, op->response_delete_range);
        op->response_delete_range->header = inner_header(arena, result->revision);
        break;
    default:
        op->response_case = ETCDSERVERPB__RESPONSE_OP__RESPONSE_RESPONSE_TXN;
        op->response_txn = arena_alloc(arena, sizeof *op->response_txn);
        convert_txn_result(result, arena, op->response_txn);
        op->response_txn->header = inner_header(arena, 0);
        break;
    }
}

void convert_txn_result(const struct result *result, struct arena *arena,
                        Etcdserverpb__TxnResponse *ret_reply)
{
    size_t count = result->txn.count;
    etcdserverpb__txn_response__init(ret_reply);
    ret_reply->succeeded = result->txn.succeeded;
    ret_reply->n_responses = count;
    ret_reply->responses = arena_alloc(arena, count * sizeof(void *));
    Etcdserverpb__ResponseOp *operations = arena_alloc(arena, count * sizeof *operations);
    for (size_t i = 0; i < count; i++) {
        convert_operation_result(&result->txn.operations[i], arena, &operations[i]);
        ret_reply->responses[i] = &operations[i];
    }
}
