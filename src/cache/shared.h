/* SPDX-License-Identifier: MIT */
#ifndef SHARED_H
#define SHARED_H

#include "flights.h"

/*
 * shared: a question that looks in Redis, or else in PostgreSQL, by itself, because
 * memory may not answer it and another's lookup may have begun too early.  What is not
 * there goes on to the key's flight.
 */

struct shared;

/* What it works with must live as long as it does. */
struct shared *shared_new(const struct tiers *tiers, struct flights *flights);
void shared_free(struct shared *s); /* no lookup may be under way */

/* Look; false when there is nowhere to, no memory, or it stops: nothing has
 * happened then. */
MUST_USE bool shared_look(struct shared *s, const struct cache_query *q,
			  cache_done *done, void *arg);

/* No new lookups; true once none is under way, false at the deadline. */
bool shared_stop(struct shared *s, int64_t deadline_ms);

#endif
