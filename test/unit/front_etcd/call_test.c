/* Calls through the whole front: transport, texts and codes, limits, cancelling, stopping. */
#include "front_etcd/support_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define PUT "/etcdserverpb.KV/Put"
#define RANGE "/etcdserverpb.KV/Range"
#define TXN "/etcdserverpb.KV/Txn"

static Etcdserverpb__PutRequest put_of(const char *key, const char *value)
{
    Etcdserverpb__PutRequest put = ETCDSERVERPB__PUT_REQUEST__INIT;
    put.key = rig_data(key);
    put.value = rig_data(value);
    return put;
}

static Etcdserverpb__RangeRequest range_of(const char *key)
{
    Etcdserverpb__RangeRequest range = ETCDSERVERPB__RANGE_REQUEST__INIT;
    range.key = rig_data(key);
    return range;
}

static struct exchange *call_put(struct rig *rig, const char *key, const char *value)
{
    Etcdserverpb__PutRequest put = put_of(key, value);
    return rig_call(rig, PUT, &put.base);
}

static struct exchange *call_range(struct rig *rig, const char *key)
{
    Etcdserverpb__RangeRequest range = range_of(key);
    return rig_call(rig, RANGE, &range.base);
}

static void assert_value(struct exchange *exchange, const char *value)
{
    Etcdserverpb__RangeResponse *reply =
        rig_reply(exchange, &etcdserverpb__range_response__descriptor);
    assert_int_equal(reply->n_kvs, 1);
    rig_assert_data(reply->kvs[0]->value, value);
    assert_int_equal(reply->header->member_id, 0xa1);
    assert_int_equal(reply->header->raft_term, 7);
    etcdserverpb__range_response__free_unpacked(reply, NULL);
}

static void what_was_put_is_read(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    Etcdserverpb__PutResponse *put =
        rig_reply(call_put(rig, "key", "value"), &etcdserverpb__put_response__descriptor);
    assert_int_equal(put->header->revision, 2);
    etcdserverpb__put_response__free_unpacked(put, NULL);
    assert_value(call_range(rig, "key"), "value");
    rig_close(rig);
}

static void a_connection_may_arrive_in_pieces_of_any_size(void **state)
{
    (void)state;
    for (size_t chunk = 1; chunk < 40; chunk++) {
        struct rig *rig = rig_open();
        rig->chunk = chunk;
        (void)call_put(rig, "key", "value in pieces");
        assert_value(call_range(rig, "key"), "value in pieces");
        rig_close(rig);
    }
}

static void a_large_value_crosses_both_ways(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    size_t size = 1500000;
    char *value = malloc(size + 1);
    memset(value, 'v', size);
    value[size] = '\0';
    (void)call_put(rig, "large", value);
    assert_value(call_range(rig, "large"), value);
    free(value);
    rig_close(rig);
}

static void what_is_not_offered_is_refused_by_name(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    Etcdserverpb__PutRequest put = put_of("a", "b");
    rig_assert_failed(rig_call(rig, "/etcdserverpb.Auth/AuthEnable", &put.base), 12,
                      "unknown service etcdserverpb.Auth");
    rig_assert_failed(rig_call(rig, "/etcdserverpb.Cluster/MemberAdd", &put.base), 12,
                      "unknown method MemberAdd for service etcdserverpb.Cluster");
    rig_assert_failed(rig_call(rig, "/nothing", &put.base), 12,
                      "malformed method name: \"/nothing\"");
    rig_close(rig);
}

static void what_is_not_grpc_gets_an_http_status(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *exchange = rig_begin(rig, PUT, "content-type", "text/plain");
    rig_end(exchange);
    rig_turn(rig);
    assert_true(exchange->closed);
    assert_int_equal(exchange->http_status, 415);
    rig_close(rig);
}

static void a_malformed_message_is_an_internal_error(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static const uint8_t bytes[] = {0, 0, 0, 0, 3, 0x0a, 0x7f, 'x'};
    struct exchange *exchange = rig_begin(rig, PUT, NULL, NULL);
    rig_send_raw(exchange, bytes_of(bytes, sizeof bytes));
    rig_turn(rig);
    rig_assert_failed(exchange, 13, "grpc: error unmarshalling request: the message is malformed");
    rig_close(rig);
}

