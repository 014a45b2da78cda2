/* SPDX-License-Identifier: MIT */
#include "tally.h"

#include "../base/clock.h"
#include "../base/counters.h"
#include "problem.h"

static void
count_cached(unsigned label, const struct cache_answer *a, int64_t took_us)
{
	enum counter first = a->status == CACHE_HIT ? COUNT_HITS_MEMORY
						    : COUNT_STALE_MEMORY;

	counters_add(label, first + (enum counter)a->tier, 1);
	counters_observe(label, TIME_CACHED_MEMORY + (enum histogram)a->tier,
			 took_us);
}

void
tally_fetched(const char *category, const struct cache_answer *a,
	      int64_t began_us)
{
	int64_t took_us = clock_monotonic_us() - began_us;
	unsigned label = counters_label(category);

	if (a->result != R_OK && problem_status_of_load(a->result) >= 500) {
		counters_add(label, COUNT_ERRORS, 1);
		return;
	}
	if (a->result == R_OK &&
	    (a->status == CACHE_HIT || a->status == CACHE_STALE)) {
		count_cached(label, a, took_us);
		return;
	}
	counters_add(label,
		     a->status == CACHE_BYPASS ? COUNT_BYPASSES : COUNT_MISSES,
		     1);
	counters_observe(label, TIME_UNCACHED, took_us);
}

void
tally_answer(const struct answer *a)
{
	static const char *const classes[] = { "1xx", "2xx", "3xx", "4xx",
					       "5xx" };
	struct bytes head = bytes_from(a->head, sizeof("Status: ") - 1);
	/* A head without a status means 200. */
	unsigned at = 1;

	if (bytes_starts(a->head, BYTES("Status: ")) && head.len > 0 &&
	    head.at[0] >= '1' && head.at[0] <= '5')
		at = (unsigned)(head.at[0] - '1');
	counters_add(counters_label(classes[at]), COUNT_RESPONSES, 1);
}
