/* Range: which keys a command means; see range.h.
 *
 * The empty key cannot be named on the wire; as a start it stands for the first key that can, a
 * single zero byte. */
#include "cli/range.h"

#include <string.h>

const struct option range_flags[] = {
    {.group = "Keys",
     .name = "prefix",
     .kind = OPTION_BOOL,
     .help = "every key that begins with KEY"},
    {.name = "from-key", .kind = OPTION_BOOL, .help = "every key from KEY on"},
    {.name = NULL},
};

size_t prefix_end(const uint8_t *key, size_t size, uint8_t *ret_end)
{
    while (size > 0 && key[size - 1] == 0xff)
        size--;
    if (size == 0) {
        ret_end[0] = 0;
        return 1;
    }
    memcpy(ret_end, key, size);
    ret_end[size - 1]++;
    return size;
}

static ProtobufCBinaryData data_of(const char *text, size_t size)
{
    return (ProtobufCBinaryData){size, (uint8_t *)(uintptr_t)text};
}

enum exit_code range_read(const struct options *options, struct range *ret_range)
{
    const char *key = options->arguments[0];
    size_t size = strlen(key);
    bool prefix = options_bool(options, "prefix");
    bool from_key = options_bool(options, "from-key");
    bool has_end = options->arguments_count == 2;
    if ((prefix ? 1 : 0) + (from_key ? 1 : 0) + (has_end ? 1 : 0) > 1)
        return usage_error(options, "use one of RANGE_END, --prefix and --from-key, not several");
    if (size >= sizeof ret_range->space)
        return usage_error(options, "KEY is too long");
    ret_range->key = size == 0 && (prefix || from_key) ? data_of("", 1) : data_of(key, size);
    ret_range->end = data_of("", 0);
    if (has_end)
        ret_range->end = data_of(options->arguments[1], strlen(options->arguments[1]));
    else if (from_key)
        ret_range->end = data_of("", 1);
    else if (prefix)
        ret_range->end = (ProtobufCBinaryData){
            prefix_end((const uint8_t *)key, size, ret_range->space), ret_range->space};
    return EXIT_CODE_OK;
}
