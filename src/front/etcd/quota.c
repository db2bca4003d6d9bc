/* Admission. The memory quota is enforced here, before the log: past it, writes get a clear error
 * while reads, deletes and compaction go on, and the alarm that the first refusal raises stays
 * until somebody lowers it. */
#include "front/etcd/quota.h"

static bool alarm_active(struct etcd_front *front, enum alarm_kind kind, uint64_t member)
{
    uint32_t count;
    const struct alarm *alarms = machine_alarms(replica_machine(front->replica), &count);
    for (uint32_t i = 0; i < count; i++) {
        if (alarms[i].kind == kind && (member == 0 || alarms[i].member == member))
            return true;
    }
    return false;
}

bool front_corrupt(struct etcd_front *front)
{
    const struct replica_status *status = front_status(front);
    return status->diverged || alarm_active(front, ALARM_CORRUPT, status->member);
}

static void on_alarm_raised(struct request *request, enum status status,
                            const struct result *result)
{
    (void)status;
    (void)result;
    container_of(request, struct etcd_front, alarm_request)->alarm_under_way = false;
}

static void front_raise_no_space(struct etcd_front *front)
{
    if (front->alarm_under_way || front->closing)
        return;
    struct command command = {.kind = COMMAND_ALARM,
                              .alarm = {.activate = true,
                                        .member = front_status(front)->member,
                                        .alarm = ALARM_NO_SPACE}};
    front->alarm_under_way = true;
    front_log(front, LOG_WARN, "the memory quota is used up: alarm NOSPACE", "");
    request_init(&front->alarm_request, on_alarm_raised);
    replica_submit(front->replica, &front->alarm_request, &command);
}

static enum refusal check_space(struct etcd_front *front, uint64_t cost)
{
    if (cost == 0)
        return REFUSAL_NONE;
    if (alarm_active(front, ALARM_NO_SPACE, 0))
        return REFUSAL_NO_SPACE;
    uint64_t quota = front_status(front)->quota_bytes;
    if (quota == 0 || store_size(front_store(front)) + cost < quota)
        return REFUSAL_NONE;
    front_raise_no_space(front);
    return REFUSAL_NO_SPACE;
}

enum refusal front_admit(struct etcd_front *front, const struct command *command, size_t size)
{
    if (front_corrupt(front) && command->kind != COMMAND_ALARM)
        return REFUSAL_CORRUPT;
    enum refusal refusal = command_check(command, front->config.txn_ops_max);
    if (refusal != REFUSAL_NONE)
        return refusal;
    if (size > front->config.request_bytes_max)
        return REFUSAL_TOO_LARGE;
    return check_space(front, command_cost(command));
}
