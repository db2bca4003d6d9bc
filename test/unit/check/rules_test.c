/* The rules, one by one: a history that holds and one that differs from it in a single word, which
 * only that rule refuses. <good|bad> is that word. */
#include "base/support_mem.h"
#include "check/check.h"
#include "check/history_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPERATION(call, end, outcome, rest)                                                        \
    "{'client':1,'call':" call ",'return':" end ",'outcome':'" outcome "'," rest "}\n"
#define OK(call, end, revision, ops)                                                               \
    OPERATION(call, end, "ok", "'revision':" revision ",'do':[" ops "]")
#define STALE(call, end, revision, ops)                                                            \
    OPERATION(call, end, "ok", "'revision':" revision ",'serializable':true,'do':[" ops "]")
#define LOST(call, ops) OPERATION(call, "null", "unknown", "'do':[" ops "]")
#define FAILED(call, end, ops) OPERATION(call, end, "failed", "'do':[" ops "]")
#define TXN(call, end, revision, compares, held, ops)                                              \
    OPERATION(call, end, "ok",                                                                     \
              "'revision':" revision ",'if':[" compares "],'succeeded':" held ",'do':[" ops "]")
#define LOST_TXN(call, compares, then, otherwise)                                                  \
    OPERATION(call, "null", "unknown",                                                             \
              "'if':[" compares "],'then':[" then "],'else':[" otherwise "]")
#define PUT(key, value) "{'put':'" key "','value':'" value "'}"
#define LEASED(key, value, lease) "{'put':'" key "','value':'" value "','lease':" lease "}"
#define PAIR(value, create, mod, version)                                                          \
    "'value':'" value "','create':" create ",'mod':" mod ",'version':" version
#define GET(key, pair) "{'get':'" key "','found':{" pair "}}"
#define NONE(key) "{'get':'" key "','found':null}"
#define PAST(key, at, pair) "{'get':'" key "','at':" at ",'found':{" pair "}}"
#define KEY(key, pair) "{'key':'" key "'," pair "}"
#define RANGE(pairs, count, more)                                                                  \
    "{'range':'a','end':'z','found':[" pairs "],'count':" count ",'more':" more "}"
#define LIMITED(limit, pairs, count, more)                                                         \
    "{'range':'a','end':'z','limit':" limit ",'found':[" pairs "],'count':" count ",'more':" more  \
    "}"
#define DELETE(key, deleted) "{'delete':'" key "','deleted':" deleted "}"
#define REVOKE(lease) "{'revoke':" lease "}"
#define A1 PAIR("1", "2", "2", "1")

struct rule_case {
    const char *claim;
    const char *revisions; /* the rule of tier A that refuses the bad word; NULL: none */
    const char *general;   /* of tier B */
    const char *text;
};

/* The history with the first or the second word of each choice. */
static struct history *read_case(struct mem *mem, const char *text, bool bad)
{
    struct buffer file;
    char why[256];
    struct text error = text_of(why, sizeof why);
    struct history *h = history_new(mem);
    buffer_init(&file, mem, 1 << 20);
    buffer_append(&file, bytes_text("{\"format\":\"synod-history\",\"version\":1}\n"));
    int word = -1; /* -1 outside, 0 in the good one, 1 in the bad one */
    for (const char *at = text; *at != '\0'; at++) {
        if (*at == '<')
            word = 0;
        else if (*at == '|' && word == 0)
            word = 1;
        else if (*at == '>')
            word = -1;
        else if (word < 0 || word == bad)
            buffer_u8(&file, *at == '\'' ? '"' : (uint8_t)*at);
    }
    if (history_read(h, buffer_bytes(&file), &error) != STATUS_OK)
        fail_msg("%s\n%.*s", why, (int)file.size, (const char *)file.data);
    buffer_release(&file);
    return h;
}

