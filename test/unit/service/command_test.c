/* Commands as bytes: what goes in comes out, every cut is noticed, damage is harmless; and what is
 * refused before anything is replicated. */
#include "service/support_machine.h"

#include <stdlib.h>
#include <string.h>

struct fixture {
    struct mem mem;
    struct arena arena;
    struct buffer buffer;
    struct buffer again;
};

static void fixture_init(struct fixture *f)
{
    test_mem_init(&f->mem);
    arena_init(&f->arena, &f->mem);
    buffer_init(&f->buffer, &f->mem, (size_t)1 << 24);
    buffer_init(&f->again, &f->mem, (size_t)1 << 24);
}

static void fixture_release(struct fixture *f)
{
    buffer_release(&f->buffer);
    buffer_release(&f->again);
    arena_release(&f->arena);
    assert_int_equal(f->mem.used, 0);
}

/* The encoding without its length. */
static struct bytes encode(struct buffer *buffer, const struct command *command)
{
    buffer_clear(buffer);
    command_encode(buffer, command);
    assert_false(buffer->failed);
    assert_int_equal(load_u32(buffer->data), buffer->size - 4);
    return bytes_of(buffer->data + 4, buffer->size - 4);
}

static void a_decoded_command_encodes_to_the_same_bytes_and_no_cut_decodes(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct prng prng = prng_seed(1);
    for (int round = 0; round < 3000; round++) {
        struct command command = random_command(&prng, &f.arena);
        struct command decoded;
        struct bytes bytes = encode(&f.buffer, &command);
        assert_int_equal(command_decode(bytes, &f.arena, &decoded), STATUS_OK);
        assert_int_equal(decoded.kind, command.kind);
        assert_true(bytes_equal(encode(&f.again, &decoded), bytes));
        for (size_t size = 0; size < bytes.size; size++) {
            /* A copy of its own, so that the sanitizer sees a read behind the cut. */
            uint8_t *cut = malloc(size + 1);
            memcpy(cut, bytes.data, size);
            assert_int_not_equal(command_decode(bytes_of(cut, size), &f.arena, &decoded),
                                 STATUS_OK);
            free(cut);
        }
        buffer_u8(&f.buffer, 0);
        assert_int_not_equal(
            command_decode(bytes_of(f.buffer.data + 4, f.buffer.size - 4), &f.arena, &decoded),
            STATUS_OK);
        arena_reset(&f.arena);
    }
    fixture_release(&f);
}

static void damaged_commands_decode_to_something_or_nothing(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct prng prng = prng_seed(2);
    for (int round = 0; round < 30000; round++) {
        struct command command = random_command(&prng, &f.arena);
        struct bytes bytes = encode(&f.buffer, &command);
        f.buffer.data[4 + prng_below(&prng, bytes.size)] = (uint8_t)prng_next(&prng);
        struct command decoded;
        if (command_decode(bytes, &f.arena, &decoded) == STATUS_OK) {
            command_check(&decoded, 128);
            command_cost(&decoded);
        }
        arena_reset(&f.arena);
    }
    fixture_release(&f);
}

/* A few bytes that claim to hold many leases must not make anybody reserve room for them. */
static void a_count_is_believed_only_as_far_as_bytes_follow(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    buffer_u16(&f.buffer, COMMAND_LEASE_EXPIRE);
    buffer_u16(&f.buffer, 1);
    buffer_u64(&f.buffer, 1);
    buffer_varint(&f.buffer, 1u << 20);
    struct command decoded;
    assert_int_equal(command_decode(buffer_bytes(&f.buffer), &f.arena, &decoded), STATUS_INVALID);
    assert_true(f.mem.used < 1u << 20);
    fixture_release(&f);
}

