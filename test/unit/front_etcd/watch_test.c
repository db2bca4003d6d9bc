/* Watches through the whole front: order, history, filters, cancelling, promises of progress. */
#include "front/etcd/session.h"
#include "front_etcd/support_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define WATCH "/etcdserverpb.Watch/Watch"

typedef Etcdserverpb__WatchResponse response;

static struct exchange *watch_begin(struct rig *rig)
{
    return rig_begin(rig, WATCH, NULL, NULL);
}

static Etcdserverpb__WatchCreateRequest create_of(const char *key, int64_t revision)
{
    Etcdserverpb__WatchCreateRequest create = ETCDSERVERPB__WATCH_CREATE_REQUEST__INIT;
    create.key = rig_data(key);
    create.start_revision = revision;
    return create;
}

static void send_create(struct exchange *exchange, Etcdserverpb__WatchCreateRequest *create)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CREATE_REQUEST;
    request.create_request = create;
    rig_send(exchange, &request.base);
}

static void send_cancel(struct exchange *exchange, int64_t id)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchCancelRequest cancel = ETCDSERVERPB__WATCH_CANCEL_REQUEST__INIT;
    cancel.watch_id = id;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_CANCEL_REQUEST;
    request.cancel_request = &cancel;
    rig_send(exchange, &request.base);
}

static void send_progress(struct exchange *exchange)
{
    Etcdserverpb__WatchRequest request = ETCDSERVERPB__WATCH_REQUEST__INIT;
    Etcdserverpb__WatchProgressRequest progress = ETCDSERVERPB__WATCH_PROGRESS_REQUEST__INIT;
    request.request_union_case = ETCDSERVERPB__WATCH_REQUEST__REQUEST_UNION_PROGRESS_REQUEST;
    request.progress_request = &progress;
    rig_send(exchange, &request.base);
}

static response *next(struct exchange *exchange)
{
    return rig_next(exchange, &etcdserverpb__watch_response__descriptor);
}

static void free_response(response *message)
{
    etcdserverpb__watch_response__free_unpacked(message, NULL);
}

static void assert_nothing(struct exchange *exchange)
{
    assert_null(next(exchange));
}

static void assert_created(struct exchange *exchange, int64_t id)
{
    response *message = next(exchange);
    assert_non_null(message);
    assert_true(message->created);
    assert_false(message->canceled);
    assert_int_equal(message->watch_id, id);
    assert_int_equal(message->n_events, 0);
    free_response(message);
}

static void assert_refused(struct exchange *exchange, const char *reason)
{
    response *message = next(exchange);
    assert_non_null(message);
    assert_true(message->created);
    assert_true(message->canceled);
    assert_int_equal(message->watch_id, -1);
    assert_string_equal(message->cancel_reason, reason);
    free_response(message);
}

/* One response of one watch with one event. */
static void assert_event(struct exchange *exchange, int64_t id, const char *key, const char *value)
{
    response *message = next(exchange);
    assert_non_null(message);
    assert_int_equal(message->watch_id, id);
    assert_int_equal(message->n_events, 1);
    rig_assert_data(message->events[0]->kv->key, key);
    rig_assert_data(message->events[0]->kv->value, value);
    free_response(message);
}

static void a_watch_is_created_before_it_sees_anything(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    fake_replica_put(rig->replica, "a", "1");
    fake_replica_put(rig->replica, "a", "2");
    Etcdserverpb__WatchCreateRequest create = create_of("a", 3);
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 0);
    assert_event(stream, 0, "a", "2");
    assert_nothing(stream);
    fake_replica_put(rig->replica, "b", "not watched");
    fake_replica_put(rig->replica, "a", "3");
    rig_turn(rig);
    assert_event(stream, 0, "a", "3");
    assert_nothing(stream);
    rig_close(rig);
}

static void watches_of_one_stream_have_ids_of_their_own(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
    send_create(stream, &create);
    create.watch_id = 1;
    send_create(stream, &create);
    create.watch_id = 0;
    send_create(stream, &create); /* 1 is taken */
    create.watch_id = 2;
    send_create(stream, &create); /* and so is 2 */
    rig_turn(rig);
    assert_created(stream, 0);
    assert_created(stream, 1);
    assert_created(stream, 2);
    assert_refused(stream, "mvcc: duplicate watch ID provided on the WatchStream");
    send_cancel(stream, 1);
    send_cancel(stream, 77); /* unknown: no answer */
    rig_turn(rig);
    response *message = next(stream);
    assert_true(message->canceled);
    assert_int_equal(message->watch_id, 1);
    assert_int_equal(message->compact_revision, 0);
    free_response(message);
    fake_replica_put(rig->replica, "a", "1");
    rig_turn(rig);
    /* Between two watches there is no order. */
    int64_t ids = 0;
    while ((message = next(stream)) != NULL) {
        assert_int_equal(message->n_events, 1);
        ids += INT64_C(1) << message->watch_id;
        free_response(message);
    }
    assert_int_equal(ids, 1 << 0 | 1 << 2);
    rig_close(rig);
}

