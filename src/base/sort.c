/* Bottom-up merge sort: runs of 1, 2, 4, ... are merged back and forth between the items and the
 * scratch. The left run wins ties: that is what makes it stable. */
#include "base/sort.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

struct sorter {
    size_t size;
    sort_compare_fn compare;
    const void *context;
};

/* Merges [from, middle) and [middle, to) into `out`. */
static void sort_merge(const struct sorter *s, const uint8_t *from, const uint8_t *middle,
                       const uint8_t *to, uint8_t *out)
{
    const uint8_t *right = middle;
    while (from < middle && right < to) {
        bool take_left = s->compare(from, right, s->context) <= 0;
        memcpy(out, take_left ? from : right, s->size);
        out += s->size;
        from += take_left ? s->size : 0;
        right += take_left ? 0 : s->size;
    }
    memcpy(out, from, (size_t)(middle - from));
    out += middle - from;
    memcpy(out, right, (size_t)(to - right));
}

void sort_stable(void *items, void *scratch, size_t count, size_t size, sort_compare_fn compare,
                 const void *context)
{
    struct sorter s = {size, compare, context};
    uint8_t *from = items;
    uint8_t *to = scratch;
    if (count < 2)
        return;
    for (size_t run = 1; run < count; run *= 2) {
        for (size_t at = 0; at < count; at += 2 * run) {
            size_t middle = at + run < count ? at + run : count;
            size_t end = middle + run < count ? middle + run : count;
            sort_merge(&s, from + at * size, from + middle * size, from + end * size,
                       to + at * size);
        }
        uint8_t *swap = from;
        from = to;
        to = swap;
    }
    if (from != items)
        memcpy(items, from, count * size);
}
