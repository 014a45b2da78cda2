/* SPDX-License-Identifier: MIT */
#ifndef REDIS_TIER_H
#define REDIS_TIER_H

#include "../store/redis.h"
#include "entry.h"

/*
 * redis_tier: entries shared between processes and hosts.
 *
 * Names, behind "{CACHE_PREFIX}:{CACHE_VERSION}:"
 *	{key}	an entry in its wire form
 *	@log	a hash of all that Redis knows of the log:
 *		{scope}	"hard soft": the newest positions that invalidated it
 *		@@	"position floor time server": Redis knows all records up to position, which
 *			was the newest at that time (wall clock), when it was this server
 *			(its run_id; "-": it does not say); entries with a fence below
 *			floor are not used; or
 *			"?token": it has lost all, and somebody is finding out
 *			where the log is
 *		@mark	see redis_log.c
 *
 * A read fetches the entry, and then what the log says of its key, in one round trip, and
 * compares; so an invalidation that has reached Redis counts for all readers at once, without deleting
 * anything.  The log is one hash, so that Redis cannot evict a part of it.  A Redis that lost
 * it, or brought back an old one, vouches for nothing until a follower has told it what it
 * missed.  One that lost it starts with a floor that was read from the log after the loss.
 *
 * Records at or below the floor are needless, and dropped: it follows the log at a distance
 * of more than an entry's life.
 *
 * Belief.  That Redis has not lost what it was told can be seen from where our own follower is only.  Until
 * that has read the log once, Redis is believed if the very server that we are connected to has
 * been told within lag_limit_ms.  With trust_ms
 * it is not believed then, nor when the log has not been read for so long, or not
 * since Redis was connected to: whoever cannot tell Redis of a record need wait no longer than
 * trust_ms for nobody to be misled.  When the log cannot be read at all, Redis is the best there is.
 */
struct redis_tier;

struct redis_tier_options {
	struct redis *redis;
	const char *prefix, *version; /* of names */
	int64_t ttl_max_ms;
	int64_t lag_limit_ms;
	int64_t trust_ms; /* 0: without limit */
	/* Called when Redis turns out to lag behind the log; any thread,
	 * must not wait. */
	void (*behind)(void *arg);
	void *arg;
};

struct redis_tier *redis_tier_new(const struct redis_tier_options *options);
void redis_tier_free(struct redis_tier *t);

/* May it be asked at all?  Whether it is back is found out without any request's
 * waiting for it; see redis.h. */
bool redis_tier_is_usable(struct redis_tier *t);

/* What our own follower knows: the position it has reached, when it began to
 * read (monotonic), and what redis_tier_connections() was then.  Reads of a
 * Redis that knows less are misses. */
struct redis_tier_sight {
	int64_t position;
	int64_t read_at_ms;
	uint64_t connections;
};
void redis_tier_expect(struct redis_tier *t,
		       const struct redis_tier_sight *sight);
uint64_t redis_tier_connections(const struct redis_tier *t);

/* The log cannot be read, until the next redis_tier_expect(). */
void redis_tier_lose_sight(struct redis_tier *t);

/* The newest position that this Redis has said it knows: as good a fence for
 * a load that begins now as our own follower's position.  -1: it never said. */
int64_t redis_tier_position(struct redis_tier *t);

/* Look `key` up without waiting.  `done` runs on Redis' I/O thread: R_OK
 * with one reference to an entry, R_NOT_FOUND, or a failure.  An entry
 * softly invalidated comes back expired. */
typedef void redis_tier_done(void *arg, enum result r, struct entry *e);
MUST_USE enum result redis_tier_get(struct redis_tier *t, struct bytes key,
				    redis_tier_done *done, void *arg);

/* Store, waiting.  R_CONFLICT: refused, the log has a newer record for the key.
 * R_UNAVAILABLE also when nobody has told this Redis of the log yet, or when the
 * load began before all that it still knows. */
MUST_USE enum result redis_tier_put(struct redis_tier *t,
				    const struct entry *e);

/* What Redis holds of a key, and says of the log, as it is: nothing is judged or changed. */
struct redis_tier_view {
	struct entry *entry; /* one reference; NULL: none that can be read */
	bool knows_log;	     /* the next two count */
	int64_t position, floor;
	int64_t hard, soft; /* the newest records that match the key; 0: none */
	int64_t left_ms;    /* until Redis drops it */
	bool believed;	    /* would a lookup now take it at its word? */
};

/* Waits. */
MUST_USE enum result redis_tier_inspect(struct redis_tier *t, struct bytes key,
					struct redis_tier_view *out);

/* For commands of others under the same names. */
struct redis *redis_tier_redis(const struct redis_tier *t);
const char *redis_tier_prefix(const struct redis_tier *t);

#endif
