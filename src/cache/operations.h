/* SPDX-License-Identifier: MIT */
#ifndef OPERATIONS_H
#define OPERATIONS_H

#include "cache.h"
#include "metrics_report.h"

/*
 * operations: what people and cron do to a cache, on top of what requests do.
 * Calls wait: for threads that may.
 */

/* All that was counted (metrics.h). */
MUST_USE enum result operations_metrics(struct cache *c,
					struct metrics_report *out);

/* What `glob` matches: "*" any characters, "?" one, "\" quotes the next.  A glob that is a scope
 * (scope.h) is logged as it is; any other as the keys that it matches now, which
 * PostgreSQL knows, as it has all that Redis has. */
struct operations_touched {
	int64_t entries;   /* that were there, and are gone or stale now */
	struct buf scopes; /* of the log, each ended by a NUL */
};
MUST_USE enum result operations_invalidate_glob(struct cache *c,
						struct bytes glob,
						enum cache_invalidation how,
						struct operations_touched *out);

/* The same for scopes as the log names them, each ended by a NUL. */
MUST_USE enum result operations_invalidate(struct cache *c, struct bytes scopes,
					   enum cache_invalidation how,
					   struct operations_touched *out);

/* Append {"key", "size_bytes", "ttl_seconds", "stale", "tier", "tiers"} of the keys that `glob` matches, as
 * a JSON array in order of key; `*total` is how many there are. */
struct operations_page {
	struct bytes glob;
	struct bytes limit, offset; /* numbers */
};
MUST_USE enum result operations_list(struct cache *c,
				     const struct operations_page *page,
				     struct buf *to, int64_t *total);

/* Append the arguments that a stored key was loaded with, whatever its age. */
MUST_USE enum result operations_arguments(struct cache *c, struct bytes key,
					  struct buf *to);

/* What PostgreSQL keeps, by the first part of keys; returns how many there are, 0 when it
 * does not say. */
#define OPERATIONS_SIZES 32
struct operations_size {
	char prefix[32];
	int64_t entries, bytes;
	int64_t unread; /* never read again from PostgreSQL since they were stored */
	int64_t changes; /* invalidations of the last day */
};
unsigned operations_sizes(struct cache *c,
			  struct operations_size out[static OPERATIONS_SIZES]);

/* How many keys the Redis database has, ours or not; -1: it does not say. */
int64_t operations_redis_keys(struct cache *c);

/* Do `job` while no other process of the deployment does one of this name; false when
 * one does. */
MUST_USE bool operations_alone(struct cache *c, const char *name,
			       void (*job)(void *arg), void *arg);

#endif
