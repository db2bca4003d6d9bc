/* The budgeted allocator's accounts, and its end. */
#include "base/mem.h"
#include "base/panic.h"
#include "base/support_mem.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void accounts_are_exact(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    uint8_t *a = mem_alloc(&mem.mem, 10);
    uint8_t *b = mem_zero(&mem.mem, 20);
    assert_int_equal(mem.mem.used, 30);
    for (int i = 0; i < 20; i++)
        assert_int_equal(b[i], 0);
    memset(a, 3, 10);
    a = mem_resize(&mem.mem, a, 10, 1000);
    assert_int_equal(mem.mem.used, 1020);
    assert_int_equal(a[9], 3);
    a = mem_resize(&mem.mem, a, 1000, 4);
    assert_int_equal(mem.mem.used, 24);
    assert_int_equal(a[3], 3);
    mem_free(&mem.mem, a, 4);
    mem_free(&mem.mem, b, 20);
    test_mem_check(&mem);
}

static void freeing_nothing_does_nothing(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    mem_free(&mem.mem, NULL, 0);
    assert_int_equal(mem.calls, 0);
}

static jmp_buf panicked;
static char panic_text[256];

static void catch_panic(const char *file, int line, const char *what)
{
    (void)file;
    (void)line;
    snprintf(panic_text, sizeof panic_text, "%s", what);
    longjmp(panicked, 1);
}

static void *no_memory(struct mem *mem, void *at, size_t size_old, size_t size_new)
{
    (void)mem;
    (void)at;
    (void)size_old;
    (void)size_new;
    return NULL;
}

static void running_out_is_a_panic_with_advice(void **state)
{
    (void)state;
    struct mem mem = {.resize = no_memory};
    panic_set_hook(catch_panic);
    if (setjmp(panicked) == 0) {
        mem_alloc(&mem, 1);
        fail();
    }
    panic_set_hook(NULL);
    assert_non_null(strstr(panic_text, "out of memory"));
    assert_int_equal(mem.used, 0);
}

static void freeing_more_than_is_used_is_a_broken_invariant(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    panic_set_hook(catch_panic);
    if (setjmp(panicked) == 0) {
        mem_free(&mem.mem, &mem, 1);
        fail();
    }
    panic_set_hook(NULL);
    assert_non_null(strstr(panic_text, "broken invariant"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(accounts_are_exact),
        cmocka_unit_test(freeing_nothing_does_nothing),
        cmocka_unit_test(running_out_is_a_panic_with_advice),
        cmocka_unit_test(freeing_more_than_is_used_is_a_broken_invariant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
