/* SPDX-License-Identifier: MIT */
#ifndef POOL_H
#define POOL_H

#include "result.h"

#include <stdint.h>

/*
 * pool: threads that run jobs which may block, from one bounded queue, in order.
 *
 * A queue whose first job waits for longer than `patience_ms` does not get longer:
 * what comes is refused while that can still be said at once.
 */
struct pool;

typedef void pool_job(void *arg);

struct pool_options {
	const char *name; /* shown as the threads' name; at most 15 bytes */
	unsigned threads;
	unsigned queue_limit; /* jobs waiting; more are refused */
	int64_t patience_ms;  /* 0: without end */
};

/* Threads start when there is first work for them.  NULL: no memory. */
struct pool *pool_new(const struct pool_options *options);

/* Run `job(arg)` on a pool thread.  R_BUSY: the queue is full or too
 * slow, or the pool stops. */
MUST_USE enum result pool_submit(struct pool *p, pool_job *job, void *arg);

/* Refuse new jobs, run those queued, join the threads. */
void pool_stop(struct pool *p);

/* The same, and release. */
void pool_free(struct pool *p);

#endif
