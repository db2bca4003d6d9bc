/* Draws; see draw.h. Logarithms are computed by squaring, in fixed point with 16 bits behind the
 * point.
 *
 * The one invariant: no floating point. */
#include "sim/draw.h"

#include "base/hash.h"

#define POINT 16
#define TABLE_LOG2 8
#define TABLE_SIZE (1u << TABLE_LOG2)
#define LN2 UINT64_C(45426) /* ln 2 in that fixed point */

struct prng draw_stream(uint64_t seed, uint32_t stream)
{
    return prng_seed(hash_fold(hash_u64(seed), stream));
}

/* 2^32 is wide enough for these bounds: the bias of a multiplication is below one in a billion. */
static uint64_t below(struct prng *prng, uint32_t bound)
{
    return (prng_next(prng) >> 32) * bound >> 32;
}

bool draw_percent(struct prng *prng, uint32_t percent)
{
    return below(prng, 100) < percent;
}

bool draw_chance(struct prng *prng, uint32_t millionths)
{
    return millionths > 0 && below(prng, 1000000) < millionths;
}

uint64_t draw_between(struct prng *prng, uint64_t first, uint64_t last)
{
    return first >= last ? first : first + prng_below(prng, last - first + 1);
}

/* Log2 of 1 <= x < 2, where x is mantissa / 2^63, by squaring: a bit each time. */
static uint64_t log2_squaring(uint64_t mantissa)
{
    uint64_t x = mantissa >> 32; /* 31 bits behind the point */
    uint64_t result = 0;
    for (int bit = POINT - 1; bit >= 0; bit--) {
        x = x * x >> 31;
        if (x >> 32) {
            x >>= 1;
            result |= UINT64_C(1) << bit;
        }
    }
    return result;
}

/* The same from a table of 256 pieces, straight in between. */
static uint64_t log2_mantissa(uint64_t mantissa)
{
    static uint32_t table[TABLE_SIZE + 1];
    if (table[TABLE_SIZE] == 0) {
        for (uint64_t i = 0; i < TABLE_SIZE; i++)
            table[i] = (uint32_t)log2_squaring((TABLE_SIZE + i) << (63 - TABLE_LOG2));
        table[TABLE_SIZE] = 1u << POINT;
    }
    uint64_t piece = mantissa >> (63 - TABLE_LOG2) & (TABLE_SIZE - 1);
    uint64_t between = mantissa >> (63 - TABLE_LOG2 - 16) & 0xffff;
    return table[piece] + ((table[piece + 1] - table[piece]) * between >> 16);
}

/* Log2 of a number above 0. */
static uint64_t log2_fixed(uint64_t value)
{
    unsigned zeros = (unsigned)__builtin_clzll((unsigned long long)value);
    return ((uint64_t)(63 - zeros) << POINT) + log2_mantissa(value << zeros);
}

uint64_t draw_logarithmic(struct prng *prng, uint64_t first, uint64_t last)
{
    if (first >= last)
        return first;
    /* A power of two between them, then a point between it and the next. */
    uint64_t exponent = draw_between(prng, log2_fixed(first), log2_fixed(last)) >> POINT;
    uint64_t low = UINT64_C(1) << exponent;
    uint64_t value = draw_between(prng, low, 2 * low - 1);
    if (value < first)
        return first;
    return value > last ? last : value;
}

uint64_t draw_exponential(struct prng *prng, uint64_t mean)
{
    uint64_t uniform = prng_next(prng) | 1;
    uint64_t minus_log2 = (UINT64_C(64) << POINT) - log2_fixed(uniform);
    return 1 + (mean * (minus_log2 * LN2 >> POINT) >> POINT);
}