static void unknown_kinds_are_unsupported_and_deep_nesting_is_invalid(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    struct command decoded;
    assert_int_equal(command_decode(bytes_of("\x01\x7f", 2), &f.arena, &decoded),
                     STATUS_UNSUPPORTED);
    assert_int_equal(command_decode(bytes_of("\x01", 1), &f.arena, &decoded), STATUS_INVALID);
    struct command nested[COMMAND_TXN_DEPTH_MAX + 1] = {{0}};
    for (uint32_t depth = 1; depth <= COMMAND_TXN_DEPTH_MAX + 1; depth++) {
        struct command *outer = &nested[depth - 1];
        outer->kind = COMMAND_TXN;
        outer->txn.success = depth > 1 ? &nested[depth - 2] : NULL;
        outer->txn.success_count = depth > 1;
        bool allowed = depth <= COMMAND_TXN_DEPTH_MAX;
        enum status status = command_decode(encode(&f.buffer, outer), &f.arena, &decoded);
        assert_int_equal(status, allowed ? STATUS_OK : STATUS_INVALID);
        assert_int_equal(command_check(outer, 128), allowed ? REFUSAL_NONE : REFUSAL_TOO_MANY_OPS);
    }
    fixture_release(&f);
}

static struct command put_of(const char *key)
{
    return (struct command){.kind = COMMAND_PUT, .put = {.key = bytes_text(key)}};
}

static struct command delete_of(const char *key, const char *end)
{
    struct command command = {.kind = COMMAND_DELETE};
    command.delete.range = (struct key_range){bytes_text(key), bytes_text(end)};
    return command;
}

static struct command txn_of(const struct command *success, uint32_t success_count,
                             const struct command *failure, uint32_t failure_count)
{
    struct command command = {.kind = COMMAND_TXN};
    command.txn.success = success;
    command.txn.success_count = success_count;
    command.txn.failure = failure;
    command.txn.failure_count = failure_count;
    return command;
}

static enum refusal check_pair(struct command a, struct command b)
{
    struct command both[2] = {a, b};
    struct command txn = txn_of(both, 2, NULL, 0);
    struct command other = txn_of(NULL, 0, both, 2);
    enum refusal refusal = command_check(&txn, 128);
    assert_int_equal(command_check(&other, 128), refusal);
    return refusal;
}

static void no_transaction_touches_a_key_twice(void **state)
{
    (void)state;
    struct command a = put_of("a");
    struct command b = put_of("b");
    struct command del = delete_of("a", "c");
    struct command endless = delete_of("a", "");
    endless.delete.range.end = bytes_of("\0", 1);
    assert_int_equal(check_pair(a, b), REFUSAL_NONE);
    assert_int_equal(check_pair(a, a), REFUSAL_DUPLICATE_KEY);
    assert_int_equal(check_pair(a, del), REFUSAL_DUPLICATE_KEY);
    assert_int_equal(check_pair(del, b), REFUSAL_DUPLICATE_KEY);
    assert_int_equal(check_pair(del, put_of("c")), REFUSAL_NONE);
    assert_int_equal(check_pair(endless, put_of("z")), REFUSAL_DUPLICATE_KEY);
    assert_int_equal(check_pair(del, del), REFUSAL_NONE);
    assert_int_equal(check_pair(delete_of("a", ""), a), REFUSAL_DUPLICATE_KEY);
    /* Of two branches only one is taken. */
    struct command branches = txn_of(&a, 1, &a, 1);
    assert_int_equal(check_pair(branches, b), REFUSAL_NONE);
    assert_int_equal(check_pair(branches, a), REFUSAL_DUPLICATE_KEY);
    assert_int_equal(check_pair(del, branches), REFUSAL_DUPLICATE_KEY);
    assert_int_equal(check_pair(branches, branches), REFUSAL_DUPLICATE_KEY);
    struct command twice[2] = {a, a};
    struct command inner = txn_of(twice, 2, NULL, 0);
    assert_int_equal(check_pair(inner, b), REFUSAL_DUPLICATE_KEY);
}

