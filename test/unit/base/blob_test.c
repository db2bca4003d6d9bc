/* Blobs: counted references to immutable bytes. */
#include "base/blob.h"
#include "base/support_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void the_last_reference_frees(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    struct blob *blob = blob_copy(&mem.mem, bytes_text("hello"));
    assert_ptr_equal(blob_keep(blob), blob);
    assert_ptr_equal(blob_keep(blob), blob);
    blob_drop(blob);
    blob_drop(blob);
    assert_int_equal(mem.allocations, 1);
    assert_true(bytes_equal(blob_bytes(blob), bytes_text("hello")));
    blob_drop(blob);
    test_mem_check(&mem);
}

static void null_is_an_empty_blob(void **state)
{
    (void)state;
    assert_null(blob_keep(NULL));
    blob_drop(NULL);
    assert_int_equal(blob_bytes(NULL).size, 0);
}

static void a_blob_may_be_empty_or_filled_in_later(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    struct blob *empty = blob_copy(&mem.mem, BYTES_EMPTY);
    assert_int_equal(empty->size, 0);
    struct blob *blob = blob_new(&mem.mem, 3);
    memcpy(blob->data, "abc", 3);
    assert_true(bytes_equal(blob_bytes(blob), bytes_text("abc")));
    blob_drop(empty);
    blob_drop(blob);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_last_reference_frees),
        cmocka_unit_test(null_is_an_empty_blob),
        cmocka_unit_test(a_blob_may_be_empty_or_filled_in_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
