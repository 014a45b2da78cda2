/* SPDX-License-Identifier: MIT */
#ifndef EXPLAIN_H
#define EXPLAIN_H

#include "cache.h"
#include "postgres_tier.h"
#include "redis_tier.h"

/*
 * explain: what each tier holds of a key, what the log says of it, and what the next
 * question would get and why.  Reads only: nothing is filled, counted as used, or
 * refreshed.  Calls wait: for threads that may.
 */
struct explain {
	struct cache *cache;
	struct bytes key, log_key; /* as in struct cache_query; the caller's */
	const struct policy *policy; /* of the key; NULL: not known */

	/* Set by explain_look(). */
	struct entry *memory;
	enum result redis_result, postgres_result;
	struct redis_tier_view redis;
	struct postgres_tier_view postgres;
};

/* Look in all tiers.  May be called again, when `log_key` is better known. */
void explain_look(struct explain *x);

/* One that some tier holds, or NULL. */
const struct entry *explain_entry(const struct explain *x);

/* Append it all as a JSON object. */
void explain_tell(const struct explain *x, struct buf *to);

void explain_fini(struct explain *x);

#endif
