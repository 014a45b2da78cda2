/* SPDX-License-Identifier: MIT */
#ifndef POSTGRES_TIER_H
#define POSTGRES_TIER_H

#include "../store/postgres.h"
#include "entry.h"
#include "lease_state.h"

/*
 * postgres_tier: entries that outlive every process, in cache_entries
 * (sql/0100_cache.sql).  Calls wait: for finders and loaders.
 *
 * Every read and every store is checked against the log in the same statement.
 */

/* R_OK with one reference; R_NOT_FOUND.  `log_key` is the key as the log
 * names it (scope.h).  An entry softly invalidated comes back expired; one
 * past its grace may still come back. */
MUST_USE enum result postgres_tier_get(struct postgres *pg, struct bytes key,
				       struct bytes log_key,
				       struct entry **out);

/* What PostgreSQL holds of a key, and what the log says of it, as it is: nothing is judged or changed. */
struct postgres_tier_view {
	struct entry *entry;  /* one reference; NULL: none that can be read */
	int64_t head, pruned; /* of the log */
	int64_t hard,
		soft; /* the newest records that match; INT64_MAX: without a position yet */
	struct buf records; /* the newest of them, as a JSON array */
};
MUST_USE enum result postgres_tier_inspect(struct postgres *pg,
					   struct bytes key,
					   struct bytes log_key,
					   struct postgres_tier_view *out);

/* R_CONFLICT: refused, the log has a newer record, or a younger load was
 * faster. */
MUST_USE enum result postgres_tier_put(struct postgres *pg,
				       const struct entry *e,
				       struct bytes log_key);

/* The newest position of the log. */
MUST_USE enum result postgres_tier_position(struct postgres *pg,
					    int64_t *position);

MUST_USE enum result postgres_tier_lease_take(struct postgres *pg,
					      struct bytes key,
					      const char *holder,
					      int64_t for_ms,
					      struct lease_state *state);
MUST_USE enum result postgres_tier_lease_keep(struct postgres *pg,
					      struct bytes key,
					      const char *holder,
					      int64_t for_ms,
					      enum result failure);
MUST_USE enum result postgres_tier_lease_give(struct postgres *pg,
					      struct bytes key,
					      const char *holder);

/* Drop expired entries and shrink to `max_bytes`; one process at a time does
 * it, the others return at once.  `keep_log_ms` as in cache_log_prune(). */
MUST_USE enum result postgres_tier_clean(struct postgres *pg, int64_t max_bytes,
					 int64_t keep_log_ms, int64_t *removed);

#endif
