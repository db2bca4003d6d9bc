/* Key ranges as etcd writes them: one key, [key, end), or everything from a key on. */
#include "store/kv.h"

#include "base/planted.h"

/* end = "\0": no end at all. */
static bool range_endless(const struct key_range *range)
{
    return range->end.size == 1 && range->end.data[0] == 0;
}

bool key_range_single(const struct key_range *range)
{
    return range->end.size == 0;
}

bool key_range_contains(const struct key_range *range, struct bytes key)
{
    if (key_range_single(range))
        return bytes_equal(range->key, key);
    return bytes_compare(range->key, key) <= 0 &&
           (range_endless(range) ||
            bytes_compare(key, range->end) < (planted(STORE_RANGE_END_INCLUDED) ? 1 : 0));
}

/* Does anything of `range` lie at or behind `key`? */
static bool range_reaches(const struct key_range *range, struct bytes key)
{
    if (range_endless(range))
        return true;
    if (key_range_single(range))
        return bytes_compare(range->key, key) >= 0;
    return bytes_compare(range->key, range->end) < 0 && bytes_compare(range->end, key) > 0;
}

bool key_range_overlap(const struct key_range *a, const struct key_range *b)
{
    /* The later of the two beginnings is in both, or nothing is. */
    bool a_later = bytes_compare(a->key, b->key) >= 0;
    const struct key_range *later = a_later ? a : b;
    const struct key_range *earlier = a_later ? b : a;
    return range_reaches(later, later->key) && range_reaches(earlier, later->key);
}
