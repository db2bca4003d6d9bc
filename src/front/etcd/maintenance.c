/* The Maintenance service but for the snapshot: what operators ask a single member. Nearly all of
 * it is answered from local state. */
#include "front/etcd/call.h"
#include "front/etcd/handlers.h"
#include "front/etcd/message.h"

#define QUOTA_DEFAULT (INT64_C(2) * 1024 * 1024 * 1024) /* what etcd shows when none is set */

/* --- Status -----------------------------------------------------------------------------------*/

static const char *alarm_name(enum alarm_kind kind)
{
    return kind == ALARM_NO_SPACE ? "NOSPACE" : kind == ALARM_CORRUPT ? "CORRUPT" : "NONE";
}

static char *alarm_text(struct arena *arena, const struct alarm *alarm)
{
    char room[80];
    struct text text = text_of(room, sizeof room);
    text_add(&text, "memberID:");
    text_u64(&text, alarm->member);
    text_add(&text, " alarm:");
    text_add(&text, alarm_name(alarm->kind));
    text_add(&text, " ");
    return message_text(arena, bytes_of(room, text.size));
}

static void status_errors(struct etcd_front *front, Etcdserverpb__StatusResponse *reply)
{
    uint32_t count;
    const struct alarm *alarms = machine_alarms(replica_machine(front->replica), &count);
    reply->errors = arena_alloc(&front->reply, (count + 1) * sizeof(char *));
    if (reply->leader == 0)
        reply->errors[reply->n_errors++] =
            message_text(&front->reply, bytes_text("etcdserver: no leader"));
    for (uint32_t i = 0; i < count; i++)
        reply->errors[reply->n_errors++] = alarm_text(&front->reply, &alarms[i]);
}

void call_status(struct call *call, struct bytes message)
{
    (void)message;
    struct etcd_front *front = call_front(call);
    const struct replica_status *status = front_status(front);
    const struct store *store = front_store(front);
    static char version[] = ETCD_API_VERSION;
    Etcdserverpb__StatusResponse reply = ETCDSERVERPB__STATUS_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    Etcdserverpb__DowngradeInfo downgrade = ETCDSERVERPB__DOWNGRADE_INFO__INIT;
    reply.header = &header;
    reply.version = version;
    reply.storageversion = version;
    reply.downgradeinfo = &downgrade;
    reply.dbsize = (int64_t)store_size(store);
    reply.dbsizeinuse = (int64_t)store_size_in_use(store);
    reply.dbsizequota = status->quota_bytes == 0 ? QUOTA_DEFAULT : (int64_t)status->quota_bytes;
    reply.leader = status->leader;
    reply.raftindex = status->slot_chosen;
    reply.raftappliedindex = status->slot_applied;
    reply.raftterm = status->term;
    arena_reset(&front->reply);
    status_errors(front, &reply);
    call_reply(call, &reply.base);
    arena_reset(&front->reply);
}

/* --- Alarm ------------------------------------------------------------------------------------*/

/* Answers with the alarms that match; `kind` NONE and `member` 0 match all. */
static void alarm_list(struct etcd_front *front, uint64_t member, enum alarm_kind kind,
                       Etcdserverpb__AlarmResponse *reply)
{
    uint32_t count;
    const struct alarm *alarms = machine_alarms(replica_machine(front->replica), &count);
    arena_reset(&front->reply);
    reply->alarms = arena_alloc(&front->reply, count * sizeof(void *));
    for (uint32_t i = 0; i < count; i++) {
        if ((member != 0 && alarms[i].member != member) ||
            (kind != ALARM_NONE && alarms[i].kind != kind))
            continue;
        Etcdserverpb__AlarmMember *alarm = arena_alloc(&front->reply, sizeof *alarm);
        etcdserverpb__alarm_member__init(alarm);
        alarm->memberid = alarms[i].member;
        alarm->alarm = (Etcdserverpb__AlarmType)alarms[i].kind;
        reply->alarms[reply->n_alarms++] = alarm;
    }
}

static void alarm_reply(struct call *call, Etcdserverpb__AlarmResponse *reply)
{
    struct etcd_front *front = call_front(call);
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    reply->header = &header;
    call_reply(call, &reply->base);
    reply->header = NULL;
    arena_reset(&front->reply);
}

struct alarm_change {
    bool activate;
    bool existed; /* it was there before it was lowered */
    struct alarm alarm;
};

static void on_alarm_changed(struct request *request, enum status status,
                             const struct result *result)
{
    (void)result;
    struct call *call = call_done(request, status);
    if (call == NULL)
        return;
    const struct alarm_change *change = call->state;
    Etcdserverpb__AlarmResponse reply = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    Etcdserverpb__AlarmMember member = ETCDSERVERPB__ALARM_MEMBER__INIT;
    Etcdserverpb__AlarmMember *members[] = {&member};
    member.memberid = change->alarm.member;
    member.alarm = (Etcdserverpb__AlarmType)change->alarm.kind;
    reply.alarms = members;
    reply.n_alarms = change->activate || change->existed ? 1 : 0;
    alarm_reply(call, &reply);
}