static void a_request_without_a_message_fails(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *exchange = rig_begin(rig, PUT, NULL, NULL);
    rig_end(exchange);
    rig_turn(rig);
    rig_assert_failed(exchange, 13, "the request ended before its message");
    rig_close(rig);
}

static void compressed_requests_are_not_understood(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static const uint8_t bytes[] = {1, 0, 0, 0, 1, 'x'};
    struct exchange *exchange = rig_begin(rig, PUT, "grpc-encoding", "gzip");
    rig_send_raw(exchange, bytes_of(bytes, sizeof bytes));
    rig_turn(rig);
    rig_assert_failed(exchange, 12,
                      "grpc: Decompressor is not installed for grpc-encoding \"gzip\"");
    rig_close(rig);
}

static void the_two_limits_of_size_have_two_codes(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    char *value = calloc(1, 2097153);
    memset(value, 'x', 1572864);
    rig_assert_failed(call_put(rig, "k", value), 3, "etcdserver: request is too large");
    memset(value, 'x', 2097152);
    rig_assert_failed(call_put(rig, "k", value), 8,
                      "grpc: received message larger than max (2097160 vs. 2097152)");
    free(value);
    rig_close(rig);
}

static void requests_are_checked_before_they_are_submitted(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig_assert_failed(call_put(rig, "", "v"), 3, "etcdserver: key is not provided");
    rig_assert_failed(call_range(rig, ""), 3, "etcdserver: key is not provided");
    Etcdserverpb__RangeRequest range = range_of("a");
    range.sort_order = (Etcdserverpb__RangeRequest__SortOrder)9;
    rig_assert_failed(rig_call(rig, RANGE, &range.base), 3, "etcdserver: invalid sort option");
    range = range_of("a");
    range.revision = 100;
    rig_assert_failed(rig_call(rig, RANGE, &range.base), 11,
                      "etcdserver: mvcc: required revision is a future revision");
    assert_int_equal(rig->replica->submitted, 1); /* the last one only */
    rig_close(rig);
}

static void every_way_a_replica_fails_has_its_code(void **state)
{
    (void)state;
    static const struct {
        enum status status;
        int code;
        const char *text;
    } cases[] = {
        {STATUS_TIMEOUT, 14, "etcdserver: request timed out"},
        {STATUS_NO_LEADER, 14, "etcdserver: request timed out"},
        {STATUS_BUSY, 8, "etcdserver: too many requests"},
        {STATUS_STOPPED, 14, "etcdserver: server stopped"},
        {STATUS_NO_SPACE, 8, "etcdserver: mvcc: database space exceeded"},
        {STATUS_CORRUPT, 15, "etcdserver: corrupt cluster"},
        {STATUS_TOO_LARGE, 3, "etcdserver: request is too large"},
    };
    struct rig *rig = rig_open();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rig->replica->fail = cases[i].status;
        rig_assert_failed(call_put(rig, "k", "v"), cases[i].code, cases[i].text);
        rig_assert_failed(call_range(rig, "k"), cases[i].code, cases[i].text);
    }
    rig_close(rig);
}

static void serializable_reads_do_not_ask_the_replica(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    (void)call_put(rig, "k", "v");
    rig->replica->fail = STATUS_TIMEOUT;
    Etcdserverpb__RangeRequest range = range_of("k");
    range.serializable = true;
    assert_value(rig_call(rig, RANGE, &range.base), "v");
    rig_close(rig);
}

static void a_read_by_a_lease_that_ran_out_is_made_again(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fake_replica_put(rig->replica, "k", "v");
    rig->replica->leases_lapsed = 2;
    assert_value(call_range(rig, "k"), "v");
    assert_int_equal(rig->replica->reads_checked, 3);
    assert_int_equal(rig_stats(rig).calls, 0);
    rig_close(rig);
}

static void a_diverged_member_serves_nothing(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->diverged = true;
    rig_assert_failed(call_put(rig, "k", "v"), 15, "etcdserver: corrupt cluster");
    rig_assert_failed(call_range(rig, "k"), 15, "etcdserver: corrupt cluster");
    rig_close(rig);
}

