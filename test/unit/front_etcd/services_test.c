/* Lease, Cluster, Maintenance and Health through the whole front. */
#include "front/etcd/snapshot.h"
#include "front_etcd/support_rig.h"

#include <health.pb-c.h>
#include <openssl/evp.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define LEASE "/etcdserverpb.Lease/"
#define MAINTENANCE "/etcdserverpb.Maintenance/"

static int64_t grant(struct rig *rig, int64_t id, int64_t ttl, int64_t ttl_expected)
{
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    request.id = id;
    request.ttl = ttl;
    Etcdserverpb__LeaseGrantResponse *reply =
        rig_reply(rig_call(rig, LEASE "LeaseGrant", &request.base),
                  &etcdserverpb__lease_grant_response__descriptor);
    int64_t granted = reply->id;
    assert_int_equal(reply->ttl, ttl_expected);
    assert_int_equal(reply->header->revision, 1); /* a grant is no revision */
    etcdserverpb__lease_grant_response__free_unpacked(reply, NULL);
    return granted;
}

static void leases_are_granted_with_the_least_time_or_more(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    assert_int_equal(grant(rig, 5, 1, 2), 5);
    assert_int_equal(grant(rig, 6, 60, 60), 6);
    assert_true(grant(rig, 0, 60, 60) > 0);
    Etcdserverpb__LeaseGrantRequest request = ETCDSERVERPB__LEASE_GRANT_REQUEST__INIT;
    request.id = 5;
    request.ttl = 10;
    rig_assert_failed(rig_call(rig, LEASE "LeaseGrant", &request.base), 9,
                      "etcdserver: lease already exists");
    request.ttl = 9000000001;
    rig_assert_failed(rig_call(rig, LEASE "LeaseGrant", &request.base), 11,
                      "etcdserver: too large lease TTL");
    Etcdserverpb__LeaseRevokeRequest revoke = ETCDSERVERPB__LEASE_REVOKE_REQUEST__INIT;
    revoke.id = 99;
    rig_assert_failed(rig_call(rig, LEASE "LeaseRevoke", &revoke.base), 5,
                      "etcdserver: requested lease not found");
    rig_close(rig);
}

static void assert_kept(struct exchange *stream, int64_t id, int64_t ttl)
{
    Etcdserverpb__LeaseKeepAliveResponse *reply =
        rig_next(stream, &etcdserverpb__lease_keep_alive_response__descriptor);
    assert_non_null(reply);
    assert_int_equal(reply->id, id);
    assert_int_equal(reply->ttl, ttl);
    etcdserverpb__lease_keep_alive_response__free_unpacked(reply, NULL);
}

static void renewals_are_answered_in_order_and_a_missing_lease_with_zero(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    (void)grant(rig, 5, 60, 60);
    rig->replica->hold = true;
    struct exchange *stream = rig_begin(rig, LEASE "LeaseKeepAlive", NULL, NULL);
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    for (int64_t id = 4; id < 7; id++) {
        request.id = id;
        rig_send(stream, &request.base);
    }
    rig_end(stream);
    rig_turn(rig);
    assert_null(rig_next(stream, &etcdserverpb__lease_keep_alive_response__descriptor));
    for (int i = 0; i < 3; i++) {
        fake_replica_release(rig->replica); /* one at a time */
        rig_turn(rig);
    }
    assert_kept(stream, 4, 0);
    assert_kept(stream, 5, 60);
    assert_kept(stream, 6, 0);
    assert_int_equal(stream->grpc_status, 0);
    rig_close(rig);
}

static void a_renewal_that_comes_while_others_wait_queues_up_behind_them(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->hold = true;
    struct exchange *stream = rig_begin(rig, LEASE "LeaseKeepAlive", NULL, NULL);
    Etcdserverpb__LeaseKeepAliveRequest request = ETCDSERVERPB__LEASE_KEEP_ALIVE_REQUEST__INIT;
    for (request.id = 4; request.id < 7; request.id++)
        rig_send(stream, &request.base);
    rig_turn(rig);
    fake_replica_release(rig->replica); /* 4 is answered, but the turn has not ended */
    rig_send(stream, &request.base);
    for (int i = 0; i < 4; i++) {
        rig_turn(rig);
        fake_replica_release(rig->replica);
    }
    rig_turn(rig);
    for (int64_t id = 4; id <= 7; id++)
        assert_kept(stream, id, 0);
    rig_close(rig);
}

