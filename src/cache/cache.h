/* SPDX-License-Identifier: MIT */
#ifndef CACHE_H
#define CACHE_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "../store/postgres.h"
#include "../store/redis.h"
#include "entry.h"
#include "policy.h"

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

struct cache_part;

/*
 * One load, as its loader sees it: the key and what the question was, never who asked.
 * Whatever an answer depends on is therefore in its key.
 */
struct cache_load {
	struct bytes key;
	struct bytes arguments;	      /* of the query */
	const struct entry *previous; /* the value so far, or NULL */
	int64_t deadline_ms;
	const struct cache_part *parts; /* answered; see cache_source */
	unsigned n_parts;

	/* The loader's answer.  R_UNCHANGED: `previous` is still right. */
	struct buf body;
	struct buf validators;
	int64_t fresh_ms; /* keep no longer than this; 0: the policy's ttl */
	int64_t retry_ms; /* after a failure: do not try before; 0: the default */
};

/* How a kind of key is loaded. */
struct cache_source {
	/* Runs on a loader thread, may wait until the load's deadline. */
	enum result (*load)(void *context, struct cache_load *load);

	/* Optional.  A value made of other values lists their queries; they are fetched side by
	 * side, and only then `load` runs, with their answers in `parts`.  It waits for all of them, but once one is there
	 * for no other longer than that one took (at least a second).  Queries of parts must not depend on each other.
	 * Returns how many it put in `parts` (0: none), at most PARTS_MAX. */
	unsigned (*list_parts)(void *context, const struct cache_load *load,
			       struct cache_part *parts);
	void *context;
};

enum cache_demand {
	CACHE_USUAL,	/* the lookup table of policy.h */
	CACHE_YOUNG,	/* what is due for a refresh or stale is loaded first, and used only if that fails */
	CACHE_NEW,	/* load now, whatever there is; no answer from before */
};

/* A question.  The bytes are the asker's; the cache copies what it keeps. */
struct cache_query {
	struct bytes key;	/* at most KEY_MAX_BYTES */
	struct bytes log_key;	/* the key as the invalidation log names it (scope.h) */
	struct bytes arguments; /* what the loader needs besides the key; kept with the entry */
	const struct policy *policy; /* static, or as long as the cache, like the source */
	const struct cache_source *source;
	enum cache_demand demand;
	int64_t deadline_ms; /* 0: the cache's own */
};

enum cache_status { CACHE_HIT, CACHE_STALE, CACHE_MISS, CACHE_BYPASS };
enum cache_tier { CACHE_MEMORY, CACHE_REDIS, CACHE_POSTGRES, CACHE_ORIGIN };

struct cache_answer {
	enum result result;	   /* R_OK: `entry` is there */
	enum cache_status status;
	enum cache_tier tier;	   /* where it was found */
	bool stored, collapsed;	   /* of a miss: kept in a tier; another's load was shared */
	struct entry *entry;	   /* one reference */
	int64_t retry_ms;	   /* of a failure: when asking again makes sense */
};

#define PARTS_MAX 32

struct cache_part {
	struct bytes name; /* for `load`; lives as long as the source's context */
	struct buf key;	   /* the query's bytes, owned here: key, log_key, arguments */
	struct buf log_key;
	struct buf arguments;
	const struct policy *policy;
	const struct cache_source *source;
	struct cache_answer answer; /* R_TIMEOUT while there is none */
};

typedef void cache_done(void *arg, const struct cache_answer *answer);

struct cache_options {
	struct postgres *pg;
	struct postgres_options listen;
	struct redis *redis;	  /* NULL: memory, then PostgreSQL */
	const char *prefix, *version;
	struct bytes user_secret;
	int64_t redis_ttl_max_ms;
	size_t memory_bytes;
	int64_t postgres_bytes;
	bool near_cache;	  /* memory in front of Redis */
	bool verbose;
	int64_t lag_limit_ms;
	int64_t load_timeout_ms;  /* one load; a request waits for at most two and a lost lease */
	unsigned loader_threads;
};

/* Nothing is connected before the first use. */
MUST_USE enum result cache_new(const struct cache_options *options, struct cache **out);

/* No new loads; true once none is under way, false at the deadline: then the cache must not be freed. */
bool cache_stop(struct cache *c, int64_t deadline_ms);
void cache_free(struct cache *c);

/* Answer from memory, or say that it cannot.  No lock held on return, no
 * allocation, no copy.  An entry that is due for it starts one refresh. */
bool cache_peek(struct cache *c, const struct cache_query *q, struct cache_answer *answer);

/* Answer `q` exactly once, through `done`, no later than its deadline: from the
 * nearest tier that has it, or from the one load that all who ask for this key
 * share.  `done` may run before this returns, or on any thread, and must not wait. */
void cache_fetch(struct cache *c, const struct cache_query *q, cache_done *done, void *arg);

/* Fetch the parts side by side and wait for all their answers: for loader threads. */
void cache_wait(struct cache *c, struct cache_part *parts, unsigned count, enum cache_demand demand);

/* A part as a query, and the release of what a part holds. */
struct cache_query cache_part_query(const struct cache_part *part, enum cache_demand demand,
				    int64_t deadline_ms);
void cache_part_fini(struct cache_part *part);

/* Run a job that may wait, on a loader thread.  R_BUSY: too many wait already. */
MUST_USE enum result cache_run(struct cache *c, void (*job)(void *arg), void *arg);

/* After a commit: return once every record committed so far counts in Redis and in this process. */
MUST_USE enum result cache_catch_up(struct cache *c);

/* Take out what `scope` matches, everywhere, by a record in the log, and catch up.  Soft: it is stale from
 * now on, served while one refresh runs. */
enum cache_invalidation { CACHE_HARD, CACHE_SOFT };
MUST_USE enum result cache_invalidate(struct cache *c, struct bytes scope,
				      enum cache_invalidation how);

/* The name a user has in keys: the first 16 hex digits of HMAC-SHA-256(CACHE_KEY_SECRET, id), and a NUL. */
void cache_user_hash(const struct cache *c, struct bytes user, char out[static 17]);

#endif
