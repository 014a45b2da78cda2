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

/* Append what `glob` matches as scopes of the log, each ended by a NUL: "*" any characters,
 * "?" one, "\" quotes the next.  A glob that is a scope (scope.h) is that; any other is the
 * keys that it matches now in PostgreSQL, which has what Redis has, but not what there was
 * no room for, nor what another worker loads for the first time. */
MUST_USE enum result operations_resolve(struct cache *c, struct bytes glob,
					struct buf *scopes);

/* Log the scopes, a NUL after each, if there are any, and take what they match out of PostgreSQL; `entries`
 * is how many were there, and are gone or stale now. */
MUST_USE enum result operations_invalidate(struct cache *c, struct bytes scopes,
					   enum cache_invalidation how,
					   int64_t *entries);

/* Do `job` while no other process of the deployment does one of this name;
 * false when one does. */
MUST_USE bool operations_alone(struct cache *c, const char *name,
			       void (*job)(void *arg), void *arg);

#endif
