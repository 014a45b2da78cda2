/* SPDX-License-Identifier: MIT */
#ifndef REDIS_TIER_H
#define REDIS_TIER_H

#include "../store/redis.h"
#include "entry.h"

/*
 * redis_tier: entries shared between processes and hosts.
 *
 * Names, behind "{CACHE_PREFIX}:{CACHE_VERSION}:"
 *	{key}		an entry in its wire form
 *	@scope:{scope}	"hard soft": the newest positions that invalidated it
 *	@log		"position floor": Redis knows all records up to position;
 *			entries with a fence below floor are not used
 *
 * A read fetches an entry, the scopes that match its key and @log in one MGET, and compares; so an
 * invalidation that has reached Redis counts for all readers at once, without deleting
 * anything.  A Redis that lost @log, or brought back an old one, vouches for nothing until a follower
 * has told it what it missed.
 */
struct redis_tier;

struct redis_tier_options {
	struct redis *redis;
	const char *prefix, *version; /* of names */
	int64_t ttl_max_ms;
	/* Called when Redis turns out to lag behind the log; any thread, must not wait. */
	void (*behind)(void *arg);
	void *arg;
};

struct redis_tier *redis_tier_new(const struct redis_tier_options *options);
void redis_tier_free(struct redis_tier *t);

/* May it be asked at all: connected, or worth a try? */
bool redis_tier_is_usable(struct redis_tier *t);

/* What `known` position our own follower has reached; reads of a Redis that knows less are misses. */
void redis_tier_expect(struct redis_tier *t, int64_t known);

/* The newest position that this Redis has said it knows: as good a fence for a load that begins
 * now as our own follower's position.  -1: it never said. */
int64_t redis_tier_position(struct redis_tier *t);

/* Look `key` up without waiting.  `done` runs on Redis' I/O thread: R_OK with one
 * reference to an entry, R_NOT_FOUND, or a failure.  An entry softly invalidated comes back expired. */
typedef void redis_tier_done(void *arg, enum result r, struct entry *e);
MUST_USE enum result redis_tier_get(struct redis_tier *t, struct bytes key,
				    redis_tier_done *done, void *arg);

/* Store, waiting.  R_CONFLICT: refused, the log has a newer record for the key.
 * R_UNAVAILABLE also when nobody has told this Redis of the log yet. */
MUST_USE enum result redis_tier_put(struct redis_tier *t, const struct entry *e);

/* A record of the log, as this tier takes it. */
struct redis_tier_record {
	int64_t position;
	struct bytes scope; /* users hashed */
	bool soft;
};

/* Tell Redis of records with positions in (from, to], waiting.  On R_OK
 * `*knows` is the position that Redis has now; less than `from`: it wants the records after *knows first. */
MUST_USE enum result redis_tier_push(struct redis_tier *t, int64_t from, int64_t to,
				     const struct redis_tier_record *records, unsigned count,
				     int64_t *knows);

/* For commands of others under the same names. */
struct redis *redis_tier_redis(const struct redis_tier *t);
const char *redis_tier_prefix(const struct redis_tier *t);

#endif
