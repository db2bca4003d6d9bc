/* Every small history: both tiers against every order, for all ways in which a few operations can
 * overlap and all that they can answer.
 *
 * How operations overlap matters only as far as one is before another. Each such order of n
 * operations is an upper triangular matrix of numbers that add up to n, without an empty row or
 * column: an operation in cell (i, j) is called in the i-th round of calls, and returns in the j-th
 * round of returns. There are 1, 2, 5, 15, 53, 217 of them for 1 to 6 operations.
 *
 * SYNOD_CHECK_EFFORT=n tries 2^n times as many of those that are too many for every day. */
#include "base/support_mem.h"
#include "check/check.h"
#include "check/history_file.h"
#include "check/support_naive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OPERATIONS_MAX 6

struct overlap {
    uint32_t call[OPERATIONS_MAX];
    uint32_t end[OPERATIONS_MAX];
};

static struct overlap overlaps[512];
static uint32_t overlaps_count;

static void find_overlaps_from(struct overlap *o, uint32_t n, uint32_t at, uint32_t size)
{
    if (at == n) {
        uint32_t rows = 0;
        uint32_t columns = 0;
        for (uint32_t i = 0; i < n; i++) {
            rows |= 1u << o->call[i];
            columns |= 1u << o->end[i];
        }
        if (rows == (1u << size) - 1 && columns == (1u << size) - 1)
            overlaps[overlaps_count++] = *o;
        return;
    }
    for (uint32_t call = at == 0 ? 0 : o->call[at - 1]; call < size; call++) {
        bool same_row = at > 0 && call == o->call[at - 1];
        for (uint32_t end = same_row ? o->end[at - 1] : call; end < size; end++) {
            o->call[at] = call;
            o->end[at] = end;
            find_overlaps_from(o, n, at + 1, size);
        }
    }
}

static void find_overlaps(uint32_t n)
{
    struct overlap o;
    overlaps_count = 0;
    for (uint32_t size = 1; size <= n; size++)
        find_overlaps_from(&o, n, 0, size);
}

static void ways_to_overlap_are_as_many_as_known(void **state)
{
    (void)state;
    static const uint32_t known[] = {1, 2, 5, 15, 53, 217};
    for (uint32_t n = 1; n <= OPERATIONS_MAX; n++) {
        find_overlaps(n);
        assert_int_equal(overlaps_count, known[n - 1]);
    }
}

/* --- what an operation may be -------------------------------------------------------------------
 */

enum kind {
    PUT,
    LOST_PUT, /* its outcome is unknown */
    DELETE,
    LOST_DELETE,
    GET,
    STALE_GET, /* serializable */
    CAS,       /* if the key is missing, put; otherwise get */
    LOST_CAS,
};

/* What is asked and heard. `found`: 1 + the operation whose value was found; 0: nothing. */
struct content {
    enum kind kind;
    uint32_t key;
    uint32_t found;
    int64_t deleted;
    int64_t revision;
    int64_t create;
    int64_t mod;
    int64_t version;
};

struct every {
    struct test_mem mem;
    struct history *h;
    uint32_t n;
    const struct overlap *overlap;
    struct content contents[OPERATIONS_MAX];
    const struct content *alphabet;
    uint32_t alphabet_count;
    bool revisions;
    uint64_t stride; /* one in so many is tried */
    uint64_t seen;
    uint64_t tried;
    uint64_t linearizable;
};

static bool is_put(enum kind kind)
{
    return kind == PUT || kind == LOST_PUT || kind == CAS || kind == LOST_CAS;
}

static uint32_t string_of(struct history *h, char letter, uint32_t number)
{
    char text[2] = {letter, (char)('0' + number)};
    return history_string(h, bytes_of(text, 2));
}

static void record(struct every *e, uint32_t which)
{
    const struct content *c = &e->contents[which];
    struct history *h = e->h;
    uint32_t key = string_of(h, 'k', c->key);
    struct history_op put = {.kind = HISTORY_PUT, .key = key, .value = string_of(h, 'v', which)};
    struct history_op other = {.kind = HISTORY_GET, .key = key};
    struct history_compare missing = {.kind = HISTORY_COMPARE_EXISTS, .key = key};
    bool cas = c->kind == CAS || c->kind == LOST_CAS;
    bool lost = c->kind == LOST_PUT || c->kind == LOST_DELETE || c->kind == LOST_CAS;
    if (c->kind == DELETE || c->kind == LOST_DELETE)
        other.kind = HISTORY_DELETE;
    struct history_request request = {
        .serializable = c->kind == STALE_GET,
        .then = is_put(c->kind) ? &put : &other,
        .then_count = 1,
        .compares = &missing,
        .compares_count = cas,
        .otherwise = &other,
        .otherwise_count = cas,
    };
    uint32_t number = history_call(h, which, 2 * e->overlap->call[which], &request);
    if (lost)
        return;
    /* A CAS that found something did not find the key missing. */
    bool held = !cas || c->found == 0;
    struct history_op *op =
        history_ok(h, number, 2 * e->overlap->end[which] + 1, c->revision, held);
    op->count = c->kind == DELETE ? c->deleted : 0;
    struct history_pair pair = {
        .key = key, .create = c->create, .mod = c->mod, .version = c->version};
    if (c->found > 0)
        pair.value = string_of(h, 'v', c->found - 1);
    if (op->kind == HISTORY_GET)
        history_found(h, op, &pair, c->found > 0, 0, false);
}

