/* The history in memory and its file: what is written is read back, and what is not exactly the
 * format is refused with the line and the reason. */
#include "base/support_mem.h"
#include "check/check.h"
#include "check/history_file.h"
#include "check/support_random.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#define HEADER "{\"format\":\"synod-history\",\"version\":1}\n"
#define BEFORE "{\"client\":1,\"call\":5,\"return\":6,\"outcome\":\"ok\",\"revision\":2,\"do\":"

static void strings_are_numbered_once(void **state)
{
    (void)state;
    struct test_mem mem;
    uint32_t numbers[1000];
    test_mem_init(&mem);
    struct history *h = history_new(&mem.mem);
    for (uint32_t i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        numbers[i] = history_string(h, bytes_text(text));
        assert_true(numbers[i] != 0);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        assert_int_equal(history_string(h, bytes_text(text)), numbers[i]);
        assert_true(bytes_equal(h->strings[numbers[i]], bytes_text(text)));
    }
    assert_true(history_string(h, BYTES_EMPTY) != 0);
    history_free(h);
    test_mem_check(&mem);
}

static void what_is_not_told_is_unknown(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    struct history *h = history_new(&mem.mem);
    struct history_op ops[2] = {{.kind = HISTORY_GET, .key = history_string(h, bytes_text("a"))}};
    struct history_request request = {.then = ops, .then_count = 2};
    ops[1] = (struct history_op){.kind = HISTORY_DELETE, .key = ops[0].key};
    uint32_t first = history_call(h, 7, 100, &request);
    uint32_t second = history_call(h, 8, 100, &request);
    uint32_t third = history_call(h, 9, 110, &request);
    ops[0].key = 0; /* the request was copied */
    struct history_pair pair = {h->operations[first].then[0].key,
                                history_string(h, bytes_text("v")), 2, 3, 2};
    struct history_op *answers = history_ok(h, second, 150, 4, true);
    history_found(h, &answers[0], &pair, 1, 0, false);
    answers[1].count = 1;
    history_failed(h, third, 120);
    pair.value = 0; /* and so was the answer */
    assert_int_equal(h->count, 3);
    assert_int_equal(h->operations[first].outcome, HISTORY_UNKNOWN);
    assert_true(h->operations[first].end == UINT64_MAX);
    assert_int_equal(h->operations[second].outcome, HISTORY_OK);
    assert_true(h->operations[second].then[0].found[0].value != 0);
    assert_int_equal(h->operations[second].end, 150);
    assert_int_equal(h->operations[third].outcome, HISTORY_FAILED);
    history_free(h);
    test_mem_check(&mem);
}

/* --- the file -----------------------------------------------------------------------------------
 */

static enum status read_text(struct history *h, const char *text, size_t size, char why[256])
{
    struct text error = text_of(why, 256);
    return history_read(h, bytes_of(text, size), &error);
}

static struct buffer written(struct test_mem *mem, const struct history *h)
{
    struct buffer buffer;
    buffer_init(&buffer, &mem->mem, 1 << 24);
    history_write(h, &buffer);
    assert_false(buffer.failed);
    return buffer;
}

static void random_histories_survive_the_file(void **state)
{
    (void)state;
    struct test_mem mem;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    test_mem_init(&mem);
    for (int i = 0; i < 300; i++) {
        struct random_plan plan = random_plan_any(&prng, 1 + (uint32_t)prng_below(&prng, 60));
        struct history *h = random_history(&mem.mem, &prng, &plan);
        struct buffer once = written(&mem, h);
        struct history *copy = history_new(&mem.mem);
        char why[256];
        if (read_text(copy, (const char *)once.data, once.size, why) != STATUS_OK)
            fail_msg("%s\n%.*s", why, (int)once.size, (const char *)once.data);
        assert_int_equal(copy->count, h->count);
        struct buffer twice = written(&mem, copy);
        assert_true(bytes_equal(buffer_bytes(&once), buffer_bytes(&twice)));
        struct check_verdict before;
        struct check_verdict after;
        struct check_options options = {0};
        check_revisions(h, &mem.mem, &options, &before);
        check_revisions(copy, &mem.mem, &options, &after);
        assert_int_equal(before.outcome, after.outcome);
        check_verdict_release(&before);
        check_verdict_release(&after);
        buffer_release(&once);
        buffer_release(&twice);
        history_free(copy);
        history_free(h);
    }
    test_mem_check(&mem);
}

