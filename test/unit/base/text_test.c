/* The bounded writer of characters, and the texts of statuses. */
#include "base/status.h"
#include "base/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static void text_is_appended_and_always_terminated(void **state)
{
    (void)state;
    char room[64];
    memset(room, 'x', sizeof room);
    struct text text = text_of(room, sizeof room);
    assert_string_equal(room, "");
    text_add(&text, "a=");
    text_u64(&text, UINT64_MAX);
    text_add(&text, " ");
    text_hex(&text, 0xdeadbeef);
    text_bytes(&text, bytes_of("!?", 1));
    assert_string_equal(room, "a=18446744073709551615 deadbeef!");
    assert_int_equal(text.size, strlen(room));
    assert_false(text.truncated);
}

static void numbers_reach_their_ends(void **state)
{
    (void)state;
    char room[128];
    struct text text = text_of(room, sizeof room);
    static const int64_t numbers[] = {0, 1, -1, 42, -42, INT64_MAX, INT64_MIN};
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++) {
        text_i64(&text, numbers[i]);
        text_add(&text, " ");
    }
    text_u64(&text, 0);
    text_add(&text, " ");
    text_hex(&text, 0);
    text_add(&text, " ");
    text_hex(&text, UINT64_MAX);
    assert_string_equal(room, "0 1 -1 42 -42 9223372036854775807 -9223372036854775808 0 0 "
                              "ffffffffffffffff");
}

static void what_does_not_fit_is_cut_and_remembered(void **state)
{
    (void)state;
    char room[6];
    struct text text = text_of(room, 5);
    room[5] = 'x';
    text_add(&text, "abcd");
    assert_false(text.truncated);
    text_add(&text, "");
    assert_false(text.truncated);
    text_add(&text, "e");
    assert_true(text.truncated);
    assert_string_equal(room, "abcd");
    assert_int_equal(room[5], 'x');
    text = text_of(room, 1);
    text_u64(&text, 7);
    assert_string_equal(room, "");
    assert_true(text.truncated);
}

static void every_status_has_a_text_of_its_own(void **state)
{
    (void)state;
    assert_int_equal(STATUS_OK, 0);
    for (int i = 0; i <= STATUS_MISMATCH; i++) {
        const char *words = status_text((enum status)i);
        assert_true(strlen(words) > 0);
        for (int j = 0; j < i; j++)
            assert_string_not_equal(words, status_text((enum status)j));
    }
    assert_string_equal(status_text((enum status)9999), "unknown status");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_is_appended_and_always_terminated),
        cmocka_unit_test(numbers_reach_their_ends),
        cmocka_unit_test(what_does_not_fit_is_cut_and_remembered),
        cmocka_unit_test(every_status_has_a_text_of_its_own),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
