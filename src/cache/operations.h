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

/* Take out what the scopes match, as the log names them, each ended by a NUL: in
 * every tier, in every worker, and what is being loaded.  `entries` is how many of
 * these PostgreSQL had. */
MUST_USE enum result operations_invalidate(struct cache *c, struct bytes scopes,
					   enum cache_invalidation how,
					   int64_t *entries);

/* Do `job` while no other process of the deployment does one of this name;
 * false when one does. */
MUST_USE bool operations_alone(struct cache *c, const char *name,
			       void (*job)(void *arg), void *arg);

#endif