static void the_time_to_live_of_a_missing_lease_is_minus_one(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    (void)grant(rig, 5, 60, 60);
    struct command put = {.kind = COMMAND_PUT,
                          .put = {.key = bytes_text("k"), .value = bytes_text("v"), .lease = 5}};
    fake_replica_apply(rig->replica, &put);
    rig->replica->ttl_left = 42;
    Etcdserverpb__LeaseTimeToLiveRequest request = ETCDSERVERPB__LEASE_TIME_TO_LIVE_REQUEST__INIT;
    request.id = 5;
    request.keys = true;
    Etcdserverpb__LeaseTimeToLiveResponse *reply =
        rig_reply(rig_call(rig, LEASE "LeaseTimeToLive", &request.base),
                  &etcdserverpb__lease_time_to_live_response__descriptor);
    assert_int_equal(reply->ttl, 42);
    assert_int_equal(reply->grantedttl, 60);
    assert_int_equal(reply->n_keys, 1);
    rig_assert_data(reply->keys[0], "k");
    etcdserverpb__lease_time_to_live_response__free_unpacked(reply, NULL);
    request.id = 6;
    reply = rig_reply(rig_call(rig, LEASE "LeaseTimeToLive", &request.base),
                      &etcdserverpb__lease_time_to_live_response__descriptor);
    assert_int_equal(reply->ttl, -1);
    assert_int_equal(reply->grantedttl, 0);
    etcdserverpb__lease_time_to_live_response__free_unpacked(reply, NULL);
    rig_close(rig);
}

static void members_are_listed_without_a_revision(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    fake_replica_put(rig->replica, "k", "v");
    Etcdserverpb__MemberListRequest request = ETCDSERVERPB__MEMBER_LIST_REQUEST__INIT;
    request.linearizable = true;
    Etcdserverpb__MemberListResponse *reply =
        rig_reply(rig_call(rig, "/etcdserverpb.Cluster/MemberList", &request.base),
                  &etcdserverpb__member_list_response__descriptor);
    assert_int_equal(reply->header->revision, 0);
    assert_int_equal(reply->n_members, 2);
    assert_string_equal(reply->members[0]->name, "one");
    assert_string_equal(reply->members[1]->name, "");
    etcdserverpb__member_list_response__free_unpacked(reply, NULL);
    rig_close(rig);
}

static void status_names_what_is_wrong(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    rig->replica->leaderless = true;
    struct command alarm = {.kind = COMMAND_ALARM,
                            .alarm = {.activate = true, .member = 0xa1, .alarm = ALARM_NO_SPACE}};
    fake_replica_apply(rig->replica, &alarm);
    Etcdserverpb__StatusRequest request = ETCDSERVERPB__STATUS_REQUEST__INIT;
    Etcdserverpb__StatusResponse *reply =
        rig_reply(rig_call(rig, MAINTENANCE "Status", &request.base),
                  &etcdserverpb__status_response__descriptor);
    assert_string_equal(reply->version, ETCD_API_VERSION);
    assert_int_equal(reply->raftterm, 7);
    assert_int_equal(reply->dbsizequota, INT64_C(2147483648));
    assert_int_equal(reply->n_errors, 2);
    assert_string_equal(reply->errors[0], "etcdserver: no leader");
    assert_string_equal(reply->errors[1], "memberID:161 alarm:NOSPACE ");
    etcdserverpb__status_response__free_unpacked(reply, NULL);
    rig_close(rig);
}

static size_t call_alarm(struct rig *rig, int action, uint64_t member, int kind)
{
    Etcdserverpb__AlarmRequest request = ETCDSERVERPB__ALARM_REQUEST__INIT;
    request.action = (Etcdserverpb__AlarmRequest__AlarmAction)action;
    request.memberid = member;
    request.alarm = (Etcdserverpb__AlarmType)kind;
    Etcdserverpb__AlarmResponse *reply =
        rig_reply(rig_call(rig, MAINTENANCE "Alarm", &request.base),
                  &etcdserverpb__alarm_response__descriptor);
    size_t count = reply->n_alarms;
    etcdserverpb__alarm_response__free_unpacked(reply, NULL);
    return count;
}

