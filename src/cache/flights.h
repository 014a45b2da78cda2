/* SPDX-License-Identifier: MIT */
#ifndef FLIGHTS_H
#define FLIGHTS_H

#include "../base/pool.h"
#include "../base/timer.h"
#include "invalidation.h"
#include "lease.h"
#include "memory.h"
#include "metrics.h"
#include "query.h"
#include "redis_tier.h"

/*
 * flights: single flight.  All who ask for a key that is not in memory wait on one
 * flight, which looks in the lower tiers, and, if need be, runs the one load.
 *
 *	start	memory once more, then Redis (without waiting)
 *	find	on a finder thread: the lease, then PostgreSQL; each step is short
 *	load	on a loader thread, of which slow origins may hold all
 *	store	Redis, PostgreSQL, memory; then give the lease back and answer
 *
 * Who loses the lease polls it and starts again when it is free; no thread waits.
 * A flight that failed stays for a while, and answers with its failure at once.
 *
 * An answer may be as old as the step that found it.  So a waiter that joined after that
 * step began gets it only if the tiers accepted it, or else the flight starts anew for those.
 */
struct flights;

/* What flights work with; lives as long as they do. */
struct tiers {
	struct memory *memory;
	struct redis_tier *redis; /* NULL: off */
	struct postgres *pg;
	struct invalidation *invalidation;
	struct leases *leases;
	struct pool *finders, *loaders;
	struct timers *timers;
	struct metrics *metrics;
	bool near_cache;
	bool verbose;
	int64_t load_timeout_ms;
};

/* Can a tier be asked that all processes share? */
bool tiers_are_shared(const struct tiers *t);

/* May what memory holds be used without asking a shared tier? */
bool tiers_trust_memory(const struct tiers *t, const struct entry *e);

struct flights *flights_new(const struct tiers *tiers, unsigned most);
void flights_free(struct flights *f); /* none may be under way */

/* Wait on the key's flight, starting one if there is none. */
void flight_join(struct flights *fs, const struct cache_query *q,
		 cache_done *done, void *arg);

/* Start a flight that nobody waits for, unless one is under way. */
void flight_refresh(struct flights *fs, const struct cache_query *q);

/* Load for this one asker and keep nothing. */
void flight_bypass(struct flights *fs, const struct cache_query *q,
		   cache_done *done, void *arg);

/* Let no flight poll or linger any more; true once none is under way, false
 * at the deadline. */
bool flights_stop(struct flights *fs, int64_t deadline_ms);

#endif
