/* SPDX-License-Identifier: MIT */
#ifndef LOG_BATCH_H
#define LOG_BATCH_H

#include "../store/postgres.h"
#include "redis_log.h"

/*
 * log_batch: records of the log as read from PostgreSQL, with the users in their
 * scopes hashed as they are in keys.  Of one thread.
 */
#define LOG_BATCH_MAX 1000

struct log_batch {
	struct redis_log_record records[LOG_BATCH_MAX];
	int64_t written_us
		[LOG_BATCH_MAX]; /* on our monotonic clock; -1: unknown */
	unsigned count;
	struct buf text; /* what the scopes are views of */
};

struct log_batch_source {
	struct postgres *pg;
	struct bytes user_secret;
	int64_t deadline_ms; /* as for postgres_query() */
};

/* Read the oldest records after a position. */
MUST_USE enum result log_batch_read(struct log_batch *b,
				    const struct log_batch_source *from,
				    int64_t after);

/* There may be more after these. */
bool log_batch_is_full(const struct log_batch *b);

/* Count how long the records took to get here, by the database's clock and
 * ours. */
void log_batch_measure(const struct log_batch *b);

void log_batch_fini(struct log_batch *b);

#endif
