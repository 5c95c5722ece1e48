/* Numbers that follow from a seed: splitmix64 (Steele, Lea, Flood 2014). */
#ifndef TESTS_SIM_RNG_H
#define TESTS_SIM_RNG_H

#include <stdbool.h>
#include <stdint.h>

struct rng {
	uint64_t state;
};

static inline uint64_t rng_mix(uint64_t x)
{
	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
	x = (x ^ x >> 27) * 0x94d049bb133111ebu;
	return x ^ x >> 31;
}

static inline uint64_t rng_next(struct rng *r)
{
	return rng_mix(r->state += 0x9e3779b97f4a7c15u);
}

/* 0 … n - 1; n > 0 */
static inline unsigned rng_below(struct rng *r, unsigned n)
{
	return (unsigned)((rng_next(r) >> 32) * n >> 32);
}

/* True once in n times; n = 0: never. */
static inline bool rng_one_in(struct rng *r, unsigned n)
{
	return n > 0 && rng_below(r, n) == 0;
}

#endif