static void expect(const struct rule_case *c, bool bad, bool general, bool partial,
                   const char *rule)
{
    struct test_mem mem;
    struct check_verdict v;
    struct check_options options = {.partial = partial};
    test_mem_init(&mem);
    struct history *h = read_case(&mem.mem, c->text, bad);
    (general ? check_general : check_revisions)(h, &mem.mem, &options, &v);
    if (rule == NULL && v.outcome != CHECK_OK)
        fail_msg("%s: %s: %d %s: %s", c->claim, general ? "general" : "revisions", v.outcome,
                 v.rule, v.what);
    if (rule != NULL && (v.outcome != CHECK_VIOLATION || strcmp(v.rule, rule) != 0))
        fail_msg("%s: %s: %d %s: %s", c->claim, general ? "general" : "revisions", v.outcome,
                 v.rule == NULL ? "" : v.rule, v.what);
    if (rule != NULL) {
        char line[1000];
        struct text text = text_of(line, sizeof line);
        assert_true(v.culprit < h->count && strlen(v.what) > 20);
        check_describe(h, v.culprit, &text);
        assert_true(text.size > 10);
    }
    check_verdict_release(&v);
    history_free(h);
    test_mem_check(&mem);
}

static const struct rule_case cases[] = {
    {"a put makes revision 2 at least", "first revision", NULL,
     OK("0", "1", "<2|1>", PUT("a", "1")) OK("2", "3", "2", GET("a", A1))},
    {"two writes never share a revision", "one write a revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("0", "1", "<3|2>", PUT("b", "2"))
         OK("2", "3", "3", GET("a", A1))},
    {"every revision has its write", "missing revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "<3|4>", PUT("b", "2"))
         OK("4", "5", "<3|4>", GET("a", A1))},
    {"a gap needs a write that was called in time", "missing revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "5", "4", PUT("b", "2")) LOST("<5|6>", PUT("c", "3"))
         OK("7", "8", "4", GET("a", A1))},
    {"a gap needs a write that fits", "missing revision", "no order",
     OK("0", "1", "2", PUT("a", "1")) LOST("2", PUT("<c|a>", "3")) OK("3", "4", "4", PUT("b", "2"))
         OK("5", "6", "4", GET("a", A1)) OK("5", "6", "4", "<" NONE("d") "|" NONE("b") ">")},
    {"a read finds what was written last", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2"))
         OK("4", "5", "3", GET("a", PAIR("<2|1>", "2", "3", "2")))},
    {"a read finds what is there", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "2", "<" GET("a", A1) "|" NONE("a") ">")},
    {"a read does not find what was deleted", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", DELETE("a", "1"))
         OK("4", "5", "3", "<" NONE("a") "|" GET("a", A1) ">")},
    {"a read finds what somebody wrote", "value", "phantom",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "2", GET("a", PAIR("<1|9>", "2", "2", "1")))},
    {"a value is found at the revision of its write", "phantom", NULL,
     OK("0", "1", "2", PUT("a", "1")) LOST("1", PUT("b", "2")) LOST("1", PUT("c", "3"))
         OK("2", "3", "4", GET("a", PAIR("1", "<2|4>", "<2|4>", "1")))},
    {"the mod revision is that of the last write", "mod revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2"))
         OK("4", "5", "3", GET("a", PAIR("1", "2", "<2|3>", "1")))},
    {"the create revision is that of the first write", "create revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2"))
         OK("4", "5", "3", GET("a", PAIR("2", "<2|3>", "3", "2")))},
    {"a key that was deleted is created again", "create revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", DELETE("a", "1")) OK(
         "4", "5", "4", PUT("a", "2")) OK("6", "7", "4", GET("a", PAIR("2", "<4|2>", "4", "1")))},
    {"the version counts the writes", "version", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2"))
         OK("4", "5", "3", GET("a", PAIR("2", "2", "3", "<2|1>")))},
    {"nothing is found that is not written yet", "future", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("1", "3", "3", PUT("a", "2"))
         OK("1", "3", "<3|2>", GET("a", PAIR("2", "2", "3", "2")))},
    {"no read is at a revision that is still to come", "future", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2"))
         OK("2", "3", "2", PAST("a", "<2|3>", A1))},
    {"a read at an old revision finds what was there then", "value", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2"))
         OK("4", "5", "3", PAST("a", "<2|3>", A1))},
    {"a failed write has no effect", "failed write", "phantom",
     OK("0", "1", "2", PUT("a", "1"))
         OPERATION("2", "<null|3>", "<unknown|failed>", "'do':[" PUT("a", "2") "]")
             OK("4", "5", "3", GET("a", PAIR("2", "2", "3", "2")))},
    {"what returned before is before: a read that saw a later state", "real time", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "9", "3", PUT("a", "2"))
         OK("3", "4", "3", GET("a", PAIR("2", "2", "3", "2"))) OK("<4|5>", "9", "2", GET("a", A1))},
    {"what returned before is before: two writes", "real time", NULL,
     OK("0", "1", "3", PUT("a", "1")) OK("<1|2>", "3", "2", PUT("b", "2"))
         OK("4", "5", "3", GET("a", PAIR("1", "3", "3", "1")))},
    {"a write is not seen before it was called", "real time", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("1", "3", "3", GET("a", PAIR("2", "2", "3", "2")))
         LOST("<3|4>", PUT("a", "2"))},
    {"a stale read finds a state that there was", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2")) OK("4", "5", "4",
                                                                          PUT("a", "3"))
         STALE("6", "7", "<2|3>",
               RANGE("<" KEY("a", A1) "|" KEY("b", PAIR("2", "3", "3", "1")) ">", "1", "false"))},
    {"a stale read may be old, but not from the future", "real time", "no order",
     OK("0", "1", "2", PUT("a", "1")) STALE("2", "3", "3", GET("a", PAIR("2", "2", "3", "2")))
         OK("<3|4>", "5", "3", PUT("a", "2"))},
    {"only a serializable read may be stale", "real time", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2")) OPERATION(
         "4", "5", "ok", "'revision':2,'serializable':<true|false>,'do':[" GET("a", A1) "]")},
    {"a delete says how many keys there were", "deleted", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "<3|2>", DELETE("a", "<1|0>"))
         OK("4", "5", "<3|2>", NONE("b"))},
    {"a second delete finds nothing", "deleted", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", DELETE("a", "1"))
         OK("4", "5", "<3|4>", DELETE("a", "<0|1>")) OK("6", "7", "<3|4>", NONE("a"))},
    {"a range counts all keys", "count", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "2", RANGE(KEY("a", A1), "<1|2>", "false"))},
    {"a range finds all keys", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2"))
         OK("4", "5", "3",
            RANGE(KEY("a", A1) "<," KEY("b", PAIR("2", "3", "3", "1")) "|>", "<2|1>", "false"))},
    {"a range finds keys in their order", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2"))
         OK("4", "5", "3",
            RANGE("<" KEY("a", A1) "," KEY("b", PAIR("2", "3", "3", "1")) "|" KEY(
                      "b", PAIR("2", "3", "3", "1")) "," KEY("a", A1) ">",
                  "2", "false"))},
    {"a range finds a key once", "order", "no order",
     OK("0", "1", "2", PUT("a", "1"))
         OK("2", "3", "2", RANGE(KEY("a", A1) "<|," KEY("a", A1) ">", "1", "false"))},
    {"a range keeps its limit", "limit", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2"))
         OK("4", "5", "3",
            LIMITED("1", KEY("a", A1) "<|," KEY("b", PAIR("2", "3", "3", "1")) ">", "2", "true"))},
    {"a range says whether there is more", "more", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2"))
         OK("4", "5", "3", LIMITED("1", KEY("a", A1), "2", "<true|false>"))},
    {"a transaction takes the right branch: value", "branch", "no order",
     OK("0", "1", "2", PUT("a", "1"))
         TXN("2", "3", "2", "{'key':'a','value':'<1|2>'}", "true", GET("a", A1))},
    {"a transaction takes the right branch: existence", "branch", "no order",
     OK("0", "1", "2", PUT("a", "1"))
         TXN("2", "3", "2", "{'key':'a','exists':<false|true>}", "false", GET("a", A1))},
    {"a transaction takes the right branch: mod revision", "branch", "no order",
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2"))
         TXN("4", "5", "3", "{'key':'a','mod':<3|2>}", "true", GET("a", PAIR("2", "2", "3", "2")))},
    {"a transaction takes the right branch: mod 0 is a missing key", "branch", "no order",
     OK("0", "1", "2", PUT("a", "1"))
         TXN("4", "5", "2", "{'key':'<b|a>','mod':0}", "true", GET("a", A1))},
    {"a transaction sees its own writes, in order", "value", "no order",
     OK("0", "1", "2", PUT("a", "1"))
         OK("2", "3", "3", PUT("a", "2") "," GET("a", PAIR("<2|1>", "2", "<3|2>", "<2|1>")))},
    {"an unknown transaction does what its branch says", "branch", "no order",
     OK("0", "1", "2", PUT("a", "1"))
         LOST_TXN("2", "{'key':'a','value':'<1|2>'}", PUT("b", "2"), PUT("b", "3"))
             OK("4", "5", "3", GET("b", PAIR("2", "3", "3", "1")))},
    {"an unknown transaction is done as a whole", "value", "no order",
     OK("0", "1", "2", PUT("a", "1")) LOST("2", PUT("a", "2") "," PUT("b", "3"))
         OK("4", "5", "3", GET("b", PAIR("3", "3", "3", "1")))
             OK("6", "7", "3", GET("a", PAIR("<2|1>", "2", "<3|2>", "<2|1>")))},
    {"an unknown operation is done once at most", "phantom", "no order",
     OK("0", "1", "2", PUT("a", "1")) LOST("2", PUT("a", "2"))
         OK("4", "5", "3", GET("a", PAIR("2", "2", "3", "2"))) OK("6", "7", "4", PUT("a", "3"))
             OK("8", "9", "<4|5>", GET("a", PAIR("<3|2>", "2", "<4|5>", "<3|4>")))},
    {"a revocation of a lease with keys has a revision", "revoked lease", NULL,
     OK("0", "1", "2", LEASED("a", "1", "<7|8>")) OK("2", "3", "2", REVOKE("8"))
         OK("4", "5", "2", NONE("b"))},
    {"a revocation deletes the keys of its lease", "missing revision", "no order",
     OK("0", "1", "2", LEASED("a", "1", "7")) OK("2", "3", "3", REVOKE("7"))
         OK("4", "5", "3", "<" NONE("a") "|" GET("a", A1) ">")},
    {"a put without the lease frees the key from it", "missing revision", "no order",
     OK("0", "1", "2", LEASED("a", "1", "7"))
         OK("2", "3", "3", "<" LEASED("a", "2", "7") "|" PUT("a", "2") ">")
             OK("4", "5", "4", REVOKE("7")) OK("6", "7", "4", NONE("a"))},
    {"an expiry may be what deleted a key", "value", "no order",
     OK("0", "1", "2", LEASED("a", "1", "7")) LOST("0", REVOKE("<7|8>"))
         OK("6", "7", "<3|2>", NONE("a"))},
};