static void operations_are_counted_as_etcd_counts_them(void **state)
{
    (void)state;
    struct command ranges[6];
    for (int i = 0; i < 6; i++)
        ranges[i] =
            (struct command){.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("a")}}};
    struct command flat = txn_of(ranges, 5, NULL, 0);
    assert_int_equal(command_check(&flat, 5), REFUSAL_NONE);
    assert_int_equal(command_check(&flat, 4), REFUSAL_TOO_MANY_OPS);
    /* A nested transaction has what its parent's longest list leaves. */
    struct command outer = txn_of(&flat, 1, NULL, 0);
    assert_int_equal(command_check(&outer, 6), REFUSAL_NONE);
    assert_int_equal(command_check(&outer, 5), REFUSAL_TOO_MANY_OPS);
    struct compare compares[3] = {{.range = {.key = bytes_text("a")}},
                                  {.range = {.key = bytes_text("a")}},
                                  {.range = {.key = bytes_text("a")}}};
    outer.txn.compares = compares;
    outer.txn.compares_count = 3;
    assert_int_equal(command_check(&outer, 7), REFUSAL_TOO_MANY_OPS);
    assert_int_equal(command_check(&outer, 8), REFUSAL_NONE);
}

static void what_is_malformed_is_refused_with_the_reason(void **state)
{
    (void)state;
    struct command command = {.kind = COMMAND_PUT};
    assert_int_equal(command_check(&command, 128), REFUSAL_KEY_EMPTY);
    command.put.key = bytes_text("a");
    command.put.value = bytes_text("v");
    command.put.ignore_value = true;
    assert_int_equal(command_check(&command, 128), REFUSAL_VALUE_PROVIDED);
    command.put.ignore_value = false;
    command.put.ignore_lease = true;
    command.put.lease = 7;
    assert_int_equal(command_check(&command, 128), REFUSAL_LEASE_PROVIDED);
    struct command empty = {0};
    struct command txn = txn_of(&empty, 1, NULL, 0);
    assert_int_equal(command_check(&txn, 128), REFUSAL_KEY_NOT_FOUND);
    struct compare compare = {0};
    txn.txn.compares = &compare;
    txn.txn.compares_count = 1;
    assert_int_equal(command_check(&txn, 128), REFUSAL_KEY_EMPTY);
    struct command range = {.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("a")}}};
    range.range.target = (enum sort_target)9;
    txn = txn_of(NULL, 0, &range, 1);
    assert_int_equal(command_check(&txn, 128), REFUSAL_INVALID_SORT);
    struct command grant = {.kind = COMMAND_LEASE_GRANT, .lease = {1, LEASE_TTL_MAX + 1}};
    assert_int_equal(command_check(&grant, 128), REFUSAL_LEASE_TTL_TOO_LARGE);
}

static void the_cost_of_a_transaction_is_that_of_its_dearer_branch(void **state)
{
    (void)state;
    struct command puts[2] = {put_of("abcd"), put_of("b")};
    struct command del = delete_of("a", "c");
    struct command txn = txn_of(puts, 2, &del, 1);
    assert_int_equal(command_cost(&puts[0]), 260);
    assert_int_equal(command_cost(&txn), 260 + 257);
    assert_int_equal(command_cost(&del), 0);
    assert_false(command_txn_read_only(&txn.txn));
    struct command range = {.kind = COMMAND_RANGE, .range = {.range = {.key = bytes_text("a")}}};
    txn = txn_of(&range, 1, NULL, 0);
    assert_true(command_txn_read_only(&txn.txn));
    assert_false(command_txn_serializable(&txn.txn));
    range.range.serializable = true;
    assert_true(command_txn_serializable(&txn.txn));
    struct command nested = txn_of(&txn, 1, NULL, 0);
    assert_false(command_txn_read_only(&nested.txn));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_decoded_command_encodes_to_the_same_bytes_and_no_cut_decodes),
        cmocka_unit_test(damaged_commands_decode_to_something_or_nothing),
        cmocka_unit_test(a_count_is_believed_only_as_far_as_bytes_follow),
        cmocka_unit_test(unknown_kinds_are_unsupported_and_deep_nesting_is_invalid),
        cmocka_unit_test(no_transaction_touches_a_key_twice),
        cmocka_unit_test(operations_are_counted_as_etcd_counts_them),
        cmocka_unit_test(what_is_malformed_is_refused_with_the_reason),
        cmocka_unit_test(the_cost_of_a_transaction_is_that_of_its_dearer_branch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
