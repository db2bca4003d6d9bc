/* Requests become the commands they mean, whatever they contain; deep ones are noticed first. */
#include "front/etcd/convert.h"
#include "front_etcd/support_replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPS_MAX 128

static ProtobufCBinaryData data_of(struct arena *arena, uint64_t number)
{
    uint8_t *bytes = arena_alloc(arena, 8);
    size_t size = 1 + number % 8;
    memcpy(bytes, &number, sizeof number);
    return (ProtobufCBinaryData){size, bytes};
}

static uint64_t any(uint64_t *seed)
{
    *seed = *seed * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return *seed >> 33;
}

static Etcdserverpb__TxnRequest *any_txn(struct arena *arena, uint64_t *seed, unsigned depth);

static Etcdserverpb__RequestOp *any_operation(struct arena *arena, uint64_t *seed, unsigned depth)
{
    Etcdserverpb__RequestOp *op = arena_alloc(arena, sizeof *op);
    etcdserverpb__request_op__init(op);
    op->request_case = (Etcdserverpb__RequestOp__RequestCase)(1 + any(seed) % (depth > 1 ? 4 : 3));
    switch (op->request_case) {
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE:
        op->request_range = arena_alloc(arena, sizeof *op->request_range);
        etcdserverpb__range_request__init(op->request_range);
        op->request_range->key = data_of(arena, any(seed));
        op->request_range->limit = (int64_t)any(seed);
        op->request_range->keys_only = any(seed) % 2;
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT:
        op->request_put = arena_alloc(arena, sizeof *op->request_put);
        etcdserverpb__put_request__init(op->request_put);
        op->request_put->key = data_of(arena, any(seed));
        op->request_put->value = data_of(arena, any(seed));
        op->request_put->lease = (int64_t)any(seed);
        break;
    case ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_DELETE_RANGE:
        op->request_delete_range = arena_alloc(arena, sizeof *op->request_delete_range);
        etcdserverpb__delete_range_request__init(op->request_delete_range);
        op->request_delete_range->key = data_of(arena, any(seed));
        op->request_delete_range->range_end = data_of(arena, any(seed));
        break;
    default:
        op->request_txn = any_txn(arena, seed, depth - 1);
        break;
    }
    return op;
}

static Etcdserverpb__TxnRequest *any_txn(struct arena *arena, uint64_t *seed, unsigned depth)
{
    Etcdserverpb__TxnRequest *txn = arena_alloc(arena, sizeof *txn);
    etcdserverpb__txn_request__init(txn);
    txn->n_compare = any(seed) % 4;
    txn->compare = arena_alloc(arena, 4 * sizeof(void *));
    for (size_t i = 0; i < txn->n_compare; i++) {
        Etcdserverpb__Compare *compare = arena_alloc(arena, sizeof *compare);
        etcdserverpb__compare__init(compare);
        compare->key = data_of(arena, any(seed));
        compare->target = (Etcdserverpb__Compare__CompareTarget)(any(seed) % 3);
        compare->result = (Etcdserverpb__Compare__CompareResult)(any(seed) % 4);
        compare->target_union_case =
            (Etcdserverpb__Compare__TargetUnionCase)(4 + (unsigned)compare->target);
        compare->version = (int64_t)any(seed);
        txn->compare[i] = compare;
    }
    txn->n_success = any(seed) % 4;
    txn->success = arena_alloc(arena, 4 * sizeof(void *));
    for (size_t i = 0; i < txn->n_success; i++)
        txn->success[i] = any_operation(arena, seed, depth);
    txn->n_failure = any(seed) % 4;
    txn->failure = arena_alloc(arena, 4 * sizeof(void *));
    for (size_t i = 0; i < txn->n_failure; i++)
        txn->failure[i] = any_operation(arena, seed, depth);
    return txn;
}

/* The wire form of the message, unfolded again, converted, and encoded as a command. */
static struct buffer encoded_twice(struct arena *arena, const Etcdserverpb__TxnRequest *txn,
                                   bool over_the_wire)
{
    struct buffer encoded;
    struct command command;
    const Etcdserverpb__TxnRequest *seen = txn;
    if (over_the_wire) {
        size_t size = protobuf_c_message_get_packed_size(&txn->base);
        uint8_t *wire = arena_alloc(arena, size);
        protobuf_c_message_pack(&txn->base, wire);
        assert_int_equal(convert_txn_scan(bytes_of(wire, size), OPS_MAX), STATUS_OK);
        seen = message_unfold(arena, &etcdserverpb__txn_request__descriptor, bytes_of(wire, size));
        assert_non_null(seen);
    }
    buffer_init(&encoded, fake_mem(), SIZE_MAX / 2);
    convert_txn(seen, arena, &command);
    command_encode(&encoded, &command);
    return encoded;
}