static void each_rule_refuses_what_only_it_can(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct rule_case *c = &cases[i];
        expect(c, false, false, false, NULL);
        expect(c, false, true, false, NULL);
        expect(c, true, false, false, c->revisions);
        expect(c, true, true, false, c->general);
    }
}

/* Rules that hold even if others wrote as well. */
static const struct rule_case partial_cases[] = {
    {"others may have written, but not at a revision of ours", "value", NULL,
     OK("0", "1", "2", PUT("a", "1"))
         OK("2", "3", "<3|2>", GET("a", PAIR("9", "2", "<3|2>", "<2|1>")))},
    {"others may have deleted, if there was a revision for it", "value", NULL,
     OK("0", "1", "5", PUT("a", "1")) OK("2", "3", "<6|5>", NONE("a"))},
    {"nobody wrote between two reads of one revision", "value", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "7", GET("b", PAIR("8", "5", "5", "1")))
         OK("4", "5", "7", "<" GET("b", PAIR("8", "5", "5", "1")) "|" NONE("b") ">")},
    {"the version counts at least our writes", "version", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", GET("a", PAIR("9", "2", "3", "2"))) OK(
         "4", "5", "4", PUT("a", "2")) OK("6", "7", "4", GET("a", PAIR("2", "2", "4", "<3|4>")))},
    {"there were not so many writes of others", "version", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("6", "7", "5", GET("a", PAIR("9", "2", "5", "<4|5>")))},
    {"a key is created at a revision of its own", "create revision", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "1"))
         OK("6", "7", "5", GET("a", PAIR("9", "<4|3>", "5", "2")))},
    {"versions and revisions fit together", "version", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("6", "7", "5", GET("b", PAIR("9", "4", "<5|4>", "2")))},
    {"a delete finds our key", "deleted", NULL,
     OK("0", "1", "4", PUT("a", "1")) OK("2", "3", "5", DELETE("a", "1"))
         OK("4", "5", "<7|6>", DELETE("a", "1")) OK("6", "7", "9", NONE("c"))},
    {"a branch that was decided", "branch", NULL,
     OK("0", "1", "4", PUT("a", "1")) OK("0", "1", "3", NONE("a"))
         TXN("2", "3", "<5|4>", "{'key':'a','exists':false}", "true", NONE("c"))},
    {"a value that was seen was not refused", "failed write", NULL,
     OK("0", "1", "4", PUT("a", "1")) FAILED("1", "2", PUT("b", "<3|2>"))
         OK("4", "5", "5", GET("b", PAIR("2", "5", "5", "1")))},
    {"time passes for all", "real time", NULL,
     OK("0", "1", "9", PUT("a", "1")) OK("<1|2>", "3", "5", NONE("a"))},
    {"a count is a count", "count", NULL,
     OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "9", RANGE("", "<0|1>", "false"))},
};

