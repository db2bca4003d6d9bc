#include "base/prng.h"

#include "base/panic.h"

static uint64_t prng_splitmix(uint64_t *state)
{
    uint64_t z = (*state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

struct prng prng_seed(uint64_t seed)
{
    struct prng prng;
    for (int i = 0; i < 4; i++)
        prng.state[i] = prng_splitmix(&seed);
    return prng;
}

static uint64_t prng_rotate(uint64_t x, unsigned by)
{
    return x << by | x >> (64 - by);
}

uint64_t prng_next(struct prng *prng)
{
    uint64_t *s = prng->state;
    uint64_t result = prng_rotate(s[1] * 5, 7) * 9;
    uint64_t t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = prng_rotate(s[3], 45);
    return result;
}

uint64_t prng_below(struct prng *prng, uint64_t bound)
{
    ensure(bound > 0);
    uint64_t reject = (0 - bound) % bound; /* 2^64 mod bound: what would bias the remainder */
    uint64_t value = prng_next(prng);
    while (value < reject)
        value = prng_next(prng);
    return value % bound;
}