static void what_cannot_be_watched_is_refused_with_a_reason(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    Etcdserverpb__WatchCreateRequest create = create_of("b", 0);
    create.range_end = rig_data("a");
    send_create(stream, &create);
    create = create_of("a", -1);
    send_create(stream, &create);
    rig_turn(rig);
    assert_refused(stream, "mvcc: watcher range is empty");
    assert_refused(stream, "etcdserver: mvcc: required revision has been compacted");
    assert_int_equal(rig_stats(rig).watches, 0);
    rig_close(rig);
}

static void an_empty_key_watches_everything_with_an_open_end(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    static uint8_t open_end[1];
    Etcdserverpb__WatchCreateRequest create = create_of("", 0);
    create.range_end = (ProtobufCBinaryData){1, open_end};
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 0);
    fake_replica_put(rig->replica, "anything", "1");
    rig_turn(rig);
    assert_event(stream, 0, "anything", "1");
    rig_close(rig);
}

static void a_compacted_watch_is_told_in_a_second_message(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    for (int i = 0; i < 5; i++)
        fake_replica_put(rig->replica, "a", "x");
    struct command compact = {.kind = COMMAND_COMPACT, .compact = {.revision = 4}};
    fake_replica_apply(rig->replica, &compact);
    Etcdserverpb__WatchCreateRequest create = create_of("a", 2);
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 0);
    response *message = next(stream);
    assert_true(message->canceled);
    assert_false(message->created);
    assert_int_equal(message->compact_revision, 4);
    assert_int_equal(message->header->revision, 0);
    assert_string_equal(message->cancel_reason, "");
    free_response(message);
    assert_int_equal(rig_stats(rig).watches, 0);
    create = create_of("a", 4); /* at the compaction is not below it */
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 1);
    message = next(stream);
    assert_int_equal(message->n_events, 3);
    free_response(message);
    rig_close(rig);
}

static void filters_and_previous_pairs_shape_the_events(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    Etcdserverpb__WatchCreateRequest__FilterType no_put =
        ETCDSERVERPB__WATCH_CREATE_REQUEST__FILTER_TYPE__NOPUT;
    Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
    create.filters = &no_put;
    create.n_filters = 1;
    create.prev_kv = true;
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 0);
    fake_replica_put(rig->replica, "a", "1");
    rig_turn(rig);
    assert_nothing(stream);
    struct command delete = {.kind = COMMAND_DELETE, .delete = {.range = {.key = bytes_text("a")}}};
    fake_replica_apply(rig->replica, &delete);
    rig_turn(rig);
    response *message = next(stream);
    assert_int_equal(message->n_events, 1);
    assert_int_equal(message->events[0]->type, MVCCPB__EVENT__EVENT_TYPE__DELETE);
    assert_int_equal(message->events[0]->kv->mod_revision, 3);
    assert_int_equal(message->events[0]->kv->version, 0);
    rig_assert_data(message->events[0]->prev_kv->value, "1");
    assert_int_equal(message->header->revision, 3);
    free_response(message);
    rig_close(rig);
}

static void progress_is_promised_only_when_every_watch_has_arrived(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    fake_replica_put(rig->replica, "a", "1");
    Etcdserverpb__WatchCreateRequest create = create_of("a", 1);
    send_create(stream, &create);
    send_progress(stream);
    rig_turn(rig);
    assert_created(stream, 0);
    assert_event(stream, 0, "a", "1"); /* before the promise that covers it */
    response *message = next(stream);
    assert_int_equal(message->watch_id, -1);
    assert_int_equal(message->header->revision, 2);
    assert_int_equal(message->n_events, 0);
    free_response(message);
    create = create_of("a", 100); /* in the future: not there yet */
    send_create(stream, &create);
    send_progress(stream);
    rig_turn(rig);
    assert_created(stream, 1);
    assert_nothing(stream);
    rig_close(rig);
}

static void idle_watches_are_told_of_progress_when_they_wish(void **state)
{
    (void)state;
    struct rig *rig =
        rig_open_with((struct etcd_front_config){.progress_interval_ns = UINT64_C(20000000)});
    struct exchange *stream = watch_begin(rig);
    Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
    send_create(stream, &create);
    create.progress_notify = true;
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 0);
    assert_created(stream, 1);
    response *message;
    while ((message = next(stream)) == NULL) {
        uv_run(&rig->loop, UV_RUN_ONCE);
        rig_turn(rig);
    }
    assert_int_equal(message->watch_id, 1);
    assert_int_equal(message->n_events, 0);
    assert_int_equal(message->header->revision, 1);
    free_response(message);
    rig_close(rig);
}

