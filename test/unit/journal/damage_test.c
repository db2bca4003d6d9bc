/* What recovery makes of a log that the disk has damaged: it is found, wherever it is, and never
 * taken for a write that nobody was told of. */
#include "journal/journal.h"
#include "journal/record.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "support_host.h"

#define FIRST_LOG "log/0000000000000001.log"

static struct host host;

static void every_flipped_byte_of_an_acknowledged_record_is_found(void **state)
{
    (void)state;
    uint64_t bytes = host_small_log(&host, 20);
    uint64_t size;
    for (uint64_t at = 4096; at < 4096 + bytes; at++) {
        uint8_t *file = fake_file(&host.disk, FIRST_LOG, &size);
        uint8_t mask = (uint8_t)(1u << at % 8);
        file[at] ^= mask;
        enum status status = host_open(&host);
        if (status != STATUS_CORRUPT)
            fail_msg("byte %llu: %s", (unsigned long long)at, status_text(status));
        assert_non_null(strstr(host.error, FIRST_LOG));
        assert_int_equal(host.disk.handles_open, 0);
        file[at] ^= mask;
    }
    assert_int_equal(host_open(&host), STATUS_OK);
    assert_int_equal(host.replayed, 6);
    assert_false(host.foreign);
    host_close(&host);
    host_release(&host);
}

static void every_flipped_byte_of_a_segment_header_is_refused(void **state)
{
    (void)state;
    host_small_log(&host, 21);
    uint64_t size;
    for (uint64_t at = 0; at < 64; at++) {
        fake_file(&host.disk, FIRST_LOG, &size)[at] ^= 0x10;
        assert_int_not_equal(host_open(&host), STATUS_OK);
        fake_file(&host.disk, FIRST_LOG, &size)[at] ^= 0x10;
    }
    host_release(&host);
}

static void a_sector_that_was_zeroed_is_damage_unless_it_is_the_tail(void **state)
{
    (void)state;
    uint64_t bytes = host_small_log(&host, 20);
    uint64_t size;
    uint32_t dropped = 0;
    for (uint64_t at = 4096; at < 4096 + bytes; at += 512) {
        struct host kept = host;
        struct fake_disk copy;
        fake_copy(&copy, &host.disk, at);
        memset(fake_file(&host.disk, FIRST_LOG, &size) + at, 0, 512);
        enum status status = host_open(&host);
        /* Only the last batch can look like one that was never acknowledged. */
        assert_true(status == STATUS_CORRUPT || host.replayed == 4);
        dropped += status == STATUS_OK;
        if (status == STATUS_OK)
            host_close(&host);
        fake_release(&host.disk);
        host = kept;
        fake_copy(&host.disk, &copy, at);
        host.config.world = &host.disk.world;
        fake_release(&copy);
    }
    assert_true(dropped > 0);
    assert_true(dropped < bytes / 512);
    host_release(&host);
}

/* Where the last batch of a log begins: behind its first segment's header, a sector at a time. */
static uint64_t last_batch(const uint8_t *file, uint64_t end)
{
    struct segment_header segment;
    struct record_header header;
    assert_int_equal(segment_header_decode(bytes_of(file, SEGMENT_HEADER_SIZE), &segment),
                     STATUS_OK);
    for (uint64_t at = end - 512;; at -= 512) {
        assert_true(at >= 4096);
        if (record_header_decode(file + at, segment.seed, &header) && header.batch == 0)
            return at;
    }
}

/* Found by `synod sim`: the disk put the last batch elsewhere in the file, and the write that
 * should have mended it at the next start was interrupted. What stands at its place looks torn, as
 * if nobody had been told that it is durable. */
static void a_batch_that_the_disk_put_elsewhere_is_damage(void **state)
{
    (void)state;
    uint64_t end = 4096 + host_small_log(&host, 20);
    uint64_t size;
    uint8_t *file = fake_file(&host.disk, FIRST_LOG, &size);
    uint64_t last = last_batch(file, end);
    uint64_t elsewhere = (size - (end - last)) / 512 * 512;
    assert_true(elsewhere > end);
    memcpy(file + elsewhere, file + last, end - last);
    memset(file + last, 0, 512);
    assert_int_equal(host_open(&host), STATUS_CORRUPT);
    host_release(&host);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_flipped_byte_of_an_acknowledged_record_is_found),
        cmocka_unit_test(every_flipped_byte_of_a_segment_header_is_refused),
        cmocka_unit_test(a_sector_that_was_zeroed_is_damage_unless_it_is_the_tail),
        cmocka_unit_test(a_batch_that_the_disk_put_elsewhere_is_damage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
