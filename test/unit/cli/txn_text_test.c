/* The language of synod txn: what each line becomes, and that a wrong one is named by its number.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/prng.h"
#include "cli/range.h"
#include "cli/txn_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static bool parse(struct txn_text *txn, char **ret_text, const char *text)
{
    *ret_text = strdup(text);
    return txn_text_parse(txn, *ret_text, strlen(text));
}

static void data_is(ProtobufCBinaryData data, const char *expected, size_t size)
{
    assert_int_equal(data.len, size);
    assert_memory_equal(data.data, expected, size);
}

static void lines_become_comparisons_and_operations(void **state)
{
    (void)state;
    struct txn_text txn;
    char *text;
    assert_true(parse(&txn, &text,
                      "# a comment\n\n"
                      "if version a = 0\r\n"
                      "  if value \"b c\" != \"x\\n\\xff\\\"\"\n"
                      "if lease l < 1f\n"
                      "then put a \"\" --lease 0x1f\n"
                      "then get a/ --prefix\n"
                      "else del a b"));
    const Etcdserverpb__TxnRequest *request = &txn.request;
    assert_int_equal(request->n_compare, 3);
    assert_int_equal(request->n_success, 2);
    assert_int_equal(request->n_failure, 1);
    assert_int_equal(request->compare[0]->target, ETCDSERVERPB__COMPARE__COMPARE_TARGET__VERSION);
    assert_int_equal(request->compare[0]->version, 0);
    assert_int_equal(request->compare[1]->result, ETCDSERVERPB__COMPARE__COMPARE_RESULT__NOT_EQUAL);
    data_is(request->compare[1]->key, "b c", 3);
    data_is(request->compare[1]->value, "x\n\xff\"", 4);
    assert_int_equal(request->compare[2]->result, ETCDSERVERPB__COMPARE__COMPARE_RESULT__LESS);
    assert_int_equal(request->compare[2]->lease, 0x1f);
    data_is(request->success[0]->request_put->value, "", 0);
    assert_int_equal(request->success[0]->request_put->lease, 0x1f);
    data_is(request->success[1]->request_range->range_end, "a0", 2);
    data_is(request->failure[0]->request_delete_range->range_end, "b", 1);
    txn_text_release(&txn);
    free(text);
}

static void a_wrong_line_is_named_by_its_number(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "\nif size a = 0",
        "\nif version a == 0",
        "\nif version a = x",
        "\nif version a",
        "\nthen put a",
        "\nthen put a b c",
        "\nthen put a \"b",
        "\nthen put a \"\\q\"",
        "\nthen move a b",
        "\nthen",
        "\nmaybe put a b",
        "\nthen get a b c",
        "\nthen put a b --lease z",
        "\nif value a = b c d e f",
        "\nthen put a \"\\x1",
    };
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        struct txn_text txn;
        char *text;
        assert_false(parse(&txn, &text, wrong[i]));
        assert_int_equal(txn.line, 2);
        assert_true(txn.error[0] != '\0');
        txn_text_release(&txn);
        free(text);
    }
}

static void an_empty_transaction_is_refused(void **state)
{
    (void)state;
    struct txn_text txn;
    char *text;
    assert_false(parse(&txn, &text, "# nothing\n\n"));
    txn_text_release(&txn);
    free(text);
}

static void any_text_is_parsed_or_refused(void **state)
{
    (void)state;
    static const char *const words[] = {"if",       "then", "else", "put", "get", "del", "version",
                                        "\"",       "\\x",  "a",    "=",   "0",   "\n",  "#",
                                        "--prefix", "\t",   " ",    " ",   " ",   " ",   "value"};
    uint64_t seed = (uint64_t)time(NULL);
    struct prng prng = prng_seed(seed);
    printf("seed %llu\n", (unsigned long long)seed);
    for (size_t round = 0; round < 20000; round++) {
        char line[256] = "";
        for (uint64_t left = prng_below(&prng, 16); left > 0; left--)
            strcat(line, words[prng_below(&prng, sizeof words / sizeof words[0])]);
        struct txn_text txn;
        char *text;
        bool good = parse(&txn, &text, line);
        assert_true(good || txn.error[0] != '\0');
        txn_text_release(&txn);
        free(text);
    }
}

static void the_end_of_a_prefix_is_the_next_key_that_has_it_not(void **state)
{
    (void)state;
    uint8_t end[8];
    assert_int_equal(prefix_end((const uint8_t *)"a/", 2, end), 2);
    assert_memory_equal(end, "a0", 2);
    assert_int_equal(prefix_end((const uint8_t *)"a\xff\xff", 3, end), 1);
    assert_memory_equal(end, "b", 1);
    assert_int_equal(prefix_end((const uint8_t *)"\xff", 1, end), 1);
    assert_int_equal(end[0], 0);
    assert_int_equal(prefix_end((const uint8_t *)"", 0, end), 1);
    assert_int_equal(end[0], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_become_comparisons_and_operations),
        cmocka_unit_test(a_wrong_line_is_named_by_its_number),
        cmocka_unit_test(an_empty_transaction_is_refused),
        cmocka_unit_test(any_text_is_parsed_or_refused),
        cmocka_unit_test(the_end_of_a_prefix_is_the_next_key_that_has_it_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
