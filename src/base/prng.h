/* Prng: small seeded pseudo-randomness (xoshiro256**, seeded by splitmix64). State is a value: copy
 * it and both copies go on alike. */
#ifndef SYNOD_BASE_PRNG_H
#define SYNOD_BASE_PRNG_H

#include <stdint.h>

struct prng {
    uint64_t state[4];
};

struct prng prng_seed(uint64_t seed);
uint64_t prng_next(struct prng *prng);
/* Uniform in [0, bound); bound > 0. */
uint64_t prng_below(struct prng *prng, uint64_t bound);

#endif