static void fail_on(struct every *e, enum check_outcome outcome, bool wanted,
                    const struct check_verdict *verdict)
{
    struct buffer buffer;
    buffer_init(&buffer, &e->mem.mem, 1 << 20);
    history_write(e->h, &buffer);
    print_message("%.*s", (int)buffer.size, (const char *)buffer.data);
    fail_msg("verdict %d (%s), every order says %d", outcome, verdict->what, wanted);
}

static void try_history(struct every *e)
{
    struct check_options options = {0};
    struct check_verdict verdict;
    if (e->seen++ % e->stride != 0)
        return;
    e->h = history_new(&e->mem.mem);
    for (uint32_t i = 0; i < e->n; i++)
        record(e, i);
    bool wanted = naive_linearizable(e->h, e->revisions);
    (e->revisions ? check_revisions : check_general)(e->h, &e->mem.mem, &options, &verdict);
    check_verdict_release(&verdict);
    bool said = verdict.outcome == CHECK_OK || verdict.outcome == CHECK_VACUOUS;
    if (said != wanted || verdict.outcome == CHECK_UNDECIDED)
        fail_on(e, verdict.outcome, wanted, &verdict);
    e->tried++;
    e->linearizable += wanted;
    history_free(e->h);
}

/* Operations that overlap with all others alike can change places: one order of them is enough. */
static bool is_first_of_alikes(const struct every *e, uint32_t at, uint32_t letter,
                               const uint32_t *letters)
{
    const struct overlap *o = e->overlap;
    return at == 0 || o->call[at] != o->call[at - 1] || o->end[at] != o->end[at - 1] ||
           e->contents[at].found > 0 || e->contents[at - 1].found > 0 || letters[at - 1] <= letter;
}

static bool finds_what_was_put(const struct every *e)
{
    for (uint32_t i = 0; i < e->n; i++) {
        uint32_t found = e->contents[i].found;
        if (found > 0 && (found == i + 1 || !is_put(e->contents[found - 1].kind) ||
                          e->contents[found - 1].key != e->contents[i].key))
            return false;
    }
    return true;
}

static void every_content(struct every *e, uint32_t at, uint32_t *letters)
{
    if (at == e->n) {
        if (finds_what_was_put(e))
            try_history(e);
        return;
    }
    for (uint32_t i = 0; i < e->alphabet_count; i++) {
        e->contents[at] = e->alphabet[i];
        letters[at] = i;
        if (e->alphabet[i].found <= e->n && is_first_of_alikes(e, at, i, letters))
            every_content(e, at + 1, letters);
    }
}

static uint64_t stride_of(uint64_t every_day)
{
    const char *text = getenv("SYNOD_CHECK_EFFORT");
    uint64_t stride = every_day >> (text == NULL ? 0 : strtoul(text, NULL, 10));
    return stride == 0 ? 1 : stride;
}

static void every_history(bool revisions, uint32_t n, const struct content *alphabet,
                          uint32_t count, uint64_t stride)
{
    struct every e = {.n = n,
                      .alphabet = alphabet,
                      .alphabet_count = count,
                      .revisions = revisions,
                      .stride = stride_of(stride)};
    uint32_t letters[OPERATIONS_MAX];
    test_mem_init(&e.mem);
    find_overlaps(n);
    for (uint32_t i = 0; i < overlaps_count; i++) {
        e.overlap = &overlaps[i];
        every_content(&e, 0, letters);
    }
    test_mem_check(&e.mem);
    print_message("%u operations: %llu of %llu histories tried, %llu linearizable\n", n,
                  (unsigned long long)e.tried, (unsigned long long)e.seen,
                  (unsigned long long)e.linearizable);
    assert_true(e.linearizable > 0);
    assert_true(n < 2 || e.linearizable < e.tried);
}

