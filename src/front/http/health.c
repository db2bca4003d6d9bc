/* /health, as load balancers and old probes ask it, and /livez and /readyz with their named checks,
 * as Kubernetes does. */
#include "base/text.h"
#include "front/http/internal.h"

#define BODY_MAX 1024

enum check {
    CHECK_DATA_CORRUPTION,
    CHECK_SERIALIZABLE_READ,
    CHECK_LINEARIZABLE_READ,
    CHECK_NON_LEARNER,
    CHECKS,
};

static const char *const check_names[CHECKS] = {"data_corruption", "serializable_read",
                                                "linearizable_read", "non_learner"};

struct probe {
    const char *path;
    unsigned checks; /* bits */
};

#define BIT(check) (1U << (check))

static const struct probe probes[] = {
    {"/livez", BIT(CHECK_SERIALIZABLE_READ)},
    {"/livez/serializable_read", BIT(CHECK_SERIALIZABLE_READ)},
    {"/readyz", BIT(CHECKS) - 1},
    {"/readyz/data_corruption", BIT(CHECK_DATA_CORRUPTION)},
    {"/readyz/serializable_read", BIT(CHECK_SERIALIZABLE_READ)},
    {"/readyz/linearizable_read", BIT(CHECK_LINEARIZABLE_READ)},
    {"/readyz/non_learner", BIT(CHECK_NON_LEARNER)},
};

static const struct probe *probe_find(struct bytes path)
{
    for (size_t i = 0; i < sizeof probes / sizeof probes[0]; i++) {
        if (bytes_equal(path, bytes_text(probes[i].path)))
            return &probes[i];
    }
    return NULL;
}

static bool is_health(struct bytes path)
{
    return bytes_equal(path, bytes_text("/health"));
}

bool http_health_is(struct bytes path)
{
    return is_health(path) || probe_find(path) != NULL;
}

/* --- What is wrong ----------------------------------------------------------------------------*/

static const char *alarm_problem(struct http_front *front, struct bytes query)
{
    static const char *const names[] = {"NONE", "NOSPACE", "CORRUPT"};
    static const char *const problems[] = {NULL, "ALARM NOSPACE", "ALARM CORRUPT"};
    uint32_t count;
    const struct alarm *alarms = machine_alarms(replica_machine(front->config.replica), &count);
    for (uint32_t i = 0; i < count; i++) {
        unsigned kind = alarms[i].kind;
        if (kind <= ALARM_CORRUPT && !http_query_has(query, "exclude", names[kind]))
            return problems[kind];
    }
    return NULL;
}

static const char *read_problem(enum status status)
{
    switch (status) {
    case STATUS_OK:
        return NULL;
    case STATUS_CORRUPT:
        return "etcdserver: corrupt cluster";
    case STATUS_STOPPED:
        return "etcdserver: server stopped";
    default:
        return "etcdserver: request timed out";
    }
}

static const char *check_problem(struct http_front *front, const struct replica_status *status,
                                 enum check check, enum status read)
{
    switch (check) {
    case CHECK_DATA_CORRUPTION:
        return status->diverged || alarm_problem(front, bytes_text("exclude=NOSPACE")) != NULL
                   ? "alarm activated: CORRUPT"
                   : NULL;
    case CHECK_SERIALIZABLE_READ:
        return status->serving && !status->diverged ? NULL : "etcdserver: not capable";
    case CHECK_LINEARIZABLE_READ:
        return read_problem(read);
    default:
        return NULL; /* every member votes */
    }
}

/* --- Answers ----------------------------------------------------------------------------------*/

static bool check_wanted(const struct probe *probe, struct bytes query, unsigned check)
{
    return (probe->checks & BIT(check)) != 0 &&
           !http_query_has(query, "exclude", check_names[check]);
}

static bool query_serializable(struct bytes query)
{
    return http_query_has(query, "serializable", "true");
}

bool http_health_needs_read(struct http_front *front, const struct http_request *request)
{
    const struct probe *probe = probe_find(request->path);
    if (probe != NULL)
        return check_wanted(probe, request->query, CHECK_LINEARIZABLE_READ);
    struct replica_status status;
    replica_status(front->config.replica, &status);
    /* Without a leader the answer is known; a probe should not wait for the timeout to get it. */
    return !query_serializable(request->query) && status.leader != 0;
}

static void answer_probe(struct http_session *session, const struct probe *probe,
                         const struct http_request *request, enum status read)
{
    struct replica_status status;
    char room[BODY_MAX];
    struct text body = text_of(room, sizeof room);
    bool failed = false;
    replica_status(session->front->config.replica, &status);
    for (unsigned check = 0; check < CHECKS; check++) {
        if (!check_wanted(probe, request->query, check))
            continue;
        const char *problem = check_problem(session->front, &status, (enum check)check, read);
        failed = failed || problem != NULL;
        text_add(&body, problem == NULL ? "[+]" : "[-]");
        text_add(&body, check_names[check]);
        text_add(&body, problem == NULL ? " ok" : " failed: ");
        text_add(&body, problem == NULL ? "" : problem);
        text_add(&body, "\n");
    }
    if (!failed && !http_query_has(request->query, "verbose", NULL))
        body = text_of(room, sizeof room);
    if (!failed)
        text_add(&body, "ok\n");
    http_answer(session, &(struct http_answer){failed ? 503 : 200, "text/plain; charset=utf-8",
                                               bytes_of(room, body.size)});
}

static void health_problem(struct http_session *session, const struct http_request *request,
                           enum status read, struct text *problem)
{
    struct replica_status status;
    replica_status(session->front->config.replica, &status);
    const char *alarm = alarm_problem(session->front, request->query);
    if (alarm != NULL) {
        text_add(problem, alarm);
    } else if (status.leader == 0 && !query_serializable(request->query)) {
        text_add(problem, "RAFT NO LEADER");
    } else {
        if (read == STATUS_OK && (status.diverged || !status.serving))
            read = status.diverged ? STATUS_CORRUPT : STATUS_STOPPED;
        if (read != STATUS_OK) {
            text_add(problem, "RANGE ERROR:");
            text_add(problem, read_problem(read));
        }
    }
}

static void answer_health(struct http_session *session, const struct http_request *request,
                          enum status read)
{
    char reason[128];
    char room[256];
    struct text problem = text_of(reason, sizeof reason);
    struct text body = text_of(room, sizeof room);
    health_problem(session, request, read, &problem);
    bool healthy = problem.size == 0;
    text_add(&body, healthy ? "{\"health\":\"true\",\"reason\":\""
                            : "{\"health\":\"false\",\"reason\":\"");
    text_add(&body, reason);
    text_add(&body, healthy ? "\"}" : "\"}\n");
    http_answer(session, &(struct http_answer){healthy ? 200 : 503, "application/json",
                                               bytes_of(room, body.size)});
}

void http_health_answer(struct http_session *session, const struct http_request *request,
                        enum status read)
{
    const struct probe *probe = probe_find(request->path);
    if (probe != NULL)
        answer_probe(session, probe, request, read);
    else
        answer_health(session, request, read);
}
