/* SPDX-License-Identifier: MIT */
#ifndef PARTS_H
#define PARTS_H

#include "flight.h"

/*
 * parts: the values a composite value is made of, fetched side by side, each through
 * its own flight.  No thread waits for them.
 */
struct parts;

/* Fetch the parts that the query's source lists; `there(arg)` runs once, on any thread, perhaps
 * before this returns, when all are there or patience ends; `*out` is set before.
 * False, and no call, when it lists none. */
MUST_USE bool parts_fetch(struct flights *fs, struct timers *timers,
			  const struct cache_query *whole,
			  const struct cache_load *load,
			  void (*there)(void *arg), void *arg,
			  struct parts **out);

/* After `there`: the parts; NULL for NULL. */
const struct cache_part *parts_list(const struct parts *p, unsigned *count);

/* The whole is no younger and lives no longer than any part in it. */
void parts_limit(const struct parts *p, struct lifetime *life, int64_t *fence);

void parts_free(struct parts *p); /* parts that come later are dropped */

#endif
