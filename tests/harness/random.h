/* SPDX-License-Identifier: MIT */
#ifndef HARNESS_RANDOM_H
#define HARNESS_RANDOM_H

#include <stdint.h>

/*
 * random: numbers that a seed repeats.  The state is any number, the seed.
 */
uint64_t random_next(uint64_t *state);

/* Less than `n`, which is not 0. */
unsigned random_below(uint64_t *state, unsigned n);

#endif