static void a_call_ends_at_its_deadline_and_lets_go_of_its_request(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->hold = true;
    Etcdserverpb__PutRequest put = put_of("k", "v");
    struct exchange *exchange = rig_begin(rig, PUT, "grpc-timeout", "20m");
    rig_send(exchange, &put.base);
    rig_end(exchange);
    rig_wait(rig, exchange);
    rig_assert_failed(exchange, 4, "context deadline exceeded");
    fake_replica_release(rig->replica); /* must not reach the call any more */
    rig_turn(rig);
    rig_close(rig);
}

static void a_call_that_the_client_resets_is_forgotten(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->hold = true;
    Etcdserverpb__PutRequest put = put_of("k", "v");
    struct exchange *exchange = rig_begin(rig, PUT, NULL, NULL);
    rig_send(exchange, &put.base);
    rig_turn(rig);
    rig_reset(exchange);
    rig_turn(rig);
    assert_int_equal(rig_stats(rig).calls, 0);
    fake_replica_release(rig->replica);
    rig_turn(rig);
    rig_close(rig);
}

static void a_closed_connection_takes_its_calls_with_it(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->hold = true;
    for (int i = 0; i < 10; i++)
        (void)call_put(rig, "k", "v");
    rig_reconnect(rig);
    assert_int_equal(rig_stats(rig).calls, 0);
    fake_replica_release(rig->replica);
    rig_close(rig);
}

static void answers_come_in_any_order(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->hold = true;
    struct exchange *slow = call_put(rig, "k", "v");
    Etcdserverpb__RangeRequest range = range_of("k");
    range.serializable = true;
    struct exchange *fast = rig_call(rig, RANGE, &range.base);
    assert_true(fast->closed);
    assert_false(slow->closed);
    fake_replica_release(rig->replica);
    rig_turn(rig);
    assert_int_equal(slow->grpc_status, 0);
    rig_close(rig);
}

static void a_full_store_raises_the_alarm_once_and_goes_on_reading(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static const char exceeded[] = "etcdserver: mvcc: database space exceeded";
    (void)call_put(rig, "k", "v");
    rig->replica->quota = 1;
    rig_turn(rig);
    rig_assert_failed(call_put(rig, "k", "w"), 8, exceeded);
    uint32_t count;
    const struct alarm *alarms = machine_alarms(rig->replica->machine, &count);
    assert_int_equal(count, 1);
    assert_int_equal(alarms[0].kind, ALARM_NO_SPACE);
    rig->replica->quota = 0; /* the alarm stays until somebody lowers it */
    rig_turn(rig);
    rig_assert_failed(call_put(rig, "k", "w"), 8, exceeded);
    assert_value(call_range(rig, "k"), "v");
    Etcdserverpb__DeleteRangeRequest delete = ETCDSERVERPB__DELETE_RANGE_REQUEST__INIT;
    delete.key = rig_data("k");
    Etcdserverpb__DeleteRangeResponse *deleted =
        rig_reply(rig_call(rig, "/etcdserverpb.KV/DeleteRange", &delete.base),
                  &etcdserverpb__delete_range_response__descriptor);
    assert_int_equal(deleted->deleted, 1);
    etcdserverpb__delete_range_response__free_unpacked(deleted, NULL);
    rig_close(rig);
}