static bool alarm_exists(struct etcd_front *front, const struct alarm *alarm)
{
    uint32_t count;
    const struct alarm *alarms = machine_alarms(replica_machine(front->replica), &count);
    for (uint32_t i = 0; i < count; i++) {
        if (alarms[i].member == alarm->member && alarms[i].kind == alarm->kind)
            return true;
    }
    return false;
}

static void alarm_change(struct call *call, const Etcdserverpb__AlarmRequest *request)
{
    struct alarm_change *change = call_state(call, sizeof *change);
    change->activate = request->action == ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__ACTIVATE;
    change->alarm =
        (struct alarm){.member = request->memberid, .kind = (enum alarm_kind)request->alarm};
    change->existed = alarm_exists(call_front(call), &change->alarm);
    struct command command = {.kind = COMMAND_ALARM,
                              .alarm = {.activate = change->activate,
                                        .member = change->alarm.member,
                                        .alarm = change->alarm.kind}};
    call_submit(call, &command, on_alarm_changed);
}

void call_alarm(struct call *call, struct bytes message)
{
    const Etcdserverpb__AlarmRequest *request =
        call_decode(call, &etcdserverpb__alarm_request__descriptor, message);
    if (request == NULL)
        return;
    if ((unsigned)request->alarm > ALARM_CORRUPT ||
        (unsigned)request->action > ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__DEACTIVATE) {
        call_fail_text(call, GRPC_INVALID_ARGUMENT, "etcdserver: invalid alarm");
        return;
    }
    if (request->action != ETCDSERVERPB__ALARM_REQUEST__ALARM_ACTION__GET) {
        alarm_change(call, request);
        return;
    }
    Etcdserverpb__AlarmResponse reply = ETCDSERVERPB__ALARM_RESPONSE__INIT;
    alarm_list(call_front(call), request->memberid, (enum alarm_kind)request->alarm, &reply);
    alarm_reply(call, &reply);
}

/* --- Hashes -----------------------------------------------------------------------------------*/

void call_hash(struct call *call, struct bytes message)
{
    (void)message;
    struct etcd_front *front = call_front(call);
    Etcdserverpb__HashResponse reply = ETCDSERVERPB__HASH_RESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    reply.header = &header;
    enum refusal refusal = store_hash(front_store(front), 0, &reply.hash);
    if (refusal != REFUSAL_NONE)
        call_refuse(call, refusal);
    else
        call_reply(call, &reply.base);
}

/* Before the first compaction etcd says -1. */
static int64_t compact_revision(const struct store *store)
{
    int64_t compacted = store_compacted(store);
    return compacted > 0 ? compacted : -1;
}

void call_hash_kv(struct call *call, struct bytes message)
{
    struct etcd_front *front = call_front(call);
    const struct store *store = front_store(front);
    const Etcdserverpb__HashKVRequest *request =
        call_decode(call, &etcdserverpb__hash_kvrequest__descriptor, message);
    if (request == NULL)
        return;
    Etcdserverpb__HashKVResponse reply = ETCDSERVERPB__HASH_KVRESPONSE__INIT;
    Etcdserverpb__ResponseHeader header = message_header_now(front);
    reply.header = &header;
    reply.compact_revision = compact_revision(store);
    reply.hash_revision = request->revision > 0 ? request->revision : store_revision(store);
    enum refusal refusal = store_hash(store, request->revision, &reply.hash);
    if (refusal != REFUSAL_NONE)
        call_refuse(call, refusal);
    else
        call_reply(call, &reply.base);
}

/* --- Defragment and MoveLeader, which have no header in their answers --------------------------*/

/* There is no file with holes in it: memory is given back as compaction goes along. */
void call_defragment(struct call *call, struct bytes message)
{
    (void)message;
    Etcdserverpb__DefragmentResponse reply = ETCDSERVERPB__DEFRAGMENT_RESPONSE__INIT;
    call_reply(call, &reply.base);
}

static void on_transferred(struct request *request, enum status status, const struct result *result)
{
    (void)result;
    struct call *call = container_of(request, struct call, request);
    Etcdserverpb__MoveLeaderResponse reply = ETCDSERVERPB__MOVE_LEADER_RESPONSE__INIT;
    if (status == STATUS_OK)
        call_reply(call, &reply.base);
    else if (status == STATUS_NOT_FOUND)
        call_fail(call, failure_bad_transferee);
    else if (status == STATUS_TIMEOUT)
        call_fail(call, failure_transfer_timeout);
    else
        call_fail(call, failure_of_status(status));
}

void call_move_leader(struct call *call, struct bytes message)
{
    struct etcd_front *front = call_front(call);
    const Etcdserverpb__MoveLeaderRequest *request =
        call_decode(call, &etcdserverpb__move_leader_request__descriptor, message);
    if (request == NULL)
        return;
    if (!front_status(front)->leading) {
        call_fail(call, failure_not_leader);
        return;
    }
    request_init(&call->request, on_transferred);
    replica_transfer(front->replica, &call->request, request->targetid);
}