/* --- tier B -------------------------------------------------------------------------------------
 */

static void general_agrees_on_one_key(void **state)
{
    (void)state;
    struct content alphabet[6 + OPERATIONS_MAX] = {
        {.kind = PUT, .revision = 2},    {.kind = LOST_PUT},
        {.kind = DELETE, .revision = 1}, {.kind = DELETE, .deleted = 1, .revision = 2},
        {.kind = LOST_DELETE},           {.kind = GET, .revision = 1},
    };
    for (uint32_t i = 0; i < OPERATIONS_MAX; i++)
        alphabet[6 + i] = (struct content){
            .kind = GET, .found = i + 1, .revision = 2, .create = 2, .mod = 2, .version = 1};
    for (uint32_t n = 1; n <= 4; n++)
        every_history(false, n, alphabet, 6 + n, 1);
    every_history(false, 5, alphabet, 6 + 5, 32);
    every_history(false, 6, alphabet, 6 + 6, 4096);
}

static void general_agrees_on_two_keys_with_transactions(void **state)
{
    (void)state;
    struct content alphabet[2 * 8 + 4 * OPERATIONS_MAX];
    uint32_t count = 0;
    for (uint32_t key = 0; key < 2; key++) {
        alphabet[count++] = (struct content){.kind = PUT, .key = key, .revision = 2};
        alphabet[count++] = (struct content){.kind = CAS, .key = key, .revision = 2};
        alphabet[count++] = (struct content){.kind = GET, .key = key, .revision = 1};
        alphabet[count++] = (struct content){.kind = STALE_GET, .key = key, .revision = 1};
        alphabet[count++] = (struct content){.kind = LOST_CAS, .key = key};
        alphabet[count++] = (struct content){.kind = LOST_DELETE, .key = key};
        for (uint32_t i = 0; i < 4; i++) {
            struct content found = {
                .key = key, .found = i + 1, .revision = 2, .create = 2, .mod = 2, .version = 1};
            for (enum kind kind = GET; kind <= CAS; kind++) {
                found.kind = kind;
                if (i < 2 || kind != CAS)
                    alphabet[count++] = found;
            }
        }
    }
    assert_true(count <= sizeof alphabet / sizeof alphabet[0]);
    every_history(false, 1, alphabet, count, 1);
    every_history(false, 2, alphabet, count, 1);
    every_history(false, 3, alphabet, count, 1);
    every_history(false, 4, alphabet, count, 128);
}

/* --- tier A -------------------------------------------------------------------------------------
 */

/* With all that an answer can say of revisions, up to one more than there can be. */
static uint32_t alphabet_with_revisions(uint32_t n, struct content *alphabet)
{
    uint32_t count = 0;
    alphabet[count++] = (struct content){.kind = LOST_PUT};
    alphabet[count++] = (struct content){.kind = LOST_DELETE};
    for (int64_t revision = 1; revision <= n + 1; revision++) {
        alphabet[count++] = (struct content){.kind = GET, .revision = revision};
        alphabet[count++] = (struct content){.kind = STALE_GET, .revision = revision};
        alphabet[count++] = (struct content){.kind = DELETE, .revision = revision};
        if (revision == 1)
            continue;
        alphabet[count++] = (struct content){.kind = PUT, .revision = revision};
        alphabet[count++] = (struct content){.kind = DELETE, .deleted = 1, .revision = revision};
        for (uint32_t found = 1; found <= n; found++) {
            for (int64_t mod = 2; mod <= n + 1; mod++) {
                for (int64_t create = 2; create <= mod; create++) {
                    int64_t most = mod - create + 1;
                    for (int64_t version = most > 1 ? 2 : 1; version <= most; version++)
                        alphabet[count++] = (struct content){.kind = GET,
                                                             .found = found,
                                                             .revision = revision,
                                                             .create = create,
                                                             .mod = mod,
                                                             .version = version};
                }
            }
        }
    }
    return count;
}

static void revisions_agree_on_one_key(void **state)
{
    (void)state;
    static struct content alphabet[2048];
    for (uint32_t n = 1; n <= 3; n++) {
        uint32_t count = alphabet_with_revisions(n, alphabet);
        assert_true(count <= sizeof alphabet / sizeof alphabet[0]);
        every_history(true, n, alphabet, count, n < 3 ? 1 : 4);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ways_to_overlap_are_as_many_as_known),
        cmocka_unit_test(general_agrees_on_one_key),
        cmocka_unit_test(general_agrees_on_two_keys_with_transactions),
        cmocka_unit_test(revisions_agree_on_one_key),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
