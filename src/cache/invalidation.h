/* SPDX-License-Identifier: MIT */
#ifndef INVALIDATION_H
#define INVALIDATION_H

#include "../store/postgres.h"
#include "memory.h"
#include "redis_tier.h"

/*
 * invalidation: follows the log of invalidations (cache_invalidations in PostgreSQL) and
 * tells Redis and memory of each record, in that order.
 *
 * The invariant.  Once a record has reached a tier, that tier never again serves an
 * entry it matches whose fence is older, whoever stores it and however late.  A fence is
 * the position read before the load began; here it is the position followed so far, which is
 * never later than the log's own.
 *
 * LISTEN is a doorbell only (doorbell.h): when it rings, and every two seconds (400 ms with trust_ms,
 * 100 ms while it is deaf), the records past our position are read.  One thread of its own; all functions
 * may be called by any thread.
 */
struct invalidation;

struct invalidation_options {
	struct postgres *pg;
	struct postgres_options listen; /* a direct connection */
	struct redis_tier *redis;	/* NULL: none */
	struct memory *memory;
	struct bytes user_secret; /* CACHE_KEY_SECRET */
	int64_t lag_limit_ms;
	int64_t trust_ms; /* as in redis_tier_options */
	bool verbose;	  /* log each record */
	void (*rung)(
		void *arg); /* optional: the doorbell rang; must not wait */
	void *arg;
};

/* Start following.  Nothing is connected before this returns. */
struct invalidation *invalidation_new(
	const struct invalidation_options *options);
void invalidation_free(struct invalidation *v);

/* The position followed so far; -1 before the log was first read. */
int64_t invalidation_position(struct invalidation *v);

/* The log was read within the lag limit: memory may be trusted. */
bool invalidation_is_current(struct invalidation *v);

/* Look at the log now; any thread, does not wait. */
void invalidation_wake(struct invalidation *v);

/* Wait for a look that begins now.  For loader threads. */
MUST_USE enum result invalidation_look(struct invalidation *v,
				       int64_t deadline_ms);

/* Wait until all that was committed before this call has reached Redis (if
 * it is there) and memory, or will be believed to know by nobody.  For
 * loader threads, after a commit.  On failure memory is not trusted until
 * the log has been read. */
MUST_USE enum result invalidation_catch_up(struct invalidation *v,
					   int64_t deadline_ms);

/* No record that we know ends `e`. */
bool invalidation_allows(struct invalidation *v, const struct entry *e);

/* The entry was loaded so lately that even a log we cannot follow has had no
 * time to be further ahead than the lag limit. */
bool invalidation_vouches(struct invalidation *v, const struct entry *e);

/* Put `e` in memory unless a record that we know outdates it.  R_CONFLICT:
 * it does.  `since` is invalidation_position() before a tier was asked for
 * `e`, or before its load; R_UNAVAILABLE: none was known then, and by now we
 * do not know all records since; it is not kept. */
MUST_USE enum result invalidation_keep(struct invalidation *v, struct entry *e,
				       int64_t since);

#endif