static void each_rule_of_partial_histories_refuses_what_only_it_can(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof partial_cases / sizeof partial_cases[0]; i++) {
        expect(&partial_cases[i], false, false, true, NULL);
        expect(&partial_cases[i], true, false, true, partial_cases[i].revisions);
    }
}

/* --- what must be allowed -----------------------------------------------------------------------
 */

static void what_may_have_happened_is_allowed(void **state)
{
    (void)state;
    static const struct rule_case allowed[] = {
        {"an unknown write that was lost", NULL, NULL,
         OK("0", "1", "2", PUT("a", "1")) LOST("2", PUT("a", "2")) OK("4", "5", "2", GET("a", A1))},
        {"an unknown write that comes late", NULL, NULL,
         OK("0", "1", "2", PUT("a", "1")) LOST("2", PUT("a", "2")) OK("4", "5", "2", GET("a", A1))
             OK("6", "7", "3", GET("a", PAIR("2", "2", "3", "2")))},
        {"an unknown write that nobody saw, but for its revision", NULL, NULL,
         OK("0", "1", "2", PUT("a", "1")) LOST("2", PUT("a", "2")) OK("4", "5", "4", PUT("a", "3"))
             OK("6", "7", "4", GET("a", PAIR("3", "2", "4", "3")))},
        {"an unknown delete that only its absence shows", NULL, NULL,
         OK("0", "1", "2", PUT("a", "1")) LOST("2", "{'delete':'a'}") OK("4", "5", "3", NONE("a"))},
        {"an unknown write that only a delete noticed", NULL, NULL,
         LOST("0", PUT("a", "1")) OK("4", "5", "3", DELETE("a", "1")) OK("6", "7", "3", NONE("a"))},
        {"the last of two values, of writes of one value", NULL, NULL,
         OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "1"))
             OK("4", "5", "3", GET("a", PAIR("1", "2", "3", "2")))},
        {"the order of writes that only the second read tells", NULL, NULL,
         OK("0", "9", "3", PUT("a", "1")) OK("0", "9", "2", PUT("a", "2"))
             OK("1", "9", "3", GET("a", PAIR("1", "2", "3", "2")))
                 OK("2", "8", "2", GET("a", PAIR("2", "2", "2", "1")))},
    };
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0]; i++) {
        expect(&allowed[i], false, false, false, NULL);
        expect(&allowed[i], false, true, false, NULL);
    }
}

