/* SPDX-License-Identifier: MIT */
#ifndef REDIS_LOG_H
#define REDIS_LOG_H

#include "redis_tier.h"

/*
 * redis_log: tells a Redis tier of the log.  Calls wait; of one thread.
 */

/* A record of the log, as this tier takes it. */
struct redis_log_record {
	int64_t position;
	struct bytes scope; /* users hashed */
	bool soft;
};

/* Tell Redis of records with positions in (from, to], waiting.  On R_OK
 * `*knows` is the position that Redis has now; less than `from`: it wants
 * the records after *knows first. REDIS_LOG_BLANK: it has lost all, and
 * wants redis_log_begin(), with a position read after that was known. */
#define REDIS_LOG_BLANK (-1)
MUST_USE enum result redis_log_push(struct redis_tier *t, int64_t from,
				    int64_t to,
				    const struct redis_log_record *records,
				    unsigned count, int64_t *knows);

MUST_USE enum result redis_log_begin(struct redis_tier *t, int64_t position);

/* Drop records that outdate nothing that is left, a few at a time, now and then: to be
 * called when there is nothing else to do. */
void redis_log_prune(struct redis_tier *t);

#endif