static void every_byte_survives_the_file(void **state)
{
    (void)state;
    struct test_mem mem;
    uint8_t all[256];
    char why[256];
    test_mem_init(&mem);
    for (int i = 0; i < 256; i++)
        all[i] = (uint8_t)i;
    static const char *const texts[] = {"", "\"\\/\b\f\n\r\t\x01\x7f",
                                        "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"};
    struct history *h = history_new(&mem.mem);
    for (uint32_t i = 0; i < 4; i++) {
        struct bytes bytes = i == 3 ? bytes_of(all, 256) : bytes_text(texts[i]);
        struct history_op op = {.kind = HISTORY_PUT,
                                .key = history_string(h, bytes),
                                .value = history_string(h, bytes)};
        history_call(h, i, i, &(struct history_request){.then = &op, .then_count = 1});
    }
    struct buffer file = written(&mem, h);
    struct history *copy = history_new(&mem.mem);
    assert_int_equal(read_text(copy, (const char *)file.data, file.size, why), STATUS_OK);
    for (uint32_t i = 0; i < 4; i++) {
        const struct history_op *op = &copy->operations[i].then[0];
        struct bytes bytes = i == 3 ? bytes_of(all, 256) : bytes_text(texts[i]);
        assert_true(bytes_equal(copy->strings[op->key], bytes));
        assert_true(bytes_equal(copy->strings[op->value], bytes));
    }
    buffer_release(&file);
    history_free(copy);
    history_free(h);
    test_mem_check(&mem);
}

static void the_format_may_be_written_in_other_ways(void **state)
{
    (void)state;
    static const char text[] =
        "  { \"version\" : 1 , \"format\" : \"synod-history\" }\r\n"
        "{\"do\":[{\"found\":{\"version\":1,\"mod\":2,\"create\":2,\"value\":"
        "\"\\u00e9\\ud83d\\ude00\\/\"},"
        "\"get\":\"a\"}],\"revision\":2,\"outcome\":\"ok\",\"return\":6,\"call\":5,\"client\":0}";
    struct test_mem mem;
    char why[256] = "";
    test_mem_init(&mem);
    struct history *h = history_new(&mem.mem);
    if (read_text(h, text, sizeof text - 1, why) != STATUS_OK)
        fail_msg("%s", why);
    assert_int_equal(h->count, 1);
    const struct history_pair *pair = h->operations[0].then[0].found;
    assert_true(bytes_equal(h->strings[pair->value], bytes_text("\xc3\xa9\xf0\x9f\x98\x80/")));
    assert_int_equal(pair->key, h->operations[0].then[0].key);
    history_free(h);
    test_mem_check(&mem);
}