/* If this one ever passes, no verdict is worth anything: two clients read the same key one after
 * the other, and time runs backwards between them. */
static void the_canary_is_refused_by_both(void **state)
{
    (void)state;
    static const struct rule_case canary = {
        "the canary", NULL, NULL,
        OK("0", "1", "2", PUT("a", "1")) OK("2", "20", "3", PUT("a", "2"))
            OK("5", "6", "3", GET("a", PAIR("2", "2", "3", "2"))) OK("7", "8", "2", GET("a", A1))};
    expect(&canary, false, false, false, "real time");
    expect(&canary, false, true, false, "no order");
}

static void nothing_to_see_is_said(void **state)
{
    (void)state;
    static const char *const vacuous[] = {
        "",
        FAILED("0", "1", PUT("a", "1")) LOST("2", PUT("b", "2")),
        OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("b", "2")),
        OK("0", "1", "1", NONE("a")) OK("2", "3", "1", DELETE("b", "0")),
    };
    struct test_mem mem;
    test_mem_init(&mem);
    for (size_t i = 0; i < sizeof vacuous / sizeof vacuous[0]; i++) {
        struct check_options options = {0};
        struct check_verdict v;
        struct history *h = read_case(&mem.mem, vacuous[i], false);
        check_revisions(h, &mem.mem, &options, &v);
        assert_int_equal(v.outcome, CHECK_VACUOUS);
        check_verdict_release(&v);
        check_general(h, &mem.mem, &options, &v);
        assert_int_equal(v.outcome, CHECK_VACUOUS);
        check_verdict_release(&v);
        history_free(h);
    }
    test_mem_check(&mem);
}