static void a_nested_transaction_answers_like_its_operations(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    Etcdserverpb__PutRequest put = put_of("a", "1");
    Etcdserverpb__RangeRequest range = range_of("a");
    Etcdserverpb__RequestOp op_put = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp op_range = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp op_txn = ETCDSERVERPB__REQUEST_OP__INIT;
    Etcdserverpb__RequestOp *inner_ops[] = {&op_put};
    Etcdserverpb__RequestOp *ops[] = {&op_txn, &op_range};
    Etcdserverpb__TxnRequest inner = ETCDSERVERPB__TXN_REQUEST__INIT;
    Etcdserverpb__TxnRequest txn = ETCDSERVERPB__TXN_REQUEST__INIT;
    op_put.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_PUT;
    op_put.request_put = &put;
    op_range.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_RANGE;
    op_range.request_range = &range;
    op_txn.request_case = ETCDSERVERPB__REQUEST_OP__REQUEST_REQUEST_TXN;
    op_txn.request_txn = &inner;
    inner.success = inner_ops;
    inner.n_success = 1;
    txn.success = ops;
    txn.n_success = 2;
    Etcdserverpb__TxnResponse *reply =
        rig_reply(rig_call(rig, TXN, &txn.base), &etcdserverpb__txn_response__descriptor);
    assert_true(reply->succeeded);
    assert_int_equal(reply->header->revision, 2);
    assert_int_equal(reply->n_responses, 2);
    assert_non_null(reply->responses[0]->response_txn->header);
    assert_int_equal(reply->responses[0]->response_txn->header->revision, 0);
    Etcdserverpb__ResponseOp *inner_reply = reply->responses[0]->response_txn->responses[0];
    assert_int_equal(inner_reply->response_put->header->revision, 2);
    assert_int_equal(inner_reply->response_put->header->member_id, 0);
    assert_int_equal(reply->responses[1]->response_range->n_kvs, 1);
    etcdserverpb__txn_response__free_unpacked(reply, NULL);
    rig_close(rig);
}

static void a_client_that_resets_and_resets_is_sent_away(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    /* Many at once, for what is allowed grows with the time that passes. */
    for (int i = 0; i < 3000 && rig->socket != NULL; i += RIG_CALLS_MAX) {
        rig->exchanges_count = 0;
        while (rig->exchanges_count < RIG_CALLS_MAX)
            (void)rig_begin(rig, PUT, NULL, NULL);
        rig_turn(rig);
        for (uint32_t at = 0; at < RIG_CALLS_MAX; at++)
            rig_reset(&rig->exchanges[at]);
        rig_turn(rig);
    }
    assert_true(rig->went_away);
    assert_int_equal(rig->went_away_code, NGHTTP2_ENHANCE_YOUR_CALM);
    assert_int_equal(rig_stats(rig).connections_abused, 1);
    rig_close(rig);
}

static void requests_that_never_end_are_held_up_to_a_limit(void **state)
{
    (void)state;
    struct rig *rig = rig_open_with((struct etcd_front_config){.input_bytes_max = 100000});
    static uint8_t piece[40000] = {0, 0, 1, 0, 0};
    struct exchange *exchanges[4];
    for (int i = 0; i < 4; i++) {
        exchanges[i] = rig_begin(rig, PUT, NULL, NULL);
        rig_send_raw(exchanges[i], bytes_of(piece, sizeof piece));
        rig_turn(rig);
    }
    assert_false(exchanges[0]->closed);
    rig_assert_failed(exchanges[2], 8, "etcdserver: too many requests");
    assert_true(rig_stats(rig).input_bytes <= 100000);
    rig_close(rig);
}

static void a_stopping_front_answers_what_it_has_and_takes_nothing_new(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->hold = true;
    struct exchange *before = call_put(rig, "k", "v");
    struct exchange *stream = rig_begin(rig, "/etcdserverpb.Lease/LeaseKeepAlive", NULL, NULL);
    rig_turn(rig);
    etcd_front_stop(rig->front);
    rig_turn(rig);
    assert_true(rig->went_away);
    assert_int_equal(rig->went_away_code, NGHTTP2_NO_ERROR);
    rig_assert_failed(stream, 14, "etcdserver: server stopped");
    assert_false(before->closed);
    fake_replica_release(rig->replica);
    rig_turn(rig);
    assert_int_equal(before->grpc_status, 0);
    assert_null(rig->socket); /* nothing was left to do on it */
    rig_close(rig);
}

static void a_call_that_requires_a_leader_fails_without_one(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->leaderless = true;
    struct exchange *exchange = rig_begin(rig, "/etcdserverpb.Watch/Watch", "hasleader", "true");
    rig_turn(rig);
    rig_assert_failed(exchange, 14, "etcdserver: no leader");
    rig_close(rig);
}