static const struct {
    const char *text;
    const char *why;
} bad[] = {
    {"", "line 1: expected '{'"},
    {"{}\n", "line 1: \"format\" is missing"},
    {"{\"format\":\"other\",\"version\":1}", "line 1: \"format\" is not synod-history"},
    {"{\"format\":\"synod-history\",\"version\":2}", "line 1: \"version\" is not 1"},
    {"{\"format\":\"synod-history\",\"version\":1} x", "line 1: something behind the header"},
    {HEADER "\n", "line 2: expected '{'"},
    {HEADER "{\"client\":1,\"client\":1}", "line 2: \"client\" is there twice"},
    {HEADER "{\"colour\":1}", "line 2: unknown field \"colour\""},
    {HEADER "{\"client\":4294967296}", "line 2: \"client\" is too large"},
    {HEADER "{\"client\":18446744073709551616}", "line 2: a number that is too large"},
    {HEADER "{\"client\":1.5}", "line 2: expected a whole number"},
    {HEADER "{\"client\":01}", "line 2: expected a whole number"},
    {HEADER "{\"client\":-1}", "line 2: expected a whole number"},
    {HEADER "{\"outcome\":\"maybe\"}", "line 2: \"outcome\" is neither ok, failed nor unknown"},
    {HEADER BEFORE "[]", "line 2: expected ','"},
    {HEADER BEFORE "[]}}", "line 2: something behind the operation"},
    {HEADER BEFORE "[{}]}", "line 2: an operation without put, get, range, delete or revoke"},
    {HEADER BEFORE "[{\"get\":\"a\"}]}", "line 2: \"found\" is missing"},
    {HEADER BEFORE "[{\"get\":\"a\",\"found\":[]}]}",
     "line 2: \"found\" of a get is null or one pair"},
    {HEADER BEFORE "[{\"range\":\"a\",\"found\":null,\"count\":0,\"more\":false}]}",
     "line 2: \"found\" of a range is an array"},
    {HEADER BEFORE "[{\"put\":\"a\",\"value\":\"b\",\"end\":\"c\"}]}",
     "line 2: \"end\" does not belong here"},
    {HEADER BEFORE "[{\"put\":\"a\",\"get\":\"b\",\"value\":\"b\"}]}",
     "line 2: \"get\" does not belong here"},
    {HEADER BEFORE "[{\"put\":\"a\",\"value\":\"b\",\"lease\":0}]}", "line 2: lease 0 is none"},
    {HEADER BEFORE "[{\"range\":\"a\",\"limit\":0}]}", "line 2: \"limit\" must be 1 or more"},
    {HEADER BEFORE "[{\"delete\":\"a\",\"deleted\":-1}]}", "line 2: \"deleted\" must be 0 or more"},
    {HEADER BEFORE "[{\"revoke\":1},{\"put\":\"a\",\"value\":\"b\"}]}",
     "line 2: \"revoke\" must be the only operation"},
    {HEADER BEFORE "[],\"succeeded\":true}", "line 2: \"succeeded\" does not belong here"},
    {HEADER BEFORE "[],\"if\":[{\"key\":\"a\",\"mod\":1}]}", "line 2: \"succeeded\" is missing"},
    {HEADER BEFORE "[],\"if\":[],\"succeeded\":true}", "line 2: \"if\" is empty"},
    {HEADER BEFORE "[],\"if\":[{\"key\":\"a\",\"mod\":1,\"exists\":true}],\"succeeded\":true}",
     "line 2: a compare needs one of \"value\", \"exists\" and \"mod\""},
    {HEADER BEFORE "[{\"put\":\"a", "line 2: a string without an end"},
    {HEADER BEFORE "[{\"put\":\"\\x\"", "line 2: an unknown escape in a string"},
    {HEADER BEFORE "[{\"put\":\"\\u12g4\"",
     "line 2: an escape \\u without four hexadecimal digits"},
    {HEADER BEFORE "[{\"put\":\"\\ud800\"", "line 2: half of a surrogate pair"},
    {HEADER BEFORE "[{\"put\":\"\\udc00\"", "line 2: half of a surrogate pair"},
    {HEADER BEFORE "[{\"put\":\"\xff\"", "line 2: a string with a byte that is no text"},
    {HEADER BEFORE "[{\"put\":\"\xc0\x80\"", "line 2: a string with a byte that is no text"},
    {HEADER BEFORE "[{\"put\":{\"hex\":\"0\"}", "line 2: \"hex\" has an odd number of digits"},
    {HEADER BEFORE "[{\"put\":{\"hex\":\"0g\"}", "line 2: \"hex\" holds something else"},
    {HEADER BEFORE "[{\"put\":{\"text\":\"0g\"}", "line 2: expected a string or {\"hex\":\"...\"}"},
    {HEADER "{\"client\":1,\"call\":5,\"return\":4,\"outcome\":\"failed\",\"do\":[]}",
     "line 2: \"return\" is before the call"},
    {HEADER "{\"client\":1,\"call\":5,\"return\":null,\"outcome\":\"failed\",\"do\":[]}",
     "line 2: \"return\" is null only where the outcome is unknown"},
    {HEADER "{\"client\":1,\"call\":5,\"return\":6,\"outcome\":\"unknown\",\"do\":[]}",
     "line 2: \"return\" is null where the outcome is unknown"},
    {HEADER "{\"client\":1,\"call\":5,\"return\":6,\"outcome\":\"failed\",\"do\":[]}\n"
            "{\"client\":1,\"call\":4,\"return\":6,\"outcome\":\"failed\",\"do\":[]}",
     "line 3: \"call\" is before that of the line above"},
    {HEADER "{\"client\":1,\"call\":5,\"return\":6,\"outcome\":\"failed\",\"do\":[],\"else\":[]}",
     "line 2: \"else\" does not belong here"},
};

