/* SPDX-License-Identifier: MIT */
#ifndef FLIGHT_STATE_H
#define FLIGHT_STATE_H

#include "../base/lock.h"
#include "flights.h"
#include "parts.h"
#include "waiters.h"

#include <stdatomic.h>

/*
 * flight_state: what the three files of a flight share, and nobody else sees.
 *
 *	flight.c	who waits, joining and landing
 *	flight_search.c	memory, Redis, the lease, PostgreSQL
 *	flight_load.c	the load, and giving its value to the tiers
 */
#define RETRY_MS 2000 /* after a failed load, when its loader says nothing */
#define RETRY_MOST_MS 30000
#define BUSY_MS 1000 /* when there was no thread for it */

struct flights {
	struct tiers tiers;
	unsigned most;
	struct lock lock;
	struct signal landed;
	struct map *by_key; /* under the lock, as is the rest */
	unsigned under_way;
	atomic_bool stopping;
};

struct flight {
	struct flights *home;
	struct cache_query query; /* its bytes are in `room` */
	atomic_uint references;
	bool bypass;

	/* Under the lock. */
	struct waiter *waiters;
	enum joined joining; /* what a waiter that comes now is */
	bool landed;	     /* only its failure is left, */
	bool rests;	     /* or a value that is stale: `previous` */
	enum result failure;
	int64_t retry_at_ms; /* monotonic; until then the failure counts */

	/* Of the one thread whose turn it is. */
	struct entry *previous; /* the value so far, if we saw one */
	bool expired;		/* we saw one, and it was too old to use */
	bool shown;		/* a tier that all share has said what it has */
	struct lease lease;
	bool lease_in_redis;
	struct cache_load load;
	struct parts *parts;
	int64_t fence;
	int64_t since; /* the position followed when the step began */
	int64_t began_ms;
	int64_t poll_ms;
	unsigned polls;
	char room[];
};

/* Look for the key's value, tier by tier; then load it if need be.  The
 * caller's reference goes with it. */
void flight_search(struct flight *f);

/* The lease is ours, or nobody can keep one: load.  A pool_job; `flight` is
 * one. */
void flight_load(void *flight);

/* Go on with `step` on a thread for short steps, or on one for long ones; without
 * one to be had, land. */
void flight_to_finder(struct flight *f, pool_job *step);
void flight_to_loader(struct flight *f, pool_job *step);

/* A new step begins: who waits now joined before it. */
void flight_begin_step(struct flight *f);

/* The step's outcome goes to the tiers, or is held against the log: who
 * joins from now on may have joined after a record that it does not know of. */
void flight_cut(struct flight *f);

/* Answer who joined up to `latest`. */
void flight_answer(struct flight *f, enum joined latest,
		   const struct cache_answer *a);

/* The work is done; the caller's reference goes.  Who joined too late for
 * the answer gets a new start; a failure counts for all who still wait, and
 * for those who come until it is time to try again.  So does the value of a flight that
 * rests, as long as nothing ends it. */
void flight_land(struct flight *f, enum result failure, int64_t retry_ms);

/* A Redis that is new, or has lost everything, has refused `e`, for it takes nothing
 * before it has heard of the log.  Wait for that; nobody should wait for us. */
void flight_put_again(struct flight *f, const struct entry *e);

/* A tier's or a load's entry may be shown: is it a hit or stale? */
enum cache_status flight_status_of(const struct entry *e);

/* With CACHE_VERBOSE: "[Cache] HIT key". */
void flight_say(const struct flight *f, const char *what);

#endif