static void the_longest_prefix_is_told(void **state)
{
    (void)state;
    static const char text[] = OK("0", "1", "2", PUT("a", "1")) OK("2", "3", "3", PUT("a", "2"))
        OK("4", "5", "3", GET("a", PAIR("2", "2", "3", "2"))) OK("6", "7", "2", GET("a", A1))
            OK("8", "9", "4", PUT("a", "3"));
    struct test_mem mem;
    struct check_options options = {0};
    struct check_verdict v;
    test_mem_init(&mem);
    struct history *h = read_case(&mem.mem, text, false);
    check_general(h, &mem.mem, &options, &v);
    assert_int_equal(v.outcome, CHECK_VIOLATION);
    assert_int_equal(v.culprit, 3);
    assert_int_equal(v.prefix_count, 3);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(v.prefix[i], i);
    check_verdict_release(&v);
    check_revisions(h, &mem.mem, &options, &v);
    assert_int_equal(v.outcome, CHECK_VIOLATION);
    assert_int_equal(v.culprit, 3);
    assert_true(v.prefix_count >= 1 && v.prefix[0] == 0);
    check_verdict_release(&v);
    history_free(h);
    test_mem_check(&mem);
}

/* A search without a budget would end; with none to speak of it has to say that it does not know.
 */
static void a_budget_is_kept(void **state)
{
    (void)state;
    char text[20000];
    struct text all = text_of(text, sizeof text);
    struct test_mem mem;
    struct check_options options = {.steps = 50};
    struct check_verdict v;
    for (uint64_t i = 0; i < 12; i++) {
        text_add(&all, "{'client':1,'call':0,'return':90,'outcome':'ok','revision':");
        text_u64(&all, i + 2);
        text_add(&all, ",'do':[{'put':'a','value':'");
        text_u64(&all, i);
        text_add(&all, "'}]}\n");
    }
    text_add(&all, OK("91", "92", "13", NONE("a")));
    test_mem_init(&mem);
    struct history *h = read_case(&mem.mem, text, false);
    check_general(h, &mem.mem, &options, &v);
    assert_int_equal(v.outcome, CHECK_UNDECIDED);
    check_verdict_release(&v);
    options.steps = 0;
    check_general(h, &mem.mem, &options, &v);
    assert_int_equal(v.outcome, CHECK_VIOLATION);
    check_verdict_release(&v);
    history_free(h);
    test_mem_check(&mem);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_rule_refuses_what_only_it_can),
        cmocka_unit_test(each_rule_of_partial_histories_refuses_what_only_it_can),
        cmocka_unit_test(what_may_have_happened_is_allowed),
        cmocka_unit_test(the_canary_is_refused_by_both),
        cmocka_unit_test(nothing_to_see_is_said),
        cmocka_unit_test(the_longest_prefix_is_told),
        cmocka_unit_test(a_budget_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
