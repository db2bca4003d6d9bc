/* Draws: random numbers of several shapes, in integers alone, so that every compiler on every
 * machine draws the same. */
#ifndef SYNOD_SIM_DRAW_H
#define SYNOD_SIM_DRAW_H

#include "base/prng.h"

#include <stdbool.h>

/* The randomness of one concern of one seed. */
struct prng draw_stream(uint64_t seed, uint32_t stream);
/* True so many times out of a hundred, or of a million. Draws nothing where the answer is plain. */
bool draw_percent(struct prng *prng, uint32_t percent);
bool draw_chance(struct prng *prng, uint32_t millionths);
/* Uniform, both ends included. */
uint64_t draw_between(struct prng *prng, uint64_t first, uint64_t last);
/* Between first (at least 1) and last, such that each power of two is as likely as the next. */
uint64_t draw_logarithmic(struct prng *prng, uint64_t first, uint64_t last);
/* Exponentially distributed with this mean (below 2^40), at least 1. */
uint64_t draw_exponential(struct prng *prng, uint64_t mean);

#endif