static void what_is_wrong_is_said_with_its_line(void **state)
{
    (void)state;
    struct test_mem mem;
    test_mem_init(&mem);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct history *h = history_new(&mem.mem);
        char why[256] = "";
        enum status status = read_text(h, bad[i].text, strlen(bad[i].text), why);
        if (status != STATUS_INVALID || strcmp(why, bad[i].why) != 0)
            fail_msg("%s\n  said: %s\n  not:  %s", bad[i].text, why, bad[i].why);
        history_free(h);
    }
    test_mem_check(&mem);
}

/* Whatever the bytes, they are a history or an error; and what is a history can be judged. */
static void damaged_files_do_no_harm(void **state)
{
    (void)state;
    struct test_mem mem;
    uint64_t seed = (uint64_t)time(NULL);
    print_message("seed %llu\n", (unsigned long long)seed);
    struct prng prng = prng_seed(seed);
    uint32_t accepted = 0;
    test_mem_init(&mem);
    for (int i = 0; i < 2000; i++) {
        struct random_plan plan = random_plan_any(&prng, 1 + (uint32_t)prng_below(&prng, 6));
        struct history *h = random_history(&mem.mem, &prng, &plan);
        struct buffer file = written(&mem, h);
        history_free(h);
        for (uint64_t j = prng_below(&prng, 4) + 1; j > 0; j--) {
            size_t at = 40 + (size_t)prng_below(&prng, file.size - 40);
            while (j > 1 && (file.data[at] < '0' || file.data[at] > '9'))
                at = 40 + (size_t)prng_below(&prng, file.size - 40);
            static const char likely[] = "0123456789\"{}[],:truefalsn-";
            bool digit = file.data[at] >= '0' && file.data[at] <= '9';
            file.data[at] = prng_below(&prng, 4) > 0
                                ? (uint8_t)likely[prng_below(&prng, digit ? 10 : sizeof likely - 1)]
                                : (uint8_t)prng_next(&prng);
        }
        if (prng_below(&prng, 10) == 0)
            file.size = (size_t)prng_below(&prng, file.size);
        h = history_new(&mem.mem);
        char why[256] = "";
        enum status status = read_text(h, (const char *)file.data, file.size, why);
        assert_true(status == STATUS_OK || strncmp(why, "line ", 5) == 0);
        accepted += status == STATUS_OK;
        struct check_options options = {.steps = 10000};
        struct check_verdict v;
        check_revisions(h, &mem.mem, &options, &v);
        check_verdict_release(&v);
        check_general(h, &mem.mem, &options, &v);
        check_verdict_release(&v);
        options.partial = true;
        check_revisions(h, &mem.mem, &options, &v);
        check_verdict_release(&v);
        history_free(h);
        buffer_release(&file);
    }
    print_message("%u of 2000 were still histories\n", accepted);
    assert_true(accepted > 30);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(strings_are_numbered_once),
        cmocka_unit_test(what_is_not_told_is_unknown),
        cmocka_unit_test(random_histories_survive_the_file),
        cmocka_unit_test(every_byte_survives_the_file),
        cmocka_unit_test(the_format_may_be_written_in_other_ways),
        cmocka_unit_test(what_is_wrong_is_said_with_its_line),
        cmocka_unit_test(damaged_files_do_no_harm),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
