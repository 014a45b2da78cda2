/* SPDX-License-Identifier: MIT */
#ifndef CACHE_H
#define CACHE_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../store/postgres.h"
#include "../store/redis.h"
#include "query.h"

/*
 * cache: one read-through cache over memory, Redis and PostgreSQL.
 *
 * Threads	Anything here may be called by any thread.  cache_peek() never
 *		waits; cache_fetch() never waits either, its answer comes later, on
 *		whichever thread has it.
 * Ownership	An answer holds one reference to its entry, which the receiver
 *		gives back with entry_unref().  A held entry's bytes never change.
 * Units	Milliseconds; deadlines on clock_monotonic_ms().
 */
struct cache;

struct cache_options {
	struct postgres *pg;
	struct postgres_options listen;
	struct redis *redis; /* NULL: memory, then PostgreSQL */
	const char *prefix, *version;
	struct bytes user_secret;
	int64_t redis_ttl_max_ms;
	size_t memory_bytes;
	int64_t postgres_bytes;
	bool near_cache; /* memory in front of Redis */
	bool verbose;
	int64_t lag_limit_ms;
	int64_t load_timeout_ms; /* one load; a request waits for at most two and a lost lease */
	unsigned loader_threads;
	/* More of what is so now, for metrics.h; may be NULL. */
	void (*gauges)(void *arg, struct buf *to);
	void *gauges_arg;
};

/* Nothing is connected before the first use. */
MUST_USE enum result cache_new(const struct cache_options *options,
			       struct cache **out);

/* No new loads or lookups; true once none is under way, false at the deadline:
 * then the cache must not be freed. */
bool cache_stop(struct cache *c, int64_t deadline_ms);
void cache_free(struct cache *c);

/* Answer from memory, or say that it cannot.  No lock held on return, no
 * copy; no allocation, but for the one refresh of an entry that is due for it. */
bool cache_peek(struct cache *c, const struct cache_query *q,
		struct cache_answer *answer);

/* Answer `q` exactly once, through `done`: from the nearest tier that has it, or
 * from the one load that all who ask for this key share.  No later than its
 * deadline, but for the bounds of the one step that looks in a tier by itself
 * (shared.h).  `done` may run before this returns, or on any thread, and
 * must not wait. */
void cache_fetch(struct cache *c, const struct cache_query *q, cache_done *done,
		 void *arg);

/* Fetch the parts side by side and wait for all their answers: for loader
 * threads. */
void cache_wait(struct cache *c, struct cache_part *parts, unsigned count,
		enum cache_demand demand);

/* The same, but what has not come by the deadline is R_TIMEOUT; its load
 * goes on. */
void cache_wait_until(struct cache *c, struct cache_part *parts, unsigned count,
		      enum cache_demand demand, int64_t deadline_ms);

/* Run a job that may wait, on a loader thread.  R_BUSY: too many wait
 * already. */
MUST_USE enum result cache_run(struct cache *c, void (*job)(void *arg),
			       void *arg);

/* After a commit: return once every record committed so far counts in this
 * process, and in Redis, or nobody believes Redis without it. */
MUST_USE enum result cache_catch_up(struct cache *c);

/* Take out what `scope` matches, everywhere, by a record in the log, and
 * catch up.  Soft: it is stale from now on, served while one refresh runs. */
enum cache_invalidation { CACHE_HARD, CACHE_SOFT };
MUST_USE enum result cache_invalidate(struct cache *c, struct bytes scope,
				      enum cache_invalidation how);

/* Remove what PostgreSQL need not keep, as each worker does now and then. */
MUST_USE enum result cache_clean(struct cache *c, int64_t *removed);

/* What it stands on, for those who look after it (operations.h). */
struct tiers;
const struct tiers *cache_tiers(const struct cache *c);

/* The name a user has in keys: the first 16 hex digits of HMAC-
 * SHA-256(CACHE_KEY_SECRET, id), and a NUL. */
void cache_user_hash(const struct cache *c, struct bytes user,
		     char out[static 17]);

/* Append `scope`, as the log names it, as keys name it. */
void cache_hash_users(const struct cache *c, struct bytes scope,
		      struct buf *to);

#endif