static void transactions_mean_the_same_after_the_wire(void **state)
{
    (void)state;
    for (uint64_t first = 1; first <= 2000; first++) {
        uint64_t seed = first;
        struct arena arena;
        arena_init(&arena, fake_mem());
        Etcdserverpb__TxnRequest *txn = any_txn(&arena, &seed, 4);
        struct buffer here = encoded_twice(&arena, txn, false);
        struct buffer there = encoded_twice(&arena, txn, true);
        if (!bytes_equal(buffer_bytes(&here), buffer_bytes(&there)))
            fail_msg("seed %llu", (unsigned long long)first);
        buffer_release(&here);
        buffer_release(&there);
        arena_release(&arena);
    }
    assert_int_equal(fake_mem()->used, 0);
}

/* A transaction inside a transaction inside ..., as bytes. */
static size_t nest(uint8_t *at, size_t capacity, unsigned depth)
{
    size_t size = 0;
    for (unsigned i = 1; i < depth; i++) {
        struct writer lengths[2];
        uint8_t heads[2][16];
        lengths[0] = writer_of(heads[0], sizeof heads[0]);
        write_u8(&lengths[0], 4 << 3 | 2); /* RequestOp.request_txn */
        write_varint(&lengths[0], size);
        size_t inner = size + writer_size(&lengths[0]);
        lengths[1] = writer_of(heads[1], sizeof heads[1]);
        write_u8(&lengths[1], 2 << 3 | 2); /* TxnRequest.success */
        write_varint(&lengths[1], inner);
        size_t head = writer_size(&lengths[1]) + writer_size(&lengths[0]);
        assert_true(size + head <= capacity);
        memmove(at + head, at, size);
        memcpy(at, heads[1], writer_size(&lengths[1]));
        memcpy(at + writer_size(&lengths[1]), heads[0], writer_size(&lengths[0]));
        size += head;
    }
    return size;
}

static void nesting_is_measured_before_anything_unfolds_it(void **state)
{
    (void)state;
    uint8_t *wire = malloc(200000);
    for (unsigned depth = 1; depth < 20; depth++) {
        size_t size = nest(wire, 200000, depth);
        assert_int_equal(convert_txn_scan(bytes_of(wire, size), OPS_MAX),
                         depth <= COMMAND_TXN_DEPTH_MAX ? STATUS_OK : STATUS_TOO_LARGE);
    }
    size_t size = nest(wire, 200000, 10000);
    assert_int_equal(convert_txn_scan(bytes_of(wire, size), OPS_MAX), STATUS_TOO_LARGE);
    free(wire);
}

static void operations_are_counted_before_anything_unfolds_them(void **state)
{
    (void)state;
    uint8_t wire[2 * (OPS_MAX + 1)];
    for (size_t i = 0; i <= OPS_MAX; i++) {
        wire[2 * i] = 3 << 3 | 2;
        wire[2 * i + 1] = 0;
    }
    assert_int_equal(convert_txn_scan(bytes_of(wire, 2 * OPS_MAX), OPS_MAX), STATUS_OK);
    assert_int_equal(convert_txn_scan(bytes_of(wire, 2 * (OPS_MAX + 1)), OPS_MAX),
                     STATUS_TOO_LARGE);
}

static void a_message_that_unfolds_to_too_much_is_refused(void **state)
{
    (void)state;
    size_t size = 2000000;
    uint8_t *wire = malloc(size);
    for (size_t i = 0; i < size; i += 2) {
        wire[i] = 1 << 3 | 2; /* a comparison of nothing with nothing */
        wire[i + 1] = 0;
    }
    struct arena arena;
    arena_init(&arena, fake_mem());
    assert_null(
        message_unfold(&arena, &etcdserverpb__txn_request__descriptor, bytes_of(wire, size)));
    arena_release(&arena);
    free(wire);
    assert_int_equal(fake_mem()->used, 0);
}

static void a_comparison_without_its_value_compares_with_zero(void **state)
{
    (void)state;
    struct arena arena;
    struct command command;
    Etcdserverpb__Compare compare = ETCDSERVERPB__COMPARE__INIT;
    Etcdserverpb__Compare *compares[] = {&compare};
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    arena_init(&arena, fake_mem());
    txn.compare = compares;
    txn.n_compare = 1;
    compare.target = ETCDSERVERPB__COMPARE__COMPARE_TARGET__MOD;
    compare.target_union_case = ETCDSERVERPB__COMPARE__TARGET_UNION_VERSION;
    compare.version = 77;
    convert_txn(&txn, &arena, &command);
    assert_int_equal(command.txn.compares[0].number, 0);
    compare.result = (Etcdserverpb__Compare__CompareResult)17;
    convert_txn(&txn, &arena, &command);
    assert_int_equal(command.txn.compares[0].result, 17);
    arena_release(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(transactions_mean_the_same_after_the_wire),
        cmocka_unit_test(nesting_is_measured_before_anything_unfolds_it),
        cmocka_unit_test(operations_are_counted_before_anything_unfolds_them),
        cmocka_unit_test(a_message_that_unfolds_to_too_much_is_refused),
        cmocka_unit_test(a_comparison_without_its_value_compares_with_zero),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