static void alarms_are_raised_listed_and_lowered(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    assert_int_equal(call_alarm(rig, 0, 0, 0), 0);
    assert_int_equal(call_alarm(rig, 1, 3, 1), 1);
    assert_int_equal(call_alarm(rig, 1, 4, 1), 1);
    assert_int_equal(call_alarm(rig, 0, 0, 0), 2);
    assert_int_equal(call_alarm(rig, 2, 3, 1), 1);
    assert_int_equal(call_alarm(rig, 2, 3, 1), 0); /* it was not there any more */
    assert_int_equal(call_alarm(rig, 0, 0, 0), 1);
    rig_close(rig);
}

static void the_leadership_moves_to_a_member_and_to_no_stranger(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    Etcdserverpb__MoveLeaderRequest request = ETCDSERVERPB__MOVE_LEADER_REQUEST__INIT;
    request.targetid = 0xb2;
    Etcdserverpb__MoveLeaderResponse *reply =
        rig_reply(rig_call(rig, MAINTENANCE "MoveLeader", &request.base),
                  &etcdserverpb__move_leader_response__descriptor);
    assert_null(reply->header);
    etcdserverpb__move_leader_response__free_unpacked(reply, NULL);
    request.targetid = 1;
    rig_assert_failed(rig_call(rig, MAINTENANCE "MoveLeader", &request.base), 9,
                      "etcdserver: bad leader transferee");
    rig->replica->leaderless = true;
    rig_turn(rig);
    rig_assert_failed(rig_call(rig, MAINTENANCE "MoveLeader", &request.base), 9,
                      "etcdserver: not leader");
    rig_close(rig);
}

static struct buffer snapshot_take(struct rig *rig)
{
    struct buffer file;
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    struct exchange *stream = rig_call(rig, MAINTENANCE "Snapshot", &request.base);
    Etcdserverpb__SnapshotResponse *piece;
    uint64_t remaining = 1;
    buffer_init(&file, fake_mem(), SIZE_MAX / 2);
    while ((piece = rig_next(stream, &etcdserverpb__snapshot_response__descriptor)) != NULL) {
        assert_int_not_equal(remaining, 0); /* only the last piece says so */
        remaining = piece->remaining_bytes;
        buffer_append(&file, bytes_of(piece->blob.data, piece->blob.len));
        etcdserverpb__snapshot_response__free_unpacked(piece, NULL);
    }
    assert_int_equal(remaining, 0);
    assert_int_equal(stream->grpc_status, 0);
    return file;
}

static void a_snapshot_carries_the_state_and_its_checksum(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    char key[16];
    for (int i = 0; i < 20000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        fake_replica_put(rig->replica, key, "a value of some length, so that it takes slices");
    }
    struct buffer file = snapshot_take(rig);
    assert_int_equal(file.size % 512, 32);
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned sum_size;
    size_t body = file.size - 32;
    EVP_Digest(file.data, body, sum, &sum_size, EVP_sha256(), NULL);
    assert_memory_equal(sum, file.data + body, 32);
    assert_memory_equal(file.data + body - 8, SNAPSHOT_MAGIC, 8);
    size_t content = load_u64(file.data + body - SNAPSHOT_TRAILER_SIZE);
    struct machine *copy =
        machine_new(&(struct machine_config){.mem = fake_mem(), .members = 1, .self = 1});
    struct machine_loader *loader = machine_load(copy);
    assert_int_equal(machine_load_piece(loader, bytes_of(file.data, content)), STATUS_OK);
    assert_int_equal(machine_load_end(loader), STATUS_OK);
    assert_int_equal(store_digest(machine_store(copy)),
                     store_digest(machine_store(rig->replica->machine)));
    machine_free(copy);
    buffer_release(&file);
    rig_close(rig);
}

