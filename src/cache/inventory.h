/* SPDX-License-Identifier: MIT */
#ifndef INVENTORY_H
#define INVENTORY_H

#include "cache.h"

/*
 * inventory: what the tiers hold.  Calls wait: for threads that may.
 */

/* Append {"key", "size_bytes", "ttl_seconds", "stale", "tier", "tiers"} of
 * the keys that `glob` matches, as a JSON array in order of key, in its frame:
 * "data", "total", "limit" and "offset", members of an object that the caller
 * opens and closes. */
struct inventory_page {
	struct bytes glob;
	struct bytes limit, offset; /* numbers */
};
MUST_USE enum result inventory_add_page(struct cache *c,
					const struct inventory_page *page,
					struct buf *to);

/* Append the arguments that a stored key was loaded with, whatever its age. */
MUST_USE enum result inventory_arguments(struct cache *c, struct bytes key,
					 struct buf *to);

/* What PostgreSQL keeps, by the first part of keys; returns how many there
 * are, 0 when it does not say. */
#define INVENTORY_SIZES 32
struct inventory_size {
	char prefix[32];
	int64_t entries, bytes;
	int64_t unread; /* never read again from PostgreSQL since they were stored */
	int64_t changes; /* invalidations of the last day */
};
unsigned inventory_sizes(struct cache *c,
			 struct inventory_size out[static INVENTORY_SIZES]);

/* The same of Redis, entries and bytes alone; reckoned from a sample where the
 * database has more than a thousand keys. */
unsigned inventory_redis_sizes(
	struct cache *c, struct inventory_size out[static INVENTORY_SIZES]);

#endif
