/* What people and programs read: escaped bytes, units, tables and JSON. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/json.h"
#include "cli/print.h"

#include <stdlib.h>
#include <string.h>

static void escaped_is(const char *bytes, size_t size, const char *expected)
{
    char *text = escape_bytes(bytes_of(bytes, size));
    assert_string_equal(text, expected);
    free(text);
}

static void printable_text_stays_and_the_rest_is_escaped(void **state)
{
    (void)state;
    escaped_is("plain", 5, "plain");
    escaped_is("a\nb\tc\\", 6, "a\\nb\\tc\\\\");
    escaped_is("\x00\x1b[2J", 5, "\\x00\\x1b[2J");
    escaped_is("gr\xc3\xbc\xc3\x9f", 6, "gr\xc3\xbc\xc3\x9f");
    escaped_is("\xff\xc3", 2, "\\xff\\xc3");
    escaped_is("\xc2\x9b", 2, "\\xc2\\x9b"); /* a C1 control: terminals obey it */
    escaped_is("", 0, "");
}

static void only_well_formed_utf8_counts_as_text(void **state)
{
    (void)state;
    assert_true(bytes_utf8(bytes_text("\xe2\x82\xac \xf0\x9f\x98\x80")));
    assert_false(bytes_utf8(bytes_text("\xc0\xaf")));         /* overlong */
    assert_false(bytes_utf8(bytes_text("\xed\xa0\x80")));     /* a surrogate */
    assert_false(bytes_utf8(bytes_text("\xf4\x90\x80\x80"))); /* beyond U+10FFFF */
    assert_false(bytes_utf8(bytes_text("\xe2\x82")));         /* cut short */
    assert_false(bytes_printable(bytes_text("a\nb")));
}

static void numbers_are_written_for_people(void **state)
{
    (void)state;
    char text[32];
    format_count(1234567, text, sizeof text);
    assert_string_equal(text, "1,234,567");
    format_count(999, text, sizeof text);
    assert_string_equal(text, "999");
    format_size(1536, text, sizeof text);
    assert_string_equal(text, "1.5 KiB");
    format_ns(850, text, sizeof text);
    assert_string_equal(text, "850 ns");
    format_ns(1250000, text, sizeof text);
    assert_string_equal(text, "1.25 ms");
    format_ns(999600, text, sizeof text);
    assert_string_equal(text, "1.00 ms");
}

static void a_table_is_aligned_by_characters(void **state)
{
    (void)state;
    static const char *const titles[] = {"KEY", ">N", "VALUE", NULL};
    struct table table;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    table_init(&table, titles);
    table_bytes(&table, bytes_text("\xc3\xbc"
                                   "ber"));
    table_cell(&table, "%d", 5);
    table_cell(&table, "x");
    table_bytes(&table, bytes_text("longer"));
    table_cell(&table, "%d", 1234);
    table_cell(&table, "y");
    table_print(&table, out);
    fclose(out);
    assert_string_equal(text, "KEY        N  VALUE\n"
                              "\xc3\xbc"
                              "ber       5  x\n"
                              "longer  1234  y\n");
    free(text);
    table_release(&table);
}

static void json_nests_escapes_and_keeps_bytes(void **state)
{
    (void)state;
    char *text = NULL;
    size_t size = 0;
    FILE *out = open_memstream(&text, &size);
    struct json json = json_of(out);
    json_object(&json, NULL);
    json_text(&json, "text", "a\"\\\n\x01");
    json_bytes(&json, "bytes", bytes_of("\xff\x00", 2));
    json_array(&json, "list");
    json_i64(&json, NULL, -5);
    json_bytes(&json, NULL, bytes_of("\xfe", 1));
    json_object(&json, NULL);
    json_object_end(&json);
    json_array_end(&json);
    json_id(&json, "id", UINT64_MAX);
    json_bool(&json, "yes", true);
    json_object_end(&json);
    json_line(&json);
    fclose(out);
    assert_string_equal(text, "{\"text\":\"a\\\"\\\\\\n\\u0001\",\"bytes_base64\":\"/wA=\","
                              "\"list\":[-5,{\"base64\":\"/g==\"},{}],"
                              "\"id\":\"ffffffffffffffff\",\"yes\":true}\n");
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(printable_text_stays_and_the_rest_is_escaped),
        cmocka_unit_test(only_well_formed_utf8_counts_as_text),
        cmocka_unit_test(numbers_are_written_for_people),
        cmocka_unit_test(a_table_is_aligned_by_characters),
        cmocka_unit_test(json_nests_escapes_and_keeps_bytes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