static void a_stream_that_requires_a_leader_ends_when_it_is_gone(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *exchange = rig_begin(rig, "/etcdserverpb.Watch/Watch", "hasleader", "true");
    rig_turn(rig);
    assert_false(exchange->closed);
    rig->replica->leaderless = true;
    rig_wait(rig, exchange);
    rig_assert_failed(exchange, 14, "etcdserver: no leader");
    rig_close(rig);
}

/* What a fresh connection answers to a text that arrives in pieces. */
static struct buffer raw_answer(struct rig *rig, const char *text, size_t piece)
{
    struct buffer answer;
    struct front_socket *socket = front_socket_detached(&rig->front->core);
    buffer_init(&answer, fake_mem(), SIZE_MAX / 2);
    for (size_t at = 0; at < strlen(text); at += piece) {
        size_t left = strlen(text) - at;
        front_socket_receive(socket, bytes_of(text + at, left < piece ? left : piece));
    }
    uint32_t before = front_connections(rig->front);
    front_turn(rig->front);
    if (front_connections(rig->front) < before)
        return answer; /* closed, and its output with it */
    front_socket_take(socket, &answer);
    front_socket_close(socket);
    return answer;
}

static void pages_and_calls_share_a_port(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static const char get[] = "GET /version HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char odd[] = "PRINT / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char put[] = "PR / HTTP/1.1\r\nHost: a\r\n\r\n";
    for (size_t piece = 1; piece < 8; piece++) {
        struct buffer answer = raw_answer(rig, get, piece);
        assert_memory_equal(answer.data, "HTTP/1.1 200 OK", 15);
        buffer_release(&answer);
        answer = raw_answer(rig, put, piece); /* as far as "PR" it could have been HTTP/2 */
        assert_memory_equal(answer.data, "HTTP/1.1 405 ", 13);
        buffer_release(&answer);
    }
    struct buffer answer = raw_answer(rig, odd, 100); /* HTTP/2, but a bad preface */
    assert_int_equal(answer.data[3], NGHTTP2_SETTINGS);
    buffer_release(&answer);
    (void)call_put(rig, "k", "v");
    assert_value(call_range(rig, "k"), "v");
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_read),
        cmocka_unit_test(pages_and_calls_share_a_port),
        cmocka_unit_test(a_connection_may_arrive_in_pieces_of_any_size),
        cmocka_unit_test(a_large_value_crosses_both_ways),
        cmocka_unit_test(what_is_not_offered_is_refused_by_name),
        cmocka_unit_test(what_is_not_grpc_gets_an_http_status),
        cmocka_unit_test(a_malformed_message_is_an_internal_error),
        cmocka_unit_test(a_request_without_a_message_fails),
        cmocka_unit_test(compressed_requests_are_not_understood),
        cmocka_unit_test(the_two_limits_of_size_have_two_codes),
        cmocka_unit_test(requests_are_checked_before_they_are_submitted),
        cmocka_unit_test(every_way_a_replica_fails_has_its_code),
        cmocka_unit_test(serializable_reads_do_not_ask_the_replica),
        cmocka_unit_test(a_read_by_a_lease_that_ran_out_is_made_again),
        cmocka_unit_test(a_diverged_member_serves_nothing),
        cmocka_unit_test(a_call_ends_at_its_deadline_and_lets_go_of_its_request),
        cmocka_unit_test(a_call_that_the_client_resets_is_forgotten),
        cmocka_unit_test(a_closed_connection_takes_its_calls_with_it),
        cmocka_unit_test(answers_come_in_any_order),
        cmocka_unit_test(a_full_store_raises_the_alarm_once_and_goes_on_reading),
        cmocka_unit_test(a_nested_transaction_answers_like_its_operations),
        cmocka_unit_test(a_client_that_resets_and_resets_is_sent_away),
        cmocka_unit_test(requests_that_never_end_are_held_up_to_a_limit),
        cmocka_unit_test(a_stopping_front_answers_what_it_has_and_takes_nothing_new),
        cmocka_unit_test(a_call_that_requires_a_leader_fails_without_one),
        cmocka_unit_test(a_stream_that_requires_a_leader_ends_when_it_is_gone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