static void a_snapshot_waits_for_a_client_that_does_not_take_it(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    char key[16];
    char value[2000];
    memset(value, 'v', sizeof value - 1);
    value[sizeof value - 1] = '\0';
    for (int i = 0; i < 2000; i++) {
        snprintf(key, sizeof key, "key%d", i);
        fake_replica_put(rig->replica, key, value);
    }
    rig->lazy = true;
    Etcdserverpb__SnapshotRequest request = ETCDSERVERPB__SNAPSHOT_REQUEST__INIT;
    struct exchange *stream = rig_call(rig, MAINTENANCE "Snapshot", &request.base);
    assert_false(stream->closed);
    assert_int_equal(rig->front->snapshots, 1);
    rig_reset(stream);
    rig_turn(rig);
    assert_int_equal(rig->front->snapshots, 0);
    rig_close(rig);
}

static int64_t hash_compact_revision(struct rig *rig)
{
    Etcdserverpb__HashKVRequest request = ETCDSERVERPB__HASH_KVREQUEST__INIT;
    Etcdserverpb__HashKVResponse *reply =
        rig_reply(rig_call(rig, MAINTENANCE "HashKV", &request.base),
                  &etcdserverpb__hash_kvresponse__descriptor);
    int64_t revision = reply->compact_revision;
    assert_int_equal(reply->hash_revision, reply->header->revision);
    etcdserverpb__hash_kvresponse__free_unpacked(reply, NULL);
    return revision;
}

static void a_hash_of_what_was_never_compacted_says_minus_one(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    assert_int_equal(hash_compact_revision(rig), -1);
    Etcdserverpb__CompactionRequest compact = ETCDSERVERPB__COMPACTION_REQUEST__INIT;
    compact.revision = 1;
    Etcdserverpb__CompactionResponse *reply =
        rig_reply(rig_call(rig, "/etcdserverpb.KV/Compact", &compact.base),
                  &etcdserverpb__compaction_response__descriptor);
    etcdserverpb__compaction_response__free_unpacked(reply, NULL);
    assert_int_equal(hash_compact_revision(rig), 1);
    rig_close(rig);
}

static void health_is_told_for_the_whole_server_only(void **state)
{
    (void)state;
    struct rig *rig = rig_open();
    static char other[] = "other";
    Grpc__Health__V1__HealthCheckRequest request = GRPC__HEALTH__V1__HEALTH_CHECK_REQUEST__INIT;
    Grpc__Health__V1__HealthCheckResponse *reply =
        rig_reply(rig_call(rig, "/grpc.health.v1.Health/Check", &request.base),
                  &grpc__health__v1__health_check_response__descriptor);
    assert_int_equal(reply->status, 1);
    grpc__health__v1__health_check_response__free_unpacked(reply, NULL);
    request.service = other;
    rig_assert_failed(rig_call(rig, "/grpc.health.v1.Health/Check", &request.base), 5,
                      "unknown service");
    struct exchange *stream = rig_call(rig, "/grpc.health.v1.Health/Watch", &request.base);
    reply = rig_next(stream, &grpc__health__v1__health_check_response__descriptor);
    assert_int_equal(reply->status, 3);
    grpc__health__v1__health_check_response__free_unpacked(reply, NULL);
    assert_false(stream->closed);
    rig_close(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(leases_are_granted_with_the_least_time_or_more),
        cmocka_unit_test(renewals_are_answered_in_order_and_a_missing_lease_with_zero),
        cmocka_unit_test(a_renewal_that_comes_while_others_wait_queues_up_behind_them),
        cmocka_unit_test(the_time_to_live_of_a_missing_lease_is_minus_one),
        cmocka_unit_test(members_are_listed_without_a_revision),
        cmocka_unit_test(status_names_what_is_wrong),
        cmocka_unit_test(alarms_are_raised_listed_and_lowered),
        cmocka_unit_test(the_leadership_moves_to_a_member_and_to_no_stranger),
        cmocka_unit_test(a_snapshot_carries_the_state_and_its_checksum),
        cmocka_unit_test(a_snapshot_waits_for_a_client_that_does_not_take_it),
        cmocka_unit_test(a_hash_of_what_was_never_compacted_says_minus_one),
        cmocka_unit_test(health_is_told_for_the_whole_server_only),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
