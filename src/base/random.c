/* SPDX-License-Identifier: MIT */
#include "random.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>

void
random_fill(void *at, size_t size)
{
	unsigned char *to = at;
	ssize_t n;

	while (size > 0) {
		n = getrandom(to, size, 0);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			abort();
		to += n;
		size -= (size_t)n;
	}
}

/* SplitMix64 (Steele, Lea, Flood 2014), one state per thread. */
uint64_t
random_cheap(void)
{
	static _Thread_local uint64_t state;
	uint64_t z;

	if (state == 0)
		random_fill(&state, sizeof(state));
	state += 0x9E3779B97F4A7C15u;
	z = state;
	z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
	z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
	return (z ^ (z >> 31));
}