static void a_slow_reader_gets_everything_in_order_and_costs_little(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    char *value = malloc(10001);
    memset(value, 'v', 10000);
    value[10000] = '\0';
    rig->lazy = true;
    Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
    send_create(stream, &create);
    rig_turn(rig);
    assert_created(stream, 0);
    for (int i = 0; i < 1000; i++) { /* 10 MB */
        fake_replica_put(rig->replica, "a", value);
        rig_turn(rig);
    }
    free(value);
    uint64_t waiting = 0;
    waiting = stream->body.size;
    assert_true(waiting < 100000); /* the client's window, and no more */
    rig->lazy = false;
    int64_t revision = 1;
    while (revision < 1001) {
        response *message;
        nghttp2_session_consume(rig->client, stream->stream, stream->body.size);
        rig_turn(rig);
        while ((message = next(stream)) != NULL) {
            for (size_t i = 0; i < message->n_events; i++)
                assert_int_equal(message->events[i]->kv->mod_revision, ++revision);
            assert_int_equal(message->header->revision, revision);
            free_response(message);
        }
    }
    assert_int_equal(rig_stats(rig).watches, 1);
    rig_close(rig);
}

static void one_revision_comes_in_one_response_unless_fragments_are_wanted(void **state)
{
    (void)state;
    for (int fragment = 0; fragment < 2; fragment++) {
        struct rig *rig = rig_open_with((struct etcd_front_config){.request_bytes_max = 1});
        struct exchange *stream = watch_begin(rig);
        Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
        create.range_end = rig_data("b");
        create.fragment = fragment;
        send_create(stream, &create);
        rig_turn(rig);
        assert_created(stream, 0);
        char *value = malloc(300001);
        memset(value, 'v', 300000);
        value[300000] = '\0';
        struct command puts[4];
        static const char *const keys[] = {"a1", "a2", "a3", "a4"};
        for (int i = 0; i < 4; i++)
            puts[i] =
                (struct command){.kind = COMMAND_PUT,
                                 .put = {.key = bytes_text(keys[i]), .value = bytes_text(value)}};
        struct command txn = {.kind = COMMAND_TXN, .txn = {.success = puts, .success_count = 4}};
        fake_replica_apply(rig->replica, &txn);
        rig_turn(rig);
        response *message = next(stream);
        assert_int_equal(message->n_events, fragment ? 2 : 4);
        assert_int_equal(message->fragment, fragment);
        free_response(message);
        if (fragment) {
            message = next(stream);
            assert_int_equal(message->n_events, 2);
            assert_false(message->fragment);
            free_response(message);
        }
        free(value);
        rig_close(rig);
    }
}

static void closing_the_sending_side_ends_the_stream_well(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
    send_create(stream, &create);
    rig_end(stream);
    rig_turn(rig);
    assert_created(stream, 0);
    assert_int_equal(stream->grpc_status, 0);
    assert_true(stream->closed);
    assert_int_equal(rig_stats(rig).watches, 0);
    fake_replica_put(rig->replica, "a", "1");
    rig_close(rig);
}

static void watches_die_with_their_connection(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    struct exchange *stream = watch_begin(rig);
    Etcdserverpb__WatchCreateRequest create = create_of("a", 0);
    for (int i = 0; i < 100; i++)
        send_create(stream, &create);
    rig_turn(rig);
    assert_int_equal(rig_stats(rig).watches, 100);
    fake_replica_put(rig->replica, "a", "1"); /* all are ready */
    rig_reconnect(rig);
    rig_turn(rig);
    assert_int_equal(rig_stats(rig).watches, 0);
    fake_replica_put(rig->replica, "a", "2");
    rig_turn(rig);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_watch_is_created_before_it_sees_anything),
        cmocka_unit_test(watches_of_one_stream_have_ids_of_their_own),
        cmocka_unit_test(what_cannot_be_watched_is_refused_with_a_reason),
        cmocka_unit_test(an_empty_key_watches_everything_with_an_open_end),
        cmocka_unit_test(a_compacted_watch_is_told_in_a_second_message),
        cmocka_unit_test(filters_and_previous_pairs_shape_the_events),
        cmocka_unit_test(progress_is_promised_only_when_every_watch_has_arrived),
        cmocka_unit_test(idle_watches_are_told_of_progress_when_they_wish),
        cmocka_unit_test(a_slow_reader_gets_everything_in_order_and_costs_little),
        cmocka_unit_test(one_revision_comes_in_one_response_unless_fragments_are_wanted),
        cmocka_unit_test(closing_the_sending_side_ends_the_stream_well),
        cmocka_unit_test(watches_die_with_their_connection),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
