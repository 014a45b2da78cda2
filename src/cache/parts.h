/* SPDX-License-Identifier: MIT */
#ifndef PARTS_H
#define PARTS_H

#include "../base/timer.h"
#include "memory.h"
#include "query.h"

/*
 * parts: the values a composite value is made of, fetched side by side, each by its own
 * query.  No thread waits for them.
 */
struct parts;

struct parts_options {
	struct timers *timers;
	struct memory *memory;
	int64_t since; /* the position that memory has been told of */
	void (*fetch)(void *fetcher, const struct cache_query *q,
		      cache_done *done, void *arg);
	void *fetcher;
	void (*there)(void *arg); /* runs once, on any thread, perhaps before */
	void *arg; /* parts_fetch() returns; `*out` is set before */
};

/* Fetch the parts that the source of `whole` lists; `there` when all have
 * come or patience ends. False, and no call, when it lists none. */
MUST_USE bool parts_fetch(const struct cache_query *whole,
			  const struct cache_load *load,
			  const struct parts_options *options,
			  struct parts **out);

/* After `there`: the parts; NULL for NULL. */
const struct cache_part *parts_list(const struct parts *p, unsigned *count);

/* The whole is no younger and lives no longer than any part in it.  But a value that memory
 * holds, fresh, is matched by no record up to `since`, however long ago it was loaded: so
 * a record for the whole alone does not count against what is made after it. */
void parts_limit(const struct parts *p, struct lifetime *life, int64_t *fence);

void parts_free(struct parts *p); /* parts that come later are dropped */

#endif
