/* The keeper of leases: its clock proposes, the log decides. Found by `synod sim`: a keeper that
 * had slept found the clock of a lease run out and told its holder that it was gone, while another
 * keeper had renewed it all the time. */
#include "replica/support_cluster.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define MS UINT64_C(1000000)
#define SEC UINT64_C(1000000000)

struct ask {
    struct request request;
    struct cluster *cluster;
    uint32_t done;
    bool found_then; /* was the lease still there when the answer came? */
};

static void on_answer(struct request *request, enum status status, const struct result *result)
{
    struct ask *ask = (struct ask *)request;
    struct lease_info info;
    struct store *store = machine_store(replica_machine(cluster_replica(ask->cluster, 0)));
    (void)result;
    assert_int_equal(status, STATUS_OK);
    ask->done++;
    ask->found_then = store_lease_get(store, request->lease, &info);
}

/* The end of a lease is on its way to the disk when somebody asks for it. */
static void a_lease_is_gone_when_the_log_says_so(void **state)
{
    (void)state;
    struct cluster *c = cluster_new(11, 1);
    assert_int_equal(cluster_run_until_leader(c, 10 * SEC), 0);
    cluster_grant(c, 0);
    cluster_run(c, SEC / 2);
    struct store *store = machine_store(replica_machine(cluster_replica(c, 0)));
    struct lease_info info;
    assert_true(store_lease_get(store, 1, &info));
    cluster_run(c, (uint64_t)info.ttl * SEC - 3 * SEC / 4);
    assert_true(store_lease_get(store, 1, &info));
    cluster_hold_log(c, 0, true);
    cluster_run(c, SEC);
    struct ask renewal = {.cluster = c};
    struct ask query = {.cluster = c};
    request_init(&renewal.request, on_answer);
    request_init(&query.request, on_answer);
    replica_lease_renew(cluster_replica(c, 0), &renewal.request, 1);
    replica_lease_query(cluster_replica(c, 0), &query.request, 1);
    cluster_run(c, 500 * MS);
    assert_true(store_lease_get(store, 1, &info));
    assert_int_equal(renewal.done + query.done, 0);
    cluster_hold_log(c, 0, false);
    cluster_run(c, SEC);
    assert_int_equal(renewal.done, 1);
    assert_int_equal(query.done, 1);
    assert_false(renewal.found_then || query.found_then);
    assert_int_equal(renewal.request.value.ttl, 0);
    assert_int_equal(query.request.value.ttl, -1);
    assert_null(cluster_violation(c));
    cluster_free(c);
}

int main(void)
{
    int failed = 0;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_lease_is_gone_when_the_log_says_so),
    };
    for (uint32_t i = 0; engines_all[i] != NULL; i++) {
        cluster_use_engine(engines_all[i]);
        failed += cmocka_run_group_tests_name(engines_all[i]->name, tests, NULL, NULL);
    }
    return failed;
}
