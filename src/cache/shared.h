/* SPDX-License-Identifier: MIT */
#ifndef SHARED_H
#define SHARED_H

#include "flights.h"

/*
 * shared: a question that looks in Redis, or else in PostgreSQL, by itself, because
 * memory may not answer it and another's lookup may have begun too early.  What is not
 * there goes on to the key's flight.
 */

/* Look; false when there is nowhere to, or no memory: nothing has happened
 * then. */
MUST_USE bool shared_look(const struct tiers *t, struct flights *flights,
			  const struct cache_query *q, cache_done *done,
			  void *arg);

#endif
