/* SPDX-License-Identifier: MIT */
#ifndef QUERY_H
#define QUERY_H

#include "../base/buf.h"
#include "../base/bytes.h"
#include "entry.h"
#include "policy.h"

/*
 * query: what is asked of the cache, how it is loaded, and what comes back.
 */
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

	/* Optional.  A value made of other values lists their queries; they
	 * are fetched side by side, and only then `load` runs, with their
	 * answers in `parts`.  It waits for all of them, but once one is
	 * there for no other longer than that one took (at least 4 s).
	 * Queries of parts must not depend on each other. Returns how many
	 * it put in `parts` (0: none), at most PARTS_MAX. */
	unsigned (*list_parts)(void *context, const struct cache_load *load,
			       struct cache_part *parts);
	void *context;
};

enum cache_demand {
	CACHE_USUAL, /* the lookup table of policy.h */
	CACHE_YOUNG, /* what is due for a refresh or stale is loaded first, and used only if that fails */
	CACHE_NEW,   /* load now, whatever there is; no answer from before */
};

/* A question.  The bytes are the asker's; the cache copies what it keeps. */
struct cache_query {
	struct bytes key; /* at most KEY_MAX_BYTES */
	struct bytes
		log_key; /* the key as the invalidation log names it (scope.h) */
	struct bytes
		arguments; /* what the loader needs besides the key; kept with the entry */
	const struct policy
		*policy; /* static, or as long as the cache, like the source */
	const struct cache_source *source;
	enum cache_demand demand;
	int64_t deadline_ms; /* 0: the cache's own */
};

enum cache_status { CACHE_HIT, CACHE_STALE, CACHE_MISS, CACHE_BYPASS };
enum cache_tier { CACHE_MEMORY, CACHE_REDIS, CACHE_POSTGRES, CACHE_ORIGIN };

struct cache_answer {
	enum result result; /* R_OK: `entry` is there */
	enum cache_status status;
	enum cache_tier tier; /* where it was found */
	bool stored,
		collapsed; /* of a miss: kept in a tier; another's load was shared */
	struct entry *entry; /* one reference */
	int64_t retry_ms;    /* of a failure: when asking again makes sense */
};

#define PARTS_MAX 32

struct cache_part {
	struct bytes
		name; /* for `load`; lives as long as the source's context */
	struct buf
		key; /* the query's bytes, owned here: key, log_key, arguments */
	struct buf log_key;
	struct buf arguments;
	const struct policy *policy;
	const struct cache_source *source;
	struct cache_answer answer; /* R_TIMEOUT while there is none */
};

typedef void cache_done(void *arg, const struct cache_answer *answer);

/* A part as a query; it refers to the part's bytes. */
struct cache_query cache_part_query(const struct cache_part *part,
				    enum cache_demand demand,
				    int64_t deadline_ms);

/* Release what a part holds. */
void cache_part_fini(struct cache_part *part);

#endif
