/* The table of a stream's watches, against a plain array. */
#include "front/etcd/watch_ids.h"

#include "base/prng.h"
#include "front_etcd/support_replica.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#define IDS 3000

static void check(const struct watch_ids *ids, struct watch_id *all, const bool *in, size_t count)
{
    size_t seen = 0;
    struct watch_id *at = NULL;
    while ((at = watch_ids_next(ids, at)) != NULL) {
        assert_true(in[at - all]);
        seen++;
    }
    assert_int_equal(seen, count);
    for (size_t i = 0; i < IDS; i++)
        assert_ptr_equal(watch_ids_find(ids, all[i].id), in[i] ? &all[i] : NULL);
}

static void random_histories_find_what_is_there(void **state)
{
    (void)state;
    struct prng prng = prng_seed(7);
    struct watch_id *all = calloc(IDS, sizeof *all);
    bool *in = calloc(IDS, sizeof *in);
    size_t count = 0;
    struct watch_ids ids;
    watch_ids_init(&ids, fake_mem());
    for (size_t i = 0; i < IDS; i++) /* in a row as we give them, far apart as clients do */
        all[i].id = i % 2 == 0 ? (int64_t)i : (int64_t)(i * UINT64_C(0x9e3779b97f4a7c15));
    for (int step = 0; step < 20000; step++) {
        size_t i = prng_below(&prng, IDS);
        if (in[i])
            watch_ids_remove(&ids, &all[i]);
        else
            watch_ids_add(&ids, &all[i]);
        count = in[i] ? count - 1 : count + 1;
        in[i] = !in[i];
        if (step % 1000 == 0)
            check(&ids, all, in, count);
    }
    assert_true(fake_mem()->used <= IDS * sizeof(void *));
    /* Removing what was passed is allowed. */
    struct watch_id *at = watch_ids_next(&ids, NULL);
    while (at != NULL) {
        struct watch_id *next = watch_ids_next(&ids, at);
        watch_ids_remove(&ids, at);
        at = next;
        count--;
    }
    assert_int_equal(count, 0);
    watch_ids_release(&ids);
    assert_int_equal(fake_mem()->used, 0);
    free(all);
    free(in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(random_histories_find_what_is_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
